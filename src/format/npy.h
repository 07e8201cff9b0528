/* NumPy's .npy files: one array, as the raw tensors of `carina tensor` and the landmark sets use them.
 *
 * Read: versions 1-3, little-endian (or one-byte) f2 f4 f8 i1 i2 i4 i8 u1 u2 b1 of either order; big-endian
 * numbers, objects, structured and other types are refused by name. Unsigned 16-bit values come back as i32 (there is
 * no u16 tensor type); Fortran order comes back in C order.
 */
#ifndef FORMAT_NPY_H
#define FORMAT_NPY_H

#include <stdint.h>

#include "format/tensor_file.h"

#define NPY_MAX_BYTES (8ull << 30)

/* One tensor, named after the file without folder and extension ("x" for bytes called "dir/x.npy"). The bytes are
 * copied. */
carina_status npy_parse(tensor_file *out, const char *name, const void *data, uint64_t size, carina_error *error);
carina_status npy_read(tensor_file *out, const char *path, carina_error *error);

/* Writes version 1.0, C order, atomically. data: product(shape) elements. bf16 has no numpy type: it is refused. */
carina_status npy_write(const char *path, tensor_dtype dtype, const uint64_t *shape, int rank, const void *data,
                        carina_error *error);

#endif
