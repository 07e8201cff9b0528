/* .pth: from the pickle's tree to named tensors; see pth.h. */
#include "format/pth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/number.h"
#include "base/utf8.h"
#include "format/pth_storage.h"

#define MAX_NESTING  32
#define MAX_VISITS   4000000u /* values may be shared: a short pickle can describe an endless walk */
#define MAX_NAME     1024
#define MAX_METADATA 4096

typedef struct walk {
    pth_file *file;
    tensor_file *out;
    uint64_t tensor_capacity, metadata_capacity, copy_capacity, copied;
    uint32_t visits;
    char path[MAX_NAME];
    size_t path_length;
    carina_error *error;
} walk;

static carina_status malformed(const walk *w, const pickle_value *at, const char *what) {
    return error_set(w->error, CARINA_ERROR_FORMAT, "%s: tensor '%.200s': %s (pickle offset %llu)", w->file->name,
                     w->path, what, (unsigned long long)at->offset);
}

/* Room for one more element in a growing array. */
static carina_status reserve(const walk *w, void **array, uint64_t count, uint64_t *capacity, size_t element_size) {
    if (count < *capacity) return CARINA_OK;
    uint64_t larger = *capacity ? *capacity * 2 : 16;
    void *grown = realloc(*array, (size_t)larger * element_size);
    if (!grown) return error_memory(w->error, w->file->name, larger * element_size);
    *array = grown;
    *capacity = larger;
    return CARINA_OK;
}

/* A tuple of whole numbers >= 0, or torch.Size of one. */
static bool read_axes(const pickle_value *value, uint64_t *out, int *rank) {
    if (pickle_is_call(value, "torch.Size") && value->arguments->count == 1) value = value->arguments->items[0];
    if (value->kind != PICKLE_TUPLE || value->count > TENSOR_FILE_MAX_RANK) return false;
    for (uint32_t i = 0; i < value->count; i++) {
        if (value->items[i]->kind != PICKLE_WHOLE || value->items[i]->whole < 0) return false;
        out[i] = (uint64_t)value->items[i]->whole;
    }
    *rank = (int)value->count;
    return true;
}

typedef struct view { /* how a tensor looks at its storage, in elements */
    uint64_t offset;
    uint64_t strides[TENSOR_FILE_MAX_RANK];
} view;

/* Does the last element lie inside the storage? */
static bool view_fits(const named_tensor *tensor, const view *v, uint64_t storage_count) {
    if (tensor->byte_count == 0) return v->offset <= storage_count;
    uint64_t last = v->offset;
    for (int i = 0; i < tensor->rank; i++) {
        uint64_t reach;
        if (!size_multiply(tensor->shape[i] - 1, v->strides[i], &reach) || !size_add(last, reach, &last)) return false;
    }
    return last < storage_count;
}

static bool is_contiguous(const named_tensor *tensor, const view *v) {
    uint64_t expected = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && v->strides[i] != expected) return false;
        expected *= tensor->shape[i];
    }
    return true;
}

/* Gathers a strided view into fresh memory in C order. */
static carina_status copy_view(walk *w, named_tensor *tensor, const view *v, const pth_storage *storage) {
    if (tensor->byte_count > w->file->copy_limit - w->copied)
        return error_set(w->error, CARINA_ERROR_LIMIT,
                         "%s: tensor '%.200s' is a view that unfolds to %llu bytes, far more "
                         "than the file holds",
                         w->file->name, w->path, (unsigned long long)tensor->byte_count);
    TRY(reserve(w, (void **)&w->file->copies, w->file->copy_count, &w->copy_capacity, sizeof *w->file->copies));
    uint8_t *bytes = malloc((size_t)tensor->byte_count);
    if (!bytes) return error_memory(w->error, w->path, tensor->byte_count);
    w->file->copies[w->file->copy_count++] = bytes;
    w->copied += tensor->byte_count;
    uint64_t size = tensor_dtype_size(tensor->dtype), index[TENSOR_FILE_MAX_RANK] = {0}, from = v->offset;
    for (uint64_t at = 0; at < tensor->byte_count; at += size) {
        memcpy(bytes + at, storage->bytes + from * size, (size_t)size);
        for (int axis = tensor->rank - 1; axis >= 0; axis--) {
            from += v->strides[axis];
            if (++index[axis] < tensor->shape[axis]) break;
            from -= v->strides[axis] * tensor->shape[axis];
            index[axis] = 0;
        }
    }
    tensor->data = bytes;
    return CARINA_OK;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, ...) */
static carina_status add_tensor(walk *w, const pickle_value *call) {
    const pickle_value *const *argument = call->arguments->items;
    if (call->arguments->count < 4 || argument[0]->kind != PICKLE_PERSISTENT || argument[1]->kind != PICKLE_WHOLE ||
        argument[1]->whole < 0)
        return malformed(w, call, "its description is not (storage, offset, size, stride)");
    const pth_storage *storage = pth_file_storage(w->file, argument[0]);
    named_tensor tensor = {.dtype = storage->dtype};
    view v = {.offset = (uint64_t)argument[1]->whole};
    int stride_count;
    if (!read_axes(argument[2], tensor.shape, &tensor.rank) || !read_axes(argument[3], v.strides, &stride_count) ||
        stride_count != tensor.rank)
        return malformed(w, call, "its size and stride are not up to 8 whole numbers each");
    if (!tensor_shape_bytes(tensor.shape, tensor.rank, tensor_dtype_size(tensor.dtype), &tensor.byte_count))
        return malformed(w, call, "its shape is larger than any memory");
    if (!view_fits(&tensor, &v, storage->count)) return malformed(w, call, "it reaches past the end of its storage");
    if (tensor.byte_count > 0) {
        if (is_contiguous(&tensor, &v))
            tensor.data = storage->bytes + v.offset * tensor_dtype_size(tensor.dtype);
        else
            TRY(copy_view(w, &tensor, &v, storage));
    }
    TRY(reserve(w, (void **)&w->out->tensors, w->out->count, &w->tensor_capacity, sizeof *w->out->tensors));
    tensor.name = strdup(w->path_length ? w->path : "tensor");
    if (!tensor.name) return error_memory(w->error, w->path, w->path_length);
    w->out->tensors[w->out->count++] = tensor;
    return CARINA_OK;
}

static carina_status add_metadata(walk *w, const pickle_value *value) {
    if (w->path_length == 0 || w->out->metadata_count == MAX_METADATA || value->text_size > 4096) return CARINA_OK;
    char number[NUMBER_TEXT];
    uint64_t ignored;
    if (value->kind == PICKLE_WHOLE) snprintf(number, sizeof number, "%lld", (long long)value->whole);
    if (value->kind == PICKLE_BOOL) snprintf(number, sizeof number, "%s", value->whole ? "true" : "false");
    if (value->kind == PICKLE_REAL) number_format(number, value->real);
    TRY(reserve(w, (void **)&w->out->metadata, w->out->metadata_count, &w->metadata_capacity,
                sizeof *w->out->metadata));
    tensor_file_entry entry = {.key = strdup(w->path)};
    entry.value = value->kind == PICKLE_TEXT ? utf8_repair(value->text, value->text_size, &ignored) : strdup(number);
    w->out->metadata[w->out->metadata_count++] = entry;
    return entry.key && entry.value ? CARINA_OK : error_memory(w->error, w->path, w->path_length);
}

static carina_status visit(walk *w, const pickle_value *value, int depth);

/* Appends ".key" to the path, visits, takes it off again. */
static carina_status visit_child(walk *w, const char *key, uint64_t key_size, const pickle_value *value, int depth) {
    size_t before = w->path_length;
    if (before + key_size + 2 > MAX_NAME || memchr(key, 0, (size_t)key_size) || !utf8_valid(key, key_size))
        return error_set(w->error, CARINA_ERROR_FORMAT, "%s: a name below '%.200s' is too long or not UTF-8",
                         w->file->name, w->path);
    if (before) w->path[w->path_length++] = '.';
    memcpy(w->path + w->path_length, key, (size_t)key_size);
    w->path_length += key_size;
    w->path[w->path_length] = 0;
    carina_status status = visit(w, value, depth + 1);
    w->path_length = before;
    w->path[before] = 0;
    return status;
}

static carina_status visit_list(walk *w, const pickle_value *list, int depth) {
    for (uint32_t i = 0; i < list->count; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "%u", i);
        TRY(visit_child(w, key, (uint64_t)length, list->items[i], depth));
    }
    return CARINA_OK;
}

/* Keys that are neither text nor a number (a tuple, None) lead nowhere that has a name. */
static carina_status visit_pair(walk *w, const pickle_value *key, const pickle_value *value, int depth) {
    if (key->kind == PICKLE_TEXT) return visit_child(w, key->text, key->text_size, value, depth);
    if (key->kind != PICKLE_WHOLE) return CARINA_OK;
    char number[32];
    int length = snprintf(number, sizeof number, "%lld", (long long)key->whole);
    return visit_child(w, number, (uint64_t)length, value, depth);
}

static carina_status visit_dict(walk *w, const pickle_value *dict, int depth) {
    for (uint32_t i = 0; i + 1 < dict->count; i += 2) TRY(visit_pair(w, dict->items[i], dict->items[i + 1], depth));
    return CARINA_OK;
}

/* A dict subclass, or an object whose state is a dict of attributes. An OrderedDict of Python 2 has a list of pairs. */
static carina_status visit_object(walk *w, const pickle_value *object, int depth) {
    TRY(visit_dict(w, object, depth));
    if (pickle_text_is(object->callable, "collections.OrderedDict") && object->arguments->count == 1) {
        const pickle_value *pairs = object->arguments->items[0];
        for (uint32_t i = 0; pairs->kind == PICKLE_LIST && i < pairs->count; i++) {
            const pickle_value *pair = pairs->items[i];
            if ((pair->kind == PICKLE_LIST || pair->kind == PICKLE_TUPLE) && pair->count == 2)
                TRY(visit_pair(w, pair->items[0], pair->items[1], depth));
        }
    }
    /* A state_dict's own attribute: version numbers of modules, nothing that anyone reads. */
    if (object->state && object->state->kind == PICKLE_DICT &&
        !pickle_text_is(object->callable, "collections.OrderedDict"))
        return visit_dict(w, object->state, depth);
    return CARINA_OK;
}

static carina_status visit(walk *w, const pickle_value *value, int depth) {
    if (depth > MAX_NESTING || ++w->visits > MAX_VISITS)
        return error_set(w->error, CARINA_ERROR_LIMIT, "%s: nested too deeply or too much at '%.200s'", w->file->name,
                         w->path);
    switch (value->kind) {
        case PICKLE_DICT: return visit_dict(w, value, depth);
        case PICKLE_LIST:
        case PICKLE_TUPLE: return visit_list(w, value, depth);
        case PICKLE_TEXT:
        case PICKLE_WHOLE:
        case PICKLE_BOOL:
        case PICKLE_REAL: return add_metadata(w, value);
        case PICKLE_OBJECT:
            if (pickle_is_call(value, "torch._utils._rebuild_tensor_v2") ||
                pickle_is_call(value, "torch._utils._rebuild_tensor"))
                return add_tensor(w, value);
            if (pickle_is_call(value, "torch._utils._rebuild_parameter")) {
                if (value->arguments->count < 1) return malformed(w, value, "a parameter without data");
                return visit(w, value->arguments->items[0], depth + 1);
            }
            return visit_object(w, value, depth);
        default: return CARINA_OK;
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static carina_status check_names(const walk *w) {
    const char **names = malloc(((size_t)w->out->count + 1) * sizeof *names);
    if (!names) return error_memory(w->error, w->file->name, w->out->count * sizeof *names);
    for (uint64_t i = 0; i < w->out->count; i++) names[i] = w->out->tensors[i].name;
    qsort(names, (size_t)w->out->count, sizeof *names, compare_names);
    carina_status status = CARINA_OK;
    for (uint64_t i = 1; i < w->out->count && status == CARINA_OK; i++)
        if (strcmp(names[i], names[i - 1]) == 0)
            status = error_set(w->error, CARINA_ERROR_FORMAT, "%s: two tensors are called '%.200s'", w->file->name,
                               names[i]);
    free(names);
    return status;
}

typedef struct owner {
    pth_file file;
    file_map map;
} owner;

static void release(void *memory) {
    owner *o = memory;
    pth_file_close(&o->file);
    file_map_close(&o->map);
    free(o);
}

static carina_status collect(owner *o, tensor_file *out, const char *name, const void *data, uint64_t size,
                             carina_error *error) {
    TRY(pth_file_open(&o->file, name, data, size, error));
    walk *w = calloc(1, sizeof *w);
    if (!w) return error_memory(error, name, sizeof *w);
    w->file = &o->file;
    w->out = out;
    w->error = error;
    carina_status status = visit(w, o->file.tree.root, 0);
    if (status == CARINA_OK) status = check_names(w);
    free(w);
    if (status == CARINA_OK && out->count == 0)
        status = error_set(error, CARINA_ERROR_FORMAT, "%s: no tensors in it", name);
    /* The tree is not needed any more; storages and copies are what the tensors point into. */
    pickle_free(&o->file.tree);
    o->file.name = NULL;
    return status;
}

carina_status pth_parse(tensor_file *out, const char *name, const void *data, uint64_t size, carina_error *error) {
    *out = (tensor_file){0};
    owner *o = calloc(1, sizeof *o);
    if (!o) return error_memory(error, name, sizeof *o);
    out->owner = o;
    out->release = release;
    carina_status status = collect(o, out, name, data, size, error);
    if (status != CARINA_OK) tensor_file_free(out);
    return status;
}

carina_status pth_read(tensor_file *out, const char *path, carina_error *error) {
    *out = (tensor_file){0};
    owner *o = calloc(1, sizeof *o);
    if (!o) return error_memory(error, path, sizeof *o);
    out->owner = o;
    out->release = release;
    carina_status status = file_map_open(&o->map, path, error);
    if (status == CARINA_OK) status = collect(o, out, path, o->map.data, o->map.size, error);
    if (status != CARINA_OK) tensor_file_free(out);
    return status;
}
