/* Files: read whole (bounded), map, and replace safely.
 *
 * Nothing that Carina writes is ever half there: a file_writer writes to "PATH.tmp-PID" beside the target, and
 * file_writer_commit flushes, syncs the file, renames it over the target and syncs the folder. Anything that goes
 * wrong before leaves the old file untouched and removes the temporary one. A link stays a link: the file behind it is
 * replaced. Devices, FIFOs and folders are refused.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* Reads a whole regular file of at most `limit` bytes. *out is malloc'ed, owned by the caller, with a NUL after the
 * last byte (not counted in *size). Folders, devices and FIFOs are refused. */
carina_status file_read(const char *path, uint64_t limit, uint8_t **out, uint64_t *size, carina_error *error);

/* The same for the first bytes of a file of any length: min(most, the file's length) of them. */
carina_status file_read_start(const char *path, uint64_t most, uint8_t **out, uint64_t *size, carina_error *error);

/* A file's bytes, read-only, of the length that it had when it was opened. Up to FILE_MAP_COPIED bytes are read into
 * memory, so that whoever cuts or rewrites the file meanwhile changes nothing here (a mapped page behind the new end
 * would be SIGBUS). Only longer ones, which are checkpoints of foreign models, are mapped: they must be left alone
 * while they are read; `carina` ends with a message where they are not (base/file_guard.h). */
#define FILE_MAP_COPIED (UINT64_C(64) << 20)

typedef struct file_map {
    const uint8_t *data; /* NULL when the file is empty */
    uint64_t size;
    bool mapped; /* else allocated */
} file_map;

carina_status file_map_open(file_map *out, const char *path, carina_error *error);
void file_map_close(file_map *map);

/* Whole pages between `begin` and its end need not stay in memory: they were read, and come back from the file when
 * they are again. Loaders that turn a large file into something else hold it only once that way. Does nothing where the
 * bytes are no mapping's. */
void file_map_forget(const void *begin, uint64_t size);

typedef struct file_writer file_writer;

carina_status file_writer_open(file_writer **out, const char *path, carina_error *error);
FILE *file_writer_stream(file_writer *writer);                              /* borrowed; errors are found by commit */
carina_status file_writer_commit(file_writer *writer, carina_error *error); /* frees writer, whatever the result */
/* The temporary file's path, borrowed: for a library that writes to files itself, instead of to the stream. */
const char *file_writer_temporary(const file_writer *writer);
void file_writer_abort(file_writer *writer); /* removes the temporary file, frees writer; accepts NULL */

/* Removes the temporary files that killed processes left in a folder; for who alone works there (folder_lock.h). Those
 * of processes that live stay. */
void file_remove_unfinished(const char *folder);

/* Whether a file could be written there now: opens a writer and aborts it. For work that takes hours and writes last.
 */
carina_status file_check_writable(const char *path, carina_error *error);
/* Whether files could be written into a folder that is there or still to be made; makes nothing. */
carina_status file_check_folder(const char *path, carina_error *error);

/* A whole file of bytes already in memory. */
carina_status file_write(const char *path, const void *data, uint64_t size, carina_error *error);

carina_status file_make_folders(const char *path, carina_error *error); /* mkdir -p */
bool file_exists(const char *path);
bool file_is_folder(const char *path);
bool file_is_same(const char *a, const char *b); /* both are there, and are one file */

/* Joins with one '/'; the result is malloc'ed, NULL when out of memory. */
char *path_join(const char *folder, const char *name);
const char *path_name(const char *path); /* the part after the last '/', borrowed */

#endif
