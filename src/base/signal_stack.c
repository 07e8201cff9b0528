/* See signal_stack.h. */
#include "base/signal_stack.h"

#include <signal.h>
#include <stddef.h>

#define STACK_BYTES 65536 /* AVX-512 and AMX registers take 11,000 bytes */

static char stack_bytes[STACK_BYTES];

bool signal_stack_install(void) {
    const stack_t stack = {.ss_sp = stack_bytes, .ss_size = sizeof stack_bytes};
    return sigaltstack(&stack, NULL) == 0;
}
