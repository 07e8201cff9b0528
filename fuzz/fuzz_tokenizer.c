/* Any bytes as tokenizer.json and text (a zero byte between them): what is accepted encodes the text to ids that have
 * tokens, decodes them, and takes a token more. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const bpe *b, const char *text, size_t size) {
    bpe_encoder *e;
    carina_error error;
    const int32_t *ids;
    uint64_t count, token_size, decoded_size;
    char *decoded;
    if (bpe_encoder_create(&e, b, &error) != CARINA_OK) return;
    if (bpe_encode(e, text, size, size & 1, &ids, &count, &error) == CARINA_OK) {
        for (uint64_t i = 0; i < count; i++) assert(bpe_token(b, ids[i], &token_size));
        if (bpe_decode(b, ids, count, size & 2, &decoded, &decoded_size, &error) == CARINA_OK) free(decoded);
    }
    bpe_encoder_free(e);
}

/* Ids out of the blue. */
static void decode(const bpe *b, const uint8_t *data, size_t size) {
    bpe_decoder d = bpe_decoder_make(b, false);
    carina_error error;
    for (size_t i = 0; i < size; i++) {
        carina_status status = bpe_decoder_push(&d, (int64_t)data[i] - 8, &error);
        uint64_t token_size;
        assert((status == CARINA_OK) == (bpe_token(b, data[i] - 8, &token_size) != NULL));
    }
    assert(bpe_decoder_finish(&d, &error) == CARINA_OK && strlen(d.text) <= d.size);
    bpe_decoder_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t file_size = end ? (size_t)(end - data) : size;
    const uint8_t *text = end ? end + 1 : data;
    size_t text_size = end ? size - file_size - 1 : size;
    if (text_size > 4096) text_size = 4096;
    carina_error error;
    bpe *b;
    if (bpe_parse(&b, "fuzz", data, file_size, &error) != CARINA_OK) {
        assert(!b && error.message[0] && !strchr(error.message, '\n'));
        return 0;
    }
    encode(b, (const char *)text, text_size);
    decode(b, text, text_size);
    int32_t id;
    const char *new_token = "<new>";
    if (bpe_add(b, &new_token, 1, true, &id, &error) == CARINA_OK) assert(bpe_find(b, "<new>", 5) == id);
    encode(b, (const char *)text, text_size);
    bpe_free(b);
    return 0;
}
