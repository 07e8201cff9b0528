/* The kernel of panel_product.h for bf16, where AVX-512 multiplies it. */
#define BF16
#define LANES  16
#define ROWS   14
#define KERNEL panel_kernel_avx512_bf16
#define NAME   "avx512_bf16"
#include "tensor/panel_product_body.h"
