/* Panels, blocks of rows and what is left at the edges; see panel_product.h. */
#include "tensor/panel_product.h"

#include <string.h>

#include "base/cpu.h"
#include "tensor/span.h"
#include "tensor/strassen.h"

#define LINE_BYTES   64
#define BLOCK_BYTES  (192 << 10) /* of rows copied at a time: they stay in the second-level cache beside a panel */
#define MOST_TILES   12          /* of a block */
#define SHARD_ROWS   48          /* at most: a thread that ends late then keeps the others waiting for little */
#define SHARDS       32          /* where rows give fewer, panels are shared out too */
#define LEAST_PANELS 4           /* of a shard: every shard copies its rows */
#define SHARD_PAIRS  42          /* of rows, at most: three full tiles */
#define MOST_COLUMNS 32          /* of any kernel */
#define PACK_VALUES  64          /* of a row of W narrowed at a time */

const panel_kernel *panel_kernel_best(tensor_type type) {
    cpu_level level = cpu_level_effective();
    if (type == TENSOR_BF16) return level >= CPU_AVX512 && cpu_detect().avx512_bf16 ? &panel_kernel_avx512_bf16 : NULL;
    switch (level) {
        case CPU_GENERIC: return &panel_kernel_generic;
        case CPU_AVX2: return &panel_kernel_avx2;
        default: return &panel_kernel_avx512;
    }
}

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
static int64_t depth_of(const panel_product *p) { return round_up(p->k, p->kernel->group); }
static int64_t panel_values(const panel_product *p) { return depth_of(p) * p->kernel->columns; }
static int64_t panel_count(const panel_product *p) { return (p->n + p->kernel->columns - 1) / p->kernel->columns; }

static int64_t row_bytes(const panel_product *p) {
    return panel_row_bytes(depth_of(p) * (int64_t)type_bytes(p->kernel->type));
}

panel_product panel_product_make(const panel_kernel *kernel, int64_t n, int64_t k, activation_function function) {
    panel_product p = {.kernel = kernel, .kernels = kernels_best(), .n = n, .k = k, .function = function};
    int64_t tiles = BLOCK_BYTES / (row_bytes(&p) * kernel->rows);
    p.block = max_i64(1, min_i64(tiles, MOST_TILES)) * kernel->rows;
    return p;
}

void panel_product_prefer_strassen(panel_product *p) {
    p->by_strassen = strassen_suits(p);
    if (p->by_strassen) p->block = strassen_block(p);
}

/* What is packed, and shared out, as one: a panel; by Strassen a pair of panels, or of rows. */
static int64_t panel_units(const panel_product *p) { return p->by_strassen ? panel_count(p) / 2 : panel_count(p); }
static int64_t row_units(const panel_product *p, int64_t rows) { return p->by_strassen ? (rows + 1) / 2 : rows; }
static int64_t unit_values(const panel_product *p) {
    return p->by_strassen ? strassen_packed_values(p) : panel_values(p);
}

/* ---- W ---- */

uint64_t panel_product_packed_bytes(const panel_product *p) {
    return (uint64_t)round_up(panel_units(p) * unit_values(p) * (int64_t)type_bytes(p->kernel->type), LINE_BYTES);
}

/* `count` values of one column of W, from `first` on, to their places in the panel. */
static void pack_column(const panel_product *p, const float *plain, int64_t row, int64_t first, int64_t count,
                        void *panel, int64_t column) {
    int64_t columns = p->kernel->columns;
    if (p->kernel->type == TENSOR_F32) {
        float *out = (float *)panel + first * columns + column;
        for (int64_t i = 0; i < count; i++) out[i * columns] = plain[(first + i) * row];
        return;
    }
    float gathered[PACK_VALUES] = {0}; /* an odd last value is paired with zero */
    uint16_t narrow[PACK_VALUES];
    uint32_t pairs[PACK_VALUES / 2], *out = (uint32_t *)panel + first / 2 * columns + column;
    const float *values = plain + first * row;
    if (row != 1 || count % 2) {
        for (int64_t i = 0; i < count; i++) gathered[i] = values[i * row];
        values = gathered;
    }
    p->kernels->narrow_bf16(narrow, values, round_up(count, 2));
    memcpy(pairs, narrow, (size_t)round_up(count, 2) * sizeof *narrow);
    for (int64_t i = 0; i < (count + 1) / 2; i++) out[i * columns] = pairs[i];
}

static void pack_panel(const panel_product *p, const float *plain, int64_t row, int64_t column, int64_t index,
                       void *packed) {
    int64_t columns = p->kernel->columns, first = index * columns, used = min_i64(columns, p->n - first);
    uint8_t *panel = (uint8_t *)packed + (size_t)(index * panel_values(p)) * type_bytes(p->kernel->type);
    if (used < columns) memset(panel, 0, (size_t)panel_values(p) * type_bytes(p->kernel->type));
    for (int64_t k = 0; k < p->k; k += PACK_VALUES)
        for (int64_t j = 0; j < used; j++)
            pack_column(p, plain + (first + j) * column, row, k, min_i64(PACK_VALUES, p->k - k), panel, j);
}

static void pack_unit(const panel_product *p, const float *plain, int64_t row, int64_t column, int64_t index,
                      void *packed) {
    if (p->by_strassen)
        strassen_pack(p, plain, row, column, index, (float *)packed + index * unit_values(p));
    else
        pack_panel(p, plain, row, column, index, packed);
}

void panel_product_pack(const panel_product *p, const float *plain, int64_t row, int64_t column, void *packed) {
    for (int64_t i = 0; i < panel_units(p); i++) pack_unit(p, plain, row, column, i, packed);
}

/* ---- rows ---- */

/* Scratch: a block's rows, then a tile's sums and one row beside them. */
static int64_t sum_values(const panel_product *p) { return (p->kernel->rows + 1) * p->kernel->columns; }

uint64_t panel_product_scratch_bytes(const panel_product *p) {
    if (p->by_strassen) return strassen_scratch_bytes(p);
    return (uint64_t)(p->block * row_bytes(p) + round_up(sum_values(p) * (int64_t)sizeof(float), LINE_BYTES));
}

static const void *at(const void *values, tensor_type type, int64_t offset) {
    return values ? (const uint8_t *)values + (size_t)offset * type_bytes(type) : NULL;
}

/* A tile whose columns stick out, or with a function that the kernel does not know: its sums are made aside, in f32. */
static void run_aside(const panel_product *p, const panel_tile *tile, int rows, int64_t columns, float *sums) {
    const kernels *k = p->kernels;
    tensor_type type = p->kernel->type;
    int64_t width = p->kernel->columns;
    float bias[MOST_COLUMNS] = {0}, *beside = sums + p->kernel->rows * width;
    if (tile->bias) memcpy(bias, tile->bias, (size_t)columns * sizeof *bias);
    panel_tile aside = *tile;
    aside.bias = bias, aside.residual = NULL, aside.function = FUNCTION_NONE;
    aside.y = sums, aside.y_step = width, aside.wide = true;
    p->kernel->run(&aside, rows);
    for (int r = 0; tile->residual && r < rows; r++)
        k->add_into(sums + r * width, span_read(k, tile->residual, type, r * tile->residual_step, columns, beside),
                    columns);
    if (p->function != FUNCTION_NONE) k->activate(sums, sums, rows * width, p->function);
    for (int r = 0; r < rows; r++)
        if (type == TENSOR_F32)
            memcpy((float *)tile->y + r * tile->y_step, sums + r * width, (size_t)columns * sizeof *sums);
        else
            k->narrow_bf16((uint16_t *)tile->y + r * tile->y_step, sums + r * width, columns);
}

static void copy_rows(const panel_product *p, const panel_call *call, int64_t first, int64_t rows, void *scratch) {
    size_t bytes = (size_t)p->k * type_bytes(p->kernel->type), step = (size_t)row_bytes(p);
    for (int64_t r = 0; r < rows; r++) {
        uint8_t *row = (uint8_t *)scratch + (size_t)r * step;
        memcpy(row, (const uint8_t *)call->x + (size_t)(first + r) * bytes, bytes);
        if (p->k < depth_of(p)) memset(row + bytes, 0, type_bytes(p->kernel->type));
    }
}

/* The copied rows, which begin at `first`, against some panels. */
static void run_panels(const panel_product *p, const panel_call *call, int64_t first, int64_t rows, range panels,
                       void *scratch) {
    const panel_kernel *kernel = p->kernel;
    tensor_type type = kernel->type;
    float *sums = (float *)(void *)((uint8_t *)scratch + p->block * row_bytes(p));
    bool simple = p->function == FUNCTION_NONE || p->function == FUNCTION_RELU || p->function == FUNCTION_GELU;
    int tiles = (int)((rows + kernel->rows - 1) / kernel->rows);
    panel_tile tile = {.x_step = row_bytes(p) / (int64_t)type_bytes(type),
                       .depth = depth_of(p),
                       .residual_step = p->n,
                       .function = p->function,
                       .y_step = p->n};
    for (int64_t panel = panels.begin; panel < panels.end; panel++) {
        int64_t column = panel * kernel->columns, columns = min_i64(kernel->columns, p->n - column);
        tile.panel = at(call->packed, type, panel * panel_values(p));
        tile.bias = call->bias ? call->bias + column : NULL;
        for (int i = 0; i < tiles; i++) {
            range r = shard_range(rows, tiles, i);
            int64_t offset = (first + r.begin) * p->n + column;
            tile.x = at(scratch, type, r.begin * tile.x_step);
            tile.residual = at(call->residual, type, offset);
            tile.y = (uint8_t *)call->y + (size_t)offset * type_bytes(type);
            if (simple && columns == kernel->columns)
                kernel->run(&tile, (int)(r.end - r.begin));
            else
                run_aside(p, &tile, (int)(r.end - r.begin), columns, sums);
        }
    }
}

/* rows, panels: in units */
static void run_part(const panel_product *p, const panel_call *call, range rows, range panels, void *scratch) {
    if (p->by_strassen) {
        strassen_run(p, call, rows, panels, scratch);
        return;
    }
    for (int64_t first = rows.begin; first < rows.end; first += p->block) {
        int64_t count = min_i64(p->block, rows.end - first);
        copy_rows(p, call, first, count, scratch);
        run_panels(p, call, first, count, panels, scratch);
    }
}

void panel_product_run(const panel_product *p, const panel_call *call, void *scratch) {
    run_part(p, call, (range){0, row_units(p, call->rows)}, (range){0, panel_units(p)}, scratch);
}

/* ---- over the pool ---- */

typedef struct parallel_call {
    const panel_product *p;
    const op *o;
    const panel_call *call;
    const float *plain;
    int64_t row, column;
    void *packed;
    int row_shards, column_shards;
} parallel_call;

static void pack_shard(void *context, int unit, int worker) {
    (void)worker;
    const parallel_call *c = context;
    pack_unit(c->p, c->plain, c->row, c->column, unit, c->packed);
}

void panel_product_pack_parallel(const panel_product *p, op *o, const float *plain, int64_t row, int64_t column,
                                 void *packed) {
    parallel_call c = {.p = p, .o = o, .plain = plain, .row = row, .column = column, .packed = packed};
    op_parallel(o, (int)panel_units(p), pack_shard, &c);
}

static void run_shard(void *context, int shard, int worker) {
    const parallel_call *c = context;
    range rows = shard_range(row_units(c->p, c->call->rows), c->row_shards, shard % c->row_shards);
    range panels = shard_range(panel_units(c->p), c->column_shards, shard / c->row_shards);
    run_part(c->p, c->call, rows, panels, op_worker_scratch(c->o, worker));
}

void panel_product_run_parallel(const panel_product *p, op *o, const panel_call *call) {
    parallel_call c = {.p = p, .o = o, .call = call};
    int64_t rows = row_units(p, call->rows), most = p->by_strassen ? SHARD_PAIRS : SHARD_ROWS;
    int64_t panels = panel_units(p), least = p->by_strassen ? LEAST_PANELS / 2 : LEAST_PANELS;
    c.row_shards = 1;
    while (c.row_shards * most < rows) c.row_shards *= 2;
    c.column_shards = 1;
    while (c.row_shards * c.column_shards < SHARDS && panels / c.column_shards >= 2 * least) c.column_shards *= 2;
    op_parallel(o, c.row_shards * c.column_shards, run_shard, &c);
}
