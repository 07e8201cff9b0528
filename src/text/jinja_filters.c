/* Filters, tests and methods: what there is, and what each does. Those of texts are Python's on str; where they would
 * need the cases of all of Unicode they keep to ASCII and refuse the rest. */
#include <string.h>

#include "base/utf8.h"
#include "text/jinja_internal.h"

typedef enum entry_id {
    TRIM,
    TRIM_LEFT,
    TRIM_RIGHT,
    LENGTH,
    UPPER,
    LOWER,
    CAPITALIZE,
    JOIN,
    DEFAULT,
    TO_JSON,
    FIRST,
    LAST,
    TO_LIST,
    TO_TEXT,
    ITEMS,
    KEYS,
    VALUES,
    GET,
    REPLACE,
    SPLIT,
    STARTS_WITH,
    ENDS_WITH,
    SELECT,
    REJECT,
    SELECT_ATTRIBUTE,
    REJECT_ATTRIBUTE,
    MAP,
    IS_DEFINED,
    IS_UNDEFINED,
    IS_NONE,
    IS_TEXT,
    IS_NUMBER,
    IS_WHOLE,
    IS_TRUTH,
    IS_TRUE,
    IS_FALSE,
    IS_MAPPING,
    IS_ITERABLE,
    IS_SEQUENCE,
    IS_EQUAL,
    IS_UNEQUAL,
    IS_IN,
    IS_ODD,
    IS_EVEN
} entry_id;

static const jinja_entry filters[] = {
    {"trim", TRIM, 0, {"chars"}},
    {"length", LENGTH, 0, {NULL}},
    {"count", LENGTH, 0, {NULL}},
    {"upper", UPPER, 0, {NULL}},
    {"lower", LOWER, 0, {NULL}},
    {"capitalize", CAPITALIZE, 0, {NULL}},
    {"join", JOIN, 0, {"d"}},
    {"default", DEFAULT, 0, {"default_value", "boolean"}},
    {"d", DEFAULT, 0, {"default_value", "boolean"}},
    {"tojson", TO_JSON, 0, {"indent"}},
    {"first", FIRST, 0, {NULL}},
    {"last", LAST, 0, {NULL}},
    {"list", TO_LIST, 0, {NULL}},
    {"string", TO_TEXT, 0, {NULL}},
    {"items", ITEMS, 0, {NULL}},
    {"replace", REPLACE, 2, {"old", "new"}},
    {"select", SELECT, 0, {"", ""}},
    {"reject", REJECT, 0, {"", ""}},
    {"selectattr", SELECT_ATTRIBUTE, 1, {"", "", ""}},
    {"rejectattr", REJECT_ATTRIBUTE, 1, {"", "", ""}},
    {"map", MAP, 1, {"attribute"}},
};

static const jinja_entry tests[] = {
    {"defined", IS_DEFINED, 0, {NULL}},
    {"undefined", IS_UNDEFINED, 0, {NULL}},
    {"none", IS_NONE, 0, {NULL}},
    {"string", IS_TEXT, 0, {NULL}},
    {"number", IS_NUMBER, 0, {NULL}},
    {"integer", IS_WHOLE, 0, {NULL}},
    {"boolean", IS_TRUTH, 0, {NULL}},
    {"true", IS_TRUE, 0, {NULL}},
    {"false", IS_FALSE, 0, {NULL}},
    {"mapping", IS_MAPPING, 0, {NULL}},
    {"iterable", IS_ITERABLE, 0, {NULL}},
    {"sequence", IS_SEQUENCE, 0, {NULL}},
    {"eq", IS_EQUAL, 1, {""}},
    {"equalto", IS_EQUAL, 1, {""}},
    {"ne", IS_UNEQUAL, 1, {""}},
    {"in", IS_IN, 1, {""}},
    {"odd", IS_ODD, 0, {NULL}},
    {"even", IS_EVEN, 0, {NULL}},
};

static const jinja_entry methods[] = {
    {"strip", TRIM, 0, {""}},
    {"lstrip", TRIM_LEFT, 0, {""}},
    {"rstrip", TRIM_RIGHT, 0, {""}},
    {"split", SPLIT, 0, {""}},
    {"startswith", STARTS_WITH, 1, {""}},
    {"endswith", ENDS_WITH, 1, {""}},
    {"upper", UPPER, 0, {NULL}},
    {"lower", LOWER, 0, {NULL}},
    {"capitalize", CAPITALIZE, 0, {NULL}},
    {"replace", REPLACE, 2, {"", ""}},
    {"items", ITEMS, 0, {NULL}},
    {"keys", KEYS, 0, {NULL}},
    {"values", VALUES, 0, {NULL}},
    {"get", GET, 1, {"", ""}},
};

static const struct {
    const jinja_entry *entries;
    int count;
} tables[] = {[JINJA_FILTERS] = {filters, sizeof filters / sizeof *filters},
              [JINJA_TESTS] = {tests, sizeof tests / sizeof *tests},
              [JINJA_METHODS] = {methods, sizeof methods / sizeof *methods}};

int jinja_entry_find(jinja_table table, jinja_text name) {
    for (int i = 0; i < tables[table].count; i++)
        if (jinja_text_is(name, tables[table].entries[i].name)) return i;
    return -1;
}

const jinja_entry *jinja_entry_at(jinja_table table, int entry) { return &tables[table].entries[entry]; }

int jinja_entry_test_argument(int filter) {
    int id = filters[filter].id;
    if (id == SELECT || id == REJECT) return 0;
    return id == SELECT_ATTRIBUTE || id == REJECT_ATTRIBUTE ? 1 : -1;
}

static carina_status unfit(jinja_run *r, const jinja_entry *entry, const jinja_value *v) {
    return jinja_run_fail(r, CARINA_ERROR_FORMAT, "%s: does not go with %s", entry->name, jinja_kind_name(v->kind));
}

/* ---- texts ---- */

/* A character of `text` at its beginning (or end) that is among `set`: its bytes, else 0. */
static uint64_t among(jinja_text text, jinja_text set, bool end) {
    if (!text.size || !set.size) return 0;
    uint64_t at = end ? text.size - 1 : 0;
    while (end && at > 0 && ((uint8_t)text.data[at] & 0xc0) == 0x80) at--;
    uint64_t size = (uint64_t)utf8_character(text.data + at, text.size - at);
    return memmem(set.data, set.size, text.data + at, size) ? size : 0;
}

/* set: characters to take away; without data white space. */
static carina_status trim(jinja_run *r, int id, jinja_text text, jinja_text set, jinja_value *out) {
    bool left = id != TRIM_RIGHT, right = id != TRIM_LEFT;
    uint64_t taken;
    TRY(jinja_spend(r, (text.size + set.size) / 64));
    if (!set.data) {
        taken = left ? jinja_space_before(text) : 0;
        text = (jinja_text){text.data + taken, text.size - taken};
        text.size -= right ? jinja_space_behind(text) : 0;
    }
    for (; left && (taken = among(text, set, false)); text.data += taken, text.size -= taken)
        TRY(jinja_spend(r, 1 + set.size / 64));
    for (; right && (taken = among(text, set, true)); text.size -= taken) TRY(jinja_spend(r, 1 + set.size / 64));
    *out = (jinja_value){.kind = JINJA_TEXT, .text = text};
    return CARINA_OK;
}

static carina_status change_case(jinja_run *r, const jinja_entry *entry, jinja_text text, jinja_value *out) {
    void *memory;
    TRY(jinja_take(r, text.size, &memory));
    char *letters = memory;
    for (uint64_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if ((uint8_t)c >= 0x80)
            return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "%s: only ASCII is supported", entry->name);
        bool up = entry->id == UPPER || (entry->id == CAPITALIZE && i == 0);
        if (up && c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        if (!up && c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        letters[i] = c;
    }
    *out = jinja_text_value(letters, text.size);
    return CARINA_OK;
}

static const char *find(jinja_text text, uint64_t from, jinja_text part) {
    return text.size > from ? memmem(text.data + from, text.size - from, part.data, part.size) : NULL;
}

static carina_status count_parts(jinja_run *r, jinja_text text, jinja_text part, uint64_t *out) {
    *out = 0;
    if (!part.size) return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "an empty text is looked for");
    TRY(jinja_spend(r, text.size / 16));
    for (const char *at; (at = find(text, 0, part)); (*out)++) {
        uint64_t skip = (uint64_t)(at - text.data) + part.size;
        text = (jinja_text){text.data + skip, text.size - skip};
    }
    return CARINA_OK;
}

static carina_status replace(jinja_run *r, jinja_text text, jinja_text old, jinja_text new, jinja_value *out) {
    uint64_t count, made = 0, from = 0;
    void *memory;
    TRY(count_parts(r, text, old, &count));
    if (count && new.size > JINJA_MAX_MEMORY / count)
        return jinja_run_fail(r, CARINA_ERROR_LIMIT, "a text becomes too large");
    TRY(jinja_take(r, text.size - count * old.size + count * new.size, &memory));
    char *end = memory;
    while (from < text.size) {
        const char *at = find(text, from, old);
        uint64_t size = at ? (uint64_t)(at - text.data) - from : text.size - from;
        memcpy(end + made, text.data + from, size);
        made += size;
        if (at && new.size) memcpy(end + made, new.data, new.size);
        made += at ? new.size : 0;
        from += size + (at ? old.size : 0);
    }
    *out = jinja_text_value(end, made);
    return CARINA_OK;
}

static carina_status split(jinja_run *r, jinja_text text, jinja_text at, jinja_value *out) {
    uint64_t count;
    TRY(count_parts(r, text, at, &count));
    TRY(jinja_make_list(r, count + 1, JINJA_LIST, out));
    for (uint64_t i = 0; i <= count; i++) {
        const char *found = i < count ? find(text, 0, at) : NULL;
        uint64_t size = found ? (uint64_t)(found - text.data) : text.size, skip = size + (found ? at.size : 0);
        out->list->items[i] = jinja_text_value(text.data, size);
        text = (jinja_text){text.data + skip, text.size - skip};
    }
    return CARINA_OK;
}

static bool starts_or_ends(jinja_text text, jinja_text part, bool end) {
    if (part.size > text.size) return false;
    return !part.size || memcmp(text.data + (end ? text.size - part.size : 0), part.data, part.size) == 0;
}

/* ---- lists and dictionaries ---- */

static carina_status length(jinja_run *r, const jinja_entry *entry, const jinja_value *v, jinja_value *out) {
    switch (v->kind) {
        case JINJA_UNDEFINED: *out = jinja_whole_value(0); return CARINA_OK;
        case JINJA_TEXT: *out = jinja_whole_value((int64_t)jinja_character_count(v->text)); break;
        case JINJA_LIST: *out = jinja_whole_value((int64_t)v->list->count); return CARINA_OK;
        case JINJA_DICT: *out = jinja_whole_value((int64_t)v->dict->count); return CARINA_OK;
        case JINJA_LOOP: *out = jinja_whole_value((int64_t)v->loop->items->count); return CARINA_OK;
        default: return unfit(r, entry, v);
    }
    return jinja_spend(r, v->text.size / 64);
}

static carina_status join(jinja_run *r, const jinja_value *input, jinja_text between, jinja_value *out) {
    const jinja_list *list;
    uint64_t size = 0, at = 0;
    jinja_value texts;
    void *memory;
    TRY(jinja_to_list(r, input, &list));
    TRY(jinja_make_list(r, list->count, JINJA_LIST, &texts));
    for (uint64_t i = 0; i < list->count; i++) {
        jinja_text *text = &texts.list->items[i].text;
        TRY(jinja_to_text(r, &list->items[i], text));
        size += text->size + (i ? between.size : 0);
        if (size > JINJA_MAX_MEMORY) return jinja_run_fail(r, CARINA_ERROR_LIMIT, "a text becomes too large");
    }
    TRY(jinja_take(r, size, &memory));
    char *end = memory;
    for (uint64_t i = 0; i < list->count; i++) {
        jinja_text text = texts.list->items[i].text;
        if (i && between.size) memcpy(end + at, between.data, between.size);
        at += i ? between.size : 0;
        if (text.size) memcpy(end + at, text.data, text.size);
        at += text.size;
    }
    *out = jinja_text_value(end, size);
    return CARINA_OK;
}

static carina_status entries(jinja_run *r, int id, const jinja_dict *dict, jinja_value *out) {
    TRY(jinja_make_list(r, dict->count, JINJA_STREAM, out));
    for (uint64_t i = 0; i < dict->count; i++) {
        jinja_value pair, key = {.kind = JINJA_TEXT, .text = dict->pairs[i].key};
        if (id == ITEMS) {
            TRY(jinja_make_list(r, 2, JINJA_LIST, &pair));
            pair.list->items[0] = key;
            pair.list->items[1] = dict->pairs[i].value;
        }
        out->list->items[i] = id == ITEMS ? pair : id == KEYS ? key : dict->pairs[i].value;
    }
    return CARINA_OK;
}

static carina_status first_or_last(jinja_run *r, const jinja_entry *entry, const jinja_value *input, jinja_value *out) {
    const jinja_list *list;
    TRY(jinja_to_list(r, input, &list));
    *out = jinja_undefined_value((jinja_text){"an item of nothing", 18});
    if (list->count) *out = list->items[entry->id == LAST ? list->count - 1 : 0];
    return CARINA_OK;
}

/* select, reject, and of an item's attribute; map(attribute=...) keeps all of them. */
static carina_status select_items(jinja_run *r, int id, const jinja_value *input, const jinja_arguments *a,
                                  jinja_value *out) {
    bool attribute = id != SELECT && id != REJECT, wanted = id == SELECT || id == SELECT_ATTRIBUTE;
    const jinja_list *list;
    uint64_t count = 0;
    if (attribute && (a->values[0].kind != JINJA_TEXT || memchr(a->values[0].text.data, '.', a->values[0].text.size)))
        return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "expected the name of an attribute, without dots");
    TRY(jinja_to_list(r, input, &list));
    TRY(jinja_make_list(r, list->count, JINJA_STREAM, out));
    for (uint64_t i = 0; i < list->count; i++) {
        jinja_value v = list->items[i];
        TRY(jinja_spend(r, 1));
        if (attribute) TRY(jinja_item(r, &list->items[i], &a->values[0], &v));
        bool chosen = a->test < 0 && jinja_truth(&v);
        if (a->test >= 0) TRY(jinja_test(r, a->test, &v, &a->values[attribute ? 2 : 1], &chosen));
        if (id == MAP)
            out->list->items[count++] = v;
        else if (chosen == wanted)
            out->list->items[count++] = list->items[i];
    }
    out->list->count = count;
    return CARINA_OK;
}

/* ---- which does what ---- */

/* An argument that must be a text; {NULL, 0} when it is not given, or none. */
static carina_status text_argument(jinja_run *r, const jinja_entry *entry, const jinja_arguments *a, int place,
                                   jinja_text *out) {
    *out = (jinja_text){NULL, 0};
    if (!a->given[place] || (a->values[place].kind == JINJA_NONE && entry->least <= place)) return CARINA_OK;
    if (a->values[place].kind != JINJA_TEXT)
        return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "%s: expected a text, found %s", entry->name,
                              jinja_kind_name(a->values[place].kind));
    *out = a->values[place].text;
    return CARINA_OK;
}

static carina_status of_text(jinja_run *r, const jinja_entry *entry, jinja_text text, const jinja_arguments *a,
                             jinja_value *out) {
    jinja_text first, second;
    TRY(text_argument(r, entry, a, 0, &first));
    TRY(text_argument(r, entry, a, 1, &second));
    switch (entry->id) {
        case TRIM:
        case TRIM_LEFT:
        case TRIM_RIGHT: return trim(r, entry->id, text, first, out);
        case UPPER:
        case LOWER:
        case CAPITALIZE: return change_case(r, entry, text, out);
        case REPLACE: return replace(r, text, first, second, out);
        case SPLIT:
            if (!first.data)
                return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "split at white space is not supported");
            return split(r, text, first, out);
        case STARTS_WITH:
        case ENDS_WITH:
            TRY(jinja_spend(r, first.size / 64));
            *out = jinja_truth_value(starts_or_ends(text, first, entry->id == ENDS_WITH));
            return CARINA_OK;
        default: *out = (jinja_value){.kind = JINJA_TEXT, .text = text}; return CARINA_OK; /* TO_TEXT */
    }
}

static carina_status set_default(const jinja_value *input, const jinja_arguments *a, jinja_value *out) {
    bool use = input->kind == JINJA_UNDEFINED || (a->given[1] && jinja_truth(&a->values[1]) && !jinja_truth(input));
    *out = *input;
    if (use) *out = a->given[0] ? a->values[0] : jinja_text_value("", 0);
    return CARINA_OK;
}

static carina_status to_list(jinja_run *r, const jinja_value *input, jinja_value *out) {
    const jinja_list *list;
    TRY(jinja_to_list(r, input, &list));
    TRY(jinja_make_list(r, list->count, JINJA_LIST, out));
    if (list->count) memcpy(out->list->items, list->items, list->count * sizeof *list->items);
    return CARINA_OK;
}

/* Filters that take what `for` takes, streams too. */
static bool goes_through(int id) {
    return id == JOIN || id == FIRST || id == TO_LIST || id == SELECT || id == REJECT || id == SELECT_ATTRIBUTE ||
           id == REJECT_ATTRIBUTE || id == MAP;
}

carina_status jinja_filter(jinja_run *r, int index, const jinja_value *input, const jinja_arguments *a,
                           jinja_value *out) {
    const jinja_entry *entry = &filters[index];
    jinja_text text;
    if (input->kind == JINJA_STREAM && !goes_through(entry->id))
        return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "%s: put | list in front", entry->name);
    switch (entry->id) {
        case LENGTH: return length(r, entry, input, out);
        case JOIN: TRY(text_argument(r, entry, a, 0, &text)); return join(r, input, text, out);
        case DEFAULT: return set_default(input, a, out);
        case TO_JSON:
            if (a->given[0] && a->values[0].kind != JINJA_NONE)
                return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "tojson: indentation is not supported");
            return jinja_to_json(r, input, out);
        case FIRST:
        case LAST: return first_or_last(r, entry, input, out);
        case TO_LIST: return to_list(r, input, out);
        case ITEMS:
            if (input->kind == JINJA_UNDEFINED) return jinja_make_list(r, 0, JINJA_STREAM, out);
            if (input->kind != JINJA_DICT) return unfit(r, entry, input);
            return entries(r, ITEMS, input->dict, out);
        case SELECT:
        case REJECT:
        case SELECT_ATTRIBUTE:
        case REJECT_ATTRIBUTE:
        case MAP: return select_items(r, entry->id, input, a, out);
        default: break;
    }
    TRY(jinja_to_text(r, input, &text));
    return of_text(r, entry, text, a, out);
}

carina_status jinja_method(jinja_run *r, int index, const jinja_value *input, const jinja_arguments *a,
                           jinja_value *out) {
    const jinja_entry *entry = &methods[index];
    bool of_dict = entry->id == ITEMS || entry->id == KEYS || entry->id == VALUES || entry->id == GET;
    if (input->kind != (of_dict ? JINJA_DICT : JINJA_TEXT)) return unfit(r, entry, input);
    if (!of_dict) return of_text(r, entry, input->text, a, out);
    if (entry->id != GET) return entries(r, entry->id, input->dict, out);
    const jinja_value *found = NULL;
    if (a->values[0].kind == JINJA_TEXT) TRY(jinja_dict_get(r, input->dict, a->values[0].text, &found));
    *out = found ? *found : a->given[1] ? a->values[1] : (jinja_value){.kind = JINJA_NONE};
    return CARINA_OK;
}

carina_status jinja_test(jinja_run *r, int index, const jinja_value *v, const jinja_value *argument, bool *out) {
    const jinja_entry *entry = &tests[index];
    int64_t whole;
    switch (entry->id) {
        case IS_DEFINED: *out = v->kind != JINJA_UNDEFINED; break;
        case IS_UNDEFINED: *out = v->kind == JINJA_UNDEFINED; break;
        case IS_NONE: *out = v->kind == JINJA_NONE; break;
        case IS_TEXT: *out = v->kind == JINJA_TEXT; break;
        case IS_NUMBER: *out = jinja_as_whole(v, &whole); break;
        case IS_WHOLE: *out = v->kind == JINJA_WHOLE; break;
        case IS_TRUTH: *out = v->kind == JINJA_TRUTH; break;
        case IS_TRUE: *out = v->kind == JINJA_TRUTH && v->truth; break;
        case IS_FALSE: *out = v->kind == JINJA_TRUTH && !v->truth; break;
        case IS_MAPPING: *out = v->kind == JINJA_DICT; break;
        case IS_ITERABLE: *out = jinja_is_iterable(v) || v->kind == JINJA_LOOP; break;
        case IS_SEQUENCE: *out = jinja_is_iterable(v); break;
        case IS_EQUAL: return jinja_equal(r, v, argument, out);
        case IS_UNEQUAL:
            TRY(jinja_equal(r, v, argument, out));
            *out = !*out;
            break;
        case IS_IN: return jinja_contains(r, v, argument, out);
        default:
            if (!jinja_as_whole(v, &whole)) return unfit(r, entry, v);
            *out = (whole % 2 != 0) == (entry->id == IS_ODD);
    }
    return CARINA_OK;
}
