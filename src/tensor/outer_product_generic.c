/* The outer product kernel for plain x86-64 and any other processor. */
#define LANES  4
#define ROWS   4
#define KERNEL outer_kernel_generic
#define NAME   "generic"
#include "tensor/outer_product_body.h"
