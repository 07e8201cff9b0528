/* The named weights of a model: f32 masters, their gradients, and what the optimizer must know of them.
 *
 * Names and layouts are PyTorch's (convolution [O, I, kh, kw], linear [O, I]), so checkpoints map by name. A parameter
 * set is const while a graph runs forward; backward adds to `gradient`; the optimizer changes `value`.
 */
#ifndef TENSOR_PARAMETERS_H
#define TENSOR_PARAMETERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"

#define TENSOR_MAX_RANK 4

typedef enum parameter_kind {
    PARAMETER_WEIGHT, /* learned by gradient */
    PARAMETER_BUFFER, /* saved with the model, not learned by gradient: batch-norm statistics */
} parameter_kind;

typedef struct parameter {
    char *name; /* as in the PyTorch state_dict, without a model prefix */
    parameter_kind kind;
    int rank;
    int64_t size[TENSOR_MAX_RANK];
    int64_t count;   /* product of size */
    float *value;    /* [count], owned by the set */
    float *gradient; /* [count], owned; NULL until parameters_allocate_gradients, and for what is not trained */
    bool trainable;  /* false for buffers and frozen weights */
    bool decay;      /* weight decay applies: matrices and kernels, not biases, norms or embeddings of position */
    int matrices;  /* stacked along its first axis: 1 for most; 3 for query, key and value; 0: no matrix but a table or
                    * a vector */
    bool optional; /* of a branch that adds nothing while it is zero: a run may start from a model without it */
    uint64_t version; /* changes with the values: copies packed for kernels are then stale */
    int group;        /* optimizer parameter group; 0 everything else, 1 backbone */
} parameter;

typedef struct parameters {
    parameter **items; /* in order of creation, which is also the order in files */
    int count;
} parameters;

carina_status parameters_create(parameters **out, carina_error *error);
void parameters_free(parameters *set); /* accepts NULL */

/* Adds a zeroed parameter; names must be new. Returns NULL when out of memory or the shape is too large. */
parameter *parameters_add(parameters *set, const char *name, parameter_kind kind, int rank, const int64_t *size);
parameter *parameters_find(const parameters *set, const char *name); /* NULL when there is none */
void parameters_changed(parameters *set); /* to be called after values were written, once a graph exists */

/* Zeroed gradients for everything trainable. */
carina_status parameters_allocate_gradients(parameters *set, carina_error *error);
void parameters_zero_gradients(parameters *set);
int64_t parameters_total(const parameters *set); /* number of values, buffers included */

/* random NULL leaves the values as they are. Initial values (He et al. 2015; Glorot and Bengio 2010). */
void parameter_fill(parameter *p, float value);
void parameter_fill_kaiming_normal(parameter *p, random_state *random); /* fan out, gain of ReLU: convolutions */
void parameter_fill_xavier_uniform(parameter *p, random_state *random); /* [O, I] */
void parameter_fill_normal(parameter *p, random_state *random, double deviation);
void parameter_fill_uniform(parameter *p, random_state *random, double bound); /* [-bound, bound] */

#endif
