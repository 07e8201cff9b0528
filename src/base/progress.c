/* One progress line on standard error, and the interrupt flag; see progress.h. */
#include "base/progress.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file_guard.h"
#include "base/signal_stack.h"

struct progress {
    char title[64];
    char unit[32];
    uint64_t total;
    uint64_t done, begun; /* begun: what was done already when this run of the program started */
    bool terminal;
    double started;
    double shown;
    char note[128];
};

static volatile sig_atomic_t asked, ending; /* SIGINT has come; SIGTERM or SIGHUP has */
static volatile sig_atomic_t requests;      /* SIGINT asks the program itself for nothing, and may be repeated */

/* A second request ends the program where it stands: the user means it. A terminal that goes away says so twice. */
static void on_interrupt(int number) {
    bool again = ending || (asked && !requests);
    if (again && number != SIGHUP && !(requests && number == SIGINT)) file_guard_end_by(number);
    if (number == SIGINT)
        asked = 1;
    else
        ending = 1;
}

void progress_catch_interrupts(void) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = signal_stack_install() ? SA_ONSTACK : 0}, before;
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 3; i++) sigaddset(&action.sa_mask, numbers[i]);
    for (int i = 0; i < 3; i++) {
        bool ignored = sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN;
        if (numbers[i] != SIGHUP || !ignored) sigaction(numbers[i], &action, NULL);
    }
}

void progress_catch_requests(void) {
    requests = 1;
    progress_catch_interrupts();
}

bool progress_interrupted(void) { return asked || ending; }

bool progress_forget_interrupt(void) {
    asked = 0;
    return !ending;
}

double clock_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

progress *progress_start(const char *title, const char *unit, uint64_t begun, uint64_t total) {
    progress *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    snprintf(p->title, sizeof p->title, "%s", title);
    snprintf(p->unit, sizeof p->unit, "%s", unit);
    p->total = total;
    p->begun = p->done = begun;
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->started = p->shown = clock_seconds();
    return p;
}

static void format_duration(char *out, size_t size, double seconds) {
    long total = (long)(seconds + 0.5);
    if (total >= 3600)
        snprintf(out, size, "%ldh%02ldm", total / 3600, total / 60 % 60);
    else if (total >= 60)
        snprintf(out, size, "%ldm%02lds", total / 60, total % 60);
    else
        snprintf(out, size, "%lds", total);
}

static void show(const progress *p, double now, const char *end) {
    double elapsed = now - p->started;
    double rate = elapsed > 0 && p->done > p->begun ? (double)(p->done - p->begun) / elapsed : 0;
    char left[32] = "?", bar[25];
    if (rate > 0 && p->total >= p->done) format_duration(left, sizeof left, (double)(p->total - p->done) / rate);
    size_t filled = p->total ? (size_t)((double)(sizeof bar - 1) * (double)p->done / (double)p->total) : 0;
    if (filled > sizeof bar - 1) filled = sizeof bar - 1;
    memset(bar, ' ', sizeof bar - 1);
    memset(bar, '=', filled);
    bar[sizeof bar - 1] = 0;
    fprintf(stderr, "%s%s [%s] %llu/%llu  %.3g %s/s  %s left%s%s%s", p->terminal ? "\r\033[K" : "", p->title, bar,
            (unsigned long long)p->done, (unsigned long long)p->total, rate, p->unit, left, p->note[0] ? "  " : "",
            p->note, end);
    fflush(stderr);
}

void progress_skip(progress *p, uint64_t count) {
    if (p) p->begun += count;
}

void progress_update(progress *p, uint64_t done, const char *note) {
    if (!p) return;
    p->done = done;
    if (note) snprintf(p->note, sizeof p->note, "%s", note);
    double now = clock_seconds();
    if (now - p->shown < (p->terminal ? 0.1 : 10.0)) return;
    p->shown = now;
    show(p, now, p->terminal ? "" : "\n");
}

void progress_finish(progress *p) {
    if (!p) return;
    double now = clock_seconds();
    if (p->terminal || now - p->started >= 10.0) show(p, now, "\n");
    free(p);
}
