/* The empty sample and its end; see sample.h. */
#include "data/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void sample_clear(sample *s) {
    memset(s, 0, sizeof *s);
    s->age = -1;
    s->opacity = -1;
    s->equipment = -1;
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) s->labels[i] = NAN;
}

const char *sample_patient(const sample *s) { return *s->patient ? s->patient : s->id; }

void sample_free(sample *s) {
    if (!s) return;
    image_free(&s->film);
    for (int i = 0; i < ATLAS_MAX_REGIONS; i++) free(s->sentences[i]);
    finding_masks_free(&s->masks);
    sample_clear(s);
}
