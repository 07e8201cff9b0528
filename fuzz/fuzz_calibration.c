/* The calibration note of a model file, over any text: what is accepted can be used, written, and read back alike. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/calibration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LABELS 3

static carina_status read_text(calibration *out, const char *text) {
    carina_error error;
    return calibration_parse(out, text, LABELS, "fuzz", &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static calibration first, second;
    char *text = malloc(size + 1), *written;
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (read_text(&first, text) == CARINA_OK) {
        for (int i = 0; i < LABELS; i++) {
            float p = calibration_probability(&first, i, 3);
            if (!(p >= 0 && p <= 1 && first.threshold[i] >= 0 && first.threshold[i] <= 1)) abort();
        }
        if (calibration_text(&written, &first, NULL) == CARINA_OK) {
            if (read_text(&second, written) != CARINA_OK || first.fitted != second.fitted) abort();
            if (memcmp(first.temperature, second.temperature, sizeof first.temperature) != 0) abort();
            if (memcmp(first.threshold, second.threshold, sizeof first.threshold) != 0) abort();
            const sentence_calibration *a = &first.sentences, *b = &second.sentences;
            if (a->fitted != b->fitted) abort();
            if (a->fitted && (!(a->temperature > 0 && a->prior_exponent >= 0) || a->temperature != b->temperature ||
                              a->prior_exponent != b->prior_exponent))
                abort();
            free(written);
        }
    }
    free(text);
    return 0;
}
