/* Operands of the seven products, and the order in which they are made; see strassen.h. */
#include "tensor/strassen.h"

#define LINE_VALUES   16  /* of the widest register; half a sum is a whole number of them */
#define LEAST_DEPTH   512 /* shorter sums gain less by the missing product than sums of operands and products cost */
#define LEAST_COLUMNS 512 /* that share the sums of x */
#define BLOCK_BYTES   (320 << 10) /* of operands: they stay in the second-level cache beside a panel */
#define MOST_TILES    6           /* of a block */
#define PACK_VALUES   64          /* of a half column at a time */

static int64_t depth_of(const panel_product *p) { return p->k / 2; }
static int64_t panel_values(const panel_product *p) { return depth_of(p) * p->kernel->columns; }

/* From one row of an operand to the next. */
static int64_t row_step(const panel_product *p) {
    return panel_row_bytes(depth_of(p) * (int64_t)sizeof(float)) / (int64_t)sizeof(float);
}

bool strassen_suits(const panel_product *p) {
    bool simple = p->function == FUNCTION_NONE || p->function == FUNCTION_RELU || p->function == FUNCTION_GELU;
    return simple && p->kernel->type == TENSOR_F32 && p->k >= LEAST_DEPTH && p->k % (2 * LINE_VALUES) == 0 &&
           p->n >= LEAST_COLUMNS && p->n % (2 * p->kernel->columns) == 0;
}

int64_t strassen_block(const panel_product *p) {
    int64_t tile_bytes = STRASSEN_PRODUCTS * row_step(p) * p->kernel->rows * (int64_t)sizeof(float);
    return max_i64(1, min_i64(BLOCK_BYTES / tile_bytes, MOST_TILES)) * p->kernel->rows;
}

/* Scratch: the left operands [product][pair of rows], then the products of the block's tiles [tile][product]. */
static int64_t operand_values(const panel_product *p) { return p->block * row_step(p); }
static int64_t product_values(const panel_product *p) { return p->kernel->rows * p->kernel->columns; }

uint64_t strassen_scratch_bytes(const panel_product *p) {
    int64_t tiles = p->block / p->kernel->rows;
    return (uint64_t)(STRASSEN_PRODUCTS * (operand_values(p) + tiles * product_values(p))) * sizeof(float);
}

/* ---- W ---- */

int64_t strassen_packed_values(const panel_product *p) { return STRASSEN_PRODUCTS * panel_values(p); }

/* b: where one column of each quarter of W begins; `packed`: that column of the first panel. */
static void pack_column(const panel_product *p, const float *b[2][2], int64_t row, range depth, float *packed) {
    int64_t columns = p->kernel->columns, panel = panel_values(p);
    for (int64_t k = depth.begin; k < depth.end; k++) {
        float b11 = b[0][0][k * row], b12 = b[0][1][k * row], b21 = b[1][0][k * row], b22 = b[1][1][k * row];
        float *out = packed + k * columns;
        out[0 * panel] = b11 + b22;
        out[1 * panel] = b11;
        out[2 * panel] = b12 - b22;
        out[3 * panel] = b21 - b11;
        out[4 * panel] = b22;
        out[5 * panel] = b11 + b12;
        out[6 * panel] = b21 + b22;
    }
}

void strassen_pack(const panel_product *p, const float *plain, int64_t row, int64_t column, int64_t pair,
                   float *packed) {
    int64_t columns = p->kernel->columns, depth = depth_of(p);
    for (int64_t k = 0; k < depth; k += PACK_VALUES)
        for (int64_t j = 0; j < columns; j++) {
            const float *upper = plain + (2 * pair * columns + j) * column, *lower = upper + depth * row;
            const float *b[2][2] = {{upper, upper + columns * column}, {lower, lower + columns * column}};
            pack_column(p, b, row, (range){k, min_i64(k + PACK_VALUES, depth)}, packed + j);
        }
}

/* ---- x ---- */

static void sum_rows(const panel_product *p, const panel_call *call, range pairs, float *operands) {
    for (int64_t i = pairs.begin; i < pairs.end; i++) {
        const float *row = (const float *)call->x + 2 * i * p->k;
        const float *partner = 2 * i + 1 < call->rows ? row + p->k : NULL;
        p->kernel->sum_rows(operands + (i - pairs.begin) * row_step(p), operand_values(p), row, partner, depth_of(p));
    }
}

/* ---- products ---- */

/* The tiles that a block's pairs are cut into, and where things lie. */
typedef struct block_call {
    const panel_product *p;
    const panel_call *call;
    range pairs;
    int tiles;
    const float *operands;
    float *products;
} block_call;

static float *products_of(const block_call *b, int tile) {
    return b->products + tile * STRASSEN_PRODUCTS * product_values(b->p);
}

static void run_product(const block_call *b, int m, const float *panel) {
    const panel_product *p = b->p;
    for (int i = 0; i < b->tiles; i++) {
        range r = shard_range(b->pairs.end - b->pairs.begin, b->tiles, i);
        panel_tile tile = {.x = b->operands + m * operand_values(p) + r.begin * row_step(p),
                           .x_step = row_step(p),
                           .panel = panel,
                           .depth = depth_of(p),
                           .y = products_of(b, i) + m * product_values(p),
                           .y_step = p->kernel->columns};
        p->kernel->run(&tile, (int)(r.end - r.begin));
    }
}

static void combine(const block_call *b, int64_t column) {
    const panel_product *p = b->p;
    const panel_call *call = b->call;
    for (int i = 0; i < b->tiles; i++) {
        range r = shard_range(b->pairs.end - b->pairs.begin, b->tiles, i);
        int64_t first = 2 * (b->pairs.begin + r.begin), rows = min_i64(2 * (r.end - r.begin), call->rows - first);
        int64_t offset = first * p->n + column;
        panel_tile tile = {.x = products_of(b, i),
                           .bias = call->bias ? call->bias + column : NULL,
                           .residual = call->residual ? (const float *)call->residual + offset : NULL,
                           .residual_step = p->n,
                           .function = p->function,
                           .y = (float *)call->y + offset,
                           .y_step = p->n};
        p->kernel->combine(&tile, (int)rows);
    }
}

static void run_block(const block_call *b, range panel_pairs) {
    const panel_product *p = b->p;
    for (int64_t i = panel_pairs.begin; i < panel_pairs.end; i++) {
        const float *packed = (const float *)b->call->packed + i * strassen_packed_values(p);
        for (int m = 0; m < STRASSEN_PRODUCTS; m++) run_product(b, m, packed + m * panel_values(p));
        combine(b, i * 2 * p->kernel->columns);
    }
}

void strassen_run(const panel_product *p, const panel_call *call, range row_pairs, range panel_pairs, void *scratch) {
    int64_t count = row_pairs.end - row_pairs.begin;
    int blocks = (int)((count + p->block - 1) / p->block);
    float *operands = scratch;
    for (int i = 0; i < blocks; i++) {
        range r = shard_range(count, blocks, i);
        block_call b = {.p = p,
                        .call = call,
                        .pairs = {row_pairs.begin + r.begin, row_pairs.begin + r.end},
                        .tiles = (int)((r.end - r.begin + p->kernel->rows - 1) / p->kernel->rows),
                        .operands = operands,
                        .products = operands + STRASSEN_PRODUCTS * operand_values(p)};
        sum_rows(p, call, b.pairs, operands);
        run_block(&b, panel_pairs);
    }
}
