/* Tokens, scores and types of a GGUF file to a tokenizer's tables; see bpe_gguf.h. */
#include "text/bpe_gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "format/json_writer.h"
#include "text/bpe_internal.h"

#define PREFIX        "tokenizer.ggml."
#define BLANK         "\xe2\x96\x81"      /* U+2581 */
#define MAX_SPLITTING (UINT64_C(1) << 32) /* bytes looked at for merges: a thousand times what Gemma takes */

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

typedef struct reader {
    const gguf_metadata *metadata;
    const gguf_value *texts, *scores, *types;
    bpe *b;
    carina_error *error;
} reader;

/* ---- tokens ---- */

static carina_status same_count(const reader *r, const gguf_value *value, const char *key) {
    if (value->count == r->texts->count) return CARINA_OK;
    return error_set(r->error, CARINA_ERROR_FORMAT, "%s: %s: %llu items for %llu tokens", r->metadata->name, key,
                     (unsigned long long)value->count, (unsigned long long)r->texts->count);
}

static carina_status find_arrays(reader *r) {
    gguf_text kind;
    TRY(gguf_get_text(&kind, r->metadata, PREFIX "model", r->error));
    if (!gguf_text_is(kind, "llama"))
        return error_set(r->error, CARINA_ERROR_UNSUPPORTED,
                         "%s: " PREFIX
                         "model: tokenizers of the kind \"%.*s\" are not supported, only \"llama\"; give a "
                         "tokenizer.json",
                         r->metadata->name, (int)(kind.size < 40 ? kind.size : 40), kind.data);
    TRY(gguf_get_array(&r->texts, r->metadata, PREFIX "tokens", GGUF_TEXT, r->error));
    TRY(gguf_get_array(&r->scores, r->metadata, PREFIX "scores", GGUF_REAL, r->error));
    TRY(gguf_get_array(&r->types, r->metadata, PREFIX "token_type", GGUF_WHOLE, r->error));
    TRY(same_count(r, r->scores, PREFIX "scores"));
    return same_count(r, r->types, PREFIX "token_type");
}

static bool is_padding(gguf_text text, uint64_t id) {
    char name[32];
    snprintf(name, sizeof name, BPE_GGUF_PADDING, (unsigned long long)id);
    return gguf_text_is(text, name);
}

static carina_status put_token(const reader *r, uint64_t id) {
    static const unsigned flags[] = {[NORMAL] = BPE_IN_MODEL,
                                     [UNKNOWN] = BPE_IN_MODEL | BPE_ADDED | BPE_SPECIAL,
                                     [CONTROL] = BPE_IN_MODEL | BPE_ADDED | BPE_SPECIAL,
                                     [USER_DEFINED] = BPE_IN_MODEL | BPE_ADDED,
                                     [UNUSED] = BPE_IN_MODEL,
                                     [BYTE] = BPE_IN_MODEL};
    gguf_text text = gguf_item_text(r->texts, id);
    int64_t type = gguf_item_whole(r->types, id);
    if (type < NORMAL || type > BYTE)
        return error_set(r->error, CARINA_ERROR_FORMAT, "%s: " PREFIX "token_type[%llu]: %lld is no type",
                         r->metadata->name, (unsigned long long)id, (long long)type);
    if (type == UNUSED && is_padding(text, id)) return CARINA_OK;
    if (text.size == 0)
        return error_set(r->error, CARINA_ERROR_FORMAT, "%s: " PREFIX "tokens[%llu] is empty", r->metadata->name,
                         (unsigned long long)id);
    if (!isfinite(gguf_item_real(r->scores, id)))
        return error_set(r->error, CARINA_ERROR_FORMAT, "%s: " PREFIX "scores[%llu] is not finite", r->metadata->name,
                         (unsigned long long)id);
    carina_status status = bpe_put_token(r->b, (int64_t)id, text.data, text.size, flags[type], r->error);
    return status == CARINA_OK ? status : error_prefix(r->error, "%s: " PREFIX "tokens", r->metadata->name);
}

/* ---- merges ---- */

typedef struct join {
    double score;
    uint32_t left_characters, right_characters;
    int32_t left, right, result;
} join;

/* Higher scores first; then the longer left side, the longer right side, the smaller id. */
static int compare_joins(const void *a, const void *b) {
    const join *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->left_characters != y->left_characters) return x->left_characters > y->left_characters ? -1 : 1;
    if (x->right_characters != y->right_characters) return x->right_characters > y->right_characters ? -1 : 1;
    return x->result < y->result ? -1 : x->result > y->result;
}

static uint32_t characters(const char *text, uint64_t size) {
    uint32_t count = 0;
    for (uint64_t i = 0; i < size; i++) count += ((uint8_t)text[i] & 0xc0) != 0x80;
    return count;
}

/* A token that text may become by joining; special ones only stand for themselves. */
static bool is_joinable(const reader *r, int32_t id) {
    if (id < 0) return false;
    int64_t type = gguf_item_whole(r->types, (uint64_t)id);
    return type == NORMAL || type == USER_DEFINED;
}

/* Every way to make token `id` of two others. */
static carina_status add_joins(const reader *r, int32_t id, join **joins, uint64_t *count, uint64_t *room) {
    const char *text = bpe_text_of(r->b, id);
    uint64_t size = r->b->tokens[id].size;
    uint32_t all = characters(text, size), left_characters = 0;
    for (uint64_t at = 1; at < size; at++) {
        if (((uint8_t)text[at] & 0xc0) == 0x80) continue;
        left_characters++;
        int32_t left = bpe_find(r->b, text, at),
                right = is_joinable(r, left) ? bpe_find(r->b, text + at, size - at) : -1;
        if (!is_joinable(r, right)) continue;
        TRY(bpe_grow(joins, room, *count + 1, sizeof **joins, r->error));
        (*joins)[(*count)++] =
            (join){gguf_item_real(r->scores, (uint64_t)id), left_characters, all - left_characters, left, right, id};
    }
    return CARINA_OK;
}

static carina_status find_joins(const reader *r, join **joins, uint64_t *count) {
    uint64_t room = 0, looked_at = 0;
    for (uint32_t id = 0; id < r->b->count; id++) {
        looked_at += (uint64_t)r->b->tokens[id].size * r->b->tokens[id].size;
        if (looked_at > MAX_SPLITTING || *count > BPE_MAX_MERGES)
            return error_set(r->error, CARINA_ERROR_LIMIT, "%s: " PREFIX "tokens: too many long tokens",
                             r->metadata->name);
        if (is_joinable(r, (int32_t)id)) TRY(add_joins(r, (int32_t)id, joins, count, &room));
    }
    return CARINA_OK;
}

static carina_status put_merges(const reader *r) {
    join *joins = NULL;
    uint64_t count = 0;
    carina_status status = find_joins(r, &joins, &count);
    if (status == CARINA_OK && count) qsort(joins, count, sizeof *joins, compare_joins);
    for (uint64_t i = 0; i < count && status == CARINA_OK; i++)
        status = bpe_put_merge(r->b, joins[i].left, joins[i].right, joins[i].result, r->error);
    free(joins);
    return status;
}

/* ---- settings, as the JSON that a tokenizer.json would have ---- */

/* A key that may be missing. */
static carina_status get_bool(const reader *r, const char *key, bool standard, bool *out) {
    *out = standard;
    return gguf_find(r->metadata, key) ? gguf_get_bool(out, r->metadata, key, r->error) : CARINA_OK;
}

/* -1 when the key is missing. */
static carina_status get_id(const reader *r, const char *key, int64_t *out) {
    uint32_t id;
    *out = -1;
    if (!gguf_find(r->metadata, key)) return CARINA_OK;
    TRY(gguf_get_u32(&id, r->metadata, key, r->error));
    if (id >= r->b->count)
        return error_set(r->error, CARINA_ERROR_FORMAT, "%s: %s: no token has the id %u", r->metadata->name, key, id);
    *out = id;
    return CARINA_OK;
}

static void put_special(json_writer *w, const char *kind, const char *name) {
    json_begin_object(w);
    json_key(w, kind);
    json_begin_object(w);
    json_field_text(w, "id", name);
    json_field_whole(w, "type_id", 0);
    json_end(w);
    json_end(w);
}

/* names, ids: of the tokens in front and behind; an id of -1: none. */
static void put_template(json_writer *w, const reader *r, const int64_t ids[2]) {
    static const char *const names[2] = {"bos", "eos"};
    json_begin_object(w);
    json_field_text(w, "type", "TemplateProcessing");
    json_key(w, "single");
    json_begin_array(w);
    if (ids[0] >= 0) put_special(w, "SpecialToken", names[0]);
    put_special(w, "Sequence", "A");
    if (ids[1] >= 0) put_special(w, "SpecialToken", names[1]);
    json_end(w);
    json_key(w, "special_tokens");
    json_begin_object(w);
    for (int i = 0; i < 2; i++) {
        if (ids[i] < 0) continue;
        json_key(w, names[i]);
        json_begin_object(w);
        json_field_text(w, "id", names[i]);
        json_key(w, "ids");
        json_begin_array(w);
        json_put_whole(w, ids[i]);
        json_end(w);
        json_key(w, "tokens");
        json_begin_array(w);
        json_put_bytes(w, bpe_text_of(r->b, (int32_t)ids[i]), r->b->tokens[ids[i]].size);
        json_end(w);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

static carina_status set_template(const reader *r) {
    int64_t ids[2];
    bool wanted[2];
    char *text = NULL;
    size_t size;
    TRY(get_bool(r, PREFIX "add_bos_token", true, &wanted[0]));
    TRY(get_bool(r, PREFIX "add_eos_token", false, &wanted[1]));
    TRY(get_id(r, PREFIX "bos_token_id", &ids[0]));
    TRY(get_id(r, PREFIX "eos_token_id", &ids[1]));
    for (int i = 0; i < 2; i++)
        if (!wanted[i]) ids[i] = -1;
    if (ids[0] < 0 && ids[1] < 0) return CARINA_OK;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return error_memory(r->error, r->metadata->name, 0);
    json_writer w = json_writer_make(stream, JSON_COMPACT);
    put_template(&w, r, ids);
    bool written = fclose(stream) == 0;
    r->b->settings.parts[BPE_PART_POST_PROCESSOR] = text;
    return written && text ? CARINA_OK : error_memory(r->error, r->metadata->name, 0);
}

static carina_status set_parts(const reader *r, bool prefix) {
    static const char replace[] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" BLANK "\"}";
    static const char decoders[] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" BLANK
                                   "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}";
    char *normalizer = NULL, *decoder = NULL;
    int sizes[2];
    sizes[0] = prefix ? asprintf(&normalizer,
                                 "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" BLANK
                                 "\"},%s]}",
                                 replace)
                      : asprintf(&normalizer, "%s", replace);
    sizes[1] = asprintf(&decoder, "{\"type\":\"Sequence\",\"decoders\":[%s%s]}", decoders,
                        prefix ? ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}" : "");
    r->b->settings.parts[BPE_PART_NORMALIZER] = sizes[0] < 0 ? NULL : normalizer;
    r->b->settings.parts[BPE_PART_DECODER] = sizes[1] < 0 ? NULL : decoder;
    return sizes[0] < 0 || sizes[1] < 0 ? error_memory(r->error, r->metadata->name, sizeof replace) : CARINA_OK;
}

static carina_status set_unknown(const reader *r) {
    int64_t id;
    TRY(get_id(r, PREFIX "unknown_token_id", &id));
    for (uint32_t i = 0; id < 0 && i < r->b->count; i++)
        if (gguf_item_whole(r->types, i) == UNKNOWN) id = i;
    if (id < 0) return CARINA_OK;
    r->b->settings.unk_token = strndup(bpe_text_of(r->b, (int32_t)id), r->b->tokens[id].size);
    return r->b->settings.unk_token ? CARINA_OK : error_memory(r->error, r->metadata->name, 0);
}

static carina_status fill(reader *r) {
    bool prefix;
    r->b->settings.byte_fallback = r->b->settings.fuse_unk = true;
    for (uint64_t id = 0; id < r->texts->count; id++) TRY(put_token(r, id));
    TRY(put_merges(r));
    TRY(get_bool(r, PREFIX "add_space_prefix", true, &prefix));
    TRY(set_parts(r, prefix));
    TRY(set_template(r));
    TRY(set_unknown(r));
    return bpe_finish(r->b, r->error);
}

carina_status bpe_from_gguf(bpe **out, const gguf_metadata *metadata, carina_error *error) {
    reader r = {.metadata = metadata, .error = error};
    *out = NULL;
    TRY(find_arrays(&r));
    if (r.texts->count > BPE_MAX_TOKENS)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: " PREFIX "tokens: %llu tokens, at most %d are accepted",
                         metadata->name, (unsigned long long)r.texts->count, BPE_MAX_TOKENS);
    TRY(bpe_make(&r.b, metadata->name, error));
    carina_status status = fill(&r);
    if (status == CARINA_OK)
        *out = r.b;
    else
        bpe_free(r.b);
    return status;
}

carina_status bpe_read_gguf(bpe **out, const char *path, carina_error *error) {
    gguf_file file;
    *out = NULL;
    TRY(gguf_read(&file, path, error));
    carina_status status = bpe_from_gguf(out, &file.metadata, error);
    gguf_free(&file);
    return status;
}
