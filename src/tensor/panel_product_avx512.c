/* The kernel of panel_product.h for AVX-512. */
#define LANES  16
#define ROWS   14
#define KERNEL panel_kernel_avx512
#define NAME   "avx512"
#include "tensor/panel_product_body.h"
