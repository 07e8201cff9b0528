/* The kernel of key_rows.h for AVX-512. */
#define ROWS   4
#define KEYS   4
#define KERNEL key_rows_avx512
#define NAME   "avx512"
#include "tensor/key_rows_body.h"
