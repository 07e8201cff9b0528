/* What is done when a mapped file shrinks or the program is ended; see file_guard.h.
 *
 * The handlers may only do what is safe in the midst of anything: they read the tables, write, unlink and exit. So
 * the tables have fixed places, names are copied into them, and a place counts from the moment that `used` says so. */
#include "base/file_guard.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/signal_stack.h"

#define MAPS    64 /* a large model has a dozen shards */
#define WRITERS 32 /* a phantom set's tables, and a file for each of its threads */

static struct {
    atomic_bool used;
    const uint8_t *data;
    uint64_t size;
    char path[PATH_MAX];
} maps[MAPS];

static struct {
    atomic_bool used;
    char path[PATH_MAX];
} writers[WRITERS];

static bool installed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_flag ending = ATOMIC_FLAG_INIT;

/* ---- the signal ---- */

static void say(const char *text) {
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; /* there is nobody left to tell */
}

static void remove_unfinished(void) {
    while (atomic_flag_test_and_set(&ending)) pause(); /* another thread ends the program already */
    for (int i = 0; i < WRITERS; i++)
        if (atomic_load(&writers[i].used)) unlink(writers[i].path);
}

static void end_program(const char *path) {
    remove_unfinished();
    say("carina: ");
    say(path);
    say(": became shorter while it was read; leave it alone and try again\n");
    _exit(1);
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    (void)context;
    const uint8_t *address = info->si_addr;
    for (int i = 0; i < MAPS; i++)
        if (atomic_load(&maps[i].used) && address >= maps[i].data && address < maps[i].data + maps[i].size)
            end_program(maps[i].path);
    signal(number, SIG_DFL); /* not of a file: what it would have done */
    raise(number);
}

void file_guard_end_by(int number) {
    remove_unfinished();
    signal(number, SIG_DFL);
    raise(number);
}

/* What the caller had ignored (nohup, a shell's background command) stays ignored. */
static void guard_against(int number, int flags) {
    struct sigaction before, action = {.sa_handler = file_guard_end_by, .sa_flags = flags};
    sigfillset(&action.sa_mask); /* one ends the program */
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_DFL) sigaction(number, &action, NULL);
}

void file_guard_install(void) {
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    installed = sigaction(SIGBUS, &action, NULL) == 0;
    const int ends[] = {SIGINT, SIGTERM, SIGHUP}, flags = signal_stack_install() ? SA_ONSTACK : 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) guard_against(ends[i], flags);
}

/* ---- the tables ---- */

void file_guard_map(const char *path, const void *data, uint64_t size) {
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < MAPS && atomic_load(&maps[i].used)) i++;
    if (i < MAPS) {
        maps[i].data = data;
        maps[i].size = size;
        snprintf(maps[i].path, sizeof maps[i].path, "%s", path);
        for (char *c = maps[i].path; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127) *c = '?'; /* as in other messages */
        atomic_store(&maps[i].used, true);
    }
    pthread_mutex_unlock(&lock);
}

void file_guard_unmap(const void *data) {
    for (int i = 0; i < MAPS; i++)
        if (atomic_load(&maps[i].used) && maps[i].data == data) atomic_store(&maps[i].used, false);
}

bool file_guard_holds(const void *begin, uint64_t size) {
    const uint8_t *from = begin;
    for (int i = 0; i < MAPS; i++)
        if (atomic_load(&maps[i].used) && from >= maps[i].data && from + size <= maps[i].data + maps[i].size)
            return true;
    return false;
}

void file_guard_write(const char *temporary) {
    if (!installed || strlen(temporary) >= PATH_MAX) return;
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < WRITERS && atomic_load(&writers[i].used)) i++;
    if (i < WRITERS) {
        snprintf(writers[i].path, sizeof writers[i].path, "%s", temporary);
        atomic_store(&writers[i].used, true);
    }
    pthread_mutex_unlock(&lock);
}

void file_guard_written(const char *temporary) {
    for (int i = 0; i < WRITERS && installed; i++)
        if (atomic_load(&writers[i].used) && strcmp(writers[i].path, temporary) == 0)
            atomic_store(&writers[i].used, false);
}
