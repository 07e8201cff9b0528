/* The outer product kernel for AVX2 with FMA. */
#define LANES  8
#define ROWS   6
#define KERNEL outer_kernel_avx2
#define NAME   "avx2"
#include "tensor/outer_product_body.h"
