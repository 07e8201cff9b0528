/* What patches say of boxes: the log of the summed odds of the patches that a box holds. */
#include <math.h>

#include "tensor/graph_internal.h"
#include "tensor/ops.h"

enum { X, BOXES };

typedef struct box_evidence_state {
    int64_t batch, rows, columns, boxes, width; /* B, patches P = rows x columns, N, F */
} box_evidence_state;

typedef struct patch_span {
    int64_t first, last; /* [first, last) along one axis, never empty */
} patch_span;

/* The patches whose middle lies in the span; where it holds none, the one that its own middle lies in. Numbers that
 * are no box (of a region without one) give some patch. */
static patch_span span_of(float middle, float length, int64_t count) {
    double m = (double)middle * (double)count, half = (double)length * (double)count / 2;
    if (!(m >= 0)) m = 0;
    if (!(m <= (double)count - 0.5)) m = (double)count - 0.5;
    if (!(half >= 0)) half = 0;
    if (!(half <= (double)count)) half = (double)count;
    int64_t first = (int64_t)fmax(ceil(m - half - 0.5), 0), last = (int64_t)fmin(floor(m + half + 0.5), (double)count);
    return first < last ? (patch_span){first, last} : (patch_span){(int64_t)m, (int64_t)m + 1};
}

static void spans_of(const op *o, int64_t box, patch_span *down, patch_span *across) {
    const box_evidence_state *s = o->state;
    const float *b = tensor_f32(o->input[BOXES]) + 4 * box; /* (cx, cy, w, h) */
    *down = span_of(b[1], b[3], s->rows);
    *across = span_of(b[0], b[2], s->columns);
}

/* One film: a maximum first, so that no exponential overflows. */
static void forward_shard(void *context, int film, int worker) {
    const op *o = context;
    const box_evidence_state *s = o->state;
    const float *x = tensor_f32(o->input[X]) + film * s->rows * s->columns * s->width;
    float *y = (float *)tensor_values(o->output) + film * s->boxes * s->width;
    float *most = op_worker_scratch(o, worker);
    for (int64_t n = 0; n < s->boxes; n++, y += s->width) {
        patch_span down, across;
        spans_of(o, film * s->boxes + n, &down, &across);
        for (int64_t f = 0; f < s->width; f++) most[f] = -INFINITY, y[f] = 0;
        for (int64_t r = down.first; r < down.last; r++)
            for (int64_t c = across.first; c < across.last; c++) {
                const float *patch = x + (r * s->columns + c) * s->width;
                for (int64_t f = 0; f < s->width; f++) most[f] = patch[f] > most[f] ? patch[f] : most[f];
            }
        for (int64_t r = down.first; r < down.last; r++)
            for (int64_t c = across.first; c < across.last; c++) {
                const float *patch = x + (r * s->columns + c) * s->width;
                for (int64_t f = 0; f < s->width; f++) y[f] += expf(patch[f] - most[f]);
            }
        for (int64_t f = 0; f < s->width; f++) y[f] = most[f] + logf(y[f]);
    }
}

static void box_evidence_forward(op *o) {
    op_parallel(o, (int)((box_evidence_state *)o->state)->batch, forward_shard, o);
}

/* dx = dy exp(x - y), summed over the boxes that hold the patch. */
static void backward_shard(void *context, int film, int worker) {
    (void)worker;
    const op *o = context;
    const box_evidence_state *s = o->state;
    int64_t patches = s->rows * s->columns;
    const float *x = tensor_f32(o->input[X]) + film * patches * s->width;
    const float *y = tensor_f32(o->output) + film * s->boxes * s->width;
    const float *dy = (const float *)op_output_gradient(o) + film * s->boxes * s->width;
    float *dx = (float *)op_input_gradient(o, X) + film * patches * s->width;
    for (int64_t i = 0; i < patches * s->width; i++) dx[i] = 0;
    for (int64_t n = 0; n < s->boxes; n++, y += s->width, dy += s->width) {
        patch_span down, across;
        spans_of(o, film * s->boxes + n, &down, &across);
        for (int64_t r = down.first; r < down.last; r++)
            for (int64_t c = across.first; c < across.last; c++) {
                int64_t at = (r * s->columns + c) * s->width;
                for (int64_t f = 0; f < s->width; f++)
                    if (dy[f] != 0) dx[at + f] += dy[f] * expf(x[at + f] - y[f]);
            }
    }
}

static void box_evidence_backward(op *o) {
    if (op_input_gradient(o, X)) op_parallel(o, (int)((box_evidence_state *)o->state)->batch, backward_shard, o);
}

static carina_status box_evidence_prepare(op *o, carina_error *error) {
    (void)error;
    o->worker_bytes = (uint64_t)((box_evidence_state *)o->state)->width * sizeof(float);
    return CARINA_OK;
}

static const op_type box_evidence_type = {"box evidence", box_evidence_prepare, box_evidence_forward,
                                          box_evidence_backward, NULL};

tensor *op_box_evidence(graph *g, tensor *x, tensor *boxes, int64_t rows, int64_t columns) {
    if (!x || !boxes) return NULL;
    if (x->rank != 3 || x->type != TENSOR_F32 || x->base->param || rows < 1 || columns < 1 || rows > x->size[1] ||
        columns > x->size[1] || rows * columns != x->size[1] || boxes->rank != 3 || boxes->type != TENSOR_F32 ||
        boxes->size[0] != x->size[0] || boxes->size[2] != 4)
        return graph_fail(g, "box evidence: f32 patches [B, rows x columns, F] and f32 boxes [B, N, 4] are wanted");
    op *o = graph_record(g, &box_evidence_type, 2, (tensor *[]){x, boxes}, TENSOR_F32, 3,
                         (int64_t[]){x->size[0], boxes->size[1], x->size[2]}, sizeof(box_evidence_state));
    if (!o) return NULL;
    *(box_evidence_state *)o->state = (box_evidence_state){x->size[0], rows, columns, boxes->size[1], x->size[2]};
    o->backward_reads = READS_INPUT(X) | READS_INPUT(BOXES) | READS_OUTPUT;
    return o->output;
}
