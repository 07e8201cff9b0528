/* What this processor can do, and what Carina lets itself use of it.
 *
 * Kernels exist in levels, each holding the ones before it. The environment variable CARINA_MAX_ISA caps the level, so
 * that every level can be tested on one machine; cpu_level_effective() is what everything that chooses a kernel asks.
 */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>

typedef enum cpu_level {
    CPU_GENERIC, /* plain x86-64 (SSE2), or another architecture */
    CPU_AVX2,    /* AVX2, FMA, F16C */
    CPU_AVX512,  /* AVX-512 F, BW, DQ, VL */
    CPU_AMX,     /* AMX tiles with bf16 and int8, and the kernel's leave to use them */
} cpu_level;
#define CPU_LEVEL_COUNT 4

typedef struct cpu_features {
    char name[64]; /* the processor's own name, "" unknown */
    bool sse2, sse4_1, avx, avx2, fma, f16c;
    bool avx512f, avx512bw, avx512dq, avx512vl, avx512_vnni, avx512_bf16, avx512_fp16;
    bool amx_tile, amx_int8, amx_bf16;
    bool amx_allowed; /* the operating system lets this process use the tiles */
} cpu_features;

/* Asks the processor (and, for AMX, the kernel: the request holds for the whole process). Features that the operating
 * system does not save are reported as absent. */
cpu_features cpu_detect(void);

cpu_level cpu_level_of(const cpu_features *features); /* the highest level that all these features allow */
cpu_level cpu_level_best(void);                       /* what this machine can do */
cpu_level cpu_level_effective(void);                  /* the same, capped by CARINA_MAX_ISA */

const char *cpu_level_name(cpu_level level);            /* "generic", "avx2", "avx512", "amx" */
bool cpu_level_parse(const char *name, cpu_level *out); /* false: not one of the four names */

/* Denormal numbers (below 1e-38) cost a hundred times what others do and mean nothing here: the calling thread treats
 * them as zero from now on. Returns the state to hand to cpu_restore_denormals. No effect off x86. */
unsigned cpu_flush_denormals(void);
void cpu_restore_denormals(unsigned state);

#endif
