/* Cutting reports over any bytes: pieces are bounded, hold no control characters and no double blanks. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/report_sentences.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool check(void *context, const char *sentence) {
    (void)context;
    size_t length = strlen(sentence);
    if (length < 2 || length > REPORT_SENTENCE_MAX || strstr(sentence, "  ")) abort();
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)sentence[i] < 0x20 || sentence[i] == 0x7f) abort();
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    report_sentences((const char *)data, size, check, NULL);
    return 0;
}
