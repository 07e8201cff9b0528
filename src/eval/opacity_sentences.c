/* Kinds of sentences about the lungs, and similarities to them; see opacity_sentences.h. */
#include "eval/opacity_sentences.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/sentence_findings.h"

const char *const opacity_region_names[OPACITY_REGIONS] = {
    "right lung",
    "left lung",
    "right apical zone",
    "left apical zone",
    "right upper lung zone",
    "left upper lung zone",
    "right mid lung zone",
    "left mid lung zone",
    "right lower lung zone",
    "left lower lung zone",
};

/* ---- kinds ---- */

typedef enum meaning { SAYS_NOTHING, SAYS_OPACITY, SAYS_ANY_OPACITY, SAYS_OTHER_BRIGHTNESS } meaning;

typedef struct finding_meaning {
    const char *name; /* Chest ImaGenome's attribute word */
    meaning meaning;
} finding_meaning;

static const finding_meaning meanings[] = {
    {"airspace opacity", SAYS_OPACITY},
    {"consolidation", SAYS_OPACITY},
    {"infiltration", SAYS_OPACITY},
    {"pneumonia", SAYS_OPACITY},
    {"aspiration", SAYS_OPACITY},
    {"alveolar hemorrhage", SAYS_OPACITY},
    {"pulmonary edema/hazy opacity", SAYS_OPACITY},
    {"atelectasis", SAYS_OPACITY},
    {"linear/patchy atelectasis", SAYS_OPACITY},
    {"lobar/segmental collapse", SAYS_OPACITY},
    {"lung opacity", SAYS_ANY_OPACITY},
    {"mass/nodule (not otherwise specified)", SAYS_OTHER_BRIGHTNESS},
    {"multiple masses/nodules", SAYS_OTHER_BRIGHTNESS},
    {"calcified nodule", SAYS_OTHER_BRIGHTNESS},
    {"lung lesion", SAYS_OTHER_BRIGHTNESS},
    {"lung cancer", SAYS_OTHER_BRIGHTNESS},
    {"granulomatous disease", SAYS_OTHER_BRIGHTNESS},
    {"pleural/parenchymal scarring", SAYS_OTHER_BRIGHTNESS},
    {"pleural effusion", SAYS_OTHER_BRIGHTNESS},
    {"hydropneumothorax", SAYS_OTHER_BRIGHTNESS},
};

static meaning meaning_of(const sentence_finding *f) {
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (strlen(meanings[i].name) == f->length && memcmp(meanings[i].name, f->name, f->length) == 0)
            return meanings[i].meaning;
    return SAYS_NOTHING;
}

opacity_kind opacity_sentence_kind(const char *sentence, const char *object, const atlas *regions) {
    sentence_finding found[SENTENCE_FINDINGS];
    bool says[SAYS_OTHER_BRIGHTNESS + 1] = {false};
    int count = sentence_findings_parse(found, sentence, object, regions);
    if (count == 0) return OPACITY_HEALTHY;
    for (int i = 0; i < count; i++) says[meaning_of(&found[i])] = true;
    bool shown = says[SAYS_OPACITY] || (says[SAYS_ANY_OPACITY] && !says[SAYS_OTHER_BRIGHTNESS]);
    return shown ? OPACITY_SHOWN : OPACITY_NEITHER;
}

/* ---- a database ---- */

typedef struct lung_region {
    int region;                                   /* of the set; -1: it has none such */
    opacity_kind *kinds;                          /* [rows] */
    float *similarities, *probabilities, *scores; /* [rows] */
} lung_region;

struct opacity_database {
    const sentence_ranking *ranking;
    lung_region regions[OPACITY_REGIONS];
    bool answers[OPACITY_REGIONS];
};

static carina_status sort_region(opacity_database *d, int place, const atlas *regions, carina_error *error) {
    lung_region *lung = &d->regions[place];
    bool has[OPACITY_SHOWN + 1] = {false};
    lung->region = atlas_find(regions, opacity_region_names[place]);
    if (lung->region < 0) return CARINA_OK;
    const sentence_region *r = sentence_index_region(d->ranking->index, lung->region);
    lung->kinds = malloc(((size_t)r->count + 1) * sizeof *lung->kinds);
    lung->similarities = malloc(((size_t)r->count + 1) * sizeof *lung->similarities);
    lung->probabilities = malloc(((size_t)r->count + 1) * sizeof *lung->probabilities);
    lung->scores = malloc(((size_t)r->count + 1) * sizeof *lung->scores);
    if (!lung->kinds || !lung->similarities || !lung->probabilities || !lung->scores)
        return error_memory(error, r->name, r->count * sizeof *lung->kinds);
    for (uint64_t i = 0; i < r->count; i++) {
        lung->kinds[i] = opacity_sentence_kind(r->entries[i].text, r->display, regions);
        has[lung->kinds[i]] = true;
    }
    d->answers[place] = has[OPACITY_SHOWN] && has[OPACITY_HEALTHY];
    return CARINA_OK;
}

carina_status opacity_database_create(opacity_database **out, const sentence_ranking *ranking, const atlas *regions,
                                      const char *name, carina_error *error) {
    bool any = false;
    *out = NULL;
    opacity_database *d = calloc(1, sizeof *d);
    if (!d) return error_memory(error, name, sizeof *d);
    d->ranking = ranking;
    carina_status status = sentence_index_check(ranking->index, name, &(sentence_index_use){.regions = regions}, error);
    for (int i = 0; i < OPACITY_REGIONS && status == CARINA_OK; i++) {
        status = sort_region(d, i, regions, error);
        any |= d->answers[i];
    }
    if (status == CARINA_OK && !any)
        status =
            error_set(error, CARINA_ERROR_MISMATCH,
                      "%s: no lung region has both a sentence that it is healthy and one that shows an opacity", name);
    if (status == CARINA_OK)
        *out = d;
    else
        opacity_database_free(d);
    return status;
}

void opacity_database_free(opacity_database *d) {
    if (!d) return;
    for (int i = 0; i < OPACITY_REGIONS; i++) {
        free(d->regions[i].kinds);
        free(d->regions[i].similarities);
        free(d->regions[i].probabilities);
        free(d->regions[i].scores);
    }
    free(d);
}

const bool *opacity_database_answers(const opacity_database *d) { return d->answers; }

carina_status opacity_database_ask(opacity_database *d, const float *features, opacity_answer out[OPACITY_REGIONS],
                                   carina_error *error) {
    for (int i = 0; i < OPACITY_REGIONS; i++) {
        lung_region *lung = &d->regions[i];
        out[i] = (opacity_answer){0};
        if (!d->answers[i]) continue;
        const sentence_region *r = sentence_index_region(d->ranking->index, lung->region);
        float *s = lung->similarities, best[OPACITY_SHOWN + 1] = {-INFINITY, -INFINITY, -INFINITY};
        const float *scores = lung->scores;
        uint64_t first = 0;
        const float *feature = features + (int64_t)lung->region * sentence_index_width(d->ranking->index);
        TRY(sentence_ranking_rate(d->ranking, lung->region, feature, s, lung->probabilities, lung->scores, error));
        for (uint64_t row = 0; row < r->count; row++) {
            if (scores[row] > scores[first]) first = row;
            if (s[row] > best[lung->kinds[row]]) best[lung->kinds[row]] = s[row];
        }
        out[i] = (opacity_answer){best[OPACITY_SHOWN], best[OPACITY_HEALTHY], lung->kinds[first] == OPACITY_SHOWN,
                                  r->entries[first].text};
    }
    return CARINA_OK;
}
