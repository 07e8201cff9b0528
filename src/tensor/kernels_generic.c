/* The kernels of kernels_body.h for one instruction set; CMakeLists.txt gives this file its compiler flags. */
#define KERNELS_TABLE kernels_generic_table
#define KERNELS_NAME  "generic"
#include "tensor/kernels_body.h"
