/* The kernels of kernels_body.h for one instruction set; CMakeLists.txt gives this file its compiler flags. */
#define KERNELS_TABLE kernels_avx512_table
#define KERNELS_NAME  "avx512"
#include "tensor/kernels_body.h"
