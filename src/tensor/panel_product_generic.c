/* The kernel of panel_product.h for plain x86-64 and any other processor. */
#define LANES  4
#define ROWS   4
#define KERNEL panel_kernel_generic
#define NAME   "generic"
#include "tensor/panel_product_body.h"
