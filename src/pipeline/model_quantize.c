/* Quantising a Gemma 3 to a file; see model_quantize.h. */
#include "pipeline/model_quantize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/progress.h"
#include "format/gguf_write.h"
#include "model/gemma3_gguf.h"
#include "model/gemma3_source.h"

/* ---- what the file says of the model ---- */

static void put_config(gguf_writer *w, const gemma3_config *c, uint32_t file_type) {
    gguf_writer_put_text(w, "general.architecture", "gemma3");
    gguf_writer_put_u32(w, "general.file_type", file_type);
    gguf_writer_put_u32(w, "general.quantization_version", 2);
    gguf_writer_put_u32(w, "gemma3.context_length", (uint32_t)c->positions);
    const struct {
        const char *key;
        int value;
    } sizes[] = {{"gemma3.vocab_size", c->vocabulary},
                 {"gemma3.embedding_length", c->width},
                 {"gemma3.block_count", c->layers},
                 {"gemma3.feed_forward_length", c->ffn_width},
                 {"gemma3.attention.head_count", c->heads},
                 {"gemma3.attention.head_count_kv", c->key_heads},
                 {"gemma3.attention.key_length", c->head_width},
                 {"gemma3.attention.value_length", c->head_width},
                 {"gemma3.attention.sliding_window", c->window}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        gguf_writer_put_u32(w, sizes[i].key, (uint32_t)sizes[i].value);
    gguf_writer_put_f32(w, "gemma3.attention.layer_norm_rms_epsilon", c->epsilon);
    gguf_writer_put_f32(w, "gemma3.rope.freq_base", (float)c->global_base);
    gguf_writer_put_f32(w, "gemma3.rope.freq_base_swa", (float)c->local_base);
    if (c->global_scale != 1) {
        gguf_writer_put_text(w, "gemma3.rope.scaling.type", "linear");
        gguf_writer_put_f32(w, "gemma3.rope.scaling.factor", (float)c->global_scale);
    }
    if (c->global_every != 6) gguf_writer_put_u32(w, GEMMA3_GGUF_GLOBAL_EVERY, (uint32_t)c->global_every);
    if (c->query_scalar != gemma3_gguf_query_scalar(c))
        gguf_writer_put_f32(w, GEMMA3_GGUF_QUERY_SCALAR, (float)c->query_scalar);
}

/* What a GGUF file keeps in f32 must come back as it was. */
static carina_status check_config(const gemma3_source *s, carina_error *error) {
    const double values[] = {s->config.global_base, s->config.local_base, s->config.global_scale,
                             s->config.query_scalar};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if ((double)(float)values[i] != values[i])
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: its configuration's %.17g is no f32, as GGUF wants",
                             s->path, values[i]);
    return CARINA_OK;
}

/* ---- rows ---- */

#define CHUNK_ROWS 128

typedef struct quantize_run {
    const gemma3_source *source;
    const quantize_options *options;
    quantize_result *result;
    gguf_writer *writer;
    progress *shown;
    uint64_t rows_done;
    uint32_t type; /* of the file's matrices */
    /* the chunk at hand: */
    const gemma3_source_tensor *t;
    int64_t first;
    quantized_matrix *packed; /* [CHUNK_ROWS, columns] */
    uint8_t *bytes;           /* [CHUNK_ROWS, row_bytes] */
    uint64_t row_bytes;
    quantized_error errors[CHUNK_ROWS];
    carina_status status[CHUNK_ROWS];
    carina_error messages[CHUNK_ROWS];
} quantize_run;

static carina_status write_row_bytes(const quantize_run *r, int row, float *values, carina_error *error) {
    int64_t columns = r->t->columns;
    uint8_t *to = r->bytes + (uint64_t)row * r->row_bytes;
    if (r->type == GGUF_BF16) {
        for (int64_t i = 0; i < columns; i++) {
            uint16_t bits = bf16_from_f32(values[i]);
            to[2 * i] = (uint8_t)bits, to[2 * i + 1] = (uint8_t)(bits >> 8);
        }
        return CARINA_OK;
    }
    /* In the place of the values: two bytes a group and one a value are less than four a value. */
    uint16_t *scales = (uint16_t *)(void *)values;
    int8_t *quants = (int8_t *)(scales + columns / QUANTIZED_GROUP);
    quantized_get_quants(r->packed, row, scales, quants);
    const gguf_quants taken = {.scales = scales, .quants = quants};
    return gguf_pack_row(to, r->type, &taken, (uint64_t)columns, error);
}

static carina_status pack_row(quantize_run *r, int row, carina_error *error) {
    int64_t columns = r->t->columns;
    float *values = malloc((size_t)columns * sizeof *values);
    if (!values) return error_memory(error, "a row", (uint64_t)columns * sizeof *values);
    carina_status status = gemma3_source_row(r->source, r->t, r->first + row, values, error);
    if (status == CARINA_OK) status = quantized_set_row(r->packed, row, values, error);
    if (status == CARINA_OK) {
        r->errors[row] = (quantized_error){0};
        quantized_error_add(&r->errors[row], r->packed, row, values);
        status = write_row_bytes(r, row, values, error);
    }
    free(values);
    return status;
}

static void pack_shard(void *context, int shard, int worker) {
    quantize_run *r = context;
    (void)worker;
    r->status[shard] = pack_row(r, shard, &r->messages[shard]);
}

static void add_error(quantized_error *sum, const quantized_error *one) {
    sum->count += one->count;
    sum->error_squares += one->error_squares;
    sum->value_squares += one->value_squares;
    if (one->largest > sum->largest) sum->largest = one->largest;
}

static carina_status pack_chunk(quantize_run *r, quantized_error *sum, carina_error *error) {
    int rows = r->t->rows - r->first < CHUNK_ROWS ? (int)(r->t->rows - r->first) : CHUNK_ROWS;
    thread_pool_run(r->options->pool, rows, pack_shard, r);
    for (int i = 0; i < rows; i++) {
        if (r->status[i] != CARINA_OK) {
            if (error) *error = r->messages[i];
            return r->status[i];
        }
        add_error(sum, &r->errors[i]); /* in the rows' order, whatever the threads */
    }
    r->rows_done += (uint64_t)rows;
    progress_update(r->shown, r->rows_done, NULL);
    if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
    return gguf_writer_write(r->writer, r->bytes, (uint64_t)rows * r->row_bytes, error);
}

static carina_status pack_matrix(quantize_run *r, carina_error *error) {
    const gemma3_source_tensor *t = r->t;
    quantize_matrix *m = &r->result->matrices[r->result->count++];
    *m = (quantize_matrix){.outputs = t->rows, .inputs = t->columns};
    memcpy(m->name, t->name, sizeof m->name);
    if (!gguf_row_bytes(r->type, (uint64_t)t->columns, &r->row_bytes))
        return error_set(error, CARINA_ERROR_ARGUMENT, "rows of %lld", (long long)t->columns);
    r->bytes = malloc(CHUNK_ROWS * r->row_bytes);
    carina_status status = r->bytes ? CARINA_OK : error_memory(error, t->name, CHUNK_ROWS * r->row_bytes);
    if (status == CARINA_OK)
        status = quantized_matrix_create(&r->packed, r->options->kind, CHUNK_ROWS, t->columns, error);
    for (r->first = 0; r->first < t->rows && status == CARINA_OK; r->first += CHUNK_ROWS)
        status = pack_chunk(r, &m->error, error);
    add_error(&r->result->error, &m->error);
    quantized_matrix_free(r->packed);
    free(r->bytes);
    r->packed = NULL;
    r->bytes = NULL;
    return status;
}

static carina_status write_norm(quantize_run *r, carina_error *error) {
    float *values = malloc((size_t)r->t->columns * sizeof *values);
    if (!values) return error_memory(error, r->t->name, (uint64_t)r->t->columns * sizeof *values);
    carina_status status = gemma3_source_row(r->source, r->t, 0, values, error);
    for (int64_t i = 0; i < r->t->columns && status == CARINA_OK; i++) values[i] = 1 + values[i];
    if (status == CARINA_OK)
        status = gguf_writer_write(r->writer, values, (uint64_t)r->t->columns * sizeof *values, error);
    free(values);
    return status;
}

/* ---- the file ---- */

static carina_status check_source(const quantize_run *r, carina_error *error) {
    const gemma3_source *s = r->source;
    TRY(check_config(s, error));
    for (int i = 0; i < s->count; i++) {
        const gemma3_source_tensor *t = &s->tensors[i];
        uint64_t bytes;
        if (t->slot < 0) continue;
        if (t->blocks && gguf_type_is_quantised(t->blocks->type))
            return error_set(error, CARINA_ERROR_UNSUPPORTED,
                             "%s: tensor %s is quantised already (%s); take the model that it was made of", s->path,
                             t->blocks->name, gguf_type_name(t->blocks->type));
        if (quantized_bytes(&bytes, r->options->kind, t->rows, t->columns, error) != CARINA_OK)
            return error_prefix(error, "%s: %s", s->path, t->name);
    }
    return CARINA_OK;
}

static carina_status declare(quantize_run *r, uint64_t *rows, carina_error *error) {
    const gemma3_source *s = r->source;
    *rows = 0;
    for (int i = 0; i < s->count; i++) {
        const gemma3_source_tensor *t = &s->tensors[i];
        uint64_t shape[2] = {(uint64_t)t->size[0], (uint64_t)t->size[1]}, bytes;
        char name[GGUF_MAX_NAME + 1];
        uint32_t type = t->slot < 0 ? GGUF_F32 : r->type;
        gemma3_gguf_name(name, t->name);
        TRY(gguf_writer_add_tensor(r->writer, name, type, t->rank, shape, error));
        r->result->bytes_before += gemma3_source_bytes(t);
        if (gguf_row_bytes(type, (uint64_t)t->columns, &bytes)) r->result->bytes_after += bytes * (uint64_t)t->rows;
        if (t->slot >= 0) *rows += (uint64_t)t->rows;
    }
    return CARINA_OK;
}

static carina_status write_tensors(quantize_run *r, carina_error *error) {
    uint64_t rows;
    TRY(declare(r, &rows, error));
    r->shown = r->options->shown ? progress_start("quantizing", "rows", 0, rows) : NULL;
    carina_status status = CARINA_OK;
    for (int i = 0; i < r->source->count && status == CARINA_OK; i++) {
        r->t = &r->source->tensors[i];
        status = r->t->slot < 0 ? write_norm(r, error) : pack_matrix(r, error);
    }
    progress_finish(r->shown);
    return status;
}

static carina_status write_file(quantize_run *r, const char *out, uint32_t file_type, carina_error *error) {
    TRY(check_source(r, error));
    TRY(gguf_writer_open(&r->writer, out, error));
    put_config(r->writer, &r->source->config, file_type);
    if (r->options->tokenizer) gguf_writer_put_keys(r->writer, r->options->tokenizer);
    if (r->options->chat_template)
        gguf_writer_put_text(r->writer, "tokenizer.chat_template", r->options->chat_template);
    carina_status status = write_tensors(r, error);
    if (status == CARINA_OK) return gguf_writer_commit(r->writer, error);
    gguf_writer_abort(r->writer);
    return status;
}

carina_status model_quantize(quantize_result *result, const char *in, const char *out, const quantize_options *options,
                             carina_error *error) {
    /* The numbers by which GGUF calls a file of mostly this type. */
    static const struct {
        uint32_t type, file_type;
    } types[QUANTIZED_KINDS] = {
        [QUANTIZED_Q8] = {GGUF_Q8_0, 7}, [QUANTIZED_Q4] = {GGUF_Q4_0, 2}, [QUANTIZED_BF16] = {GGUF_BF16, 32}};
    gemma3_source source;
    *result = (quantize_result){0};
    if (options->kind == QUANTIZED_Q4M)
        return error_set(error, CARINA_ERROR_ARGUMENT, "Q4M: Q8, Q4 and BF16 can be written");
    TRY(gemma3_source_open(&source, in, error));
    quantize_run *r = calloc(1, sizeof *r);
    carina_status status = r ? CARINA_OK : error_memory(error, in, sizeof *r);
    if (r) {
        r->source = &source;
        r->options = options;
        r->result = result;
        r->type = types[options->kind].type;
        status = write_file(r, out, types[options->kind].file_type, error);
    }
    free(r);
    gemma3_source_close(&source);
    return status;
}
