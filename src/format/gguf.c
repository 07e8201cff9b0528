/* GGUF files: header, tensor infos, layout of the data; see gguf.h. */
#include "format/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/utf8.h"
#include "format/tensor_file.h"

enum {
    LEAST_INFO_BYTES = 8 + 1 + 4 + 4 + 8, /* length and a byte of name, rank, type, offset */
    DEFAULT_ALIGNMENT = 32,
    QUANTISATION_VERSION = 2 /* of the blocks' layout: scales are f16 */
};

/* ---- header ---- */

static carina_status read_header(gguf_file *out, cursor *c, uint64_t *tensor_count, uint64_t *key_count,
                                 carina_error *error) {
    uint8_t magic[4];
    if (!cursor_read(c, magic, sizeof magic) ||
        (memcmp(magic, "GGUF", sizeof magic) != 0 && memcmp(magic, "FUGG", sizeof magic) != 0))
        return error_set(error, CARINA_ERROR_FORMAT, "%s: not a GGUF file", out->name);
    out->version = cursor_u32le(c);
    *tensor_count = cursor_u64le(c);
    *key_count = cursor_u64le(c);
    if (c->failed) return error_set(error, CARINA_ERROR_FORMAT, "%s: too short for a GGUF file", out->name);
    if (magic[0] == 'F' || (out->version && (out->version & 0xffffu) == 0)) /* 00 00 00 03 read from the wrong end */
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "%s: a big-endian GGUF file; convert it to little-endian first", out->name);
    if (out->version != 2 && out->version != 3)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: GGUF version %u; 2 and 3 are read", out->name,
                         out->version);
    return CARINA_OK;
}

static carina_status read_alignment(gguf_file *out, carina_error *error) {
    const gguf_value *value = gguf_find(&out->metadata, "general.alignment");
    out->alignment = DEFAULT_ALIGNMENT;
    if (!value) return CARINA_OK;
    TRY(gguf_get_u32(&out->alignment, &out->metadata, "general.alignment", error));
    uint32_t alignment = out->alignment;
    if (value->kind != GGUF_KIND_U32 || alignment < 8 || alignment > GGUF_MAX_ALIGNMENT ||
        (alignment & (alignment - 1)) != 0)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "%s: metadata key 'general.alignment' is %u; a power of two of 8 to %u as u32 is expected",
                         out->name, alignment, GGUF_MAX_ALIGNMENT);
    return CARINA_OK;
}

/* ---- tensor infos ---- */

static carina_status read_name(const gguf_file *out, cursor *c, uint64_t index, gguf_tensor *tensor,
                               carina_error *error) {
    uint64_t size = cursor_u64le(c);
    if (!c->failed && (size == 0 || size > GGUF_MAX_NAME))
        return error_set(error, CARINA_ERROR_FORMAT, "%s: the name of tensor %llu has %llu bytes, 1 to %d are allowed",
                         out->name, (unsigned long long)index, (unsigned long long)size, GGUF_MAX_NAME);
    if (!cursor_read(c, tensor->name, size)) return CARINA_OK; /* the caller sees c->failed */
    if (!utf8_valid(tensor->name, size) || memchr(tensor->name, 0, (size_t)size))
        return error_set(error, CARINA_ERROR_FORMAT, "%s: the name of tensor %llu is not UTF-8 text", out->name,
                         (unsigned long long)index);
    return CARINA_OK;
}

static carina_status check_type(const gguf_file *out, const gguf_tensor *tensor, carina_error *error) {
    const char *name = gguf_type_name(tensor->type);
    if (!name)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: tensor '%s' has type number %u, which is not known here",
                         out->name, tensor->name, tensor->type);
    if (!gguf_block_length(tensor->type))
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "%s: tensor '%s' has type %s (%u), which GGUF no longer has; quantise the model again",
                         out->name, tensor->name, name, tensor->type);
    return CARINA_OK;
}

/* Sizes that follow from shape and type; none of them, nor the decoded tensor's, may pass 63 bits. */
static carina_status measure(const gguf_file *out, gguf_tensor *tensor, carina_error *error) {
    const uint64_t *shape = tensor->shape;
    char text[96];
    tensor_shape_text(text, sizeof text, shape, tensor->rank);
    tensor->row_length = tensor->rank ? shape[tensor->rank - 1] : 1;
    if (!gguf_row_bytes(tensor->type, tensor->row_length, &tensor->row_bytes) &&
        tensor->row_length % gguf_block_length(tensor->type) != 0)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "%s: tensor '%s' has shape %s, its rows are no whole number of %s blocks of %llu", out->name,
                         tensor->name, text, gguf_type_name(tensor->type),
                         (unsigned long long)gguf_block_length(tensor->type));
    uint64_t bytes, rows;
    if (!tensor_shape_bytes(shape, tensor->rank, sizeof(double), &bytes) ||
        !tensor_shape_bytes(shape, tensor->rank ? tensor->rank - 1 : 0, 1, &rows) ||
        !size_multiply(rows, tensor->row_bytes, &tensor->byte_count))
        return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor '%s' has shape %s, larger than any memory", out->name,
                         tensor->name, text);
    tensor->row_count = rows;
    return CARINA_OK;
}

static carina_status read_info(const gguf_file *out, cursor *c, uint64_t index, gguf_tensor *tensor,
                               carina_error *error) {
    TRY(read_name(out, c, index, tensor, error));
    uint32_t rank = cursor_u32le(c);
    if (rank > GGUF_MAX_RANK)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: tensor '%s' has %u axes, at most %d are read", out->name,
                         tensor->name, rank, GGUF_MAX_RANK);
    tensor->rank = (int)rank;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) tensor->shape[axis] = cursor_u64le(c);
    tensor->type = cursor_u32le(c);
    tensor->offset = cursor_u64le(c);
    if (c->failed)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: the file ends inside the info of tensor %llu (cut off?)",
                         out->name, (unsigned long long)index);
    TRY(check_type(out, tensor, error));
    return measure(out, tensor, error);
}

static carina_status read_infos(gguf_file *out, cursor *c, uint64_t count, carina_error *error) {
    if (count > GGUF_MAX_TENSORS)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: promises %llu tensors, at most %u are read", out->name,
                         (unsigned long long)count, GGUF_MAX_TENSORS);
    if (count > cursor_remaining(c) / LEAST_INFO_BYTES)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "%s: promises %llu tensors, more than its %llu bytes can hold (cut off?)", out->name,
                         (unsigned long long)count, (unsigned long long)c->size);
    out->tensors = calloc((size_t)count + 1, sizeof *out->tensors);
    out->by_name = calloc((size_t)count + 1, sizeof *out->by_name);
    if (!out->tensors || !out->by_name) return error_memory(error, out->name, count * sizeof *out->tensors);
    for (; out->tensor_count < count; out->tensor_count++) {
        TRY(read_info(out, c, out->tensor_count, &out->tensors[out->tensor_count], error));
        out->by_name[out->tensor_count] = &out->tensors[out->tensor_count];
    }
    return CARINA_OK;
}

/* ---- the data ---- */

static int compare_places(const void *a, const void *b) {
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    /* empty tensors before the one that follows */
    return x->byte_count < y->byte_count ? -1 : x->byte_count > y->byte_count;
}

static uint64_t align_up(uint64_t offset, uint64_t alignment) {
    return (offset + alignment - 1) / alignment * alignment;
}

/* Sorted by offset the tensors must tile the data, up to the padding behind each. The last one's padding may be
 * missing. */
static carina_status check_layout(const gguf_file *out, uint64_t data_size, carina_error *error) {
    uint64_t at = 0;
    for (uint64_t i = 0; i < out->tensor_count; i++) {
        const gguf_tensor *tensor = out->by_name[i];
        uint64_t end;
        if (tensor->offset % out->alignment != 0)
            return error_set(error, CARINA_ERROR_FORMAT,
                             "%s: tensor '%s' begins at byte %llu of the data, no multiple of the alignment %u",
                             out->name, tensor->name, (unsigned long long)tensor->offset, out->alignment);
        if (!size_add(tensor->offset, tensor->byte_count, &end) || end > data_size)
            return error_set(error, CARINA_ERROR_FORMAT,
                             "%s: tensor '%s' (%llu bytes from byte %llu on) lies past the %llu bytes of data (file "
                             "cut off?)",
                             out->name, tensor->name, (unsigned long long)tensor->byte_count,
                             (unsigned long long)tensor->offset, (unsigned long long)data_size);
        if (tensor->offset < at)
            return error_set(error, CARINA_ERROR_FORMAT,
                             "%s: tensor '%s' overlaps the one before it at byte %llu of the data", out->name,
                             tensor->name, (unsigned long long)tensor->offset);
        if (tensor->offset > align_up(at, out->alignment))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: %llu unused bytes in front of tensor '%s'", out->name,
                             (unsigned long long)(tensor->offset - align_up(at, out->alignment)), tensor->name);
        at = end;
    }
    if (data_size > align_up(at, out->alignment))
        return error_set(error, CARINA_ERROR_FORMAT, "%s: %llu bytes after the last tensor", out->name,
                         (unsigned long long)(data_size - align_up(at, out->alignment)));
    return CARINA_OK;
}

static carina_status place_tensors(gguf_file *out, cursor *c, carina_error *error) {
    uint64_t begin = align_up(c->offset, out->alignment);
    if (begin > c->size) begin = c->size; /* no data, and no padding in front of it */
    uint64_t data_size = c->size - begin;
    qsort(out->by_name, (size_t)out->tensor_count, sizeof *out->by_name, compare_places);
    TRY(check_layout(out, data_size, error));
    for (uint64_t i = 0; i < out->tensor_count; i++) {
        gguf_tensor *tensor = &out->tensors[i];
        if (tensor->byte_count) tensor->data = c->data + begin + tensor->offset;
    }
    return CARINA_OK;
}

/* A file may leave the version out; another one means another layout of the same types' blocks. */
static carina_status check_quantisation(const gguf_file *out, carina_error *error) {
    static const char key[] = "general.quantization_version";
    const gguf_tensor *quantised = NULL;
    for (uint64_t i = 0; i < out->tensor_count && !quantised; i++)
        if (gguf_type_is_quantised(out->tensors[i].type)) quantised = &out->tensors[i];
    if (!quantised || !gguf_find(&out->metadata, key)) return CARINA_OK;
    uint32_t version;
    TRY(gguf_get_u32(&version, &out->metadata, key, error));
    if (version != QUANTISATION_VERSION)
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "%s: tensor '%s' is quantised by version %u of the blocks, %d is read", out->name,
                         quantised->name, version, QUANTISATION_VERSION);
    return CARINA_OK;
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const gguf_tensor *const *)a)->name, (*(const gguf_tensor *const *)b)->name);
}

static carina_status sort_names(gguf_file *out, carina_error *error) {
    qsort(out->by_name, (size_t)out->tensor_count, sizeof *out->by_name, compare_names);
    for (uint64_t i = 1; i < out->tensor_count; i++)
        if (compare_names(&out->by_name[i - 1], &out->by_name[i]) == 0)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: two tensors are called '%s'", out->name,
                             out->by_name[i]->name);
    return CARINA_OK;
}

static int compare_name(const void *key, const void *element) {
    return strcmp(key, (*(const gguf_tensor *const *)element)->name);
}

const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name) {
    if (!file->tensor_count) return NULL;
    const gguf_tensor **found =
        bsearch(name, file->by_name, (size_t)file->tensor_count, sizeof *file->by_name, compare_name);
    return found ? *found : NULL;
}

/* ---- the file ---- */

static carina_status parse(gguf_file *out, cursor *c, carina_error *error) {
    uint64_t tensor_count = 0, key_count = 0;
    TRY(read_header(out, c, &tensor_count, &key_count, error));
    TRY(gguf_metadata_parse(&out->metadata, out->name, c, key_count, error));
    TRY(read_alignment(out, error));
    TRY(read_infos(out, c, tensor_count, error));
    TRY(check_quantisation(out, error));
    TRY(place_tensors(out, c, error));
    return sort_names(out, error);
}

carina_status gguf_parse(gguf_file *out, const char *name, const void *data, uint64_t size, carina_error *error) {
    *out = (gguf_file){.name = strdup(name)};
    if (!out->name) return error_memory(error, name, strlen(name));
    cursor c = cursor_make(data, size);
    carina_status status = parse(out, &c, error);
    if (status != CARINA_OK) gguf_free(out);
    return status;
}

carina_status gguf_read(gguf_file *out, const char *path, carina_error *error) {
    file_map map;
    *out = (gguf_file){0};
    TRY(file_map_open(&map, path, error));
    carina_status status = gguf_parse(out, path, map.data, map.size, error);
    if (status == CARINA_OK)
        out->map = map;
    else
        file_map_close(&map);
    return status;
}

void gguf_free(gguf_file *file) {
    if (!file) return;
    gguf_metadata_free(&file->metadata);
    free(file->tensors);
    free(file->by_name);
    free(file->name);
    file_map_close(&file->map);
    *file = (gguf_file){0};
}

carina_status gguf_decode_rows(float *out, const gguf_file *file, const gguf_tensor *tensor, uint64_t first,
                               uint64_t count, carina_error *error) {
    if (first > tensor->row_count || count > tensor->row_count - first)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: tensor '%s' has %llu rows, no %llu from row %llu on",
                         file->name, tensor->name, (unsigned long long)tensor->row_count, (unsigned long long)count,
                         (unsigned long long)first);
    if (!gguf_type_is_decoded(tensor->type)) { /* also where there is no row */
        carina_status status = gguf_decode_row(out, tensor->type, NULL, 0, error);
        return error ? error_prefix(error, "%s: tensor '%s'", file->name, tensor->name) : status;
    }
    for (uint64_t i = 0; i < count && tensor->byte_count; i++)
        TRY(gguf_decode_row(out + i * tensor->row_length, tensor->type, tensor->data + (first + i) * tensor->row_bytes,
                            tensor->row_length, error));
    return CARINA_OK;
}
