/* A tokenizer as a few arrays in a file; see bpe_cache.h. */
#include "text/bpe_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/fingerprint.h"
#include "text/bpe_internal.h"

static const char magic[16] = "carina-bpe-1\n\0\0";
#define MAGIC_KIND 11 /* bytes of it in front of the version */

char *bpe_cache_default_folder(void) {
    const char *own = getenv("CARINA_CACHE"), *caches = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own) return *own ? strdup(own) : NULL;
    if (caches && *caches == '/') return path_join(caches, "carina");
    return home && *home == '/' ? path_join(home, ".cache/carina") : NULL;
}

static uint64_t fingerprint_of(const void *data, uint64_t size) {
    fingerprint f = fingerprint_start();
    fingerprint_add(&f, data, size);
    return fingerprint_value(&f);
}

bpe_cache bpe_cache_of(const char *folder, const void *data, uint64_t size) {
    bpe_cache c = {.source_size = size};
    char name[64], digits[FINGERPRINT_TEXT];
    if (!folder || size < BPE_CACHE_LEAST) return c;
    c.source_fingerprint = fingerprint_of(data, size);
    snprintf(name, sizeof name, "tokenizer-%s.bpe", fingerprint_text(digits, c.source_fingerprint));
    c.path = path_join(folder, name);
    return c;
}

void bpe_cache_free(bpe_cache *c) {
    free(c->path);
    *c = (bpe_cache){0};
}

/* What is at the cache's path: only a file itself is ours, never what a link there names (a shared folder may hold one
 * that somebody else made). replaceable: it begins as caches of any version do, or is empty or not there. */
static bool is_own_file(const char *path, bool replaceable) {
    struct stat info;
    uint8_t *start;
    uint64_t size;
    if (lstat(path, &info) != 0) return replaceable && errno == ENOENT;
    if (!S_ISREG(info.st_mode) || !replaceable) return S_ISREG(info.st_mode);
    if (file_read_start(path, MAGIC_KIND, &start, &size, NULL) != CARINA_OK) return false;
    bool own = size == 0 || (size == MAGIC_KIND && memcmp(start, magic, MAGIC_KIND) == 0);
    free(start);
    return own;
}

/* ---- loading ---- */

static bool take_text(cursor *c, char **out) {
    uint32_t size = cursor_u32le(c);
    if (size == UINT32_MAX) return !c->failed;
    const uint8_t *text = cursor_take(c, size);
    *out = text ? strndup((const char *)text, size) : NULL;
    return *out != NULL;
}

static bool load_tokens(cursor *c, bpe *b, uint32_t count, uint64_t text_size) {
    uint64_t entries_size;
    const uint8_t *entries = size_multiply(count, 3, &entries_size) ? cursor_take(c, entries_size) : NULL;
    const char *text = (const char *)cursor_take(c, text_size);
    if (!entries || !text) return false;
    for (uint32_t id = 0; id < count; id++, entries += 3) {
        uint64_t size = entries[1] | (uint64_t)entries[2] << 8;
        if (size > text_size || (entries[0] & ~BPE_FLAGS) != 0) return false;
        if (entries[0] && bpe_put_token(b, id, text, size, entries[0], NULL) != CARINA_OK) return false;
        text += size;
        text_size -= size;
    }
    return text_size == 0 && b->count == count;
}

static bool load_merges(cursor *c, bpe *b, uint32_t count) {
    const uint8_t *at = cursor_take(c, (uint64_t)count * 12);
    for (uint32_t i = 0; at && i < count; i++, at += 12) {
        uint32_t ids[3];
        for (int k = 0; k < 3; k++)
            ids[k] = at[4 * k] | (uint32_t)at[4 * k + 1] << 8 | (uint32_t)at[4 * k + 2] << 16 |
                     (uint32_t)at[4 * k + 3] << 24;
        if (bpe_put_merge(b, (int32_t)ids[0], (int32_t)ids[1], (int32_t)ids[2], NULL) != CARINA_OK) return false;
    }
    return at != NULL;
}

static bool load_content(cursor *c, bpe *b) {
    uint32_t count = cursor_u32le(c), merges = cursor_u32le(c);
    uint64_t text_size = cursor_u64le(c);
    bpe_settings *s = &b->settings;
    if (c->failed || count > BPE_MAX_TOKENS || merges > BPE_MAX_MERGES || text_size > cursor_remaining(c)) return false;
    s->byte_fallback = cursor_u8(c) != 0;
    s->fuse_unk = cursor_u8(c) != 0;
    s->ignore_merges = cursor_u8(c) != 0;
    if (!take_text(c, &s->unk_token)) return false;
    for (int i = 0; i < BPE_PART_COUNT; i++)
        if (!take_text(c, &s->parts[i])) return false;
    return bpe_reserve(b, count, text_size + 1, merges, NULL) == CARINA_OK && load_tokens(c, b, count, text_size) &&
           load_merges(c, b, merges) && cursor_remaining(c) == 0 && bpe_finish(b, NULL) == CARINA_OK;
}

static bool load(const bpe_cache *c, bpe *b, const uint8_t *data, uint64_t size) {
    cursor at = cursor_make(data, size);
    const uint8_t *begin = cursor_take(&at, sizeof magic);
    if (!begin || memcmp(begin, magic, sizeof magic) != 0) return false;
    bool same = cursor_u64le(&at) == c->source_size;
    same &= cursor_u64le(&at) == c->source_fingerprint;
    same &= cursor_u64le(&at) == size - sizeof magic - 32;
    uint64_t wanted = cursor_u64le(&at);
    if (at.failed || !same || fingerprint_of(data + at.offset, cursor_remaining(&at)) != wanted) return false;
    return load_content(&at, b);
}

bool bpe_cache_load(const bpe_cache *c, bpe **out, const char *name) {
    uint8_t *data;
    uint64_t size;
    *out = NULL;
    if (!c->path || !is_own_file(c->path, false) || file_read(c->path, BPE_MAX_FILE, &data, &size, NULL) != CARINA_OK)
        return false;
    if (bpe_make(out, name, NULL) == CARINA_OK && !load(c, *out, data, size)) {
        bpe_free(*out);
        *out = NULL;
    }
    free(data);
    return *out != NULL;
}

/* ---- storing ---- */

static void put_number(FILE *f, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) putc((int)(value >> 8 * i & 0xff), f);
}

static void put_text(FILE *f, const char *text) {
    put_number(f, text ? strlen(text) : UINT32_MAX, 4);
    if (text) fputs(text, f);
}

static void put_content(FILE *f, const bpe *b) {
    const bpe_settings *s = &b->settings;
    put_number(f, b->count, 4);
    put_number(f, b->merge_count, 4);
    put_number(f, b->text_size, 8);
    put_number(f, s->byte_fallback, 1);
    put_number(f, s->fuse_unk, 1);
    put_number(f, s->ignore_merges, 1);
    put_text(f, s->unk_token);
    for (int i = 0; i < BPE_PART_COUNT; i++) put_text(f, s->parts[i]);
    for (uint32_t id = 0; id < b->count; id++) {
        put_number(f, b->tokens[id].flags, 1);
        put_number(f, b->tokens[id].size, 2);
    }
    for (uint32_t id = 0; id < b->count; id++)
        if (b->tokens[id].size) fwrite(b->text + b->tokens[id].begin, 1, b->tokens[id].size, f);
    for (uint32_t i = 0; i < b->merge_count; i++) {
        put_number(f, (uint32_t)b->merges[i].left, 4);
        put_number(f, (uint32_t)b->merges[i].right, 4);
        put_number(f, (uint32_t)b->merges[i].result, 4);
    }
}

static void store(const char *path, const bpe_cache *c, const char *content, uint64_t size) {
    file_writer *writer;
    if (!is_own_file(path, true)) return;
    if (file_writer_open(&writer, path, NULL) != CARINA_OK) return;
    FILE *f = file_writer_stream(writer);
    fwrite(magic, 1, sizeof magic, f);
    put_number(f, c->source_size, 8);
    put_number(f, c->source_fingerprint, 8);
    put_number(f, size, 8);
    put_number(f, fingerprint_of(content, size), 8);
    fwrite(content, 1, (size_t)size, f);
    (void)file_writer_commit(writer, NULL); /* what failed is done without */
}

void bpe_cache_store(const bpe_cache *c, const bpe *b) {
    char *content = NULL, *folder = c->path ? strdup(c->path) : NULL;
    size_t size = 0;
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) {
        *slash = 0;
        if (slash == folder || file_make_folders(folder, NULL) == CARINA_OK) {
            FILE *stream = open_memstream(&content, &size);
            if (stream) {
                put_content(stream, b);
                if (fclose(stream) == 0) store(c->path, c, content, size);
            }
        }
    }
    free(content);
    free(folder);
}
