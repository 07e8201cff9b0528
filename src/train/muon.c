/* Muon over all matrices of a model; see muon.h. */
#include "train/muon.h"

#include <math.h>
#include <stdlib.h>

#include "train/orthogonalize.h"

typedef struct matrix {
    int index;      /* of its parameter */
    int64_t offset; /* of its first value there */
    int64_t rows, columns;
    const orthogonalizer *shape;
} matrix;

struct muon {
    parameters *set;
    thread_pool *pool;
    matrix *matrices; /* the largest first: the last ones to be handed out are small */
    int count;
    orthogonalizer **shapes; /* one a shape */
    int64_t (*shape_sizes)[2];
    int shape_count;
    float **scratch; /* [worker]: u, O(u), and what orthogonalize.h wants */
    int64_t values;  /* of the largest matrix */
};

static int64_t row_count(const parameter *p) { return p->size[0] / p->matrices; }
static int64_t column_count(const parameter *p) { return p->count / p->size[0]; }

bool muon_takes(const parameter *p) {
    return p->trainable && p->matrices > 0 && p->rank >= 2 && row_count(p) >= 2 && column_count(p) >= 2;
}

static carina_status find_shape(muon *m, const orthogonalizer **out, int64_t rows, int64_t columns,
                                carina_error *error) {
    for (int i = 0; i < m->shape_count; i++)
        if (m->shape_sizes[i][0] == rows && m->shape_sizes[i][1] == columns) {
            *out = m->shapes[i];
            return CARINA_OK;
        }
    TRY(orthogonalizer_create(&m->shapes[m->shape_count], rows, columns, error));
    m->shape_sizes[m->shape_count][0] = rows;
    m->shape_sizes[m->shape_count][1] = columns;
    *out = m->shapes[m->shape_count++];
    return CARINA_OK;
}

static int compare_sizes(const void *a, const void *b) {
    const matrix *x = a, *y = b;
    int64_t difference = y->rows * y->columns - x->rows * x->columns;
    if (difference) return difference > 0 ? 1 : -1;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static carina_status list_matrices(muon *m, carina_error *error) {
    for (int i = 0; i < m->set->count; i++) {
        const parameter *p = m->set->items[i];
        if (!muon_takes(p)) continue;
        matrix one = {.index = i, .rows = row_count(p), .columns = column_count(p)};
        TRY(find_shape(m, &one.shape, one.rows, one.columns, error));
        for (; one.offset < p->count; one.offset += one.rows * one.columns) m->matrices[m->count++] = one;
    }
    qsort(m->matrices, (size_t)m->count, sizeof *m->matrices, compare_sizes);
    return CARINA_OK;
}

static carina_status make_scratch(muon *m, carina_error *error) {
    int64_t most = 0;
    for (int i = 0; i < m->count; i++) {
        int64_t values = m->matrices[i].rows * m->matrices[i].columns;
        if (values > m->values) m->values = values;
    }
    for (int i = 0; i < m->shape_count; i++)
        if (orthogonalizer_scratch(m->shapes[i]) > most) most = orthogonalizer_scratch(m->shapes[i]);
    int workers = thread_pool_count(m->pool);
    m->scratch = calloc((size_t)workers, sizeof *m->scratch);
    if (!m->scratch) return error_memory(error, "muon", 64);
    for (int i = 0; i < workers; i++) {
        uint64_t bytes = (uint64_t)(2 * m->values + most + 1) * sizeof(float);
        m->scratch[i] = malloc(bytes);
        if (!m->scratch[i]) return error_memory(error, "muon", bytes);
    }
    return CARINA_OK;
}

carina_status muon_create(muon **out, parameters *set, thread_pool *pool, carina_error *error) {
    muon *m = *out = calloc(1, sizeof *m);
    if (!m) return error_memory(error, "muon", sizeof *m);
    m->set = set;
    m->pool = pool;
    size_t most = 1;
    for (int i = 0; i < set->count; i++) most += (size_t)set->items[i]->matrices;
    m->matrices = calloc(most, sizeof *m->matrices);
    m->shapes = calloc(most, sizeof *m->shapes);
    m->shape_sizes = calloc(most, sizeof *m->shape_sizes);
    carina_status status =
        m->matrices && m->shapes && m->shape_sizes ? list_matrices(m, error) : error_memory(error, "muon", most * 64);
    if (status == CARINA_OK) status = make_scratch(m, error);
    if (status == CARINA_OK) return CARINA_OK;
    muon_free(m);
    *out = NULL;
    return status;
}

void muon_free(muon *m) {
    if (!m) return;
    for (int i = 0; i < m->shape_count; i++) orthogonalizer_free(m->shapes[i]);
    for (int i = 0; m->scratch && i < thread_pool_count(m->pool); i++) free(m->scratch[i]);
    free(m->scratch);
    free(m->shapes);
    free(m->shape_sizes);
    free(m->matrices);
    free(m);
}

typedef struct run_context {
    muon *m;
    const muon_step *step;
} run_context;

static void run_matrix(void *context, int shard, int worker) {
    const run_context *c = context;
    const matrix *one = &c->m->matrices[shard];
    const parameter *p = c->m->set->items[one->index];
    float rate = c->step->rate[p->group];
    if (!p->gradient || rate <= 0) return;
    int64_t count = one->rows * one->columns;
    float *update = c->m->scratch[worker], *orthogonal = update + c->m->values, *rest = orthogonal + c->m->values;
    float *momentum = c->step->momentum[one->index] + one->offset, *value = p->value + one->offset;
    const float *gradient = p->gradient + one->offset;
    float beta = c->step->beta, scale = c->step->gradient_scale;
    for (int64_t i = 0; i < count; i++) {
        float g = gradient[i] * scale;
        momentum[i] = beta * momentum[i] + g;
        update[i] = g + beta * momentum[i];
    }
    orthogonalizer_run(one->shape, orthogonal, update, rest);
    float longer = (float)(one->rows > one->columns ? one->rows : one->columns);
    float length = rate * 0.2f * sqrtf(longer), keep = 1 - (p->decay ? rate * c->step->decay[p->group] : 0);
    for (int64_t i = 0; i < count; i++) value[i] = keep * value[i] - length * orthogonal[i];
}

void muon_run(muon *m, const muon_step *step) {
    run_context context = {m, step};
    thread_pool_run(m->pool, m->count, run_matrix, &context);
}
