/* From YAML and key=value words to structs, by tables; see config.h. Values back to text are in config_write.c.
 *
 * All parts' fields are laid out in one list with full keys ("model.width"); the file's tree is walked along the keys,
 * and every value, wherever it came from, goes through the same assignment with the same checks.
 */
#include "format/config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"
#include "base/number.h"
#include "format/config_slots.h"
#include "format/yaml.h"

carina_status config_slots_make(config_slots *out, const config_part *parts, uint32_t part_count, carina_error *error) {
    *out = (config_slots){0};
    for (uint32_t p = 0; p < part_count; p++) out->count += parts[p].schema->count;
    if (out->count > CONFIG_MAX_FIELDS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "configuration: more than %d fields", CONFIG_MAX_FIELDS);
    out->slots = calloc(out->count + 1, sizeof *out->slots);
    if (!out->slots) return error_memory(error, "configuration", out->count * sizeof *out->slots);
    uint32_t at = 0;
    for (uint32_t p = 0; p < part_count; p++) {
        for (uint32_t i = 0; i < parts[p].schema->count; i++, at++) {
            config_slot *slot = &out->slots[at];
            slot->field = &parts[p].schema->fields[i];
            slot->value = (char *)parts[p].target + slot->field->offset;
            int length = snprintf(slot->key, sizeof slot->key, "%s%s%s", parts[p].prefix, *parts[p].prefix ? "." : "",
                                  slot->field->key);
            if (length < 0 || (size_t)length >= sizeof slot->key) {
                free(out->slots);
                return error_set(error, CARINA_ERROR_ARGUMENT, "configuration: key '%s' is too long", slot->field->key);
            }
        }
    }
    return CARINA_OK;
}

void config_slots_free(config_slots *slots) {
    free(slots->slots);
    *slots = (config_slots){0};
}

static size_t value_size(config_type type) {
    switch (type) {
        case CONFIG_INT64: return sizeof(int64_t);
        case CONFIG_INT:
        case CONFIG_ENUM: return sizeof(int);
        case CONFIG_DOUBLE: return sizeof(double);
        case CONFIG_FLOAT: return sizeof(float);
        case CONFIG_BOOL: return sizeof(bool);
        case CONFIG_TEXT: return sizeof(char *);
        case CONFIG_INT_LIST: return sizeof(config_ints);
        case CONFIG_FLOAT_LIST: return sizeof(config_floats);
        case CONFIG_TEXT_LIST: return sizeof(config_texts);
    }
    return 0;
}

static void clear(const config_field *field, void *value) {
    if (field->type == CONFIG_TEXT) free(*(char **)value);
    if (field->type == CONFIG_INT_LIST) free(((config_ints *)value)->items);
    if (field->type == CONFIG_FLOAT_LIST) free(((config_floats *)value)->items);
    if (field->type == CONFIG_TEXT_LIST) {
        config_texts *list = value;
        for (uint32_t i = 0; i < list->count; i++) free(list->items[i]);
        free(list->items);
    }
    memset(value, 0, value_size(field->type));
}

void config_free(const config_part *parts, uint32_t part_count) {
    for (uint32_t p = 0; p < part_count; p++)
        for (uint32_t i = 0; i < parts[p].schema->count; i++)
            clear(&parts[p].schema->fields[i], (char *)parts[p].target + parts[p].schema->fields[i].offset);
}

const char *config_type_name(config_type type) {
    static const char *const names[] = {
        "whole number", "whole number", "number",           "number",          "true or false",
        "text",         "choice",       "list of integers", "list of numbers", "list of texts",
    };
    return names[type];
}

/* Where a value was written, for messages: "file.yaml:12" or "key=value word". */
typedef struct origin {
    const char *name;
    int line; /* 0: on the command line */
} origin;

static carina_status status_of(origin from) {
    return from.line == 0 && strcmp(from.name, CONFIG_COMMAND_LINE) == 0 ? CARINA_ERROR_ARGUMENT : CARINA_ERROR_FORMAT;
}

static carina_status fail(origin from, const char *key, carina_error *error, const char *what, const char *text) {
    char place[300];
    snprintf(place, sizeof place, from.line ? "%.280s:%d" : "%.280s", from.name, from.line);
    return error_set(error, status_of(from), "%s: %s: %s%s%s%s", place, key, what, text ? " '" : "", text ? text : "",
                     text ? "'" : "");
}

static carina_status check_range(const config_slot *slot, double value, origin from, carina_error *error) {
    const config_field *field = slot->field;
    if (value >= field->minimum && value <= field->maximum) return CARINA_OK;
    char low[NUMBER_TEXT], high[NUMBER_TEXT], what[120];
    number_format(low, field->minimum);
    number_format(high, field->maximum);
    if (isinf(field->maximum))
        snprintf(what, sizeof what, "must be at least %s, not", low);
    else if (isinf(field->minimum))
        snprintf(what, sizeof what, "must be at most %s, not", high);
    else
        snprintf(what, sizeof what, "must lie in %s .. %s, not", low, high);
    char text[NUMBER_TEXT];
    number_format(text, value);
    return fail(from, slot->key, error, what, text);
}

static carina_status parse_whole(const config_slot *slot, const char *text, origin from, int64_t *out,
                                 carina_error *error) {
    double real;
    if (!number_parse_integer(text, out)) { /* 1e6 is welcome, 1.5 and 1e300 are not */
        if (!number_parse(text, &real) || real != trunc(real) || fabs(real) > 0x1p53)
            return fail(from, slot->key, error, "expects a whole number, not", text);
        *out = (int64_t)real;
    }
    return check_range(slot, (double)*out, from, error);
}

static carina_status parse_number(const config_slot *slot, const char *text, origin from, double *out,
                                  carina_error *error) {
    if (!number_parse(text, out)) return fail(from, slot->key, error, "expects a number, not", text);
    return check_range(slot, *out, from, error);
}

static carina_status parse_truth(const config_slot *slot, const char *text, origin from, bool *out,
                                 carina_error *error) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (int i = 0; i < 6; i++) {
        if (strcasecmp(words[i], text) == 0) {
            *out = i % 2;
            return CARINA_OK;
        }
    }
    return fail(from, slot->key, error, "expects true or false, not", text);
}

static carina_status parse_choice(const config_slot *slot, const char *text, origin from, int *out,
                                  carina_error *error) {
    char what[240] = "expects one of";
    for (int i = 0; slot->field->names[i]; i++) {
        if (strcmp(slot->field->names[i], text) == 0) {
            *out = i;
            return CARINA_OK;
        }
        size_t used = strlen(what);
        snprintf(what + used, sizeof what - used, "%s %s", i ? "," : "", slot->field->names[i]);
    }
    size_t used = strlen(what);
    snprintf(what + used, sizeof what - used, "; not");
    return fail(from, slot->key, error, what, text);
}

static carina_status assign_scalar(const config_slot *slot, const char *text, origin from, carina_error *error) {
    int64_t whole;
    double real;
    switch (slot->field->type) {
        case CONFIG_INT64: return parse_whole(slot, text, from, slot->value, error);
        case CONFIG_INT:
            TRY(parse_whole(slot, text, from, &whole, error));
            if (whole < INT32_MIN || whole > INT32_MAX) return fail(from, slot->key, error, "is too large:", text);
            *(int *)slot->value = (int)whole;
            return CARINA_OK;
        case CONFIG_DOUBLE: return parse_number(slot, text, from, slot->value, error);
        case CONFIG_FLOAT:
            TRY(parse_number(slot, text, from, &real, error));
            *(float *)slot->value = (float)real;
            if (!isfinite(*(float *)slot->value)) return fail(from, slot->key, error, "is too large:", text);
            return CARINA_OK;
        case CONFIG_BOOL: return parse_truth(slot, text, from, slot->value, error);
        case CONFIG_ENUM: return parse_choice(slot, text, from, slot->value, error);
        case CONFIG_TEXT: {
            char *copy = strdup(text);
            if (!copy) return error_memory(error, slot->key, strlen(text));
            free(*(char **)slot->value);
            *(char **)slot->value = copy;
            return CARINA_OK;
        }
        default: return fail(from, slot->key, error, "expects a list such as [1, 2], not", text);
    }
}

/* Items of a list, one after another, into fresh memory that replaces the old. */
static carina_status assign_list(const config_slot *slot, const yaml_value *sequence, const origin from,
                                 carina_error *error) {
    uint32_t count = sequence->count;
    if (count > CONFIG_MAX_LIST) return fail(from, slot->key, error, "has too many items", NULL);
    for (uint32_t i = 0; i < count; i++)
        if (sequence->children[i]->kind != YAML_SCALAR || yaml_is_null(sequence->children[i]))
            return fail(from, slot->key, error, "expects plain values in its list", NULL);
    clear(slot->field, slot->value);
    if (count == 0) return CARINA_OK;
    size_t item_size = slot->field->type == CONFIG_TEXT_LIST ? sizeof(char *) : sizeof(double);
    void *items = calloc(count, item_size);
    if (!items) return error_memory(error, slot->key, count * item_size);
    /* The three list types are alike: a pointer, then the count. */
    memcpy(slot->value, &items, sizeof items);
    uint32_t *filled = &((config_ints *)slot->value)->count;
    for (uint32_t i = 0; i < count; i++, (*filled)++) {
        const char *text = sequence->children[i]->text;
        origin here = {from.name, from.line ? sequence->children[i]->line : 0};
        if (slot->field->type == CONFIG_INT_LIST) {
            TRY(parse_whole(slot, text, here, &((int64_t *)items)[i], error));
        } else if (slot->field->type == CONFIG_FLOAT_LIST) {
            TRY(parse_number(slot, text, here, &((double *)items)[i], error));
        } else if (!(((char **)items)[i] = strdup(text))) {
            return error_memory(error, slot->key, strlen(text));
        }
    }
    return CARINA_OK;
}

static bool is_list(config_type type) { return type >= CONFIG_INT_LIST; }

static carina_status assign(const config_slot *slot, const yaml_value *value, origin from, carina_error *error) {
    char what[120];
    if (is_list(slot->field->type) && value->kind == YAML_SEQUENCE) return assign_list(slot, value, from, error);
    if (value->kind != YAML_SCALAR || is_list(slot->field->type)) {
        snprintf(what, sizeof what, "expects a %s, not a %s", config_type_name(slot->field->type),
                 yaml_kind_name(value->kind));
        return fail(from, slot->key, error, what, NULL);
    }
    if (yaml_is_null(value)) {
        if (slot->field->type == CONFIG_TEXT) return assign_scalar(slot, "", from, error);
        return fail(from, slot->key, error, "has no value (remove the key to take its default)", NULL);
    }
    return assign_scalar(slot, value->text, from, error);
}

/* A value as it stands in a table or behind "key=": raw text for text fields (unless in quotes), [1, 2] or 1,2 for
 * lists. */
static carina_status assign_text(const config_slot *slot, const char *text, origin from, carina_error *error) {
    config_type type = slot->field->type;
    bool quoted = text[0] == '"' || text[0] == '\'';
    if (!is_list(type) && !quoted) return assign_scalar(slot, text, from, error);
    bool bare_list = is_list(type) && text[0] != '[';
    size_t size = strlen(text) + 3;
    char *yaml = malloc(size);
    if (!yaml) return error_memory(error, slot->key, size);
    snprintf(yaml, size, bare_list ? "[%s]" : "%s", text);
    yaml_tree *tree;
    carina_error detail;
    carina_status status = yaml_parse(&tree, slot->key, yaml, strlen(yaml), &detail);
    free(yaml);
    if (status != CARINA_OK) return fail(from, slot->key, error, "cannot be understood:", text);
    status = assign(slot, yaml_root(tree), from, error);
    yaml_free(tree);
    return status;
}

static config_slot *find_slot(const config_slots *all, const char *key) {
    for (uint32_t i = 0; i < all->count; i++)
        if (strcmp(all->slots[i].key, key) == 0) return &all->slots[i];
    return NULL;
}

static bool is_section(const config_slots *all, const char *key) {
    size_t length = strlen(key);
    for (uint32_t i = 0; i < all->count; i++)
        if (strncmp(all->slots[i].key, key, length) == 0 && all->slots[i].key[length] == '.') return true;
    return false;
}

static const char *last_word(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

/* How far a known key is from what was written; 0: too far to be meant. Alike as a whole, or the same word in another
 * section. */
static int distance_to(const char *candidate, const char *key) {
    const char *word = last_word(candidate), *wanted = last_word(key);
    if (!nearest_word(key, &candidate, 1) && !nearest_word(wanted, &word, 1)) return 0;
    return 1 + 2 * nearest_distance(wanted, word) + nearest_distance(key, candidate);
}

/* The known key or section that was most likely meant; false: none is near. */
static bool nearest_key(char out[CONFIG_MAX_KEY], const config_slots *all, const char *key) {
    int best = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        for (const char *end = all->slots[i].key; *end;) {
            end += 1 + strcspn(end + 1, "."); /* "model", then "model.width" */
            char candidate[CONFIG_MAX_KEY];
            snprintf(candidate, sizeof candidate, "%.*s", (int)(end - all->slots[i].key), all->slots[i].key);
            int distance = distance_to(candidate, key);
            if (!distance || (best && distance >= best)) continue;
            best = distance;
            strcpy(out, candidate);
        }
    }
    return best > 0;
}

static carina_status unknown_key(const config_slots *all, const char *key, origin from, carina_error *error) {
    char nearest[CONFIG_MAX_KEY] = "";
    bool found = nearest_key(nearest, all, key);
    char place[300];
    snprintf(place, sizeof place, from.line ? "%.280s:%d" : "%.280s", from.name, from.line);
    return error_set(error, status_of(from), "%s: unknown key '%.80s'%s%s%s", place, key,
                     found ? " (did you mean '" : "", nearest, found ? "'?)" : "");
}

/* Recursion is bounded by YAML_MAX_DEPTH. */
static carina_status take_mapping(config_slots *all, const char *name, const char *section, const yaml_value *mapping,
                                  carina_error *error) {
    for (uint32_t i = 0; i < mapping->count; i++) {
        char key[CONFIG_MAX_KEY];
        origin from = {name, mapping->key_lines[i]};
        const yaml_value *value = mapping->children[i];
        int length = snprintf(key, sizeof key, "%s%s%s", section, *section ? "." : "", mapping->keys[i]);
        if (length < 0 || (size_t)length >= sizeof key) return fail(from, key, error, "unknown key", NULL);
        config_slot *slot = find_slot(all, key);
        if (slot) {
            if (slot->line) return fail(from, key, error, "is given twice", NULL);
            TRY(assign(slot, value, from, error));
            slot->line = from.line;
        } else if (!is_section(all, key)) {
            return unknown_key(all, key, from, error);
        } else if (value->kind == YAML_MAPPING) {
            TRY(take_mapping(all, name, key, value, error));
        } else if (!yaml_is_null(value)) {
            return fail(from, key, error, "is a section: keys with values are expected below it", NULL);
        }
    }
    return CARINA_OK;
}

static carina_status take_word(config_slots *all, const char *word, carina_error *error) {
    const char *equal = strchr(word, '=');
    if (!equal || equal == word)
        return error_set(error, CARINA_ERROR_ARGUMENT, "'%.200s' is not of the form key=value", word);
    char key[CONFIG_MAX_KEY];
    origin from = {CONFIG_COMMAND_LINE, 0};
    snprintf(key, sizeof key, "%.*s", (int)(equal - word < 1000 ? equal - word : 1000), word);
    config_slot *slot = find_slot(all, key);
    if (!slot && is_section(all, key)) return fail(from, key, error, "is a section: name a key below it", NULL);
    if (!slot) return unknown_key(all, key, from, error);
    slot->line = -1;
    return assign_text(slot, equal + 1, from, error);
}

static carina_status fill(config_slots *all, const char *name, const yaml_value *root, const char *const *words,
                          uint32_t word_count, carina_error *error) {
    for (uint32_t i = 0; i < all->count; i++) {
        const config_slot *slot = &all->slots[i];
        if (slot->field->default_text)
            TRY(assign_text(slot, slot->field->default_text, (origin){"built-in default", 0}, error));
    }
    if (root && root->kind != YAML_MAPPING)
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: keys with values are expected", name, root->line);
    if (root) TRY(take_mapping(all, name, "", root, error));
    for (uint32_t i = 0; i < word_count; i++) TRY(take_word(all, words[i], error));
    for (uint32_t i = 0; i < all->count; i++) {
        const config_slot *slot = &all->slots[i];
        if (!slot->field->default_text && !slot->line)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: required key '%s' is missing (%s)",
                             name ? name : "configuration", slot->key, slot->field->help);
    }
    return CARINA_OK;
}

static carina_status load(const config_part *parts, uint32_t part_count, const yaml_tree *tree,
                          const char *const *words, uint32_t word_count, carina_error *error) {
    config_slots all;
    TRY(config_slots_make(&all, parts, part_count, error));
    for (uint32_t i = 0; i < all.count; i++) memset(all.slots[i].value, 0, value_size(all.slots[i].field->type));
    carina_status status =
        fill(&all, tree ? yaml_name(tree) : NULL, tree ? yaml_root(tree) : NULL, words, word_count, error);
    config_slots_free(&all);
    if (status != CARINA_OK) config_free(parts, part_count);
    return status;
}

static void zero(const config_part *parts, uint32_t part_count) {
    for (uint32_t p = 0; p < part_count; p++)
        for (uint32_t i = 0; i < parts[p].schema->count; i++) {
            const config_field *field = &parts[p].schema->fields[i];
            memset((char *)parts[p].target + field->offset, 0, value_size(field->type));
        }
}

carina_status config_load(const config_part *parts, uint32_t part_count, const char *path, const char *const *words,
                          uint32_t word_count, carina_error *error) {
    yaml_tree *tree = NULL;
    zero(parts, part_count);
    if (path) TRY(yaml_read(&tree, path, error));
    carina_status status = load(parts, part_count, tree, words, word_count, error);
    yaml_free(tree);
    return status;
}

carina_status config_load_text(const config_part *parts, uint32_t part_count, const char *name, const void *text,
                               uint64_t size, const char *const *words, uint32_t word_count, carina_error *error) {
    yaml_tree *tree;
    zero(parts, part_count);
    TRY(yaml_parse(&tree, name, text, size, error));
    carina_status status = load(parts, part_count, tree, words, word_count, error);
    yaml_free(tree);
    return status;
}
