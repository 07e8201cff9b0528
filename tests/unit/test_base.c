/* base/: errors, cursor, random numbers, thread pool, files. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/threads.h"

static void error_messages_are_one_line(void **state) {
    (void)state;
    carina_error error;
    assert_int_equal(error_set(&error, CARINA_ERROR_FORMAT, "bad\nname \x1b[31m"), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "bad?name ?[31m");
    error_prefix(&error, "%s", "file.png");
    assert_string_equal(error.message, "file.png: bad?name ?[31m");

    char path[4000]; /* a long path does not push the reason out */
    memset(path, 'd', sizeof path - 1);
    path[sizeof path - 1] = 0;
    error_set(&error, CARINA_ERROR_IO, "%s: empty", path);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_string_equal(error.message + strlen(error.message) - 8, "d: empty");
}

static void cursor_never_passes_the_end(void **state) {
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5};
    cursor c = cursor_make(bytes, sizeof bytes);
    assert_int_equal(cursor_u16le(&c), 0x0201);
    assert_int_equal(cursor_u16be(&c), 0x0304);
    assert_false(c.failed);
    assert_int_equal(cursor_u32le(&c), 0);
    assert_true(c.failed);
    assert_int_equal(cursor_u8(&c), 0); /* failure stays */
    c = cursor_make(bytes, sizeof bytes);
    assert_null(cursor_take(&c, UINT64_MAX));
}

static void random_streams_repeat_and_differ(void **state) {
    (void)state;
    random_state a = random_stream(7, 3), b = random_stream(7, 3), c = random_stream(7, 4);
    uint64_t first = random_u64(&a);
    assert_true(first == random_u64(&b));
    assert_true(first != random_u64(&c));
    double sum = 0, squares = 0;
    for (int i = 0; i < 20000; i++) {
        double x = random_normal(&a);
        sum += x;
        squares += x * x;
    }
    assert_true(sum / 20000 > -0.03 && sum / 20000 < 0.03);
    assert_true(squares / 20000 > 0.96 && squares / 20000 < 1.04);
}

static void mark_shard(void *context, int shard, int worker) {
    (void)worker;
    ((int *)context)[shard] += shard + 1;
}

static void pool_runs_every_shard_once(void **state) {
    (void)state;
    thread_pool *pool;
    carina_error error;
    assert_int_equal(thread_pool_create(&pool, 3, &error), CARINA_OK);
    for (int round = 0; round < 200; round++) {
        int marks[37] = {0};
        thread_pool_run(pool, 37, mark_shard, marks);
        for (int i = 0; i < 37; i++) assert_int_equal(marks[i], i + 1);
    }
    thread_pool_free(pool);
}

static void note_blocked(void *context, int shard, int worker) {
    sigset_t blocked;
    (void)shard;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    if (worker) atomic_fetch_add((atomic_int *)context, sigismember(&blocked, SIGINT) ? 1 : 1000);
}

/* Libraries run with the stack pointer in the heap: no handler may use the stack that it finds. */
static void handlers_have_a_stack_of_their_own(void **state) {
    (void)state;
    struct sigaction before[2], now;
    stack_t stack;
    thread_pool *pool;
    carina_error error;
    atomic_int others = 0;
    sigaction(SIGINT, NULL, &before[0]);
    sigaction(SIGTERM, NULL, &before[1]);
    progress_catch_interrupts();
    for (int i = 0; i < 2; i++) {
        const int number = i ? SIGTERM : SIGINT;
        sigaction(number, NULL, &now);
        assert_true(now.sa_handler != SIG_DFL && (now.sa_flags & SA_ONSTACK));
        sigaction(number, &before[i], NULL);
    }
    assert_int_equal(sigaltstack(NULL, &stack), 0);
    assert_true(!(stack.ss_flags & SS_DISABLE) && stack.ss_size >= 32768);
    assert_int_equal(thread_pool_create(&pool, 2, &error), CARINA_OK);
    for (int round = 0; round < 1000 && others == 0; round++) thread_pool_run(pool, 64, note_blocked, &others);
    assert_true(others > 0 && others < 1000);
    thread_pool_free(pool);
}

/* A mapped page behind the new end would kill the process. */
static void open_bytes_survive_a_cut_file(void **state) {
    (void)state;
    const char *path = TEST_TMP "/cut_file";
    static uint8_t bytes[3 * 4096];
    carina_error error;
    file_map map;
    memset(bytes, 7, sizeof bytes);
    assert_int_equal(file_write(path, bytes, sizeof bytes, &error), CARINA_OK);
    assert_int_equal(file_map_open(&map, path, &error), CARINA_OK);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(map.size, sizeof bytes);
    assert_int_equal(memcmp(map.data, bytes, sizeof bytes), 0);
    file_map_close(&map);
    assert_null(map.data);

    /* What is too large to be copied is mapped. */
    assert_int_equal(truncate(path, (off_t)FILE_MAP_COPIED + 1), 0);
    assert_int_equal(file_map_open(&map, path, &error), CARINA_OK);
    assert_true(map.mapped && map.size == FILE_MAP_COPIED + 1);
    assert_int_equal(map.data[9], 7);
    assert_int_equal(map.data[FILE_MAP_COPIED], 0);
    file_map_close(&map);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(file_map_open(&map, "", &error), CARINA_ERROR_IO);
    assert_string_equal(error.message, "the name of a file is empty");
}

static void the_start_of_a_file(void **state) {
    (void)state;
    const char *path = TEST_TMP "/start_of_file";
    carina_error error;
    uint8_t *bytes;
    uint64_t size;
    assert_int_equal(file_write(path, "0123456789", 10, &error), CARINA_OK);
    assert_int_equal(file_read_start(path, 4, &bytes, &size, &error), CARINA_OK);
    assert_int_equal(size, 4);
    assert_string_equal((char *)bytes, "0123");
    free(bytes);
    assert_int_equal(file_read_start(path, 11, &bytes, &size, &error), CARINA_OK);
    assert_int_equal(size, 10);
    free(bytes);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(file_read_start(path, 11, &bytes, &size, &error), CARINA_ERROR_IO);
}

static void writer_replaces_only_on_commit(void **state) {
    (void)state;
    const char *path = TEST_TMP "/writer.txt";
    carina_error error;
    assert_int_equal(file_write(path, "old", 3, &error), CARINA_OK);
    file_writer *writer;
    assert_int_equal(file_writer_open(&writer, path, &error), CARINA_OK);
    fputs("half", file_writer_stream(writer));
    file_writer_abort(writer);
    uint8_t *bytes;
    uint64_t size;
    assert_int_equal(file_read(path, 100, &bytes, &size, &error), CARINA_OK);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "old", 4);
    free(bytes);
    assert_int_equal(file_read(path, 2, &bytes, &size, &error), CARINA_ERROR_LIMIT);
    assert_int_equal(file_read("/dev/zero", 2, &bytes, &size, &error), CARINA_ERROR_IO);
}

/* A device, FIFO or folder would be replaced by a file; a link is followed. */
static void writer_replaces_files_alone(void **state) {
    (void)state;
    carina_error error;
    struct stat info;
    file_writer *writer;
    const char *pipe_path = TEST_TMP "/writer_pipe", *link_path = TEST_TMP "/writer_link";
    unlink(pipe_path);
    unlink(link_path);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(file_write(pipe_path, "x", 1, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "writer_pipe: cannot write: it is not a regular file"));
    assert_true(stat(pipe_path, &info) == 0 && S_ISFIFO(info.st_mode));
    assert_int_equal(file_writer_open(&writer, TEST_TMP, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "it is a folder"));
    assert_int_equal(file_write("", "x", 1, &error), CARINA_ERROR_IO);
    assert_string_equal(error.message, "the name of a file is empty");

    assert_int_equal(file_write(TEST_TMP "/writer_target", "old", 3, &error), CARINA_OK);
    assert_int_equal(symlink("writer_target", link_path), 0);
    assert_int_equal(file_write(link_path, "new!", 4, &error), CARINA_OK);
    assert_true(lstat(link_path, &info) == 0 && S_ISLNK(info.st_mode));
    assert_true(stat(TEST_TMP "/writer_target", &info) == 0 && info.st_size == 4);
    assert_int_equal(unlink(TEST_TMP "/writer_target"), 0);
    assert_int_equal(file_write(link_path, "x", 1, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "writer_link: cannot write through the link"));
    unlink(pipe_path);
    unlink(link_path);

    assert_int_equal(file_write(TEST_TMP "/writer_file", "x", 1, &error), CARINA_OK);
    assert_int_equal(file_make_folders(TEST_TMP "/writer_file/x", &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "writer_file: a file, where a folder should be"));
}

static bool has_temporary_files(const char *folder) {
    bool any = false;
    DIR *all = opendir(folder);
    for (const struct dirent *entry; all && (entry = readdir(all));) any |= strstr(entry->d_name, ".tmp-") != NULL;
    if (all) closedir(all);
    return any;
}

/* Found out beforehand, and nothing is made or left. */
static void what_can_be_written(void **state) {
    (void)state;
    carina_error error;
    char folder[] = TEST_TMP "/writable-XXXXXX", path[sizeof folder + 40];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/new", folder);
    assert_ok(file_check_writable(path, &error));
    assert_false(file_exists(path) || has_temporary_files(folder));
    assert_int_equal(file_check_writable(folder, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "it is a folder"));
    snprintf(path, sizeof path, "%s/none/new", folder);
    assert_int_equal(file_check_writable(path, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "none/new: cannot write: No such file"));
    assert_ok(file_check_folder(path, &error));
    assert_ok(file_check_folder(folder, &error));
    assert_ok(file_check_folder("not/there/yet", &error));
    assert_int_equal(file_check_folder("", &error), CARINA_ERROR_IO);
    snprintf(path, sizeof path, "%s/file", folder);
    assert_ok(file_write(path, "x", 1, &error));
    assert_int_equal(file_check_folder(path, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "a file, where a folder should be"));
    snprintf(path, sizeof path, "%s/file/below", folder);
    assert_int_equal(file_check_folder(path, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "Not a directory"));
    snprintf(path, sizeof path, "%s/file", folder);
    assert_true(file_is_same(path, path));
    assert_false(file_is_same(path, folder) || file_is_same(path, "/nowhere") || file_is_same("/nowhere", "/nowhere"));
    if (geteuid() != 0) {
        assert_int_equal(chmod(folder, 0500), 0);
        assert_int_equal(file_check_folder(folder, &error), CARINA_ERROR_IO);
        assert_int_equal(chmod(folder, 0700), 0);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* Pages that are forgotten come back from a mapped file; those of one that was copied are not touched. */
static void forgotten_pages_come_back(void **state) {
    (void)state;
    char path[400];
    carina_error error;
    snprintf(path, sizeof path, "%s/forgotten-%ld", TEST_TMP, (long)getpid());
    for (int large = 0; large < 2; large++) {
        const off_t size = large ? (off_t)FILE_MAP_COPIED + 40000 : 100000;
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        for (off_t at = 0; at < 40000; at++) fputc((int)(at % 251), f);
        fflush(f);
        assert_int_equal(ftruncate(fileno(f), size), 0); /* the rest is a hole */
        fclose(f);
        file_map map;
        assert_int_equal(file_map_open(&map, path, &error), CARINA_OK);
        assert_true(map.mapped == (large == 1));
        for (int round = 0; round < 2; round++) {
            for (off_t at = 0; at < 40000; at++) assert_int_equal(map.data[at], at % 251);
            file_map_forget(map.data + 100, 39000);
            file_map_forget(map.data, map.size);
            file_map_forget(map.data, 10); /* less than a page */
        }
        file_map_close(&map);
        file_map_forget(NULL, 0);
    }
    assert_int_equal(remove(path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forgotten_pages_come_back),
        cmocka_unit_test(error_messages_are_one_line),
        cmocka_unit_test(cursor_never_passes_the_end),
        cmocka_unit_test(random_streams_repeat_and_differ),
        cmocka_unit_test(pool_runs_every_shard_once),
        cmocka_unit_test(handlers_have_a_stack_of_their_own),
        cmocka_unit_test(open_bytes_survive_a_cut_file),
        cmocka_unit_test(the_start_of_a_file),
        cmocka_unit_test(writer_replaces_only_on_commit),
        cmocka_unit_test(writer_replaces_files_alone),
        cmocka_unit_test(what_can_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
