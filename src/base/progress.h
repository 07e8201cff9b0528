/* Progress on standard error and the log sink. Only programs turn these on: the library itself stays silent.
 *
 * On a terminal a progress line is redrawn in place at most ten times a second; otherwise one plain line is printed
 * every ten seconds. Interruption: progress_interrupted() becomes true after SIGINT, SIGTERM or SIGHUP (unless the
 * caller had it ignored, as nohup does) once progress_catch_interrupts() was called; long work polls it, saves, and
 * returns CARINA_ERROR_CANCELLED. A second signal ends the program where it stands,
 * but SIGHUP, which a terminal that goes away sends twice.
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
/* The same for programs in which SIGINT ends what is being done, not themselves: it may be repeated. */
void progress_catch_requests(void);
bool progress_interrupted(void);
/* Then forgets it. False, and it stays, after SIGTERM and SIGHUP. */
bool progress_forget_interrupt(void);

/* Seconds on the monotonic clock. */
double clock_seconds(void);

#endif
