/* Panels for the outer product kernels; see outer_product.h. */
#include "tensor/outer_product.h"

#include <string.h>

#include "base/cpu.h"

#define DEPTH       256 /* p per round: a panel of b then takes 32 KiB at most */
#define MOST_ROWS   480 /* of a per round: its panels stay in the second-level cache */
#define MOST_PANEL  32
#define EDGE_VALUES (16 * MOST_PANEL)
#define LINE_VALUES 16 /* of a cache line */
#define A_VALUES    ((DEPTH + LINE_VALUES) * (MOST_ROWS + 16))

uint64_t outer_product_scratch_bytes(void) {
    return (uint64_t)(A_VALUES + DEPTH * MOST_PANEL + EDGE_VALUES) * sizeof(float);
}

const outer_kernel *outer_kernel_best(void) {
    switch (cpu_level_effective()) {
        case CPU_GENERIC: return &outer_kernel_generic;
        case CPU_AVX2: return &outer_kernel_avx2;
        default: return &outer_kernel_avx512;
    }
}

/* A panel that sticks out: [depth, width] = x [depth, used], the rest zero. */
static void copy_edge(float *out, const float *x, int64_t step, int64_t depth, int64_t used, int64_t width) {
    for (int64_t p = 0; p < depth; p++) {
        memcpy(out + p * width, x + p * step, (size_t)used * sizeof *out);
        for (int64_t i = used; i < width; i++) out[p * width + i] = 0;
    }
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* One panel of a against one of b; a block that sticks out is summed aside. */
static void add_block(const outer_kernel *k, const outer_product *p, int64_t row, int64_t column, const float *a,
                      const float *b, int64_t depth, float *edge) {
    int64_t rows = least(k->rows, p->m - row), columns = least(k->columns, p->n - column);
    float *sum = p->sum + row * p->sum_step + column;
    if (rows == k->rows && columns == k->columns) {
        k->add(sum, p->sum_step, a, b, depth);
        return;
    }
    memset(edge, 0, (size_t)(k->rows * k->columns) * sizeof *edge);
    for (int64_t i = 0; i < rows; i++)
        memcpy(edge + i * k->columns, sum + i * p->sum_step, (size_t)columns * sizeof *edge);
    k->add(edge, k->columns, a, b, depth);
    for (int64_t i = 0; i < rows; i++)
        memcpy(sum + i * p->sum_step, edge + i * k->columns, (size_t)columns * sizeof *edge);
}

static void copy_a(const outer_kernel *k, float *panels, int64_t panel_step, const float *x, int64_t step,
                   int64_t depth, int64_t width) {
    int64_t full = width / k->rows, rest = width % k->rows;
    k->copy_a(panels, panel_step, full, x, step, depth);
    if (rest) copy_edge(panels + full * panel_step, x + full * k->rows, step, depth, rest, k->rows);
}
static void copy_b(const outer_kernel *k, float *panel, const float *x, int64_t step, int64_t depth, int64_t left) {
    if (left >= k->columns)
        k->copy_b(panel, x, step, depth);
    else
        copy_edge(panel, x, step, depth, left, k->columns);
}

/* The next round's rows, asked for line by line while this round is computed: they come from main memory, and copying
 * them would otherwise wait for it. */
typedef struct rows_ahead {
    const float *rows;
    int64_t step, width, count; /* of the rows */
    int64_t row, value;         /* where to go on */
    int64_t lines;              /* to ask for after each of the round's products */
} rows_ahead;

static rows_ahead rows_after(const float *rows, int64_t step, int64_t width, int64_t count, int64_t products) {
    return (rows_ahead){rows, step, width, count, 0, 0, count * width / LINE_VALUES / products + 1};
}

static void fetch(rows_ahead *next) {
    for (int64_t i = 0; i < next->lines && next->row < next->count; i++) {
        __builtin_prefetch(next->rows + next->row * next->step + next->value, 0, 2);
        next->value += LINE_VALUES;
        if (next->value >= next->width) next->value = 0, next->row++;
    }
}

static int64_t panels(int64_t values, int64_t width) { return (values + width - 1) / width; }

void outer_product_add(const outer_product *p, void *scratch) {
    const outer_kernel *k = p->kernel;
    float *a_panels = scratch, *b_panel = a_panels + A_VALUES, *edge = b_panel + DEPTH * MOST_PANEL;
    int64_t products = panels(p->m, k->rows) * panels(p->n, k->columns);
    for (int64_t from = 0; from < p->count; from += DEPTH) {
        int64_t depth = least(DEPTH, p->count - from), left = least(DEPTH, p->count - from - depth);
        const float *a = p->a + from * p->a_step, *b = p->b + from * p->b_step;
        rows_ahead next_a = rows_after(a + depth * p->a_step, p->a_step, p->m, left, products);
        rows_ahead next_b = rows_after(b + depth * p->b_step, p->b_step, p->n, left, products);
        int64_t panel_step = depth * k->rows + LINE_VALUES; /* or panels would share a few sets of the cache */
        for (int64_t top = 0; top < p->m; top += MOST_ROWS) {
            int64_t bottom = least(top + MOST_ROWS, p->m);
            copy_a(k, a_panels, panel_step, a + top, p->a_step, depth, bottom - top);
            for (int64_t column = 0; column < p->n; column += k->columns) {
                copy_b(k, b_panel, b + column, p->b_step, depth, p->n - column);
                for (int64_t row = top; row < bottom; row += k->rows) {
                    add_block(k, p, row, column, a_panels + (row - top) / k->rows * panel_step, b_panel, depth, edge);
                    fetch(&next_a);
                    fetch(&next_b);
                }
            }
        }
    }
}
