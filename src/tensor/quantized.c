/* Storage of quantised matrices and of activations; see quantized.h. */
#include "tensor/quantized.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/cursor.h"
#include "base/half.h"
#include "base/large_memory.h"
#include "tensor/quantize.h"
#include "tensor/quantized_kernels.h"

static const char *const kind_names[QUANTIZED_KINDS] = {"Q8", "Q4", "Q4M", "BF16"};

const char *quantized_kind_name(quantized_kind kind) { return kind_names[kind]; }

/* ---- sizes ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static uint64_t block_bytes(quantized_kind kind, int64_t inputs) {
    int64_t groups = inputs / QUANTIZED_GROUP, run = quantized_run_groups(kind), rest = groups % run;
    return (uint64_t)(groups / run * quantized_run_head(kind, run) + (rest ? quantized_run_head(kind, rest) : 0) +
                      groups * quantized_group_bytes(kind));
}

carina_status quantized_bytes(uint64_t *out, quantized_kind kind, int64_t outputs, int64_t inputs,
                              carina_error *error) {
    uint64_t blocks = ((uint64_t)outputs + QUANTIZED_BLOCK - 1) / QUANTIZED_BLOCK;
    if ((unsigned)kind >= QUANTIZED_KINDS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%d is no kind of quantised matrix", (int)kind);
    if (outputs < 1 || inputs < 1 || inputs % QUANTIZED_GROUP != 0)
        return error_set(
            error, CARINA_ERROR_ARGUMENT,
            "a matrix of %lld outputs and %lld inputs cannot be quantised: there must be some of each, and "
            "inputs in groups of %d",
            (long long)outputs, (long long)inputs, QUANTIZED_GROUP);
    if (inputs > INT32_MAX || !size_multiply(blocks, block_bytes(kind, inputs), out) || *out > SIZE_MAX / 2)
        return error_set(error, CARINA_ERROR_LIMIT, "a matrix of %lld outputs and %lld inputs is too large",
                         (long long)outputs, (long long)inputs);
    return CARINA_OK;
}

/* ---- a matrix ---- */

static carina_status make(quantized_matrix **out, quantized_kind kind, int64_t outputs, int64_t inputs,
                          carina_error *error) {
    uint64_t bytes;
    TRY(quantized_bytes(&bytes, kind, outputs, inputs, error));
    quantized_matrix *matrix = malloc(sizeof *matrix);
    if (!matrix) return error_memory(error, "a quantised matrix", sizeof *matrix);
    *matrix = (quantized_matrix){.kind = kind,
                                 .outputs = outputs,
                                 .inputs = inputs,
                                 .blocks = (outputs + QUANTIZED_BLOCK - 1) / QUANTIZED_BLOCK,
                                 .block_bytes = block_bytes(kind, inputs),
                                 .bytes = bytes};
    *out = matrix;
    return CARINA_OK;
}

carina_status quantized_matrix_create(quantized_matrix **out, quantized_kind kind, int64_t outputs, int64_t inputs,
                                      carina_error *error) {
    quantized_matrix *matrix;
    TRY(make(&matrix, kind, outputs, inputs, error));
    matrix->packed = matrix->owned = large_memory_take(matrix->bytes); /* with scales of zero every weight is zero */
    if (!matrix->owned) {
        carina_status status = error_memory(error, "a quantised matrix", matrix->bytes);
        free(matrix);
        return status;
    }
    *out = matrix;
    return CARINA_OK;
}

carina_status quantized_matrix_borrow(quantized_matrix **out, quantized_kind kind, int64_t outputs, int64_t inputs,
                                      const void *packed, uint64_t bytes, carina_error *error) {
    uint64_t wanted;
    TRY(quantized_bytes(&wanted, kind, outputs, inputs, error));
    if (bytes != wanted)
        return error_set(error, CARINA_ERROR_FORMAT, "packed %s weights [%lld, %lld] take %llu bytes, not %llu",
                         kind_names[kind], (long long)outputs, (long long)inputs, (unsigned long long)wanted,
                         (unsigned long long)bytes);
    if ((uintptr_t)packed % QUANTIZED_ALIGN != 0)
        return error_set(error, CARINA_ERROR_ARGUMENT, "packed weights do not begin at a multiple of %d bytes",
                         QUANTIZED_ALIGN);
    TRY(make(out, kind, outputs, inputs, error));
    (*out)->packed = packed;
    return CARINA_OK;
}

void quantized_matrix_free(quantized_matrix *matrix) {
    if (!matrix) return;
    large_memory_give_back(matrix->owned, matrix->bytes);
    free(matrix);
}

/* ---- one row ---- */

/* Where a group's numbers stand. */
typedef struct place {
    int64_t head, quants; /* from the beginning of the packed bytes: the group's run's head, and the group */
    int64_t in_run;
    int lane;
} place;

static place place_of(const quantized_matrix *m, int64_t output, int64_t group) {
    int64_t run = quantized_run_groups(m->kind), whole = group / run, in_run = group % run;
    int64_t groups = m->inputs / QUANTIZED_GROUP, bytes = quantized_group_bytes(m->kind);
    int64_t head =
        (int64_t)m->block_bytes * (output / QUANTIZED_BLOCK) + whole * (quantized_run_head(m->kind, run) + run * bytes);
    int64_t this_head = quantized_run_head(m->kind, least(run, groups - whole * run));
    return (place){head, head + this_head + in_run * bytes, in_run, (int)(output % QUANTIZED_BLOCK)};
}

static void put_u16(uint8_t *at, uint16_t value) { at[0] = (uint8_t)value, at[1] = (uint8_t)(value >> 8); }
static uint16_t get_u16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }

/* Group `group` of a row that begins with group `first` of the matrix; checked before. */
static void put_group(quantized_matrix *m, int64_t output, int64_t first, int64_t group, const quantized_row *row) {
    place p = place_of(m, output, first + group);
    uint8_t *head = m->owned + p.head, *to = m->owned + p.quants + 4 * p.lane;
    const int8_t *q = row->quants + group * QUANTIZED_GROUP;
    if (m->kind == QUANTIZED_Q4M) {
        put_u16(head + 2 * p.lane, row->scales[group / 8]);
        put_u16(head + 32 + 2 * p.lane, row->minima[group / 8]);
        head[64 + 32 * p.in_run + p.lane] = row->scale_factors[group];
        head[64 + 32 * p.in_run + 16 + p.lane] = row->minimum_factors[group];
    } else {
        put_u16(head + 32 * p.in_run + 2 * p.lane, row->scales[group]);
    }
    if (m->kind == QUANTIZED_Q8)
        for (int k = 0; k < QUANTIZED_GROUP; k++) to[k / 4 * 64 + k % 4] = (uint8_t)(q[k] + 128);
    else
        for (int k = 0; k < 16; k++) to[k / 4 * 64 + k % 4] = (uint8_t)(q[k] | q[k + 16] << 4);
}

static bool f16_is_finite(uint16_t bits) { return (bits & 0x7c00) != 0x7c00; }

carina_status quantized_set_quants(quantized_matrix *m, int64_t output, const quantized_row *row, carina_error *error) {
    int64_t groups = m->inputs / QUANTIZED_GROUP, scales = m->kind == QUANTIZED_Q4M ? (groups + 7) / 8 : groups;
    if (m->kind == QUANTIZED_BF16)
        return error_set(error, CARINA_ERROR_ARGUMENT, "BF16 weights have values, no quants");
    for (int64_t i = 0; i < scales; i++)
        if (!f16_is_finite(row->scales[i]) || (m->kind == QUANTIZED_Q4M && !f16_is_finite(row->minima[i])))
            return error_set(error, CARINA_ERROR_FORMAT, "output %lld, scale %lld is not a finite number",
                             (long long)output, (long long)i);
    for (int64_t k = 0; m->kind != QUANTIZED_Q8 && k < m->inputs; k++)
        if (row->quants[k] < 0 || row->quants[k] > 15)
            return error_set(error, CARINA_ERROR_FORMAT, "output %lld, input %lld: %d is no weight of 4 bits",
                             (long long)output, (long long)k, row->quants[k]);
    for (int64_t g = 0; g < groups; g++) put_group(m, output, 0, g, row);
    return CARINA_OK;
}

static void set_bf16(quantized_matrix *m, int64_t output, int64_t group, const float *values) {
    place p = place_of(m, output, group);
    uint8_t *to = m->owned + p.quants + 4 * p.lane;
    for (int k = 0; k < QUANTIZED_GROUP; k++) put_u16(to + k / 2 * 64 + k % 2 * 2, bf16_from_f32(values[k]));
}

/* QUANTIZED_SUPER inputs at a time, or what is left: `count`. */
static void set_part(quantized_matrix *m, int64_t output, int64_t from, int count, const float *values) {
    uint16_t scales[8], minimum;
    uint8_t factors[8], minimum_factors[8];
    int8_t quants[QUANTIZED_SUPER];
    const quantized_row part = {scales, &minimum, factors, minimum_factors, quants};
    if (m->kind == QUANTIZED_Q4M) quantize_q4m(scales, &minimum, factors, minimum_factors, quants, values, count);
    for (int g = 0; g < count / QUANTIZED_GROUP; g++) {
        int8_t *q = quants + g * QUANTIZED_GROUP;
        const float *x = values + g * QUANTIZED_GROUP;
        if (m->kind == QUANTIZED_Q8) scales[g] = quantize_q8(q, x);
        if (m->kind == QUANTIZED_Q4) scales[g] = quantize_q4(q, x);
    }
    for (int g = 0; g < count / QUANTIZED_GROUP; g++) put_group(m, output, from / QUANTIZED_GROUP, g, &part);
}

carina_status quantized_set_row(quantized_matrix *m, int64_t output, const float *values, carina_error *error) {
    for (int64_t k = 0; k < m->inputs; k++)
        if (!isfinite(values[k]))
            return error_set(error, CARINA_ERROR_FORMAT, "output %lld, input %lld: %g cannot be quantised",
                             (long long)output, (long long)k, (double)values[k]);
    for (int64_t g = 0; m->kind == QUANTIZED_BF16 && g < m->inputs / QUANTIZED_GROUP; g++)
        set_bf16(m, output, g, values + g * QUANTIZED_GROUP);
    for (int64_t k = 0; m->kind != QUANTIZED_BF16 && k < m->inputs; k += QUANTIZED_SUPER)
        set_part(m, output, k, (int)least(QUANTIZED_SUPER, m->inputs - k), values + k);
    return CARINA_OK;
}

static void get_group(const quantized_matrix *m, int64_t output, int64_t group, float *values) {
    place p = place_of(m, output, group);
    const uint8_t *head = m->packed + p.head, *from = m->packed + p.quants + 4 * p.lane;
    if (m->kind == QUANTIZED_BF16) {
        for (int k = 0; k < QUANTIZED_GROUP; k++) values[k] = bf16_to_f32(get_u16(from + k / 2 * 64 + k % 2 * 2));
    } else if (m->kind == QUANTIZED_Q8) {
        float scale = f16_to_f32(get_u16(head + 32 * p.in_run + 2 * p.lane));
        for (int k = 0; k < QUANTIZED_GROUP; k++) values[k] = scale * (float)(from[k / 4 * 64 + k % 4] - 128);
    } else if (m->kind == QUANTIZED_Q4) {
        float scale = f16_to_f32(get_u16(head + 32 * p.in_run + 2 * p.lane));
        for (int k = 0; k < QUANTIZED_GROUP; k++)
            values[k] = scale * (float)((from[k % 16 / 4 * 64 + k % 4] >> k / 16 * 4 & 15) - 8);
    } else {
        const uint8_t *factors = head + 64 + 32 * p.in_run + p.lane;
        float scale = f16_to_f32(get_u16(head + 2 * p.lane)) * (float)factors[0];
        float minimum = f16_to_f32(get_u16(head + 32 + 2 * p.lane)) * (float)factors[16];
        for (int k = 0; k < QUANTIZED_GROUP; k++)
            values[k] = scale * (float)(from[k % 16 / 4 * 64 + k % 4] >> k / 16 * 4 & 15) - minimum;
    }
}

void quantized_get_quants(const quantized_matrix *m, int64_t output, uint16_t *scales, int8_t *quants) {
    for (int64_t g = 0; g < m->inputs / QUANTIZED_GROUP; g++) {
        place p = place_of(m, output, g);
        const uint8_t *from = m->packed + p.quants + 4 * p.lane;
        int8_t *q = quants + g * QUANTIZED_GROUP;
        scales[g] = get_u16(m->packed + p.head + 32 * p.in_run + 2 * p.lane);
        for (int k = 0; k < QUANTIZED_GROUP; k++)
            if (m->kind == QUANTIZED_Q8)
                q[k] = (int8_t)(from[k / 4 * 64 + k % 4] - 128);
            else
                q[k] = (int8_t)(from[k % 16 / 4 * 64 + k % 4] >> k / 16 * 4 & 15);
    }
}

void quantized_get_row(const quantized_matrix *m, int64_t output, float *values) {
    for (int64_t g = 0; g < m->inputs / QUANTIZED_GROUP; g++) get_group(m, output, g, values + g * QUANTIZED_GROUP);
}

void quantized_error_add(quantized_error *sum, const quantized_matrix *m, int64_t output, const float *values) {
    float packed[QUANTIZED_GROUP];
    for (int64_t k = 0; k < m->inputs; k++) {
        if (k % QUANTIZED_GROUP == 0) get_group(m, output, k / QUANTIZED_GROUP, packed);
        double error = fabs((double)packed[k % QUANTIZED_GROUP] - (double)values[k]);
        sum->error_squares += error * error;
        sum->value_squares += (double)values[k] * (double)values[k];
        if (error > sum->largest) sum->largest = error;
    }
    sum->count += m->inputs;
}

double quantized_error_relative(const quantized_error *sum) {
    return sum->value_squares > 0 ? sqrt(sum->error_squares / sum->value_squares) : 0;
}

/* ---- rows of activations ---- */

static bool is_narrow(quantized_kind kind) { return kind == QUANTIZED_BF16; }

static uint64_t round_up(uint64_t bytes) { return (bytes + QUANTIZED_ALIGN - 1) / QUANTIZED_ALIGN * QUANTIZED_ALIGN; }

#define MOST_BYTES ((uint64_t)1 << 62)

uint64_t quantized_rows_bytes(quantized_kind kind, int64_t count, int64_t inputs) {
    uint64_t values, bytes;
    if (!size_multiply((uint64_t)count, (uint64_t)inputs, &values) || values > MOST_BYTES / 8) return MOST_BYTES;
    bytes = is_narrow(kind) ? 2 * values : round_up(values) + 3 * round_up(values / QUANTIZED_GROUP * 4);
    return round_up(bytes);
}

void quantized_rows_place(quantized_rows *rows, void *memory, quantized_kind kind, int64_t count, int64_t inputs) {
    uint8_t *at = memory;
    uint64_t values = (uint64_t)count * (uint64_t)inputs, few = round_up(values / QUANTIZED_GROUP * 4);
    *rows = (quantized_rows){.count = count, .inputs = inputs, .narrow = is_narrow(kind)};
    if (rows->narrow) {
        rows->values = memory;
        return;
    }
    rows->quants = memory;
    rows->scales = (float *)(void *)(at += round_up(values));
    rows->offsets = (int32_t *)(void *)(at += few);
    rows->sums = (float *)(void *)(at + few);
}

int64_t quantized_rows_panels(const quantized_rows *rows) {
    return (rows->count + QUANTIZED_PANEL - 1) / QUANTIZED_PANEL;
}

/* `at`: groups of all tokens of the panels before it, and of the panel's groups before it. */
static void prepare_group(const quantized_kernels *k, const quantized_rows *rows, int64_t at, const float *x) {
    if (rows->narrow)
        (k->narrow ? k : k->otherwise)->narrow(rows->values + at * QUANTIZED_GROUP, x);
    else
        (k->prepare ? k : k->otherwise)
            ->prepare(rows->quants + at * QUANTIZED_GROUP, rows->scales + at, rows->offsets + at, rows->sums + at, x);
}

void quantized_rows_prepare_group(const quantized_kernels *kernels, const quantized_rows *rows, int64_t panel,
                                  int64_t group, const float *x, int64_t step) {
    int64_t first = panel * QUANTIZED_PANEL, tokens = least(QUANTIZED_PANEL, rows->count - first);
    int64_t at = first * (rows->inputs / QUANTIZED_GROUP) + group * tokens;
    for (int64_t t = 0; t < tokens; t++) prepare_group(kernels, rows, at + t, x + t * step);
}

void quantized_rows_prepare(const quantized_kernels *kernels, const quantized_rows *rows, const float *x, int64_t step,
                            int64_t first_panel, int64_t panel_count) {
    int64_t groups = rows->inputs / QUANTIZED_GROUP;
    for (int64_t p = first_panel; p < first_panel + panel_count; p++) {
        int64_t first = p * QUANTIZED_PANEL, tokens = least(QUANTIZED_PANEL, rows->count - first);
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t g = 0; g < groups; g++)
                prepare_group(kernels, rows, first * groups + g * tokens + t,
                              x + (first + t) * step + g * QUANTIZED_GROUP);
    }
}

void quantized_rows_get(const quantized_rows *rows, int64_t m, float *values) {
    int64_t groups = rows->inputs / QUANTIZED_GROUP, first = m / QUANTIZED_PANEL * QUANTIZED_PANEL;
    int64_t tokens = least(QUANTIZED_PANEL, rows->count - first);
    for (int64_t k = 0; k < rows->inputs; k++) {
        int64_t at = first * groups + k / QUANTIZED_GROUP * tokens + m - first;
        int64_t value = at * QUANTIZED_GROUP + k % QUANTIZED_GROUP;
        values[k] = rows->narrow ? bf16_to_f32(rows->values[value]) : rows->scales[at] * (float)rows->quants[value];
    }
}

/* ---- kernels ---- */

int quantized_kernels_all(const quantized_kernels *out[QUANTIZED_KERNELS_MOST]) {
    int count = 0;
    cpu_level level = cpu_level_effective();
    cpu_features features = cpu_detect();
    out[count++] = &quantized_generic_table;
    if (level >= CPU_AVX2) out[count++] = &quantized_avx2_table;
    /* The first processors with AVX-512 lack VNNI; AVX2 serves them. */
    if (level >= CPU_AVX512 && features.avx512_vnni) out[count++] = &quantized_avx512_table;
    if (level >= CPU_AVX512 && features.avx512_vnni && features.avx512_bf16)
        out[count++] = &quantized_avx512_bf16_table;
    if (level >= CPU_AMX && features.avx512_vnni && quantized_amx_table.name) out[count++] = &quantized_amx_table;
    return count;
}

const quantized_kernels *quantized_kernels_best(void) {
    const quantized_kernels *all[QUANTIZED_KERNELS_MOST];
    return all[quantized_kernels_all(all) - 1];
}

const char *quantized_kernels_name(const quantized_kernels *kernels) { return kernels->name; }
