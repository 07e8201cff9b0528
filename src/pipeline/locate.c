/* From films to boxes with a recorded graph; see locate.h. */
#include "pipeline/locate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "image/letterbox.h"
#include "model/apm_attention.h"
#include "model/model_file.h"
#include "pipeline/model_path.h"

#define BATCH_PIXELS (2 << 20) /* of the network's squares: bounds the memory of a batch */
#define BATCH_USUAL  8

/* A graph recorded for `films` films at a time. With both sides their mirror images stand behind them. */
typedef struct recording {
    graph *g;
    int films;
    tensor *input; /* [films, size, size, 1], or twice as many with both sides */
    apm_outputs outputs;
} recording;

struct locator {
    char *name, *path;
    model_file file;
    thread_pool *pool;
    tensor_type type;
    int size, batch;
    bool attention;
    bool both_sides;        /* what the network says of a film and of its mirror image counts by halves */
    recording single, many; /* recorded at first use */
};

const char *locator_path(const locator *l) { return l->path; }
const model_file *locator_model(const locator *l) { return &l->file; }
const char *locator_name(const locator *l) { return l->name; }
const atlas *locator_regions(const locator *l) { return l->file.regions; }
thread_pool *locator_threads(locator *l) { return l->pool; }
int locator_batch(const locator *l) { return l->batch; }

/* "models/apm-small.safetensors" -> "apm-small"; "models/apm-small/model.safetensors" -> "apm-small". */
static char *name_of(const char *path) {
    const char *end = path_name(path), *start = end;
    if (strcmp(end, "model.safetensors") == 0 && end > path + 1) {
        end--;
        for (start = end; start > path && start[-1] != '/'; start--) continue;
        return strndup(start, (size_t)(end - start));
    }
    const char *dot = strrchr(start, '.');
    return dot && dot > start ? strndup(start, (size_t)(dot - start)) : strdup(start);
}

static carina_status check_model(locator *l, const char *path, carina_error *error) {
    const apm_config *c = &l->file.model->config;
    if (c->image_width != c->image_height)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: films of %d x %d pixels; only squares can be located",
                         path, c->image_width, c->image_height);
    if (c->region_count != l->file.regions->region_count)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: the model has %d regions, its region set %d", path,
                         c->region_count, l->file.regions->region_count);
    l->size = c->image_width;
    const char *both = model_file_note_text(&l->file, MODEL_FILE_MIRROR_MEAN);
    l->both_sides = both && strcmp(both, "true") == 0;
    int64_t fit = (int64_t)BATCH_PIXELS / ((int64_t)l->size * l->size * (l->both_sides ? 2 : 1));
    if (l->batch == 0) l->batch = fit < 1 ? 1 : fit > BATCH_USUAL ? BATCH_USUAL : (int)fit;
    return CARINA_OK;
}

carina_status locator_open(locator **out, const char *name, const locator_options *options, carina_error *error) {
    static const locator_options defaults = {0};
    if (!options) options = &defaults;
    char *path = NULL;
    TRY(model_path_find(&path, name, error));
    locator *l = calloc(1, sizeof *l);
    carina_status status = l ? CARINA_OK : error_memory(error, "a model", sizeof *l);
    if (status == CARINA_OK) {
        l->type = options->bf16 ? TENSOR_BF16 : TENSOR_F32;
        l->attention = options->attention;
        l->batch = options->batch;
        l->name = name_of(path);
        l->path = path;
        status = l->name ? model_file_load(&l->file, path, error) : error_memory(error, "a model's name", strlen(path));
    }
    if (status == CARINA_OK) status = check_model(l, path, error);
    if (status == CARINA_OK) status = thread_pool_create(&l->pool, options->threads, error);
    if (!l) free(path);
    if (status == CARINA_OK)
        *out = l;
    else
        locator_close(l);
    return status;
}

void locator_close(locator *l) {
    if (!l) return;
    graph_free(l->single.g);
    graph_free(l->many.g);
    thread_pool_free(l->pool);
    model_file_free(&l->file);
    free(l->name);
    free(l->path);
    free(l);
}

static carina_status record(const locator *l, recording *r, int films, carina_error *error) {
    if (r->g) return CARINA_OK;
    graph_options options = {.pool = l->pool, .type = l->type};
    TRY(graph_create(&r->g, &options, error));
    r->films = films;
    int64_t squares = l->both_sides ? 2 * films : films;
    r->input = graph_input(r->g, "films", 4, (int64_t[]){squares, l->size, l->size, 1});
    r->outputs = apm_record(r->g, l->file.model, r->input);
    graph_output(r->g, r->outputs.boxes);
    graph_output(r->g, r->outputs.region_features);
    graph_output(r->g, r->outputs.image_logits);
    if (l->attention) {
        graph_output(r->g, r->outputs.decoded);
        graph_output(r->g, r->outputs.patch_features);
    }
    carina_status status = graph_plan(r->g, error);
    if (status != CARINA_OK) {
        graph_free(r->g);
        r->g = NULL;
    }
    return status;
}

static carina_status copy_texts(char ***out, int *out_count, const char *texts, int count, size_t stride,
                                carina_error *error) {
    *out_count = 0;
    *out = calloc((size_t)count + 1, sizeof **out);
    if (!*out) return error_memory(error, "a result's texts", ((unsigned long long)count + 1) * sizeof **out);
    for (int i = 0; i < count; i++) {
        (*out)[i] = strdup(texts + (size_t)i * stride);
        if (!(*out)[i]) return error_memory(error, "a result's texts", stride);
        *out_count = i + 1;
    }
    return CARINA_OK;
}

/* boxes [N, 4] (cx, cy, w, h) of the square. */
static carina_status make_location(carina_location *out, const locator *l, const study *s, const float *boxes,
                                   carina_error *error) {
    const film *f = &s->film;
    const letterbox_transform *t = &s->transform;
    const atlas *regions = l->file.regions;
    memset(out, 0, sizeof *out);
    out->width = f->file_width;
    out->height = f->file_height;
    out->transform = (carina_transform){t->width, t->height, t->left, t->top, t->side, l->size};
    TRY(copy_texts(&out->steps, &out->step_count, f->steps.text[0], f->steps.count, sizeof f->steps.text[0], error));
    TRY(copy_texts(&out->warnings, &out->warning_count, f->warning[0], f->warning_count, sizeof f->warning[0], error));
    out->regions = calloc((size_t)regions->region_count, sizeof *out->regions);
    if (!out->regions) return error_memory(error, "a result", (size_t)regions->region_count * sizeof *out->regions);
    out->region_count = regions->region_count;
    for (int i = 0; i < regions->region_count; i++) {
        box b = letterbox_to_file(t, boxes + 4 * i);
        out->regions[i] = (carina_region){i, regions->regions[i].name, b.x1, b.y1, b.x2, b.y2};
    }
    return CARINA_OK;
}

typedef struct fill_job {
    const locator *l;
    int films; /* of the recording: the mirror image of film i is square films + i */
    const image *const *pictures;
    float *squares;
    carina_status status[LOCATOR_MOST_FILMS];
    carina_error errors[LOCATOR_MOST_FILMS];
} fill_job;

static void mirror(float *to, const float *from, int size) {
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) to[y * size + x] = from[y * size + size - 1 - x];
}

static void fill_square(void *context, int shard, int worker) {
    (void)worker;
    fill_job *job = context;
    size_t square = (size_t)job->l->size * (size_t)job->l->size;
    float *pixels = job->squares + square * (size_t)shard;
    job->status[shard] = letterbox_apply(pixels, job->l->size, job->pictures[shard], &job->errors[shard]);
    if (job->l->both_sides) mirror(pixels + square * (size_t)job->films, pixels, job->l->size);
}

/* Row `row` of a value [squares, ...] becomes the mean with the row that stands `films` behind it. */
static void take_mean(tensor *values, int row, int films) {
    size_t count = (size_t)(tensor_count(values) / tensor_size(values, 0));
    float *own = tensor_data(values) + count * (size_t)row, *other = own + count * (size_t)films;
    for (size_t i = 0; i < count; i++) own[i] = (own[i] + other[i]) / 2;
}

/* A mirror image's boxes lie mirrored in it; box i is organ i on either side. */
static void join_sides(const recording *r, int row) {
    int64_t boxes = tensor_size(r->outputs.boxes, 1);
    float *mirrored = tensor_data(r->outputs.boxes) + (row + r->films) * boxes * 4;
    for (int64_t i = 0; i < boxes; i++) mirrored[4 * i] = 1 - mirrored[4 * i];
    take_mean(r->outputs.boxes, row, r->films);
    take_mean(r->outputs.region_features, row, r->films);
    take_mean(r->outputs.image_logits, row, r->films);
}

static carina_status check_finite(const locator *l, tensor *values, const char *what, carina_error *error) {
    const float *value = tensor_data(values);
    for (int64_t i = 0; i < tensor_count(values); i++)
        if (!isfinite(value[i])) /* weights that are finite themselves can still overflow */
            return error_set(error, CARINA_ERROR_MISMATCH, "model %s: its %s are not finite: its weights make no sense",
                             l->name, what);
    return CARINA_OK;
}

void locator_reading_free(locator_reading *reading) {
    free(reading->features);
    free(reading->image_logits);
    free(reading->attention);
    *reading = (locator_reading){0};
}

/* One row of a value [films, ...], copied. */
static float *copy_row(tensor *values, int row) {
    size_t count = (size_t)(tensor_count(values) / tensor_size(values, 0));
    float *copy = malloc(count * sizeof *copy);
    if (copy) memcpy(copy, tensor_data(values) + count * (size_t)row, count * sizeof *copy);
    return copy;
}

static carina_status make_reading(locator_reading *out, const locator *l, const recording *r, int row,
                                  carina_error *error) {
    const apm_outputs *o = &r->outputs;
    *out = (locator_reading){.features = copy_row(o->region_features, row),
                             .image_logits = copy_row(o->image_logits, row)};
    if (!out->features || !out->image_logits) return error_memory(error, "a reading", 0);
    if (!l->attention) return CARINA_OK;
    int64_t regions = tensor_size(o->decoded, 1), patches = tensor_size(o->patch_features, 1),
            width = tensor_size(o->decoded, 2);
    out->grid = (int)lround(sqrt((double)patches));
    out->attention = malloc((size_t)(regions * patches) * sizeof *out->attention);
    if (!out->attention) return error_memory(error, "attention", (size_t)(regions * patches) * sizeof(float));
    return apm_attention(out->attention, l->file.model, tensor_data(o->decoded) + row * regions * width,
                         tensor_data(o->patch_features) + row * patches * width, patches, error);
}

/* The network over at most r->films films; squares that are left over are black. */
static carina_status run_network(locator *l, recording *r, const image *const *pictures, int count,
                                 carina_error *error) {
    TRY(record(l, r, r == &l->many ? l->batch : 1, error));
    size_t square = (size_t)l->size * (size_t)l->size;
    fill_job job = {.l = l, .films = r->films, .pictures = pictures, .squares = tensor_data(r->input)};
    thread_pool_run(l->pool, count, fill_square, &job);
    for (int i = 0; i < count; i++) {
        if (job.status[i] == CARINA_OK) continue;
        if (error) *error = job.errors[i];
        return job.status[i];
    }
    for (int side = 0; side <= l->both_sides; side++)
        memset(job.squares + square * (size_t)(side * r->films + count), 0,
               square * (size_t)(r->films - count) * sizeof(float));
    graph_forward(r->g);
    for (int i = 0; i < count && l->both_sides; i++) join_sides(r, i);
    return check_finite(l, r->outputs.boxes, "boxes", error);
}

static recording *recording_for(locator *l, int left, int *films) {
    *films = left < l->batch ? left : l->batch;
    return *films == 1 ? &l->single : &l->many;
}

static carina_status run_batch(locator *l, recording *r, const study *const *studies, int count, carina_location *out,
                               locator_reading *readings, int *made, carina_error *error) {
    const image *pictures[LOCATOR_MOST_FILMS];
    for (int i = 0; i < count; i++) pictures[i] = &studies[i]->film.picture;
    TRY(run_network(l, r, pictures, count, error));
    if (readings) {
        TRY(check_finite(l, r->outputs.region_features, "region features", error));
        TRY(check_finite(l, r->outputs.image_logits, "image findings", error));
    }
    const float *boxes = tensor_data(r->outputs.boxes);
    for (int i = 0; i < count; i++) {
        ++*made; /* also when it is made in part: it is freed like the others */
        out[i] = (carina_location){0};
        if (readings) TRY(make_reading(&readings[i], l, r, i, error));
        TRY(make_location(&out[i], l, studies[i], boxes + (size_t)i * 4 * (size_t)l->file.regions->region_count,
                          error));
    }
    return CARINA_OK;
}

carina_status locator_read(locator *l, const study *const *studies, int count, carina_location *out,
                           locator_reading *readings, carina_error *error) {
    int made = 0;
    carina_status status = CARINA_OK;
    while (status == CARINA_OK && made < count) {
        int films;
        recording *r = recording_for(l, count - made, &films);
        status = run_batch(l, r, studies + made, films, out + made, readings ? readings + made : NULL, &made, error);
    }
    if (status != CARINA_OK) {
        while (made > 0) {
            carina_location_free(&out[--made]);
            if (readings) locator_reading_free(&readings[made]);
        }
    }
    return status;
}

carina_status locator_boxes(locator *l, const image *const *pictures, int count, float *boxes, carina_error *error) {
    size_t values = 4 * (size_t)l->file.regions->region_count;
    for (int done = 0, films; done < count; done += films) {
        recording *r = recording_for(l, count - done, &films);
        TRY(run_network(l, r, pictures + done, films, error));
        memcpy(boxes + values * (size_t)done, tensor_data(r->outputs.boxes), values * (size_t)films * sizeof *boxes);
    }
    return CARINA_OK;
}

carina_status locator_run(locator *l, const study *const *studies, int count, carina_location *out,
                          carina_error *error) {
    return locator_read(l, studies, count, out, NULL, error);
}
