/* Which tensor format a file is in; see tensor_read.h. */
#include "format/tensor_read.h"

#include <string.h>

#include "base/file.h"
#include "format/npy.h"
#include "format/pth.h"
#include "format/safetensors.h"

carina_status tensor_read(tensor_file *out, const char *path, carina_error *error) {
    file_map map;
    *out = (tensor_file){0};
    TRY(file_map_open(&map, path, error));
    bool is_npy = map.size >= 6 && memcmp(map.data, "\x93NUMPY", 6) == 0;
    /* a ZIP archive, or the pickle protocol mark of the older .pth */
    bool is_pth = map.size >= 4 && (memcmp(map.data, "PK\3\4", 4) == 0 || memcmp(map.data, "\x80\2", 2) == 0);
    /* safetensors begins with its header's length, 8 bytes little-endian below 100 MB, then '{' */
    bool is_safetensors = map.size >= 9 && map.data[8] == '{' && memcmp(map.data + 4, "\0\0\0\0", 4) == 0;
    file_map_close(&map);
    if (is_npy) return npy_read(out, path, error);
    if (is_safetensors) return safetensors_read(out, path, error);
    if (is_pth) return pth_read(out, path, error);
    return error_set(error, CARINA_ERROR_FORMAT, "%s: neither safetensors nor .pth nor .npy", path);
}
