/* Kept predictions of retrieval, over any bytes: what is accepted can be measured. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "eval/retrieval_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    retrieval_predictions p;
    retrieval_report *r;
    carina_error error;
    if (retrieval_predictions_parse(&p, "fuzz", (const char *)data, size, &error) == CARINA_OK) {
        if (retrieval_report_create(&r, "fuzz", &p, 2, 1, &error) != CARINA_OK) abort();
        if (r->all.items == 0 || r->films == 0 || r->films > r->all.items) abort();
        free(r);
    }
    retrieval_predictions_free(&p);
    return 0;
}
