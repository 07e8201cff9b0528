/* The data cursor: batches of augmented films from one or more data sets, prepared ahead by background threads.
 *
 * Batch b holds the samples at places b x B ... of an endless sequence: epoch after epoch, each shuffled by
 * (seed, epoch). A sample's augmentation draws from random_stream(seed, epoch x count + index). A batch is therefore a
 * function of (seed, b) alone: threads, timing and where a run was interrupted do not matter, and the batch number is
 * the whole position. Training drops the films that do not fill an epoch's last batch (they differ every epoch);
 * without shuffling the last batch is filled up with empty samples.
 *
 * With `cache` a film is read once, letterboxed, and kept as u8 [cache_size, cache_size]: 6,000 films at 384 take
 * 0.9 GB, and masks of findings, where they are asked for, some 10 kB a film. Without, its annotation is kept and the
 * film read again. Either way films pass through u8, so that the numbers are the same.
 */
#ifndef TRAIN_LOADER_H
#define TRAIN_LOADER_H

#include "data/sample.h"
#include "image/augment.h"

#define LOADER_MAX_SETS 8

typedef struct loader_options {
    uint64_t seed;
    int batch_size; /* B */
    int image_size; /* S, pixels */
    bool shuffle;   /* training; otherwise the sets' own order */
    bool cache;
    int cache_size;                             /* 0: image_size */
    int thread_count;                           /* at least 1 */
    int batches_ahead;                          /* prepared but not yet taken; at least 1 */
    float uncertain;                            /* target of a label that is -1 in the set: 0, 1, or NaN for "masked" */
    float not_mentioned;                        /* likewise of a label that the set does not mention */
    int mask_rows, mask_columns, mask_findings; /* of loader_batch.masks; 0: none */
    augment_options augment;
} loader_options;

/* Owned by the loader; valid until the next loader_next. */
typedef struct loader_batch {
    uint64_t number; /* b */
    uint64_t epoch;
    int count;         /* real samples, at the front; the rest are zeros with nothing present */
    float *films;      /* [B, S, S] in [0, 1] */
    float *targets;    /* [B, N, 4] (cx, cy, w, h) of the square; zeros where absent */
    float *present;    /* [B, N] 1 or 0 */
    float *labels;     /* [B, ATLAS_LABEL_COUNT] 0..1, NaN masked */
    float *masks;      /* [B, rows x columns, findings]: which findings each patch shows (train/mask_targets.h); NULL
                          unless asked for */
    uint64_t *samples; /* [B] index into the sets laid end to end */
} loader_batch;

typedef struct loader loader;

/* The sets are borrowed and share one region set. first_batch: where to start (0 for a new run). */
carina_status loader_create(loader **out, const dataset *const *sets, int set_count, const loader_options *options,
                            uint64_t first_batch, carina_error *error);
void loader_free(loader *l); /* stops the threads; accepts NULL */

/* Waits for the next batch. A film that cannot be read is an error that names it. */
carina_status loader_next(loader *l, const loader_batch **out, carina_error *error);

uint64_t loader_sample_count(const loader *l);
uint64_t loader_batches_per_epoch(const loader *l);

#endif
