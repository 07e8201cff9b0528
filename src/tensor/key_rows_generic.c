/* The kernel of key_rows.h for plain x86-64 and any other processor. */
#define ROWS   1
#define KEYS   2
#define KERNEL key_rows_generic
#define NAME   "generic"
#include "tensor/key_rows_body.h"
