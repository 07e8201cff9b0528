/* The filter tojson: as Hugging Face's library has it, Python's json.dumps with all of Unicode left as it is. Not
 * format/json_writer: Python escapes other characters, and the run's memory is on account. */
#include <stdio.h>
#include <string.h>

#include "text/jinja_internal.h"

/* Two passes: without `bytes` the size is counted, with it the bytes are written. */
typedef struct json_sink {
    jinja_run *run;
    char *bytes;
    uint64_t size;
} json_sink;

static carina_status put(json_sink *s, const char *data, uint64_t size) {
    if (s->bytes && size) memcpy(s->bytes + s->size, data, size);
    s->size += size;
    if (s->size > JINJA_MAX_MEMORY) return jinja_run_fail(s->run, CARINA_ERROR_LIMIT, "a text becomes too large");
    return CARINA_OK;
}

static carina_status put_quoted(json_sink *s, jinja_text text) {
    static const char special[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
    TRY(jinja_spend(s->run, text.size / 16));
    TRY(put(s, "\"", 1));
    for (uint64_t i = 0; i < text.size; i++) {
        char escape[8] = {'\\'};
        unsigned char c = (unsigned char)text.data[i];
        const char *found = c ? strchr(special, c) : NULL;
        if (found)
            escape[1] = letters[found - special];
        else if (c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        TRY(found || c < 0x20 ? put(s, escape, strlen(escape)) : put(s, text.data + i, 1));
    }
    return put(s, "\"", 1);
}

static carina_status put_value(json_sink *s, const jinja_value *v);

static carina_status put_children(json_sink *s, const jinja_value *v) {
    bool dict = v->kind == JINJA_DICT;
    uint64_t count = dict ? v->dict->count : v->list->count;
    TRY(put(s, dict ? "{" : "[", 1));
    for (uint64_t i = 0; i < count; i++) {
        if (i) TRY(put(s, ", ", 2));
        if (dict) {
            TRY(put_quoted(s, v->dict->pairs[i].key));
            TRY(put(s, ": ", 2));
        }
        TRY(put_value(s, dict ? &v->dict->pairs[i].value : &v->list->items[i]));
    }
    return put(s, dict ? "}" : "]", 1);
}

static carina_status put_value(json_sink *s, const jinja_value *v) {
    jinja_run *r = s->run;
    jinja_text text;
    TRY(jinja_spend(r, 1));
    if (v->kind == JINJA_TEXT) return put_quoted(s, v->text);
    if (v->kind == JINJA_LIST || v->kind == JINJA_DICT) {
        if (r->depth >= 2 * JINJA_MAX_DEPTH)
            return jinja_run_fail(r, CARINA_ERROR_LIMIT, "tojson: values more than %d deep", JINJA_MAX_DEPTH);
        r->depth++;
        carina_status status = put_children(s, v);
        r->depth--;
        return status;
    }
    if (v->kind == JINJA_NONE) return put(s, "null", 4);
    if (v->kind == JINJA_TRUTH) return v->truth ? put(s, "true", 4) : put(s, "false", 5);
    if (v->kind != JINJA_WHOLE)
        return jinja_run_fail(r, CARINA_ERROR_FORMAT, "tojson: does not go with %s", jinja_kind_name(v->kind));
    TRY(jinja_to_text(r, v, &text));
    return put(s, text.data, text.size);
}

carina_status jinja_to_json(jinja_run *r, const jinja_value *v, jinja_value *out) {
    json_sink sink = {.run = r};
    void *memory;
    TRY(put_value(&sink, v));
    uint64_t size = sink.size;
    TRY(jinja_take(r, size, &memory));
    sink = (json_sink){.run = r, .bytes = memory};
    TRY(put_value(&sink, v));
    *out = jinja_text_value(memory, size);
    return CARINA_OK;
}
