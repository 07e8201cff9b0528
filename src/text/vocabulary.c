/* Reading vocab.txt into one block of text with a hash table over it; see vocabulary.h. */
#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/utf8.h"

const char *vocabulary_special_text(vocabulary_special special) {
    static const char *const names[VOCABULARY_SPECIAL_COUNT] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    return names[special];
}

/* FNV-1a, its upper bits mixed in because slots are chosen by the lower ones. */
static uint32_t hash_of(const char *text, uint64_t size) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    return (uint32_t)(hash ^ hash >> 32);
}

/* The slot that holds the text, or the empty one where it would go. */
static uint32_t slot_of(const vocabulary *v, const char *text, uint64_t size) {
    uint32_t slot = hash_of(text, size) & v->slot_mask;
    for (; v->slots[slot]; slot = (slot + 1) & v->slot_mask) {
        const char *token = v->text + v->begin[v->slots[slot] - 1];
        if (strncmp(token, text, (size_t)size) == 0 && token[size] == 0) break;
    }
    return slot;
}

int vocabulary_find(const vocabulary *v, const char *text, uint64_t size) {
    if (size == 0 || size > (uint64_t)v->longest || memchr(text, 0, (size_t)size)) return -1;
    return (int)v->slots[slot_of(v, text, size)] - 1;
}

const char *vocabulary_token(const vocabulary *v, int id) {
    return id >= 0 && id < v->count ? v->text + v->begin[id] : NULL;
}

void vocabulary_free(vocabulary *v) {
    if (!v) return;
    free(v->text);
    free(v->begin);
    free(v->slots);
    *v = (vocabulary){0};
}

static carina_status allocate(vocabulary *v, const char *name, const char *data, uint64_t size, carina_error *error) {
    uint64_t lines = 1;
    for (uint64_t i = 0; i < size; i++) lines += data[i] == '\n';
    if (lines > VOCABULARY_MAX_TOKENS + 1)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: %llu lines, at most %d tokens", name,
                         (unsigned long long)lines, VOCABULARY_MAX_TOKENS);
    uint32_t slots = 16;
    while (slots < 2 * lines) slots *= 2;
    v->slot_mask = slots - 1;
    v->text = malloc((size_t)size + 1);
    v->begin = malloc((size_t)lines * sizeof *v->begin);
    v->slots = calloc(slots, sizeof *v->slots);
    return v->text && v->begin && v->slots ? CARINA_OK : error_memory(error, name, size);
}

/* One line, already in v->text at v->begin[v->count]. */
static carina_status add_line(vocabulary *v, const char *name, uint64_t size, carina_error *error) {
    const char *token = v->text + v->begin[v->count];
    int line = v->count + 1;
    if (size > VOCABULARY_MAX_TOKEN)
        return error_set(error, CARINA_ERROR_LIMIT, "%s:%d: a token of %llu bytes, at most %d", name, line,
                         (unsigned long long)size, VOCABULARY_MAX_TOKEN);
    if (memchr(token, 0, (size_t)size) || !utf8_valid(token, size))
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: not UTF-8 text: not a vocabulary", name, line);
    v->count++;
    if (size == 0) return CARINA_OK; /* keeps its id; no text is ever it */
    if ((int)size > v->longest) v->longest = (int)size;
    uint32_t slot = slot_of(v, token, size);
    if (v->slots[slot])
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: \"%.80s\" stands on line %u already", name, line, token,
                         v->slots[slot]);
    v->slots[slot] = (uint32_t)v->count;
    return CARINA_OK;
}

static carina_status fill(vocabulary *v, const char *name, const char *data, uint64_t size, carina_error *error) {
    TRY(allocate(v, name, data, size, error));
    uint32_t used = 0;
    for (uint64_t at = 0; at < size;) {
        const char *end = memchr(data + at, '\n', (size_t)(size - at));
        uint64_t next = end ? (uint64_t)(end - data) + 1 : size, length = next - at - (end != NULL);
        if (length && data[at + length - 1] == '\r') length--;
        v->begin[v->count] = used;
        memcpy(v->text + used, data + at, (size_t)length);
        v->text[used + length] = 0; /* in the place of the line break; the last line has one byte more */
        used += (uint32_t)length + 1;
        TRY(add_line(v, name, length, error));
        at = next;
    }
    if (v->count > VOCABULARY_MAX_TOKENS)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: %d tokens, at most %d", name, v->count, VOCABULARY_MAX_TOKENS);
    for (int i = 0; i < VOCABULARY_SPECIAL_COUNT; i++) {
        const char *text = vocabulary_special_text((vocabulary_special)i);
        v->special[i] = vocabulary_find(v, text, strlen(text));
        if (v->special[i] < 0 && i != VOCABULARY_MASK)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: no token %s among %d: not a WordPiece vocabulary", name,
                             text, v->count);
    }
    return CARINA_OK;
}

carina_status vocabulary_parse(vocabulary *out, const char *name, const void *data, uint64_t size,
                               carina_error *error) {
    *out = (vocabulary){0};
    if (size > VOCABULARY_MAX_BYTES)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: %llu bytes, a vocabulary has at most %u", name,
                         (unsigned long long)size, VOCABULARY_MAX_BYTES);
    carina_status status = fill(out, name, data, size, error);
    if (status != CARINA_OK) vocabulary_free(out);
    return status;
}

carina_status vocabulary_read(vocabulary *out, const char *path, carina_error *error) {
    *out = (vocabulary){0};
    uint8_t *data;
    uint64_t size;
    TRY(file_read(path, VOCABULARY_MAX_BYTES, &data, &size, error));
    carina_status status = vocabulary_parse(out, path, data, size, error);
    free(data);
    return status;
}

carina_status vocabulary_write(const vocabulary *v, const char *path, carina_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    for (int i = 0; i < v->count; i++) fprintf(file_writer_stream(writer), "%s\n", vocabulary_token(v, i));
    return file_writer_commit(writer, error);
}
