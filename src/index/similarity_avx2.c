/* The kernels of similarity_body.h for one instruction set; CMakeLists.txt gives this file its compiler flags. */
#define SIMILARITY_TABLE similarity_avx2_table
#define SIMILARITY_NAME  "avx2"
#include "index/similarity_body.h"
