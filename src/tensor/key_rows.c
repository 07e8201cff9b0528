/* Which kernel of key_rows.h this processor gets. */
#include "tensor/key_rows.h"

#include "base/cpu.h"

const key_rows_kernel *key_rows_best(void) {
    switch (cpu_level_effective()) {
        case CPU_GENERIC: return &key_rows_generic;
        case CPU_AVX2: return &key_rows_avx2;
        default: return &key_rows_avx512;
    }
}
