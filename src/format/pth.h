/* PyTorch's .pth files (torch.save): their tensors, as the same list that safetensors gives. Data only: no code runs.
 *
 * Two containers: ZIP (PyTorch 1.6 and later; stored or deflated) and the older plain one. Tensors anywhere inside
 * nested dicts, lists, tuples and objects' attributes are found; the keys on the way, joined with '.', are the name
 * ({"model": {"conv.weight": ...}} gives "model.conv.weight"; positions in lists count from 0). Plain texts, numbers
 * and booleans found on the way are the metadata, under such names too ("epoch" -> "12").
 *
 * Tensors are in C order: contiguous ones point into the file's mapping, others are copied. Types that Carina has no
 * tensor type for, sparse and quantised tensors, and pickles with anything but the usual classes are refused by name.
 */
#ifndef FORMAT_PTH_H
#define FORMAT_PTH_H

#include "format/tensor_file.h"

/* From bytes that must outlive *out. */
carina_status pth_parse(tensor_file *out, const char *name, const void *data, uint64_t size, carina_error *error);
/* Maps the file until tensor_file_free. */
carina_status pth_read(tensor_file *out, const char *path, carina_error *error);

#endif
