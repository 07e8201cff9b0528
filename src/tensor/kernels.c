/* Which kernel table this processor gets; see kernels.h. */
#include "tensor/kernels.h"

#include "base/cpu.h"

int kernels_all(const kernels *out[4]) {
    int count = 0;
    cpu_level level = cpu_level_effective();
    out[count++] = &kernels_generic_table;
    if (level >= CPU_AVX2) out[count++] = &kernels_avx2_table;
    if (level >= CPU_AVX512) out[count++] = &kernels_avx512_table;
    return count;
}

const kernels *kernels_best(void) {
    const kernels *all[4];
    return all[kernels_all(all) - 1];
}
