/* A tokenizer as the keys of a GGUF file; see bpe_gguf.h.
 *
 * Such keys hold less than a tokenizer.json: no merges, one form of normalizer and decoder. So they are read back at
 * once, and held against the tokenizer: what would not give the same ids is refused.
 *
 * Scores are merges' ranks, of a token's first merge; tokens whose merges stand among each other's (runs of blanks,
 * tabs and line ends in Gemma's file, ordered by length alone) share one. Reading makes every pair of tokens that gives
 * a token a merge, which may be more than there were. These never join anything, if each token has one merge and its
 * own text becomes it: let such a pair be the next one to join. Nothing has joined across its ends, so what happened
 * between them is what happens to that text alone, and there the two parts in the end are those of the token's own
 * merge.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/bpe_gguf.h"
#include "text/bpe_internal.h"

#define PREFIX "tokenizer.ggml."

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

/* ---- putting ---- */

static uint32_t type_of(const bpe *b, int32_t id) {
    unsigned flags = b->tokens[id].flags, byte;
    char text[7] = {0};
    if (!flags) return UNUSED;
    if (id == b->unk) return UNKNOWN;
    if (flags & BPE_ADDED) return flags & BPE_SPECIAL ? CONTROL : USER_DEFINED;
    memcpy(text, bpe_text_of(b, id), b->tokens[id].size == 6 ? 6 : 0);
    return sscanf(text, "<0x%2X>", &byte) == 1 && b->bytes[byte] == id ? BYTE : NORMAL;
}

/* last [tokens]: rank of each token's last merge. */
static void fill_scores(float *scores, uint32_t *last, const bpe *b) {
    uint32_t first = 0, end = 0; /* of the merges that share a score */
    for (uint32_t i = 0; i < b->merge_count; i++) last[b->merges[i].result] = i;
    for (uint32_t i = 0; i < b->merge_count; i++) {
        uint32_t reach = last[b->merges[i].result];
        if (i > end) first = i;
        if (reach > end) end = reach; /* i at least, its own merge being one */
        scores[b->merges[i].result] = -(float)first;
    }
}

static carina_status put_scores(gguf_keys *out, const bpe *b, uint64_t count, carina_error *error) {
    float *scores = malloc((size_t)count * sizeof *scores);
    uint32_t *last = malloc((size_t)count * sizeof *last);
    if (!scores || !last) {
        free(scores);
        free(last);
        return error_memory(error, b->name, count * sizeof *scores);
    }
    for (uint64_t i = 0; i < count; i++) scores[i] = -1e7f; /* less than any rank */
    fill_scores(scores, last, b);
    free(last);
    gguf_keys_array(out, PREFIX "scores", GGUF_KIND_F32, count);
    for (uint64_t i = 0; i < count; i++) gguf_keys_f32_item(out, scores[i]);
    free(scores);
    return CARINA_OK;
}

static void put_token_text(gguf_keys *out, const bpe *b, uint64_t id) {
    char text[32];
    if (id < b->count && b->tokens[id].flags) {
        gguf_keys_text_item(out, bpe_text_of(b, (int32_t)id), b->tokens[id].size);
        return;
    }
    int size = snprintf(text, sizeof text, BPE_GGUF_PADDING, (unsigned long long)id);
    gguf_keys_text_item(out, text, (uint64_t)size);
}

const char *const bpe_gguf_end_keys[BPE_GGUF_END_KEYS] = {PREFIX "eos_token_id", PREFIX "eot_token_id",
                                                          PREFIX "eom_token_id"};

static void put_ids(gguf_keys *out, const bpe *b, const int *ends, int end_count) {
    const bpe_settings *s = &b->settings;
    int bos = s->before_count == 1 ? s->before[0] : bpe_find(b, "<bos>", 5);
    gguf_keys_bool(out, PREFIX "add_bos_token", s->before_count > 0);
    gguf_keys_bool(out, PREFIX "add_eos_token", s->after_count > 0);
    gguf_keys_bool(out, PREFIX "add_space_prefix", s->rule_count && s->rules[0].prepend);
    if (bos >= 0) gguf_keys_u32(out, PREFIX "bos_token_id", (uint32_t)bos);
    for (int i = 0; i < end_count && i < BPE_GGUF_END_KEYS; i++)
        gguf_keys_u32(out, bpe_gguf_end_keys[i], (uint32_t)ends[i]);
    if (end_count > BPE_GGUF_END_KEYS) {
        gguf_keys_array(out, BPE_GGUF_ALL_ENDS, GGUF_KIND_I32, (uint64_t)end_count);
        for (int i = 0; i < end_count; i++) gguf_keys_u32_item(out, (uint32_t)ends[i]);
    }
    if (b->unk >= 0) gguf_keys_u32(out, PREFIX "unknown_token_id", (uint32_t)b->unk);
}

static carina_status put_all(gguf_keys *out, const bpe *b, int vocabulary, const int *ends, int end_count,
                             carina_error *error) {
    uint64_t count = vocabulary > 0 && (uint32_t)vocabulary > b->count ? (uint64_t)vocabulary : b->count;
    gguf_keys_text(out, PREFIX "model", "llama");
    gguf_keys_array(out, PREFIX "tokens", GGUF_KIND_TEXT, count);
    for (uint64_t id = 0; id < count; id++) put_token_text(out, b, id);
    TRY(put_scores(out, b, count, error));
    gguf_keys_array(out, PREFIX "token_type", GGUF_KIND_I32, count);
    for (uint64_t id = 0; id < count; id++) gguf_keys_u32_item(out, id < b->count ? type_of(b, (int32_t)id) : UNUSED);
    put_ids(out, b, ends, end_count);
    return gguf_keys_finish(out, error);
}

/* ---- whether it is the same ---- */

static bool same_pattern(const bpe_pattern *a, const bpe_pattern *b) {
    return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

static bool same_rules(const bpe_rule *a, int a_count, const bpe_rule *b, int b_count) {
    if (a_count != b_count) return false;
    for (int i = 0; i < a_count; i++)
        if (a[i].prepend != b[i].prepend || !same_pattern(&a[i].pattern, &b[i].pattern) ||
            !same_pattern(&a[i].content, &b[i].content))
            return false;
    return true;
}

static bool same_ids(const int32_t *a, int a_count, const int32_t *b, int b_count) {
    return a_count == b_count && (!a_count || memcmp(a, b, (size_t)a_count * sizeof *a) == 0);
}

/* Gemma's file cuts at blanks, of which the normalizer has left none. */
static bool never_cuts(const bpe_settings *s) {
    return s->split == BPE_SPLIT_NONE || (s->split_at.size == 1 && s->split_at.text[0] == ' ');
}

/* NULL: the same. */
static const char *other_setting(const bpe *a, const bpe *b) {
    const bpe_settings *s = &a->settings, *t = &b->settings;
    if (!same_rules(s->rules, s->rule_count, t->rules, t->rule_count)) return "its normalizer";
    if (!never_cuts(s)) return "its pre_tokenizer";
    if (!same_ids(s->before, s->before_count, t->before, t->before_count) ||
        !same_ids(s->after, s->after_count, t->after, t->after_count))
        return "its post_processor";
    if (!same_rules(s->decode, s->decode_count, t->decode, t->decode_count) || s->decode_bytes != t->decode_bytes ||
        s->strip_count != t->strip_count || (s->strip_count && !same_pattern(&s->strip, &t->strip)))
        return "its decoder";
    if (s->byte_fallback != t->byte_fallback || s->fuse_unk != t->fuse_unk || s->ignore_merges != t->ignore_merges ||
        a->unk != b->unk)
        return "its model's settings";
    return NULL;
}

/* An added token is found before anything else, whether it stands in the vocabulary or not. */
static bool same_tokens(const bpe *a, const bpe *b) {
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        unsigned x = a->tokens[i].flags, y = b->tokens[i].flags;
        if (x & y & BPE_ADDED) x |= BPE_IN_MODEL;
        if (x != y || a->tokens[i].size != b->tokens[i].size) return false;
        if (memcmp(bpe_text_of(a, (int32_t)i), bpe_text_of(b, (int32_t)i), a->tokens[i].size) != 0) return false;
    }
    return true;
}

static bool equal_merges(const bpe *a, const bpe *b) {
    return a->merge_count == b->merge_count &&
           (!a->merge_count || memcmp(a->merges, b->merges, a->merge_count * sizeof *a->merges) == 0);
}

/* Each token has at most one merge, which is also in b; b makes no other tokens. made [count]: zeros. */
static bool one_merge_each(const bpe *a, const bpe *b, uint8_t *made) {
    for (uint32_t i = 0; i < a->merge_count; i++) {
        const bpe_merge *m = &a->merges[i];
        if (made[m->result]++) return false;
        if (bpe_rank_of(b, m->left, m->right) == BPE_NO_RANK) return false;
    }
    for (uint32_t i = 0; i < b->merge_count; i++)
        if (!made[b->merges[i].result]) return false;
    return true;
}

static carina_status become_themselves(bool *out, const bpe *b, carina_error *error) {
    bpe_merger *merger;
    bpe_ids ids = {0};
    TRY(bpe_merger_create(&merger, b, error));
    carina_status status = CARINA_OK;
    *out = true;
    for (uint32_t i = 0; i < b->merge_count && *out && status == CARINA_OK; i++) {
        int32_t id = b->merges[i].result;
        ids.count = 0;
        status = bpe_merge_piece(merger, bpe_text_of(b, id), b->tokens[id].size, &ids, error);
        *out = status == CARINA_OK && ids.count == 1 && ids.items[0] == id;
    }
    free(ids.items);
    bpe_merger_free(merger);
    return status;
}

static carina_status same_merges(bool *out, const bpe *a, const bpe *b, carina_error *error) {
    *out = equal_merges(a, b);
    if (*out) return CARINA_OK;
    uint8_t *made = calloc(a->count + 1, 1);
    if (!made) return error_memory(error, a->name, a->count);
    *out = one_merge_each(a, b, made);
    free(made);
    return *out ? become_themselves(out, a, error) : CARINA_OK;
}

static carina_status compare(const bpe *a, const bpe *b, carina_error *error) {
    bool merges = false;
    const char *what = same_tokens(a, b) ? other_setting(a, b) : "its tokens";
    if (!what) TRY(same_merges(&merges, a, b, error));
    if (!what && merges) return CARINA_OK;
    return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: the keys of a GGUF file cannot say %s", a->name,
                     what ? what : "its merges");
}

static carina_status read_back(const gguf_keys *keys, const bpe *b, carina_error *error) {
    cursor c = cursor_make(keys->bytes, keys->byte_count);
    gguf_metadata metadata;
    bpe *again = NULL;
    carina_status status = gguf_metadata_parse(&metadata, b->name, &c, keys->count, error);
    if (status == CARINA_OK) status = bpe_from_gguf(&again, &metadata, error);
    if (status == CARINA_OK)
        status = compare(b, again, error);
    else if (status != CARINA_ERROR_MEMORY && error)
        error->status = status = CARINA_ERROR_UNSUPPORTED;
    bpe_free(again);
    gguf_metadata_free(&metadata);
    return status;
}

carina_status bpe_gguf_keys(gguf_keys *out, const bpe *b, int vocabulary, const int *ends, int end_count,
                            carina_error *error) {
    *out = (gguf_keys){0};
    carina_status status = put_all(out, b, vocabulary, ends, end_count, error);
    if (status == CARINA_OK) status = read_back(out, b, error);
    if (status != CARINA_OK) gguf_keys_free(out);
    return status;
}
