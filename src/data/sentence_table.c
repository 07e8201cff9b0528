/* Counting sentences; see sentence_table.h. */
#include "data/sentence_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/film_scan.h"
#include "data/string_index.h"

typedef struct row {
    sentence_row shown;
    char *text, *place; /* owned */
} row;

struct sentence_table {
    string_index *numbers; /* "REGION TEXT" -> row */
    row *rows;
    uint64_t count, room, films;
    sentence_row *sorted;
};

carina_status sentence_table_create(sentence_table **out, carina_error *error) {
    *out = NULL;
    sentence_table *table = calloc(1, sizeof *table);
    if (!table) return error_memory(error, "sentences", sizeof *table);
    carina_status status = string_index_create(&table->numbers, error);
    if (status != CARINA_OK) {
        free(table);
        return status;
    }
    *out = table;
    return CARINA_OK;
}

void sentence_table_free(sentence_table *table) {
    if (!table) return;
    for (uint64_t i = 0; i < table->count; i++) {
        free(table->rows[i].text);
        free(table->rows[i].place);
    }
    free(table->rows);
    free(table->sorted);
    string_index_free(table->numbers);
    free(table);
}

static carina_status add_row(sentence_table *table, int region, const char *text, const char *split, const char *film,
                             carina_error *error) {
    if (table->count == table->room) {
        uint64_t room = table->room ? table->room * 2 : 256;
        row *rows = realloc(table->rows, (size_t)room * sizeof *rows);
        if (!rows) return error_memory(error, "sentences", room * sizeof *rows);
        table->rows = rows;
        table->room = room;
    }
    row *r = &table->rows[table->count];
    size_t size = strlen(split) + strlen(film) + 2;
    *r = (row){.text = strdup(text), .place = malloc(size)};
    if (!r->text || !r->place) {
        free(r->text);
        free(r->place);
        return error_memory(error, "sentences", size);
    }
    snprintf(r->place, size, "%s/%s", split, film);
    r->shown = (sentence_row){region, r->text, 1, r->place};
    table->count++;
    return CARINA_OK;
}

static carina_status count_sentence(sentence_table *table, int region, const char *text, const char *split,
                                    const char *film, carina_error *error) {
    size_t size = strlen(text) + 16;
    char *key = malloc(size);
    uint32_t number;
    if (!key) return error_memory(error, "sentences", size);
    snprintf(key, size, "%d %s", region, text);
    carina_status status = CARINA_OK;
    if (string_index_find(table->numbers, key, &number)) {
        table->rows[number].shown.seen++;
    } else if (table->count == UINT32_MAX) {
        status = error_set(error, CARINA_ERROR_LIMIT, "more than %u different sentences", UINT32_MAX);
    } else {
        status = string_index_add(table->numbers, key, (uint32_t)table->count, NULL, NULL, error);
        if (status == CARINA_OK) status = add_row(table, region, text, split, film, error);
    }
    free(key);
    return status;
}

/* ---- reading ---- */

typedef struct counting {
    sentence_table *table;
    int regions;
    const char *split;
} counting;

static carina_status count_film(void *context, uint64_t index, const sample *s, carina_error *error) {
    (void)index;
    counting *c = context;
    for (int i = 0; i < c->regions; i++)
        if (s->sentences[i]) TRY(count_sentence(c->table, i, s->sentences[i], c->split, s->id, error));
    c->table->films++;
    return CARINA_OK;
}

carina_status sentence_table_read(sentence_table *table, const dataset *set, const char *split, thread_pool *pool,
                                  const char *title, carina_error *error) {
    counting c = {table, set->regions->region_count, split};
    return film_scan(set, pool, title, count_film, &c, error);
}

/* ---- the result ---- */

static int compare_rows(const void *a, const void *b) {
    const sentence_row *x = a, *y = b;
    return x->region != y->region ? x->region - y->region : strcmp(x->text, y->text);
}

carina_status sentence_table_sort(sentence_table *table, carina_error *error) {
    free(table->sorted);
    table->sorted = malloc((size_t)(table->count + 1) * sizeof *table->sorted);
    if (!table->sorted) return error_memory(error, "sentences", table->count * sizeof *table->sorted);
    for (uint64_t i = 0; i < table->count; i++) table->sorted[i] = table->rows[i].shown;
    qsort(table->sorted, (size_t)table->count, sizeof *table->sorted, compare_rows);
    return CARINA_OK;
}

const sentence_row *sentence_table_rows(const sentence_table *table, uint64_t *count) {
    *count = table->count;
    return table->sorted;
}

uint64_t sentence_table_films(const sentence_table *table) { return table->films; }
