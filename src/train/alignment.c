/* The alignment of regions with sentences; see alignment.h. */
#include "train/alignment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "train/text_embedder.h"

#define PROJECTOR_STREAM 0x70726f6aull /* of the seed: apart from the APM's weights */
#define PROJECTED_ROWS   256           /* sentences projected at a time in validation */

struct alignment {
    const train_config *config;
    thread_pool *pool;
    text_encoder encoder; /* until alignment_open is done */
    text_projector *projector;
    finding_head *findings; /* NULL: none */
    sentence_vectors train, validation;
    struct {
        graph *g;
        tensor *features, *vectors, *mask; /* [M, R], [M, H], [M] */
        tensor *value, *weighted;
    } loss;
    struct {
        graph *g;
        tensor *vectors, *projected; /* [PROJECTED_ROWS, H], [.., R] */
        float *sentences;            /* [validation.count, R] of length 1 */
        uint32_t *candidates;        /* the regions' sentences, region after region */
        uint64_t *begin;             /* [regions + 1] into candidates */
        uint32_t *usual;             /* [regions]: said most often */
    } measure;
};

text_projector *alignment_projector(alignment *a) { return a->projector; }
finding_head *alignment_finding_head(alignment *a) { return a->findings; }

/* ---- the graphs ---- */

static carina_status record_loss(alignment *a, carina_error *error) {
    const train_config *c = a->config;
    const text_projector *p = a->projector;
    int64_t rows = (int64_t)c->accumulate * c->batch_size * c->model.region_count;
    graph_options o = {.pool = a->pool, .training = true};
    alignment_options align = {.tau = (float)c->alignment.tau,
                               .target_tau = (float)c->alignment.target_tau,
                               .identity = c->alignment.loss == ALIGNMENT_CLIP};
    TRY(graph_create(&a->loss.g, &o, error));
    graph *g = a->loss.g;
    a->loss.features = graph_input(g, "features", 2, (int64_t[]){rows, p->features});
    graph_require_gradient(g, a->loss.features);
    a->loss.vectors = graph_input(g, "sentences", 2, (int64_t[]){rows, p->width});
    a->loss.mask = graph_input(g, "mask", 1, &rows);
    tensor *projected = text_projector_record(g, p, a->loss.vectors);
    a->loss.value = op_alignment_loss(g, a->loss.features, projected, &align, a->loss.vectors, a->loss.mask);
    graph_output(g, a->loss.value);
    graph_loss(g, op_scale(g, a->loss.value, (float)c->alignment.weight));
    return graph_plan(g, error);
}

static carina_status record_measure(alignment *a, carina_error *error) {
    graph_options o = {.pool = a->pool};
    TRY(graph_create(&a->measure.g, &o, error));
    a->measure.vectors = graph_input(a->measure.g, "sentences", 2, (int64_t[]){PROJECTED_ROWS, a->projector->width});
    a->measure.projected = text_projector_record(a->measure.g, a->projector, a->measure.vectors);
    graph_output(a->measure.g, a->measure.projected);
    return graph_plan(a->measure.g, error);
}

static carina_status create(alignment *a, carina_error *error) {
    const train_config *c = a->config;
    text_encoder_options o = {.pool = a->pool, .type = (tensor_type)c->type};
    random_state random = random_stream((uint64_t)c->seed, PROJECTOR_STREAM);
    if (text_encoder_load(&a->encoder, c->alignment.text_encoder, &o, error) != CARINA_OK)
        return error_prefix(error, "%s: alignment.text_encoder", c->path);
    TRY(text_projector_create(&a->projector, a->encoder.model->config.width, c->alignment.projector_width,
                              c->model.feature_size, &random, error));
    fingerprint_text(a->projector->encoder, text_encoder_bare_fingerprint(&a->encoder));
    TRY(parameters_allocate_gradients(a->projector->parameters, error));
    if (c->alignment.findings_weight > 0 &&
        finding_head_create(&a->findings, c->regions, c->model.model_width, c->alignment.patch_findings,
                            c->alignment.masks_weight > 0, &random, error) != CARINA_OK)
        return error_prefix(error, "%s: alignment.findings_weight", c->path);
    if (record_loss(a, error) != CARINA_OK || record_measure(a, error) != CARINA_OK)
        return error_prefix(error, "%s: training.batch_size, training.accumulate", c->path);
    return CARINA_OK;
}

carina_status alignment_create(alignment **out, const train_config *config, thread_pool *pool, carina_error *error) {
    *out = NULL;
    alignment *a = calloc(1, sizeof *a);
    if (!a) return error_memory(error, "alignment", sizeof *a);
    a->config = config;
    a->pool = pool;
    carina_status status = create(a, error);
    if (status == CARINA_OK)
        *out = a;
    else
        alignment_free(a);
    return status;
}

void alignment_free(alignment *a) {
    if (!a) return;
    graph_free(a->loss.g);
    graph_free(a->measure.g);
    text_encoder_free(&a->encoder);
    text_projector_free(a->projector);
    finding_head_free(a->findings);
    sentence_vectors_free(&a->train);
    sentence_vectors_free(&a->validation);
    free(a->measure.sentences);
    free(a->measure.candidates);
    free(a->measure.begin);
    free(a->measure.usual);
    free(a);
}

/* ---- the sentences ---- */

/* The different sentences of each region of the validation set, and which is said most often. */
static carina_status list_candidates(alignment *a, carina_error *error) {
    const sentence_vectors *v = &a->validation;
    uint64_t regions = (uint64_t)v->regions, bytes, next = 0;
    if (!size_multiply(v->count + 1, (uint64_t)a->projector->features * sizeof(float), &bytes)) bytes = SIZE_MAX;
    a->measure.sentences = bytes < SIZE_MAX ? malloc((size_t)bytes) : NULL;
    a->measure.begin = calloc((size_t)regions + 1, sizeof *a->measure.begin);
    a->measure.usual = calloc((size_t)regions, sizeof *a->measure.usual);
    uint64_t *said = calloc((size_t)v->count + 1, sizeof *said);
    /* At most one for each film and region, and one for each sentence and region. */
    uint64_t films = v->films < v->count ? v->films : v->count;
    a->measure.candidates = malloc((size_t)(films * regions + 1) * sizeof *a->measure.candidates);
    carina_status status = a->measure.sentences && a->measure.begin && a->measure.usual && said && a->measure.candidates
                               ? CARINA_OK
                               : error_memory(error, "validation sentences", v->count);
    for (uint64_t r = 0; r < regions && status == CARINA_OK; r++) {
        memset(said, 0, (size_t)v->count * sizeof *said);
        for (uint64_t film = 0; film < v->films; film++) {
            uint32_t number = sentence_vectors_of(v, film)[r];
            if (number != SENTENCE_VECTORS_NONE) said[number]++;
        }
        a->measure.begin[r] = next;
        for (uint64_t i = 0; i < v->count; i++) {
            if (said[i] == 0) continue;
            a->measure.candidates[next++] = (uint32_t)i;
            if (said[i] > said[a->measure.usual[r]]) a->measure.usual[r] = (uint32_t)i;
        }
        a->measure.begin[r + 1] = next;
    }
    free(said);
    return status;
}

carina_status alignment_open(alignment *a, dataset *const *train, int train_count, dataset *validation, bool show,
                             carina_error *error) {
    const atlas *regions = a->config->regions;
    TRY(sentence_vectors_read(&a->train, train, train_count, regions, a->pool, show, error));
    if (a->train.count == 0)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: data.train: no film says anything of a region with a box",
                         a->config->path);
    if (a->findings) TRY(finding_head_read(a->findings, &a->train, error));
    TRY(sentence_vectors_embed(&a->train, &a->encoder, show, error));
    if (validation) {
        TRY(sentence_vectors_read(&a->validation, &validation, 1, regions, a->pool, show, error));
        TRY(sentence_vectors_embed(&a->validation, &a->encoder, show, error));
        TRY(list_candidates(a, error));
    }
    text_encoder_free(&a->encoder);
    return CARINA_OK;
}

/* ---- a step ---- */

/* Row i of a batch: the sentence that takes part, or SENTENCE_VECTORS_NONE. */
static uint32_t sentence_of_row(const alignment *a, const uint64_t *films, const float *present, int64_t i) {
    uint64_t film = films[i / a->train.regions]; /* beyond the last: a place that only fills the batch */
    if (!(present[i] > 0) || film >= a->train.films) return SENTENCE_VECTORS_NONE;
    return sentence_vectors_of(&a->train, film)[i % a->train.regions];
}

void alignment_place(alignment *a, int place, const uint64_t *films, const float *present, const float *features) {
    int64_t regions = a->train.regions, rows = a->config->batch_size * regions, first = place * rows;
    int64_t width = a->train.width, size = a->projector->features;
    float *mask = tensor_data(a->loss.mask) + first, *vectors = tensor_data(a->loss.vectors) + first * width;
    memcpy(tensor_data(a->loss.features) + first * size, features, (size_t)(rows * size) * sizeof *features);
    for (int64_t i = 0; i < rows; i++) {
        uint32_t number = sentence_of_row(a, films, present, i);
        mask[i] = number != SENTENCE_VECTORS_NONE ? 1.0f : 0.0f;
        if (mask[i] > 0)
            memcpy(vectors + i * width, a->train.vectors + number * (uint64_t)width, (size_t)width * sizeof *vectors);
        else
            memset(vectors + i * width, 0, (size_t)width * sizeof *vectors);
    }
}

void alignment_finding_targets(const alignment *a, const uint64_t *films, const float *present, float *targets) {
    int64_t rows = (int64_t)a->config->batch_size * a->train.regions;
    for (int64_t i = 0; i < rows; i++, targets += a->findings->count) {
        uint32_t number = sentence_of_row(a, films, present, i);
        finding_head_targets(a->findings, &number, 1, targets);
    }
}

double alignment_run(alignment *a) {
    graph_forward(a->loss.g);
    double loss = (double)*tensor_data(a->loss.value);
    graph_backward(a->loss.g);
    return loss;
}

const float *alignment_slope(const alignment *a, int place) {
    int64_t rows = (int64_t)a->config->batch_size * a->train.regions;
    return tensor_gradient(a->loss.features) + place * rows * a->projector->features;
}

/* ---- validation ---- */

static double dot(const float *a, const float *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

void alignment_measure_begin(alignment *a, alignment_recall *out) {
    const sentence_vectors *v = &a->validation;
    int64_t width = v->width;
    int size = a->projector->features;
    *out = (alignment_recall){0};
    for (uint64_t first = 0; first < v->count; first += PROJECTED_ROWS) {
        uint64_t rows = v->count - first < PROJECTED_ROWS ? v->count - first : PROJECTED_ROWS;
        float *in = tensor_data(a->measure.vectors);
        memset(in, 0, (size_t)(PROJECTED_ROWS * width) * sizeof *in);
        memcpy(in, v->vectors + first * (uint64_t)width, (size_t)(rows * (uint64_t)width) * sizeof *in);
        graph_forward(a->measure.g);
        for (uint64_t i = 0; i < rows; i++) {
            const float *row = tensor_data(a->measure.projected) + i * (uint64_t)size;
            float *unit = a->measure.sentences + (first + i) * (uint64_t)size;
            double length = sqrt(dot(row, row, size));
            for (int k = 0; k < size; k++) unit[k] = length > 0 ? (float)((double)row[k] / length) : 0;
        }
    }
}

/* The region's sentence with the highest cosine; the length of the feature does not matter for that. */
static uint32_t nearest(const alignment *a, int region, const float *feature) {
    int size = a->projector->features;
    uint32_t best = SENTENCE_VECTORS_NONE;
    double most = -INFINITY;
    for (uint64_t i = a->measure.begin[region]; i < a->measure.begin[region + 1]; i++) {
        uint32_t number = a->measure.candidates[i];
        double similarity = dot(feature, a->measure.sentences + number * (uint64_t)size, size);
        if (similarity > most) most = similarity, best = number;
    }
    return best;
}

void alignment_measure_film(const alignment *a, uint64_t film, const float *features, alignment_recall *sum) {
    const sentence_vectors *v = &a->validation;
    if (film >= v->films) return;
    for (int r = 0; r < v->regions; r++) {
        uint32_t number = sentence_vectors_of(v, film)[r];
        if (number == SENTENCE_VECTORS_NONE) continue;
        bool right = nearest(a, r, features + (int64_t)r * a->projector->features) == number;
        sum->regions++;
        sum->right += right;
        sum->usual += a->measure.usual[r] == number;
        if (v->healthy[number]) continue;
        sum->found_regions++;
        sum->found_right += right;
    }
}
