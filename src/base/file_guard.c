/* What is done when a mapped file shrinks; see file_guard.h.
 *
 * The handler may only do what is safe in the midst of anything: it reads the tables, writes, unlinks and exits. So
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

#define MAPS    64 /* a large model has a dozen shards */
#define WRITERS 8

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

static void end_program(const char *path) {
    while (atomic_flag_test_and_set(&ending)) pause(); /* another thread ends it already */
    for (int i = 0; i < WRITERS; i++)
        if (atomic_load(&writers[i].used)) unlink(writers[i].path);
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

void file_guard_install(void) {
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    installed = sigaction(SIGBUS, &action, NULL) == 0;
}

/* ---- the tables ---- */

void file_guard_map(const char *path, const void *data, uint64_t size) {
    if (!installed) return;
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
    for (int i = 0; i < MAPS && installed; i++)
        if (atomic_load(&maps[i].used) && maps[i].data == data) atomic_store(&maps[i].used, false);
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
