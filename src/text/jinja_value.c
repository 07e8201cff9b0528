/* Values of a run: made of its memory, compared, turned into text and into lists, all on account. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/utf8.h"
#include "text/jinja_internal.h"

#define BLOCK_BYTES 16384u

typedef struct jinja_block {
    struct jinja_block *before;
    uint64_t size, used;
    _Alignas(16) uint8_t bytes[];
} jinja_block;

/* ---- account and memory ---- */

carina_status jinja_spend(jinja_run *r, uint64_t steps) {
    if (steps > r->steps)
        return jinja_run_fail(r, CARINA_ERROR_LIMIT, "the template takes more than %u steps", JINJA_MAX_STEPS);
    r->steps -= steps;
    return CARINA_OK;
}

carina_status jinja_charge(jinja_run *r, uint64_t bytes) {
    if (bytes > r->memory)
        return jinja_run_fail(r, CARINA_ERROR_LIMIT, "the template uses more than %u MiB", JINJA_MAX_MEMORY >> 20);
    r->memory -= bytes;
    return jinja_spend(r, bytes / 64);
}

carina_status jinja_take(jinja_run *r, uint64_t bytes, void **out) {
    TRY(jinja_charge(r, bytes));
    bytes = (bytes + 15) & ~UINT64_C(15);
    jinja_block *b = r->blocks;
    if (!b || b->size - b->used < bytes) {
        uint64_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        b = malloc(sizeof *b + size);
        if (!b) return error_memory(r->error, "a template's values", size);
        *b = (jinja_block){.before = r->blocks, .size = size};
        r->blocks = b;
    }
    *out = b->bytes + b->used;
    b->used += bytes;
    return CARINA_OK;
}

void jinja_run_free(jinja_run *r) {
    if (!r) return;
    for (jinja_block *b = r->blocks; b;) {
        jinja_block *before = b->before;
        free(b);
        b = before;
    }
    free(r->variables);
    free(r->output);
    free(r);
}

/* ---- making values ---- */

jinja_value jinja_truth_value(bool truth) { return (jinja_value){.kind = JINJA_TRUTH, .truth = truth}; }
jinja_value jinja_whole_value(int64_t whole) { return (jinja_value){.kind = JINJA_WHOLE, .whole = whole}; }
jinja_value jinja_text_value(const char *data, uint64_t size) {
    return (jinja_value){.kind = JINJA_TEXT, .text = {data, size}};
}
jinja_value jinja_undefined_value(jinja_text name) { return (jinja_value){.kind = JINJA_UNDEFINED, .text = name}; }

const char *jinja_kind_name(jinja_kind kind) {
    static const char *const names[] = {
        "an undefined value", "none",         "a truth value", "a number", "a text", "a list",
        "a stream",           "a dictionary", "a namespace",   "a loop"};
    return names[kind];
}

carina_status jinja_make_list(jinja_run *r, uint64_t count, jinja_kind kind, jinja_value *out) {
    void *memory;
    uint64_t bytes;
    if (!size_multiply(count, sizeof(jinja_value), &bytes)) bytes = UINT64_MAX / 2;
    TRY(jinja_take(r, bytes + sizeof(jinja_list), &memory));
    *out = (jinja_value){.kind = kind, .list = memory};
    out->list->count = count;
    for (uint64_t i = 0; i < count; i++) out->list->items[i] = (jinja_value){.kind = JINJA_NONE};
    return CARINA_OK;
}

carina_status jinja_make_dict(jinja_run *r, jinja_kind kind, jinja_value *out) {
    void *memory;
    TRY(jinja_take(r, sizeof(jinja_dict), &memory));
    *out = (jinja_value){.kind = kind, .dict = memory};
    *out->dict = (jinja_dict){NULL, 0, 0};
    return CARINA_OK;
}

static bool same(jinja_text a, jinja_text b) {
    return a.size == b.size && (!a.size || !memcmp(a.data, b.data, a.size));
}

static carina_status find_pair(jinja_run *r, const jinja_dict *dict, jinja_text key, jinja_pair **out) {
    *out = NULL;
    TRY(jinja_spend(r, dict->count / 8 + key.size / 64));
    for (uint64_t i = 0; i < dict->count && !*out; i++)
        if (same(dict->pairs[i].key, key)) *out = &dict->pairs[i];
    return CARINA_OK;
}

carina_status jinja_dict_set(jinja_run *r, jinja_dict *dict, jinja_text key, jinja_value value) {
    jinja_pair *pair;
    TRY(find_pair(r, dict, key, &pair));
    if (!pair && dict->count == dict->room) {
        uint64_t room = 2 * dict->room + 4;
        void *memory;
        TRY(jinja_take(r, room * sizeof *pair, &memory));
        if (dict->count) memcpy(memory, dict->pairs, dict->count * sizeof *pair);
        dict->pairs = memory;
        dict->room = room;
    }
    if (!pair) pair = &dict->pairs[dict->count++];
    *pair = (jinja_pair){key, value};
    return CARINA_OK;
}

carina_status jinja_dict_get(jinja_run *r, const jinja_dict *dict, jinja_text key, const jinja_value **out) {
    jinja_pair *pair;
    TRY(find_pair(r, dict, key, &pair));
    *out = pair ? &pair->value : NULL;
    return CARINA_OK;
}

/* ---- what callers build ---- */

carina_status jinja_run_text(jinja_run *r, const char *text, jinja_value *out) {
    uint64_t size = strlen(text), mended_size;
    *out = jinja_text_value(text, size);
    if (utf8_valid(text, size)) return CARINA_OK;
    void *memory;
    char *mended = utf8_repair(text, size, &mended_size);
    if (!mended) return error_memory(r->error, "a text", size);
    carina_status status = jinja_take(r, mended_size, &memory);
    if (status == CARINA_OK) {
        memcpy(memory, mended, mended_size);
        *out = jinja_text_value(memory, mended_size);
    }
    free(mended);
    return status;
}

carina_status jinja_run_list(jinja_run *r, uint64_t count, jinja_value *out) {
    return jinja_make_list(r, count, JINJA_LIST, out);
}

jinja_value *jinja_run_item(jinja_value *list, uint64_t index) {
    assert(list->kind == JINJA_LIST && index < list->list->count);
    return &list->list->items[index];
}

carina_status jinja_run_dict(jinja_run *r, jinja_value *out) { return jinja_make_dict(r, JINJA_DICT, out); }

carina_status jinja_run_put(jinja_run *r, jinja_value *dict, const char *key, jinja_value value) {
    assert(dict->kind == JINJA_DICT);
    return jinja_dict_set(r, dict->dict, (jinja_text){key, strlen(key)}, value);
}

/* ---- asking ---- */

bool jinja_truth(const jinja_value *v) {
    switch (v->kind) {
        case JINJA_UNDEFINED:
        case JINJA_NONE: return false;
        case JINJA_TRUTH: return v->truth;
        case JINJA_WHOLE: return v->whole != 0;
        case JINJA_TEXT: return v->text.size > 0;
        case JINJA_LIST: return v->list->count > 0;
        case JINJA_DICT: return v->dict->count > 0;
        case JINJA_STREAM:
        case JINJA_NAMESPACE:
        case JINJA_LOOP: break;
    }
    return true;
}

bool jinja_as_whole(const jinja_value *v, int64_t *out) {
    if (v->kind != JINJA_WHOLE && v->kind != JINJA_TRUTH) return false;
    *out = v->kind == JINJA_WHOLE ? v->whole : v->truth;
    return true;
}

static carina_status equal_dicts(jinja_run *r, const jinja_dict *a, const jinja_dict *b, bool *out) {
    *out = a->count == b->count;
    for (uint64_t i = 0; i < a->count && *out; i++) {
        const jinja_value *other;
        TRY(jinja_dict_get(r, b, a->pairs[i].key, &other));
        *out = other != NULL;
        if (other) TRY(jinja_equal(r, &a->pairs[i].value, other, out));
    }
    return CARINA_OK;
}

static carina_status equal_inside(jinja_run *r, const jinja_value *a, const jinja_value *b, bool *out) {
    if (r->depth > JINJA_MAX_DEPTH)
        return jinja_run_fail(r, CARINA_ERROR_LIMIT, "values within each other more than %d deep", JINJA_MAX_DEPTH);
    if (a->kind == JINJA_DICT) return equal_dicts(r, a->dict, b->dict, out);
    *out = a->list->count == b->list->count;
    for (uint64_t i = 0; i < a->list->count && *out; i++)
        TRY(jinja_equal(r, &a->list->items[i], &b->list->items[i], out));
    return CARINA_OK;
}

carina_status jinja_equal(jinja_run *r, const jinja_value *a, const jinja_value *b, bool *out) {
    int64_t x, y;
    TRY(jinja_spend(r, 1));
    if (jinja_as_whole(a, &x) && jinja_as_whole(b, &y)) {
        *out = x == y;
    } else if (a->kind != b->kind) {
        *out = false;
    } else if (a->kind == JINJA_TEXT) {
        *out = same(a->text, b->text);
        return jinja_spend(r, a->text.size / 64);
    } else if (a->kind == JINJA_LIST || a->kind == JINJA_DICT) {
        r->depth++;
        carina_status status = equal_inside(r, a, b, out);
        r->depth--;
        return status;
    } else {
        *out = a->kind == JINJA_UNDEFINED || a->kind == JINJA_NONE || a->dict == b->dict;
    }
    return CARINA_OK;
}

/* ---- as text, as a list ---- */

carina_status jinja_to_text(jinja_run *r, const jinja_value *v, jinja_text *out) {
    char digits[32];
    switch (v->kind) {
        case JINJA_UNDEFINED: *out = (jinja_text){"", 0}; return CARINA_OK;
        case JINJA_NONE: *out = (jinja_text){"None", 4}; return CARINA_OK;
        case JINJA_TRUTH: *out = v->truth ? (jinja_text){"True", 4} : (jinja_text){"False", 5}; return CARINA_OK;
        case JINJA_TEXT: *out = v->text; return CARINA_OK;
        case JINJA_WHOLE: {
            void *memory;
            int size = snprintf(digits, sizeof digits, "%lld", (long long)v->whole);
            TRY(jinja_take(r, (uint64_t)size, &memory));
            memcpy(memory, digits, (size_t)size);
            *out = (jinja_text){memory, (uint64_t)size};
            return CARINA_OK;
        }
        default: break;
    }
    return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "%s as a text is not supported", jinja_kind_name(v->kind));
}

bool jinja_is_iterable(const jinja_value *v) {
    return v->kind == JINJA_UNDEFINED || v->kind == JINJA_TEXT || v->kind == JINJA_LIST || v->kind == JINJA_STREAM ||
           v->kind == JINJA_DICT;
}

uint64_t jinja_character_count(jinja_text text) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < text.size; i++) count += ((uint8_t)text.data[i] & 0xc0) != 0x80;
    return count;
}

static carina_status characters(jinja_run *r, jinja_text text, jinja_value *list) {
    TRY(jinja_spend(r, text.size / 64));
    TRY(jinja_make_list(r, jinja_character_count(text), JINJA_LIST, list));
    uint64_t at = 0;
    for (uint64_t i = 0; i < list->list->count; i++) {
        int size = utf8_character(text.data + at, text.size - at);
        list->list->items[i] = jinja_text_value(text.data + at, (uint64_t)size);
        at += (uint64_t)size;
    }
    return CARINA_OK;
}

carina_status jinja_to_list(jinja_run *r, const jinja_value *v, const jinja_list **out) {
    jinja_value list;
    if (!jinja_is_iterable(v))
        return jinja_run_fail(r, CARINA_ERROR_FORMAT, "%s cannot be gone through", jinja_kind_name(v->kind));
    if (v->kind == JINJA_LIST || v->kind == JINJA_STREAM) {
        *out = v->list;
        return CARINA_OK;
    }
    if (v->kind == JINJA_TEXT) {
        TRY(characters(r, v->text, &list));
    } else {
        TRY(jinja_make_list(r, v->kind == JINJA_DICT ? v->dict->count : 0, JINJA_LIST, &list));
        for (uint64_t i = 0; i < list.list->count; i++)
            list.list->items[i] = (jinja_value){.kind = JINJA_TEXT, .text = v->dict->pairs[i].key};
    }
    *out = list.list;
    return CARINA_OK;
}

carina_status jinja_join_texts(jinja_run *r, jinja_text a, jinja_text b, jinja_value *out) {
    uint64_t size;
    void *memory;
    if (!size_add(a.size, b.size, &size)) size = UINT64_MAX / 2;
    if (!a.size || !b.size) {
        *out = (jinja_value){.kind = JINJA_TEXT, .text = a.size ? a : b};
        return CARINA_OK;
    }
    TRY(jinja_take(r, size, &memory));
    memcpy(memory, a.data, a.size);
    memcpy((char *)memory + a.size, b.data, b.size);
    *out = jinja_text_value(memory, size);
    return CARINA_OK;
}
