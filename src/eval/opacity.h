/* Do the sentences that the lungs retrieve tell films on which radiologists saw lung opacity from those on which they
 * did not? (RSNA 2018 readings of NIH films, sample.opacity: real films, and a truth that no report was mined for.)
 *
 * A region's score is how much nearer its feature lies to an opacity than to health:
 *
 *     the highest similarity of a sentence of the region that shows an opacity - that of "... is healthy."
 *
 * (eval/opacity_sentences.h says which sentences and regions these are.) A film's score is the largest of its regions':
 * one opacity anywhere makes the film one with opacity. Regions are taken as they are, nothing is fitted: one whose
 * feature lies nearer to opacities on every film decides for all. Figures:
 *
 *   AUC           the chance that a film with opacity has the higher score than one without, ties half (eval/labels.h);
 *                 0.5 is what any constant score reaches
 *   sensitivity   the share of films with opacity on which some region's first sentence, of all that it has as they are
 *                 ranked (by the model's calibration, where it has one), shows one: what `interpret` prints
 *   specificity   the share of films without on which none does; a constant answer, or a coin, makes
 *                 sensitivity + specificity 1
 *
 * and the same of each region alone, whose truth is the whole film's still. Intervals are from resampling patients, of
 * all figures together.
 */
#ifndef EVAL_OPACITY_H
#define EVAL_OPACITY_H

#include "data/string_index.h"
#include "eval/bootstrap.h"
#include "eval/opacity_sentences.h"

typedef struct opacity_film {
    uint32_t patient; /* from 0 */
    bool seen;        /* the reading: lung opacity */
    opacity_answer answers[OPACITY_REGIONS];
} opacity_film;

/* Films that somebody read, with what the lungs' sentences say of each. */
typedef struct opacity_table {
    bool answers[OPACITY_REGIONS]; /* regions that have an answer, on every film */
    uint64_t count, room;
    opacity_film *films;
    string_index *patients;
    uint64_t not_read; /* films of the set that are left out, for nobody read them */
} opacity_table;

carina_status opacity_table_create(opacity_table *out, const bool answers[OPACITY_REGIONS], carina_error *error);
void opacity_table_free(opacity_table *table); /* accepts an empty one */
/* Texts of the answers are not kept. */
carina_status opacity_table_add(opacity_table *table, const char *patient, bool seen,
                                const opacity_answer answers[OPACITY_REGIONS], carina_error *error);

float opacity_film_score(const opacity_table *table, const opacity_film *f);

/* ---- figures ---- */

typedef enum opacity_value { OPACITY_AUC, OPACITY_SENSITIVITY, OPACITY_SPECIFICITY, OPACITY_VALUES } opacity_value;

#define OPACITY_LINES (1 + OPACITY_REGIONS) /* the film; each region alone */

typedef struct opacity_line { /* NaN where there is nothing to count: no film of a kind, a region without answer */
    double value[OPACITY_VALUES];
    metrics_interval interval[OPACITY_VALUES];
} opacity_line;

typedef struct opacity_figures {
    uint64_t films[2], patients[2]; /* [0] without, [1] with opacity; a patient can be in both */
    uint64_t patient_count;
    opacity_line lines[OPACITY_LINES];
} opacity_figures;

carina_status opacity_measure(opacity_figures *out, const opacity_table *table, int resamples, uint64_t seed,
                              carina_error *error);

#endif
