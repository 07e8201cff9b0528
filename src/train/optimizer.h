/* AdamW (Loshchilov and Hutter 2019), or Muon for matrices and AdamW for the rest (muon.h), with parameter groups,
 * gradient-norm clipping and an averaged copy of the weights.
 *
 *     m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  w = w - r (m' / (sqrt(v') + eps) + decay w)
 *
 * with m', v' corrected for their start at 0 and r = rate x the group's factor. Moments are f32. The average (EMA),
 * a = d a + (1 - d) w with d = min(ema_decay, (1 + t) / (10 + t)), follows every parameter, batch-norm statistics
 * included, and is what is validated and shipped when it is on. All sums run over fixed pieces in a fixed order, so a
 * step's result is the same for any number of threads.
 */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "base/threads.h"
#include "tensor/parameters.h"

#define OPTIMIZER_MAX_GROUPS 4

typedef struct optimizer_group {
    double rate_factor;  /* 0 keeps the group's weights as they are */
    double weight_decay; /* applied where parameter.decay */
} optimizer_group;

typedef enum optimizer_kind { OPTIMIZER_ADAMW, OPTIMIZER_MUON } optimizer_kind;
extern const char *const optimizer_kind_names[]; /* "adamw", "muon", NULL */

typedef struct optimizer_options {
    optimizer_kind kind;
    double momentum; /* of Muon */
    double beta1, beta2, epsilon;
    double clip_norm; /* gradients are scaled down to this norm over all parameters; 0: never */
    double ema_decay; /* 0: no average */
    optimizer_group groups[OPTIMIZER_MAX_GROUPS]; /* by parameter.group */
} optimizer_options;

optimizer_options optimizer_defaults(
    void); /* AdamW; 0.95, 0.9, 0.999, 1e-8, no clipping, no average, factor 1, decay 1e-4 */

typedef struct optimizer {
    optimizer_options options;
    parameters *set;   /* borrowed */
    thread_pool *pool; /* borrowed, may be NULL */
    uint64_t step;     /* steps taken */
    bool averaged;     /* parameter values and average are exchanged just now */
    float **first;     /* [parameter] -> moment m [count]; NULL for what is not trainable */
    float **second;    /* [parameter] -> moment v [count]; NULL for what Muon moves */
    struct muon *muon; /* NULL with AdamW alone */
    float **average;   /* [parameter] -> [count]; NULL without EMA */
    double *partial;   /* one per piece */
    struct optimizer_piece *pieces;
    int piece_count;
} optimizer;

/* Allocates the gradients of `set` too. The average starts as the present values. */
carina_status optimizer_create(optimizer **out, parameters *set, const optimizer_options *options, thread_pool *pool,
                               carina_error *error);
void optimizer_free(optimizer *o); /* accepts NULL */

/* L2 norm over all gradients. */
double optimizer_gradient_norm(optimizer *o);
/* One step from the gradients (left as they are). *norm, if not NULL, is their norm before clipping. When it is not
 * finite nothing changes, the step is not counted and the result is false. */
bool optimizer_step(optimizer *o, double rate, double *norm);

/* Puts the average in place of the weights, and back. Does nothing without an average. */
void optimizer_use_average(optimizer *o, bool wanted);

#endif
