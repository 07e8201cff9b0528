/* Sentence databases in SQLite files; see index_file.h. The only file that knows SQLite. */
#include "index/index_file.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/fingerprint.h"
#include "base/number.h"

#define CHUNK_BYTES  (1u << 20) /* of embeddings in one row */
#define WAIT_SECONDS 1          /* for another program's lock */

/* A file's tables must be exactly these: nothing else is read, so nothing else (views, triggers) can run. */
static const struct table {
    const char *name, *sql;
} tables[] = {
    {"embedding", "CREATE TABLE embedding (first INTEGER PRIMARY KEY, rows INTEGER NOT NULL, vectors BLOB NOT NULL)"},
    {"property", "CREATE TABLE property (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"},
    {"region",
     "CREATE TABLE region (region INTEGER PRIMARY KEY, name TEXT NOT NULL, display TEXT NOT NULL, sentences INTEGER "
     "NOT "
     "NULL, checksum TEXT NOT NULL)"},
    {"sentence",
     "CREATE TABLE sentence (id INTEGER PRIMARY KEY, region INTEGER NOT NULL, text TEXT NOT NULL, seen INTEGER NOT "
     "NULL, "
     "place TEXT NOT NULL)"},
};
#define TABLE_COUNT (int)(sizeof tables / sizeof *tables)

/* The properties that are the fields of sentence_index_info, in its order. */
static const char *const info_names[SENTENCE_INDEX_INFO_FIELDS] = {
    "model", "model_fingerprint", "text_encoder", "text_encoder_fingerprint", "region_set", "source", "split",
    "films", "data_fingerprint",  "made_by"};

#define INFO_FILMS 7

typedef struct info_fields {
    const char *text[SENTENCE_INDEX_INFO_FIELDS];
} info_fields;

static info_fields fields_of(const sentence_index_info *info) {
    return (info_fields){{info->model, info->model_fingerprint, info->encoder, info->encoder_fingerprint,
                          info->region_set, info->source, info->split, info->films, info->data_fingerprint,
                          info->made_by}};
}

static sentence_index_info info_of(const info_fields *f) {
    return (sentence_index_info){f->text[0], f->text[1], f->text[2], f->text[3], f->text[4],
                                 f->text[5], f->text[6], f->text[7], f->text[8], f->text[9]};
}

const char *index_file_library(void) { return sqlite3_libversion(); }

/* ---- errors ---- */

static carina_status damaged(carina_error *error, const char *path, const char *why) {
    return error_set(error, CARINA_ERROR_FORMAT,
                     "%s: damaged sentence database: %s; build it again (carina index build)", path, why);
}

/* A failed SQLite call as one of ours. */
static carina_status sqlite_fail(sqlite3 *db, const char *path, carina_error *error) {
    const char *text = sqlite3_errmsg(db);
    switch (sqlite3_errcode(db) & 0xff) {
        case SQLITE_NOTADB:
            return error_set(error, CARINA_ERROR_FORMAT, "%s: not a sentence database (not a SQLite file)", path);
        case SQLITE_CORRUPT:
        case SQLITE_SCHEMA:
        case SQLITE_ERROR: return damaged(error, path, text);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return error_set(error, CARINA_ERROR_IO,
                             "%s: locked by another program that writes to it; try again when it has finished", path);
        case SQLITE_READONLY: /* only what must be settled first is written to when reading */
            return error_set(error, CARINA_ERROR_IO,
                             "%s: a program was stopped while it wrote to it, and left a journal beside it; open it "
                             "once with sqlite3, or build it again",
                             path);
        case SQLITE_NOMEM: return error_memory(error, path, 0);
        case SQLITE_FULL: return error_set(error, CARINA_ERROR_IO, "%s: cannot write: %s", path, text);
        case SQLITE_TOOBIG: return error_set(error, CARINA_ERROR_LIMIT, "%s: %s", path, text);
        default: return error_set(error, CARINA_ERROR_IO, "%s: %s", path, text);
    }
}

/* ---- statements ---- */

typedef struct query {
    sqlite3 *db;
    const char *path;
    sqlite3_stmt *statement;
} query;

static carina_status query_open(query *q, sqlite3 *db, const char *path, const char *sql, carina_error *error) {
    *q = (query){db, path, NULL};
    return sqlite3_prepare_v2(db, sql, -1, &q->statement, NULL) == SQLITE_OK ? CARINA_OK : sqlite_fail(db, path, error);
}

static void query_close(query *q) { sqlite3_finalize(q->statement); }

/* The next row: *more tells whether there is one. */
static carina_status query_next(query *q, bool *more, carina_error *error) {
    int code = sqlite3_step(q->statement);
    *more = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? CARINA_OK : sqlite_fail(q->db, q->path, error);
}

/* Runs a statement that gives no rows, with what was bound; ready for the next values. */
static carina_status query_put(query *q, carina_error *error) {
    bool more;
    carina_status status = query_next(q, &more, error);
    sqlite3_reset(q->statement);
    return status;
}

static void bind_text(query *q, int place, const char *text) {
    sqlite3_bind_text(q->statement, place, text, -1, SQLITE_STATIC);
}

/* A column's text, NULL when there is none or it has a NUL in it. Borrowed until the next row. */
static const char *column_text(const query *q, int column) {
    const char *text = (const char *)sqlite3_column_text(q->statement, column);
    return text && strlen(text) == (size_t)sqlite3_column_bytes(q->statement, column) ? text : NULL;
}

static carina_status run(sqlite3 *db, const char *path, const char *sql, carina_error *error) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? CARINA_OK : sqlite_fail(db, path, error);
}

/* What a region's rows are held against. */
static void checksum_entry(fingerprint *f, const sentence_entry *e) {
    fingerprint_add_text(f, e->text);
    fingerprint_add_number(f, e->seen);
    fingerprint_add_text(f, e->place);
}

static char *join_checksums(char out[FINGERPRINT_TEXT], const fingerprint *texts, const fingerprint *numbers) {
    fingerprint both = fingerprint_start();
    fingerprint_add_number(&both, fingerprint_value(texts));
    fingerprint_add_number(&both, fingerprint_value(numbers));
    return fingerprint_text(out, fingerprint_value(&both));
}

/* ---- writing ---- */

static uint64_t chunk_rows(int width) {
    uint64_t rows = CHUNK_BYTES / sizeof(float) / (uint64_t)width;
    return rows ? rows : 1;
}

static carina_status write_schema(sqlite3 *db, const char *path, carina_error *error) {
    char pragmas[192];
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA application_id = "
             "%d; PRAGMA user_version = %d",
             INDEX_FILE_APPLICATION, INDEX_FILE_SCHEMA);
    TRY(run(db, path, pragmas, error));
    TRY(run(db, path, "BEGIN", error));
    for (int i = 0; i < TABLE_COUNT; i++) TRY(run(db, path, tables[i].sql, error));
    return CARINA_OK;
}

static carina_status put_property(query *q, const char *name, const char *value, carina_error *error) {
    bind_text(q, 1, name);
    bind_text(q, 2, value);
    return query_put(q, error);
}

static carina_status write_properties(query *q, const sentence_index *index, carina_error *error) {
    info_fields fields = fields_of(sentence_index_origin(index));
    char width[16];
    snprintf(width, sizeof width, "%d", sentence_index_width(index));
    TRY(put_property(q, "embedding_width", width, error));
    for (size_t i = 0; i < SENTENCE_INDEX_INFO_FIELDS; i++) TRY(put_property(q, info_names[i], fields.text[i], error));
    return CARINA_OK;
}

typedef struct writer {
    query property, region, sentence, embedding;
    float *chunk;
    sqlite3_int64 next; /* id of the next sentence */
} writer;

static carina_status write_sentences(writer *w, const sentence_region *region, int number, fingerprint *sum,
                                     carina_error *error) {
    for (uint64_t i = 0; i < region->count; i++) {
        const sentence_entry *e = &region->entries[i];
        sqlite3_bind_int64(w->sentence.statement, 1, w->next + (sqlite3_int64)i);
        sqlite3_bind_int(w->sentence.statement, 2, number);
        bind_text(&w->sentence, 3, e->text);
        sqlite3_bind_int64(w->sentence.statement, 4, (sqlite3_int64)e->seen);
        bind_text(&w->sentence, 5, e->place);
        TRY(query_put(&w->sentence, error));
        checksum_entry(sum, e);
    }
    return CARINA_OK;
}

static carina_status write_embeddings(writer *w, const sentence_index *index, int number, fingerprint *sum,
                                      carina_error *error) {
    uint64_t width = (uint64_t)sentence_index_width(index), count = sentence_index_region(index, number)->count;
    for (uint64_t first = 0; first < count; first += chunk_rows((int)width)) {
        uint64_t rows = count - first < chunk_rows((int)width) ? count - first : chunk_rows((int)width);
        for (uint64_t i = 0; i < rows; i++) sentence_index_vector(index, number, first + i, w->chunk + i * width);
        sqlite3_bind_int64(w->embedding.statement, 1, w->next + (sqlite3_int64)first);
        sqlite3_bind_int64(w->embedding.statement, 2, (sqlite3_int64)rows);
        sqlite3_bind_blob64(w->embedding.statement, 3, w->chunk, rows * width * sizeof(float), SQLITE_STATIC);
        TRY(query_put(&w->embedding, error));
        fingerprint_add(sum, w->chunk, rows * width * sizeof(float));
    }
    return CARINA_OK;
}

static carina_status write_region(writer *w, const sentence_index *index, int number, carina_error *error) {
    const sentence_region *region = sentence_index_region(index, number);
    fingerprint texts = fingerprint_start(), numbers = fingerprint_start();
    char checksum[FINGERPRINT_TEXT];
    TRY(write_sentences(w, region, number, &texts, error));
    TRY(write_embeddings(w, index, number, &numbers, error));
    w->next += (sqlite3_int64)region->count;
    sqlite3_bind_int(w->region.statement, 1, number);
    bind_text(&w->region, 2, region->name);
    bind_text(&w->region, 3, region->display);
    sqlite3_bind_int64(w->region.statement, 4, (sqlite3_int64)region->count);
    bind_text(&w->region, 5, join_checksums(checksum, &texts, &numbers));
    return query_put(&w->region, error);
}

static carina_status write_rows(writer *w, sqlite3 *db, const char *path, const sentence_index *index,
                                carina_error *error) {
    TRY(query_open(&w->property, db, path, "INSERT INTO property VALUES (?, ?)", error));
    TRY(query_open(&w->region, db, path, "INSERT INTO region VALUES (?, ?, ?, ?, ?)", error));
    TRY(query_open(&w->sentence, db, path, "INSERT INTO sentence VALUES (?, ?, ?, ?, ?)", error));
    TRY(query_open(&w->embedding, db, path, "INSERT INTO embedding VALUES (?, ?, ?)", error));
    uint64_t bytes = chunk_rows(sentence_index_width(index)) * (uint64_t)sentence_index_width(index) * sizeof(float);
    w->chunk = malloc((size_t)bytes);
    if (!w->chunk) return error_memory(error, path, bytes);
    TRY(write_properties(&w->property, index, error));
    for (int r = 0; r < sentence_index_regions(index); r++) TRY(write_region(w, index, r, error));
    return CARINA_OK;
}

static carina_status write_database(const char *temporary, const char *path, const sentence_index *index,
                                    carina_error *error) {
    sqlite3 *db = NULL;
    writer w = {.next = 1};
    carina_status status = CARINA_OK;
    if (sqlite3_open_v2(temporary, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        status = sqlite_fail(db, path, error);
    if (status == CARINA_OK) status = write_schema(db, path, error);
    if (status == CARINA_OK) status = write_rows(&w, db, path, index, error);
    query_close(&w.property);
    query_close(&w.region);
    query_close(&w.sentence);
    query_close(&w.embedding);
    free(w.chunk);
    if (status == CARINA_OK) status = run(db, path, "COMMIT", error);
    if (sqlite3_close(db) != SQLITE_OK && status == CARINA_OK) status = sqlite_fail(db, path, error);
    return status;
}

/* SQLite would take ":memory:" and "" as something else than names of files. */
static char *plain_path(const char *path) { return path_join(*path == '/' ? "" : ".", path); }

/* SQLite settles what was left when it begins to write; what it cannot read is not ours to judge here. */
static carina_status settle(const char *path, carina_error *error) {
    sqlite3 *db = NULL;
    carina_status status = CARINA_OK;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(db, WAIT_SECONDS * 1000);
        if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_BUSY)
            status = sqlite_fail(db, path, error);
        else
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    sqlite3_close(db);
    return status;
}

static carina_status check_left(const char *path, const char *suffix, carina_error *error) {
    char *left;
    if (asprintf(&left, "%s%s", path, suffix) < 0) return error_memory(error, path, strlen(path));
    carina_status status = CARINA_OK;
    if (file_exists(left))
        status = error_set(error, CARINA_ERROR_IO,
                           "%s: left by a program that was stopped while it wrote to %s; a new file would be read with "
                           "it: remove it, or write elsewhere",
                           left, path);
    free(left);
    return status;
}

carina_status index_file_check_target(const char *path, carina_error *error) {
    char *plain = plain_path(path);
    if (!plain) return error_memory(error, path, strlen(path));
    carina_status status = file_exists(plain) ? settle(plain, error) : CARINA_OK;
    if (status == CARINA_OK) status = check_left(plain, "-journal", error);
    if (status == CARINA_OK) status = check_left(plain, "-wal", error);
    free(plain);
    return status;
}

carina_status index_file_write(const char *path, const sentence_index *index, carina_error *error) {
    file_writer *file;
    TRY(file_writer_open(&file, path, error));
    char *temporary = plain_path(file_writer_temporary(file));
    carina_status status = temporary ? write_database(temporary, path, index, error) : error_memory(error, path, 4096);
    free(temporary);
    if (status == CARINA_OK) status = index_file_check_target(path, error);
    if (status == CARINA_OK) return file_writer_commit(file, error);
    file_writer_abort(file);
    return status;
}

/* ---- reading ---- */

static carina_status read_pragma(sqlite3 *db, const char *path, const char *sql, int64_t *out, carina_error *error) {
    query q;
    bool more = false;
    carina_status status = query_open(&q, db, path, sql, error);
    if (status == CARINA_OK) status = query_next(&q, &more, error);
    if (more) *out = sqlite3_column_int64(q.statement, 0);
    query_close(&q);
    return status == CARINA_OK && !more ? damaged(error, path, "no header") : status;
}

static carina_status check_tables(sqlite3 *db, const char *path, carina_error *error) {
    query q;
    bool more = false;
    int count = 0;
    carina_status status =
        query_open(&q, db, path, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name", error);
    while (status == CARINA_OK && (status = query_next(&q, &more, error)) == CARINA_OK && more) {
        const char *name = column_text(&q, 0), *sql = column_text(&q, 1);
        if (count == TABLE_COUNT || !name || !sql || strcmp(name, tables[count].name) != 0 ||
            strcmp(sql, tables[count].sql) != 0) {
            status = damaged(error, path, "its tables are not those of a sentence database");
        }
        count++;
    }
    query_close(&q);
    if (status == CARINA_OK && count != TABLE_COUNT) return damaged(error, path, "a table is missing");
    return status;
}

/* Is it ours, and of this version? */
static carina_status check_kind(sqlite3 *db, const char *path, carina_error *error) {
    int64_t application = 0, schema = 0;
    TRY(read_pragma(db, path, "PRAGMA application_id", &application, error));
    TRY(read_pragma(db, path, "PRAGMA user_version", &schema, error));
    if (application != INDEX_FILE_APPLICATION)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: a SQLite database, but not a sentence database of Carina",
                         path);
    if (schema > INDEX_FILE_SCHEMA)
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "%s: made by a newer Carina (schema %" PRId64 ", this version reads %d): use that version",
                         path, schema, INDEX_FILE_SCHEMA);
    if (schema < INDEX_FILE_SCHEMA)
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "%s: made by an older Carina (schema %" PRId64
                         ", this version reads %d): build it again (carina index build)",
                         path, schema, INDEX_FILE_SCHEMA);
    return check_tables(db, path, error);
}

typedef struct stored_region {
    char *name, *display;
    uint64_t sentences;
    char checksum[FINGERPRINT_TEXT];
} stored_region;

typedef struct reader {
    sqlite3 *db;
    const char *path;
    uint64_t file_size;
    char *info[SENTENCE_INDEX_INFO_FIELDS];
    int width, region_count;
    uint64_t total;
    stored_region regions[ATLAS_MAX_REGIONS];
    sentence_index *index;
} reader;

static carina_status take_property(reader *r, const char *name, const char *value, carina_error *error) {
    if (!name || !value) return damaged(error, r->path, "a property is not text");
    if (strcmp(name, "embedding_width") == 0) r->width = atoi(value);
    for (size_t i = 0; i < SENTENCE_INDEX_INFO_FIELDS; i++) {
        if (strcmp(name, info_names[i]) != 0) continue;
        free(r->info[i]);
        r->info[i] = strdup(value);
        if (!r->info[i]) return error_memory(error, r->path, strlen(value));
    }
    return CARINA_OK;
}

static carina_status read_properties(reader *r, carina_error *error) {
    query q;
    bool more = false;
    carina_status status = query_open(&q, r->db, r->path, "SELECT name, value FROM property", error);
    while (status == CARINA_OK && (status = query_next(&q, &more, error)) == CARINA_OK && more)
        status = take_property(r, column_text(&q, 0), column_text(&q, 1), error);
    query_close(&q);
    TRY(status);
    for (size_t i = 0; i < SENTENCE_INDEX_INFO_FIELDS; i++) {
        char why[64];
        snprintf(why, sizeof why, "property %s is missing", info_names[i]);
        if (!r->info[i]) return damaged(error, r->path, why);
    }
    int64_t films;
    const char *told = r->info[INFO_FILMS]; /* "": whoever made it did not say */
    if (*told && (!number_parse_integer(told, &films) || films < 0))
        return damaged(error, r->path, "property films is no number of films");
    if (r->width < 1 || r->width > SENTENCE_INDEX_MAX_WIDTH) return damaged(error, r->path, "embedding_width");
    return CARINA_OK;
}

static carina_status take_region(reader *r, const query *q, carina_error *error) {
    const char *name = column_text(q, 1), *display = column_text(q, 2), *checksum = column_text(q, 4);
    int64_t sentences = sqlite3_column_int64(q->statement, 3);
    if (r->region_count == ATLAS_MAX_REGIONS || sqlite3_column_int64(q->statement, 0) != r->region_count || !name ||
        !display || !checksum || sentences < 0) {
        return damaged(error, r->path, "the table of regions");
    }
    stored_region *region = &r->regions[r->region_count++];
    region->sentences = (uint64_t)sentences;
    snprintf(region->checksum, sizeof region->checksum, "%s", checksum);
    region->name = strdup(name);
    region->display = strdup(display);
    if (!region->name || !region->display) return error_memory(error, r->path, strlen(name) + strlen(display));
    /* every embedding lies in the file: a count that asks for more memory than that is wrong */
    uint64_t most = r->file_size / ((uint64_t)r->width * sizeof(float));
    r->total += region->sentences;
    if (region->sentences > most || r->total > most)
        return damaged(error, r->path, "more sentences than the file can hold");
    return CARINA_OK;
}

static carina_status read_regions(reader *r, carina_error *error) {
    query q;
    bool more = false;
    carina_status status = query_open(
        &q, r->db, r->path, "SELECT region, name, display, sentences, checksum FROM region ORDER BY region", error);
    while (status == CARINA_OK && (status = query_next(&q, &more, error)) == CARINA_OK && more)
        status = take_region(r, &q, error);
    query_close(&q);
    if (status == CARINA_OK && r->region_count == 0) return damaged(error, r->path, "no regions");
    return status;
}

/* An empty index of the file's regions. */
static carina_status make_index(reader *r, carina_error *error) {
    atlas_region regions[ATLAS_MAX_REGIONS] = {0};
    for (int i = 0; i < r->region_count; i++) {
        regions[i].name = r->regions[i].name;
        regions[i].display_name = r->regions[i].display;
    }
    info_fields fields;
    for (size_t i = 0; i < SENTENCE_INDEX_INFO_FIELDS; i++) fields.text[i] = r->info[i];
    sentence_index_info info = info_of(&fields);
    const atlas set = {.name = r->info[4], .region_count = r->region_count, .regions = regions};
    carina_status status = sentence_index_create(&r->index, &set, &info, r->width, error);
    return status == CARINA_OK ? status : error_prefix(error, "%s", r->path);
}

/* The embedding table, row by row of the matrices. A block never spans two regions. */
typedef struct vector_stream {
    query q;
    const uint8_t *rows; /* of the block at hand; borrowed from SQLite, unaligned */
    uint64_t left;
    sqlite3_int64 next; /* id that the next block must begin with */
} vector_stream;

static carina_status next_block(vector_stream *s, const reader *r, uint64_t wanted, fingerprint *sum,
                                carina_error *error) {
    bool more;
    TRY(query_next(&s->q, &more, error));
    if (!more) return damaged(error, r->path, "embeddings are missing");
    int64_t rows = sqlite3_column_int64(s->q.statement, 1);
    s->rows = sqlite3_column_blob(s->q.statement, 2);
    uint64_t bytes = (uint64_t)sqlite3_column_bytes(s->q.statement, 2), row_bytes = (uint64_t)r->width * sizeof(float);
    if (sqlite3_column_int64(s->q.statement, 0) != s->next || !s->rows || rows < 1 || (uint64_t)rows > wanted ||
        bytes != (uint64_t)rows * row_bytes) {
        return damaged(error, r->path, "a block of embeddings has the wrong size or place");
    }
    s->left = (uint64_t)rows;
    s->next += rows;
    fingerprint_add(sum, s->rows, bytes);
    return CARINA_OK;
}

static carina_status take_sentence(reader *r, int number, query *q, const float *vector, fingerprint *sum,
                                   carina_error *error) {
    bool more;
    TRY(query_next(q, &more, error));
    if (!more) return damaged(error, r->path, "sentences are missing");
    int64_t seen = sqlite3_column_int64(q->statement, 1);
    const sentence_entry e = {column_text(q, 0), (uint64_t)seen, column_text(q, 2)};
    if (seen < 0 || !e.text || !e.place) return damaged(error, r->path, "a sentence is not text");
    checksum_entry(sum, &e);
    carina_status status = sentence_index_add(r->index, number, &e, vector, error);
    return status == CARINA_OK || status == CARINA_ERROR_MEMORY ? status : error_prefix(error, "%s: damaged", r->path);
}

static carina_status read_region(reader *r, int number, query *sentences, vector_stream *vectors, float *vector,
                                 carina_error *error) {
    const stored_region *region = &r->regions[number];
    fingerprint texts = fingerprint_start(), numbers = fingerprint_start();
    uint64_t row_bytes = (uint64_t)r->width * sizeof(float);
    for (uint64_t i = 0; i < region->sentences; i++) {
        if (vectors->left == 0) TRY(next_block(vectors, r, region->sentences - i, &numbers, error));
        memcpy(vector, vectors->rows, (size_t)row_bytes);
        TRY(take_sentence(r, number, sentences, vector, &texts, error));
        vectors->rows += row_bytes;
        vectors->left--;
    }
    char checksum[FINGERPRINT_TEXT], why[160];
    if (strcmp(join_checksums(checksum, &texts, &numbers), region->checksum) == 0) return CARINA_OK;
    snprintf(why, sizeof why, "the checksum of region %.100s does not match", region->name);
    return damaged(error, r->path, why);
}

static carina_status read_rows(reader *r, carina_error *error) {
    query sentences = {0};
    vector_stream vectors = {.next = 1};
    bool more = false, other = false;
    float *vector = malloc((size_t)r->width * sizeof *vector);
    carina_status status = vector ? CARINA_OK : error_memory(error, r->path, (uint64_t)r->width * sizeof *vector);
    if (status == CARINA_OK)
        status = query_open(&sentences, r->db, r->path, "SELECT text, seen, place FROM sentence ORDER BY id", error);
    if (status == CARINA_OK)
        status =
            query_open(&vectors.q, r->db, r->path, "SELECT first, rows, vectors FROM embedding ORDER BY first", error);
    for (int i = 0; i < r->region_count && status == CARINA_OK; i++)
        status = read_region(r, i, &sentences, &vectors, vector, error);
    if (status == CARINA_OK) status = query_next(&sentences, &more, error);
    if (status == CARINA_OK) status = query_next(&vectors.q, &other, error);
    if (status == CARINA_OK && (more || other)) status = damaged(error, r->path, "rows that belong to no region");
    query_close(&sentences);
    query_close(&vectors.q);
    free(vector);
    if (status == CARINA_OK && (status = sentence_index_finish(r->index, error)) != CARINA_OK)
        error_prefix(error, "%s", r->path);
    return status;
}

static carina_status read_database(reader *r, const sentence_index_use *use, carina_error *error) {
    sqlite3_busy_timeout(r->db, WAIT_SECONDS * 1000);
    sqlite3_db_config(r->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(r->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_limit(r->db, SQLITE_LIMIT_LENGTH, 64 << 20); /* a block of embeddings has 1 MiB */
    TRY(run(r->db, r->path, "BEGIN", error));
    TRY(check_kind(r->db, r->path, error));
    TRY(read_properties(r, error));
    TRY(read_regions(r, error));
    TRY(make_index(r, error));
    TRY(sentence_index_check(r->index, r->path, use, error)); /* before the rows: a wrong model is told at once */
    return read_rows(r, error);
}

/* Takes over db, whatever the result. */
static carina_status read_open(sentence_index **out, sqlite3 *db, const char *path, uint64_t size,
                               const sentence_index_use *use, carina_error *error) {
    reader *r = calloc(1, sizeof *r);
    carina_status status = r ? CARINA_OK : error_memory(error, path, sizeof *r);
    if (r) {
        r->db = db;
        r->path = path;
        r->file_size = size;
        status = read_database(r, use, error);
        for (size_t i = 0; i < SENTENCE_INDEX_INFO_FIELDS; i++) free(r->info[i]);
        for (int i = 0; i < r->region_count; i++) {
            free(r->regions[i].name);
            free(r->regions[i].display);
        }
        if (status == CARINA_OK)
            *out = r->index;
        else
            sentence_index_free(r->index);
        free(r);
    }
    sqlite3_close(db);
    return status;
}

carina_status index_file_read(sentence_index **out, const char *path, const sentence_index_use *use,
                              carina_error *error) {
    *out = NULL;
    uint8_t *start;
    uint64_t size;
    TRY(file_read_start(path, 16, &start, &size, error)); /* missing, a folder, a pipe: said as for any other file */
    free(start);
    if (size == 0)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: not a sentence database (the file is empty)", path);
    char *plain = plain_path(path);
    if (!plain) return error_memory(error, path, strlen(path));
    sqlite3 *db = NULL;
    carina_status status = CARINA_OK;
    if (sqlite3_open_v2(plain, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        status = sqlite_fail(db, path, error);
    free(plain);
    struct stat now;
    if (status == CARINA_OK && stat(path, &now) != 0) status = error_errno(error, "%s: cannot read", path);
    if (status == CARINA_OK) return read_open(out, db, path, (uint64_t)now.st_size, use, error);
    sqlite3_close(db);
    return status;
}

carina_status index_file_parse(sentence_index **out, const char *name, const void *data, uint64_t size,
                               const sentence_index_use *use, carina_error *error) {
    *out = NULL;
    if (size == 0) return error_set(error, CARINA_ERROR_FORMAT, "%s: not a sentence database (no bytes)", name);
    sqlite3 *db = NULL;
    unsigned char *copy = sqlite3_malloc64(size);
    if (!copy) return error_memory(error, name, size);
    memcpy(copy, data, (size_t)size);
    if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        sqlite3_free(copy);
    } else if (sqlite3_deserialize(db, "main", copy, (sqlite3_int64)size, (sqlite3_int64)size,
                                   SQLITE_DESERIALIZE_READONLY | SQLITE_DESERIALIZE_FREEONCLOSE) == SQLITE_OK) {
        return read_open(out, db, name, size, use, error);
    }
    carina_status status = sqlite_fail(db, name, error);
    sqlite3_close(db);
    return status;
}
