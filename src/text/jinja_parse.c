/* Tokens to a tree: statements. Expressions are jinja_expression.c's. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/jinja_internal.h"

/* ---- looking at tokens ---- */

const jinja_token *jinja_peek(const jinja_parser *p) { return &p->tree->source.tokens[p->at]; }

bool jinja_peek_sign(const jinja_parser *p, int sign) {
    return jinja_peek(p)->kind == JINJA_TOKEN_SIGN && jinja_peek(p)->sign == sign;
}

bool jinja_peek_name(const jinja_parser *p, const char *name) {
    return jinja_peek(p)->kind == JINJA_TOKEN_NAME && jinja_text_is(jinja_peek(p)->text, name);
}

bool jinja_take_sign(jinja_parser *p, int sign) {
    if (!jinja_peek_sign(p, sign)) return false;
    p->at++;
    return true;
}

bool jinja_take_name(jinja_parser *p, const char *name) {
    if (!jinja_peek_name(p, name)) return false;
    p->at++;
    return true;
}

carina_status jinja_expect_sign(jinja_parser *p, int sign, const char *what) {
    return jinja_take_sign(p, sign) ? CARINA_OK : jinja_expected(p, what);
}

carina_status jinja_expected(jinja_parser *p, const char *what) {
    const jinja_token *t = jinja_peek(p);
    const char *found = "the end of the template";
    char sign[8] = {'\'', 0};
    int size = (int)strlen(found);
    switch (t->kind) {
        case JINJA_TOKEN_DATA: found = "plain text"; break;
        case JINJA_TOKEN_BLOCK_BEGIN: found = "'{%'"; break;
        case JINJA_TOKEN_BLOCK_END: found = "'%}'"; break;
        case JINJA_TOKEN_PRINT_BEGIN: found = "'{{'"; break;
        case JINJA_TOKEN_PRINT_END: found = "'}}'"; break;
        case JINJA_TOKEN_TEXT: found = "a text"; break;
        case JINJA_TOKEN_WHOLE: found = "a number"; break;
        case JINJA_TOKEN_NAME: found = t->text.data; break;
        case JINJA_TOKEN_SIGN:
            if (t->sign > 255) sign[1] = (char)(t->sign >> 8);
            sign[strlen(sign)] = (char)t->sign;
            sign[strlen(sign)] = '\'';
            found = sign;
            break;
        case JINJA_TOKEN_END: break;
    }
    size = t->kind == JINJA_TOKEN_NAME ? (int)(t->text.size < 60 ? t->text.size : 60) : (int)strlen(found);
    return jinja_fail_at(&p->tree->source, t->offset, CARINA_ERROR_FORMAT, p->error, "expected %s, found %.*s", what,
                         size, found);
}

carina_status jinja_add_node(jinja_parser *p, jinja_node_kind kind, uint32_t offset, uint32_t *out) {
    jinja *t = p->tree;
    if (t->node_count == t->node_room) {
        uint32_t room = 2 * t->node_room + 64; /* fewer nodes than three for each token */
        jinja_node *larger = realloc(t->nodes, room * sizeof *larger);
        if (!larger) return error_memory(p->error, t->source.name, room * sizeof *larger);
        t->nodes = larger;
        t->node_room = room;
    }
    *out = t->node_count++;
    t->nodes[*out] = (jinja_node){.kind = kind,
                                  .offset = offset,
                                  .a = JINJA_NOTHING,
                                  .b = JINJA_NOTHING,
                                  .c = JINJA_NOTHING,
                                  .d = JINJA_NOTHING,
                                  .next = JINJA_NOTHING,
                                  .entry = -1};
    return CARINA_OK;
}

carina_status jinja_deeper(jinja_parser *p) {
    if (++p->depth <= JINJA_MAX_DEPTH) return CARINA_OK;
    return jinja_fail_at(&p->tree->source, jinja_peek(p)->offset, CARINA_ERROR_LIMIT, p->error,
                         "more than %d levels of blocks and expressions", JINJA_MAX_DEPTH);
}

carina_status jinja_take_target(jinja_parser *p, jinja_text *out) {
    static const char *const reserved[] = {"and",  "else", "false", "False", "if",   "in",   "is",       "loop",
                                           "none", "None", "not",   "or",    "true", "True", "recursive"};
    const jinja_token *t = jinja_peek(p);
    if (t->kind != JINJA_TOKEN_NAME) return jinja_expected(p, "a name");
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (jinja_text_is(t->text, reserved[i])) return jinja_expected(p, "a name that may be set");
    *out = t->text;
    p->at++;
    return CARINA_OK;
}

/* ---- statements ---- */

static carina_status parse_statements(jinja_parser *p, uint32_t *first);

static carina_status expect_end(jinja_parser *p) {
    if (jinja_peek(p)->kind != JINJA_TOKEN_BLOCK_END) return jinja_expected(p, "'%}'");
    p->at++;
    return CARINA_OK;
}

/* {% NAME at this place? Takes both tokens if so. */
static bool take_block(jinja_parser *p, const char *name) {
    if (jinja_peek(p)->kind != JINJA_TOKEN_BLOCK_BEGIN) return false;
    p->at++;
    if (jinja_take_name(p, name)) return true;
    p->at--;
    return false;
}

static carina_status unclosed(jinja_parser *p, uint32_t offset, const char *what, const char *wanted) {
    if (jinja_peek(p)->kind == JINJA_TOKEN_BLOCK_BEGIN) {
        p->at++;
        return jinja_expected(p, wanted);
    }
    return jinja_fail_at(&p->tree->source, offset, CARINA_ERROR_FORMAT, p->error, "this %s has no end%s", what, what);
}

static carina_status unsupported(jinja_parser *p, const char *what) {
    return jinja_fail_at(&p->tree->source, jinja_peek(p)->offset, CARINA_ERROR_UNSUPPORTED, p->error,
                         "%s is not supported", what);
}

/* Each elif is an if that hangs on the one before it: a chain, which is no depth. */
static carina_status parse_if(jinja_parser *p, uint32_t offset, uint32_t *out) {
    uint32_t node, last = JINJA_NOTHING, part;
    bool more = true;
    while (more) {
        TRY(jinja_add_node(p, JINJA_NODE_IF, offset, &node));
        if (last == JINJA_NOTHING)
            *out = node;
        else
            p->tree->nodes[last].c = node;
        last = node;
        TRY(jinja_parse_condition(p, &part));
        p->tree->nodes[node].a = part;
        TRY(expect_end(p));
        TRY(parse_statements(p, &part));
        p->tree->nodes[node].b = part;
        more = take_block(p, "elif");
    }
    if (take_block(p, "else")) {
        TRY(expect_end(p));
        TRY(parse_statements(p, &part));
        p->tree->nodes[last].d = part;
    }
    if (!take_block(p, "endif")) return unclosed(p, offset, "if", "elif, else or endif");
    return expect_end(p);
}

static carina_status parse_for(jinja_parser *p, uint32_t offset, uint32_t *out) {
    jinja_text target, second = {NULL, 0};
    uint32_t node, part;
    TRY(jinja_add_node(p, JINJA_NODE_FOR, offset, &node));
    *out = node;
    TRY(jinja_take_target(p, &target));
    if (jinja_take_sign(p, ',')) TRY(jinja_take_target(p, &second));
    p->tree->nodes[node].text = target;
    p->tree->nodes[node].more = second;
    if (!jinja_take_name(p, "in")) return jinja_expected(p, "in");
    TRY(jinja_parse_condition(p, &part));
    p->tree->nodes[node].a = part;
    if (jinja_take_name(p, "if")) {
        TRY(jinja_parse_expression(p, &part));
        p->tree->nodes[node].b = part;
    }
    if (jinja_peek_name(p, "recursive")) return unsupported(p, "a recursive loop");
    TRY(expect_end(p));
    TRY(parse_statements(p, &part));
    p->tree->nodes[node].c = part;
    if (take_block(p, "else")) {
        TRY(expect_end(p));
        TRY(parse_statements(p, &part));
        p->tree->nodes[node].d = part;
    }
    if (!take_block(p, "endfor")) return unclosed(p, offset, "for", "else or endfor");
    return expect_end(p);
}

static carina_status parse_set(jinja_parser *p, uint32_t offset, uint32_t *out) {
    jinja_text name, attribute = {NULL, 0};
    uint32_t node, part;
    TRY(jinja_add_node(p, JINJA_NODE_SET, offset, &node));
    *out = node;
    TRY(jinja_take_target(p, &name));
    if (jinja_take_sign(p, '.')) TRY(jinja_take_target(p, &attribute));
    if (jinja_peek(p)->kind == JINJA_TOKEN_BLOCK_END) return unsupported(p, "set without '='");
    if (jinja_peek_sign(p, ',')) return unsupported(p, "set of several names");
    TRY(jinja_expect_sign(p, '=', "'='"));
    TRY(jinja_parse_expression(p, &part));
    p->tree->nodes[node].text = name;
    p->tree->nodes[node].more = attribute;
    p->tree->nodes[node].a = part;
    return expect_end(p);
}

static carina_status parse_block(jinja_parser *p, uint32_t *out) {
    uint32_t offset = jinja_peek(p)->offset;
    if (jinja_take_name(p, "if")) return parse_if(p, offset, out);
    if (jinja_take_name(p, "for")) return parse_for(p, offset, out);
    if (jinja_take_name(p, "set")) return parse_set(p, offset, out);
    const jinja_token *t = jinja_peek(p);
    if (t->kind != JINJA_TOKEN_NAME) return jinja_expected(p, "if, for or set");
    return jinja_fail_at(&p->tree->source, offset, CARINA_ERROR_UNSUPPORTED, p->error,
                         "the statement %.*s is not supported", (int)(t->text.size < 60 ? t->text.size : 60),
                         t->text.data);
}

static carina_status parse_print(jinja_parser *p, uint32_t *out) {
    uint32_t part;
    TRY(jinja_add_node(p, JINJA_NODE_PRINT, jinja_peek(p)->offset, out));
    TRY(jinja_parse_expression(p, &part));
    p->tree->nodes[*out].a = part;
    if (jinja_peek(p)->kind != JINJA_TOKEN_PRINT_END) return jinja_expected(p, "'}}'");
    p->at++;
    return CARINA_OK;
}

/* Whether the block that begins here belongs to the statement around it. */
static bool ends_statements(const jinja_parser *p) {
    static const char *const names[] = {"elif", "else", "endif", "endfor"};
    const jinja_token *t = jinja_peek(p);
    if (t->kind == JINJA_TOKEN_END) return true;
    if (t->kind != JINJA_TOKEN_BLOCK_BEGIN || t[1].kind != JINJA_TOKEN_NAME) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (jinja_text_is(t[1].text, names[i])) return true;
    return false;
}

static carina_status parse_statements(jinja_parser *p, uint32_t *first) {
    uint32_t last = JINJA_NOTHING, node = JINJA_NOTHING;
    *first = JINJA_NOTHING;
    TRY(jinja_deeper(p));
    while (!ends_statements(p)) {
        const jinja_token *t = jinja_peek(p);
        p->at++;
        if (t->kind == JINJA_TOKEN_DATA) {
            TRY(jinja_add_node(p, JINJA_NODE_DATA, t->offset, &node));
            p->tree->nodes[node].text = t->text;
        } else if (t->kind == JINJA_TOKEN_PRINT_BEGIN) {
            TRY(parse_print(p, &node));
        } else {
            TRY(parse_block(p, &node));
        }
        if (last == JINJA_NOTHING)
            *first = node;
        else
            p->tree->nodes[last].next = node;
        last = node;
    }
    p->depth--;
    return CARINA_OK;
}

/* ---- the whole ---- */

/* Every line ends with \n alone, and the last one's goes, as Jinja has it. */
static void mend_lines(jinja_source *s) {
    uint32_t end = 0;
    for (uint32_t i = 0; i < s->size; i++) {
        if (s->text[i] == '\r' && i + 1 < s->size && s->text[i + 1] == '\n') continue;
        s->text[end++] = s->text[i] == '\r' ? '\n' : s->text[i];
    }
    if (end > 0 && s->text[end - 1] == '\n') end--;
    s->size = end;
}

static carina_status read_source(jinja_source *s, const char *name, const void *data, uint64_t size,
                                 carina_error *error) {
    if (size > JINJA_MAX_BYTES)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: a template of %llu bytes, at most %u", name,
                         (unsigned long long)size, JINJA_MAX_BYTES);
    if (!utf8_valid(data, size)) return error_set(error, CARINA_ERROR_FORMAT, "%s: not UTF-8", name);
    s->name = strdup(name);
    s->text = malloc(size + 1);
    s->literals = malloc(size + 4);
    if (!s->name || !s->text || !s->literals) return error_memory(error, name, size);
    if (size) memcpy(s->text, data, size);
    s->size = (uint32_t)size;
    mend_lines(s);
    return jinja_lex(s, error);
}

carina_status jinja_parse(jinja **out, const char *name, const void *data, uint64_t size, carina_error *error) {
    jinja *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error, name, sizeof *t);
    jinja_parser p = {.tree = t, .error = error};
    carina_status status = read_source(&t->source, name, data, size, error);
    if (status == CARINA_OK) status = parse_statements(&p, &t->first);
    if (status == CARINA_OK && jinja_peek(&p)->kind != JINJA_TOKEN_END) {
        p.at++;
        status = jinja_expected(&p, "a statement");
    }
    free(t->source.tokens); /* the tree has what it needs of them */
    t->source.tokens = NULL;
    if (status == CARINA_OK)
        *out = t;
    else
        jinja_free(t);
    return status;
}

void jinja_free(jinja *t) {
    if (!t) return;
    free(t->source.name);
    free(t->source.text);
    free(t->source.literals);
    free(t->source.tokens);
    free(t->nodes);
    free(t);
}
