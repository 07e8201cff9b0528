/* Where on a film its findings are seen: masks, kept coarsely.
 *
 * On disk, one folder for each film (written by `carina data phantom`):
 *     masks.json  {"described": ["pneumothorax", "picc", ...],
 *                  "masks": [{"name": "lesion_00_nodule", "attributes": ["calcified nodule", "lung lesion"]}, ...]}
 *     NAME.png    grey, of the film's size; above half where it is seen
 * attributes: Chest ImaGenome's names of findings, those that an annotator would give the region as well; those that
 * the region set lacks, and masks without any (organs), are passed over. described: the findings of which every sight
 * has a mask, so that none means there is none. Of others nothing is known where no mask shows them.
 *
 * In memory, cells of 1/128 of the letterboxed square (image/letterbox.h): one is set where the finding is seen
 * somewhere in it. Findings are numbered as by sentence_finding_names.
 */
#ifndef DATA_FINDING_MASKS_H
#define DATA_FINDING_MASKS_H

#include "atlas/sentence_findings.h"
#include "base/error.h"

#define FINDING_MASKS_SIDE 128 /* cells */
#define FINDING_MASKS_MOST 256 /* on one film */

typedef struct finding_set {
    uint64_t bits[SENTENCE_FINDING_NAMES / 64];
} finding_set;

typedef struct finding_mask {
    finding_set findings;
    uint8_t cells[FINDING_MASKS_SIDE * FINDING_MASKS_SIDE / 8]; /* row by row, bit i % 8 of byte i / 8 */
} finding_mask;

typedef struct finding_masks {
    finding_set described; /* empty: nothing is known */
    int count;
    finding_mask *items; /* [count], owned */
} finding_masks;

/* folder: of one film of width x height pixels. Without a masks.json in it nothing is known: *out is empty. Masks of
 * another size, and what is no mask, are errors with the file's name. */
carina_status finding_masks_read(finding_masks *out, const char *folder, int width, int height, const atlas *regions,
                                 carina_error *error);
/* The same from the text of masks.json; pictures are in the folder. */
carina_status finding_masks_parse(finding_masks *out, const char *text, uint64_t size, const char *folder, int width,
                                  int height, const atlas *regions, carina_error *error);
void finding_masks_free(finding_masks *masks); /* and empties it */

static inline bool finding_set_has(const finding_set *set, int finding) {
    return set->bits[finding / 64] >> (finding % 64) & 1;
}

#endif
