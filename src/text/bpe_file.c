/* Reading tokenizer.json: one pass for the large parts (vocabulary, merges, added tokens), trees for the small ones.
 *
 * The file's own order does not matter: what needs the vocabulary is passed over until it has been read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json_scan.h"
#include "text/bpe_cache.h"
#include "text/bpe_internal.h"

/* What of the file has been seen, and where what is read later stands. */
typedef struct file_reader {
    bpe *b;
    json_scan scan;
    bool has_model, has_vocab, has_merges, has_added;
    json_scan merges, added; /* places */
} file_reader;

static carina_status twice(const file_reader *r, bool *seen, carina_error *error) {
    if (*seen) return json_scan_fail(&r->scan, CARINA_ERROR_FORMAT, error, "stands there twice");
    *seen = true;
    return CARINA_OK;
}

/* "file: place: " in front of what a table said. */
static carina_status at_place(const json_scan *s, carina_status status, carina_error *error) {
    if (status == CARINA_OK || !error) return status;
    carina_error reason = *error;
    return json_scan_fail(s, status, error, "%s", reason.message);
}

/* A null or text value as a copy (NULL: null). */
static carina_status copy_text(file_reader *r, char **out, carina_error *error) {
    const char *text;
    uint64_t size;
    if (json_scan_kind(&r->scan) == JSON_KIND_NULL) return json_scan_skip(&r->scan, NULL, NULL, error);
    TRY(json_scan_text(&r->scan, &text, &size, error));
    if (memchr(text, 0, (size_t)size)) return json_scan_fail(&r->scan, CARINA_ERROR_FORMAT, error, "has a NUL in it");
    free(*out);
    *out = strndup(text, (size_t)size);
    return *out ? CARINA_OK : error_memory(error, r->scan.name, size);
}

/* ---- vocabulary and merges ---- */

static carina_status read_vocab(file_reader *r, carina_error *error) {
    json_scan *s = &r->scan;
    TRY(twice(r, &r->has_vocab, error));
    TRY(json_scan_enter(s, JSON_KIND_OBJECT, error));
    for (bool more;;) {
        int64_t id;
        TRY(json_scan_next(s, &more, error));
        if (!more) return CARINA_OK;
        TRY(json_scan_whole(s, 0, BPE_MAX_TOKENS - 1, &id, error));
        TRY(at_place(s, bpe_put_token(r->b, id, s->key, s->key_size, BPE_IN_MODEL, error), error));
    }
}

/* Both sides of a merge, "a b" or ["a", "b"], put together into text. */
static carina_status read_sides(json_scan *s, char text[2 * BPE_MAX_TOKEN], uint64_t sizes[2], carina_error *error) {
    const char *side;
    bool more = true;
    if (json_scan_kind(s) == JSON_KIND_TEXT) {
        TRY(json_scan_text(s, &side, sizes, error));
        const char *blank = memchr(side, ' ', (size_t)sizes[0]);
        if (!blank || sizes[0] > 2 * BPE_MAX_TOKEN || memchr(blank + 1, ' ', (size_t)(side + sizes[0] - blank - 1)))
            return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "two tokens with one blank between them are expected");
        sizes[1] = sizes[0] - (uint64_t)(blank - side) - 1;
        sizes[0] = (uint64_t)(blank - side);
        memcpy(text, side, (size_t)sizes[0]);
        memcpy(text + sizes[0], blank + 1, (size_t)sizes[1]);
        return CARINA_OK;
    }
    TRY(json_scan_enter(s, JSON_KIND_ARRAY, error));
    char *to = text;
    for (int i = 0; i < 2; i++) {
        TRY(json_scan_next(s, &more, error));
        if (!more) return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "two tokens are expected");
        TRY(json_scan_text(s, &side, &sizes[i], error));
        if (sizes[i] > BPE_MAX_TOKEN)
            return json_scan_fail(s, CARINA_ERROR_LIMIT, error, "a token has at most %d bytes", BPE_MAX_TOKEN);
        memcpy(to, side, (size_t)sizes[i]);
        to += sizes[i];
    }
    TRY(json_scan_next(s, &more, error));
    return more ? json_scan_fail(s, CARINA_ERROR_FORMAT, error, "two tokens are expected") : CARINA_OK;
}

static carina_status find_token(file_reader *r, const char *text, uint64_t size, int32_t *id, carina_error *error) {
    *id = bpe_find(r->b, text, size);
    if (*id >= 0 && (r->b->tokens[*id].flags & BPE_IN_MODEL)) return CARINA_OK;
    return json_scan_fail(&r->scan, CARINA_ERROR_FORMAT, error, "\"%.*s\" is not in model.vocab",
                          size < 60 ? (int)size : 60, text);
}

static carina_status read_merges(file_reader *r, carina_error *error) {
    json_scan *s = &r->scan;
    TRY(json_scan_enter(s, JSON_KIND_ARRAY, error));
    for (bool more;;) {
        char text[2 * BPE_MAX_TOKEN];
        uint64_t sizes[2];
        int32_t left, right, result;
        TRY(json_scan_next(s, &more, error));
        if (!more) return CARINA_OK;
        TRY(read_sides(s, text, sizes, error));
        TRY(find_token(r, text, sizes[0], &left, error));
        TRY(find_token(r, text + sizes[0], sizes[1], &right, error));
        TRY(find_token(r, text, sizes[0] + sizes[1], &result, error));
        TRY(at_place(s, bpe_put_merge(r->b, left, right, result, error), error));
    }
}

/* ---- added tokens ---- */

static carina_status put_added(file_reader *r, int64_t id, const char *text, uint64_t size, unsigned flags,
                               carina_error *error) {
    json_scan *s = &r->scan;
    if (size == 0) return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "content: empty");
    int found = bpe_find(r->b, text, size);
    if (found < 0) return at_place(s, bpe_put_token(r->b, id, text, size, flags, error), error);
    if (found != id)
        return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "id: %lld, but \"%.*s\" has id %d already", (long long)id,
                              size < 60 ? (int)size : 60, text, found);
    if (r->b->tokens[found].flags & BPE_ADDED)
        return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "\"%.*s\" stands there twice", size < 60 ? (int)size : 60,
                              text);
    r->b->tokens[found].flags |= (uint8_t)flags;
    return CARINA_OK;
}

static carina_status read_added_token(file_reader *r, carina_error *error) {
    static const struct {
        const char *key;
        unsigned flag;
    } truths[] = {{"special", BPE_SPECIAL},
                  {"lstrip", BPE_LSTRIP},
                  {"rstrip", BPE_RSTRIP},
                  {"single_word", BPE_SINGLE_WORD},
                  {"normalized", BPE_NORMALIZED}};
    json_scan *s = &r->scan;
    int64_t id = -1;
    char text[BPE_MAX_TOKEN];
    uint64_t size = UINT64_MAX;
    unsigned flags = BPE_ADDED;
    TRY(json_scan_enter(s, JSON_KIND_OBJECT, error));
    for (bool more;;) {
        TRY(json_scan_next(s, &more, error));
        if (!more) break;
        const char *content;
        unsigned flag = 0;
        bool truth;
        for (size_t i = 0; i < sizeof truths / sizeof *truths; i++)
            if (json_scan_key_is(s, truths[i].key)) flag = truths[i].flag;
        if (flag) {
            TRY(json_scan_truth(s, &truth, error));
            flags = truth ? flags | flag : flags & ~flag;
        } else if (json_scan_key_is(s, "id")) {
            TRY(json_scan_whole(s, 0, BPE_MAX_TOKENS - 1, &id, error));
        } else if (json_scan_key_is(s, "content")) {
            TRY(json_scan_text(s, &content, &size, error));
            if (size > sizeof text)
                return json_scan_fail(s, CARINA_ERROR_LIMIT, error, "a token has at most %d bytes", BPE_MAX_TOKEN);
            memcpy(text, content, (size_t)size);
        } else {
            TRY(json_scan_skip(s, NULL, NULL, error));
        }
    }
    if (id < 0 || size == UINT64_MAX)
        return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "%s: missing", id < 0 ? "id" : "content");
    return put_added(r, id, text, size, flags, error);
}

static carina_status read_added(file_reader *r, carina_error *error) {
    json_scan *s = &r->scan;
    if (json_scan_kind(s) == JSON_KIND_NULL) return json_scan_skip(s, NULL, NULL, error);
    TRY(json_scan_enter(s, JSON_KIND_ARRAY, error));
    for (bool more;;) {
        TRY(json_scan_next(s, &more, error));
        if (!more) return CARINA_OK;
        TRY(read_added_token(r, error));
    }
}

/* ---- the file ---- */

static carina_status read_type(file_reader *r, carina_error *error) {
    const char *type;
    uint64_t size;
    TRY(json_scan_text(&r->scan, &type, &size, error));
    if (size == 3 && memcmp(type, "BPE", 3) == 0) return CARINA_OK;
    return json_scan_fail(&r->scan, CARINA_ERROR_UNSUPPORTED, error, "\"%.*s\" is not known here (BPE is)",
                          size < 60 ? (int)size : 60, type);
}

/* A text that must be null or empty. */
static carina_status refuse_text(file_reader *r, carina_error *error) {
    char *text = NULL;
    carina_status status = copy_text(r, &text, error);
    if (status == CARINA_OK && text && *text)
        status = json_scan_fail(&r->scan, CARINA_ERROR_UNSUPPORTED, error, "\"%.60s\": only null is known here", text);
    free(text);
    return status;
}

static carina_status refuse_dropout(file_reader *r, carina_error *error) {
    const char *raw;
    uint64_t size;
    TRY(json_scan_skip(&r->scan, &raw, &size, error));
    if ((size == 4 && memcmp(raw, "null", 4) == 0) || (size == 3 && memcmp(raw, "0.0", 3) == 0) ||
        (size == 1 && *raw == '0'))
        return CARINA_OK;
    return json_scan_fail(&r->scan, CARINA_ERROR_UNSUPPORTED, error, "only null is known here");
}

/* A place to come back to. Keys and texts are read anew from there. */
static carina_status pass_over(json_scan *s, json_scan *place, carina_error *error) {
    *place = *s;
    return json_scan_skip(s, NULL, NULL, error);
}
static void come_back(json_scan *s, const json_scan *place) {
    s->at = place->at;
    s->depth = place->depth;
    memcpy(s->levels, place->levels, sizeof s->levels);
}

static carina_status read_model_key(file_reader *r, carina_error *error) {
    json_scan *s = &r->scan;
    bpe_settings *settings = &r->b->settings;
    if (json_scan_key_is(s, "vocab")) return read_vocab(r, error);
    if (json_scan_key_is(s, "type")) return read_type(r, error);
    if (json_scan_key_is(s, "dropout")) return refuse_dropout(r, error);
    if (json_scan_key_is(s, "continuing_subword_prefix")) return refuse_text(r, error);
    if (json_scan_key_is(s, "end_of_word_suffix")) return refuse_text(r, error);
    if (json_scan_key_is(s, "unk_token")) return copy_text(r, &settings->unk_token, error);
    if (json_scan_key_is(s, "merges")) {
        TRY(twice(r, &r->has_merges, error));
        return r->has_vocab ? read_merges(r, error) : pass_over(s, &r->merges, error);
    }
    bool *truth = json_scan_key_is(s, "fuse_unk")        ? &settings->fuse_unk
                  : json_scan_key_is(s, "byte_fallback") ? &settings->byte_fallback
                  : json_scan_key_is(s, "ignore_merges") ? &settings->ignore_merges
                                                         : NULL;
    return truth ? json_scan_truth(s, truth, error) : json_scan_skip(s, NULL, NULL, error);
}

static carina_status read_model(file_reader *r, carina_error *error) {
    json_scan *s = &r->scan;
    TRY(twice(r, &r->has_model, error));
    TRY(json_scan_enter(s, JSON_KIND_OBJECT, error));
    for (bool more;;) {
        TRY(json_scan_next(s, &more, error));
        if (!more) return CARINA_OK;
        TRY(read_model_key(r, error));
    }
}

static carina_status read_part(file_reader *r, bool *done, carina_error *error) {
    json_scan *s = &r->scan;
    for (int i = 0; i < BPE_PART_COUNT && !*done; i++) {
        if (!json_scan_key_is(s, bpe_part_name((bpe_part)i))) continue;
        const char *raw;
        uint64_t size;
        bool seen = r->b->settings.parts[i] != NULL;
        *done = true;
        TRY(twice(r, &seen, error));
        bool none = json_scan_kind(s) == JSON_KIND_NULL;
        TRY(json_scan_skip(s, &raw, &size, error));
        if (!none && !(r->b->settings.parts[i] = strndup(raw, (size_t)size))) return error_memory(error, s->name, size);
    }
    return CARINA_OK;
}

static carina_status read_top(file_reader *r, carina_error *error) {
    json_scan *s = &r->scan;
    TRY(json_scan_enter(s, JSON_KIND_OBJECT, error));
    for (bool more;;) {
        bool done = false;
        TRY(json_scan_next(s, &more, error));
        if (!more) return json_scan_end(s, error);
        TRY(read_part(r, &done, error));
        if (done) continue;
        if (json_scan_key_is(s, "model")) {
            TRY(read_model(r, error));
        } else if (json_scan_key_is(s, "added_tokens")) {
            TRY(twice(r, &r->has_added, error));
            TRY(pass_over(s, &r->added, error));
        } else {
            TRY(json_scan_skip(s, NULL, NULL, error));
        }
    }
}

static carina_status read_file(file_reader *r, carina_error *error) {
    json_scan *s = &r->scan;
    TRY(read_top(r, error));
    const char *missing = !r->has_model    ? "model"
                          : !r->has_vocab  ? "model.vocab"
                          : !r->has_merges ? "model.merges"
                                           : NULL;
    if (missing) return error_set(error, CARINA_ERROR_FORMAT, "%s: %s: missing: not a BPE tokenizer", s->name, missing);
    if (r->merges.at) {
        come_back(s, &r->merges);
        TRY(read_merges(r, error));
    }
    if (r->has_added) {
        come_back(s, &r->added);
        TRY(read_added(r, error));
    }
    return bpe_finish(r->b, error);
}

carina_status bpe_parse(bpe **out, const char *name, const void *data, uint64_t size, carina_error *error) {
    file_reader *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r) return error_memory(error, name, sizeof *r);
    r->scan = json_scan_make(name, data, size);
    carina_status status = size > BPE_MAX_FILE
                               ? error_set(error, CARINA_ERROR_LIMIT, "%s: %llu bytes, more than the %u accepted", name,
                                           (unsigned long long)size, BPE_MAX_FILE)
                               : bpe_make(&r->b, name, error);
    if (status == CARINA_OK) status = read_file(r, error);
    if (status == CARINA_OK)
        *out = r->b;
    else
        bpe_free(r->b);
    json_scan_free(&r->scan);
    free(r);
    return status;
}

carina_status bpe_read(bpe **out, const char *path, const char *cache_folder, carina_error *error) {
    uint8_t *data;
    uint64_t size;
    *out = NULL;
    TRY(file_read(path, BPE_MAX_FILE, &data, &size, error));
    bpe_cache cache = bpe_cache_of(cache_folder, data, size);
    carina_status status = CARINA_OK;
    if (!bpe_cache_load(&cache, out, path)) {
        status = bpe_parse(out, path, data, size, error);
        if (status == CARINA_OK) bpe_cache_store(&cache, *out);
    }
    free(data);
    bpe_cache_free(&cache);
    return status;
}
