/* The outer product kernel for AVX-512. */
#define LANES  16
#define ROWS   8
#define KERNEL outer_kernel_avx512
#define NAME   "avx512"
#include "tensor/outer_product_body.h"
