/* Measuring a text encoder; see text_measure.h. */
#include "train/text_measure.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HIDDEN_SEED 0x6d65617375726500ULL
#define PAIR_SEED   0x6d65617375726501ULL
#define PAIR_BATCH  32
#define PAIR_ROUNDS 8

typedef struct measured {
    uint32_t *sentence; /* [n] */
    float *vector;      /* [n, D], unit length */
    float *meaning;     /* [n, k], unit length */
    uint32_t n;
    int64_t width, features;
} measured;

static void make_unit(float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    float inverse = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (int64_t i = 0; i < n; i++) x[i] *= inverse;
}
static double dot(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* The most frequent word of the training sentences. */
static carina_status usual_word(const text_measure *m, int *out, carina_error *error) {
    uint32_t *seen = calloc((size_t)m->masks->vocabulary, sizeof *seen);
    if (!seen) return error_memory(error, "words", (uint64_t)m->masks->vocabulary * sizeof *seen);
    const text_corpus *c = m->corpus;
    for (uint32_t i = c->train.begin; i < c->train.end; i++)
        for (int j = 0; j < c->sentences[i].token_count; j++) seen[c->sentences[i].tokens[j]]++;
    *out = 0;
    for (int v = 1; v < m->masks->vocabulary; v++)
        if (seen[v] > seen[*out]) *out = v;
    free(seen);
    return CARINA_OK;
}

/* ---- words ---- */

static void judge_word(const float *logits, int words, int target, int usual, text_figures *f) {
    int best = 0;
    double sum = 0;
    for (int v = 1; v < words; v++)
        if (logits[v] > logits[best]) best = v;
    for (int v = 0; v < words; v++) sum += exp((double)logits[v] - (double)logits[best]);
    f->masked_loss += log(sum) + (double)logits[best] - (double)logits[target];
    f->words++;
    f->words_right += best == target;
    f->words_usual += usual == target;
}

/* Fills rows with sentences [first, first + count) of s; the others repeat the last, so that none is empty. */
static void fill_rows(text_measure *m, const measured *s, uint32_t first, uint32_t count) {
    for (uint32_t r = 0; r < TEXT_MEASURE_ROWS; r++) {
        uint32_t i = first + (r < count ? r : count - 1);
        text_batch_sentence(m->masks, &m->corpus->sentences[s->sentence[i]], m->tokens,
                            tensor_data(m->ids) + (int64_t)r * m->tokens,
                            tensor_data(m->mask) + (int64_t)r * m->tokens);
    }
}

static void measure_words(text_measure *m, const measured *s, int usual, text_figures *f, float *targets) {
    int words = m->masks->vocabulary, tokens = m->tokens;
    for (uint32_t first = 0; first < s->n; first += TEXT_MEASURE_ROWS) {
        uint32_t count = s->n - first < TEXT_MEASURE_ROWS ? s->n - first : TEXT_MEASURE_ROWS;
        fill_rows(m, s, first, count);
        for (uint32_t r = 0; r < count; r++) {
            int used = 0;
            while (used < tokens && tensor_data(m->mask)[(int)r * tokens + used] > 0) used++;
            random_state random = random_stream(m->seed ^ HIDDEN_SEED, first + r);
            for (int i = 0; i < tokens; i++) targets[(int)r * tokens + i] = -1;
            text_batch_hide(m->masks, tensor_data(m->ids) + (int)r * tokens, targets + (int)r * tokens, used, &random);
        }
        graph_forward(m->g);
        for (int64_t i = 0; i < (int64_t)count * tokens; i++)
            if (targets[i] >= 0) judge_word(tensor_data(m->logits) + i * words, words, (int)targets[i], usual, f);
    }
    if (f->words) f->masked_loss /= (double)f->words;
}

/* ---- sentences ---- */

static void measure_vectors(text_measure *m, measured *s) {
    for (uint32_t first = 0; first < s->n; first += TEXT_MEASURE_ROWS) {
        uint32_t count = s->n - first < TEXT_MEASURE_ROWS ? s->n - first : TEXT_MEASURE_ROWS;
        fill_rows(m, s, first, count);
        graph_forward(m->g);
        memcpy(s->vector + first * s->width, tensor_data(m->pooled), (size_t)(count * s->width) * sizeof(float));
    }
    for (uint32_t i = 0; i < s->n; i++) {
        make_unit(s->vector + i * s->width, s->width);
        text_corpus_meaning(m->corpus, s->sentence[i], s->meaning + i * s->features);
        make_unit(s->meaning + i * s->features, s->features);
    }
}

static uint32_t group_of(const text_measure *m, const measured *s, uint32_t i) {
    return m->corpus->sentences[s->sentence[i]].group;
}

static void measure_neighbours(const text_measure *m, const measured *s, text_figures *f) {
    double sum[5] = {0}, pairs = 0; /* x, y, xx, yy, xy */
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t nearest = i, partners = 0, others = 0;
        double best = -2;
        if (group_of(m, s, i) == UINT32_MAX) continue;
        for (uint32_t j = 0; j < s->n; j++) {
            if (j == i || group_of(m, s, j) == UINT32_MAX) continue;
            double x = dot(s->vector + i * s->width, s->vector + j * s->width, s->width);
            double y = dot(s->meaning + i * s->features, s->meaning + j * s->features, s->features);
            sum[0] += x, sum[1] += y, sum[2] += x * x, sum[3] += y * y, sum[4] += x * y, pairs++;
            if (x > best) best = x, nearest = j;
            partners += group_of(m, s, i) == group_of(m, s, j);
            others++;
        }
        if (partners == 0) continue;
        f->partnered++;
        f->partner_nearest += group_of(m, s, nearest) == group_of(m, s, i);
        f->partner_chance += (double)partners / others;
    }
    if (f->partnered) f->partner_chance /= (double)f->partnered;
    double across = pairs * sum[4] - sum[0] * sum[1];
    double spread = sqrt((pairs * sum[2] - sum[0] * sum[0]) * (pairs * sum[3] - sum[1] * sum[1]));
    f->correlation = spread > 0 ? across / spread : 0;
}

/* Both sides of a pair are among the measured sentences; the loss is the op's, by its formula, on a few batches. */
static double pair_loss(const measured *s, const uint32_t *z, const uint32_t *t, double tau, double target_tau) {
    double a[PAIR_BATCH][PAIR_BATCH], e[PAIR_BATCH][PAIR_BATCH], loss = 0, column[PAIR_BATCH];
    for (int i = 0; i < PAIR_BATCH; i++) {
        double row = 0;
        for (int j = 0; j < PAIR_BATCH; j++) {
            a[i][j] = dot(s->vector + z[i] * s->width, s->vector + t[j] * s->width, s->width) / tau;
            e[i][j] = exp((dot(s->meaning + z[i] * s->features, s->meaning + z[j] * s->features, s->features) - 1) /
                          target_tau);
            row += e[i][j];
        }
        for (int j = 0; j < PAIR_BATCH; j++) e[i][j] /= row;
    }
    for (int j = 0; j < PAIR_BATCH; j++) {
        column[j] = 0;
        for (int i = 0; i < PAIR_BATCH; i++) column[j] += exp(a[i][j] - 1 / tau);
        column[j] = log(column[j]) + 1 / tau;
    }
    for (int i = 0; i < PAIR_BATCH; i++) {
        double row = 0;
        for (int j = 0; j < PAIR_BATCH; j++) row += exp(a[i][j] - 1 / tau);
        row = log(row) + 1 / tau;
        for (int j = 0; j < PAIR_BATCH; j++)
            if (e[i][j] > 0) loss += e[i][j] * (2 * log(e[i][j]) - 2 * a[i][j] + row + column[j]);
    }
    return loss / (2 * PAIR_BATCH);
}

/* z and t [PAIR_BATCH]: a sentence at random and the next one of its meaning, itself where there is none. */
static bool draw_pairs(const text_measure *m, const measured *s, uint64_t round, uint32_t *z, uint32_t *t) {
    random_state random = random_stream(m->seed ^ PAIR_SEED, round);
    uint32_t meant = 0;
    for (uint32_t i = 0; i < s->n; i++) meant += group_of(m, s, i) != UINT32_MAX;
    if (meant == 0) return false;
    for (int p = 0; p < PAIR_BATCH; p++) {
        do z[p] = (uint32_t)random_below(&random, s->n);
        while (group_of(m, s, z[p]) == UINT32_MAX);
        t[p] = z[p];
        do t[p] = (t[p] + 1) % s->n;
        while (group_of(m, s, t[p]) != group_of(m, s, z[p]));
    }
    return true;
}

static void measure_similarity(const text_measure *m, const measured *s, text_figures *f) {
    uint32_t z[PAIR_BATCH], t[PAIR_BATCH];
    for (uint64_t round = 0; round < PAIR_ROUNDS; round++)
        if (draw_pairs(m, s, round, z, t))
            f->similarity_loss += pair_loss(s, z, t, (double)m->tau, (double)m->target_tau) / PAIR_ROUNDS;
}

carina_status text_measure_run(text_measure *m, text_figures *out, carina_error *error) {
    const text_part *part = &m->corpus->validation;
    uint32_t there = part->end - part->begin, n = there < TEXT_MEASURE_SENTENCES ? there : TEXT_MEASURE_SENTENCES;
    measured s = {.n = n, .width = tensor_size(m->pooled, 1), .features = m->corpus->feature_count};
    int usual = 0;
    *out = (text_figures){.sentences = n};
    TRY(usual_word(m, &usual, error));
    s.sentence = malloc(((size_t)n + 1) * sizeof *s.sentence);
    s.vector = malloc(((size_t)(n * s.width) + 1) * sizeof *s.vector);
    s.meaning = malloc(((size_t)(n * s.features) + 1) * sizeof *s.meaning);
    float *targets = malloc((size_t)(TEXT_MEASURE_ROWS * m->tokens) * sizeof *targets);
    carina_status status = CARINA_OK;
    if (s.sentence && s.vector && s.meaning && targets) {
        for (uint32_t i = 0; i < n; i++) s.sentence[i] = part->begin + (uint32_t)((uint64_t)i * there / n);
        measure_words(m, &s, usual, out, targets);
        measure_vectors(m, &s);
        measure_neighbours(m, &s, out);
        measure_similarity(m, &s, out);
        status = text_negation_measure(&out->negation, m->corpus, s.sentence, n, s.vector, s.width, error);
    } else {
        status = error_memory(error, "validation sentences", (uint64_t)(n * s.width) * sizeof *s.vector);
    }
    free(s.sentence);
    free(s.vector);
    free(s.meaning);
    free(targets);
    return status;
}

static double share(uint64_t part, uint64_t whole) { return whole ? (double)part / (double)whole : 0; }

int text_figures_values(const text_figures *f, run_log_value values[TEXT_MEASURE_VALUES]) {
    const run_log_value all[] = {
        {"validation_masked_loss", f->masked_loss},
        {"validation_similarity_loss", f->similarity_loss},
        {"validation_masked_accuracy", share(f->words_right, f->words)},
        {"validation_usual_word_accuracy", share(f->words_usual, f->words)},
        {"validation_correlation", f->correlation},
        {"validation_partner_nearest", share(f->partner_nearest, f->partnered)},
        {"validation_partner_chance", f->partner_chance},
        {"validation_sentences", (double)f->sentences},
        {"validation_hidden_words", (double)f->words},
        {"validation_partnered", (double)f->partnered},
        {"validation_denials", (double)f->negation.denials},
        {"validation_negation", f->negation.right},
        {"validation_misleading_negation", share(f->negation.misleading_right, f->negation.misleading)},
    };
    int count = (int)(sizeof all / sizeof *all) - (f->negation.denials ? 0 : 2);
    memcpy(values, all, (size_t)count * sizeof *all);
    return count;
}

void text_figures_note(const text_figures *f, char *text, size_t size) {
    int length = snprintf(text, size,
                          "%" PRIu64 " new sentences: %" PRIu64 " of %" PRIu64 " hidden words guessed (%" PRIu64
                          " by the most usual word), same meaning nearest for %" PRIu64 " of %" PRIu64
                          " (chance %.4f), correlation %.4f",
                          f->sentences, f->words_right, f->words, f->words_usual, f->partner_nearest, f->partnered,
                          f->partner_chance, f->correlation);
    if (f->negation.denials && length > 0 && (size_t)length < size)
        snprintf(text + length, size - (size_t)length, ", denials nearer to denials %.4f (%.4f where words mislead)",
                 f->negation.right, share(f->negation.misleading_right, f->negation.misleading));
}
