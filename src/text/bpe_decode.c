/* Ids to text, one at a time; see bpe.h. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/bpe_internal.h"

bpe_decoder bpe_decoder_make(const bpe *b, bool skip_special) {
    return (bpe_decoder){.tokenizer = b, .skip_special = skip_special};
}

void bpe_decoder_free(bpe_decoder *d) {
    free(d->text);
    *d = (bpe_decoder){0};
}

/* Behind the text; what the decoder strips is taken off as long as nothing else was there. */
static carina_status append(bpe_decoder *d, const char *text, uint64_t size, carina_error *error) {
    const bpe_settings *s = &d->tokenizer->settings;
    while (d->stripped >= 0 && size > 0) {
        bool strip =
            d->stripped < s->strip_count && size >= s->strip.size && memcmp(text, s->strip.text, s->strip.size) == 0;
        d->stripped = strip ? d->stripped + 1 : -1;
        if (!strip) break;
        text += s->strip.size;
        size -= s->strip.size;
    }
    TRY(bpe_grow(&d->text, &d->room, d->size + size + 1, 1, error));
    if (size) memcpy(d->text + d->size, text, (size_t)size);
    d->size += size;
    d->text[d->size] = 0;
    return CARINA_OK;
}

/* Whether the waiting bytes begin a character: with the lowest bytes behind them it is whole. */
static bool may_go_on(const bpe_decoder *d) {
    uint8_t whole[4] = {d->bytes[0], 0x80, 0x80, 0x80};
    if (d->byte_count == 1) return d->bytes[0] >= 0xc2 && d->bytes[0] <= 0xf4;
    memcpy(whole, d->bytes, (size_t)d->byte_count);
    return utf8_character(whole, 4) > d->byte_count;
}

/* Whole characters leave; a byte that belongs to none becomes U+FFFD; what may still become one waits, unless all must
 * go. */
static carina_status settle(bpe_decoder *d, bool all, carina_error *error) {
    while (d->byte_count > 0) {
        int length = utf8_character(d->bytes, (uint64_t)d->byte_count);
        if (length == 0 && !all && may_go_on(d)) return CARINA_OK;
        TRY(append(d, length ? (const char *)d->bytes : "\xef\xbf\xbd", length ? (uint64_t)length : 3, error));
        if (length == 0) length = 1;
        d->byte_count -= length;
        memmove(d->bytes, d->bytes + length, (size_t)d->byte_count);
    }
    return CARINA_OK;
}

static int hexadecimal(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The byte that <0xE2> stands for, -1 for other texts. */
static int byte_of(const char *text, uint64_t size) {
    if (size != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    int high = hexadecimal(text[3]), low = hexadecimal(text[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Room for a token's text on its way through the decoder's patterns. */
typedef struct replaced_text {
    char *from, *to;
    uint64_t from_room, to_room;
} replaced_text;

static void free_replaced(replaced_text *r) {
    free(r->from);
    free(r->to);
}

/* *text becomes the text with the decoder's patterns replaced, of r when there are any. */
static carina_status replace(replaced_text *r, const bpe_settings *s, const char **text, uint64_t *size,
                             carina_error *error) {
    for (int i = 0; i < s->decode_count; i++) {
        TRY(bpe_apply(&s->decode[i], *text, *size, &r->to, size, &r->to_room, error));
        *text = r->to;
        *r = (replaced_text){r->to, r->from, r->to_room, r->from_room};
    }
    return CARINA_OK;
}

static carina_status append_replaced(bpe_decoder *d, const char *text, uint64_t size, carina_error *error) {
    const bpe_settings *s = &d->tokenizer->settings;
    replaced_text r = {0};
    carina_status status = replace(&r, s, &text, &size, error);
    int byte = s->decode_bytes && status == CARINA_OK ? byte_of(text, size) : -1;
    if (byte >= 0) {
        d->bytes[d->byte_count++] = (uint8_t)byte; /* at most three wait */
        status = settle(d, false, error);
    } else if (status == CARINA_OK) {
        status = settle(d, true, error);
        if (status == CARINA_OK) status = append(d, text, size, error);
    }
    free_replaced(&r);
    return status;
}

carina_status bpe_token_bytes(const bpe *b, int id, char **out, uint64_t *room, uint64_t *at, carina_error *error) {
    const bpe_settings *s = &b->settings;
    uint64_t size = 0;
    const char *text = id >= 0 && id < bpe_count(b) ? bpe_token(b, id, &size) : NULL;
    if (!text || bpe_is_special(b, id)) return CARINA_OK;
    replaced_text r = {0};
    carina_status status = replace(&r, s, &text, &size, error);
    int byte = s->decode_bytes && status == CARINA_OK ? byte_of(text, size) : -1;
    char single = (char)byte;
    if (byte >= 0) text = &single, size = 1;
    if (status == CARINA_OK) status = bpe_grow(out, room, *at + size + 1, 1, error);
    if (status == CARINA_OK && size) memcpy(*out + *at, text, (size_t)size);
    if (status == CARINA_OK) *at += size;
    free_replaced(&r);
    return status;
}

carina_status bpe_decoder_push(bpe_decoder *d, int64_t id, carina_error *error) {
    uint64_t size = 0;
    const char *text = id >= 0 && id < bpe_count(d->tokenizer) ? bpe_token(d->tokenizer, (int)id, &size) : NULL;
    if (!text)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: no token has id %lld (there are 0 to %d)",
                         d->tokenizer->name, (long long)id, bpe_count(d->tokenizer) - 1);
    if (d->skip_special && bpe_is_special(d->tokenizer, (int)id)) return CARINA_OK;
    return append_replaced(d, text, size, error);
}

carina_status bpe_decoder_finish(bpe_decoder *d, carina_error *error) {
    TRY(settle(d, true, error));
    return append(d, "", 0, error);
}

carina_status bpe_decode(const bpe *b, const int32_t *ids, uint64_t count, bool skip_special, char **out,
                         uint64_t *out_size, carina_error *error) {
    bpe_decoder d = bpe_decoder_make(b, skip_special);
    carina_status status = CARINA_OK;
    for (uint64_t i = 0; status == CARINA_OK && i < count; i++) status = bpe_decoder_push(&d, ids[i], error);
    if (status == CARINA_OK) status = bpe_decoder_finish(&d, error);
    *out = status == CARINA_OK ? d.text : NULL;
    *out_size = status == CARINA_OK ? d.size : 0;
    if (status != CARINA_OK) bpe_decoder_free(&d);
    return status;
}
