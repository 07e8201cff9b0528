/* Writing and reading sessions; see gemma3_session_file.h. */
#include "model/gemma3_session_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fingerprint.h"
#include "base/number.h"
#include "format/safetensors.h"
#include "model/model_fingerprint.h"

#define FORMAT_NAME "carina-gemma3-session-2"

/* ---- which model ---- */

static void add_real(fingerprint *f, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    fingerprint_add_number(f, bits);
}

static void add_config(fingerprint *f, const gemma3_config *c) {
    const int numbers[] = {c->vocabulary, c->width,     c->layers, c->heads,        c->key_heads,
                           c->head_width, c->ffn_width, c->window, c->global_every, c->tied};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) fingerprint_add_number(f, (uint64_t)numbers[i]);
    add_real(f, c->local_base);
    add_real(f, c->global_base);
    add_real(f, c->global_scale);
    add_real(f, c->query_scalar);
    add_real(f, (double)c->epsilon);
}

uint64_t gemma3_fingerprint(const gemma3 *model) {
    gemma3 view = *model; /* slots point into what they are asked of */
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    fingerprint f = fingerprint_start();
    add_config(&f, &model->config);
    fingerprint_add_number(&f, model_fingerprint(model->parameters));
    int count = gemma3_slots(&view, slots);
    for (int i = 0; i < count; i++) {
        const quantized_matrix *packed = slots[i].matrix->packed;
        if (!packed) continue;
        fingerprint_add_text(&f, slots[i].name);
        fingerprint_add_number(&f, (uint64_t)packed->kind);
        fingerprint_add(&f, packed->packed, packed->bytes);
    }
    return fingerprint_value(&f);
}

/* ---- what a file holds ---- */

/* A tensor's name and the place in the session that it belongs to. */
typedef struct piece {
    char name[48];
    uint64_t rows;
    uint8_t *bytes;
    uint64_t byte_count;
} piece;

static uint64_t piece_count(const gemma3_config *c) { return 2 * (uint64_t)c->layers * (uint64_t)c->key_heads; }

static piece piece_of(const gemma3_session_parts *s, int64_t length, uint64_t index) {
    int heads = s->config->key_heads, layer = (int)(index / 2) / heads, head = (int)(index / 2) % heads;
    const key_cache *cache = &s->layers[layer];
    uint64_t row = (uint64_t)cache->width * (cache->type == TENSOR_BF16 ? 2 : 4);
    piece p = {.rows = (uint64_t)(length < cache->capacity ? length : cache->capacity)};
    snprintf(p.name, sizeof p.name, "layers.%d.%s.%d", layer, index % 2 ? "values" : "keys", head);
    p.bytes = (uint8_t *)(index % 2 ? cache->values : cache->keys) + (uint64_t)head * (uint64_t)cache->capacity * row;
    p.byte_count = p.rows * row;
    return p;
}

static uint64_t content_fingerprint(const gemma3_session_parts *s, uint64_t adapter, int64_t length,
                                    int64_t first_key) {
    fingerprint f = fingerprint_start();
    fingerprint_add_number(&f, (uint64_t)length);
    fingerprint_add_number(&f, (uint64_t)s->capacity);
    fingerprint_add_number(&f, (uint64_t)s->chunk);
    fingerprint_add_number(&f, (uint64_t)first_key);
    if (adapter) fingerprint_add_number(&f, adapter);
    for (uint64_t i = 0; i < piece_count(s->config); i++) {
        piece p = piece_of(s, length, i);
        fingerprint_add(&f, p.bytes, p.byte_count);
    }
    return fingerprint_value(&f);
}

static uint64_t notes_fingerprint(const char *content, const void *tokens, int64_t length, const char *text,
                                  uint64_t text_size) {
    fingerprint f = fingerprint_start();
    fingerprint_add_text(&f, content);
    fingerprint_add(&f, tokens, (uint64_t)length * sizeof(int32_t));
    fingerprint_add_number(&f, text_size);
    fingerprint_add(&f, text, text_size);
    return fingerprint_value(&f);
}

/* ---- writing ---- */

#define NOTE_COUNT 2

static void note_tensors(named_tensor out[NOTE_COUNT], const gemma3_session_notes *notes, int64_t length) {
    out[0] = (named_tensor){.name = (char *)"tokens",
                            .dtype = DTYPE_I32,
                            .rank = 1,
                            .shape = {(uint64_t)length},
                            .data = notes->tokens,
                            .byte_count = (uint64_t)length * sizeof *notes->tokens};
    out[1] = (named_tensor){.name = (char *)"text",
                            .dtype = DTYPE_U8,
                            .rank = 1,
                            .shape = {notes->text_size},
                            .data = notes->text,
                            .byte_count = notes->text_size};
}

static carina_status write_pieces(const char *path, gemma3_session *session, piece *pieces, named_tensor *tensors,
                                  uint64_t model, const gemma3_session_notes *notes, carina_error *error) {
    const gemma3_session_parts parts = gemma3_session_open(session), *s = &parts;
    int64_t length = gemma3_session_length(session), first_key = gemma3_session_first_key(session);
    uint64_t adapter = gemma3_session_adapter(session);
    uint64_t count = piece_count(s->config);
    char numbers[4][NUMBER_TEXT], fingerprints[4][FINGERPRINT_TEXT];
    for (uint64_t i = 0; i < count; i++) {
        pieces[i] = piece_of(s, length, i);
        tensors[i] = (named_tensor){.name = pieces[i].name,
                                    .dtype = s->type == TENSOR_BF16 ? DTYPE_BF16 : DTYPE_F32,
                                    .rank = 2,
                                    .shape = {pieces[i].rows, (uint64_t)s->config->head_width},
                                    .data = pieces[i].bytes,
                                    .byte_count = pieces[i].byte_count};
    }
    snprintf(numbers[0], sizeof *numbers, "%lld", (long long)length);
    snprintf(numbers[1], sizeof *numbers, "%lld", (long long)s->capacity);
    snprintf(numbers[2], sizeof *numbers, "%lld", (long long)s->chunk);
    snprintf(numbers[3], sizeof *numbers, "%lld", (long long)first_key);
    tensor_file_entry metadata[9] = {
        {(char *)"format", (char *)FORMAT_NAME},
        {(char *)"model", fingerprint_text(fingerprints[0], model)},
        {(char *)"length", numbers[0]},
        {(char *)"capacity", numbers[1]},
        {(char *)"chunk", numbers[2]},
        {(char *)"first_key", numbers[3]},
        {(char *)"content", fingerprint_text(fingerprints[1], content_fingerprint(s, adapter, length, first_key))},
    };
    uint64_t entries = 7;
    if (adapter)
        metadata[entries++] = (tensor_file_entry){(char *)"adapter", fingerprint_text(fingerprints[2], adapter)};
    if (notes) {
        uint64_t noted = notes_fingerprint(fingerprints[1], notes->tokens, length, notes->text, notes->text_size);
        metadata[entries++] = (tensor_file_entry){(char *)"notes", fingerprint_text(fingerprints[3], noted)};
        note_tensors(tensors + count, notes, length);
        count += NOTE_COUNT;
    }
    return safetensors_write(path, tensors, count, metadata, entries, error);
}

carina_status gemma3_session_write(const char *path, gemma3_session *session, uint64_t model,
                                   const gemma3_session_notes *notes, carina_error *error) {
    gemma3_session_parts s = gemma3_session_open(session);
    uint64_t count = piece_count(s.config);
    if (!gemma3_session_is_whole(session))
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: the session waits for rows that were to follow", path);
    piece *pieces = malloc(count * sizeof *pieces);
    named_tensor *tensors = malloc((count + NOTE_COUNT) * sizeof *tensors);
    carina_status status = pieces && tensors ? write_pieces(path, session, pieces, tensors, model, notes, error)
                                             : error_memory(error, path, count * (sizeof *pieces + sizeof *tensors));
    free(pieces);
    free(tensors);
    return status;
}

/* ---- reading ---- */

static carina_status get_text(const tensor_file *file, const char *name, const char *key, const char **out,
                              carina_error *error) {
    *out = tensor_file_metadata(file, key);
    return *out ? CARINA_OK
                : error_set(error, CARINA_ERROR_FORMAT, "%s: not a session of a language model: no %s", name, key);
}

static carina_status get_number(const tensor_file *file, const char *name, const char *key, int64_t low, int64_t high,
                                int64_t *out, carina_error *error) {
    const char *text;
    TRY(get_text(file, name, key, &text, error));
    if (!number_parse_integer(text, out) || *out < low || *out > high)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: %s: expected a number from %lld to %lld, found \"%.40s\"",
                         name, key, (long long)low, (long long)high, text);
    return CARINA_OK;
}

/* What was seen with an adapter goes on with it, and nothing else does. */
static carina_status check_adapter(const tensor_file *file, const char *name, uint64_t adapter, carina_error *error) {
    const char *text = tensor_file_metadata(file, "adapter");
    char wanted[FINGERPRINT_TEXT];
    fingerprint_text(wanted, adapter);
    if (text && adapter ? strcmp(text, wanted) == 0 : !text && !adapter) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH, "%s: a session with %s%.40s, not with %s%s", name,
                     text ? "the adapter " : "no adapter", text ? text : "", adapter ? "the adapter " : "none",
                     adapter ? wanted : "");
}

static carina_status read_tokens(gemma3_session_head *out, const tensor_file *file, const char *name, int vocabulary,
                                 carina_error *error) {
    const named_tensor *t = tensor_file_find(file, "tokens");
    uint64_t count = (uint64_t)out->length;
    if (!t || t->dtype != DTYPE_I32 || t->rank != 1 || t->shape[0] != count)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor tokens: expected i32 [%lld]", name,
                         (long long)out->length);
    out->tokens = malloc((count + 1) * sizeof *out->tokens);
    if (!out->tokens) return error_memory(error, name, t->byte_count);
    if (count) memcpy(out->tokens, t->data, t->byte_count);
    for (uint64_t i = 0; i < count; i++)
        if (out->tokens[i] < 0 || out->tokens[i] >= vocabulary)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: token %llu: %d is not within 0 to %d", name,
                             (unsigned long long)i, (int)out->tokens[i], vocabulary - 1);
    return CARINA_OK;
}

static carina_status read_notes(gemma3_session_head *out, const tensor_file *file, const char *name, int vocabulary,
                                carina_error *error) {
    const char *wanted = tensor_file_metadata(file, "notes"), *content;
    char found[FINGERPRINT_TEXT];
    const named_tensor *text = tensor_file_find(file, "text");
    if (!wanted) return CARINA_OK;
    TRY(get_text(file, name, "content", &content, error));
    TRY(read_tokens(out, file, name, vocabulary, error));
    if (!text || text->dtype != DTYPE_U8 || text->rank != 1)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor text: expected u8 [bytes]", name);
    out->has_notes = true;
    out->text = text->byte_count ? text->data : "";
    out->text_size = text->byte_count;
    uint64_t noted = notes_fingerprint(content, out->tokens, out->length, out->text, out->text_size);
    if (strcmp(wanted, fingerprint_text(found, noted)) == 0) return CARINA_OK;
    return error_set(error, CARINA_ERROR_FORMAT, "%s: damaged: its notes have the fingerprint %s, not %.40s", name,
                     found, wanted);
}

static carina_status read_head(gemma3_session_head *out, const tensor_file *file, const char *name,
                               const gemma3_config *config, uint64_t model, uint64_t adapter, carina_error *error) {
    const char *text;
    char wanted[FINGERPRINT_TEXT];
    TRY(get_text(file, name, "format", &text, error));
    if (strcmp(text, FORMAT_NAME) != 0)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: format: expected \"%s\", found \"%.40s\"", name,
                         FORMAT_NAME, text);
    TRY(get_text(file, name, "model", &text, error));
    if (strcmp(text, fingerprint_text(wanted, model)) != 0)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: a session of the model %.40s, not of this one (%s); sessions fit the weights, and the "
                         "precision, that they were made with",
                         name, text, wanted);
    TRY(check_adapter(file, name, adapter, error));
    TRY(get_number(file, name, "capacity", 1, 1 << 24, &out->capacity, error));
    TRY(get_number(file, name, "chunk", 1, 4096, &out->chunk, error));
    TRY(get_number(file, name, "length", 0, out->capacity, &out->length, error));
    TRY(get_number(file, name, "first_key", 0, out->length, &out->first_key, error));
    TRY(read_notes(out, file, name, config->vocabulary, error));
    uint64_t count = piece_count(config) + (out->has_notes ? NOTE_COUNT : 0);
    if (file->count != count)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: %llu tensors, expected %llu", name,
                         (unsigned long long)file->count, (unsigned long long)count);
    const named_tensor *keys = tensor_file_find(file, "layers.0.keys.0");
    out->type = keys && keys->dtype == DTYPE_BF16 ? TENSOR_BF16 : TENSOR_F32;
    return CARINA_OK;
}

carina_status gemma3_session_head_read(gemma3_session_head *out, const tensor_file *file, const char *name,
                                       const gemma3_config *config, uint64_t model, const lora *adapter,
                                       carina_error *error) {
    *out = (gemma3_session_head){0};
    carina_status status = read_head(out, file, name, config, model, lora_fingerprint(adapter), error);
    if (status != CARINA_OK) gemma3_session_head_free(out);
    return status;
}

void gemma3_session_head_free(gemma3_session_head *head) {
    free(head->tokens);
    *head = (gemma3_session_head){0};
}

static carina_status read_piece(const piece *p, const tensor_file *file, const char *name, const gemma3_session_head *h,
                                uint64_t width, carina_error *error) {
    const named_tensor *t = tensor_file_find(file, p->name);
    const uint64_t shape[2] = {p->rows, width};
    if (!t) return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor %s is missing", name, p->name);
    TRY(named_tensor_check_shape(t, name, 2, shape, "the session", error));
    if (t->dtype != (h->type == TENSOR_BF16 ? DTYPE_BF16 : DTYPE_F32))
        return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor %s is %s, others are not", name, p->name,
                         tensor_dtype_name(t->dtype));
    if (p->byte_count) memcpy(p->bytes, t->data, p->byte_count);
    return CARINA_OK;
}

static carina_status fill(gemma3_session *session, const tensor_file *file, const char *name,
                          const gemma3_session_head *h, carina_error *error) {
    gemma3_session_parts s = gemma3_session_open(session);
    const char *text;
    char found[FINGERPRINT_TEXT];
    for (uint64_t i = 0; i < piece_count(s.config); i++) {
        piece p = piece_of(&s, h->length, i);
        TRY(read_piece(&p, file, name, h, (uint64_t)s.config->head_width, error));
    }
    TRY(get_text(file, name, "content", &text, error));
    uint64_t content = content_fingerprint(&s, gemma3_session_adapter(session), h->length, h->first_key);
    if (strcmp(text, fingerprint_text(found, content)) != 0)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: damaged: its content has the fingerprint %s, not %.40s", name,
                         found, text);
    gemma3_session_resume(session, h->length, h->first_key);
    if (gemma3_session_is_whole(session)) return CARINA_OK;
    return error_set(error, CARINA_ERROR_FORMAT, "%s: first_key: %lld leaves nothing to go on with behind %lld tokens",
                     name, (long long)h->first_key, (long long)h->length);
}

carina_status gemma3_session_restore(gemma3_session **out, const gemma3_session_head *head, const tensor_file *file,
                                     const char *name, const gemma3_config *config, const lora *adapter,
                                     carina_error *error) {
    *out = NULL;
    TRY(gemma3_session_create(out, config, head->type, head->capacity, head->chunk, error));
    carina_status status = gemma3_session_adapt(*out, adapter, error);
    if (status == CARINA_OK) status = fill(*out, file, name, head, error);
    if (status == CARINA_OK) return CARINA_OK;
    gemma3_session_free(*out);
    *out = NULL;
    return status;
}

static carina_status restore(gemma3_session **out, const tensor_file *file, const char *name,
                             const gemma3_config *config, uint64_t model, const lora *adapter, int64_t most_tokens,
                             carina_error *error) {
    gemma3_session_head h;
    carina_status status;
    TRY(gemma3_session_head_read(&h, file, name, config, model, adapter, error));
    if (h.capacity > most_tokens)
        status = error_set(error, CARINA_ERROR_LIMIT, "%s: a session for %lld tokens, at most %lld have room here",
                           name, (long long)h.capacity, (long long)most_tokens);
    else
        status = gemma3_session_restore(out, &h, file, name, config, adapter, error);
    gemma3_session_head_free(&h);
    return status;
}

carina_status gemma3_session_read(gemma3_session **out, const char *path, const gemma3_config *config, uint64_t model,
                                  const lora *adapter, int64_t most_tokens, carina_error *error) {
    tensor_file file;
    *out = NULL;
    TRY(safetensors_read(&file, path, error));
    carina_status status = restore(out, &file, path, config, model, adapter, most_tokens, error);
    tensor_file_free(&file);
    return status;
}

carina_status gemma3_session_parse(gemma3_session **out, const char *name, const void *data, uint64_t size,
                                   const gemma3_config *config, uint64_t model, const lora *adapter,
                                   int64_t most_tokens, carina_error *error) {
    tensor_file file;
    *out = NULL;
    TRY(safetensors_parse(&file, name, data, size, error));
    carina_status status = restore(out, &file, name, config, model, adapter, most_tokens, error);
    tensor_file_free(&file);
    return status;
}
