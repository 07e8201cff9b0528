/* The sizes of a convolution over channels-last pictures. */
#ifndef TENSOR_CONVOLUTION_GEOMETRY_H
#define TENSOR_CONVOLUTION_GEOMETRY_H

#include <stdint.h>

#include "tensor/graph.h"

typedef struct convolution_geometry {
    tensor_type type;                             /* of x and y */
    int64_t batch, height, width, channels;       /* x [B, H, W, C] */
    int64_t output_height, output_width, outputs; /* y [B, H', W', O] */
    int64_t kernel_height, kernel_width, stride, padding;
} convolution_geometry;

#endif
