/* The kernel of panel_product.h for AVX2 with FMA. */
#define LANES  8
#define ROWS   6
#define KERNEL panel_kernel_avx2
#define NAME   "avx2"
#include "tensor/panel_product_body.h"
