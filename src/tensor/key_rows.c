/* Which kernel of key_rows.h this processor gets. */
#include "tensor/key_rows.h"

#include "base/cpu.h"

int key_rows_all(const key_rows_kernel *out[KEY_ROWS_MOST]) {
    int count = 0;
    cpu_level level = cpu_level_effective();
    out[count++] = &key_rows_generic;
    if (level >= CPU_AVX2) out[count++] = &key_rows_avx2;
    if (level >= CPU_AVX512) out[count++] = &key_rows_avx512;
    if (level >= CPU_AVX512 && cpu_detect().avx512_bf16) out[count++] = &key_rows_avx512_bf16;
    return count;
}

const key_rows_kernel *key_rows_best(void) {
    const key_rows_kernel *all[KEY_ROWS_MOST];
    return all[key_rows_all(all) - 1];
}
