/* Sine positions of boxes' corners, which tell a query where a box was found. Forward only: as in DAB-DETR (arXiv
 * 2201.12329) the box of one decoder layer is a constant to the next. */
#include <math.h>

#include "tensor/graph_internal.h"
#include "tensor/ops.h"

#define TWO_PI      6.283185307179586
#define TEMPERATURE 10000.0

typedef struct box_sine_state {
    int64_t boxes, width; /* B N, D */
} box_sine_state;

/* D/2 numbers for y, then D/2 for x; powers: 2 pi / T^(2i/(D/2)) is the next frequency, from ratio to ratio. */
static void corner(float *out, double y, double x, int64_t width) {
    int64_t half = width / 2;
    double frequency = TWO_PI, ratio = pow(TEMPERATURE, -2.0 / (double)half);
    for (int64_t i = 0; i < half; i += 2, frequency *= ratio) {
        out[i] = (float)sin(y * frequency), out[i + 1] = (float)cos(y * frequency);
        out[half + i] = (float)sin(x * frequency), out[half + i + 1] = (float)cos(x * frequency);
    }
}

static int shards_of(const op *o) {
    const box_sine_state *s = o->state;
    return shard_count_for(s->boxes, 16 * s->width); /* a sine costs more than a sum */
}

static void forward_shard(void *context, int shard, int worker) {
    (void)worker;
    const op *o = context;
    const box_sine_state *s = o->state;
    range r = shard_range(s->boxes, shards_of(o), shard);
    const float *box = tensor_f32(o->input[0]) + 4 * r.begin;
    float *y = (float *)tensor_values(o->output) + 2 * s->width * r.begin;
    for (int64_t i = r.begin; i < r.end; i++, box += 4, y += 2 * s->width) {
        double cx = (double)box[0], cy = (double)box[1], w = (double)box[2] / 2, h = (double)box[3] / 2;
        corner(y, cy - h, cx - w, s->width);
        corner(y + s->width, cy + h, cx + w, s->width);
    }
}

static void box_sine_forward(op *o) { op_parallel(o, shards_of(o), forward_shard, o); }

static const op_type box_sine_type = {"box sine", NULL, box_sine_forward, NULL, NULL};

tensor *op_box_sine(graph *g, tensor *boxes, int64_t width) {
    if (!boxes) return NULL;
    if (boxes->rank != 3 || boxes->size[2] != 4 || boxes->type != TENSOR_F32 || width < 4 || width % 4)
        return graph_fail(g, "box sine: f32 boxes [B, N, 4] and a width divisible by 4 are wanted");
    op *o = graph_record(g, &box_sine_type, 1, (tensor *[]){boxes}, TENSOR_F32, 3,
                         (int64_t[]){boxes->size[0], boxes->size[1], 2 * width}, sizeof(box_sine_state));
    if (!o) return NULL;
    *(box_sine_state *)o->state = (box_sine_state){boxes->size[0] * boxes->size[1], width};
    o->output->needs_gradient = false;
    return o->output;
}
