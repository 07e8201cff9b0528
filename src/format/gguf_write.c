/* Writing GGUF; see gguf_write.h. Keys and infos are collected, because their number stands in front of them. */
#include "format/gguf_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"

#define ALIGNMENT 32

struct gguf_writer {
    char *path;
    file_writer *file;
    gguf_keys keys; /* the infos behind them */
    uint64_t tensors;
    uint64_t *sizes;           /* [tensors] bytes of data */
    uint64_t data;             /* bytes of all so far, with padding */
    uint64_t current, written; /* the tensor whose bytes come, and how many have */
    bool begun;
};

carina_status gguf_writer_open(gguf_writer **out, const char *path, carina_error *error) {
    *out = NULL;
    gguf_writer *w = calloc(1, sizeof *w);
    if (!w) return error_memory(error, path, sizeof *w);
    w->path = strdup(path);
    w->keys.stream = open_memstream(&w->keys.bytes, &w->keys.byte_count);
    carina_status status =
        w->path && w->keys.stream ? file_writer_open(&w->file, path, error) : error_memory(error, path, sizeof *w);
    if (status == CARINA_OK)
        *out = w;
    else
        gguf_writer_abort(w);
    return status;
}

static void release(gguf_writer *w) {
    gguf_keys_free(&w->keys);
    free(w->sizes);
    free(w->path);
    free(w);
}

void gguf_writer_abort(gguf_writer *w) {
    if (!w) return;
    file_writer_abort(w->file);
    release(w);
}

/* ---- keys ---- */

static void put_number(FILE *to, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) fputc((int)(value >> 8 * i & 255), to);
}

static void put_string(FILE *to, const char *text, uint64_t size) {
    put_number(to, size, 8);
    fwrite(text, 1, (size_t)size, to);
}

static void put_real(FILE *to, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(to, bits, 4);
}

/* NULL: no memory, which gguf_keys_finish says. */
static FILE *put_key(gguf_keys *k, const char *key, gguf_kind kind) {
    if (!k->stream) k->stream = open_memstream(&k->bytes, &k->byte_count);
    if (!k->stream) return NULL;
    put_string(k->stream, key, strlen(key));
    put_number(k->stream, kind, 4);
    k->count++;
    return k->stream;
}

void gguf_keys_u32(gguf_keys *k, const char *key, uint32_t value) {
    FILE *to = put_key(k, key, GGUF_KIND_U32);
    if (to) put_number(to, value, 4);
}

void gguf_keys_f32(gguf_keys *k, const char *key, float value) {
    FILE *to = put_key(k, key, GGUF_KIND_F32);
    if (to) put_real(to, value);
}

void gguf_keys_bool(gguf_keys *k, const char *key, bool value) {
    FILE *to = put_key(k, key, GGUF_KIND_BOOL);
    if (to) put_number(to, value, 1);
}

void gguf_keys_text(gguf_keys *k, const char *key, const char *text) {
    FILE *to = put_key(k, key, GGUF_KIND_TEXT);
    if (to) put_string(to, text, strlen(text));
}

void gguf_keys_array(gguf_keys *k, const char *key, gguf_kind kind, uint64_t count) {
    FILE *to = put_key(k, key, GGUF_KIND_ARRAY);
    if (!to) return;
    put_number(to, kind, 4);
    put_number(to, count, 8);
}

void gguf_keys_text_item(gguf_keys *k, const char *text, uint64_t size) {
    if (k->stream) put_string(k->stream, text, size);
}

void gguf_keys_u32_item(gguf_keys *k, uint32_t value) {
    if (k->stream) put_number(k->stream, value, 4);
}

void gguf_keys_f32_item(gguf_keys *k, float value) {
    if (k->stream) put_real(k->stream, value);
}

carina_status gguf_keys_finish(gguf_keys *k, carina_error *error) {
    bool complete = k->stream && !ferror(k->stream);
    if (k->stream && fclose(k->stream) != 0) complete = false;
    k->stream = NULL;
    return complete ? CARINA_OK : error_memory(error, "keys of a GGUF file", k->byte_count);
}

void gguf_keys_free(gguf_keys *k) {
    if (k->stream) fclose(k->stream);
    free(k->bytes);
    *k = (gguf_keys){0};
}

/* ---- the head ---- */

void gguf_writer_put_u32(gguf_writer *w, const char *key, uint32_t value) { gguf_keys_u32(&w->keys, key, value); }
void gguf_writer_put_f32(gguf_writer *w, const char *key, float value) { gguf_keys_f32(&w->keys, key, value); }
void gguf_writer_put_text(gguf_writer *w, const char *key, const char *text) { gguf_keys_text(&w->keys, key, text); }

void gguf_writer_put_keys(gguf_writer *w, const gguf_keys *keys) {
    fwrite(keys->bytes, 1, keys->byte_count, w->keys.stream);
    w->keys.count += keys->count;
}

carina_status gguf_writer_add_tensor(gguf_writer *w, const char *name, uint32_t type, int rank, const uint64_t *shape,
                                     carina_error *error) {
    uint64_t size = 0, row = 0, rows = 1;
    bool fits = rank >= 1 && rank <= GGUF_MAX_RANK && strlen(name) >= 1 && strlen(name) <= GGUF_MAX_NAME && !w->begun &&
                w->tensors < GGUF_MAX_TENSORS && gguf_row_bytes(type, shape[rank - 1], &row);
    for (int i = 0; fits && i < rank - 1; i++) fits = size_multiply(rows, shape[i], &rows);
    fits = fits && size_multiply(rows, row, &size) && size < INT64_MAX / 2 - w->data;
    if (!fits)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: tensor '%s' cannot be written as %s", w->path, name,
                         gguf_type_name(type) ? gguf_type_name(type) : "an unknown type");
    uint64_t *sizes = realloc(w->sizes, (size_t)(w->tensors + 1) * sizeof *sizes);
    if (!sizes) return error_memory(error, w->path, (w->tensors + 1) * sizeof *sizes);
    w->sizes = sizes;
    w->sizes[w->tensors++] = size;
    put_string(w->keys.stream, name, strlen(name));
    put_number(w->keys.stream, (uint64_t)rank, 4);
    for (int i = rank - 1; i >= 0; i--) put_number(w->keys.stream, shape[i], 8);
    put_number(w->keys.stream, type, 4);
    put_number(w->keys.stream, w->data, 8);
    w->data += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return CARINA_OK;
}

/* ---- the data ---- */

static void pad(FILE *to, uint64_t size) {
    for (; size % ALIGNMENT; size++) fputc(0, to);
}

static carina_status begin(gguf_writer *w, carina_error *error) {
    FILE *to = file_writer_stream(w->file);
    w->begun = true;
    TRY(gguf_keys_finish(&w->keys, error));
    fputs("GGUF", to);
    put_number(to, 3, 4);
    put_number(to, w->tensors, 8);
    put_number(to, w->keys.count, 8);
    fwrite(w->keys.bytes, 1, w->keys.byte_count, to);
    pad(to, 24 + w->keys.byte_count);
    return CARINA_OK;
}

/* Past tensors that are full, and those without bytes. */
static void go_on(gguf_writer *w) {
    while (w->current < w->tensors && w->written == w->sizes[w->current]) {
        pad(file_writer_stream(w->file), w->written);
        w->current++;
        w->written = 0;
    }
}

carina_status gguf_writer_write(gguf_writer *w, const void *bytes, uint64_t size, carina_error *error) {
    FILE *to = file_writer_stream(w->file);
    if (!w->begun) TRY(begin(w, error));
    go_on(w);
    if (w->current >= w->tensors || size > w->sizes[w->current] - w->written)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: more bytes than tensor %" PRIu64 " has", w->path,
                         w->current);
    fwrite(bytes, 1, (size_t)size, to);
    w->written += size;
    go_on(w);
    return ferror(to) ? error_set(error, CARINA_ERROR_IO, "%s: cannot be written (disk full?)", w->path) : CARINA_OK;
}

carina_status gguf_writer_commit(gguf_writer *w, carina_error *error) {
    carina_status status = w->begun ? CARINA_OK : begin(w, error);
    if (status == CARINA_OK) go_on(w);
    if (status == CARINA_OK && w->current < w->tensors)
        status =
            error_set(error, CARINA_ERROR_ARGUMENT, "%s: bytes of tensor %" PRIu64 " are missing", w->path, w->current);
    if (status == CARINA_OK)
        status = file_writer_commit(w->file, error);
    else
        file_writer_abort(w->file);
    release(w);
    return status;
}
