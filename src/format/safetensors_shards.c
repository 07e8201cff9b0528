/* The index of sharded weights, and its files as one list; see safetensors_shards.h. */
#include "format/safetensors_shards.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "format/safetensors.h"

#define MAX_INDEX_BYTES (64u << 20)

/* ---- the index ---- */

void safetensors_index_free(safetensors_index *index) {
    for (int i = 0; i < index->file_count; i++) free(index->files[i]);
    for (uint64_t i = 0; index->tensors && i < index->tensor_count; i++) free(index->tensors[i]);
    free(index->files);
    free(index->tensors);
    free(index->file_of);
    *index = (safetensors_index){0};
}

static bool is_plain_name(const char *file) {
    size_t length = strlen(file), end = strlen(".safetensors");
    return length > end && length < 256 && file[0] != '.' && !strchr(file, '/') && !strchr(file, '\\') &&
           strcmp(file + length - end, ".safetensors") == 0;
}

/* Its place in the list, added when it is new; -1: too many, or no memory. */
static int file_number(safetensors_index *index, const char *file) {
    for (int i = 0; i < index->file_count; i++)
        if (strcmp(index->files[i], file) == 0) return i;
    if (index->file_count == SAFETENSORS_MAX_SHARDS) return -1;
    index->files[index->file_count] = strdup(file);
    return index->files[index->file_count] ? index->file_count++ : -1;
}

typedef struct entry {
    const char *tensor, *file;
} entry;

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const entry *)a)->tensor, ((const entry *)b)->tensor);
}

static carina_status take_entries(safetensors_index *out, const json_document *d, const json_value *map,
                                  const entry *entries, carina_error *error) {
    uint64_t count = json_count(map);
    out->files = calloc(SAFETENSORS_MAX_SHARDS, sizeof *out->files);
    out->tensors = calloc((size_t)count, sizeof *out->tensors);
    out->file_of = calloc((size_t)count, sizeof *out->file_of);
    if (!out->files || !out->tensors || !out->file_of) return error_memory(error, json_name(d), count * 16);
    for (uint64_t i = 0; i < count; i++) {
        if (!is_plain_name(entries[i].file))
            return json_fail(d, map, entries[i].tensor, CARINA_ERROR_FORMAT, error,
                             "\"%.80s\" is no safetensors file of this folder", entries[i].file);
        out->tensors[i] = strdup(entries[i].tensor);
        out->file_of[i] = file_number(out, entries[i].file);
        out->tensor_count = i + 1;
        if (!out->tensors[i] || out->file_of[i] < 0)
            return json_fail(d, map, entries[i].tensor, CARINA_ERROR_FORMAT, error, "more than %d files",
                             SAFETENSORS_MAX_SHARDS);
    }
    return CARINA_OK;
}

static carina_status take_map(safetensors_index *out, const json_document *d, carina_error *error) {
    const json_value *map, *value;
    const char *key;
    void *position = NULL;
    uint64_t count = 0;
    TRY(json_get_object(d, json_root(d), "weight_map", &map, error));
    if (json_count(map) == 0)
        return json_fail(d, json_root(d), "weight_map", CARINA_ERROR_FORMAT, error, "names no tensor");
    entry *entries = calloc((size_t)json_count(map), sizeof *entries);
    if (!entries) return error_memory(error, json_name(d), json_count(map) * sizeof *entries);
    carina_status status = CARINA_OK;
    while (status == CARINA_OK && json_next(map, &position, &key, &value)) {
        entries[count++] = (entry){key, json_text(value)};
        if (!json_text(value))
            status = json_fail(d, map, key, CARINA_ERROR_FORMAT, error, "a file's name is wanted, not %s",
                               json_kind_name(json_kind_of(value)));
    }
    if (status == CARINA_OK) {
        qsort(entries, (size_t)count, sizeof *entries, compare_entries);
        status = take_entries(out, d, map, entries, error);
    }
    free(entries);
    return status;
}

carina_status safetensors_index_parse(safetensors_index *out, const char *name, const void *data, uint64_t size,
                                      carina_error *error) {
    json_document *d;
    *out = (safetensors_index){0};
    TRY(json_parse(&d, name, data, size, NULL, error));
    carina_status status = json_kind_of(json_root(d)) == JSON_KIND_OBJECT
                               ? take_map(out, d, error)
                               : json_fail(d, json_root(d), NULL, CARINA_ERROR_FORMAT, error, "an object is wanted");
    json_free(d);
    if (status != CARINA_OK) safetensors_index_free(out);
    return status;
}

/* ---- the files ---- */

typedef struct shard_set {
    tensor_file files[SAFETENSORS_MAX_SHARDS]; /* without the names, which the joint list has */
    int count;
} shard_set;

static void release(void *owner) {
    shard_set *set = owner;
    for (int i = 0; i < set->count; i++) tensor_file_free(&set->files[i]);
    free(set);
}

static int compare_names(const void *key, const void *item) { return strcmp(key, *(char *const *)item); }

/* Moves the tensors of one file to the joint list; each must be the index's, and in this file. */
static carina_status take_tensors(tensor_file *out, tensor_file *file, const safetensors_index *index, int number,
                                  const char *path, carina_error *error) {
    for (uint64_t i = 0; i < file->count; i++) {
        named_tensor *t = &file->tensors[i];
        char **found =
            bsearch(t->name, index->tensors, (size_t)index->tensor_count, sizeof *index->tensors, compare_names);
        if (!found || index->file_of[found - index->tensors] != number)
            return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s is not this file's by the index", path,
                             t->name);
        out->tensors[out->count++] = *t; /* unique within the file, and within one file only */
        t->name = NULL;
    }
    return CARINA_OK;
}

static carina_status read_shard(tensor_file *out, shard_set *set, const safetensors_index *index, int number,
                                const char *folder, carina_error *error) {
    char *path = path_join(folder, index->files[number]);
    if (!path) return error_memory(error, folder, 4096);
    tensor_file *file = &set->files[number];
    carina_status status = safetensors_read(file, path, error);
    if (status == CARINA_OK) {
        set->count = number + 1;
        status = take_tensors(out, file, index, number, path, error);
    }
    free(path);
    return status;
}

static carina_status check_complete(const tensor_file *file, const safetensors_index *index, const char *path,
                                    carina_error *error) {
    if (file->count == index->tensor_count) return CARINA_OK;
    for (uint64_t i = 0; i < index->tensor_count; i++)
        if (!tensor_file_find(file, index->tensors[i]))
            return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s is not in %s", path, index->tensors[i],
                             index->files[index->file_of[i]]);
    return error_set(error, CARINA_ERROR_MISMATCH, "%s: its files hold other tensors", path);
}

static carina_status read_all(tensor_file *out, const safetensors_index *index, const char *folder, const char *path,
                              carina_error *error) {
    shard_set *set = calloc(1, sizeof *set);
    if (!set) return error_memory(error, path, sizeof *set);
    *out = (tensor_file){.owner = set, .release = release};
    out->tensors = calloc((size_t)index->tensor_count, sizeof *out->tensors);
    carina_status status =
        out->tensors ? CARINA_OK : error_memory(error, path, index->tensor_count * sizeof *out->tensors);
    for (int i = 0; i < index->file_count && status == CARINA_OK; i++)
        status = read_shard(out, set, index, i, folder, error);
    if (status == CARINA_OK) status = check_complete(out, index, path, error);
    if (status != CARINA_OK) tensor_file_free(out);
    return status;
}

static carina_status read_index(safetensors_index *out, const char *path, carina_error *error) {
    uint8_t *data;
    uint64_t size;
    TRY(file_read(path, MAX_INDEX_BYTES, &data, &size, error));
    carina_status status = safetensors_index_parse(out, path, data, size, error);
    free(data);
    return status;
}

carina_status safetensors_folder_read(tensor_file *out, const char *folder, carina_error *error) {
    safetensors_index index;
    *out = (tensor_file){0};
    char *whole = path_join(folder, "model.safetensors"), *path = path_join(folder, "model.safetensors.index.json");
    carina_status status = whole && path ? CARINA_OK : error_memory(error, folder, 4096);
    if (status == CARINA_OK && file_exists(whole)) {
        status = safetensors_read(out, whole, error);
    } else if (status == CARINA_OK && !file_exists(path)) {
        status =
            error_set(error, CARINA_ERROR_IO, "%s: neither model.safetensors nor model.safetensors.index.json", folder);
    } else if (status == CARINA_OK && (status = read_index(&index, path, error)) == CARINA_OK) {
        status = read_all(out, &index, folder, path, error);
        safetensors_index_free(&index);
    }
    free(whole);
    free(path);
    return status;
}
