/* Kept predictions of lung opacity, over any bytes: what is accepted can be measured. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "eval/opacity_predictions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    opacity_predictions p;
    opacity_figures f;
    carina_error error;
    if (opacity_predictions_parse(&p, "fuzz", (const char *)data, size, &error) == CARINA_OK) {
        if (opacity_measure(&f, &p.table, 2, 1, &error) == CARINA_OK && f.films[0] + f.films[1] != p.table.count)
            abort();
    }
    opacity_predictions_free(&p);
    return 0;
}
