/* Embeddings from two files; see imported_embeddings.h. */
#include "index/imported_embeddings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/fingerprint.h"
#include "base/utf8.h"
#include "format/npy.h"

#define MAX_TEXT_BYTES (4ull << 30)

typedef struct line {
    const char *text;
    uint64_t row;
} line;

typedef struct imported {
    char *texts; /* the file's bytes, line breaks replaced by NUL */
    line *lines; /* in the order of their texts */
    uint64_t count;
    int width;
    float *rows; /* [count, width] */
    const char *npy_path, *text_path;
    char name[256], fingerprint[64];
} imported;

static int compare_lines(const void *a, const void *b) {
    const line *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static carina_status fill_rows(imported *m, const tensor_file *file, carina_error *error) {
    const named_tensor *t = &file->tensors[0];
    if (t->rank != 2 || t->shape[0] < 1 || t->shape[1] < 1 || t->shape[1] > SENTENCE_INDEX_MAX_WIDTH ||
        !tensor_dtype_is_float(t->dtype)) {
        char shape[96];
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: %s %s is no table of embeddings: [sentences, width] of floats", m->npy_path,
                         tensor_dtype_name(t->dtype), tensor_shape_text(shape, sizeof shape, t->shape, t->rank));
    }
    uint64_t elements = t->shape[0] * t->shape[1];
    m->count = t->shape[0];
    m->width = (int)t->shape[1];
    m->rows = malloc((size_t)elements * sizeof *m->rows);
    if (!m->rows) return error_memory(error, m->npy_path, elements * sizeof *m->rows);
    carina_status status = named_tensor_to_f32(t, m->rows, elements, error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s", m->npy_path);
}

static carina_status read_rows(imported *m, carina_error *error) {
    tensor_file file = {0};
    TRY(npy_read(&file, m->npy_path, error));
    carina_status status = fill_rows(m, &file, error);
    tensor_file_free(&file);
    return status;
}

/* Cuts the text at its line breaks (LF or CR LF; the last one may be missing). */
static carina_status cut_lines(imported *m, uint64_t size, carina_error *error) {
    uint64_t number = 0;
    m->lines = malloc((size_t)m->count * sizeof *m->lines);
    if (!m->lines) return error_memory(error, m->text_path, m->count * sizeof *m->lines);
    for (char *at = m->texts, *end = m->texts + size; at < end; number++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        char *next = stop ? stop + 1 : end;
        if (!stop) stop = end;
        if (stop > at && stop[-1] == '\r') stop--;
        if (stop == at || memchr(at, 0, (size_t)(stop - at)))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: line %llu is %s", m->text_path,
                             (unsigned long long)number + 1, stop == at ? "empty" : "not text (it has a NUL)");
        *stop = 0;
        if (number < m->count) m->lines[number] = (line){at, number};
        at = next;
    }
    if (number == m->count) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH,
                     "%s has %llu lines, %s has %llu rows: line i must be the sentence of row i", m->text_path,
                     (unsigned long long)number, m->npy_path, (unsigned long long)m->count);
}

static carina_status read_lines(imported *m, fingerprint *sum, carina_error *error) {
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read(m->text_path, MAX_TEXT_BYTES, &bytes, &size, error));
    m->texts = (char *)bytes;
    fingerprint_add(sum, bytes, size);
    if (!utf8_valid(bytes, size)) return error_set(error, CARINA_ERROR_FORMAT, "%s: not UTF-8 text", m->text_path);
    TRY(cut_lines(m, size, error));
    qsort(m->lines, (size_t)m->count, sizeof *m->lines, compare_lines);
    size_t row_bytes = (size_t)m->width * sizeof(float);
    for (uint64_t i = 1; i < m->count; i++) {
        const line *a = &m->lines[i - 1], *b = &m->lines[i];
        if (strcmp(a->text, b->text) != 0) continue;
        if (memcmp(m->rows + a->row * (uint64_t)m->width, m->rows + b->row * (uint64_t)m->width, row_bytes) == 0)
            continue;
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: lines %llu and %llu are the same sentence with different embeddings", m->text_path,
                         (unsigned long long)a->row + 1, (unsigned long long)b->row + 1);
    }
    return CARINA_OK;
}

static carina_status embed(void *context, const char *const *texts, uint64_t count, float *out, carina_error *error) {
    const imported *m = context;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t low = 0, high = m->count;
        while (low < high) { /* the first line that is not below the text */
            uint64_t middle = low + (high - low) / 2;
            if (strcmp(m->lines[middle].text, texts[i]) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == m->count || strcmp(m->lines[low].text, texts[i]) != 0)
            return error_set(error, CARINA_ERROR_MISMATCH,
                             "%s: no line \"%.200s\" (carina index sentences lists what is needed)", m->text_path,
                             texts[i]);
        memcpy(out + i * (uint64_t)m->width, m->rows + m->lines[low].row * (uint64_t)m->width,
               (size_t)m->width * sizeof *out);
    }
    return CARINA_OK;
}

carina_status imported_embeddings_open(sentence_embedder *out, const char *npy_path, const char *text_path,
                                       const char *given, carina_error *error) {
    *out = (sentence_embedder){0};
    imported *m = calloc(1, sizeof *m);
    if (!m) return error_memory(error, npy_path, sizeof *m);
    out->context = m;
    m->npy_path = npy_path;
    m->text_path = text_path;
    fingerprint sum = fingerprint_start();
    carina_status status = read_rows(m, error);
    if (status == CARINA_OK) status = read_lines(m, &sum, error);
    if (status != CARINA_OK) {
        imported_embeddings_close(out);
        return status;
    }
    char digits[FINGERPRINT_TEXT];
    fingerprint_add(&sum, m->rows, m->count * (uint64_t)m->width * sizeof *m->rows);
    snprintf(m->name, sizeof m->name, "%.255s", path_name(npy_path));
    if (given)
        snprintf(m->fingerprint, sizeof m->fingerprint, "%.63s", given);
    else
        snprintf(m->fingerprint, sizeof m->fingerprint, "imported-%s",
                 fingerprint_text(digits, fingerprint_value(&sum)));
    *out = (sentence_embedder){m, m->width, m->name, m->fingerprint, embed};
    return CARINA_OK;
}

void imported_embeddings_close(sentence_embedder *embedder) {
    imported *m = embedder->context;
    if (!m) return;
    free(m->texts);
    free(m->lines);
    free(m->rows);
    free(m);
    *embedder = (sentence_embedder){0};
}
