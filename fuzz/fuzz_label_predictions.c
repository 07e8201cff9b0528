/* Kept predictions of labels, over any bytes: what is accepted can be scored. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "eval/label_predictions.h"
#include "eval/label_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static label_predictions p;
    carina_error error;
    if (label_predictions_parse(&p, "fuzz", (const char *)data, size, &error) == CARINA_OK) {
        const label_report_options o = {.set = p.set, .model = p.model, .resamples = 2};
        label_report *r;
        if (p.table.patient_count > p.table.film_count) abort();
        if (label_report_create(&r, &p.table, &p.calibration, &o, NULL) == CARINA_OK) label_report_free(r);
    }
    label_predictions_free(&p);
    return 0;
}
