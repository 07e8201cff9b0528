/* The rule for output files; see output.h. */
#include "cli/output.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "format/safetensors.h"
#include "image/draw.h"
#include "index/index_file.h"
#include "model/model_file.h"
#include "pipeline/model_path.h"

/* ---- kinds of files ---- */

#define START_BYTES 4096

/* Text that begins as JSON does: weights and databases have NUL bytes in their first kilobytes. */
static bool is_json(const uint8_t *start, uint64_t size) {
    return (start[0] == '{' || start[0] == '[') && !memchr(start, 0, (size_t)size);
}

static bool is_marked(const uint8_t *start, uint64_t size, const void *mark, size_t length) {
    return memmem(start, (size_t)size, mark, length) != NULL;
}

static bool is_array(const uint8_t *start, uint64_t size) { return size >= 6 && memcmp(start, "\x93NUMPY", 6) == 0; }

/* SQLite's header: its name, and at 68 the application's number, big-endian. */
static bool is_database(const uint8_t *start, uint64_t size) {
    static const char magic[] = "SQLite format 3";
    if (size < 72 || memcmp(start, magic, sizeof magic) != 0) return false;
    uint32_t application = (uint32_t)start[68] << 24 | (uint32_t)start[69] << 16 | (uint32_t)start[70] << 8 | start[71];
    return application == INDEX_FILE_APPLICATION;
}

/* format: how the metadata's "format" begins; NULL: there is none. */
static bool is_safetensors(const char *path, const char *format) {
    tensor_file file = {0};
    if (safetensors_read(&file, path, NULL) != CARINA_OK) return false;
    const char *found = tensor_file_metadata(&file, "format");
    bool same = format ? found && strncmp(found, format, strlen(format)) == 0 : !found;
    tensor_file_free(&file);
    return same;
}

/* A tokenizer, or a conversation, and no other JSON. */
static bool is_json_with(output_kind kind, const char *path) {
    json_document *d;
    if (json_read(&d, path, NULL, NULL) != CARINA_OK) return false;
    const json_value *root = json_root(d);
    bool found = kind == OUTPUT_TOKENIZER ? json_has(json_find(root, "model"), "vocab")
                                          : json_kind_of(json_find(root, "messages")) == JSON_KIND_ARRAY;
    json_free(d);
    return found;
}

static bool is_of_kind(output_kind kind, const char *path, const uint8_t *start, uint64_t size) {
    if (size == 0) return true;
    switch (kind) {
        case OUTPUT_JSON: return is_json(start, size);
        case OUTPUT_ARRAY: return is_array(start, size);
        case OUTPUT_DATABASE: return is_database(start, size);
        case OUTPUT_MODEL: return is_safetensors(path, MODEL_FILE_FORMATS);
        case OUTPUT_GGUF: return size >= 4 && memcmp(start, "GGUF", 4) == 0;
        case OUTPUT_SESSION: return is_safetensors(path, "carina-gemma3-session-");
        case OUTPUT_PICTURE: return is_marked(start, size, DRAW_MARK, sizeof DRAW_MARK - 1);
        case OUTPUT_PAGE: return is_marked(start, size, OUTPUT_PAGE_MARK, sizeof OUTPUT_PAGE_MARK - 1);
        case OUTPUT_TENSORS: return is_safetensors(path, NULL);
        case OUTPUT_TOKENIZER:
        case OUTPUT_CONVERSATION: return is_json_with(kind, path);
    }
    return false;
}

static carina_status check_kind(const output_file *file, carina_error *error) {
    static const char *const names[] = {
        "JSON file",     ".npy file",         "sentence database", "model file of Carina",
        "GGUF file",     "file of gradients", "tokenizer.json",    "saved conversation",
        "saved session", "picture of Carina", "page of Carina"};
    uint8_t *start;
    uint64_t size;
    if (!file_exists(file->path)) return CARINA_OK;
    TRY(file_read_start(file->path, START_BYTES, &start, &size, error));
    bool same = is_of_kind(file->kind, file->path, start, size);
    free(start);
    if (same) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "%s: exists and is no %s; give another %s", file->path,
                     names[file->kind], file->option);
}

/* ---- places of files ---- */

/* The path without links; of a file that is not there yet its folder's, and the name. NULL: there is no such folder, or
 * no memory. Malloc'ed. */
static char *resolve(const char *path) {
    char *whole = realpath(path, NULL);
    if (whole) return whole;
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) slash[slash == folder ? 1 : 0] = 0;
    char *resolved = folder ? realpath(slash ? folder : ".", NULL) : NULL;
    if (resolved) whole = path_join(resolved, path_name(path));
    free(resolved);
    free(folder);
    return whole;
}

/* One file with one thing that is read. */
static carina_status check_pair(const output_file *file, const char *place, const char *read, carina_error *error) {
    char *other = read ? resolve(read) : NULL;
    if (!other) return CARINA_OK; /* whoever reads it will say so */
    size_t length = strlen(other);
    bool same = strcmp(place, other) == 0;
    bool inside = !same && strncmp(place, other, length) == 0 && place[length] == '/' && file_exists(file->path);
    free(other);
    if (same)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: is read by this command; give another %s", file->path,
                         file->option);
    if (inside)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: exists in %s, which this command reads; give another %s",
                         file->path, read, file->option);
    return CARINA_OK;
}

static carina_status check_reading(const output_file *file, const char *place, const output_reading *reading,
                                   const char *model, carina_error *error) {
    for (int i = 0; i < reading->path_count; i++) TRY(check_pair(file, place, reading->paths[i], error));
    for (int i = 0; i < reading->word_count; i++) {
        const char *equal = strchr(reading->words[i], '=');
        TRY(check_pair(file, place, equal ? equal + 1 : NULL, error));
    }
    return file->onto_model ? CARINA_OK : check_pair(file, place, model, error);
}

/* places[i]: of file i, NULL where it is not asked for. */
static carina_status check_all(const output_file *files, int count, char **places, const output_reading *reading,
                               const char *model, carina_error *error) {
    for (int i = 0; i < count; i++) {
        if (!files[i].path) continue;
        TRY(file_check_writable(files[i].path, error));
        places[i] = resolve(files[i].path);
        if (!places[i]) return error_memory(error, files[i].path, strlen(files[i].path));
        for (int k = 0; k < i; k++)
            if (places[k] && strcmp(places[k], places[i]) == 0)
                return error_set(error, CARINA_ERROR_ARGUMENT, "%s: %s and %s are one file; give two", files[i].path,
                                 files[k].option, files[i].option);
        TRY(check_kind(&files[i], error));
        TRY(check_reading(&files[i], places[i], reading, model, error));
    }
    return CARINA_OK;
}

carina_status output_check(const output_file *files, int count, const output_reading *reading, carina_error *error) {
    char **places = calloc((size_t)count + 1, sizeof *places), *model = NULL;
    if (!places) return error_memory(error, "output files", (uint64_t)count * sizeof *places);
    if (reading->with_model && model_path_find(&model, reading->model, NULL) != CARINA_OK) model = NULL;
    carina_status status = check_all(files, count, places, reading, model, error);
    for (int i = 0; i < count; i++) free(places[i]);
    free(places);
    free(model);
    return status;
}
