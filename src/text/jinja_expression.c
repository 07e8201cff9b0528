/* Tokens to a tree: expressions. From the loosest to the tightest, as Jinja has it: x if y else z; or; and; not;
 * one comparison; + -; ~; * // %; a sign; .name [item] (arguments) | filter, is test. */
#include <stdarg.h>
#include <stdio.h>

#include "text/jinja_internal.h"

#define NODE(index) (p->tree->nodes[index])

__attribute__((format(printf, 4, 5))) static carina_status fail(const jinja_parser *p, uint32_t offset,
                                                                carina_status status, const char *format, ...) {
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return jinja_fail_at(&p->tree->source, offset, status, p->error, "%s", what);
}

static int shown(jinja_text text) { return (int)(text.size < 60 ? text.size : 60); }

static carina_status add_constant(jinja_parser *p, uint32_t offset, jinja_value value, uint32_t *out) {
    TRY(jinja_add_node(p, JINJA_NODE_CONSTANT, offset, out));
    NODE(*out).value = value;
    return CARINA_OK;
}

static carina_status add_pair(jinja_parser *p, jinja_node_kind kind, uint32_t offset, uint32_t a, uint32_t b,
                              uint32_t *out) {
    TRY(jinja_add_node(p, kind, offset, out));
    NODE(*out).a = a;
    NODE(*out).b = b;
    return CARINA_OK;
}

/* Puts `node` behind the last of a list that begins at *first. */
static void append(jinja_parser *p, uint32_t *first, uint32_t *last, uint32_t node) {
    if (*last == JINJA_NOTHING)
        *first = node;
    else
        NODE(*last).next = node;
    *last = node;
}

/* ---- arguments ---- */

/* Where the argument `keyword` (or, without one, the next) belongs among an entry's parameters. */
static carina_status find_parameter(jinja_parser *p, const jinja_entry *entry, jinja_text keyword, uint32_t offset,
                                    int next, int *out) {
    for (int i = 0; i < JINJA_MAX_PARAMETERS && entry->parameters[i]; i++) {
        *out = i;
        if (keyword.size ? jinja_text_is(keyword, entry->parameters[i]) : i == next) return CARINA_OK;
    }
    if (keyword.size)
        return fail(p, offset, CARINA_ERROR_UNSUPPORTED, "the argument %.*s of %s is not supported", shown(keyword),
                    keyword.data, entry->name);
    return fail(p, offset, CARINA_ERROR_UNSUPPORTED, "%s: this argument is one too many", entry->name);
}

static bool take_keyword(jinja_parser *p, jinja_text *out) {
    const jinja_token *t = jinja_peek(p);
    *out = (jinja_text){NULL, 0};
    if (t->kind != JINJA_TOKEN_NAME || t[1].kind != JINJA_TOKEN_SIGN || t[1].sign != '=') return false;
    *out = t->text;
    p->at += 2;
    return true;
}

/* The opening bracket is taken. places[i]: node of parameter i, or JINJA_NOTHING. */
static carina_status parse_arguments(jinja_parser *p, const jinja_entry *entry, uint32_t places[JINJA_MAX_PARAMETERS]) {
    int next = 0, place = 0;
    while (!jinja_take_sign(p, ')')) {
        uint32_t offset = jinja_peek(p)->offset, node;
        jinja_text keyword;
        bool named = take_keyword(p, &keyword);
        if (!named && next < 0)
            return fail(p, offset, CARINA_ERROR_FORMAT, "an argument without a name behind one with");
        TRY(find_parameter(p, entry, keyword, offset, next, &place));
        next = named ? -1 : next + 1;
        if (places[place] != JINJA_NOTHING)
            return fail(p, offset, CARINA_ERROR_FORMAT, "%s: this argument is given twice", entry->name);
        TRY(jinja_parse_expression(p, &node));
        places[place] = node;
        if (!jinja_peek_sign(p, ')')) TRY(jinja_expect_sign(p, ',', "',' or ')'"));
    }
    return CARINA_OK;
}

/* `name` of a table, applied to *node; with arguments in brackets, if there are any. */
static carina_status parse_entry(jinja_parser *p, jinja_table table, jinja_node_kind kind, const char *what,
                                 uint32_t *node) {
    const jinja_token *t = jinja_peek(p);
    if (t->kind != JINJA_TOKEN_NAME) return jinja_expected(p, "a name");
    int index = jinja_entry_find(table, t->text);
    if (index < 0)
        return fail(p, t->offset, CARINA_ERROR_UNSUPPORTED, "the %s %.*s is not supported", what, shown(t->text),
                    t->text.data);
    p->at++;
    const jinja_entry *entry = jinja_entry_at(table, index);
    uint32_t places[JINJA_MAX_PARAMETERS] = {JINJA_NOTHING, JINJA_NOTHING, JINJA_NOTHING}, out;
    if (jinja_take_sign(p, '(')) TRY(parse_arguments(p, entry, places));
    for (int i = 0; i < entry->least; i++)
        if (places[i] == JINJA_NOTHING)
            return fail(p, t->offset, CARINA_ERROR_FORMAT, "%s: an argument is missing", entry->name);
    TRY(add_pair(p, kind, t->offset, *node, places[0], &out));
    NODE(out).c = places[1];
    NODE(out).d = places[2];
    NODE(out).entry = index;
    *node = out;
    return CARINA_OK;
}

/* select('equalto', x): the test's name must stand there, so that an unknown one is found before anything runs. */
static carina_status resolve_test(jinja_parser *p, uint32_t filter) {
    const jinja_node *f = &NODE(filter);
    int place = jinja_entry_test_argument(f->entry);
    uint32_t argument = place == 0 ? f->b : place == 1 ? f->c : JINJA_NOTHING;
    if (argument == JINJA_NOTHING) return CARINA_OK;
    const jinja_node *name = &NODE(argument);
    if (name->kind != JINJA_NODE_CONSTANT || name->value.kind != JINJA_TEXT)
        return fail(p, name->offset, CARINA_ERROR_UNSUPPORTED, "expected the name of a test");
    int test = jinja_entry_find(JINJA_TESTS, name->value.text);
    if (test < 0)
        return fail(p, name->offset, CARINA_ERROR_UNSUPPORTED, "the test %.*s is not supported",
                    shown(name->value.text), name->value.text.data);
    bool given = (place == 0 ? f->c : f->d) != JINJA_NOTHING;
    if (given != (jinja_entry_at(JINJA_TESTS, test)->least > 0))
        return fail(p, name->offset, CARINA_ERROR_FORMAT, "the test %.*s wants %s argument", shown(name->value.text),
                    name->value.text.data, given ? "no" : "an");
    NODE(filter).sign = test + 1;
    return CARINA_OK;
}

/* ---- primaries ---- */

static carina_status parse_list(jinja_parser *p, uint32_t offset, uint32_t *out) {
    uint32_t first = JINJA_NOTHING, last = JINJA_NOTHING, item;
    TRY(jinja_add_node(p, JINJA_NODE_LIST, offset, out));
    while (!jinja_take_sign(p, ']')) {
        TRY(jinja_parse_expression(p, &item));
        append(p, &first, &last, item);
        if (!jinja_peek_sign(p, ']')) TRY(jinja_expect_sign(p, ',', "',' or ']'"));
    }
    NODE(*out).a = first;
    return CARINA_OK;
}

static carina_status parse_dict(jinja_parser *p, uint32_t offset, uint32_t *out) {
    uint32_t first = JINJA_NOTHING, last = JINJA_NOTHING, item;
    TRY(jinja_add_node(p, JINJA_NODE_DICT, offset, out));
    while (!jinja_take_sign(p, '}')) {
        TRY(jinja_parse_expression(p, &item));
        append(p, &first, &last, item);
        TRY(jinja_expect_sign(p, ':', "':'"));
        TRY(jinja_parse_expression(p, &item));
        append(p, &first, &last, item);
        if (!jinja_peek_sign(p, '}')) TRY(jinja_expect_sign(p, ',', "',' or '}'"));
    }
    NODE(*out).a = first;
    return CARINA_OK;
}

/* namespace(...) is a dictionary of its arguments; of other functions the one argument that raise_exception has is
 * kept, and what they would do is an error if they are ever called (strftime_now, under `is defined`). */
static carina_status parse_call(jinja_parser *p, jinja_text name, uint32_t offset, uint32_t *out) {
    uint32_t first = JINJA_NOTHING, last = JINJA_NOTHING, item;
    bool is_namespace = jinja_text_is(name, "namespace");
    TRY(jinja_add_node(p, JINJA_NODE_CALL, offset, out));
    NODE(*out).text = name;
    while (!jinja_take_sign(p, ')')) {
        jinja_text keyword;
        uint32_t at = jinja_peek(p)->offset;
        if (take_keyword(p, &keyword) != is_namespace)
            return fail(p, at, CARINA_ERROR_UNSUPPORTED, "%.*s: arguments are supported %s names only", shown(name),
                        name.data, is_namespace ? "with" : "without");
        if (is_namespace) {
            TRY(add_constant(p, at, (jinja_value){.kind = JINJA_TEXT, .text = keyword}, &item));
            append(p, &first, &last, item);
        }
        TRY(jinja_parse_expression(p, &item));
        append(p, &first, &last, item);
        if (!jinja_peek_sign(p, ')')) TRY(jinja_expect_sign(p, ',', "',' or ')'"));
    }
    NODE(*out).a = first;
    return CARINA_OK;
}

static carina_status parse_name(jinja_parser *p, uint32_t *out) {
    static const struct {
        const char *name;
        jinja_value value;
    } constants[] = {{"true", {.kind = JINJA_TRUTH, .truth = true}},
                     {"True", {.kind = JINJA_TRUTH, .truth = true}},
                     {"false", {.kind = JINJA_TRUTH, .truth = false}},
                     {"False", {.kind = JINJA_TRUTH, .truth = false}},
                     {"none", {.kind = JINJA_NONE}},
                     {"None", {.kind = JINJA_NONE}}};
    static const char *const reserved[] = {"and", "else", "if", "in", "is", "not", "or", "recursive"};
    const jinja_token *t = jinja_peek(p);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (jinja_text_is(t->text, reserved[i])) return jinja_expected(p, "an expression");
    p->at++;
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (jinja_text_is(t->text, constants[i].name)) return add_constant(p, t->offset, constants[i].value, out);
    if (jinja_take_sign(p, '(')) return parse_call(p, t->text, t->offset, out);
    TRY(jinja_add_node(p, JINJA_NODE_NAME, t->offset, out));
    NODE(*out).text = t->text;
    return CARINA_OK;
}

/* Texts side by side are one; rare, and done without memory of its own: only the first may be followed by others that
 * lie behind it. */
static carina_status parse_text(jinja_parser *p, uint32_t *out) {
    const jinja_token *t = jinja_peek(p);
    jinja_text text = t->text;
    p->at++;
    for (; jinja_peek(p)->kind == JINJA_TOKEN_TEXT; p->at++) text.size += jinja_peek(p)->text.size;
    return add_constant(p, t->offset, (jinja_value){.kind = JINJA_TEXT, .text = text}, out);
}

static carina_status parse_primary(jinja_parser *p, uint32_t *out) {
    const jinja_token *t = jinja_peek(p);
    if (t->kind == JINJA_TOKEN_NAME) return parse_name(p, out);
    if (t->kind == JINJA_TOKEN_TEXT) return parse_text(p, out);
    if (t->kind == JINJA_TOKEN_WHOLE) {
        p->at++;
        return add_constant(p, t->offset, (jinja_value){.kind = JINJA_WHOLE, .whole = t->whole}, out);
    }
    if (jinja_take_sign(p, '[')) return parse_list(p, t->offset, out);
    if (jinja_take_sign(p, '{')) return parse_dict(p, t->offset, out);
    if (!jinja_take_sign(p, '(')) return jinja_expected(p, "an expression");
    TRY(jinja_parse_expression(p, out));
    if (jinja_peek_sign(p, ','))
        return fail(p, jinja_peek(p)->offset, CARINA_ERROR_UNSUPPORTED, "tuples are not supported; use [ ]");
    return jinja_expect_sign(p, ')', "')'");
}

/* ---- behind a primary ---- */

/* a[i] or a[i:j:k]; the opening bracket is taken. */
static carina_status parse_item(jinja_parser *p, uint32_t offset, uint32_t *node) {
    uint32_t parts[3] = {JINJA_NOTHING, JINJA_NOTHING, JINJA_NOTHING}, out;
    int part = 0;
    for (;;) {
        if (!jinja_peek_sign(p, ':') && !jinja_peek_sign(p, ']')) TRY(jinja_parse_expression(p, &parts[part]));
        if (part == 2 || !jinja_take_sign(p, ':')) break;
        part++;
    }
    if (part == 0 && parts[0] == JINJA_NOTHING) return jinja_expected(p, "an expression");
    TRY(jinja_expect_sign(p, ']', "']'"));
    TRY(add_pair(p, part ? JINJA_NODE_SLICE : JINJA_NODE_ITEM, offset, *node, parts[0], &out));
    NODE(out).c = parts[1];
    NODE(out).d = parts[2];
    *node = out;
    return CARINA_OK;
}

/* a.name is a['name'] here: nothing has both items and attributes. */
static carina_status parse_attribute(jinja_parser *p, uint32_t *node) {
    const jinja_token *t = jinja_peek(p);
    if (t->kind == JINJA_TOKEN_WHOLE)
        return fail(p, t->offset, CARINA_ERROR_UNSUPPORTED, "a number behind a dot is not supported; use [ ]");
    if (t->kind != JINJA_TOKEN_NAME) return jinja_expected(p, "a name");
    bool is_call = t[1].kind == JINJA_TOKEN_SIGN && t[1].sign == '(';
    if (is_call) return parse_entry(p, JINJA_METHODS, JINJA_NODE_METHOD, "method", node);
    if (t->text.data[0] == '_' || jinja_entry_find(JINJA_METHODS, t->text) >= 0)
        return fail(p, t->offset, CARINA_ERROR_UNSUPPORTED, "the attribute %.*s is not supported", shown(t->text),
                    t->text.data);
    uint32_t key, out;
    TRY(add_constant(p, t->offset, (jinja_value){.kind = JINJA_TEXT, .text = t->text}, &key));
    TRY(add_pair(p, JINJA_NODE_ITEM, t->offset, *node, key, &out));
    p->at++;
    *node = out;
    return CARINA_OK;
}

static carina_status parse_postfix(jinja_parser *p, uint32_t *node) {
    for (;;) {
        uint32_t offset = jinja_peek(p)->offset;
        if (jinja_take_sign(p, '.'))
            TRY(parse_attribute(p, node));
        else if (jinja_take_sign(p, '['))
            TRY(parse_item(p, offset, node));
        else if (jinja_peek_sign(p, '('))
            return fail(p, offset, CARINA_ERROR_UNSUPPORTED, "only names and methods can be called");
        else
            return CARINA_OK;
    }
}

/* Jinja takes any other word behind a test for its argument, also the `if` of x is defined if y. */
static bool ends_test(jinja_text word) {
    return jinja_text_is(word, "else") || jinja_text_is(word, "and") || jinja_text_is(word, "or");
}

/* `is` is taken. A test's argument stands in brackets, or is the next primary. */
static carina_status parse_test(jinja_parser *p, uint32_t *node) {
    uint32_t offset = jinja_peek(p)->offset, out;
    bool negated = jinja_take_name(p, "not");
    const jinja_token *t = jinja_peek(p);
    int index = t->kind == JINJA_TOKEN_NAME ? jinja_entry_find(JINJA_TESTS, t->text) : -1;
    bool bare = index >= 0 && jinja_entry_at(JINJA_TESTS, index)->least == 1 &&
                !(t[1].kind == JINJA_TOKEN_SIGN && t[1].sign == '(');
    if (bare) {
        p->at++;
        uint32_t argument;
        TRY(parse_primary(p, &argument));
        TRY(parse_postfix(p, &argument));
        TRY(add_pair(p, JINJA_NODE_TEST, t->offset, *node, argument, &out));
        NODE(out).entry = index;
        *node = out;
    } else {
        TRY(parse_entry(p, JINJA_TESTS, JINJA_NODE_TEST, "test", node));
        if (t[1].kind == JINJA_TOKEN_NAME && !ends_test(t[1].text))
            return fail(p, t[1].offset, CARINA_ERROR_UNSUPPORTED, "expected else, and or or behind a test; use ( )");
    }
    if (!negated) return CARINA_OK;
    TRY(add_pair(p, JINJA_NODE_NOT, offset, *node, JINJA_NOTHING, &out));
    *node = out;
    return CARINA_OK;
}

static carina_status parse_filters(jinja_parser *p, uint32_t *node) {
    for (;;) {
        if (jinja_take_sign(p, '|')) {
            TRY(parse_entry(p, JINJA_FILTERS, JINJA_NODE_FILTER, "filter", node));
            TRY(resolve_test(p, *node));
        } else if (jinja_take_name(p, "is")) {
            TRY(parse_test(p, node));
        } else if (jinja_peek_sign(p, '(')) {
            return fail(p, jinja_peek(p)->offset, CARINA_ERROR_UNSUPPORTED, "only names and methods can be called");
        } else {
            return CARINA_OK;
        }
    }
}

/* A sign binds tighter than a filter: -x|f is (-x)|f. */
static carina_status parse_unary(jinja_parser *p, bool filters, uint32_t *out) {
    uint32_t offset = jinja_peek(p)->offset, node;
    TRY(jinja_deeper(p));
    if (jinja_take_sign(p, '-')) {
        TRY(parse_unary(p, false, &node));
        TRY(add_pair(p, JINJA_NODE_MINUS, offset, node, JINJA_NOTHING, out));
    } else {
        TRY(parse_primary(p, out));
    }
    TRY(parse_postfix(p, out));
    if (filters) TRY(parse_filters(p, out));
    p->depth--;
    return CARINA_OK;
}

/* ---- operators ---- */

/* One of `signs` (0 ends them), or 0. */
static int take_any(jinja_parser *p, const int *signs) {
    for (; *signs; signs++)
        if (jinja_take_sign(p, *signs)) return *signs;
    return 0;
}

/* level 0: + and -, 1: ~, 2: * // %; all from left to right. */
static carina_status parse_binary(jinja_parser *p, int level, uint32_t *out) {
    static const int signs[3][4] = {{'+', '-', 0}, {'~', 0}, {'*', JINJA_SIGN_2('/', '/'), '%', 0}};
    if (level == 3) return parse_unary(p, true, out);
    TRY(parse_binary(p, level + 1, out));
    for (;;) {
        uint32_t offset = jinja_peek(p)->offset, right, node;
        int sign = take_any(p, signs[level]);
        if (!sign) break;
        TRY(parse_binary(p, level + 1, &right));
        TRY(add_pair(p, JINJA_NODE_BINARY, offset, *out, right, &node));
        NODE(node).sign = sign;
        *out = node;
    }
    if (level == 2 && (jinja_peek_sign(p, '/') || jinja_peek_sign(p, JINJA_SIGN_2('*', '*'))))
        return fail(p, jinja_peek(p)->offset, CARINA_ERROR_UNSUPPORTED, "this operator is not supported");
    return CARINA_OK;
}

static bool starts_comparison(const jinja_parser *p) {
    static const int signs[] = {JINJA_SIGN_2('=', '='), JINJA_SIGN_2('!', '='), '<', '>',
                                JINJA_SIGN_2('<', '='), JINJA_SIGN_2('>', '=')};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (jinja_peek_sign(p, signs[i])) return true;
    const jinja_token *t = jinja_peek(p);
    return jinja_peek_name(p, "in") ||
           (jinja_peek_name(p, "not") && t[1].kind == JINJA_TOKEN_NAME && jinja_text_is(t[1].text, "in"));
}

static carina_status parse_comparison(jinja_parser *p, uint32_t *out) {
    uint32_t right, node;
    TRY(parse_binary(p, 0, out));
    if (!starts_comparison(p)) return CARINA_OK;
    const jinja_token *t = jinja_peek(p);
    bool negated = jinja_take_name(p, "not");
    p->at++;
    TRY(parse_binary(p, 0, &right));
    TRY(add_pair(p, t->kind == JINJA_TOKEN_NAME ? JINJA_NODE_IN : JINJA_NODE_BINARY, t->offset, *out, right, &node));
    NODE(node).sign = t->sign;
    *out = node;
    if (negated) {
        TRY(add_pair(p, JINJA_NODE_NOT, t->offset, *out, JINJA_NOTHING, &node));
        *out = node;
    }
    if (starts_comparison(p))
        return fail(p, jinja_peek(p)->offset, CARINA_ERROR_UNSUPPORTED, "comparisons in a chain are not supported");
    return CARINA_OK;
}

static carina_status parse_not(jinja_parser *p, uint32_t *out) {
    uint32_t offset = jinja_peek(p)->offset, node;
    if (!jinja_take_name(p, "not")) return parse_comparison(p, out);
    TRY(jinja_deeper(p));
    TRY(parse_not(p, &node));
    p->depth--;
    return add_pair(p, JINJA_NODE_NOT, offset, node, JINJA_NOTHING, out);
}

static carina_status parse_and(jinja_parser *p, uint32_t *out) {
    TRY(parse_not(p, out));
    for (;;) {
        uint32_t offset = jinja_peek(p)->offset, right, node;
        if (!jinja_take_name(p, "and")) return CARINA_OK;
        TRY(parse_not(p, &right));
        TRY(add_pair(p, JINJA_NODE_AND, offset, *out, right, &node));
        *out = node;
    }
}

carina_status jinja_parse_condition(jinja_parser *p, uint32_t *out) {
    TRY(parse_and(p, out));
    for (;;) {
        uint32_t offset = jinja_peek(p)->offset, right, node;
        if (!jinja_take_name(p, "or")) return CARINA_OK;
        TRY(parse_and(p, &right));
        TRY(add_pair(p, JINJA_NODE_OR, offset, *out, right, &node));
        *out = node;
    }
}

carina_status jinja_parse_expression(jinja_parser *p, uint32_t *out) {
    TRY(jinja_deeper(p));
    TRY(jinja_parse_condition(p, out));
    while (jinja_peek_name(p, "if")) {
        uint32_t offset = jinja_peek(p)->offset, condition, other = JINJA_NOTHING, node;
        p->at++;
        TRY(jinja_parse_condition(p, &condition));
        if (jinja_take_name(p, "else")) TRY(jinja_parse_expression(p, &other));
        TRY(add_pair(p, JINJA_NODE_CHOICE, offset, condition, *out, &node));
        NODE(node).c = other;
        *out = node;
    }
    p->depth--;
    return CARINA_OK;
}
