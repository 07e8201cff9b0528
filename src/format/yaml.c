/* YAML text -> owned tree, by libyaml's event parser (the only file that knows libyaml).
 *
 * Events and not libyaml's documents: limits, aliases and duplicate keys are checked as they arrive, before memory is
 * taken for what follows. All nodes live in one list of blocks that the tree owns.
 */
#include "format/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h> /* its names begin with yaml_ too; none of ours is among them */

#include "base/file.h"
#include "base/utf8.h"

typedef struct block { /* one allocation of the tree */
    struct block *next;
    max_align_t bytes[];
} block;

struct yaml_tree {
    char *name;
    const yaml_value *root;
    block *blocks;
    uint32_t node_count;
};

/* A collection that is still open. */
typedef struct level {
    yaml_value *value;
    const yaml_value **children;
    const char **keys;
    int *key_lines;
    uint32_t capacity;
    char *pending_key; /* mapping: key whose value comes next; the tree's */
    int pending_line;
} level;

typedef struct builder {
    yaml_tree *tree;
    level levels[YAML_MAX_DEPTH];
    int depth;
    carina_error *error;
} builder;

static void *tree_allocate(yaml_tree *tree, size_t size) {
    block *fresh = calloc(1, sizeof(block) + size);
    if (!fresh) return NULL;
    fresh->next = tree->blocks;
    tree->blocks = fresh;
    return fresh->bytes;
}

static int mark_line(const yaml_event_t *event) {
    return event->start_mark.line >= INT32_MAX ? INT32_MAX : (int)event->start_mark.line + 1;
}
static int mark_column(const yaml_event_t *event) {
    return event->start_mark.column >= INT32_MAX ? INT32_MAX : (int)event->start_mark.column + 1;
}

static carina_status fail_at(builder *b, int line, carina_status status, const char *what) {
    return error_set(b->error, status, "%s:%d: %s", b->tree->name, line, what);
}

/* Room for one more child, in the level's own growing arrays. */
static bool level_reserve(level *top) {
    if (top->value->count < top->capacity) return true;
    uint32_t capacity = top->capacity ? top->capacity * 2 : 8; /* bounded by YAML_MAX_NODES */
    void *children = realloc((void *)top->children, capacity * sizeof *top->children);
    if (children) top->children = children;
    void *keys = realloc((void *)top->keys, capacity * sizeof *top->keys);
    if (keys) top->keys = keys;
    void *lines = realloc(top->key_lines, capacity * sizeof *top->key_lines);
    if (lines) top->key_lines = lines;
    if (!children || !keys || !lines) return false;
    top->capacity = capacity;
    return true;
}

static void level_discard(level *top) {
    free((void *)top->children);
    free((void *)top->keys);
    free(top->key_lines);
    *top = (level){0};
}

/* Puts a finished or just opened value under what is open. */
static carina_status attach(builder *b, const yaml_value *value) {
    if (b->depth == 0) {
        b->tree->root = value;
        return CARINA_OK;
    }
    level *top = &b->levels[b->depth - 1];
    if (!level_reserve(top)) return error_memory(b->error, b->tree->name, top->capacity * 20ull);
    uint32_t index = top->value->count++;
    top->children[index] = value;
    top->keys[index] = top->pending_key;
    top->key_lines[index] = top->pending_line;
    top->pending_key = NULL;
    return CARINA_OK;
}

static bool tag_is_core(const char *tag) {
    static const char prefix[] = "tag:yaml.org,2002:";
    static const char *const core[] = {"str", "int", "float", "bool", "null", "seq", "map"};
    if (!tag || strcmp(tag, "!") == 0) return true;
    if (strncmp(tag, prefix, sizeof prefix - 1) != 0) return false;
    for (size_t i = 0; i < sizeof core / sizeof *core; i++)
        if (strcmp(tag + sizeof prefix - 1, core[i]) == 0) return true;
    return false;
}

static carina_status new_value(builder *b, const yaml_event_t *event, yaml_kind kind, const char *tag,
                               yaml_value **out) {
    int line = mark_line(event);
    if (!tag_is_core(tag))
        return error_set(b->error, CARINA_ERROR_UNSUPPORTED, "%s:%d: tag '%s' is not understood; remove it",
                         b->tree->name, line, tag);
    if (++b->tree->node_count > YAML_MAX_NODES) return fail_at(b, line, CARINA_ERROR_LIMIT, "too many values");
    yaml_value *value = tree_allocate(b->tree, sizeof *value);
    if (!value) return error_memory(b->error, b->tree->name, sizeof *value);
    value->kind = kind;
    value->line = line;
    value->column = mark_column(event);
    *out = value;
    return CARINA_OK;
}

static carina_status copy_text(builder *b, const yaml_event_t *event, char **out) {
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (memchr(text, 0, length)) return fail_at(b, mark_line(event), CARINA_ERROR_FORMAT, "a NUL character in text");
    char *copy = tree_allocate(b->tree, length + 1);
    if (!copy) return error_memory(b->error, b->tree->name, length + 1);
    memcpy(copy, text, length);
    *out = copy;
    return CARINA_OK;
}

static carina_status take_key(builder *b, level *top, const yaml_event_t *event) {
    char *key;
    TRY(copy_text(b, event, &key));
    if (top->value->count == YAML_MAX_KEYS)
        return fail_at(b, mark_line(event), CARINA_ERROR_LIMIT, "too many keys in one mapping");
    for (uint32_t i = 0; i < top->value->count; i++)
        if (strcmp(top->keys[i], key) == 0)
            return error_set(b->error, CARINA_ERROR_FORMAT, "%s:%d: key '%s' is given twice (first on line %d)",
                             b->tree->name, mark_line(event), key, top->key_lines[i]);
    if (++b->tree->node_count > YAML_MAX_NODES)
        return fail_at(b, mark_line(event), CARINA_ERROR_LIMIT, "too many values");
    top->pending_key = key;
    top->pending_line = mark_line(event);
    return CARINA_OK;
}

static level *open_mapping_without_key(builder *b) {
    level *top = b->depth ? &b->levels[b->depth - 1] : NULL;
    return top && top->value->kind == YAML_MAPPING && !top->pending_key ? top : NULL;
}

static carina_status take_scalar(builder *b, const yaml_event_t *event) {
    level *keyed = open_mapping_without_key(b);
    if (keyed) return take_key(b, keyed, event);
    yaml_value *value;
    const char *tag = (const char *)event->data.scalar.tag;
    TRY(new_value(b, event, YAML_SCALAR, tag, &value));
    char *text;
    TRY(copy_text(b, event, &text));
    value->text = text;
    value->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || (tag && strstr(tag, ":str"));
    return attach(b, value);
}

static carina_status open_collection(builder *b, const yaml_event_t *event, yaml_kind kind, const char *tag) {
    int line = mark_line(event);
    if (open_mapping_without_key(b)) return fail_at(b, line, CARINA_ERROR_FORMAT, "a key must be plain text");
    if (b->depth == YAML_MAX_DEPTH) return fail_at(b, line, CARINA_ERROR_LIMIT, "nested too deeply");
    yaml_value *value;
    TRY(new_value(b, event, kind, tag, &value));
    TRY(attach(b, value));
    b->levels[b->depth++] = (level){.value = value};
    return CARINA_OK;
}

/* Moves the finished arrays into the tree. */
static carina_status close_collection(builder *b) {
    level *top = &b->levels[--b->depth];
    uint32_t count = top->value->count;
    const yaml_value **children = tree_allocate(b->tree, count * sizeof *children);
    const char **keys = tree_allocate(b->tree, count * sizeof *keys);
    int *lines = tree_allocate(b->tree, count * sizeof *lines);
    carina_status status = CARINA_OK;
    if (!children || !keys || !lines) {
        top->value->count = 0;
        status = error_memory(b->error, b->tree->name, count * 20ull);
    } else {
        if (count) {
            memcpy(children, top->children, count * sizeof *children);
            memcpy(keys, top->keys, count * sizeof *keys);
            memcpy(lines, top->key_lines, count * sizeof *lines);
        }
        top->value->children = children;
        if (top->value->kind == YAML_MAPPING) {
            top->value->keys = keys;
            top->value->key_lines = lines;
        }
    }
    level_discard(top);
    return status;
}

static carina_status take_event(builder *b, const yaml_event_t *event) {
    switch (event->type) {
        case YAML_SCALAR_EVENT: return take_scalar(b, event);
        case YAML_SEQUENCE_START_EVENT:
            return open_collection(b, event, YAML_SEQUENCE, (const char *)event->data.sequence_start.tag);
        case YAML_MAPPING_START_EVENT:
            return open_collection(b, event, YAML_MAPPING, (const char *)event->data.mapping_start.tag);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT: return close_collection(b);
        case YAML_ALIAS_EVENT:
            return fail_at(b, mark_line(event), CARINA_ERROR_UNSUPPORTED,
                           "aliases (*name) are not accepted; write the value out");
        case YAML_DOCUMENT_START_EVENT:
            if (b->tree->root)
                return fail_at(b, mark_line(event), CARINA_ERROR_UNSUPPORTED, "a second document in one file");
            return CARINA_OK;
        default: return CARINA_OK;
    }
}

static carina_status parser_error(const builder *b, const yaml_parser_t *parser) {
    size_t line = parser->problem_mark.line ? parser->problem_mark.line : parser->context_mark.line;
    if (parser->error == YAML_MEMORY_ERROR) return error_memory(b->error, b->tree->name, 0);
    return error_set(b->error, CARINA_ERROR_FORMAT, "%s:%zu: not valid YAML: %s", b->tree->name, line + 1,
                     parser->problem ? parser->problem : "unknown problem");
}

static carina_status build(builder *b, const void *data, uint64_t size) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return error_memory(b->error, b->tree->name, sizeof parser);
    /* The parser counts a byte order mark as a column, and then the first key stands deeper than the second. */
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        data = (const uint8_t *)data + 3;
        size -= 3;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, data ? data : (const unsigned char *)"", (size_t)size);
    carina_status status = CARINA_OK;
    for (bool done = false; !done && status == CARINA_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = parser_error(b, &parser);
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        status = take_event(b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    while (b->depth > 0) level_discard(&b->levels[--b->depth]);
    if (status == CARINA_OK && (!b->tree->root || yaml_is_null(b->tree->root))) {
        yaml_value *empty = tree_allocate(b->tree, sizeof *empty);
        if (!empty) return error_memory(b->error, b->tree->name, sizeof *empty);
        *empty = (yaml_value){.kind = YAML_MAPPING, .line = 1, .column = 1};
        b->tree->root = empty;
    }
    return status;
}

carina_status yaml_parse(yaml_tree **out, const char *name, const void *data, uint64_t size, carina_error *error) {
    *out = NULL;
    if (size > YAML_MAX_BYTES)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: %llu bytes of YAML, more than the %u accepted", name,
                         (unsigned long long)size, YAML_MAX_BYTES);
    yaml_tree *tree = calloc(1, sizeof *tree);
    builder *b = calloc(1, sizeof *b);
    if (tree) tree->name = strdup(name);
    if (!tree || !b || !tree->name) {
        free(b);
        yaml_free(tree);
        return error_memory(error, name, sizeof *tree + sizeof *b);
    }
    b->tree = tree;
    b->error = error;
    carina_status status = build(b, data, size);
    free(b);
    if (status != CARINA_OK) {
        yaml_free(tree);
        return status;
    }
    *out = tree;
    return CARINA_OK;
}

carina_status yaml_read(yaml_tree **out, const char *path, carina_error *error) {
    *out = NULL;
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read(path, YAML_MAX_BYTES, &bytes, &size, error));
    carina_status status = yaml_parse(out, path, bytes, size, error);
    free(bytes);
    return status;
}

void yaml_free(yaml_tree *tree) {
    if (!tree) return;
    for (block *next, *at = tree->blocks; at; at = next) {
        next = at->next;
        free(at);
    }
    free(tree->name);
    free(tree);
}

const yaml_value *yaml_root(const yaml_tree *tree) { return tree->root; }
const char *yaml_name(const yaml_tree *tree) { return tree->name; }

const yaml_value *yaml_get(const yaml_value *mapping, const char *key) {
    if (!mapping || mapping->kind != YAML_MAPPING) return NULL;
    for (uint32_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->keys[i], key) == 0) return mapping->children[i];
    return NULL;
}

static bool text_is_null(const char *text) {
    static const char *const forms[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(text, forms[i]) == 0) return true;
    return false;
}

bool yaml_is_null(const yaml_value *value) {
    return value->kind == YAML_SCALAR && !value->quoted && text_is_null(value->text);
}

const char *yaml_kind_name(yaml_kind kind) {
    return kind == YAML_MAPPING ? "mapping" : kind == YAML_SEQUENCE ? "sequence" : "scalar";
}

/* Plain style is kept to texts that no YAML reader takes for anything else. */
static bool is_plain(const char *text) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "y", "n"};
    if (text_is_null(text)) return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) return false;
    if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/", text[0])) return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.-+") == strlen(text);
}

/* What YAML allows to stand in a file as it is, given one well-formed character of `length` bytes. */
static bool is_printable(const unsigned char *c, int length) {
    if (length == 1) return c[0] >= 0x20 && c[0] != 0x7f;
    if (length == 2) return !(c[0] == 0xc2 && c[1] < 0xa0); /* U+0080 .. U+009F */
    return true;
}

/* U+FEFF, U+FFFE, U+FFFF: not allowed in a file, and no text's loss. */
static bool is_forbidden(const unsigned char *c, int length) {
    return length == 3 &&
           ((c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf) || (c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe));
}

void yaml_put_text(FILE *stream, const char *text) {
    if (is_plain(text)) {
        fputs(text, stream);
        return;
    }
    fputc('"', stream);
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int length = utf8_character(c, strnlen((const char *)c, 4));
        if (length == 0 || is_forbidden(c, length)) {
            fputs("\xef\xbf\xbd", stream);
        } else if (*c == '"' || *c == '\\') {
            fprintf(stream, "\\%c", *c);
        } else if (is_printable(c, length)) {
            fwrite(c, 1, (size_t)length, stream);
        } else { /* \xNN is the character U+00NN */
            fprintf(stream, "\\x%02x", c[length - 1]);
        }
        c += length ? length : 1;
    }
    fputc('"', stream);
}
