/* Every op that can be recorded. Each lives in op_*.c with its forward and backward side by side; each gradient is
 * held against finite differences in tests/unit/test_gradients.c. Capital letters: B batch, N and M tokens, D width,
 * H, W picture, C channels, P pixels or patches.
 */
#ifndef TENSOR_OPS_H
#define TENSOR_OPS_H

#include "tensor/graph.h"
#include "tensor/key_cache.h"
#include "tensor/quantized.h"

/* ---- pictures ---- */

/* The four vectors [C] of a norm over channels. */
typedef struct norm_parameters {
    parameter *weight, *bias, *running_mean, *running_var;
    float epsilon;
} norm_parameters;

typedef struct convolution_options {
    int stride, padding;
    bool relu; /* y = max(0, .) at the end */
    const norm_parameters
        *frozen_norm; /* constants folded into the weights: y = s (w * x) + b, s = weight / sqrt(var + eps); copied */
} convolution_options;

/* x [B, H, W, C] * weight [O, C, kh, kw] -> [B, H', W', O], plus bias [O] or NULL (not
 * together with a folded norm), plus residual [B, H', W', O] or
 * NULL. */
tensor *op_convolution(graph *g, tensor *x, tensor *weight, tensor *bias, tensor *residual,
                       const convolution_options *options);

/* Batch norm over B, H, W with the batch's statistics (running ones are updated with `momentum`; to use running ones,
 * fold them: convolution_options.frozen_norm), then
 * residual or NULL added, then ReLU if asked. Ioffe and Szegedy 2015; PyTorch's unbiased running variance. */
tensor *op_batch_norm(graph *g, tensor *x, const norm_parameters *norm, tensor *residual, bool relu, float momentum);
/* Group norm (Wu and He 2018) with the same tail; running statistics are not used. */
tensor *op_group_norm(graph *g, tensor *x, parameter *weight, parameter *bias, int groups, float epsilon,
                      tensor *residual, bool relu);

/* Window maximum, padding never wins. */
tensor *op_max_pool(graph *g, tensor *x, int window, int stride, int padding);

/* Every stride-th pixel of every stride-th row, from the first: [B, H, W, C] -> [B, ceil(H / s), ceil(W / s), C]. */
tensor *op_subsample(graph *g, tensor *x, int stride);

/* ---- tokens ---- */

typedef enum activation {
    ACTIVATION_NONE,
    ACTIVATION_RELU,
    ACTIVATION_GELU,
    ACTIVATION_GELU_TANH,
    ACTIVATION_SIGMOID
} activation;

/* y = activation(x weight^T + bias): x [..., I], weight [O, I], bias [O] or NULL. */
tensor *op_linear(graph *g, tensor *x, tensor *weight, tensor *bias, activation act);
/* The same in f32 without a bias, where a row's result does not depend on the other rows. No gradient. */
tensor *op_row_linear(graph *g, tensor *x, tensor *weight, activation act);
/* The same with a packed matrix, which is borrowed: x f32 [.., inputs] -> f32 [.., outputs]. No gradient. */
tensor *op_quantized_linear(graph *g, tensor *x, const quantized_matrix *matrix, activation act);
/* The same for matrices that take the same rows: rows are quantised once, and with few of them the weights are read in
 * one run (BF16 takes other rows than the integer kinds: beside them it is an op of its own). out[i] is part i's, NULL
 * on failure; all of them are to be read by later ops only. */
#define QUANTIZED_LINEARS_MOST 4
typedef struct quantized_linear_part {
    const quantized_matrix *matrix;
    activation act;
} quantized_linear_part;
void op_quantized_linears(graph *g, tensor *x, int count, const quantized_linear_part *parts, tensor **out);
/* (activation(x gate) times (x up)) down: a gated feed-forward, [.., gate inputs] -> [.., down outputs], gate and up of
 * one shape. What is between the matrices is never in f32 as a whole. */
tensor *op_quantized_feed_forward(graph *g, tensor *x, const quantized_matrix *gate, const quantized_matrix *up,
                                  const quantized_matrix *down, activation act);
/* y + up^T (down x) for each row by itself: x [.., R, I], y [.., R, O]. A row's pairs are rows[row][slot], read at
 * every run; no pairs (NULL) or a rank of 0: y as it is. A row's result does not depend on the others. No gradient. */
typedef struct low_rank_pair {
    const float *down, *up; /* [rank, I], [rank, O]: of the product B A the matrices A and, times its scale, B^T */
    int64_t rank;           /* at most LOW_RANK_MOST */
} low_rank_pair;
#define LOW_RANK_MOST 512
tensor *op_low_rank(graph *g, tensor *y, tensor *x, const low_rank_pair *const *rows, int slot);
/* softmax(q k^T factor) v for every head: q [B, N, D], k and v [B, M, D'] -> [B, N, D]. No N x M matrix is kept:
 * backward recomputes it from the row's log-sum-exp (Dao et al. 2022). D' is D, or with key_heads fewer heads of the
 * same width, each of which serves heads / key_heads neighbouring heads of queries (Ainslie et al. 2023). */
typedef struct attention_options {
    int heads;
    tensor
        *mask; /* [B, M] f32, no gradient: only keys where it is above 0, of which each sample needs one; NULL: all */
    float dropout;  /* of probabilities, in training */
    int key_heads;  /* divides heads; 0: heads */
    bool causal;    /* query n sees keys 0 .. n + M - N only */
    int64_t window; /* and of these the last `window`; 0: all. Causal only */
    float factor;   /* 0: 1 / sqrt(D / heads) */
} attention_options;
tensor *op_attention(graph *g, tensor *q, tensor *k, tensor *v, const attention_options *options);
/* The causal form for tokens that come in runs, one token a row: op_cache_tokens adds each row's key and value, k and v
 * [.., R, D'], to its sequence's cache (and gives nothing worth reading); then op_cached_attention looks from q [.., R,
 * D] over all that the rows' sequences have seen, up to the row's own position. Rows of one sequence follow each other
 * by position, and their cache has room for what a window must keep beside all that the run adds. In training not to be
 * had. */
typedef struct cached_attention_options {
    int heads, key_heads;
    int64_t window; /* 0: everything */
    int64_t most;   /* the largest position + 1, or the window: scores that a row needs room for */
    float factor;
    const cached_row *rows; /* [R], borrowed: read at every run */
    int layer;              /* of cached_row.layers */
} cached_attention_options;
/* Bytes that it takes for each thread while it runs: what grows with the longest sequence. group: heads / key_heads. */
uint64_t op_cached_attention_scratch(int64_t group, int64_t head_width, int64_t most);
tensor *op_cache_tokens(graph *g, tensor *k, tensor *v, const cached_row *rows, int layer);
tensor *op_cached_attention(graph *g, tensor *q, const cached_attention_options *options);
/* Rotary positions of the last P tokens: within every head of d = D / heads values, (x[i], x[i + d/2]) is turned by
 * angle i of the token's row; the tokens before them stay. x [B, N, D], table [P, d] f32, no gradient: a row is d/2
 * cosines, then d/2 sines. */
tensor *op_rotary(graph *g, tensor *x, tensor *table, int heads);
/* Sine positions of the upper left, then the lower right corner of boxes [B, N, 4], (cx, cy, w, h) in [0, 1]:
 * [B, N, 2 D], f32; of the D numbers for a corner half are for y, then half for x, sine on even and cosine on odd,
 * frequencies 2 pi / 10000^(2i/(D/2)). Boxes get no gradient from it. D divisible by 4. */
tensor *op_box_sine(graph *g, tensor *boxes, int64_t width);
/* Rows of a table: ids [...] hold whole numbers, weight [V, D] is a parameter -> [..., D], f32. An id outside 0 .. V -
 * 1 gives zeros. */
tensor *op_embedding(graph *g, tensor *ids, tensor *weight);
/* The same from a packed table [V, D], borrowed. No gradient. */
tensor *op_quantized_embedding(graph *g, tensor *ids, const quantized_matrix *table);
/* Over the last axis; residual or NULL is added to x first (post-norm: norm(x + f(x))). */
tensor *op_layer_norm(graph *g, tensor *x, tensor *residual, tensor *weight, tensor *bias, float epsilon);
/* x / sqrt(mean(x^2) + epsilon) (1 + weight), + residual or NULL, over rows as wide as the weight, which divides the
 * last axis: a token, or each of its heads. Zhang and Sennrich 2019; Gemma's form. */
tensor *op_rms_norm(graph *g, tensor *x, tensor *weight, tensor *residual, float epsilon);
tensor *op_softmax(graph *g, tensor *x); /* over the last axis */

/* ---- element by element ---- */

tensor *op_add(graph *g, tensor *a, tensor *b); /* b's shape is a's, or a tail of it (repeated over the leading axes) */
tensor *op_multiply(graph *g, tensor *a, tensor *b); /* likewise */
tensor *op_scale(graph *g, tensor *x, float factor);
tensor *op_activation(graph *g, tensor *x, activation act);
tensor *op_dropout(graph *g, tensor *x, float rate); /* x itself when not training */
tensor *op_cast(graph *g, tensor *x, tensor_type type);

/* ---- shape ---- */

tensor *op_reshape(graph *g, tensor *x, int rank, const int64_t *size); /* same storage, no copy */
tensor *op_concatenate(graph *g, tensor *a, tensor *b);                 /* [B, N, D], [B, M, D] -> [B, N + M, D] */
tensor *op_slice(graph *g, tensor *x, int64_t begin, int64_t count);    /* [B, N, D] -> [B, count, D] */
tensor *op_repeat(graph *g, tensor *x, int64_t batch);                  /* [N, D] -> [batch, N, D] */
tensor *op_mean_tokens(graph *g, tensor *x);                            /* [B, N, D] -> [B, D] */
/* Mean of the tokens weighted by mask [B, N] (f32, no gradient): [B, N, D] -> [B, D], f32. A mask of zeros: zeros. */
tensor *op_masked_mean(graph *g, tensor *x, tensor *mask);
/* What the patches that a box holds say together: log of the sum of exp over them. x [B, rows x columns, F] f32, boxes
 * [B, N, 4] f32 (cx, cy, w, h) in [0, 1], no gradient -> [B, N, F], f32. A box holds the patches whose middle lies in
 * it, at least one. With log odds that are low this is close to "at least one of them" (noisy or). */
tensor *op_box_evidence(graph *g, tensor *x, tensor *boxes, int64_t rows, int64_t columns);

/* ---- losses: scalars [1] ---- */

typedef struct box_loss_options {
    float l1_weight;   /* 5 */
    float giou_weight; /* 2 */
} box_loss_options;

/* Mean over the boxes that are present of l1 |b - t|_1 + giou (1 - GIoU): predicted and target [B, N, 4] as
 * (cx, cy, w, h) in [0, 1], present [B, N] 1 or 0. GIoU: Rezatofighi et al. 2019. No present box: 0. */
tensor *op_box_loss(graph *g, tensor *predicted, tensor *target, tensor *present, const box_loss_options *options);
/* Mean of binary cross-entropy with logits over the entries whose target is 0..1; others (negative, NaN) are masked. */
tensor *op_binary_cross_entropy(graph *g, tensor *logits, tensor *target);
/* Mean over the tokens whose target is 0 .. V - 1 of -log softmax(logits)[target]: logits [..., V], target [...] whole
 * numbers, no gradient; tokens with any other target take no part. No such token: 0. */
tensor *op_token_cross_entropy(graph *g, tensor *logits, tensor *target);
/* Sum over the tokens of share x -log softmax(x weight^T)[target], without the logits in memory: never more than those
 * of a chunk of tokens. x [.., D] f32, weight [V, D] a parameter, target [..] whole numbers, share [..] f32; the last
 * two get no gradient. A token whose target is not 0 .. V - 1 or whose share is not above 0 takes no part. Whoever
 * wants the mean gives shares that add up to 1. */
tensor *op_vocabulary_cross_entropy(graph *g, tensor *x, tensor *weight, tensor *target, tensor *share);

typedef struct alignment_options {
    float tau;        /* of the similarities z t^T: 0.01 in AnatomiX */
    float target_tau; /* of the target's similarities e e^T; 0: tau */
    bool identity;    /* the target is the identity: CLIP's symmetric cross-entropy; e is not read, may be NULL */
} alignment_options;

/* AnatomiX's soft contrastive loss over the V rows whose mask is above 0 (both as rows and as columns):
 *     A = z t^T / tau,  S = softmax_rows(e e^T / target_tau)
 *     L = 1 / (2 V) (KL(S || softmax_rows(A)) + KL(S^T || softmax_rows(A^T)))
 * z and t [M, d], e [M, k], each row first brought to unit length here; mask [M] or NULL for all. Gradients to z and t
 * only: e is a constant target. S^T's rows need not sum to 1, the divergence is taken as it is written, sum of
 * s (log s - log p). No valid row: 0. All f32; a row of zeros stays zeros and gets no gradient. */
tensor *op_alignment_loss(graph *g, tensor *z, tensor *t, const alignment_options *options, tensor *e, tensor *mask);
/* sum(a b): a linear functional of a tensor, for gradients from outside. */
tensor *op_dot(graph *g, tensor *a, tensor *b);
/* Weighted sum of `count` scalars. */
tensor *op_sum_scalars(graph *g, int count, tensor *const *scalars, const float *weights);

#endif
