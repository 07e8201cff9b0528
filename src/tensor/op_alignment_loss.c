/* The soft contrastive loss between two sets of embeddings; see ops.h. AnatomiX (arXiv 2601.03191), "APM training",
 * L_align; with the identity as target it is CLIP's loss (Radford et al. 2021).
 *
 * Forward already makes d L / d A, which needs the same exponentials as the loss:
 *     d L / d A_ij = (P_ij - S_ij + c_j Q_ij - S_ij) / (2 V),  P rows' softmax, Q columns' softmax, c_j = sum_i S_ij
 * so backward is two products and the derivative of the normalisation. Rows that the mask leaves out are dropped before
 * anything else: matrices are V x V.
 */
#include <math.h>
#include <string.h>

#include "tensor/graph_internal.h"
#include "tensor/ops.h"

enum { Z, T, E, MASK };
enum { SAVED_SLOPE, SAVED_UNIT };

#define ALIGNMENT_MAX_ROWS 16384 /* two matrices of 1 GiB */
#define BLOCK_ROWS         32    /* of the right factor: stay in the cache while the left rows pass by */

typedef struct alignment_state {
    alignment_options options;
    int64_t rows, width, target_width; /* M, d, k */
    int64_t valid;                     /* V of the last forward */
} alignment_state;

/* What forward leaves for backward besides the slope: V rows each. */
typedef struct unit_rows {
    float *z, *t;                       /* [V, d], unit length */
    float *inverse_length[2];           /* [V]; 0 for a row of zeros */
    int64_t *row;                       /* [V]: which of the M rows */
    float *row_lse, *column_lse, *mass; /* [V]: forward only; mass: c_j */
} unit_rows;

static uint64_t unit_bytes(const alignment_state *s) {
    return (uint64_t)s->rows * (2 * (uint64_t)s->width * sizeof(float) + sizeof(int64_t) + 5 * sizeof(float));
}

static unit_rows unit_rows_of(const op *o) {
    const alignment_state *s = o->state;
    unit_rows u;
    u.row = o->saved[SAVED_UNIT].data;
    u.z = (float *)(u.row + s->rows);
    u.t = u.z + s->rows * s->width;
    u.inverse_length[0] = u.t + s->rows * s->width;
    u.inverse_length[1] = u.inverse_length[0] + s->rows;
    u.row_lse = u.inverse_length[1] + s->rows;
    u.column_lse = u.row_lse + s->rows;
    u.mass = u.column_lse + s->rows;
    return u;
}

/* Scratch of forward: S [V, V], then e's rows [V, k] at unit length, then each row's loss [V] as double. */
static double *row_losses(const op *o) { return op_scratch(o); }
static float *target_of(const op *o) { return (float *)(row_losses(o) + ((alignment_state *)o->state)->rows); }
static float *unit_target_of(const op *o) {
    const alignment_state *s = o->state;
    return target_of(o) + s->rows * s->rows;
}

static carina_status alignment_prepare(op *o, carina_error *error) {
    (void)error;
    const alignment_state *s = o->state;
    uint64_t rows = (uint64_t)s->rows;
    op_save(o, SAVED_SLOPE, rows * rows * sizeof(float));
    op_save(o, SAVED_UNIT, unit_bytes(s));
    o->scratch_bytes = rows * sizeof(double) + (rows * rows + rows * (uint64_t)s->target_width) * sizeof(float);
    uint64_t backward = rows * (uint64_t)s->width * sizeof(float);
    if (o->scratch_bytes < backward) o->scratch_bytes = backward;
    return CARINA_OK;
}

/* ---- forward ---- */

static float unit_row(const kernels *k, float *out, const float *x, int64_t n) {
    double length = sqrt(k->sum_of_squares(x, n));
    float inverse = length > 1e-12 && isfinite(length) ? (float)(1 / length) : 0;
    k->scale(out, x, inverse, n);
    return inverse;
}

static int64_t gather_units(op *o, unit_rows *u) {
    const alignment_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const float *mask = o->input[MASK] ? tensor_f32(o->input[MASK]) : NULL;
    const float *z = tensor_f32(o->input[Z]), *t = tensor_f32(o->input[T]);
    const float *e = s->target_width > 0 ? tensor_f32(o->input[E]) : NULL;
    float *target = unit_target_of(o);
    int64_t valid = 0;
    for (int64_t i = 0; i < s->rows; i++) {
        if (mask && !(mask[i] > 0)) continue;
        u->row[valid] = i;
        u->inverse_length[0][valid] = unit_row(k, u->z + valid * s->width, z + i * s->width, s->width);
        u->inverse_length[1][valid] = unit_row(k, u->t + valid * s->width, t + i * s->width, s->width);
        if (e) unit_row(k, target + valid * s->target_width, e + i * s->target_width, s->target_width);
        valid++;
    }
    return valid;
}

/* out [V, V], rows r: left right^T / tau. */
static void similarities(const kernels *k, float *out, const float *left, const float *right, range r, int64_t count,
                         int64_t width, float scale) {
    for (int64_t block = 0; block < count; block += BLOCK_ROWS) {
        int64_t end = min_i64(block + BLOCK_ROWS, count);
        for (int64_t i = r.begin; i < r.end; i++)
            for (int64_t j = block; j < end; j++)
                out[i * count + j] = scale * k->dot(left + i * width, right + j * width, width);
    }
}

static float log_sum_exp(const float *x, int64_t n) {
    float high = x[0];
    double sum = 0;
    for (int64_t i = 1; i < n; i++) high = fmaxf(high, x[i]);
    for (int64_t i = 0; i < n; i++) sum += (double)expf(x[i] - high);
    return high + (float)log(sum);
}

/* A into the slope's place, S, and the rows' log-sum-exp. */
static void rows_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const alignment_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const unit_rows u = unit_rows_of(o);
    float *a = o->saved[SAVED_SLOPE].data, *target = target_of(o);
    int64_t n = s->valid;
    range r = shard_range(n, shard_count_for(n, n * s->width), shard);
    similarities(k, a, u.z, u.t, r, n, s->width, 1 / s->options.tau);
    for (int64_t i = r.begin; i < r.end; i++) u.row_lse[i] = log_sum_exp(a + i * n, n);
    if (s->options.identity) {
        memset(target + r.begin * n, 0, (size_t)((r.end - r.begin) * n) * sizeof *target);
        for (int64_t i = r.begin; i < r.end; i++) target[i * n + i] = 1;
        return;
    }
    const float *e = unit_target_of(o);
    similarities(k, target, e, e, r, n, s->target_width, 1 / s->options.target_tau);
    for (int64_t i = r.begin; i < r.end; i++) k->softmax(target + i * n, n, 1);
}

/* The columns' log-sum-exp of A, and their sums of S. */
static void columns_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const alignment_state *s = o->state;
    const unit_rows u = unit_rows_of(o);
    const float *a = o->saved[SAVED_SLOPE].data, *target = target_of(o);
    int64_t n = s->valid;
    range r = shard_range(n, shard_count_for(n, n), shard);
    float *high = u.column_lse;
    for (int64_t j = r.begin; j < r.end; j++) high[j] = a[j], u.mass[j] = 0;
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = r.begin; j < r.end; j++) high[j] = fmaxf(high[j], a[i * n + j]);
    for (int64_t j = r.begin; j < r.end; j++) {
        double sum = 0, mass = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)expf(a[i * n + j] - high[j]), mass += (double)target[i * n + j];
        u.column_lse[j] = high[j] + (float)log(sum);
        u.mass[j] = (float)mass;
    }
}

/* The loss of each row, and d L / d A in place of A. */
static void slope_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const alignment_state *s = o->state;
    const unit_rows u = unit_rows_of(o);
    int64_t n = s->valid;
    range r = shard_range(n, shard_count_for(n, n), shard);
    double scale = 0.5 / (double)n;
    for (int64_t i = r.begin; i < r.end; i++) {
        float *a = (float *)o->saved[SAVED_SLOPE].data + i * n;
        const float *target = target_of(o) + i * n;
        double loss = 0;
        for (int64_t j = 0; j < n; j++) {
            double by_row = (double)a[j] - (double)u.row_lse[i], by_column = (double)a[j] - (double)u.column_lse[j];
            double share = (double)target[j];
            if (share > 0) loss += share * (2 * log(share) - by_row - by_column);
            a[j] = (float)(scale * (exp(by_row) + (double)u.mass[j] * exp(by_column) - 2 * share));
        }
        row_losses(o)[i] = scale * loss;
    }
}

static void alignment_forward(op *o) {
    alignment_state *s = o->state;
    unit_rows u = unit_rows_of(o);
    int64_t n = s->valid = gather_units(o, &u);
    double sum = 0;
    if (n > 0) {
        op_parallel(o, shard_count_for(n, n * s->width), rows_shard, o);
        op_parallel(o, shard_count_for(n, n), columns_shard, o);
        op_parallel(o, shard_count_for(n, n), slope_shard, o);
        for (int64_t i = 0; i < n; i++) sum += row_losses(o)[i];
    }
    *(float *)tensor_values(o->output) = (float)sum;
}

/* ---- backward ---- */

/* d x from d unit: the part across the row, over its length. */
static void through_length(float *dx, const float *unit, const float *dunit, float inverse, int64_t n) {
    double along = 0;
    for (int64_t c = 0; c < n; c++) along += (double)unit[c] * (double)dunit[c];
    for (int64_t c = 0; c < n; c++) dx[c] = (float)(((double)dunit[c] - along * (double)unit[c]) * (double)inverse);
}

static void backward_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const alignment_state *s = o->state;
    const unit_rows u = unit_rows_of(o);
    const float *slope = o->saved[SAVED_SLOPE].data;
    float factor = *(float *)op_output_gradient(o) / s->options.tau, *sums = op_scratch(o);
    int64_t n = s->valid, width = s->width;
    range r = shard_range(n, shard_count_for(n, n * width), shard);
    for (int side = 0; side < 2; side++) {
        float *dx = op_input_gradient(o, side);
        const float *own = side == Z ? u.z : u.t, *other = side == Z ? u.t : u.z;
        if (!dx) continue;
        for (int64_t i = r.begin; i < r.end; i++) {
            float *sum = sums + i * width;
            memset(sum, 0, (size_t)width * sizeof *sum);
            for (int64_t j = 0; j < n; j++) {
                float g = factor * (side == Z ? slope[i * n + j] : slope[j * n + i]);
                for (int64_t c = 0; c < width; c++) sum[c] += g * other[j * width + c];
            }
            through_length(dx + u.row[i] * width, own + i * width, sum, u.inverse_length[side][i], width);
        }
    }
}

static void alignment_backward(op *o) {
    const alignment_state *s = o->state;
    for (int i = 0; i < o->input_count; i++) { /* e's and the mask's too, should anybody ask: constants have none */
        float *dx = op_input_gradient(o, i);
        if (dx) memset(dx, 0, (size_t)o->input[i]->count * sizeof *dx);
    }
    if (s->valid > 0) op_parallel(o, shard_count_for(s->valid, s->valid * s->width), backward_shard, o);
}

/* ---- recording ---- */

static const op_type alignment_type = {"alignment loss", alignment_prepare, alignment_forward, alignment_backward,
                                       NULL};

static bool is_rows(const tensor *x, int64_t rows) {
    return x->rank == 2 && x->type == TENSOR_F32 && !x->base->param && x->size[0] == rows && x->size[1] > 0;
}

tensor *op_alignment_loss(graph *g, tensor *z, tensor *t, const alignment_options *options, tensor *e, tensor *mask) {
    if (!z || !t || (!e && !options->identity)) return NULL;
    alignment_state state = {.options = *options, .rows = z->size[0], .width = z->size[z->rank - 1]};
    if (options->identity) e = NULL;
    if (e) state.target_width = e->size[e->rank - 1];
    if (!(state.options.target_tau > 0)) state.options.target_tau = state.options.tau;
    if (!is_rows(z, state.rows) || !is_rows(t, state.rows) || t->size[1] != state.width ||
        (e && !is_rows(e, state.rows)))
        return graph_fail(g, "alignment loss: z and t [M, d] and e [M, k] are wanted, f32 and no parameters");
    if (mask && (mask->type != TENSOR_F32 || mask->count != state.rows))
        return graph_fail(g, "alignment loss: a mask of %lld values for %lld rows", (long long)mask->count,
                          (long long)state.rows);
    if (!(state.options.tau > 0)) return graph_fail(g, "alignment loss: tau %g is not above 0", (double)options->tau);
    if (state.rows > ALIGNMENT_MAX_ROWS)
        return graph_fail(g, "alignment loss: %lld rows, at most %d; take a smaller batch", (long long)state.rows,
                          ALIGNMENT_MAX_ROWS);
    op *o =
        graph_record(g, &alignment_type, 4, (tensor *[]){z, t, e, mask}, TENSOR_F32, 1, (int64_t[]){1}, sizeof state);
    if (!o) return NULL;
    *(alignment_state *)o->state = state;
    return o->output; /* backward reads what forward saved */
}
