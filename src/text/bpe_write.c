/* Writing tokenizer.json, with the fields and in the order of Hugging Face's library. */
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "format/json_writer.h"
#include "text/bpe_internal.h"

static void put_value(json_writer *w, const json_value *value) {
    const char *key;
    const json_value *child;
    double number = 0;
    bool truth = false;
    switch (json_kind_of(value)) {
        case JSON_KIND_NULL: json_put_null(w); break;
        case JSON_KIND_BOOL: json_truth(value, &truth), json_put_truth(w, truth); break;
        case JSON_KIND_NUMBER: json_number(value, &number), json_put_number(w, number); break;
        case JSON_KIND_TEXT: json_put_text(w, json_text(value)); break;
        case JSON_KIND_ARRAY:
            json_begin_array(w);
            for (uint64_t i = 0; i < json_count(value); i++) put_value(w, json_item(value, i));
            json_end(w);
            break;
        case JSON_KIND_OBJECT:
            json_begin_object(w);
            for (void *position = NULL; json_next(value, &position, &key, &child);) {
                json_key(w, key);
                put_value(w, child);
            }
            json_end(w);
            break;
    }
}

static carina_status put_part(json_writer *w, const bpe *b, bpe_part part, carina_error *error) {
    const char *text = b->settings.parts[part];
    json_document *document;
    json_key(w, bpe_part_name(part));
    TRY(json_parse(&document, bpe_part_name(part), text ? text : "null", text ? strlen(text) : 4, NULL, error));
    put_value(w, json_root(document));
    json_free(document);
    return CARINA_OK;
}

static void put_text_of(json_writer *w, const bpe *b, int32_t id) {
    json_put_bytes(w, bpe_text_of(b, id), b->tokens[id].size);
}

static void put_added(json_writer *w, const bpe *b) {
    json_key(w, "added_tokens");
    json_begin_array(w);
    for (uint32_t id = 0; id < b->count; id++) {
        unsigned flags = b->tokens[id].flags;
        if (!(flags & BPE_ADDED)) continue;
        json_begin_inline(w, true);
        json_field_whole(w, "id", id);
        json_key(w, "content");
        put_text_of(w, b, (int32_t)id);
        json_field_truth(w, "single_word", flags & BPE_SINGLE_WORD);
        json_field_truth(w, "lstrip", flags & BPE_LSTRIP);
        json_field_truth(w, "rstrip", flags & BPE_RSTRIP);
        json_field_truth(w, "normalized", flags & BPE_NORMALIZED);
        json_field_truth(w, "special", flags & BPE_SPECIAL);
        json_end(w);
    }
    json_end(w);
}

/* A key may have any bytes but NUL. */
static carina_status put_vocab(json_writer *w, const bpe *b, carina_error *error) {
    char key[BPE_MAX_TOKEN + 1];
    json_key(w, "vocab");
    json_begin_object(w);
    for (uint32_t id = 0; id < b->count; id++) {
        const bpe_token_entry *t = &b->tokens[id];
        if (!(t->flags & BPE_IN_MODEL)) continue;
        if (memchr(b->text + t->begin, 0, t->size))
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: token %u has a NUL in it and cannot be written",
                             b->name, id);
        memcpy(key, b->text + t->begin, t->size);
        key[t->size] = 0;
        json_field_whole(w, key, id);
    }
    json_end(w);
    return CARINA_OK;
}

static carina_status put_model(json_writer *w, const bpe *b, carina_error *error) {
    json_key(w, "model");
    json_begin_object(w);
    json_field_text(w, "type", "BPE");
    json_key(w, "dropout");
    json_put_null(w);
    json_field_text(w, "unk_token", b->settings.unk_token);
    json_key(w, "continuing_subword_prefix");
    json_put_null(w);
    json_key(w, "end_of_word_suffix");
    json_put_null(w);
    json_field_truth(w, "fuse_unk", b->settings.fuse_unk);
    json_field_truth(w, "byte_fallback", b->settings.byte_fallback);
    json_field_truth(w, "ignore_merges", b->settings.ignore_merges);
    TRY(put_vocab(w, b, error));
    json_key(w, "merges");
    json_begin_array(w);
    for (uint32_t i = 0; i < b->merge_count; i++) {
        json_begin_inline(w, false);
        put_text_of(w, b, b->merges[i].left);
        put_text_of(w, b, b->merges[i].right);
        json_end(w);
    }
    json_end(w);
    json_end(w);
    return CARINA_OK;
}

static carina_status put_file(json_writer *w, const bpe *b, carina_error *error) {
    json_begin_object(w);
    json_field_text(w, "version", "1.0");
    json_key(w, "truncation");
    json_put_null(w);
    json_key(w, "padding");
    json_put_null(w);
    put_added(w, b);
    for (int i = 0; i < BPE_PART_COUNT; i++) TRY(put_part(w, b, (bpe_part)i, error));
    TRY(put_model(w, b, error));
    json_end(w);
    return CARINA_OK;
}

carina_status bpe_write(const bpe *b, const char *path, carina_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    json_writer w = json_writer_make(file_writer_stream(writer), JSON_PRETTY);
    carina_status status = put_file(&w, b, error);
    if (status == CARINA_OK) return file_writer_commit(writer, error);
    file_writer_abort(writer);
    return status;
}
