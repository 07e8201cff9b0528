/* Loops of multiply-adds; see register_speed.h. Each is compiled for its own instruction set and run only where
 * register_loops_all() found it. */
#include "tensor/register_speed.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/cpu.h"
#include "base/progress.h"

#define SHARDS_A_THREAD 4 /* so that a thread that was interrupted does not hold up the others for long */

/* Sums that wait for nobody but themselves. All loops over them are unrolled, and nothing takes an address of them:
 * they must stay in registers. */
#define CHAINS 12
#define WIDE_CHAINS \
    24 /* where there are 32 registers: two units with results after six cycles (Zen 5) want some more */
#define TARGET(x) __attribute__((target(x)))

/* The compiler knows nothing about the value any more, but that it is in a register: nothing is computed only once. */
#if defined(__x86_64__)
#define KEEP(x)      __asm__ volatile("" : "+x"(x))
#define KEEP_WIDE(x) __asm__ volatile("" : "+v"(x))
#elif defined(__aarch64__)
#define KEEP(x) __asm__ volatile("" : "+w"(x))
#else
#define KEEP(x) __asm__ volatile("" : "+m"(x))
#endif

static double total_floats(const void *sums, uint64_t bytes) {
    double total = 0;
    for (uint64_t at = 0; at < bytes; at += sizeof(float)) {
        float lane;
        memcpy(&lane, (const char *)sums + at, sizeof lane);
        total += (double)lane;
    }
    return total;
}

/* `chains` sums of `lanes`: `step` adds a product of x and y, of type `factors`, to sum[i]. */
#define CHAINED(name, isa, chains, lanes, factors, x_value, y_value, keep, step, total)    \
    isa static double name(int64_t rounds, int a, int b) {                                 \
        lanes sum[chains];                                                                 \
        factors x = x_value, y = y_value;                                                  \
        _Pragma("GCC unroll 24") for (int i = 0; i < chains; i++) { sum[i] = (lanes){0}; } \
        for (int64_t r = 0; r < rounds; r++) {                                             \
            _Pragma("GCC unroll 24") for (int i = 0; i < chains; i++) {                    \
                keep(x);                                                                   \
                step;                                                                      \
                keep(sum[i]);                                                              \
            }                                                                              \
        }                                                                                  \
        _Pragma("GCC unroll 24") for (int i = 1; i < chains; i++) { sum[0] += sum[i]; }    \
        lanes all = sum[0];                                                                \
        return total(&all, sizeof all);                                                    \
    }

typedef float four_floats __attribute__((vector_size(16)));

CHAINED(plain_floats, , CHAINS, four_floats, four_floats, (four_floats){0} + (float)a, (four_floats){0} + (float)b,
        KEEP, sum[i] += x * y, total_floats)

#if defined(__x86_64__)

static double total_ints(const void *sums, uint64_t bytes) {
    double total = 0;
    for (uint64_t at = 0; at < bytes; at += sizeof(int32_t)) {
        int32_t lane;
        memcpy(&lane, (const char *)sums + at, sizeof lane);
        total += lane;
    }
    return total;
}

typedef int32_t four_ints __attribute__((vector_size(16)));
typedef int32_t sixteen_ints __attribute__((vector_size(64)));

/* ---- integers ---- */

CHAINED(sse2_ints, , CHAINS, four_ints, __m128i, _mm_set1_epi16((int16_t)a), _mm_set1_epi16((int16_t)b), KEEP,
        sum[i] += (four_ints)_mm_madd_epi16(x, y), total_ints)

CHAINED(vnni_ints, TARGET("avx512f,avx512vnni"), WIDE_CHAINS, sixteen_ints, __m512i, _mm512_set1_epi8((int8_t)a),
        _mm512_set1_epi8((int8_t)b), KEEP_WIDE, sum[i] = (sixteen_ints)_mm512_dpbusd_epi32((__m512i)sum[i], y, x),
        total_ints)

/* As products of 4 bits can do it (quantized_avx2.c): a group is added up in 16 bits and widened once. */
TARGET("avx2") static double avx2_ints(int64_t rounds, int a, int b) {
    __m256i sum[4], x = _mm256_set1_epi8((int8_t)a), y = _mm256_set1_epi8((int8_t)b), ones = _mm256_set1_epi16(1);
    for (int i = 0; i < 4; i++) sum[i] = _mm256_setzero_si256();
    for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256i pairs = _mm256_setzero_si256();
#pragma GCC unroll 8
            for (int k = 0; k < 8; k++) {
                KEEP(x);
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(y, x));
            }
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(pairs, ones));
        }
#pragma GCC unroll 4
    for (int i = 1; i < 4; i++) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
    __m256i all = sum[0];
    return total_ints(&all, sizeof all);
}

/* ---- numbers ---- */

CHAINED(avx2_floats, TARGET("avx2,fma"), CHAINS, __m256, __m256, _mm256_set1_ps((float)a), _mm256_set1_ps((float)b),
        KEEP, sum[i] = _mm256_fmadd_ps(x, y, sum[i]), total_floats)

CHAINED(avx512_floats, TARGET("avx512f"), WIDE_CHAINS, __m512, __m512, _mm512_set1_ps((float)a),
        _mm512_set1_ps((float)b), KEEP_WIDE, sum[i] = _mm512_fmadd_ps(x, y, sum[i]), total_floats)

CHAINED(avx512_bf16, TARGET("avx512f,avx512bf16"), WIDE_CHAINS, __m512, __m512bh,
        _mm512_cvtne2ps_pbh(_mm512_set1_ps((float)a), _mm512_set1_ps((float)a)),
        _mm512_cvtne2ps_pbh(_mm512_set1_ps((float)b), _mm512_set1_ps((float)b)), KEEP_WIDE,
        sum[i] = _mm512_dpbf16_ps(sum[i], x, y), total_floats)

/* ---- tiles: 16 x 16 sums of 64 bytes each; 0 to 5 are sums, 6 and 7 what is multiplied ---- */

#define TILE_SUMS  6
#define TILE_BYTES 1024

typedef struct tile_memory {
    uint8_t x[TILE_BYTES], y[TILE_BYTES], sums[TILE_SUMS][TILE_BYTES];
} __attribute__((aligned(64))) tile_memory;

/* The compiler does not see which memory tile instructions read and write. */
#define MEMORY_IS_DONE() __asm__ volatile("" ::: "memory")

TARGET("amx-tile") static void begin_tiles(const tile_memory *m) {
    struct __attribute__((packed)) {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < TILE_SUMS + 2; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
    MEMORY_IS_DONE();
    _tile_loadconfig(&config);
    _tile_loadd(6, m->x, 64);
    _tile_loadd(7, m->y, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
}

TARGET("amx-tile") static void end_tiles(tile_memory *m) {
    _tile_stored(0, m->sums[0], 64);
    _tile_stored(1, m->sums[1], 64);
    _tile_stored(2, m->sums[2], 64);
    _tile_stored(3, m->sums[3], 64);
    _tile_stored(4, m->sums[4], 64);
    _tile_stored(5, m->sums[5], 64);
    MEMORY_IS_DONE();
    _tile_release();
}

TARGET("amx-tile,amx-int8") static double amx_ints(int64_t rounds, int a, int b) {
    tile_memory m;
    memset(m.x, b, sizeof m.x); /* unsigned */
    memset(m.y, a, sizeof m.y); /* signed */
    begin_tiles(&m);
    for (int64_t r = 0; r < rounds; r++) {
        _tile_dpbusd(0, 6, 7);
        _tile_dpbusd(1, 6, 7);
        _tile_dpbusd(2, 6, 7);
        _tile_dpbusd(3, 6, 7);
        _tile_dpbusd(4, 6, 7);
        _tile_dpbusd(5, 6, 7);
    }
    end_tiles(&m);
    return total_ints(m.sums, sizeof m.sums);
}

static void fill_bf16(uint8_t out[TILE_BYTES], int value) {
    float wide = (float)value;
    uint32_t bits;
    memcpy(&bits, &wide, sizeof bits);
    for (int i = 0; i < TILE_BYTES; i++) out[i] = (uint8_t)(bits >> (i % 2 ? 24 : 16));
}

TARGET("amx-tile,amx-bf16") static double amx_bf16(int64_t rounds, int a, int b) {
    tile_memory m;
    fill_bf16(m.x, b);
    fill_bf16(m.y, a);
    begin_tiles(&m);
    for (int64_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    end_tiles(&m);
    return total_floats(m.sums, sizeof m.sums);
}

/* ---- which there are ---- */

#define TILE_PRODUCTS (TILE_SUMS * 16 * 16)

static const register_loop int_loops[] = {
    {"pmaddwd", CHAINS * 8, 25000, sse2_ints},
    {"vpmaddubsw", 4 * 8 * 32, 6000, avx2_ints},
    {"vpdpbusd", WIDE_CHAINS * 64, 12500, vnni_ints},
    {"tdpbusd", TILE_PRODUCTS * 64, 2500, amx_ints},
};
static const register_loop float_loops[] = {
    {"mulps", CHAINS * 4, 25000, plain_floats},
    {"vfmadd231ps, 256 bits", CHAINS * 8, 25000, avx2_floats},
    {"vfmadd231ps, 512 bits", WIDE_CHAINS * 16, 12500, avx512_floats},
    {"vdpbf16ps", WIDE_CHAINS * 32, 12500, avx512_bf16},
    {"tdpbf16ps", TILE_PRODUCTS * 32, 2500, amx_bf16},
};

int register_loops_all(register_kind kind, const register_loop *out[REGISTER_MOST]) {
    cpu_level level = cpu_level_effective();
    cpu_features f = cpu_detect();
    const register_loop *from = kind == REGISTER_INT8 ? int_loops : float_loops;
    int count = 0;
    out[count++] = from++;
    if (level >= CPU_AVX2) out[count++] = from;
    from++;
    if (kind == REGISTER_BF16 && level >= CPU_AVX512) out[count++] = from;
    from += kind == REGISTER_BF16;
    if (level >= CPU_AVX512 && (kind == REGISTER_INT8 ? f.avx512_vnni : f.avx512_bf16)) out[count++] = from;
    from++;
    if (level >= CPU_AMX) out[count++] = from;
    return count;
}

#else

int register_loops_all(register_kind kind, const register_loop *out[REGISTER_MOST]) {
    static const register_loop plain = {"multiply, add", CHAINS * 4, 25000, plain_floats};
    (void)kind;
    out[0] = &plain;
    return 1;
}

#endif

const register_loop *register_loop_best(register_kind kind) {
    const register_loop *all[REGISTER_MOST];
    return all[register_loops_all(kind, all) - 1];
}

/* ---- on all threads ---- */

static void run_shard(void *context, int shard, int worker) {
    const register_loop *loop = context;
    double sum = loop->run(loop->rounds, 1, 1);
    (void)shard, (void)worker;
    __asm__ volatile("" : : "m"(sum)); /* what was added is wanted */
}

double register_loop_run(const register_loop *loop, thread_pool *pool) {
    register_loop own = *loop;
    int shards = SHARDS_A_THREAD * thread_pool_count(pool);
    thread_pool_run(pool, shards, run_shard, &own);
    return 2.0 * (double)loop->sums * (double)loop->rounds * shards;
}

double register_speed(const register_loop *loop, thread_pool *pool, int runs) {
    double most = 0;
    for (int i = 0; i < runs; i++) {
        double began = clock_seconds(), operations = register_loop_run(loop, pool);
        double speed = operations / (clock_seconds() - began);
        most = speed > most ? speed : most;
    }
    return most;
}
