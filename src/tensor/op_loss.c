/* Losses: boxes (L1 and GIoU), binary cross-entropy, and weighted sums of scalars. All in f32, with sums in double. */
#include <math.h>
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

/* ---- boxes ---- */

enum { PREDICTED, TARGET, PRESENT };

static int64_t present_count(const float *present, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += present[i] > 0;
    return count;
}

/* 1 - GIoU of two (cx, cy, w, h) boxes and its gradient by the first. GIoU = I / U - (C - U) / C with the intersection
 * I, union U and enclosing area C. Rezatofighi et al. 2019, equation 1. */
static double giou_loss(const float *p, const float *t, double *gradient) {
    double p1[2], p2[2], t1[2], t2[2], inner[2], outer[2];
    for (int i = 0; i < 2; i++) {
        double pw = fmax((double)p[2 + i], 0), tw = fmax((double)t[2 + i], 0);
        p1[i] = (double)p[i] - pw / 2, p2[i] = (double)p[i] + pw / 2;
        t1[i] = (double)t[i] - tw / 2, t2[i] = (double)t[i] + tw / 2;
        inner[i] = fmin(p2[i], t2[i]) - fmax(p1[i], t1[i]);
        outer[i] = fmax(p2[i], t2[i]) - fmin(p1[i], t1[i]);
    }
    bool meets = inner[0] > 0 && inner[1] > 0;
    double pw = p2[0] - p1[0], ph = p2[1] - p1[1];
    double intersection = meets ? inner[0] * inner[1] : 0;
    double both = pw * ph + (t2[0] - t1[0]) * (t2[1] - t1[1]) - intersection + 1e-12;
    double enclosing = outer[0] * outer[1] + 1e-12;
    /* loss = 2 - I/U - U/C */
    double d_intersection = -1 / both, d_both = intersection / (both * both) - 1 / enclosing;
    double d_enclosing = both / (enclosing * enclosing);
    d_intersection -= d_both; /* U falls as I grows */
    for (int i = 0; i < 2; i++) {
        int j = 1 - i;
        double low = 0, high = 0; /* by the low and high edge of the predicted box on this axis */
        double other = p2[j] - p1[j];
        low -= d_both * other, high += d_both * other;
        if (meets && p2[i] < t2[i]) high += d_intersection * inner[j];
        if (meets && p1[i] > t1[i]) low -= d_intersection * inner[j];
        if (p2[i] > t2[i]) high += d_enclosing * outer[j];
        if (p1[i] < t1[i]) low -= d_enclosing * outer[j];
        gradient[i] = low + high;
        gradient[2 + i] = (high - low) / 2;
    }
    return 2 - intersection / both - both / enclosing;
}

static void box_loss_forward(op *o) {
    const box_loss_options *options = o->state;
    const float *p = tensor_f32(o->input[PREDICTED]), *t = tensor_f32(o->input[TARGET]),
                *present = tensor_f32(o->input[PRESENT]);
    int64_t n = o->input[PRESENT]->count;
    double sum = 0, unused[4];
    for (int64_t i = 0; i < n; i++) {
        if (present[i] <= 0) continue;
        double l1 = 0;
        for (int j = 0; j < 4; j++) l1 += fabs((double)p[4 * i + j] - (double)t[4 * i + j]);
        sum += (double)options->l1_weight * l1 + (double)options->giou_weight * giou_loss(p + 4 * i, t + 4 * i, unused);
    }
    *(float *)tensor_values(o->output) = (float)(sum / (double)max_i64(present_count(present, n), 1));
}

static void box_loss_backward(op *o) {
    const box_loss_options *options = o->state;
    const float *p = tensor_f32(o->input[PREDICTED]), *t = tensor_f32(o->input[TARGET]),
                *present = tensor_f32(o->input[PRESENT]);
    int64_t n = o->input[PRESENT]->count;
    float *dp = op_input_gradient(o, PREDICTED);
    double scale = (double)*(float *)op_output_gradient(o) / (double)max_i64(present_count(present, n), 1);
    memset(dp, 0, (size_t)n * 4 * sizeof *dp);
    for (int64_t i = 0; i < n; i++) {
        if (present[i] <= 0) continue;
        double giou[4];
        giou_loss(p + 4 * i, t + 4 * i, giou);
        for (int j = 0; j < 4; j++) {
            float difference = p[4 * i + j] - t[4 * i + j];
            double sign = difference > 0 ? 1 : difference < 0 ? -1 : 0;
            dp[4 * i + j] =
                (float)(scale * ((double)options->l1_weight * sign + (double)options->giou_weight * giou[j]));
        }
    }
}

static const op_type box_loss_type = {"box loss", NULL, box_loss_forward, box_loss_backward, NULL};

tensor *op_box_loss(graph *g, tensor *predicted, tensor *target, tensor *present, const box_loss_options *options) {
    if (!predicted || !target || !present) return NULL;
    if (predicted->type != TENSOR_F32 || predicted->count != target->count || present->count * 4 != target->count)
        return graph_fail(g, "box loss: predicted and target [B, N, 4], present [B, N], all f32, are wanted");
    op *o = graph_record(g, &box_loss_type, 3, (tensor *[]){predicted, target, present}, TENSOR_F32, 1, (int64_t[]){1},
                         sizeof *options);
    if (!o) return NULL;
    *(box_loss_options *)o->state = *options;
    o->backward_reads = READS_INPUT(PREDICTED) | READS_INPUT(TARGET) | READS_INPUT(PRESENT);
    return o->output;
}

/* ---- binary cross-entropy with logits ---- */

enum { LOGITS, LABELS };

static bool is_known(float label) { return label >= 0 && label <= 1; /* false for NaN too */ }

static int64_t known_count(const float *labels, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += is_known(labels[i]);
    return max_i64(count, 1);
}

static void bce_forward(op *o) {
    const float *x = tensor_f32(o->input[LOGITS]), *y = tensor_f32(o->input[LABELS]);
    int64_t n = o->input[LOGITS]->count;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (is_known(y[i]))
            sum += fmax((double)x[i], 0) - (double)x[i] * (double)y[i] + log1p(exp(-fabs((double)x[i])));
    *(float *)tensor_values(o->output) = (float)(sum / (double)known_count(y, n));
}

static void bce_backward(op *o) {
    const float *x = tensor_f32(o->input[LOGITS]), *y = tensor_f32(o->input[LABELS]);
    int64_t n = o->input[LOGITS]->count;
    float *dx = op_input_gradient(o, LOGITS);
    double scale = (double)*(float *)op_output_gradient(o) / (double)known_count(y, n);
    for (int64_t i = 0; i < n; i++)
        dx[i] = is_known(y[i]) ? (float)(scale * (1 / (1 + exp(-(double)x[i])) - (double)y[i])) : 0.0f;
}

static const op_type bce_type = {"binary cross-entropy", NULL, bce_forward, bce_backward, NULL};

tensor *op_binary_cross_entropy(graph *g, tensor *logits, tensor *target) {
    if (!logits || !target) return NULL;
    if (logits->type != TENSOR_F32 || logits->count != target->count)
        return graph_fail(g, "binary cross-entropy: %lld logits, %lld targets", (long long)logits->count,
                          (long long)target->count);
    op *o = graph_record(g, &bce_type, 2, (tensor *[]){logits, target}, TENSOR_F32, 1, (int64_t[]){1}, 0);
    if (!o) return NULL;
    o->backward_reads = READS_INPUT(LOGITS) | READS_INPUT(LABELS);
    return o->output;
}

/* ---- dot product of two tensors ---- */

static void dot_forward(op *o) {
    const float *a = tensor_f32(o->input[0]), *b = tensor_f32(o->input[1]);
    double sum = 0;
    for (int64_t i = 0; i < o->input[0]->count; i++) sum += (double)a[i] * (double)b[i];
    *(float *)tensor_values(o->output) = (float)sum;
}
static void dot_backward(op *o) {
    for (int i = 0; i < 2; i++) {
        float *d = op_input_gradient(o, i);
        if (d)
            o->owner->kernels->scale(d, tensor_f32(o->input[1 - i]), *(float *)op_output_gradient(o),
                                     o->input[0]->count);
    }
}
static const op_type dot_type = {"dot", NULL, dot_forward, dot_backward, NULL};

tensor *op_dot(graph *g, tensor *a, tensor *b) {
    if (!a || !b) return NULL;
    if (a->type != TENSOR_F32 || b->type != TENSOR_F32 || a->count != b->count || a->param || b->param)
        return graph_fail(g, "dot: two f32 values of one size are wanted");
    op *o = graph_record(g, &dot_type, 2, (tensor *[]){a, b}, TENSOR_F32, 1, (int64_t[]){1}, 0);
    if (!o) return NULL;
    o->backward_reads = READS_INPUT(0) | READS_INPUT(1);
    return o->output;
}

/* ---- weighted sum ---- */

typedef struct sum_state {
    float weights[OP_MAX_INPUTS];
} sum_state;

static void sum_forward(op *o) {
    double sum = 0;
    for (int i = 0; i < o->input_count; i++)
        sum += (double)((sum_state *)o->state)->weights[i] * (double)*tensor_f32(o->input[i]);
    *(float *)tensor_values(o->output) = (float)sum;
}
static void sum_backward(op *o) {
    for (int i = 0; i < o->input_count; i++) {
        float *dx = op_input_gradient(o, i);
        if (dx) *dx = ((sum_state *)o->state)->weights[i] * *(float *)op_output_gradient(o);
    }
}
static const op_type sum_type = {"sum", NULL, sum_forward, sum_backward, NULL};

tensor *op_sum_scalars(graph *g, int count, tensor *const *scalars, const float *weights) {
    if (count < 1 || count > OP_MAX_INPUTS) return graph_fail(g, "sum: %d terms", count);
    for (int i = 0; i < count; i++)
        if (!scalars[i] || scalars[i]->count != 1)
            return scalars[i] ? graph_fail(g, "sum: term %d is no scalar", i) : NULL;
    op *o = graph_record(g, &sum_type, count, scalars, TENSOR_F32, 1, (int64_t[]){1}, sizeof(sum_state));
    if (!o) return NULL;
    memcpy(((sum_state *)o->state)->weights, weights, (size_t)count * sizeof *weights);
    return o->output;
}
