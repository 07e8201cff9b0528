/* Counting triples of denials; see text_negation.h. */
#include "train/text_negation.h"

#include <stdlib.h>

/* One sentence that says something of the finding in question, as the denial sees it. */
typedef struct candidate {
    double near;  /* cosine */
    double words; /* share of words in common (Dice) */
} candidate;

static bool says(const text_sentence *s, uint32_t feature) {
    for (int i = 0; i < s->feature_count && s->features[i] <= feature; i++)
        if (s->features[i] == feature) return true;
    return false;
}

static double words_in_common(const text_sentence *a, const text_sentence *b) {
    int common = 0;
    for (int i = 0; i < a->token_count; i++)
        for (int j = 0; j < b->token_count; j++)
            if (a->tokens[i] == b->tokens[j]) {
                common++;
                break;
            }
    return a->token_count + b->token_count ? 2.0 * common / (a->token_count + b->token_count) : 0;
}

typedef struct work {
    const text_corpus *corpus;
    const uint32_t *sentences;
    uint32_t count;
    const float *vectors;
    int64_t width;
    candidate *deny, *affirm; /* [count] */
} work;

/* The other sentences with `wanted` and without `other`. */
static uint32_t gather(candidate *out, const work *w, uint32_t own, uint32_t wanted, uint32_t other) {
    const text_sentence *all = w->corpus->sentences, *denial = &all[w->sentences[own]];
    const float *x = w->vectors + own * w->width;
    uint32_t found = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const text_sentence *s = &all[w->sentences[i]];
        if (i == own || !says(s, wanted) || says(s, other)) continue;
        double near = 0;
        for (int64_t k = 0; k < w->width; k++) near += (double)x[k] * (double)w->vectors[i * w->width + k];
        out[found++] = (candidate){near, words_in_common(denial, s)};
    }
    return found;
}

static void count_triples(text_negation *out, const work *w, uint32_t own, uint32_t denied) {
    uint32_t affirmed = w->corpus->opposite[denied];
    uint32_t denying = gather(w->deny, w, own, denied, affirmed),
             affirming = gather(w->affirm, w, own, affirmed, denied);
    uint64_t right = 0;
    if (denying == 0 || affirming == 0) return;
    for (uint32_t i = 0; i < denying; i++)
        for (uint32_t j = 0; j < affirming; j++) {
            bool nearer = w->deny[i].near > w->affirm[j].near;
            right += nearer;
            if (w->affirm[j].words <= w->deny[i].words) continue;
            out->misleading++;
            out->misleading_right += nearer;
        }
    out->denials++;
    out->right += (double)right / ((double)denying * affirming);
}

carina_status text_negation_measure(text_negation *out, const text_corpus *corpus, const uint32_t *sentences,
                                    uint32_t count, const float *vectors, int64_t width, carina_error *error) {
    work w = {corpus, sentences, count, vectors, width, NULL, NULL};
    *out = (text_negation){0};
    w.deny = malloc(((size_t)count + 1) * sizeof *w.deny);
    w.affirm = malloc(((size_t)count + 1) * sizeof *w.affirm);
    bool room = w.deny && w.affirm;
    for (uint32_t i = 0; i < count && room; i++) {
        const text_sentence *s = &corpus->sentences[sentences[i]];
        for (int f = 0; f < s->feature_count; f++) {
            uint32_t feature = s->features[f], opposite = corpus->opposite[feature];
            if (corpus->kind[feature] == 'n' && opposite != UINT32_MAX && !says(s, opposite))
                count_triples(out, &w, i, feature);
        }
    }
    if (out->denials) out->right /= (double)out->denials;
    free(w.deny);
    free(w.affirm);
    return room ? CARINA_OK : error_memory(error, "sentences", (uint64_t)count * sizeof *w.deny);
}
