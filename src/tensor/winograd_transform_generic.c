/* Winograd's transforms for plain x86-64. */
#define TABLE_2 winograd_transform_2_generic
#define TABLE_4 winograd_transform_4_generic
#define NAME    "generic"
#include "tensor/winograd_transform_body.h"
