/* tensor/quantized: rows taken over from GGUF's blocks bit for bit; how near quantised rows are; products against sums
 * in double, every instruction set against plain C (but for bf16 on tiles), tokens alone and in batches, shards of all
 * sizes: the same bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/cpu.h"
#include "base/half.h"
#include "base/random.h"
#include "base/threads.h"
#include "format/gguf_blocks.h"
#include "tensor/ops.h"
#include "tensor/quantize.h"
#include "tensor/quantized.h"

static carina_error error;

static float *floats_new(int64_t count) {
    float *values = calloc((size_t)count, sizeof *values);
    assert_non_null(values);
    return values;
}

static float *draw(int64_t count, double deviation, random_state *random) {
    float *values = floats_new(count);
    for (int64_t i = 0; i < count; i++) values[i] = (float)(deviation * random_normal(random));
    return values;
}

static quantized_matrix *random_matrix(quantized_kind kind, int64_t outputs, int64_t inputs, uint64_t seed) {
    random_state random = random_seed(seed);
    quantized_matrix *m;
    assert_ok(quantized_matrix_create(&m, kind, outputs, inputs, &error));
    float *row;
    for (int64_t n = 0; n < outputs; n++, free(row)) {
        row = draw(inputs, 0.02, &random);
        for (int64_t k = 0; k < inputs; k++) row[k] += 0.005f; /* minima and maxima differ */
        assert_ok(quantized_set_row(m, n, row, &error));
    }
    return m;
}

/* ---- storage ---- */

static void sizes(void **state) {
    (void)state;
    uint64_t bytes;
    assert_ok(quantized_bytes(&bytes, QUANTIZED_Q8, 2560, 10240, &error));
    assert_int_equal(bytes, 2560 * (10240 / 32) * 34);
    assert_ok(quantized_bytes(&bytes, QUANTIZED_Q4, 262208, 2560, &error));
    assert_int_equal(bytes, 262208ull * (2560 / 32) * 18);
    assert_ok(quantized_bytes(&bytes, QUANTIZED_Q4M, 2048, 2560, &error));
    assert_int_equal(bytes, 2048 * (2560 / 256) * 148);
    assert_ok(quantized_bytes(&bytes, QUANTIZED_BF16, 17, 32, &error)); /* 32 outputs */
    assert_int_equal(bytes, 32 * 32 * 2);
    assert_ok(quantized_bytes(&bytes, QUANTIZED_Q4, 1, 96, &error)); /* a run of two groups, a run of one */
    assert_int_equal(bytes, 64 + 512 + 64 + 256);
    assert_int_equal(quantized_bytes(&bytes, QUANTIZED_Q8, 5, 33, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(quantized_bytes(&bytes, QUANTIZED_Q8, 0, 32, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(quantized_bytes(&bytes, QUANTIZED_Q8, 5, -32, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(quantized_bytes(&bytes, (quantized_kind)4, 5, 32, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(quantized_bytes(&bytes, QUANTIZED_Q8, INT64_MAX, 1 << 20, &error), CARINA_ERROR_LIMIT);
    assert_int_equal(quantized_bytes(&bytes, QUANTIZED_Q8, 1, INT64_MAX / 32 * 32, &error), CARINA_ERROR_LIMIT);
    assert_true(quantized_rows_bytes(QUANTIZED_Q8, INT64_MAX, INT64_MAX) >= (uint64_t)1 << 62);
    for (int kind = 0; kind < QUANTIZED_KINDS; kind++) assert_non_null(quantized_kind_name((quantized_kind)kind));
}

static void borrowed_bytes(void **state) {
    (void)state;
    quantized_matrix *own = random_matrix(QUANTIZED_Q4, 20, 96, 1), *m;
    assert_int_equal(quantized_matrix_borrow(&m, QUANTIZED_Q4, 20, 96, own->packed, own->bytes - 1, &error),
                     CARINA_ERROR_FORMAT);
    assert_int_equal(quantized_matrix_borrow(&m, QUANTIZED_Q4, 20, 96, own->packed + 32, own->bytes, &error),
                     CARINA_ERROR_ARGUMENT);
    assert_ok(quantized_matrix_borrow(&m, QUANTIZED_Q4, 20, 96, own->packed, own->bytes, &error));
    float a[96], b[96];
    quantized_get_row(own, 19, a);
    quantized_get_row(m, 19, b);
    assert_memory_equal(a, b, sizeof a);
    quantized_matrix_free(m);
    quantized_get_row(own, 19, b); /* still there */
    assert_memory_equal(a, b, sizeof a);
    quantized_matrix_free(own);
    quantized_matrix_free(NULL);
}

/* ---- rows of GGUF ---- */

enum { MOST_GROUPS = 24 };
typedef struct parts {
    uint16_t scales[MOST_GROUPS], minima[MOST_GROUPS];
    uint8_t scale_factors[MOST_GROUPS], minimum_factors[MOST_GROUPS];
    int8_t quants[MOST_GROUPS * 32];
    quantized_row row;
} parts;

/* A finite f16 of any sign and size, subnormal ones among them. */
static uint16_t random_f16(random_state *random) {
    uint16_t bits = (uint16_t)random_below(random, 65536);
    return (bits & 0x7c00) == 0x7c00 ? (uint16_t)(bits & 0x83ff) : bits;
}

static void random_parts(parts *p, quantized_kind kind, random_state *random) {
    for (int g = 0; g < MOST_GROUPS; g++) {
        p->scales[g] = random_f16(random), p->minima[g] = random_f16(random);
        p->scale_factors[g] = (uint8_t)random_below(random, 64);
        p->minimum_factors[g] = (uint8_t)random_below(random, 64);
    }
    for (int k = 0; k < MOST_GROUPS * 32; k++)
        p->quants[k] =
            kind == QUANTIZED_Q8 ? (int8_t)(random_below(random, 256) - 128) : (int8_t)random_below(random, 16);
    p->row = (quantized_row){p->scales, p->minima, p->scale_factors, p->minimum_factors, p->quants};
}

static uint8_t *append_f16(uint8_t *at, uint16_t bits) {
    at[0] = (uint8_t)bits, at[1] = (uint8_t)(bits >> 8);
    return at + 2;
}

/* The same row as a GGUF file has it. */
static uint32_t gguf_row(uint8_t *at, quantized_kind kind, const parts *p, int groups) {
    for (int g = 0; g < groups && kind != QUANTIZED_Q4M; g++) {
        const int8_t *q = p->quants + 32 * g;
        at = append_f16(at, p->scales[g]);
        for (int j = 0; j < (kind == QUANTIZED_Q8 ? 32 : 16); j++)
            *at++ = (uint8_t)(kind == QUANTIZED_Q8 ? q[j] : q[j] | q[j + 16] << 4);
    }
    for (int s = 0; s < groups / 8 && kind == QUANTIZED_Q4M; s++) {
        const uint8_t *f = p->scale_factors + 8 * s, *m = p->minimum_factors + 8 * s;
        at = append_f16(append_f16(at, p->scales[s]), p->minima[s]);
        for (int i = 0; i < 4; i++) {
            at[i] = (uint8_t)(f[i] | f[i + 4] >> 4 << 6), at[i + 4] = (uint8_t)(m[i] | m[i + 4] >> 4 << 6);
            at[i + 8] = (uint8_t)((f[i + 4] & 15) | m[i + 4] << 4);
        }
        at += 12;
        for (int g = 0; g < 8; g += 2)
            for (int j = 0; j < 32; j++) {
                const int8_t *q = p->quants + 256 * s + 32 * g + j;
                *at++ = (uint8_t)(q[0] | q[32] << 4);
            }
    }
    return kind == QUANTIZED_Q8 ? GGUF_Q8_0 : kind == QUANTIZED_Q4 ? GGUF_Q4_0 : GGUF_Q4_K;
}

static void rows_of_gguf_lose_nothing(void **state) {
    (void)state;
    enum { OUTPUTS = 37, INPUTS = MOST_GROUPS * 32 };
    random_state random = random_seed(2);
    static float expected[OUTPUTS][INPUTS], actual[INPUTS];
    static uint8_t bytes[INPUTS * 2];
    for (int kind = 0; kind < QUANTIZED_BF16; kind++) {
        quantized_matrix *m;
        assert_ok(quantized_matrix_create(&m, (quantized_kind)kind, OUTPUTS, INPUTS, &error));
        parts p;
        for (int i = 0; i < OUTPUTS; i++) {
            int n = (i * 11 + 5) % OUTPUTS; /* any order */
            random_parts(&p, (quantized_kind)kind, &random);
            uint32_t type = gguf_row(bytes, (quantized_kind)kind, &p, MOST_GROUPS);
            assert_ok(gguf_decode_row(expected[n], type, bytes, INPUTS, &error));
            assert_ok(quantized_set_quants(m, n, &p.row, &error));
        }
        for (int n = 0; n < OUTPUTS; n++) {
            quantized_get_row(m, n, actual);
            for (int k = 0; k < INPUTS; k++)
                if (actual[k] != expected[n][k])
                    fail_msg("%s, output %d, input %d: %.9g, expected %.9g", quantized_kind_name((quantized_kind)kind),
                             n, k, (double)actual[k], (double)expected[n][k]);
        }
        random_parts(&p, (quantized_kind)kind, &random);
        p.scales[2] = 0x7c00;
        assert_int_equal(quantized_set_quants(m, 0, &p.row, &error), CARINA_ERROR_FORMAT);
        random_parts(&p, (quantized_kind)kind, &random);
        p.minima[1] = 0xfe00, p.quants[77] = 16;
        assert_int_equal(quantized_set_quants(m, 0, &p.row, &error),
                         kind == QUANTIZED_Q8 ? CARINA_OK : CARINA_ERROR_FORMAT);
        p.quants[77] = 15;
        assert_int_equal(quantized_set_quants(m, 0, &p.row, &error),
                         kind == QUANTIZED_Q4M ? CARINA_ERROR_FORMAT : CARINA_OK);
        p.minima[1] = 0, p.quants[78] = -1;
        assert_int_equal(quantized_set_quants(m, 0, &p.row, &error),
                         kind == QUANTIZED_Q8 ? CARINA_OK : CARINA_ERROR_FORMAT);
        quantized_matrix_free(m);
    }
}

/* ---- quantising ---- */

/* Squared error of a group for a given scale, by the definition. */
static double q4_error(const float *x, float scale) {
    double sum = 0;
    for (int i = 0; i < 32; i++) {
        double q = scale == 0 ? 0 : fmin(7, fmax(-8, nearbyint((double)x[i] / (double)scale)));
        double d = (double)x[i] - q * (double)scale;
        sum += d * d;
    }
    return sum;
}

static void quantised_rows_are_near(void **state) {
    (void)state;
    enum { INPUTS = 352 }; /* one whole group of groups, and three groups */
    random_state random = random_seed(3);
    double plain = 0, searched = 0, lines = 0, ranges = 0;
    for (int round = 0; round < 40; round++) {
        float *x = draw(INPUTS, 0.02, &random), y[INPUTS];
        for (int k = 0; round >= 20 && k < INPUTS; k++) x[k] = x[k] * 1000 + 15;
        quantized_matrix *m[QUANTIZED_KINDS];
        for (int kind = 0; kind < QUANTIZED_KINDS; kind++) {
            assert_ok(quantized_matrix_create(&m[kind], (quantized_kind)kind, 3, INPUTS, &error));
            assert_ok(quantized_set_row(m[kind], 1, x, &error));
            quantized_get_row(m[kind], 1, y);
            quantized_error e = {0};
            quantized_error_add(&e, m[kind], 1, x);
            double sum = 0, largest = 0;
            for (int k = 0; k < INPUTS; k++) {
                double d = fabs((double)x[k] - (double)y[k]);
                sum += d * d, largest = fmax(largest, d);
                if (kind == QUANTIZED_BF16) assert_true(y[k] == bf16_to_f32(bf16_from_f32(x[k])));
            }
            assert_true(e.count == INPUTS && e.largest == largest && fabs(e.error_squares - sum) <= 1e-9 * sum);
            assert_true(quantized_error_relative(&e) > 0);
            for (int g = 0; g < INPUTS / 32; g++) {
                const float *from = x + 32 * g;
                float most = 0, low = 0, high = 0;
                double here = 0;
                for (int i = 0; i < 32; i++) {
                    if (fabsf(from[i]) > fabsf(most)) most = from[i];
                    low = fminf(low, from[i]), high = fmaxf(high, from[i]);
                }
                /* half a step, and what rounding the scale to f16 moves the largest by */
                double bound = (0.5 + 127 * 0x1p-11) * fabs((double)most) / 127 * 1.001;
                for (int i = 0; i < 32; i++) {
                    double d = (double)from[i] - (double)y[32 * g + i];
                    here += d * d;
                    if (kind == QUANTIZED_Q8) assert_true(fabs(d) <= bound);
                }
                if (kind == QUANTIZED_Q4) {
                    double rule = q4_error(from, f16_to_f32(f16_from_f32(most / -8)));
                    assert_true(here <= rule * 1.0001);
                    plain += rule, searched += here;
                }
                double step = ((double)high - (double)low) / 15;
                if (kind == QUANTIZED_Q4M) lines += here, ranges += 32 * step * step / 12;
            }
            quantized_matrix_free(m[kind]);
        }
        free(x);
    }
    assert_true(searched < 0.9 * plain);
    assert_true(lines < 0.8 * ranges); /* what steps of the whole range would give */
}

static void values_on_the_grid_stay(void **state) {
    (void)state;
    float x[256], y[256];
    for (int kind = 0; kind < QUANTIZED_KINDS; kind++) {
        quantized_matrix *m;
        assert_ok(quantized_matrix_create(&m, (quantized_kind)kind, 18, 256, &error));
        quantized_get_row(m, 17, y); /* not set: zeros */
        for (int k = 0; k < 256; k++) assert_true(y[k] == 0);
        for (int k = 0; k < 256; k++) {
            int i = k * 7 % 32;
            x[k] = kind == QUANTIZED_Q8    ? 0.25f * (float)(i == 0 ? -127 : i * 4)
                   : kind == QUANTIZED_Q4  ? 0.5f * (float)(i % 16 - 8)
                   : kind == QUANTIZED_Q4M ? 255.0f * (float)(i % 16) - 510
                                           : (float)i;
        }
        assert_ok(quantized_set_row(m, 16, x, &error));
        quantized_get_row(m, 16, y);
        for (int k = 0; k < 256; k++)
            if (x[k] != y[k]) fail_msg("kind %d, input %d: %g became %g", kind, k, (double)x[k], (double)y[k]);
        quantized_matrix_free(m);
    }
}

/* Zeros, one value alone, tiny and huge ones, and what cannot be quantised. */
static void extreme_rows(void **state) {
    (void)state;
    int8_t q[32];
    float nothing[32] = {0};
    nothing[7] = 1e-42f; /* as good as nothing: no scale reaches it */
    assert_int_equal(quantize_q8(q, nothing), 0);
    for (int i = 0; i < 32; i++) assert_true(q[i] == 0);
    assert_int_equal(quantize_q4(q, nothing), 0);
    for (int i = 0; i < 32; i++) assert_true(q[i] == 8);
    for (int kind = 0; kind < QUANTIZED_KINDS; kind++) {
        quantized_matrix *m;
        float x[64] = {0}, y[64];
        assert_ok(quantized_matrix_create(&m, (quantized_kind)kind, 1, 64, &error));
        assert_ok(quantized_set_row(m, 0, x, &error));
        quantized_get_row(m, 0, y);
        for (int k = 0; k < 64; k++) assert_true(y[k] == 0);
        x[40] = -3;
        assert_ok(quantized_set_row(m, 0, x, &error));
        quantized_get_row(m, 0, y);
        for (int k = 0; k < 64; k++) assert_true(fabs((double)y[k] - (double)x[k]) <= 0.005);
        static const float sizes_of_values[] = {1e-42f, 1e-30f, 1e-6f, 1e6f, 1e30f, 3e38f};
        for (size_t i = 0; i < sizeof sizes_of_values / sizeof *sizes_of_values; i++) {
            float size = sizes_of_values[i];
            for (int k = 0; k < 64; k++) x[k] = size * ((float)(k % 13 - 6) / 6);
            assert_ok(quantized_set_row(m, 0, x, &error));
            quantized_get_row(m, 0, y);
            for (int k = 0; k < 64; k++) {
                assert_true(isfinite(y[k]) && fabsf(y[k]) <= size * 1.2f + 1e-6f);
                if (size == 1e6f && kind == QUANTIZED_Q8) assert_true(fabsf(y[k] - x[k]) < 5e3f);
            }
        }
        x[63] = kind % 2 ? NAN : -INFINITY;
        assert_int_equal(quantized_set_row(m, 0, x, &error), CARINA_ERROR_FORMAT);
        quantized_matrix_free(m);
    }
}

/* ---- activations ---- */

typedef struct batch {
    quantized_rows rows;
    void *memory;
} batch;

static batch prepare(const quantized_kernels *k, quantized_kind kind, const float *x, int64_t count, int64_t inputs) {
    batch b;
    b.memory = aligned_alloc(QUANTIZED_ALIGN, (size_t)quantized_rows_bytes(kind, count, inputs));
    assert_non_null(b.memory);
    memset(b.memory, 0xee, (size_t)quantized_rows_bytes(kind, count, inputs));
    quantized_rows_place(&b.rows, b.memory, kind, count, inputs);
    int64_t panels = quantized_rows_panels(&b.rows);
    quantized_rows_prepare(k, &b.rows, x, inputs, panels / 2, panels - panels / 2); /* in two shards */
    quantized_rows_prepare(k, &b.rows, x, inputs, 0, panels / 2);
    return b;
}

static void activations(void **state) {
    (void)state;
    enum { INPUTS = 160, ROWS = 37 };
    random_state random = random_seed(4);
    float *x = draw(ROWS * INPUTS, 3, &random), y[INPUTS];
    for (int k = 0; k < 32; k++) {
        x[INPUTS + k] = 0;                                /* a group of zeros, */
        x[2 * INPUTS + k] = 0x1p-101f;                    /* one that counts as zero, */
        x[3 * INPUTS + k] = ldexpf((float)(k - 16), 100); /* a huge one, */
        x[4 * INPUTS + k] = k ? (float)k - 16.5f : 127;   /* and ties, of which half are rounded up */
    }
    const quantized_kernels *all[QUANTIZED_KERNELS_MOST];
    int count = quantized_kernels_all(all);
    batch plain = prepare(all[0], QUANTIZED_Q4, x, ROWS, INPUTS);
    for (int m = 0; m < ROWS; m++) {
        quantized_rows_get(&plain.rows, m, y);
        for (int g = 0; g < INPUTS; g += 32) {
            float most = 0;
            for (int k = g; k < g + 32; k++) most = fmaxf(most, fabsf(x[m * INPUTS + k]));
            for (int k = g; k < g + 32; k++) {
                double d = fabs((double)y[k] - (double)x[m * INPUTS + k]);
                if (m == 2 && g == 0)
                    assert_true(y[k] == 0);
                else if (!(d <= (double)most / 254 * 1.00001))
                    fail_msg("row %d, input %d: off by %g", m, k, d);
            }
        }
        if (m == 4)
            for (int k = 1; k < 32; k++) assert_true((int)y[k] % 2 == 0);
    }
    for (int i = 1; i < count; i++) {
        batch other = prepare(all[i], QUANTIZED_Q4, x, ROWS, INPUTS);
        assert_memory_equal(other.memory, plain.memory, quantized_rows_bytes(QUANTIZED_Q4, ROWS, INPUTS));
        free(other.memory);
    }
    for (int i = 1; i < count; i++) {
        batch own = prepare(all[0], QUANTIZED_BF16, x, ROWS, INPUTS);
        batch other = prepare(all[i], QUANTIZED_BF16, x, ROWS, INPUTS);
        assert_memory_equal(other.memory, own.memory, quantized_rows_bytes(QUANTIZED_BF16, ROWS, INPUTS));
        free(own.memory), free(other.memory);
    }
    batch narrow = prepare(all[0], QUANTIZED_BF16, x, ROWS, INPUTS);
    for (int m = 0; m < ROWS; m++) {
        quantized_rows_get(&narrow.rows, m, y);
        for (int k = 0; k < INPUTS; k++) assert_true(y[k] == bf16_to_f32(bf16_from_f32(x[m * INPUTS + k])));
    }
    free(narrow.memory);
    free(plain.memory);
    free(x);
}

/* Rounding to bf16 of what instructions treat in their own way: ties, numbers below the normal ones, the largest ones,
 * no numbers. */
static void expect_rounded_alike(void) {
    static const uint32_t special[] = {0,          0x80000000, 1,          0x807fffff, 0x00008000, 0x007fffff,
                                       0x00800000, 0x3f808000, 0x3f818000, 0xbf808000, 0x3f808001, 0x7f7fffff,
                                       0x7f7f7fff, 0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 0xffbfffff};
    enum { SPECIAL = sizeof special / sizeof *special, INPUTS = 32 };
    const quantized_kernels *all[QUANTIZED_KERNELS_MOST];
    int count = quantized_kernels_all(all);
    for (int i = 0; i < count; i++)
        for (int first = 0; first < SPECIAL; first++) {
            float x[INPUTS];
            for (int k = 0; k < INPUTS; k++) x[k] = 1.0f + (float)k;
            memcpy(&x[first], &special[first], sizeof *x); /* one among ordinary ones */
            batch b = prepare(all[i], QUANTIZED_BF16, x, 1, INPUTS);
            for (int k = 0; k < INPUTS; k++)
                if (b.rows.values[k] != bf16_from_f32(x[k]))
                    fail_msg("%s: %08x becomes %04x", quantized_kernels_name(all[i]), (unsigned)special[first],
                             b.rows.values[k]);
            free(b.memory);
        }
}

static void rounded_alike(void **state) {
    (void)state;
    expect_rounded_alike();
    unsigned denormals = cpu_flush_denormals(); /* as graphs run */
    expect_rounded_alike();
    cpu_restore_denormals(denormals);
}

/* ---- products ---- */

#define UNTOUCHED (-12345.0f)

/* y [rows, outputs + 3] with the outputs of all blocks; the three are never written. */
static float *product(const quantized_kernels *k, const quantized_matrix *m, const batch *b) {
    int64_t step = m->outputs + 3;
    float *y = floats_new(b->rows.count * step);
    for (int64_t i = 0; i < b->rows.count * step; i++) y[i] = UNTOUCHED;
    quantized_product_run(k, m, &b->rows, 0, m->blocks, y, step);
    for (int64_t t = 0; t < b->rows.count; t++)
        for (int64_t n = m->outputs; n < step; n++) assert_true(y[t * step + n] == UNTOUCHED);
    return y;
}

/* Against the sum of the same quantised values in double; the bound is quantized.h's. */
static void compare_with_double(const quantized_matrix *m, const batch *b, const float *y) {
    float *w = floats_new(m->inputs), *x = floats_new(m->inputs);
    int64_t groups = m->inputs / 32, step = m->outputs + 3;
    double roundings = (double)(m->kind == QUANTIZED_Q4M ? 2 * groups : groups) + 4;
    if (m->kind == QUANTIZED_BF16) roundings = (double)m->inputs + 4;
    for (int64_t t = 0; t < b->rows.count; t++) {
        quantized_rows_get(&b->rows, t, x);
        for (int64_t n = 0; n < m->outputs; n++) {
            quantized_get_row(m, n, w);
            double sum = 0, magnitude = 0;
            for (int64_t k = 0; k < m->inputs; k++) {
                sum += (double)w[k] * (double)x[k];
                magnitude += fabs((double)w[k] * (double)x[k]);
            }
            /* Q4M's parts may cancel: minima are up to the size of the weights' range */
            if (m->kind == QUANTIZED_Q4M) magnitude *= 4;
            double off = fabs((double)y[t * step + n] - sum);
            if (!(off <= roundings * 0x1p-24 * magnitude))
                fail_msg("%s [%d, %d], token %d, output %d: %.9g, expected %.9g", quantized_kind_name(m->kind),
                         (int)m->outputs, (int)m->inputs, (int)t, (int)n, (double)y[t * step + n], sum);
        }
    }
    free(w);
    free(x);
}

static const struct {
    int64_t outputs, inputs, rows;
} shapes[] = {{1, 32, 1},    {16, 32, 2},  {17, 64, 3},   {37, 96, 5},   {40, 256, 4},   {50, 352, 19},
              {64, 2560, 1}, {33, 544, 8}, {70, 512, 33}, {16, 288, 16}, {33, 1312, 10}, {40, 64, 300}};

static void products(void **state) {
    (void)state;
    const quantized_kernels *all[QUANTIZED_KERNELS_MOST];
    int count = quantized_kernels_all(all);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int kind = 0; kind < QUANTIZED_KINDS; kind++) {
            random_state random = random_seed(50 + s);
            float *x = draw(shapes[s].rows * shapes[s].inputs, 1, &random);
            quantized_matrix *m = random_matrix((quantized_kind)kind, shapes[s].outputs, shapes[s].inputs, s);
            batch b = prepare(all[0], m->kind, x, shapes[s].rows, shapes[s].inputs);
            float *plain = product(all[0], m, &b);
            compare_with_double(m, &b, plain);
            for (int i = 1; i < count; i++) {
                float *fast = product(all[i], m, &b);
                size_t bytes = (size_t)(shapes[s].rows * (m->outputs + 3)) * sizeof *fast;
                if (kind == QUANTIZED_BF16 && strcmp(quantized_kernels_name(all[i]), "amx") == 0)
                    compare_with_double(m, &b, fast); /* tiles sum in an order of their own */
                else if (memcmp(fast, plain, bytes) != 0)
                    fail_msg("%s, %s, shape %d: differs from plain C", quantized_kernels_name(all[i]),
                             quantized_kind_name(m->kind), (int)s);
                free(fast);
            }
            free(plain);
            free(b.memory);
            quantized_matrix_free(m);
            free(x);
        }
    printf("compared:");
    for (int i = 0; i < count; i++) printf(" %s", quantized_kernels_name(all[i]));
    printf("\n");
}

/* The largest sums there are, where 16 bits would overflow: all weights at one end, activations all at their largest,
 * of one sign, of both in turn. */
static void largest_sums(void **state) {
    (void)state;
    const quantized_kernels *all[QUANTIZED_KERNELS_MOST];
    int count = quantized_kernels_all(all);
    static const int8_t ends[2][2] = {{-128, 127}, {0, 15}};
    for (int kind = 0; kind < QUANTIZED_BF16; kind++)
        for (int end = 0; end < 2; end++) {
            parts p;
            random_state random = random_seed(6);
            random_parts(&p, (quantized_kind)kind, &random);
            for (int g = 0; g < 8; g++) p.scales[g] = 0x3c00, p.minima[g] = 0, p.scale_factors[g] = 1;
            memset(p.quants, ends[kind != QUANTIZED_Q8][end], sizeof p.quants);
            quantized_matrix *m;
            assert_ok(quantized_matrix_create(&m, (quantized_kind)kind, 16, 64, &error));
            for (int n = 0; n < 16; n++) assert_ok(quantized_set_quants(m, n, &p.row, &error));
            int weight = ends[kind != QUANTIZED_Q8][end] - (kind == QUANTIZED_Q4 ? 8 : 0);
            float x[3 * 64];
            for (int k = 0; k < 64; k++) x[k] = 127, x[64 + k] = -127, x[128 + k] = k % 2 ? 127 : -127;
            for (int i = 0; i < count; i++) {
                batch b = prepare(all[i], m->kind, x, 3, 64);
                float *y = product(all[i], m, &b);
                for (int n = 0; n < 16; n++) {
                    assert_true(y[n] == (float)(64 * 127 * weight));
                    assert_true(y[19 + n] == (float)(-64 * 127 * weight));
                    assert_true(y[38 + n] == 0);
                }
                free(y);
                free(b.memory);
            }
            quantized_matrix_free(m);
        }
}

/* A token alone, in batches that end anywhere, and beside a token that is not finite. The last shape's activations are
 * more than are kept in cache at a time. */
static void batches_change_nothing(void **state) {
    (void)state;
    static const struct { int64_t outputs, inputs, rows; } sizes_of_batches[] = {{35, 320, 37}, {20, 10240, 70}};
    const quantized_kernels *all[QUANTIZED_KERNELS_MOST];
    int count = quantized_kernels_all(all);
    for (int s = 0; s < 2; s++)
        for (int kind = 0; kind < QUANTIZED_KINDS; kind++)
            for (int i = s ? count - 1 : 0; i < count; i++) {
                int64_t inputs = sizes_of_batches[s].inputs, rows = sizes_of_batches[s].rows;
                random_state random = random_seed(7);
                float *x = draw(rows * inputs, 1, &random);
                quantized_matrix *m = random_matrix((quantized_kind)kind, sizes_of_batches[s].outputs, inputs, 8);
                batch whole = prepare(all[i], m->kind, x, rows, inputs);
                float *y = product(all[i], m, &whole);
                int64_t step = m->outputs + 3;
                for (int64_t from = 0, size = 1; from < rows; from += size, size++) {
                    if (size > rows - from) size = rows - from;
                    batch part = prepare(all[i], m->kind, x + from * inputs, size, inputs);
                    float *z = product(all[i], m, &part);
                    assert_memory_equal(z, y + from * step, (size_t)(size * step) * sizeof *z);
                    free(z);
                    free(part.memory);
                }
                x[3 * inputs + 5] = NAN;
                batch spoilt = prepare(all[i], m->kind, x, rows, inputs);
                float *z = product(all[i], m, &spoilt);
                assert_memory_equal(z, y, (size_t)(3 * step) * sizeof *z);
                assert_memory_equal(z + 4 * step, y + 4 * step, (size_t)((rows - 4) * step) * sizeof *z);
                free(z), free(y), free(spoilt.memory), free(whole.memory), free(x);
                quantized_matrix_free(m);
            }
}

/* Blocks [first, first + size) of all, and nothing else. */
static void expect_blocks(const quantized_kernels *k, const quantized_matrix *m, const batch *b, const float *whole,
                          float *y, int64_t first, int64_t size) {
    int64_t step = m->outputs + 3, count = b->rows.count * step;
    for (int64_t i = 0; i < count; i++) y[i] = UNTOUCHED;
    quantized_product_run(k, m, &b->rows, first, size, y, step);
    for (int64_t i = 0; i < count; i++) {
        int64_t n = i % step;
        bool asked = n >= first * 16 && n < (first + size) * 16 && n < m->outputs;
        assert_true(y[i] == (asked ? whole[i] : UNTOUCHED));
    }
}

/* Few tokens go another way than many. */
static void shards_change_nothing(void **state) {
    (void)state;
    static const int64_t tokens[] = {1, 5, 21};
    const quantized_kernels *k = quantized_kernels_best();
    for (int kind = 0; kind < QUANTIZED_KINDS; kind++)
        for (int t = 0; t < 3; t++) {
            random_state random = random_seed(9);
            float *x = draw(tokens[t] * 320, 1, &random);
            quantized_matrix *m = random_matrix((quantized_kind)kind, 6 * 16 + 5, 320, 10);
            batch b = prepare(k, m->kind, x, tokens[t], 320);
            float *whole = product(k, m, &b), *y = floats_new(tokens[t] * (m->outputs + 3));
            for (int64_t size = 1; size <= m->blocks; size++)
                for (int64_t first = 0; first + size <= m->blocks; first++)
                    expect_blocks(k, m, &b, whole, y, first, size);
            free(whole), free(y), free(b.memory), free(x);
            quantized_matrix_free(m);
        }
}

/* Several matrices in one op, one of which takes other rows than the rest: what each gives alone. */
static void together_is_one_by_one(void **state) {
    (void)state;
    enum { PARTS = 4, INPUTS = 288 };
    static const quantized_kind kinds[PARTS] = {QUANTIZED_Q8, QUANTIZED_Q4M, QUANTIZED_BF16, QUANTIZED_BF16};
    static const int64_t outputs[PARTS] = {50, 16, 320, 33}, rows[] = {1, 19};
    quantized_linear_part part[PARTS];
    for (int i = 0; i < PARTS; i++)
        part[i] = (quantized_linear_part){random_matrix(kinds[i], outputs[i], INPUTS, (uint64_t)i),
                                          i % 2 ? ACTIVATION_RELU : ACTIVATION_NONE};
    for (int r = 0; r < 2; r++) {
        random_state random = random_seed(12);
        graph *g;
        tensor *together[PARTS], *alone[PARTS];
        thread_pool *pool;
        assert_ok(thread_pool_create(&pool, 2, &error));
        assert_ok(graph_create(&g, &(graph_options){.pool = pool}, &error));
        tensor *x = graph_input(g, "x", 2, (int64_t[]){rows[r], INPUTS});
        op_quantized_linears(g, x, PARTS, part, together);
        for (int i = 0; i < PARTS; i++) alone[i] = op_quantized_linear(g, x, part[i].matrix, part[i].act);
        for (int i = 0; i < PARTS; i++) graph_output(g, together[i]), graph_output(g, alone[i]);
        assert_ok(graph_plan(g, &error));
        for (int64_t i = 0; i < rows[r] * INPUTS; i++) tensor_data(x)[i] = (float)random_normal(&random);
        graph_forward(g);
        for (int i = 0; i < PARTS; i++) {
            assert_int_equal(tensor_count(together[i]), rows[r] * outputs[i]);
            assert_memory_equal(tensor_data(together[i]), tensor_data(alone[i]),
                                (size_t)(rows[r] * outputs[i]) * sizeof(float));
            double sum = 0;
            for (int64_t k = 0; k < tensor_count(alone[i]); k++) sum += fabs((double)tensor_data(alone[i])[k]);
            assert_true(sum > 0);
        }
        graph_free(g);
        thread_pool_free(pool);
    }
    for (int i = 0; i < PARTS; i++) quantized_matrix_free((quantized_matrix *)(uintptr_t)part[i].matrix);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(borrowed_bytes),
        cmocka_unit_test(rows_of_gguf_lose_nothing),
        cmocka_unit_test(quantised_rows_are_near),
        cmocka_unit_test(values_on_the_grid_stay),
        cmocka_unit_test(extreme_rows),
        cmocka_unit_test(activations),
        cmocka_unit_test(products),
        cmocka_unit_test(rounded_alike),
        cmocka_unit_test(largest_sums),
        cmocka_unit_test(batches_change_nothing),
        cmocka_unit_test(shards_change_nothing),
        cmocka_unit_test(together_is_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
