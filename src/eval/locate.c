/* Running a locator over a data set; see eval/locate.h. */
#include "eval/locate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "data/dataset.h"
#include "image/box.h"
#include "image/letterbox.h"

/* Boxes are in the film's pixels, so the film's size is all a transform needs. */
static letterbox_transform transform_of(int width, int height) { return letterbox_make(width, height, width, height); }

/* The annotation, with the film read too where only it knows its size. */
static carina_status read_sized(const dataset *set, uint64_t index, sample *out, int *width, int *height,
                                carina_error *error) {
    TRY(dataset_read(set, index, false, out, error));
    *width = out->width;
    *height = out->height;
    if (*width > 0 && *height > 0) return CARINA_OK;
    sample_free(out);
    TRY(dataset_read(set, index, true, out, error));
    *width = out->film.width;
    *height = out->film.height;
    return CARINA_OK;
}

carina_status eval_constant_fit(eval_constant *out, const dataset *set, carina_error *error) {
    memset(out, 0, sizeof *out);
    out->region_count = set->regions->region_count;
    double(*sum)[4] = calloc(ATLAS_MAX_REGIONS, sizeof *sum);
    uint64_t *seen = calloc(ATLAS_MAX_REGIONS, sizeof *seen);
    sample *s = malloc(sizeof *s);
    carina_status status = sum && seen && s ? CARINA_OK : error_memory(error, "constant guess", sizeof *s);
    for (uint64_t i = 0; status == CARINA_OK && i < set->type->count(set); i++) {
        int width, height;
        status = read_sized(set, i, s, &width, &height, error);
        if (status != CARINA_OK) break;
        letterbox_transform t = transform_of(width, height);
        for (int r = 0; r < out->region_count; r++) {
            float b[4];
            if (!s->present[r]) continue;
            letterbox_from_file(&t, s->boxes[r], b);
            for (int k = 0; k < 4; k++) sum[r][k] += (double)b[k];
            seen[r]++;
        }
        sample_free(s);
    }
    for (int r = 0; status == CARINA_OK && r < out->region_count; r++) {
        out->known[r] = seen[r] > 0;
        for (int k = 0; k < 4 && seen[r]; k++) out->boxes[r][k] = (float)(sum[r][k] / (double)seen[r]);
    }
    free(sum);
    free(seen);
    free(s);
    return status;
}

/* ---- the run ---- */

typedef struct runner {
    const dataset *set;
    const eval_run_options *options;
    eval_run *run;
    eval_locator *locator;
    void *context;
    int batch, region_count;
    sample *samples; /* [batch] */
    image *films;    /* [batch], borrowed from the samples */
    float *boxes;    /* [batch, N, 4] */
    bool *found;     /* [batch, N] */
} runner;

static void mirror(image *film) {
    for (int y = 0; y < film->height; y++) {
        float *row = film->value + (int64_t)y * film->width;
        for (int x = 0; x < film->width / 2; x++) {
            float held = row[x];
            row[x] = row[film->width - 1 - x];
            row[film->width - 1 - x] = held;
        }
    }
}

/* Number of the sample's patient, new or known; a film without a patient's name is a patient of its own. Sets that are
 * evaluated have a few thousand patients at most: a plain list suffices. */
static uint32_t patient_number(const sample *s, char (*names)[32], uint32_t *count) {
    if (s->patient[0])
        for (uint32_t i = 0; i < *count; i++)
            if (strcmp(names[i], s->patient) == 0) return i;
    memcpy(names[*count], s->patient, sizeof names[0]);
    return (*count)++;
}

static void describe_film(eval_film *out, const sample *s, uint32_t patient) {
    memcpy(out->id, s->id, sizeof out->id);
    memcpy(out->view, s->view, sizeof out->view);
    out->patient = patient;
    out->sex = s->sex;
    out->age = s->age;
    out->equipment = s->equipment;
}

/* IoU rows of one film. */
static void compare_film(runner *r, uint64_t film, int place) {
    const sample *s = &r->samples[place];
    letterbox_transform t = transform_of(s->film.width, s->film.height);
    for (int i = 0; i < r->region_count; i++) {
        uint64_t at = film * (uint64_t)r->region_count + (uint64_t)i;
        const eval_constant *guess = r->options->constant;
        r->run->iou[at] = r->run->constant_iou[at] = NAN;
        if (!s->present[i]) continue;
        box truth = s->boxes[i];
        if (r->options->mirrored) truth = box_mirrored(truth, (float)s->film.width);
        const float *predicted = r->boxes + ((int64_t)place * r->region_count + i) * 4;
        bool found = r->found[(int64_t)place * r->region_count + i];
        r->run->iou[at] = found ? (float)box_iou(truth, letterbox_to_file(&t, predicted)) : -1;
        if (guess)
            r->run->constant_iou[at] =
                guess->known[i] ? (float)box_iou(truth, letterbox_to_file(&t, guess->boxes[i])) : -1;
        r->run->unsure[at] = s->unsure[i];
        r->run->any_unsure |= s->unsure[i];
    }
}

static carina_status run_batch(runner *r, uint64_t begin, int count, char (*names)[32], uint32_t *patients,
                               carina_error *error) {
    int read = 0;
    carina_status status = CARINA_OK;
    for (; read < count && status == CARINA_OK; read++) {
        status = dataset_read(r->set, begin + (uint64_t)read, true, &r->samples[read], error);
        if (status != CARINA_OK) break;
        if (r->options->mirrored) mirror(&r->samples[read].film);
        r->films[read] = r->samples[read].film;
    }
    if (status == CARINA_OK) {
        memset(r->found, true, (size_t)count * (size_t)r->region_count);
        status = r->locator(r->context, r->films, count, r->boxes, r->found, error);
    }
    for (int i = 0; i < read; i++) {
        if (status == CARINA_OK) {
            const sample *s = &r->samples[i];
            uint64_t film = begin + (uint64_t)i;
            describe_film(&r->run->films[film], s, patient_number(s, names, patients));
            compare_film(r, film, i);
        }
        sample_free(&r->samples[i]);
    }
    return status;
}

static carina_status run_all(runner *r, carina_error *error) {
    uint64_t count = r->run->film_count;
    uint32_t patients = 0;
    char(*names)[32] = calloc((size_t)count + 1, sizeof *names);
    if (!names) return error_memory(error, "patients", count * 32);
    progress *bar = r->options->progress ? progress_start(r->options->progress, "films", 0, count) : NULL;
    carina_status status = CARINA_OK;
    for (uint64_t begin = 0; begin < count && status == CARINA_OK; begin += (uint64_t)r->batch) {
        uint64_t left = count - begin;
        status = run_batch(r, begin, left < (uint64_t)r->batch ? (int)left : r->batch, names, &patients, error);
        progress_update(bar, begin + (uint64_t)r->batch < count ? begin + (uint64_t)r->batch : count, NULL);
        if (status == CARINA_OK && progress_interrupted())
            status = error_set(error, CARINA_ERROR_CANCELLED, "evaluation interrupted");
    }
    progress_finish(bar);
    r->run->patient_count = patients;
    free(names);
    return status;
}

carina_status eval_run_locate(eval_run *out, const dataset *set, eval_locator *locator, void *context,
                              const eval_run_options *options, carina_error *error) {
    memset(out, 0, sizeof *out);
    runner r = {.set = set, .options = options, .run = out, .locator = locator, .context = context};
    r.region_count = set->regions->region_count;
    r.batch = options->batch > 0 ? options->batch : 1;
    out->regions = set->regions;
    out->mirrored = options->mirrored;
    out->film_count = set->type->count(set);
    size_t films = (size_t)out->film_count, regions = (size_t)r.region_count, batch = (size_t)r.batch;
    out->films = calloc(films + 1, sizeof *out->films);
    out->iou = calloc(films * regions + 1, sizeof *out->iou);
    out->constant_iou = calloc(films * regions + 1, sizeof *out->constant_iou);
    out->unsure = calloc(films * regions + 1, sizeof *out->unsure);
    r.samples = calloc(batch, sizeof *r.samples);
    r.films = calloc(batch, sizeof *r.films);
    r.boxes = calloc(batch * regions * 4 + 1, sizeof *r.boxes);
    r.found = calloc(batch * regions + 1, sizeof *r.found);
    carina_status status = CARINA_OK;
    if (!out->films || !out->iou || !out->constant_iou || !out->unsure || !r.samples || !r.films || !r.boxes ||
        !r.found)
        status = error_memory(error, "evaluation", films * regions * 9);
    if (status == CARINA_OK) status = run_all(&r, error);
    free(r.samples);
    free(r.films);
    free(r.boxes);
    free(r.found);
    if (status != CARINA_OK) eval_run_free(out);
    return status;
}

void eval_run_free(eval_run *run) {
    if (!run) return;
    free(run->films);
    free(run->iou);
    free(run->constant_iou);
    free(run->unsure);
    memset(run, 0, sizeof *run);
}
