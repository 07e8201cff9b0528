/* Batches prepared ahead by background threads; see loader.h.
 *
 * Jobs are single samples, numbered through and handed out in order under the lock; batch b is filled in slot
 * b mod slot_count. A job is free to start when its batch's slot has been given back. */
#include "train/loader.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/threads.h"
#include "image/letterbox.h"
#include "train/mask_targets.h"

enum { RECORD_EMPTY, RECORD_BUSY, RECORD_READY };

typedef struct slot {
    loader_batch batch;
    int remaining; /* samples still being prepared */
    carina_status status;
    carina_error error;
} slot;

typedef struct worker_memory {
    loader *owner;
    pthread_t thread;
    uint8_t *film;       /* [C, C] when nothing is cached */
    finding_masks masks; /* likewise */
    float *square;       /* [C, C] */
    void *scratch;
} worker_memory;

struct loader {
    loader_options options;
    const dataset *sets[LOADER_MAX_SETS];
    int set_count, region_count, cache_size;
    uint64_t sample_count, batches_per_epoch;

    /* Annotations and films by sample, filled at first use; state says which. */
    atomic_int *state;    /* [sample] */
    uint8_t *films;       /* [sample, C, C] or NULL */
    float *boxes;         /* [sample, N, 4] */
    float *present;       /* [sample, N] */
    float *labels;        /* [sample, ATLAS_LABEL_COUNT] */
    finding_masks *masks; /* [sample], each filled with the rest; NULL: not asked for, or nothing cached */

    pthread_mutex_t mutex;
    pthread_cond_t work, ready;
    bool stopping;
    uint64_t next_job;   /* number of the next sample to prepare */
    uint64_t taken;      /* batches before this one have been given back */
    uint64_t next_batch; /* of the caller */
    uint64_t order_epoch;
    uint32_t *order; /* the epoch's permutation */
    slot *slots;
    int slot_count;
    worker_memory *workers;
    int started;
};

/* ---- one sample ---- */

static carina_status read_sample(const loader *l, uint64_t index, bool with_film, sample *out, carina_error *error) {
    int set = 0;
    for (uint64_t count; index >= (count = l->sets[set]->type->count(l->sets[set])); set++) index -= count;
    return l->sets[set]->type->read(l->sets[set], index, with_film, out, error);
}

static float label_target(const loader *l, float value) {
    if (isnan(value)) return l->options.not_mentioned;
    return value < 0 ? l->options.uncertain : value;
}

/* Reads sample `index` and writes its letterboxed film and annotation; masks may be NULL. */
static carina_status prepare_record(const loader *l, uint64_t index, worker_memory *memory, uint8_t *film, float *boxes,
                                    float *present, float *labels, finding_masks *masks, carina_error *error) {
    sample *s = malloc(sizeof *s);
    if (!s) return error_memory(error, "sample", sizeof *s);
    carina_status status = read_sample(l, index, true, s, error);
    if (status == CARINA_OK) {
        status = letterbox_apply(memory->square, l->cache_size, &s->film, error);
        if (status != CARINA_OK) error_prefix(error, "%s", s->id);
    }
    if (status == CARINA_OK) {
        int64_t pixels = (int64_t)l->cache_size * l->cache_size;
        for (int64_t i = 0; i < pixels; i++) {
            float value = memory->square[i];
            film[i] = (uint8_t)((value > 0 ? (value < 1 ? value : 1) : 0) * 255 + 0.5f);
        }
        letterbox_transform t = letterbox_make(s->film.width, s->film.height, s->film.width, s->film.height);
        for (int i = 0; i < l->region_count; i++) {
            present[i] = s->present[i] ? 1 : 0;
            memset(boxes + 4 * i, 0, 4 * sizeof(float));
            if (s->present[i]) letterbox_from_file(&t, s->boxes[i], boxes + 4 * i);
        }
        for (int i = 0; i < ATLAS_LABEL_COUNT; i++) labels[i] = label_target(l, s->labels[i]);
        if (masks) {
            finding_masks_free(masks);
            *masks = s->masks;
            s->masks = (finding_masks){0};
        }
    }
    sample_free(s); /* what it has of a film that failed, too */
    free(s);
    return status;
}

/* Of one sample in loader_batch.masks. */
static int64_t mask_values(const loader *l) {
    return (int64_t)l->options.mask_rows * l->options.mask_columns * l->options.mask_findings;
}

static carina_status prepare_sample(loader *l, worker_memory *memory, uint64_t index, uint64_t epoch, slot *target,
                                    int place, carina_error *error) {
    int size = l->options.image_size, count = l->region_count;
    uint64_t pixels = (uint64_t)l->cache_size * (uint64_t)l->cache_size;
    float *boxes = target->batch.targets + (int64_t)place * count * 4;
    float *present = target->batch.present + (int64_t)place * count;
    float *labels = target->batch.labels + (int64_t)place * ATLAS_LABEL_COUNT;
    const uint8_t *film = memory->film;
    const finding_masks *masks = &memory->masks;
    int expected = RECORD_EMPTY;
    if (!l->films) { /* nothing cached */
        TRY(prepare_record(l, index, memory, memory->film, boxes, present, labels, &memory->masks, error));
    } else if (atomic_compare_exchange_strong(&l->state[index], &expected, RECORD_BUSY)) {
        uint64_t n = (uint64_t)count;
        uint8_t *kept = l->films + index * pixels;
        carina_status status =
            prepare_record(l, index, memory, kept, l->boxes + index * n * 4, l->present + index * n,
                           l->labels + index * ATLAS_LABEL_COUNT, l->masks ? &l->masks[index] : NULL, error);
        atomic_store(&l->state[index], status == CARINA_OK ? RECORD_READY : RECORD_EMPTY);
        TRY(status);
        expected = RECORD_READY;
    }
    if (l->films && expected == RECORD_BUSY) { /* another thread is reading it for the next epoch: do not wait */
        TRY(prepare_record(l, index, memory, memory->film, boxes, present, labels, &memory->masks, error));
    } else if (l->films) {
        uint64_t n = (uint64_t)count;
        film = l->films + index * pixels;
        memcpy(boxes, l->boxes + index * n * 4, n * 4 * sizeof(float));
        memcpy(present, l->present + index * n, n * sizeof(float));
        memcpy(labels, l->labels + index * ATLAS_LABEL_COUNT, ATLAS_LABEL_COUNT * sizeof(float));
        if (l->masks) masks = &l->masks[index];
    }
    random_state random = random_stream(l->options.seed, epoch * l->sample_count + index);
    augment_map map = augment_apply(target->batch.films + (int64_t)place * size * size, size, film, l->cache_size,
                                    boxes, present, count, &l->options.augment, &random, memory->scratch);
    if (target->batch.masks)
        mask_targets_fill(target->batch.masks + (int64_t)place * mask_values(l), masks, &map, l->options.mask_rows,
                          l->options.mask_columns, l->options.mask_findings);
    return CARINA_OK;
}

static void empty_sample(loader *l, slot *target, int place) {
    size_t pixels = (size_t)l->options.image_size * (size_t)l->options.image_size, n = (size_t)l->region_count;
    memset(target->batch.films + (size_t)place * pixels, 0, pixels * sizeof(float));
    memset(target->batch.targets + (size_t)place * n * 4, 0, n * 4 * sizeof(float));
    memset(target->batch.present + (size_t)place * n, 0, n * sizeof(float));
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) target->batch.labels[place * ATLAS_LABEL_COUNT + i] = NAN;
    for (int64_t i = 0; target->batch.masks && i < mask_values(l); i++)
        target->batch.masks[place * mask_values(l) + i] = NAN;
}

/* ---- the order of samples ---- */

/* Under the lock; jobs are taken in order, so one epoch's permutation is enough. */
static uint64_t sample_at(loader *l, uint64_t epoch, uint64_t place) {
    if (place >= l->sample_count) return UINT64_MAX; /* filling */
    if (!l->options.shuffle) return place;
    if (epoch != l->order_epoch) {
        for (uint64_t i = 0; i < l->sample_count; i++) l->order[i] = (uint32_t)i;
        random_state random = random_stream(~l->options.seed, epoch);
        random_shuffle(&random, l->order, l->sample_count);
        l->order_epoch = epoch;
    }
    return l->order[place];
}

static void *worker_main(void *argument) {
    worker_memory *memory = argument;
    loader *l = memory->owner;
    uint64_t size = (uint64_t)l->options.batch_size;
    pthread_mutex_lock(&l->mutex);
    for (;;) {
        while (!l->stopping && l->next_job / size >= l->taken + (uint64_t)l->slot_count)
            pthread_cond_wait(&l->work, &l->mutex);
        if (l->stopping) break;
        uint64_t job = l->next_job++, number = job / size;
        slot *target = &l->slots[number % (uint64_t)l->slot_count];
        uint64_t epoch = number / l->batches_per_epoch, place = number % l->batches_per_epoch * size + job % size;
        uint64_t index = sample_at(l, epoch, place);
        pthread_mutex_unlock(&l->mutex);

        carina_status status = CARINA_OK;
        carina_error error = {0};
        target->batch.samples[job % size] = index;
        if (index == UINT64_MAX)
            empty_sample(l, target, (int)(job % size));
        else
            status = prepare_sample(l, memory, index, epoch, target, (int)(job % size), &error);

        pthread_mutex_lock(&l->mutex);
        if (status != CARINA_OK && target->status == CARINA_OK) {
            target->status = status;
            target->error = error;
        }
        if (--target->remaining == 0) pthread_cond_broadcast(&l->ready);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* ---- beginning and end ---- */

static void *take(uint64_t count, uint64_t size, carina_status *status, carina_error *error) {
    uint64_t bytes;
    if (*status != CARINA_OK) return NULL;
    if (!size_multiply(count, size, &bytes) || bytes > SIZE_MAX / 2) {
        *status = error_set(error, CARINA_ERROR_LIMIT, "loader: %" PRIu64 " x %" PRIu64 " bytes", count, size);
        return NULL;
    }
    void *memory = calloc((size_t)count + 1, (size_t)size);
    if (!memory) *status = error_memory(error, "loader (cache: false needs less)", bytes);
    return memory;
}

static carina_status allocate(loader *l, carina_error *error) {
    carina_status status = CARINA_OK;
    uint64_t batch = (uint64_t)l->options.batch_size, n = (uint64_t)l->region_count;
    uint64_t pixels = (uint64_t)l->options.image_size * (uint64_t)l->options.image_size;
    uint64_t cache_pixels = (uint64_t)l->cache_size * (uint64_t)l->cache_size;
    l->order = take(l->sample_count, sizeof *l->order, &status, error);
    if (l->options.cache) {
        l->state = take(l->sample_count, sizeof *l->state, &status, error);
        l->films = take(l->sample_count, cache_pixels, &status, error);
        l->boxes = take(l->sample_count, n * 4 * sizeof(float), &status, error);
        l->present = take(l->sample_count, n * sizeof(float), &status, error);
        l->labels = take(l->sample_count, ATLAS_LABEL_COUNT * sizeof(float), &status, error);
        if (l->options.mask_findings > 0) l->masks = take(l->sample_count, sizeof *l->masks, &status, error);
    }
    l->slots = take((uint64_t)l->slot_count, sizeof *l->slots, &status, error);
    l->workers = take((uint64_t)l->options.thread_count, sizeof *l->workers, &status, error);
    for (int i = 0; i < l->slot_count && status == CARINA_OK; i++) {
        loader_batch *b = &l->slots[i].batch;
        b->films = take(batch * pixels, sizeof(float), &status, error);
        b->targets = take(batch * n * 4, sizeof(float), &status, error);
        b->present = take(batch * n, sizeof(float), &status, error);
        b->labels = take(batch * ATLAS_LABEL_COUNT, sizeof(float), &status, error);
        if (l->options.mask_findings > 0)
            b->masks = take(batch * (uint64_t)mask_values(l), sizeof(float), &status, error);
        b->samples = take(batch, sizeof *b->samples, &status, error);
        l->slots[i].remaining = l->options.batch_size;
    }
    for (int i = 0; i < l->options.thread_count && status == CARINA_OK; i++) {
        l->workers[i].owner = l;
        l->workers[i].film = take(cache_pixels, 1, &status, error);
        l->workers[i].square = take(cache_pixels, sizeof(float), &status, error);
        l->workers[i].scratch = take(augment_scratch_bytes(l->options.image_size), 1, &status, error);
    }
    return status;
}

static carina_status check_sizes(loader *l, carina_error *error) {
    const loader_options *o = &l->options;
    if (o->batch_size < 1 || o->image_size < 1 || o->image_size > 8192 || o->cache_size < 0 || o->cache_size > 8192 ||
        o->thread_count < 1 || o->batches_ahead < 1)
        return error_set(error, CARINA_ERROR_ARGUMENT, "loader: batch %d, image size %d, cache size %d, %d threads",
                         o->batch_size, o->image_size, o->cache_size, o->thread_count);
    for (int i = 0; i < l->set_count; i++) {
        if (l->sets[i]->regions->region_count != l->region_count)
            return error_set(error, CARINA_ERROR_MISMATCH, "loader: data sets with %d and %d regions cannot be mixed",
                             l->region_count, l->sets[i]->regions->region_count);
        l->sample_count += l->sets[i]->type->count(l->sets[i]);
    }
    uint64_t size = (uint64_t)o->batch_size;
    if (l->sample_count == 0 || l->sample_count > UINT32_MAX)
        return error_set(error, CARINA_ERROR_ARGUMENT, "loader: %" PRIu64 " films in the data", l->sample_count);
    if (o->shuffle && l->sample_count < size)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "loader: %" PRIu64 " films do not fill one batch of %d; make the batch smaller",
                         l->sample_count, o->batch_size);
    l->batches_per_epoch = o->shuffle ? l->sample_count / size : (l->sample_count + size - 1) / size;
    return CARINA_OK;
}

carina_status loader_create(loader **out, const dataset *const *sets, int set_count, const loader_options *options,
                            uint64_t first_batch, carina_error *error) {
    *out = NULL;
    if (set_count < 1 || set_count > LOADER_MAX_SETS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "loader: %d data sets, accepted are 1 to %d", set_count,
                         LOADER_MAX_SETS);
    loader *l = calloc(1, sizeof *l);
    if (!l) return error_memory(error, "loader", sizeof *l);
    l->options = *options;
    memcpy(l->sets, sets, (size_t)set_count * sizeof *sets);
    l->set_count = set_count;
    l->region_count = sets[0]->regions->region_count;
    l->cache_size = options->cache_size > 0 ? options->cache_size : options->image_size;
    l->slot_count = options->batches_ahead + 1; /* one is with the caller */
    l->order_epoch = UINT64_MAX;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    carina_status status = check_sizes(l, error);
    if (status == CARINA_OK) status = allocate(l, error);
    l->next_batch = l->taken = first_batch;
    l->next_job = first_batch * (uint64_t)options->batch_size;
    for (int i = 0; status == CARINA_OK && i < options->thread_count; i++) {
        if (thread_start(&l->workers[i].thread, worker_main, &l->workers[i]) != 0)
            status = error_set(error, CARINA_ERROR_MEMORY, "loader: cannot start thread %d", i + 1);
        else
            l->started++;
    }
    if (status != CARINA_OK) {
        loader_free(l);
        return status;
    }
    *out = l;
    return CARINA_OK;
}

void loader_free(loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->mutex);
    l->stopping = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    for (int i = 0; i < l->started; i++) pthread_join(l->workers[i].thread, NULL);
    for (int i = 0; l->workers && i < l->options.thread_count; i++) {
        free(l->workers[i].film);
        finding_masks_free(&l->workers[i].masks);
        free(l->workers[i].square);
        free(l->workers[i].scratch);
    }
    for (int i = 0; l->slots && i < l->slot_count; i++) {
        loader_batch *b = &l->slots[i].batch;
        free(b->films);
        free(b->targets);
        free(b->present);
        free(b->labels);
        free(b->masks);
        free(b->samples);
    }
    for (uint64_t i = 0; l->masks && i < l->sample_count; i++) finding_masks_free(&l->masks[i]);
    free(l->masks);
    free(l->workers);
    free(l->slots);
    free(l->order);
    free((void *)l->state);
    free(l->films);
    free(l->boxes);
    free(l->present);
    free(l->labels);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->ready);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

carina_status loader_next(loader *l, const loader_batch **out, carina_error *error) {
    *out = NULL;
    pthread_mutex_lock(&l->mutex);
    if (l->next_batch > l->taken) { /* the caller is done with the one before */
        slot *old = &l->slots[l->taken % (uint64_t)l->slot_count];
        old->remaining = l->options.batch_size;
        old->status = CARINA_OK;
        l->taken = l->next_batch;
        pthread_cond_broadcast(&l->work);
    }
    slot *current = &l->slots[l->next_batch % (uint64_t)l->slot_count];
    while (current->remaining > 0) pthread_cond_wait(&l->ready, &l->mutex);
    carina_status status = current->status;
    if (status != CARINA_OK && error) *error = current->error;
    loader_batch *b = &current->batch;
    b->number = l->next_batch++;
    b->epoch = b->number / l->batches_per_epoch;
    pthread_mutex_unlock(&l->mutex);
    b->count = 0;
    for (int i = 0; i < l->options.batch_size; i++) b->count += b->samples[i] != UINT64_MAX;
    if (status == CARINA_OK) *out = b;
    return status;
}

uint64_t loader_sample_count(const loader *l) { return l->sample_count; }
uint64_t loader_batches_per_epoch(const loader *l) { return l->batches_per_epoch; }
