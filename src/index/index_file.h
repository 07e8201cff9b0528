/* The sentence database as a file: one SQLite database (docs/sentence-database.md has the tables).
 *
 * Written whole or not at all (a temporary file, synced, renamed). Read whole or not at all: opened read-only, in one
 * transaction, and held against a checksum for every region; then closed, so that the file is never kept open.
 * Each its own error: not a database, another kind of database, a newer or an older schema, tables that are not ours,
 * damaged, locked by another program, made with another model, text encoder, width or region set.
 */
#ifndef INDEX_INDEX_FILE_H
#define INDEX_INDEX_FILE_H

#include "index/sentence_index.h"

#define INDEX_FILE_SCHEMA      1          /* PRAGMA user_version */
#define INDEX_FILE_APPLICATION 0x43616953 /* PRAGMA application_id: "CaiS" */

carina_status index_file_write(const char *path, const sentence_index *index, carina_error *error);

/* May what lies at `path` be replaced? Not while another program writes to it. What a program that was stopped left
 * beside it (-journal, -wal) is settled by SQLite, or else an error: it would be laid over the new file. Asked by
 * index_file_write itself, and by callers with long work before it. */
carina_status index_file_check_target(const char *path, carina_error *error);

/* use may be NULL: whatever the file holds. The caller owns *out. */
carina_status index_file_read(sentence_index **out, const char *path, const sentence_index_use *use,
                              carina_error *error);

/* The same from bytes in memory (copied); name is used in messages. */
carina_status index_file_parse(sentence_index **out, const char *name, const void *data, uint64_t size,
                               const sentence_index_use *use, carina_error *error);

/* The library's version, "3.40.1". */
const char *index_file_library(void);

#endif
