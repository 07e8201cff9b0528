/* The order in which quantised matrices are multiplied; see quantized.h. Kernels take one or two blocks of outputs and
 * a panel of 16 tokens (quantized_kernels.h). */
#include <string.h>

#include "tensor/quantized_kernels.h"

#define FEW_TOKENS      8  /* as many as kernels multiply at a time */
#define FEW_BLOCKS      64 /* of one matrix that are read in one run for them */
#define PANELS_TOGETHER 16 /* a slice's weights are used for so many tokens when they are in cache */
#define CACHE_LINE      64
#define PAIRS_TOGETHER  2 /* of blocks: a panel's activations are used for so many when they are in cache */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Groups [first, first + count) of a panel. */
static quantized_panel some_groups(const quantized_rows *rows, int64_t panel, int64_t first, int64_t count) {
    int64_t groups = rows->inputs / QUANTIZED_GROUP, token = panel * QUANTIZED_PANEL;
    quantized_panel p = {.groups = count, .tokens = (int)least(QUANTIZED_PANEL, rows->count - token)};
    int64_t place = token * groups + first * p.tokens;
    if (rows->narrow) {
        p.values = rows->values + place * QUANTIZED_GROUP;
        return p;
    }
    p.quants = rows->quants + place * QUANTIZED_GROUP;
    p.scales = rows->scales + place;
    p.offsets = rows->offsets + place;
    p.sums = rows->sums + place;
    return p;
}

/* Where a group lies in its block, when a run begins with it; the block's bytes for the group after the last one. */
static int64_t bytes_before(const quantized_matrix *m, int64_t group) {
    int64_t run = quantized_run_groups(m->kind);
    if (group * QUANTIZED_GROUP >= m->inputs) return (int64_t)m->block_bytes;
    return group / run * quantized_run_head(m->kind, run) + group * quantized_group_bytes(m->kind);
}

/* ---- sums of some blocks and some panels ---- */

typedef struct job {
    quantized_product *multiply;
    const quantized_matrix *matrix;
    const quantized_rows *rows;
    int64_t first_panel, panel_count; /* at most PANELS_TOGETHER */
    int64_t first_block, end_block;   /* at most PAIRS_TOGETHER pairs, or FEW_BLOCKS */
    float *y;                         /* of all rows and outputs, or NULL */
    int64_t step;
} job;

/* Sums grow aside, pair by pair of blocks. */
typedef struct sums {
    float values[PAIRS_TOGETHER * PANELS_TOGETHER * QUANTIZED_PANEL][QUANTIZED_STEP] __attribute__((aligned(64)));
} sums;
_Static_assert(FEW_BLOCKS *FEW_TOKENS <= 2 * PAIRS_TOGETHER * PANELS_TOGETHER * QUANTIZED_PANEL, "room for all sums");

static int64_t tokens_of(const job *j) {
    return least(j->panel_count * QUANTIZED_PANEL, j->rows->count - j->first_panel * QUANTIZED_PANEL);
}

/* The sums of the job's token t and the two blocks of a pair. */
static int64_t sum_row(const job *j, int64_t pair, int64_t t) { return pair * tokens_of(j) + t; }

static bool has_few_tokens(const quantized_rows *rows) { return rows->count <= FEW_TOKENS; }

/* Blocks of a piece. */
static int64_t blocks_together(const job *j) {
    /* One sum of BF16 would wait for the one before. */
    return has_few_tokens(j->rows) && j->matrix->kind != QUANTIZED_BF16 ? 1 : 2;
}

/* What is multiplied after a slice: the next one of the same blocks, or the first one of the blocks after them. */
typedef struct following {
    int64_t distance;   /* bytes from a block's weights to those that follow them */
    int64_t last_block; /* the last one that is followed by something */
    int64_t lines;      /* of each block, that are asked for beside each panel */
} following;

static following what_follows(const job *j, int64_t first, int64_t slice) {
    const quantized_matrix *m = j->matrix;
    int64_t end = first + slice, blocks = j->end_block - j->first_block, begin = bytes_before(m, first);
    bool goes_on = end * QUANTIZED_GROUP < m->inputs;
    int64_t bytes = goes_on ? bytes_before(m, end + slice) - bytes_before(m, end) : bytes_before(m, slice);
    int64_t per_panel = j->panel_count * CACHE_LINE;
    return (following){
        .distance = goes_on ? bytes_before(m, end) - begin : blocks * (int64_t)m->block_bytes - begin,
        .last_block = m->blocks - 1 - (goes_on ? 0 : blocks),
        .lines = (bytes + per_panel - 1) / per_panel,
    };
}

/* Whether a piece's results go to y as they are: not where there is no y, nor where its last block sticks out. */
static bool has_place(const job *j, int64_t block, int count) {
    return j->y && (block + count) * QUANTIZED_BLOCK <= j->matrix->outputs;
}

/* A slice's weights stay in the first cache while the tokens of a panel go by, and in the second one while panels do. A
 * few tokens read memory in one stream or two instead, block after block. Sums grow aside until the last slice takes
 * them to y: rows of y lie far apart. */
static void sum_up(const job *j, sums *aside) {
    const quantized_matrix *m = j->matrix;
    const bool few = has_few_tokens(j->rows);
    int64_t groups = m->inputs / QUANTIZED_GROUP, slice = few ? groups : quantized_slice_groups(m->kind);
    const int64_t together = blocks_together(j);
    quantized_piece piece = {.block_bytes = (int64_t)m->block_bytes, .from_memory = few};
    for (int64_t g = 0; g < groups; g += slice) {
        const int64_t count = least(slice, groups - g);
        const uint8_t *weights = m->packed + bytes_before(m, g);
        const following after = few ? (following){.last_block = -1} : what_follows(j, g, slice);
        for (int64_t p = 0; p < j->panel_count; p++) {
            const quantized_panel panel = some_groups(j->rows, j->first_panel + p, g, count);
            for (int64_t b = j->first_block; b < j->end_block; b += piece.blocks) {
                int64_t beside = b - j->first_block;
                float *grown =
                    &aside->values[sum_row(j, beside / 2, p * QUANTIZED_PANEL)][beside % 2 * QUANTIZED_BLOCK];
                piece.blocks = (int)least(together, j->end_block - b);
                piece.weights = weights + (uint64_t)b * m->block_bytes;
                piece.next = piece.weights + after.distance + p * after.lines * CACHE_LINE;
                piece.next_lines = b + piece.blocks - 1 <= after.last_block ? after.lines : 0;
                piece.from = g ? grown : NULL;
                piece.to = grown;
                piece.to_step = QUANTIZED_STEP;
                if (g + slice >= groups && has_place(j, b, piece.blocks)) {
                    piece.to = j->y + (j->first_panel + p) * QUANTIZED_PANEL * j->step + b * QUANTIZED_BLOCK;
                    piece.to_step = j->step;
                }
                j->multiply(&piece, &panel);
            }
        }
    }
}

/* The piece that had no place in y, if there is one. */
static void copy_last(const job *j, const sums *aside) {
    int64_t outputs = j->matrix->outputs, out = outputs / QUANTIZED_BLOCK;
    if (outputs % QUANTIZED_BLOCK == 0 || out < j->first_block || out >= j->end_block) return;
    int64_t beside = out - j->first_block;
    beside -= beside % blocks_together(j);
    int64_t output = (j->first_block + beside) * QUANTIZED_BLOCK;
    for (int64_t t = 0; t < tokens_of(j); t++)
        memcpy(j->y + (j->first_panel * QUANTIZED_PANEL + t) * j->step + output,
               &aside->values[sum_row(j, beside / 2, t)][beside % 2 * QUANTIZED_BLOCK],
               (size_t)(outputs - output) * sizeof *j->y);
}

/* ---- the product ---- */

static const quantized_kernels *kernels_for(const quantized_kernels *kernels, quantized_kind kind) {
    return kernels->product[kind] ? kernels : kernels->otherwise;
}

typedef void do_job(const job *j, void *context);

/* Blocks [first, end) of y, some at a time. */
static void share_out(job j, int64_t first, int64_t end, do_job *run, void *context) {
    int64_t panels = quantized_rows_panels(j.rows), blocks = has_few_tokens(j.rows) ? FEW_BLOCKS : 2 * PAIRS_TOGETHER;
    for (j.first_panel = 0; j.first_panel < panels; j.first_panel += PANELS_TOGETHER) {
        j.panel_count = least(PANELS_TOGETHER, panels - j.first_panel);
        for (j.first_block = first; j.first_block < end; j.first_block = j.end_block) {
            j.end_block = least(end, j.first_block + blocks);
            run(&j, context);
        }
    }
}

static void multiply_job(const job *j, void *context) {
    sums out;
    (void)context;
    sum_up(j, &out);
    copy_last(j, &out);
}

void quantized_product_run(const quantized_kernels *kernels, const quantized_matrix *matrix, const quantized_rows *rows,
                           int64_t first_block, int64_t block_count, float *y, int64_t step) {
    const quantized_kernels *k = kernels_for(kernels, matrix->kind);
    if (k->begin) k->begin();
    share_out((job){.multiply = k->product[matrix->kind], .matrix = matrix, .rows = rows, .y = y, .step = step},
              first_block, first_block + block_count, multiply_job, NULL);
    if (k->end) k->end();
}

/* ---- two products that are combined ---- */

typedef struct combination {
    quantized_product *multiply; /* by the other matrix */
    const quantized_matrix *other;
    quantized_combine *combine;
    void *context;
    const quantized_kernels *kernels;
    const quantized_rows *out;
} combination;

static void combine_job(const job *j, void *context) {
    const combination *c = context;
    int64_t pairs = (j->end_block - j->first_block) / 2;
    sums values, other_values;
    job other = *j;
    other.matrix = c->other;
    other.multiply = c->multiply;
    sum_up(j, &values);
    sum_up(&other, &other_values);
    c->combine(c->context, values.values[0], other_values.values[0], pairs * tokens_of(j) * QUANTIZED_STEP);
    for (int64_t p = 0; p < pairs; p++)
        for (int64_t panel = 0; panel < j->panel_count; panel++)
            quantized_rows_prepare_group(c->kernels, c->out, j->first_panel + panel, j->first_block / 2 + p,
                                         values.values[sum_row(j, p, panel * QUANTIZED_PANEL)], QUANTIZED_STEP);
}

void quantized_products_combined_run(const quantized_kernels *kernels, const quantized_matrix *matrix,
                                     const quantized_matrix *other, const quantized_rows *rows, int64_t first_pair,
                                     int64_t pair_count, quantized_combine *combine, void *context,
                                     const quantized_rows *out) {
    const quantized_kernels *k = kernels_for(kernels, matrix->kind);
    combination c = {.multiply = kernels_for(kernels, other->kind)->product[other->kind],
                     .other = other,
                     .combine = combine,
                     .context = context,
                     .kernels = kernels,
                     .out = out};
    if (k->begin) k->begin();
    share_out((job){.multiply = k->product[matrix->kind], .matrix = matrix, .rows = rows}, 2 * first_pair,
              2 * (first_pair + pair_count), combine_job, &c);
    if (k->end) k->end();
}
