/* What a program that is bound by arithmetic should be held against: how fast this machine multiplies and adds in
 * registers, where no weight has to come from anywhere. Measured anew at each call, on all threads: other programs
 * share the processors. memory_speed.h is the same for memory.
 *
 * For each sort of weights the widest instruction that the processor has, as capped by CARINA_MAX_ISA:
 *
 *     REGISTER_INT8   tdpbusd (AMX), vpdpbusd (AVX-512 VNNI), vpmaddubsw and vpaddw (AVX2), pmaddwd and paddd
 *     REGISTER_BF16   tdpbf16ps (AMX), vdpbf16ps (AVX-512 BF16), vfmadd231ps (512 bits, 256 bits), mulps and addps
 *
 * It is the limit of any program; a product also loads, unpacks and scales, and may keep more bits than it must.
 */
#ifndef TENSOR_REGISTER_SPEED_H
#define TENSOR_REGISTER_SPEED_H

#include <stdint.h>

#include "base/threads.h"

typedef enum register_kind { REGISTER_INT8, REGISTER_BF16 } register_kind;
#define REGISTER_KINDS     2
#define REGISTER_MOST      5 /* loops of a kind */
#define REGISTER_MAX_VALUE 15

typedef struct register_loop {
    const char *instruction;
    int64_t sums;   /* multiply-adds in a round */
    int64_t rounds; /* short, so that some passes meet with nothing else on the processors */
    /* The sum of rounds x sums products a b, exact where each lane's is below 2^24: 0 <= a, b <= 15. */
    double (*run)(int64_t rounds, int a, int b);
} register_loop;

/* All that this processor can run, best last. Returns how many, 1 at least. */
int register_loops_all(register_kind kind, const register_loop *out[REGISTER_MOST]);
const register_loop *register_loop_best(register_kind kind);

/* Runs the loop on all threads of the pool once and returns how many operations these were: a multiplication and an
 * addition are two. For measuring by another clock than register_speed's. */
double register_loop_run(const register_loop *loop, thread_pool *pool);

/* Operations a second; the fastest of `runs` passes. */
double register_speed(const register_loop *loop, thread_pool *pool, int runs);

#endif
