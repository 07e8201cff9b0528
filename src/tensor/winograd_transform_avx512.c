/* Winograd's transforms for AVX-512. */
#define TABLE_2 winograd_transform_2_avx512
#define TABLE_4 winograd_transform_4_avx512
#define NAME    "avx512"
#include "tensor/winograd_transform_body.h"
