/* Cross-entropy over a vocabulary for some of the tokens: BERT's masked words (Devlin et al. 2019, section 3.1). */
#include <math.h>
#include <string.h>

#include "tensor/graph_internal.h"
#include "tensor/ops.h"

enum { LOGITS, TARGET };
enum { SAVED_LSE };

typedef struct token_loss_state {
    int64_t tokens, words; /* .., V */
} token_loss_state;

/* -1 for a token that takes no part. */
static int64_t word_of(const token_loss_state *s, float id) {
    return id >= 0 && id < (float)s->words ? (int64_t)id : -1; /* false for NaN too */
}

static double counted(const op *o) {
    const token_loss_state *s = o->state;
    const float *target = tensor_f32(o->input[TARGET]);
    int64_t count = 0;
    for (int64_t i = 0; i < s->tokens; i++) count += word_of(s, target[i]) >= 0;
    return (double)max_i64(count, 1);
}

static carina_status token_loss_prepare(op *o, carina_error *error) {
    (void)error;
    op_save(o, SAVED_LSE, (uint64_t)((token_loss_state *)o->state)->tokens * sizeof(float));
    return CARINA_OK;
}

static void forward_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const token_loss_state *s = o->state;
    const float *target = tensor_f32(o->input[TARGET]), *logits = tensor_f32(o->input[LOGITS]);
    float *lse = o->saved[SAVED_LSE].data;
    range r = shard_range(s->tokens, shard_count_for(s->tokens, s->words), shard);
    for (int64_t i = r.begin; i < r.end; i++) {
        if (word_of(s, target[i]) < 0) continue;
        const float *x = logits + i * s->words;
        float high = x[0];
        double sum = 0;
        for (int64_t v = 1; v < s->words; v++) high = fmaxf(high, x[v]);
        for (int64_t v = 0; v < s->words; v++) sum += (double)expf(x[v] - high);
        lse[i] = high + (float)log(sum);
    }
}

static void token_loss_forward(op *o) {
    const token_loss_state *s = o->state;
    const float *target = tensor_f32(o->input[TARGET]), *logits = tensor_f32(o->input[LOGITS]);
    const float *lse = o->saved[SAVED_LSE].data;
    op_parallel(o, shard_count_for(s->tokens, s->words), forward_shard, o);
    double sum = 0;
    for (int64_t i = 0; i < s->tokens; i++) {
        int64_t word = word_of(s, target[i]);
        if (word >= 0) sum += (double)lse[i] - (double)logits[i * s->words + word];
    }
    *(float *)tensor_values(o->output) = (float)(sum / counted(o));
}

static void backward_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const token_loss_state *s = o->state;
    const float *target = tensor_f32(o->input[TARGET]), *logits = tensor_f32(o->input[LOGITS]);
    const float *lse = o->saved[SAVED_LSE].data;
    float *dx = op_input_gradient(o, LOGITS);
    float scale = (float)((double)*(float *)op_output_gradient(o) / counted(o));
    range r = shard_range(s->tokens, shard_count_for(s->tokens, s->words), shard);
    for (int64_t i = r.begin; i < r.end; i++) {
        int64_t word = word_of(s, target[i]);
        float *row = dx + i * s->words;
        if (word < 0) {
            memset(row, 0, (size_t)s->words * sizeof *row);
            continue;
        }
        for (int64_t v = 0; v < s->words; v++) row[v] = scale * expf(logits[i * s->words + v] - lse[i]);
        row[word] -= scale;
    }
}

static void token_loss_backward(op *o) {
    const token_loss_state *s = o->state;
    if (op_input_gradient(o, LOGITS)) op_parallel(o, shard_count_for(s->tokens, s->words), backward_shard, o);
}

static const op_type token_loss_type = {"token cross-entropy", token_loss_prepare, token_loss_forward,
                                        token_loss_backward, NULL};

tensor *op_token_cross_entropy(graph *g, tensor *logits, tensor *target) {
    if (!logits || !target) return NULL;
    int64_t words = logits->size[logits->rank - 1];
    if (logits->type != TENSOR_F32 || target->type != TENSOR_F32 || logits->base->param || words < 1 ||
        words > 1 << 24 || target->count * words != logits->count) /* whole numbers up to there are exact in f32 */
        return graph_fail(g, "token cross-entropy: f32 logits [..., V] and targets [...] are wanted");
    op *o = graph_record(g, &token_loss_type, 2, (tensor *[]){logits, target}, TENSOR_F32, 1, (int64_t[]){1},
                         sizeof(token_loss_state));
    if (!o) return NULL;
    *(token_loss_state *)o->state = (token_loss_state){.tokens = target->count, .words = words};
    o->backward_reads = READS_INPUT(LOGITS) | READS_INPUT(TARGET);
    return o->output;
}
