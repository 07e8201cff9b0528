/* A mapped file that shrinks while it is read ends the program with a message, and nothing that ends the program leaves
 * half a file; each case in a process of its own. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/file_guard.h"
#include "base/progress.h"

#define LARGE ((off_t)FILE_MAP_COPIED + 8192)

static char folder[300], large[400], out[400];

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/guard-XXXXXX", TEST_TMP);
    if (!mkdtemp(folder)) return -1;
    snprintf(large, sizeof large, "%s/la\nrge", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    remove(large);
    return rmdir(folder);
}

/* What a child does; a status that no check expects where a step before fails. */
static void shrink_while_reading(void) {
    file_map map;
    file_writer *unfinished, *aborted;
    file_guard_install();
    if (file_writer_open(&aborted, out, NULL) != CARINA_OK) _exit(90);
    file_writer_abort(aborted);
    if (file_writer_open(&unfinished, out, NULL) != CARINA_OK) _exit(91);
    if (file_map_open(&map, large, NULL) != CARINA_OK || !map.mapped || truncate(large, 0) != 0) _exit(92);
    _exit(90 + ((const volatile uint8_t *)map.data)[map.size / 2]);
}

/* A page of a file that the guard does not know any more. */
static void read_what_is_closed(void) {
    file_map map;
    FILE *f = fopen(large, "r");
    file_guard_install();
    if (!f || file_map_open(&map, large, NULL) != CARINA_OK) _exit(90);
    file_guard_unmap(map.data);
    if (truncate(large, 0) != 0) _exit(91);
    _exit(90 + ((const volatile uint8_t *)map.data)[map.size / 2]);
}

static int ending; /* the signal that a case is about */

static void end_while_writing(void) {
    file_writer *unfinished;
    file_guard_install();
    if (file_writer_open(&unfinished, out, NULL) != CARINA_OK) _exit(90);
    raise(ending);
    _exit(91);
}

/* The first signal asks for an end, the second one does not wait for it. */
static void end_twice_while_writing(void) {
    file_writer *unfinished;
    file_guard_install();
    progress_catch_interrupts();
    if (file_writer_open(&unfinished, out, NULL) != CARINA_OK) _exit(90);
    raise(ending);
    if (!progress_interrupted()) _exit(91);
    raise(ending);
    _exit(92);
}

static void end_while_ignored(void) {
    file_writer *writer;
    signal(ending, SIG_IGN);
    file_guard_install();
    if (file_writer_open(&writer, out, NULL) != CARINA_OK) _exit(90);
    raise(ending);
    _exit(file_writer_commit(writer, NULL) == CARINA_OK && remove(out) == 0 ? 0 : 91);
}

/* Runs it in a child; returns how that ended, and what it said. */
static int run(void (*work)(void), char said[600]) {
    int ends[2], status;
    FILE *f = fopen(large, "w");
    assert_true(f && ftruncate(fileno(f), LARGE) == 0 && fclose(f) == 0 && pipe(ends) == 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDERR_FILENO);
        work();
    }
    close(ends[1]);
    size_t size = 0;
    for (ssize_t got; (got = read(ends[0], said + size, 599 - size)) > 0;) size += (size_t)got;
    said[size] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_file_that_shrinks_is_named(void **state) {
    (void)state;
    char said[600], wanted[600];
    int status = run(shrink_while_reading, said);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1) fail_msg("ended with %x: %s", (unsigned)status, said);
    snprintf(wanted, sizeof wanted,
             "carina: %s/la?rge: became shorter while it was read; leave it alone and try again\n", folder);
    assert_string_equal(said, wanted);
    assert_true(remove(large) == 0 && rmdir(folder) == 0 && mkdir(folder, 0700) == 0); /* no temporary file is left */
}

static void other_faults_do_what_they_did(void **state) {
    (void)state;
    char said[600];
    int status = run(read_what_is_closed, said);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGBUS) fail_msg("ended with %x: %s", (unsigned)status, said);
}

static void no_signal_leaves_half_a_file(void **state) {
    (void)state;
    static void (*const cases[])(void) = {end_while_writing, end_twice_while_writing};
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    char said[600];
    for (int i = 0; i < 5; i++) { /* nobody catches the third one */
        ending = numbers[i / 2];
        int status = run(cases[i % 2], said);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != ending)
            fail_msg("signal %d, case %d: ended with %x: %s", ending, i % 2, (unsigned)status, said);
        assert_true(remove(large) == 0 && rmdir(folder) == 0 && mkdir(folder, 0700) == 0);
    }
    ending = SIGHUP;
    assert_int_equal(run(end_while_ignored, said), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_shrinks_is_named),
        cmocka_unit_test(other_faults_do_what_they_did),
        cmocka_unit_test(no_signal_leaves_half_a_file),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
