/* A text on its way to ids: repair, added tokens, normalizer, pre-tokenizer; see bpe.h. */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/utf8.h"
#include "text/bpe_internal.h"

/* A text that grows, kept for the next one. */
typedef struct buffer {
    char *text;
    uint64_t size, room;
} buffer;

struct bpe_encoder {
    const bpe *tokenizer;
    bpe_merger *merger;
    bpe_ids ids;
    buffer repaired, normalized[2];
};

carina_status bpe_encoder_create(bpe_encoder **out, const bpe *b, carina_error *error) {
    bpe_encoder *e = calloc(1, sizeof *e);
    *out = NULL;
    if (!e) return error_memory(error, "a tokenizer", sizeof *e);
    e->tokenizer = b;
    carina_status status = bpe_merger_create(&e->merger, b, error);
    if (status == CARINA_OK) *out = e;
    if (status != CARINA_OK) bpe_encoder_free(e);
    return status;
}

void bpe_encoder_free(bpe_encoder *e) {
    if (!e) return;
    bpe_merger_free(e->merger);
    free(e->ids.items);
    free(e->repaired.text);
    for (int i = 0; i < 2; i++) free(e->normalized[i].text);
    free(e);
}

/* ---- repair ---- */

/* Bytes of the longest beginning of a character at text, of which the whole is none: at least 1. */
static uint64_t bad_run(const char *text, uint64_t size) {
    uint8_t whole[4] = {(uint8_t)text[0], 0x80, 0x80, 0x80};
    uint64_t good = 1;
    for (; good < size && good < 4; good++) { /* could it go on? a second byte may be bounded, later ones are not */
        whole[good] = (uint8_t)text[good];
        if ((whole[good] & 0xc0) != 0x80 || utf8_character(whole, 4) <= (int)good) break;
    }
    return good;
}

static carina_status check_size(uint64_t size, carina_error *error) {
    if (size <= BPE_MAX_TEXT) return CARINA_OK;
    return error_set(error, CARINA_ERROR_LIMIT, "a text of %llu bytes, at most %u are encoded at once",
                     (unsigned long long)size, BPE_MAX_TEXT);
}

/* Every bad run becomes U+FFFD; *text is the encoder's copy then. */
static carina_status repair(bpe_encoder *e, const char **text, uint64_t *size, carina_error *error) {
    if (utf8_valid(*text, *size)) return CARINA_OK;
    uint64_t room;
    buffer *out = &e->repaired;
    if (!size_multiply(*size, 3, &room)) return error_memory(error, "a text", *size);
    TRY(bpe_grow(&out->text, &out->room, room, 1, error));
    out->size = 0;
    for (uint64_t at = 0; at < *size;) {
        int length = utf8_character(*text + at, *size - at);
        memcpy(out->text + out->size, length ? *text + at : "\xef\xbf\xbd", length ? (size_t)length : 3);
        out->size += length ? (uint64_t)length : 3;
        at += length ? (uint64_t)length : bad_run(*text + at, *size - at);
    }
    *text = out->text;
    *size = out->size;
    return check_size(*size, error);
}

/* ---- rules ---- */

carina_status bpe_apply(const bpe_rule *rule, const char *text, uint64_t size, char **out, uint64_t *out_size,
                        uint64_t *room, carina_error *error) {
    uint64_t used = 0, at = 0;
    uint32_t content = rule->content.size;
    if (rule->prepend) {
        uint32_t front = size ? content : 0;
        TRY(bpe_grow(out, room, size + front + 1, 1, error));
        memcpy(*out, rule->content.text, front);
        if (size) memcpy(*out + front, text, (size_t)size);
        *out_size = size + front;
        return CARINA_OK;
    }
    while (at < size) {
        const char *found = memmem(text + at, (size_t)(size - at), rule->pattern.text, rule->pattern.size);
        uint64_t plain = found ? (uint64_t)(found - text) - at : size - at;
        if (used + plain + content > BPE_MAX_TEXT)
            return error_set(error, CARINA_ERROR_LIMIT, "a text has more than %u bytes when normalized", BPE_MAX_TEXT);
        if (used + plain + content > *room) TRY(bpe_grow(out, room, used + plain + content, 1, error));
        memcpy(*out + used, text + at, (size_t)plain);
        used += plain;
        at += plain;
        if (!found) break;
        memcpy(*out + used, rule->content.text, content);
        used += content;
        at += rule->pattern.size;
    }
    *out_size = used;
    return CARINA_OK;
}

static carina_status normalize(bpe_encoder *e, const char **text, uint64_t *size, carina_error *error) {
    const bpe_settings *s = &e->tokenizer->settings;
    for (int i = 0; i < s->rule_count; i++) {
        buffer *out = &e->normalized[i % 2];
        TRY(bpe_apply(&s->rules[i], *text, *size, &out->text, &out->size, &out->room, error));
        *text = out->text;
        *size = out->size;
    }
    return CARINA_OK;
}

/* ---- pieces ---- */

/* Cuts as the pre-tokenizer wants it. */
static carina_status encode_pieces(bpe_encoder *e, const char *text, uint64_t size, carina_error *error) {
    const bpe_settings *s = &e->tokenizer->settings;
    const bpe_pattern *p = &s->split_at;
    uint64_t begin = 0, at = 0;
    while (s->split != BPE_SPLIT_NONE && at < size) {
        const char *found = memmem(text + at, (size_t)(size - at), p->text, p->size);
        if (!found) break;
        uint64_t place = (uint64_t)(found - text), behind = place + p->size;
        uint64_t end = s->split == BPE_SPLIT_PREVIOUS ? behind : place;
        if (end > begin) TRY(bpe_merge_piece(e->merger, text + begin, end - begin, &e->ids, error));
        if (s->split == BPE_SPLIT_ISOLATED) TRY(bpe_merge_piece(e->merger, found, p->size, &e->ids, error));
        begin = s->split == BPE_SPLIT_NEXT ? place : behind;
        at = behind;
    }
    return bpe_merge_piece(e->merger, text + begin, size - begin, &e->ids, error);
}

static carina_status add_id(bpe_encoder *e, int32_t id, carina_error *error) {
    TRY(bpe_grow(&e->ids.items, &e->ids.room, e->ids.count + 1, sizeof id, error));
    e->ids.items[e->ids.count++] = id;
    return CARINA_OK;
}

static carina_status encode_normalized(bpe_encoder *e, const char *text, uint64_t size, carina_error *error) {
    bpe_match match = {0};
    for (;;) {
        uint64_t at = match.end;
        match = bpe_match_next(e->tokenizer, &e->tokenizer->normalized, text, size, &match);
        uint64_t end = match.id < 0 ? size : match.text_end;
        if (end > at) TRY(encode_pieces(e, text + at, end - at, error));
        if (match.id < 0) return CARINA_OK;
        TRY(add_id(e, match.id, error));
    }
}

static carina_status encode_raw(bpe_encoder *e, const char *text, uint64_t size, carina_error *error) {
    bpe_match match = {0};
    for (;;) {
        uint64_t at = match.end;
        match = bpe_match_next(e->tokenizer, &e->tokenizer->raw, text, size, &match);
        uint64_t end = match.id < 0 ? size : match.text_end;
        if (end > at) {
            const char *part = text + at;
            uint64_t length = end - at;
            TRY(normalize(e, &part, &length, error));
            TRY(encode_normalized(e, part, length, error));
        }
        if (match.id < 0) return CARINA_OK;
        TRY(add_id(e, match.id, error));
    }
}

carina_status bpe_encode(bpe_encoder *e, const char *text, uint64_t size, bool add_special, const int32_t **ids,
                         uint64_t *count, carina_error *error) {
    const bpe_settings *s = &e->tokenizer->settings;
    *ids = NULL;
    *count = 0;
    e->ids.count = 0;
    TRY(check_size(size, error));
    TRY(repair(e, &text, &size, error));
    for (int i = 0; add_special && i < s->before_count; i++) TRY(add_id(e, s->before[i], error));
    TRY(encode_raw(e, text, size, error));
    for (int i = 0; add_special && i < s->after_count; i++) TRY(add_id(e, s->after[i], error));
    *ids = e->ids.items;
    *count = e->ids.count;
    return CARINA_OK;
}
