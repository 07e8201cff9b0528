/* Any bytes as a GGUF file with a tokenizer and a chat template in it; what is read encodes and decodes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "format/gguf.h"
#include "text/bpe_gguf.h"
#include "text/chat_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const bpe *b) {
    static const char text[] = " a bc\xc3\xa9<s>  aabbcc\xff";
    bpe_encoder *encoder;
    carina_error error;
    const int32_t *ids;
    uint64_t count, decoded_size;
    char *decoded;
    if (bpe_encoder_create(&encoder, b, &error) != CARINA_OK) return;
    if (bpe_encode(encoder, text, sizeof text - 1, true, &ids, &count, &error) == CARINA_OK &&
        bpe_decode(b, ids, count, false, &decoded, &decoded_size, &error) == CARINA_OK)
        free(decoded);
    bpe_encoder_free(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf_file file;
    bpe *b;
    chat_template *t;
    carina_error error;
    if (gguf_parse(&file, "fuzz", data, size, &error) != CARINA_OK) return 0;
    if (bpe_from_gguf(&b, &file.metadata, &error) == CARINA_OK) {
        use(b);
        bpe_free(b);
    }
    if (chat_template_from_gguf(&t, &file.metadata, &error) == CARINA_OK) chat_template_free(t);
    gguf_free(&file);
    return 0;
}
