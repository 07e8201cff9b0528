/* What every data set gives: one frontal film with what is known of it.
 *
 * Boxes are in pixels of `film` (the file's own pixels). What a set does not know is marked so, never guessed.
 */
#ifndef DATA_SAMPLE_H
#define DATA_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "data/finding_masks.h"
#include "image/image.h"

typedef struct sample {
    char id[96];       /* dicom_id or file name without extension */
    char patient[32];  /* bootstrap and splits go by patient; "" unknown */
    char view[8];      /* "PA", "AP" or "" */
    char sex;          /* 'M', 'F' or 0 */
    int age;           /* years, or -1 */
    int opacity;       /* a radiologist's reading of the film for lung opacity: 1 seen, 0 not; -1 nobody read it */
    int equipment;     /* 1 lines, tubes, devices visible; 0 none; -1 unknown */
    int width, height; /* of the film's file, in pixels; 0 when only the annotation was asked for and it does not say */
    image film;        /* owned; empty when only the annotation was asked for */
    box boxes[ATLAS_MAX_REGIONS];
    bool present[ATLAS_MAX_REGIONS]; /* false: the annotation lacks the region; it takes part in no loss or metric */
    bool unsure[ATLAS_MAX_REGIONS];  /* the annotator marked an edge of this box as guessed; false where nobody says */
    char *sentences[ATLAS_MAX_REGIONS]; /* owned; what the report says of each present region (data/region_sentence.h).
                                           NULL: region not present, or the set was opened without sentences */
    finding_masks masks; /* owned; where the film's findings are seen. Empty: not known, or opened without masks */
    float labels[ATLAS_LABEL_COUNT]; /* 1 positive, 0 negative, -1 uncertain, NaN not mentioned */
} sample;

void sample_clear(sample *s); /* everything unknown: no boxes, labels NaN, age, opacity, equipment -1; owns nothing */
void sample_free(sample *s);  /* frees film, sentences and masks, and clears; accepts NULL */

/* Whose film it is, for resampling by patient: of an unknown patient, the film's own id. */
const char *sample_patient(const sample *s);

/* A data set: opened once, read from any thread. */
typedef struct dataset dataset;
typedef struct dataset_class {
    const char *name; /* as written in a configuration: "chest_imagenome", "nih_boxes", ... */
    uint64_t (*count)(const dataset *d);
    /* Fills *out; pixels too when with_film. Thread safe. */
    carina_status (*read)(const dataset *d, uint64_t index, bool with_film, sample *out, carina_error *error);
    uint64_t (*fingerprint)(const dataset *d); /* of ids and annotations: changes when the data does */
    void (*free)(dataset *d);
} dataset_class;
struct dataset {
    const dataset_class *type;
    const atlas *regions; /* borrowed */
    bool has_masks;       /* masks of findings were asked for, and at least some films may have them */
};

#endif
