/* Figures of lung opacity; see opacity.h for the definitions. */
#include "eval/opacity.h"

#include <math.h>
#include <stdlib.h>

#include "eval/labels.h"

/* ---- films ---- */

carina_status opacity_table_create(opacity_table *out, const bool answers[OPACITY_REGIONS], carina_error *error) {
    *out = (opacity_table){0};
    for (int i = 0; i < OPACITY_REGIONS; i++) out->answers[i] = answers[i];
    return string_index_create(&out->patients, error);
}

void opacity_table_free(opacity_table *table) {
    free(table->films);
    string_index_free(table->patients);
    *table = (opacity_table){0};
}

carina_status opacity_table_add(opacity_table *table, const char *patient, bool seen,
                                const opacity_answer answers[OPACITY_REGIONS], carina_error *error) {
    if (table->count == table->room) {
        uint64_t room = table->room ? table->room * 2 : 64;
        opacity_film *films = realloc(table->films, (size_t)room * sizeof *films);
        if (!films) return error_memory(error, "films", room * sizeof *films);
        table->films = films;
        table->room = room;
    }
    opacity_film *f = &table->films[table->count];
    *f = (opacity_film){.seen = seen};
    TRY(string_index_number(table->patients, patient, &f->patient, NULL, error));
    for (int i = 0; i < OPACITY_REGIONS; i++) {
        f->answers[i] = answers[i];
        f->answers[i].nearest = NULL;
    }
    table->count++;
    return CARINA_OK;
}

/* ---- scores ---- */

static float region_score(const opacity_film *f, int region) {
    return f->answers[region].shown - f->answers[region].healthy;
}

float opacity_film_score(const opacity_table *table, const opacity_film *f) {
    float best = -INFINITY;
    for (int i = 0; i < OPACITY_REGIONS; i++)
        if (table->answers[i]) best = fmaxf(best, region_score(f, i));
    return best;
}

static bool film_says(const opacity_table *table, const opacity_film *f) {
    for (int i = 0; i < OPACITY_REGIONS; i++)
        if (table->answers[i] && f->answers[i].says) return true;
    return false;
}

/* Of line 0 the film's, else a region's. */
static bool line_says(const opacity_table *table, const opacity_film *f, int line) {
    return line ? f->answers[line - 1].says : film_says(table, f);
}

/* ---- figures ---- */

/* What is resampled: the films, and for each line that there is their scores in order. */
typedef struct scored {
    const opacity_table *table;
    label_table scores; /* [films, OPACITY_LINES] */
    label_column columns[OPACITY_LINES];
} scored;

static bool has_line(const opacity_table *table, int line) { return line == 0 || table->answers[line - 1]; }

static carina_status fill_scores(scored *s, const opacity_table *table, carina_error *error) {
    TRY(label_table_create(&s->scores, table->count, OPACITY_LINES, error));
    for (uint64_t i = 0; i < table->count; i++) {
        const opacity_film *f = &table->films[i];
        s->scores.patients[i] = f->patient;
        for (int k = 0; k < OPACITY_LINES; k++) {
            uint64_t at = i * OPACITY_LINES + (uint64_t)k;
            s->scores.logits[at] = k ? region_score(f, k - 1) : opacity_film_score(table, f);
            s->scores.truths[at] = has_line(table, k) ? f->seen : NAN;
        }
    }
    for (int k = 0; k < OPACITY_LINES; k++) TRY(label_column_create(&s->columns[k], &s->scores, k, error));
    return CARINA_OK;
}

static void free_scores(scored *s) {
    for (int k = 0; k < OPACITY_LINES; k++) label_column_free(&s->columns[k]);
    label_table_free(&s->scores);
}

/* values [OPACITY_LINES, OPACITY_VALUES]; weights NULL: each film once. */
static carina_status score_films(void *context, const double *weights, double *values, carina_error *error) {
    const scored *s = context;
    (void)error;
    for (int k = 0; k < OPACITY_LINES; k++, values += OPACITY_VALUES) {
        double films[2] = {0}, right[2] = {0}; /* without, with opacity */
        for (uint64_t i = 0; has_line(s->table, k) && i < s->table->count; i++) {
            const opacity_film *f = &s->table->films[i];
            double weight = weights ? weights[i] : 1;
            films[f->seen] += weight;
            if (line_says(s->table, f, k) == f->seen) right[f->seen] += weight;
        }
        values[OPACITY_AUC] = label_auc(&s->columns[k], weights);
        values[OPACITY_SENSITIVITY] = films[1] > 0 ? right[1] / films[1] : NAN;
        values[OPACITY_SPECIFICITY] = films[0] > 0 ? right[0] / films[0] : NAN;
    }
    return CARINA_OK;
}

static carina_status count_kinds(opacity_figures *out, const opacity_table *table, carina_error *error) {
    out->patient_count = string_index_count(table->patients);
    bool *met = calloc((size_t)out->patient_count * 2 + 1, sizeof *met);
    if (!met) return error_memory(error, "patients", out->patient_count);
    for (uint64_t i = 0; i < table->count; i++) {
        const opacity_film *f = &table->films[i];
        bool *here = &met[2 * (uint64_t)f->patient + f->seen];
        out->films[f->seen]++;
        out->patients[f->seen] += !*here;
        *here = true;
    }
    free(met);
    return CARINA_OK;
}

static carina_status measure(opacity_figures *out, scored *s, int resamples, uint64_t seed, carina_error *error) {
    double values[OPACITY_LINES * OPACITY_VALUES];
    metrics_interval intervals[OPACITY_LINES * OPACITY_VALUES];
    TRY(fill_scores(s, s->table, error));
    TRY(score_films(s, NULL, values, error));
    TRY(bootstrap_patients(intervals, OPACITY_LINES * OPACITY_VALUES, s->scores.patients, NULL, s->table->count,
                           score_films, s, resamples, seed, error));
    for (int k = 0; k < OPACITY_LINES; k++)
        for (int v = 0; v < OPACITY_VALUES; v++) {
            out->lines[k].value[v] = values[k * OPACITY_VALUES + v];
            out->lines[k].interval[v] = intervals[k * OPACITY_VALUES + v];
        }
    return CARINA_OK;
}

carina_status opacity_measure(opacity_figures *out, const opacity_table *table, int resamples, uint64_t seed,
                              carina_error *error) {
    scored s = {.table = table};
    *out = (opacity_figures){0};
    carina_status status = count_kinds(out, table, error);
    if (status == CARINA_OK) status = measure(out, &s, resamples, seed, error);
    free_scores(&s);
    return status;
}
