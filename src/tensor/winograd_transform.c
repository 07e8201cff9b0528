/* Which compilation of the transforms this processor gets; see winograd_transform.h. */
#include "tensor/winograd_transform.h"

#include "base/cpu.h"

const winograd_transform *winograd_transform_best(int tile) {
    switch (cpu_level_effective()) {
        case CPU_GENERIC: return tile == 2 ? &winograd_transform_2_generic : &winograd_transform_4_generic;
        case CPU_AVX2: return tile == 2 ? &winograd_transform_2_avx2 : &winograd_transform_4_avx2;
        default: return tile == 2 ? &winograd_transform_2_avx512 : &winograd_transform_4_avx512;
    }
}
