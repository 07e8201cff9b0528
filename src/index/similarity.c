/* Which similarity kernels this processor gets; see similarity.h. */
#include "index/similarity.h"

#include "base/cpu.h"

int similarity_kernels_all(const similarity_kernels *out[3]) {
    int count = 0;
    cpu_level level = cpu_level_effective();
    out[count++] = &similarity_generic_table;
    if (level >= CPU_AVX2) out[count++] = &similarity_avx2_table;
    if (level >= CPU_AVX512) out[count++] = &similarity_avx512_table;
    return count;
}

const similarity_kernels *similarity_kernels_best(void) {
    const similarity_kernels *all[3];
    return all[similarity_kernels_all(all) - 1];
}
