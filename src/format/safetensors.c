/* safetensors reading and writing; see safetensors.h. The header goes through format/json. */
#include "format/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/utf8.h"
#include "format/json.h"
#include "format/json_writer.h"

static const char *const type_names[DTYPE_COUNT] = {
    [DTYPE_F32] = "F32", [DTYPE_F16] = "F16", [DTYPE_BF16] = "BF16", [DTYPE_F64] = "F64", [DTYPE_I64] = "I64",
    [DTYPE_I32] = "I32", [DTYPE_I16] = "I16", [DTYPE_I8] = "I8",     [DTYPE_U8] = "U8",   [DTYPE_BOOL] = "BOOL",
};

typedef struct span { /* where a tensor's bytes lie in the data */
    uint64_t begin, end;
    uint64_t index; /* in the list */
} span;

static int compare_spans(const void *a, const void *b) {
    const span *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1; /* empty tensors before the one that follows */
    return x->index < y->index ? -1 : x->index > y->index;
}

static carina_status read_dtype(const json_document *header, const json_value *entry, named_tensor *tensor,
                                carina_error *error) {
    const char *text;
    TRY(json_get_text(header, entry, "dtype", &text, error));
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(type_names[i], text) == 0) {
            tensor->dtype = (tensor_dtype)i;
            return CARINA_OK;
        }
    }
    return json_fail(header, entry, "dtype", CARINA_ERROR_UNSUPPORTED, error, "type '%s' is not read here", text);
}

static carina_status read_shape(const json_document *header, const json_value *entry, named_tensor *tensor,
                                carina_error *error) {
    const json_value *shape;
    TRY(json_get_array(header, entry, "shape", &shape, error));
    if (json_count(shape) > TENSOR_FILE_MAX_RANK)
        return json_fail(header, entry, "shape", CARINA_ERROR_UNSUPPORTED, error, "more than %d axes",
                         TENSOR_FILE_MAX_RANK);
    tensor->rank = (int)json_count(shape);
    for (int i = 0; i < tensor->rank; i++) {
        int64_t axis;
        if (!json_whole(json_item(shape, (uint64_t)i), &axis) || axis < 0)
            return json_fail(header, entry, "shape", CARINA_ERROR_FORMAT, error, "axes are whole numbers from 0 on");
        tensor->shape[i] = (uint64_t)axis;
    }
    if (!tensor_shape_bytes(tensor->shape, tensor->rank, tensor_dtype_size(tensor->dtype), &tensor->byte_count))
        return json_fail(header, entry, "shape", CARINA_ERROR_FORMAT, error, "larger than any memory");
    return CARINA_OK;
}

static carina_status read_offsets(const json_document *header, const json_value *entry, const named_tensor *tensor,
                                  uint64_t data_size, span *where, carina_error *error) {
    const json_value *offsets;
    TRY(json_get_array(header, entry, "data_offsets", &offsets, error));
    int64_t begin, end;
    if (json_count(offsets) != 2 || !json_whole(json_item(offsets, 0), &begin) ||
        !json_whole(json_item(offsets, 1), &end) || begin < 0 || end < begin)
        return json_fail(header, entry, "data_offsets", CARINA_ERROR_FORMAT, error,
                         "[begin, end] with 0 <= begin <= end is expected");
    if ((uint64_t)end > data_size)
        return json_fail(header, entry, "data_offsets", CARINA_ERROR_FORMAT, error,
                         "end %lld lies past the %llu bytes of data (file cut off?)", (long long)end,
                         (unsigned long long)data_size);
    if ((uint64_t)(end - begin) != tensor->byte_count)
        return json_fail(header, entry, "data_offsets", CARINA_ERROR_FORMAT, error,
                         "%lld bytes, but shape and dtype need %llu", (long long)(end - begin),
                         (unsigned long long)tensor->byte_count);
    where->begin = (uint64_t)begin;
    where->end = (uint64_t)end;
    return CARINA_OK;
}

static carina_status read_metadata(const json_document *header, const json_value *map, tensor_file *out,
                                   carina_error *error) {
    if (json_kind_of(map) != JSON_KIND_OBJECT)
        return json_fail(header, json_root(header), "__metadata__", CARINA_ERROR_FORMAT, error,
                         "an object is expected");
    out->metadata = calloc((size_t)json_count(map) + 1, sizeof *out->metadata);
    if (!out->metadata) return error_memory(error, json_name(header), json_count(map) * sizeof *out->metadata);
    const char *key;
    const json_value *value;
    for (void *position = NULL; json_next(map, &position, &key, &value);) {
        const char *text = json_text(value);
        if (!text) return json_fail(header, map, key, CARINA_ERROR_FORMAT, error, "text is expected");
        tensor_file_entry *entry = &out->metadata[out->metadata_count++];
        entry->key = strdup(key);
        entry->value = strdup(text);
        if (!entry->key || !entry->value) return error_memory(error, json_name(header), strlen(text));
    }
    return CARINA_OK;
}

/* Sorted by offset the tensors must tile the data: no gap, no overlap, nothing left at the end. */
static carina_status check_tiling(const char *name, const named_tensor *tensors, const span *spans, uint64_t count,
                                  uint64_t data_size, carina_error *error) {
    uint64_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *tensor = tensors[spans[i].index].name;
        if (spans[i].begin < at)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor '%s' overlaps the one before it at byte %llu",
                             name, tensor, (unsigned long long)spans[i].begin);
        if (spans[i].begin > at)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: %llu unused bytes in front of tensor '%s'", name,
                             (unsigned long long)(spans[i].begin - at), tensor);
        at = spans[i].end;
    }
    if (at != data_size)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: %llu bytes after the last tensor", name,
                         (unsigned long long)(data_size - at));
    return CARINA_OK;
}

static carina_status read_entries(const json_document *header, const uint8_t *data, uint64_t data_size,
                                  tensor_file *out, carina_error *error) {
    const json_value *root = json_root(header);
    if (json_kind_of(root) != JSON_KIND_OBJECT)
        return json_fail(header, root, NULL, CARINA_ERROR_FORMAT, error, "the header must be a JSON object");
    uint64_t limit = json_count(root);
    named_tensor *found = calloc((size_t)limit + 1, sizeof *found);
    span *spans = calloc((size_t)limit + 1, sizeof *spans);
    out->tensors = calloc((size_t)limit + 1, sizeof *out->tensors);
    uint64_t count = 0;
    carina_status status = CARINA_OK;
    if (!found || !spans || !out->tensors) {
        status = error_memory(error, json_name(header), limit * sizeof *found);
        goto done;
    }
    const char *key;
    const json_value *entry;
    for (void *position = NULL; json_next(root, &position, &key, &entry);) {
        if (strcmp(key, "__metadata__") == 0) {
            TRY_GOTO(status, done, read_metadata(header, entry, out, error));
            continue;
        }
        named_tensor *tensor = &found[count];
        tensor->name = strdup(key);
        spans[count].index = count;
        count++;
        if (!tensor->name) {
            status = error_memory(error, json_name(header), strlen(key));
            goto done;
        }
        TRY_GOTO(status, done, read_dtype(header, entry, tensor, error));
        TRY_GOTO(status, done, read_shape(header, entry, tensor, error));
        TRY_GOTO(status, done, read_offsets(header, entry, tensor, data_size, &spans[count - 1], error));
    }
    qsort(spans, (size_t)count, sizeof *spans, compare_spans);
    TRY_GOTO(status, done, check_tiling(json_name(header), found, spans, count, data_size, error));
    for (uint64_t i = 0; i < count; i++) {
        out->tensors[i] = found[spans[i].index];
        found[spans[i].index].name = NULL; /* moved */
        out->tensors[i].data = out->tensors[i].byte_count ? data + spans[i].begin : NULL;
    }
    out->count = count;
done:
    for (uint64_t i = 0; found && i < count; i++) free(found[i].name);
    free(found);
    free(spans);
    return status;
}

carina_status safetensors_parse(tensor_file *out, const char *name, const void *data, uint64_t size,
                                carina_error *error) {
    *out = (tensor_file){0};
    cursor c = cursor_make(data, size);
    uint64_t length = cursor_u64le(&c);
    if (c.failed) return error_set(error, CARINA_ERROR_FORMAT, "%s: too short for a safetensors file", name);
    if (length > SAFETENSORS_MAX_HEADER)
        return error_set(error, CARINA_ERROR_LIMIT,
                         "%s: not a safetensors file, or its header of %llu bytes is larger than the %u accepted", name,
                         (unsigned long long)length, SAFETENSORS_MAX_HEADER);
    const uint8_t *text = cursor_take(&c, length);
    if (!text)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "%s: header of %llu bytes in a file of %llu (not safetensors, or cut "
                         "off)",
                         name, (unsigned long long)length, (unsigned long long)size);
    json_options options = {.max_bytes = SAFETENSORS_MAX_HEADER, .max_depth = 4};
    json_document *header;
    TRY(json_parse(&header, name, text, length, &options, error));
    uint64_t data_size = cursor_remaining(&c);
    carina_status status = read_entries(header, cursor_take(&c, data_size), data_size, out, error);
    json_free(header);
    if (status != CARINA_OK) tensor_file_free(out);
    return status;
}

static void release_map(void *owner) {
    file_map_close(owner);
    free(owner);
}

carina_status safetensors_read(tensor_file *out, const char *path, carina_error *error) {
    *out = (tensor_file){0};
    file_map *map = calloc(1, sizeof *map);
    if (!map) return error_memory(error, path, sizeof *map);
    carina_status status = file_map_open(map, path, error);
    if (status == CARINA_OK) status = safetensors_parse(out, path, map->data, map->size, error);
    if (status != CARINA_OK) {
        release_map(map);
        return status;
    }
    out->owner = map;
    out->release = release_map;
    return CARINA_OK;
}

static int compare_tensors(const void *a, const void *b) {
    const named_tensor *x = *(const named_tensor *const *)a, *y = *(const named_tensor *const *)b;
    uint64_t size_x = tensor_dtype_size(x->dtype), size_y = tensor_dtype_size(y->dtype);
    if (size_x != size_y) return size_x > size_y ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_entries(const void *a, const void *b) {
    return strcmp((*(const tensor_file_entry *const *)a)->key, (*(const tensor_file_entry *const *)b)->key);
}

/* The JSON header, padded with blanks so that the data begins on a multiple of 8. */
static carina_status make_header(const char *path, const named_tensor *const *tensors, uint64_t count,
                                 const tensor_file_entry *const *metadata, uint64_t metadata_count, char **text,
                                 size_t *size, carina_error *error) {
    FILE *stream = open_memstream(text, size);
    if (!stream) return error_memory(error, path, count * 64);
    json_writer w = json_writer_make(stream, JSON_COMPACT);
    json_begin_object(&w);
    if (metadata_count) {
        json_key(&w, "__metadata__");
        json_begin_object(&w);
        for (uint64_t i = 0; i < metadata_count; i++) json_field_text(&w, metadata[i]->key, metadata[i]->value);
        json_end(&w);
    }
    uint64_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        json_key(&w, tensors[i]->name);
        json_begin_object(&w);
        json_field_text(&w, "dtype", type_names[tensors[i]->dtype]);
        json_key(&w, "shape");
        json_begin_array(&w);
        for (int axis = 0; axis < tensors[i]->rank; axis++) json_put_whole(&w, (int64_t)tensors[i]->shape[axis]);
        json_end(&w);
        json_key(&w, "data_offsets");
        json_begin_array(&w);
        json_put_whole(&w, (int64_t)at);
        at += tensors[i]->byte_count;
        json_put_whole(&w, (int64_t)at);
        json_end(&w);
        json_end(&w);
    }
    json_end(&w);
    fflush(stream);
    while (*size % 8 != 0 && !ferror(stream)) {
        fputc(' ', stream);
        fflush(stream);
    }
    bool failed = ferror(stream) != 0;
    failed = fclose(stream) != 0 || failed;
    return failed ? error_memory(error, path, count * 64) : CARINA_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const named_tensor *const *)a)->name, (*(const named_tensor *const *)b)->name);
}

static carina_status check_names(const char *path, const named_tensor **tensors, uint64_t count, carina_error *error) {
    qsort(tensors, (size_t)count, sizeof *tensors, compare_names);
    for (uint64_t i = 0; i < count; i++) {
        if (i && strcmp(tensors[i]->name, tensors[i - 1]->name) == 0)
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: two tensors are called '%s'", path, tensors[i]->name);
        if (!utf8_valid(tensors[i]->name, strlen(tensors[i]->name)))
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: the name of tensor '%s' is not UTF-8", path,
                             tensors[i]->name);
    }
    return CARINA_OK;
}

static carina_status check_input(const char *path, const named_tensor *const *tensors, uint64_t count,
                                 const tensor_file_entry *const *metadata, uint64_t metadata_count,
                                 carina_error *error) {
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; i++) {
        const named_tensor *t = tensors[i];
        uint64_t expected;
        if ((unsigned)t->dtype >= DTYPE_COUNT || t->rank < 0 || t->rank > TENSOR_FILE_MAX_RANK ||
            !tensor_shape_bytes(t->shape, t->rank, tensor_dtype_size(t->dtype), &expected) ||
            expected != t->byte_count || !size_add(total, expected, &total) || total > INT64_MAX)
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: tensor '%s': size, shape and type do not agree", path,
                             t->name);
        if (strcmp(t->name, "__metadata__") == 0)
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: a tensor cannot be called '%s'", path, t->name);
    }
    for (uint64_t i = 1; i < metadata_count; i++) {
        if (strcmp(metadata[i]->key, metadata[i - 1]->key) == 0)
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: metadata key '%s' is given twice", path,
                             metadata[i]->key);
    }
    return CARINA_OK;
}

static carina_status write_all(const char *path, const named_tensor *const *tensors, uint64_t count, const char *header,
                               size_t header_size, carina_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    FILE *stream = file_writer_stream(writer);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header_size >> 8 * i);
    fwrite(length, 1, sizeof length, stream);
    fwrite(header, 1, header_size, stream);
    for (uint64_t i = 0; i < count; i++)
        if (tensors[i]->byte_count) fwrite(tensors[i]->data, 1, (size_t)tensors[i]->byte_count, stream);
    return file_writer_commit(writer, error);
}

carina_status safetensors_write(const char *path, const named_tensor *tensors, uint64_t count,
                                const tensor_file_entry *metadata, uint64_t metadata_count, carina_error *error) {
    const named_tensor **sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    const tensor_file_entry **entries = malloc(((size_t)metadata_count + 1) * sizeof *entries);
    char *header = NULL;
    size_t header_size = 0;
    carina_status status = CARINA_OK;
    if (!sorted || !entries) {
        status = error_memory(error, path, count * sizeof *sorted);
        goto done;
    }
    for (uint64_t i = 0; i < count; i++) sorted[i] = &tensors[i];
    for (uint64_t i = 0; i < metadata_count; i++) entries[i] = &metadata[i];
    TRY_GOTO(status, done, check_names(path, sorted, count, error));
    qsort(sorted, (size_t)count, sizeof *sorted, compare_tensors);
    qsort(entries, (size_t)metadata_count, sizeof *entries, compare_entries);
    TRY_GOTO(status, done, check_input(path, sorted, count, entries, metadata_count, error));
    TRY_GOTO(status, done, make_header(path, sorted, count, entries, metadata_count, &header, &header_size, error));
    status = write_all(path, sorted, count, header, header_size, error);
done:
    free(header);
    free(sorted);
    free(entries);
    return status;
}
