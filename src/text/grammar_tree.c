/* The notation's text to a tree, by one bounded pass that looks back over white space only. Every error says where,
 * what was expected and what is there. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/utf8.h"
#include "text/grammar_internal.h"
#include "text/unicode.h"

#define SLOTS (2u * GRAMMAR_MAX_RULES) /* a power of two */

typedef struct place {
    int line, column; /* from 1; columns count characters */
} place;

typedef struct parser {
    cursor text;
    place at;
    int groups; /* that are open */
    const char *name;
    grammar_tree *tree;
    uint16_t slots[SLOTS]; /* hash table of rules, number + 1 */
    carina_error *error;
} parser;

/* ---- errors and memory ---- */

__attribute__((format(printf, 4, 5))) static carina_status fail_at(parser *p, place at, carina_status status,
                                                                   const char *format, ...) {
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return error_set(p->error, status, "%s:%d:%d: %s", p->name, at.line, at.column, what);
}

static int peek(const parser *p) { return cursor_remaining(&p->text) ? p->text.data[p->text.offset] : -1; }

static carina_status expected(parser *p, const char *what) {
    int byte = peek(p);
    if (byte < 0) return fail_at(p, p->at, CARINA_ERROR_FORMAT, "expected %s, found the end of the text", what);
    if (byte == '\n') return fail_at(p, p->at, CARINA_ERROR_FORMAT, "expected %s, found the end of the line", what);
    const char *text = (const char *)p->text.data + p->text.offset;
    uint32_t code;
    int size = unicode_decode(text, cursor_remaining(&p->text), &code);
    if (code < 0x20 || code == 0x7f)
        return fail_at(p, p->at, CARINA_ERROR_FORMAT, "expected %s, found U+%04X", what, (unsigned)code);
    return fail_at(p, p->at, CARINA_ERROR_FORMAT, "expected %s, found '%.*s'", what, size, text);
}

static carina_status no_memory(parser *p) { return error_memory(p->error, p->name, p->text.size); }

bool grammar_reserve(void **items, uint32_t count, uint32_t more, uint32_t *room, size_t item_size) {
    if (*room - count >= more) return true;
    uint64_t wanted = 2 * ((uint64_t)count + more) + 16;
    if (wanted > UINT32_MAX) return false;
    void *larger = realloc(*items, (size_t)wanted * item_size);
    if (!larger) return false;
    *items = larger;
    *room = (uint32_t)wanted;
    return true;
}

#define RESERVE(p, list, count, more, room) \
    grammar_reserve((void **)&(p)->tree->list, (p)->tree->count, more, &(p)->tree->room, sizeof *(p)->tree->list)

/* A tree has fewer nodes than its text has bytes, so memory is bounded by GRAMMAR_MAX_BYTES. */
static carina_status add_node(parser *p, grammar_node node, uint32_t *out) {
    if (!RESERVE(p, nodes, node_count, 1, node_room)) return no_memory(p);
    *out = p->tree->node_count++;
    p->tree->nodes[*out] = node;
    return CARINA_OK;
}

static void add_child(parser *p, uint32_t parent, uint32_t child) {
    grammar_node *nodes = p->tree->nodes;
    nodes[child].before = nodes[parent].last_child;
    nodes[parent].last_child = child;
    nodes[parent].count++;
}

static grammar_node node_of(grammar_node_kind kind) {
    return (grammar_node){.kind = kind, .last_child = GRAMMAR_NONE, .before = GRAMMAR_NONE};
}

/* ---- characters ---- */

/* The text is known to be UTF-8 and not to be at its end. */
static uint32_t take(parser *p) {
    uint32_t code;
    const char *text = (const char *)p->text.data + p->text.offset;
    cursor_skip(&p->text, (uint64_t)unicode_decode(text, cursor_remaining(&p->text), &code));
    p->at.column++;
    if (code == '\n') p->at = (place){p->at.line + 1, 1};
    return code;
}

static bool take_if(parser *p, char wanted) {
    if (peek(p) != wanted) return false;
    take(p);
    return true;
}

static void skip_space(parser *p, bool lines) {
    for (;;) {
        int byte = peek(p);
        if (byte == '#')
            while (peek(p) >= 0 && peek(p) != '\n') take(p);
        else if (byte == ' ' || byte == '\t' || byte == '\r' || (byte == '\n' && lines))
            take(p);
        else
            return;
    }
}

static bool is_name_byte(int byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '-' || byte == '_';
}

static carina_status take_hexadecimal(parser *p, int digits, uint32_t *out) {
    place at = p->at;
    uint32_t code = 0;
    for (int i = 0; i < digits; i++) {
        int byte = peek(p);
        int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                    : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                 : -1;
        if (digit < 0) return expected(p, "a hexadecimal digit");
        code = code << 4 | (uint32_t)digit;
        take(p);
    }
    if (code > GRAMMAR_MAX_CODE || (code >= 0xd800 && code <= 0xdfff))
        return fail_at(p, at, CARINA_ERROR_FORMAT, "expected a character's code, %X is none", (unsigned)code);
    *out = code;
    return CARINA_OK;
}

/* One character of a literal or a class, which does not go past its line. */
static carina_status take_character(parser *p, const char *inside, uint32_t *out) {
    if (peek(p) < 0 || peek(p) == '\n') return expected(p, inside);
    if (!take_if(p, '\\')) {
        *out = take(p);
        return CARINA_OK;
    }
    int byte = peek(p);
    static const char names[] = "nrt\\\"[]", values[] = "\n\r\t\\\"[]";
    const char *found = byte > 0 ? strchr(names, byte) : NULL;
    if (found) {
        take(p);
        *out = (uint8_t)values[found - names];
        return CARINA_OK;
    }
    int digits = byte == 'x' ? 2 : byte == 'u' ? 4 : byte == 'U' ? 8 : 0;
    if (!digits) return expected(p, "n, r, t, \\, \", [, ], x, u or U after a backslash");
    take(p);
    return take_hexadecimal(p, digits, out);
}

/* ---- rules by name ---- */

static carina_status find_rule(parser *p, const char *name, uint32_t size, place at, uint32_t *out) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (uint32_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)name[i]) * 0x100000001b3u;
    uint32_t slot = (uint32_t)(hash ^ hash >> 32) % SLOTS;
    for (; p->slots[slot]; slot = (slot + 1) % SLOTS) {
        const grammar_rule *rule = &p->tree->rules[p->slots[slot] - 1];
        if (rule->name_size != size || memcmp(rule->name, name, size) != 0) continue;
        *out = p->slots[slot] - 1u;
        return CARINA_OK;
    }
    if (p->tree->rule_count == GRAMMAR_MAX_RULES)
        return fail_at(p, at, CARINA_ERROR_LIMIT, "more than %d rules", GRAMMAR_MAX_RULES);
    if (!RESERVE(p, rules, rule_count, 1, rule_room)) return no_memory(p);
    *out = p->tree->rule_count++;
    p->tree->rules[*out] = (grammar_rule){name, size, at.line, at.column, GRAMMAR_NONE};
    p->slots[slot] = (uint16_t)(*out + 1);
    return CARINA_OK;
}

static carina_status parse_name(parser *p, uint32_t *rule, place *at) {
    *at = p->at;
    const char *name = (const char *)p->text.data + p->text.offset;
    uint32_t size = 0;
    for (; is_name_byte(peek(p)); size++) take(p);
    if (size == 0) return expected(p, "the name of a rule");
    if (size > GRAMMAR_MAX_NAME)
        return fail_at(p, *at, CARINA_ERROR_LIMIT, "a name of %u characters, at most %d", size, GRAMMAR_MAX_NAME);
    return find_rule(p, name, size, *at, rule);
}

/* ---- what a sequence is made of ---- */

static carina_status parse_literal(parser *p, uint32_t *out) {
    take(p);
    grammar_node node = node_of(GRAMMAR_LITERAL);
    node.first = p->tree->byte_count;
    while (!take_if(p, '"')) {
        uint32_t code = 0;
        TRY(take_character(p, "a closing quotation mark", &code));
        if (!RESERVE(p, bytes, byte_count, 4, byte_room)) return no_memory(p);
        p->tree->byte_count += (uint32_t)unicode_encode(code, (char *)p->tree->bytes + p->tree->byte_count);
    }
    node.count = p->tree->byte_count - node.first;
    return add_node(p, node, out);
}

static carina_status add_range(parser *p, uint32_t low, uint32_t high) {
    if (!RESERVE(p, ranges, range_count, 1, range_room)) return no_memory(p);
    p->tree->ranges[p->tree->range_count++] = (grammar_range){low, high};
    return CARINA_OK;
}

static int lower_first(const void *left, const void *right) {
    const grammar_range *a = left, *b = right;
    return (a->low > b->low) - (a->low < b->low);
}

/* Sorts the ranges behind `first` and joins those that touch. */
static void join_ranges(grammar_tree *tree, uint32_t first) {
    grammar_range *ranges = tree->ranges + first;
    uint32_t count = tree->range_count - first, kept = 0;
    qsort(ranges, count, sizeof *ranges, lower_first);
    for (uint32_t i = 1; i < count; i++) {
        if (ranges[i].low > ranges[kept].high + 1)
            ranges[++kept] = ranges[i];
        else if (ranges[i].high > ranges[kept].high)
            ranges[kept].high = ranges[i].high;
    }
    tree->range_count = first + kept + 1;
}

/* The gaps between joined ranges, in their place: one more at most. */
static carina_status invert_ranges(parser *p, uint32_t first) {
    TRY(add_range(p, 0xd800, 0xdfff)); /* not among what is left, either */
    join_ranges(p->tree, first);
    TRY(add_range(p, GRAMMAR_MAX_CODE + 1, GRAMMAR_MAX_CODE + 1));
    grammar_range *ranges = p->tree->ranges;
    uint32_t low = 0, kept = first;
    for (uint32_t i = first; i < p->tree->range_count; i++) {
        grammar_range taken = ranges[i];
        if (taken.low > low) ranges[kept++] = (grammar_range){low, taken.low - 1};
        low = taken.high + 1;
    }
    p->tree->range_count = kept;
    return CARINA_OK;
}

static carina_status parse_class(parser *p, uint32_t *out) {
    place at = p->at;
    take(p);
    bool inverted = take_if(p, '^');
    grammar_node node = node_of(GRAMMAR_CLASS);
    node.first = p->tree->range_count;
    while (!take_if(p, ']')) {
        place from = p->at;
        uint32_t low = 0, high = 0;
        TRY(take_character(p, "a closing ]", &low));
        high = low;
        const uint8_t *text = p->text.data + p->text.offset;
        if (cursor_remaining(&p->text) >= 2 && text[0] == '-' && text[1] != ']') {
            take(p);
            TRY(take_character(p, "a closing ]", &high));
        }
        if (high < low) return fail_at(p, from, CARINA_ERROR_FORMAT, "a range that ends before it begins");
        TRY(add_range(p, low, high));
    }
    if (p->tree->range_count > node.first) join_ranges(p->tree, node.first);
    if (inverted) TRY(invert_ranges(p, node.first));
    node.count = p->tree->range_count - node.first;
    if (node.count == 0)
        return fail_at(p, at, CARINA_ERROR_FORMAT, "expected a class of characters, this one has none");
    return add_node(p, node, out);
}

static carina_status parse_any(parser *p, uint32_t *out) {
    take(p);
    grammar_node node = node_of(GRAMMAR_CLASS);
    node.first = p->tree->range_count;
    node.count = 1;
    TRY(add_range(p, 0, GRAMMAR_MAX_CODE));
    return add_node(p, node, out);
}

static carina_status parse_choice(parser *p, uint32_t *out);

static carina_status parse_group(parser *p, uint32_t *out) {
    place at = p->at;
    if (p->groups == GRAMMAR_MAX_GROUPS)
        return fail_at(p, at, CARINA_ERROR_LIMIT, "more than %d groups within each other", GRAMMAR_MAX_GROUPS);
    take(p);
    p->groups++;
    TRY(parse_choice(p, out));
    p->groups--;
    return take_if(p, ')') ? CARINA_OK : expected(p, "')' or something to match");
}

static carina_status parse_use(parser *p, uint32_t *out) {
    grammar_node node = node_of(GRAMMAR_RULE);
    place at;
    TRY(parse_name(p, &node.first, &at));
    return add_node(p, node, out);
}

static carina_status parse_item(parser *p, uint32_t *out) {
    switch (peek(p)) {
        case '"': return parse_literal(p, out);
        case '[': return parse_class(p, out);
        case '.': return parse_any(p, out);
        case '(': return parse_group(p, out);
        default: break;
    }
    if (is_name_byte(peek(p))) return parse_use(p, out);
    return expected(p, p->groups ? "')' or something to match" : "something to match, '|' or the end of the line");
}

/* ---- repetition ---- */

static carina_status parse_count(parser *p, uint32_t *out) {
    place at = p->at;
    uint32_t count = 0;
    if (peek(p) < '0' || peek(p) > '9') return expected(p, "a number");
    while (peek(p) >= '0' && peek(p) <= '9') {
        count = 10 * count + (take(p) - '0');
        if (count > GRAMMAR_MAX_REPEAT)
            return fail_at(p, at, CARINA_ERROR_LIMIT, "a repetition of more than %d times", GRAMMAR_MAX_REPEAT);
    }
    *out = count;
    return CARINA_OK;
}

/* Behind the opening brace. */
static carina_status parse_bounds(parser *p, grammar_node *node) {
    place at = p->at;
    skip_space(p, false);
    TRY(parse_count(p, &node->minimum));
    skip_space(p, false);
    node->maximum = node->minimum;
    if (take_if(p, ',')) {
        skip_space(p, false);
        node->maximum = GRAMMAR_ENDLESS;
        if (peek(p) != '}') TRY(parse_count(p, &node->maximum));
        skip_space(p, false);
    }
    if (!take_if(p, '}')) return expected(p, "'}'");
    if (node->maximum < node->minimum)
        return fail_at(p, at, CARINA_ERROR_FORMAT, "a repetition of at least %u and at most %u times", node->minimum,
                       node->maximum);
    return CARINA_OK;
}

/* *out is what is repeated, and becomes the repetition when one follows. */
static carina_status parse_repetition(parser *p, uint32_t *out) {
    skip_space(p, p->groups > 0);
    grammar_node node = node_of(GRAMMAR_REPEAT);
    switch (peek(p)) {
        case '*': node.maximum = GRAMMAR_ENDLESS; break;
        case '+': node.minimum = 1, node.maximum = GRAMMAR_ENDLESS; break;
        case '?': node.maximum = 1; break;
        case '{': break;
        default: return CARINA_OK;
    }
    if (take(p) == '{') TRY(parse_bounds(p, &node));
    uint32_t child = *out;
    TRY(add_node(p, node, out));
    add_child(p, *out, child);
    return CARINA_OK;
}

/* ---- sequences, alternatives, rules ---- */

static carina_status parse_sequence(parser *p, uint32_t *out) {
    TRY(add_node(p, node_of(GRAMMAR_SEQUENCE), out));
    for (;;) {
        skip_space(p, p->groups > 0);
        int byte = peek(p);
        if (byte < 0 || byte == '|' || byte == '\n' || (byte == ')' && p->groups)) return CARINA_OK;
        uint32_t item = 0;
        TRY(parse_item(p, &item));
        TRY(parse_repetition(p, &item));
        add_child(p, *out, item);
    }
}

/* Does the rule go on in the next line, that is, does that begin with | ? */
static bool goes_on(parser *p) {
    cursor text = p->text;
    place at = p->at;
    skip_space(p, true);
    if (peek(p) == '|') return true;
    p->text = text;
    p->at = at;
    return false;
}

static carina_status parse_choice(parser *p, uint32_t *out) {
    uint32_t sequence = 0;
    skip_space(p, true);
    TRY(parse_sequence(p, &sequence));
    if (!goes_on(p)) {
        *out = sequence;
        return p->tree->nodes[sequence].count ? CARINA_OK : expected(p, "something to match (\"\" matches nothing)");
    }
    TRY(add_node(p, node_of(GRAMMAR_CHOICE), out));
    add_child(p, *out, sequence);
    while (goes_on(p)) {
        take(p);
        skip_space(p, true);
        TRY(parse_sequence(p, &sequence));
        add_child(p, *out, sequence);
    }
    return CARINA_OK;
}

static carina_status parse_rule(parser *p) {
    uint32_t rule = 0, body = 0;
    place at;
    TRY(parse_name(p, &rule, &at));
    grammar_rule *r = &p->tree->rules[rule];
    if (r->body != GRAMMAR_NONE)
        return fail_at(p, at, CARINA_ERROR_FORMAT, "the rule \"%.*s\" is defined in line %d already", (int)r->name_size,
                       r->name, r->line);
    skip_space(p, false);
    if (!take_if(p, ':') || !take_if(p, ':') || !take_if(p, '=')) return expected(p, "::=");
    TRY(parse_choice(p, &body));
    if (peek(p) >= 0 && peek(p) != '\n') return expected(p, "the end of the line");
    r = &p->tree->rules[rule]; /* the list may have moved */
    r->body = body;
    r->line = at.line;
    r->column = at.column;
    return CARINA_OK;
}

static carina_status check_rules(parser *p) {
    grammar_tree *tree = p->tree;
    tree->root = GRAMMAR_NONE;
    for (uint32_t i = 0; i < tree->rule_count; i++) {
        const grammar_rule *rule = &tree->rules[i];
        if (rule->body == GRAMMAR_NONE)
            return fail_at(p, (place){rule->line, rule->column}, CARINA_ERROR_FORMAT,
                           "the rule \"%.*s\" is not defined", (int)rule->name_size, rule->name);
        if (rule->name_size == 4 && memcmp(rule->name, "root", 4) == 0) tree->root = i;
    }
    if (tree->root == GRAMMAR_NONE)
        return error_set(p->error, CARINA_ERROR_FORMAT, "%s: no rule \"root\": it is what the answer must be", p->name);
    return CARINA_OK;
}

static carina_status parse_all(parser *p) {
    if (!utf8_valid(p->text.data, p->text.size))
        return error_set(p->error, CARINA_ERROR_FORMAT, "%s: not UTF-8 text", p->name);
    for (skip_space(p, true); peek(p) >= 0; skip_space(p, true)) TRY(parse_rule(p));
    if (p->tree->rule_count == 0)
        return error_set(p->error, CARINA_ERROR_FORMAT, "%s: an empty grammar: not one rule", p->name);
    return check_rules(p);
}

carina_status grammar_tree_parse(grammar_tree *out, const char *name, const char *text, uint64_t size,
                                 carina_error *error) {
    *out = (grammar_tree){0};
    if (size > GRAMMAR_MAX_BYTES)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: a grammar of %llu bytes, at most %u", name,
                         (unsigned long long)size, GRAMMAR_MAX_BYTES);
    parser *p = calloc(1, sizeof *p);
    if (!p) return error_memory(error, name, sizeof *p);
    p->text = cursor_make(text, size);
    p->at = (place){1, 1};
    p->name = name;
    p->tree = out;
    p->error = error;
    carina_status status = parse_all(p);
    free(p);
    if (status != CARINA_OK) grammar_tree_free(out);
    return status;
}

void grammar_tree_free(grammar_tree *tree) {
    if (!tree) return;
    free(tree->nodes);
    free(tree->ranges);
    free(tree->rules);
    free(tree->bytes);
    *tree = (grammar_tree){0};
}
