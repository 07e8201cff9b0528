/* Winograd's transforms for AVX2. */
#define TABLE_2 winograd_transform_2_avx2
#define TABLE_4 winograd_transform_4_avx2
#define NAME    "avx2"
#include "tensor/winograd_transform_body.h"
