/* Progress on standard error and the log sink. Only programs turn these on: the library itself stays silent.
 *
 * On a terminal a progress line is redrawn in place at most ten times a second; otherwise one plain line is printed
 * every ten seconds. Interruption: progress_interrupted() becomes true after SIGINT or SIGTERM once
 * progress_catch_interrupts() was called; long work polls it, saves, and returns CARINA_ERROR_CANCELLED.
 */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress progress;

/* NULL stands for "no progress wanted" everywhere below. unit: what is counted, plural ("films"). begun: how
 * many an interrupted run had done; speed and time left count from there. */
progress *progress_start(const char *title, const char *unit, uint64_t begun, uint64_t total);
void progress_skip(progress *p, uint64_t count); /* so many more had been done before: found, not made now */
void progress_update(progress *p, uint64_t done,
                     const char *note); /* note may be NULL: extra text such as "loss 0.31" */
void progress_finish(progress *p);      /* final line, frees p; accepts NULL */

void progress_catch_interrupts(void);
bool progress_interrupted(void);
/* For programs in which SIGINT ends what is being done, not themselves: forgets it. False, and it stays, after SIGTERM.
 */
bool progress_forget_interrupt(void);

/* Seconds on the monotonic clock. */
double clock_seconds(void);

#endif
