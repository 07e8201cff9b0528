/* Which tensor format a file is in; see tensor_read.h. */
#include "format/tensor_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/npy.h"
#include "format/pth.h"
#include "format/safetensors.h"

carina_status tensor_read(tensor_file *out, const char *path, carina_error *error) {
    uint8_t *start;
    uint64_t size;
    *out = (tensor_file){0};
    TRY(file_read_start(path, 16, &start, &size, error));
    bool is_npy = size >= 6 && memcmp(start, "\x93NUMPY", 6) == 0;
    /* a ZIP archive, or the pickle protocol mark of the older .pth */
    bool is_pth = size >= 4 && (memcmp(start, "PK\3\4", 4) == 0 || memcmp(start, "\x80\2", 2) == 0);
    /* safetensors begins with its header's length, 8 bytes little-endian below 100 MB, then '{' */
    bool is_safetensors = size >= 9 && start[8] == '{' && memcmp(start + 4, "\0\0\0\0", 4) == 0;
    free(start);
    if (is_npy) return npy_read(out, path, error);
    if (is_safetensors) return safetensors_read(out, path, error);
    if (is_pth) return pth_read(out, path, error);
    return error_set(error, CARINA_ERROR_FORMAT, "%s: neither safetensors nor .pth nor .npy", path);
}
