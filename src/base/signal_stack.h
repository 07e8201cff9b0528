/* A stack of their own for signal handlers.
 *
 * oneDNN's products of matrices run with the stack pointer in their own workspace: a handler's frame, kilobytes of
 * registers, would be pushed over the heap below it. So handlers of signals that come at any moment ask for this stack
 * (SA_ONSTACK), and other threads than the one that called this get no such signals (thread_start).
 */
#ifndef BASE_SIGNAL_STACK_H
#define BASE_SIGNAL_STACK_H

#include <stdbool.h>

/* For the calling thread, which should be main's; again does no harm. False: there is none, handle without SA_ONSTACK.
 */
bool signal_stack_install(void);

#endif
