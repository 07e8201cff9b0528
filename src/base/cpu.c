/* CPU features by CPUID and XGETBV; AMX needs the kernel's permission too (Linux, Documentation/arch/x86/xstate). */
#include "base/cpu.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const level_names[CPU_LEVEL_COUNT] = {"generic", "avx2", "avx512", "amx"};

const char *cpu_level_name(cpu_level level) { return level_names[level]; }

bool cpu_level_parse(const char *name, cpu_level *out) {
    for (int i = 0; i < CPU_LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (cpu_level)i;
            return true;
        }
    }
    return false;
}

#if defined(__x86_64__)
#include <cpuid.h>

/* Which register sets the operating system saves (XCR0): bit 1 SSE, 2 AVX, 5-7 AVX-512, 17-18 AMX tiles. */
static uint64_t saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

#define STATE_AVX    0x6u
#define STATE_AVX512 0xe6u
#define STATE_AMX    0x60000u

static bool request_amx(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static void read_name(char out[64]) {
    unsigned words[12];
    for (unsigned i = 0; i < 3; i++) {
        unsigned *w = words + 4 * i;
        if (!__get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3])) return;
    }
    memcpy(out, words, sizeof words);
    out[sizeof words] = 0;
    size_t length = strlen(out);
    while (length && out[length - 1] == ' ') out[--length] = 0;
}

static void read_leaf7(cpu_features *f, uint64_t state) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    if ((state & STATE_AVX) == STATE_AVX) f->avx2 = b >> 5 & 1;
    if ((state & STATE_AVX512) == STATE_AVX512) {
        f->avx512f = b >> 16 & 1;
        f->avx512dq = b >> 17 & 1;
        f->avx512bw = b >> 30 & 1;
        f->avx512vl = b >> 31 & 1;
        f->avx512_vnni = c >> 11 & 1;
        f->avx512_fp16 = d >> 23 & 1;
    }
    if ((state & STATE_AMX) == STATE_AMX) {
        f->amx_bf16 = d >> 22 & 1;
        f->amx_tile = d >> 24 & 1;
        f->amx_int8 = d >> 25 & 1;
    }
    if (f->avx512f && a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) f->avx512_bf16 = a >> 5 & 1;
}

static cpu_features detect(void) {
    cpu_features f = {0};
    unsigned a, b, c, d;
    read_name(f.name);
    if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
    f.sse2 = d >> 26 & 1;
    f.sse4_1 = c >> 19 & 1;
    uint64_t state = (c >> 27 & 1) ? saved_state() : 0;
    if ((state & STATE_AVX) == STATE_AVX) {
        f.avx = c >> 28 & 1;
        f.fma = c >> 12 & 1;
        f.f16c = c >> 29 & 1;
    }
    read_leaf7(&f, state);
    f.amx_allowed = f.amx_tile && request_amx();
#ifdef CARINA_TILES_EMULATED /* tests/tile_emulation.h */
    f.amx_tile = f.amx_int8 = f.amx_bf16 = f.amx_allowed = f.avx512_bf16 && f.avx512_vnni;
#endif
    return f;
}
#else
static cpu_features detect(void) {
    cpu_features f = {0};
    return f;
}
#endif

/* Asked once: every op asks which kernels there are, and in a virtual machine the processor's answer takes its time. */
static cpu_features found;
static pthread_once_t found_once = PTHREAD_ONCE_INIT;

static void find(void) { found = detect(); }

cpu_features cpu_detect(void) {
    pthread_once(&found_once, find);
    return found;
}

cpu_level cpu_level_of(const cpu_features *f) {
    if (!(f->avx2 && f->fma && f->f16c)) return CPU_GENERIC;
    if (!(f->avx512f && f->avx512bw && f->avx512dq && f->avx512vl)) return CPU_AVX2;
    if (!(f->amx_tile && f->amx_bf16 && f->amx_int8 && f->amx_allowed)) return CPU_AVX512;
    return CPU_AMX;
}

cpu_level cpu_level_best(void) {
    cpu_features features = cpu_detect();
    return cpu_level_of(&features);
}

cpu_level cpu_level_effective(void) {
    cpu_level best = cpu_level_best(), cap;
    const char *wanted = getenv("CARINA_MAX_ISA");
    if (wanted && cpu_level_parse(wanted, &cap) && cap < best) return cap;
    return best;
}

#if defined(__x86_64__)
#define FLUSH_TO_ZERO      0x8000u
#define DENORMALS_ARE_ZERO 0x0040u

unsigned cpu_flush_denormals(void) {
    unsigned state = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(state | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    return state;
}

void cpu_restore_denormals(unsigned state) { __builtin_ia32_ldmxcsr(state); }
#else
unsigned cpu_flush_denormals(void) { return 0; }
void cpu_restore_denormals(unsigned state) { (void)state; }
#endif
