/* .npy after NumPy's "NEP 1" format description: magic, version, a Python dict literal, the array's bytes; see npy.h.
 *
 * The dict is read by a parser that knows just its three keys; nothing of Python is evaluated.
 */
#include "format/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"

typedef struct npy_header {
    char type[16]; /* "<f4" */
    bool fortran_order;
    bool has_type, has_order, has_shape;
    uint64_t shape[TENSOR_FILE_MAX_RANK];
    int rank;
} npy_header;

static carina_status bad(const char *name, carina_error *error, const char *what) {
    return error_set(error, CARINA_ERROR_FORMAT, "%s: not a valid .npy file: %s", name, what);
}

static void skip_blanks(cursor *c) {
    while (cursor_remaining(c) && strchr(" \t\n", c->data[c->offset]) && c->data[c->offset]) c->offset++;
}

static bool accept(cursor *c, char wanted) {
    skip_blanks(c);
    if (!cursor_remaining(c) || c->data[c->offset] != (uint8_t)wanted) return false;
    c->offset++;
    return true;
}

static bool accept_word(cursor *c, const char *word) {
    skip_blanks(c);
    size_t length = strlen(word);
    if (cursor_remaining(c) < length || memcmp(c->data + c->offset, word, length) != 0) return false;
    c->offset += length;
    return true;
}

static bool read_quoted(cursor *c, char *out, size_t size) {
    skip_blanks(c);
    uint8_t quote = cursor_u8(c);
    if (quote != '\'' && quote != '"') return false;
    for (size_t used = 0;; used++) {
        uint8_t character = cursor_u8(c);
        if (c->failed || character == 0 || character == '\\') return false;
        if (character == quote) {
            out[used] = 0;
            return true;
        }
        if (used + 1 >= size) return false;
        out[used] = (char)character;
    }
}

static bool read_whole(cursor *c, uint64_t *out) {
    skip_blanks(c);
    uint64_t value = 0;
    bool any = false;
    while (cursor_remaining(c) && c->data[c->offset] >= '0' && c->data[c->offset] <= '9') {
        uint64_t digit = (uint64_t)(c->data[c->offset++] - '0');
        if (!size_multiply(value, 10, &value) || !size_add(value, digit, &value)) return false;
        any = true;
    }
    accept(c, 'L'); /* Python 2 wrote longs so */
    *out = value;
    return any;
}

static bool read_shape(cursor *c, npy_header *header) {
    if (!accept(c, '(')) return false;
    while (!accept(c, ')')) {
        if (header->rank == TENSOR_FILE_MAX_RANK || !read_whole(c, &header->shape[header->rank])) return false;
        header->rank++;
        if (!accept(c, ',')) return accept(c, ')');
    }
    return true;
}

static bool read_entry(cursor *c, npy_header *header) {
    char key[32];
    if (!read_quoted(c, key, sizeof key) || !accept(c, ':')) return false;
    bool *seen = strcmp(key, "descr") == 0           ? &header->has_type
                 : strcmp(key, "fortran_order") == 0 ? &header->has_order
                 : strcmp(key, "shape") == 0         ? &header->has_shape
                                                     : NULL;
    if (!seen || *seen) return false;
    *seen = true;
    if (seen == &header->has_shape) return read_shape(c, header);
    if (seen == &header->has_order) {
        header->fortran_order = accept_word(c, "True");
        return header->fortran_order || accept_word(c, "False");
    }
    if (accept(c, '[')) { /* a structured type: a list of fields */
        snprintf(header->type, sizeof header->type, "structured");
        return false;
    }
    return read_quoted(c, header->type, sizeof header->type);
}

static bool read_dict(cursor *c, npy_header *header) {
    if (!accept(c, '{')) return false;
    while (!accept(c, '}')) {
        if (!read_entry(c, header)) return false;
        if (!accept(c, ',')) {
            if (!accept(c, '}')) return false;
            break;
        }
    }
    return header->has_type && header->has_order && header->has_shape;
}

/* How an element type is stored and what it becomes. */
static const struct {
    const char *text;
    tensor_dtype dtype;
    uint8_t stored_size;
} types[] = {
    {"f4", DTYPE_F32, 4}, {"f8", DTYPE_F64, 8}, {"f2", DTYPE_F16, 2}, {"i8", DTYPE_I64, 8},  {"i4", DTYPE_I32, 4},
    {"i2", DTYPE_I16, 2}, {"i1", DTYPE_I8, 1},  {"u1", DTYPE_U8, 1},  {"b1", DTYPE_BOOL, 1}, {"u2", DTYPE_I32, 2},
};

static carina_status find_type(const npy_header *header, const char *name, tensor_dtype *dtype, uint64_t *stored_size,
                               carina_error *error) {
    const char *text = header->type;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (text[0] == 0 || strcmp(text + 1, types[i].text) != 0) continue;
        if (text[0] != '<' && !(types[i].stored_size == 1 && strchr("|=>", text[0]))) continue;
        *dtype = types[i].dtype;
        *stored_size = types[i].stored_size;
        return CARINA_OK;
    }
    return error_set(
        error, CARINA_ERROR_UNSUPPORTED,
        "%s: numpy type '%s' is not read here; save it as little-endian float32, float64 or an integer type", name,
        text);
}

/* Copies the stored elements (their n-th at any position) into C order, widening u2. */
static void gather(uint8_t *out, const uint8_t *in, const named_tensor *tensor, uint64_t stored_size, bool fortran) {
    uint64_t element_size = tensor_dtype_size(tensor->dtype), count = named_tensor_elements(tensor);
    uint64_t index[TENSOR_FILE_MAX_RANK] = {0};
    for (uint64_t i = 0; i < count; i++) {
        uint64_t from = i;
        if (fortran) { /* first axis fastest */
            from = 0;
            for (int axis = tensor->rank - 1; axis >= 0; axis--) from = from * tensor->shape[axis] + index[axis];
            for (int axis = tensor->rank - 1; axis >= 0 && ++index[axis] == tensor->shape[axis]; axis--)
                index[axis] = 0;
        }
        if (stored_size == element_size) {
            memcpy(out + i * element_size, in + from * stored_size, (size_t)element_size);
        } else { /* u2 as i32 */
            const uint8_t bytes[4] = {in[2 * from], in[2 * from + 1], 0, 0};
            memcpy(out + i * 4, bytes, 4);
        }
    }
}

static char *stem_of(const char *name) {
    char *stem = strdup(path_name(name));
    char *dot = stem ? strrchr(stem, '.') : NULL;
    if (dot && dot != stem) *dot = 0;
    return stem;
}

static carina_status read_header(cursor *c, const char *name, npy_header *header, carina_error *error) {
    const uint8_t *magic = cursor_take(c, 6);
    if (!magic || memcmp(magic, "\x93NUMPY", 6) != 0) return bad(name, error, "it does not begin with the .npy mark");
    uint8_t major = cursor_u8(c);
    cursor_u8(c); /* minor version: no change of layout */
    if (!c->failed && (major < 1 || major > 3))
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: .npy version %d is not known", name, major);
    uint64_t length = major == 1 ? cursor_u16le(c) : cursor_u32le(c);
    const uint8_t *text = cursor_take(c, length);
    if (!text) return bad(name, error, "the header is cut off");
    cursor inside = cursor_make(text, length);
    if (!read_dict(&inside, header)) {
        if (strcmp(header->type, "structured") == 0)
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: arrays of structures are not read", name);
        return bad(name, error, "the header is not {'descr', 'fortran_order', 'shape'} with at most 8 axes");
    }
    skip_blanks(&inside);
    return cursor_remaining(&inside) == 0 ? CARINA_OK : bad(name, error, "text after the header's dictionary");
}

carina_status npy_parse(tensor_file *out, const char *name, const void *data, uint64_t size, carina_error *error) {
    *out = (tensor_file){0};
    cursor c = cursor_make(data, size);
    npy_header header = {0};
    TRY(read_header(&c, name, &header, error));
    named_tensor tensor = {.rank = header.rank};
    memcpy(tensor.shape, header.shape, sizeof tensor.shape);
    uint64_t stored_size = 0, stored_bytes;
    TRY(find_type(&header, name, &tensor.dtype, &stored_size, error));
    if (!tensor_shape_bytes(tensor.shape, tensor.rank, stored_size, &stored_bytes) ||
        !tensor_shape_bytes(tensor.shape, tensor.rank, tensor_dtype_size(tensor.dtype), &tensor.byte_count))
        return bad(name, error, "its shape is larger than any memory");
    if (stored_bytes != cursor_remaining(&c))
        return error_set(error, CARINA_ERROR_FORMAT, "%s: the header promises %llu bytes of data, the file holds %llu",
                         name, (unsigned long long)stored_bytes, (unsigned long long)cursor_remaining(&c));
    uint8_t *bytes = malloc((size_t)tensor.byte_count + 1);
    tensor.name = stem_of(name);
    out->tensors = malloc(sizeof *out->tensors);
    out->owner = bytes;
    out->release = free;
    if (!bytes || !tensor.name || !out->tensors) {
        free(tensor.name);
        tensor_file_free(out);
        return error_memory(error, name, tensor.byte_count);
    }
    tensor.data = bytes;
    if (stored_bytes) gather(bytes, cursor_take(&c, stored_bytes), &tensor, stored_size, header.fortran_order);
    out->tensors[0] = tensor;
    out->count = 1;
    return CARINA_OK;
}

carina_status npy_read(tensor_file *out, const char *path, carina_error *error) {
    *out = (tensor_file){0};
    file_map map;
    TRY(file_map_open(&map, path, error));
    carina_status status =
        map.size > NPY_MAX_BYTES
            ? error_set(error, CARINA_ERROR_LIMIT, "%s: larger than the %llu bytes accepted", path, NPY_MAX_BYTES)
            : npy_parse(out, path, map.data, map.size, error);
    file_map_close(&map);
    return status;
}

static const char *type_text(tensor_dtype dtype) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == dtype) return types[i].text;
    return NULL;
}

carina_status npy_write(const char *path, tensor_dtype dtype, const uint64_t *shape, int rank, const void *data,
                        carina_error *error) {
    const char *type = type_text(dtype);
    if (!type)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: numpy has no type for %s", path,
                         tensor_dtype_name(dtype));
    uint64_t byte_count;
    if (rank < 0 || rank > TENSOR_FILE_MAX_RANK ||
        !tensor_shape_bytes(shape, rank, tensor_dtype_size(dtype), &byte_count))
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: the shape is too large", path);
    char text[320];
    int used = snprintf(text, sizeof text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                        tensor_dtype_size(dtype) == 1 ? '|' : '<', type);
    for (int i = 0; i < rank; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, i || rank == 1 ? (i ? ", %llu" : "%llu,") : "%llu",
                         (unsigned long long)shape[i]);
    used += snprintf(text + used, sizeof text - (size_t)used, "), }");
    while ((10 + used + 1) % 64) text[used++] = ' '; /* data begins on a multiple of 64 */
    text[used++] = '\n';
    const uint8_t start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)used, (uint8_t)(used >> 8)};
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    FILE *stream = file_writer_stream(writer);
    fwrite(start, 1, sizeof start, stream);
    fwrite(text, 1, (size_t)used, stream);
    if (byte_count) fwrite(data, 1, (size_t)byte_count, stream);
    return file_writer_commit(writer, error);
}
