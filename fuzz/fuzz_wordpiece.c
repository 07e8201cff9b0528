/* Any bytes as vocabulary and text (a zero byte between them), and as tokenizer options: ids stay inside the
 * vocabulary, and inside the room that was given. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text/wordpiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count_words(void *context, const char *word, int size) {
    assert(size > 0 && word);
    return --*(int *)context > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t words = end ? (size_t)(end - data) : size;
    const char *text = end ? (const char *)end + 1 : (const char *)data;
    size_t text_size = end ? size - words - 1 : size;
    wordpiece w = {.options = {size & 1, size & 2, size & 4}};
    carina_error error;
    wordpiece_options options;
    (void)wordpiece_options_parse(&options, "fuzz", data, words, &error);
    int most = 20;
    wordpiece_split(&w.options, text, text_size, count_words, &most);
    if (vocabulary_parse(&w.words, "fuzz", data, words, &error) != CARINA_OK) return 0;
    int ids[32], limit = 2 + (int)(size % 31);
    int count = wordpiece_encode(&w, text, text_size, ids, limit, NULL);
    assert(count >= 2 && count <= limit);
    for (int i = 0; i < count; i++) assert(vocabulary_token(&w.words, ids[i]));
    wordpiece_free(&w);
    return 0;
}
