/* The kernel of key_rows.h for AVX2 with FMA. */
#define ROWS   2
#define KEYS   2
#define KERNEL key_rows_avx2
#define NAME   "avx2"
#include "tensor/key_rows_body.h"
