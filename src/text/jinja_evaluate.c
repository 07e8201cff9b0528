/* Expressions of the tree to values. Every node counts as a step and as a level of depth while it is evaluated. */
#include <string.h>

#include "text/jinja_internal.h"

static const jinja_node *node_at(const jinja_run *r, uint32_t node) { return &r->tree->nodes[node]; }

static carina_status find_variable(jinja_run *r, jinja_text name, jinja_value *out) {
    *out = jinja_undefined_value(name);
    TRY(jinja_spend(r, r->variable_count / 8));
    for (uint64_t i = r->variable_count; i-- > 0;) {
        const jinja_variable *v = &r->variables[i];
        if (v->name.size != name.size || memcmp(v->name.data, name.data, name.size) != 0) continue;
        *out = v->value;
        break;
    }
    return CARINA_OK;
}

static carina_status make_list(jinja_run *r, const jinja_node *n, jinja_value *out) {
    uint64_t count = 0, i = 0;
    for (uint32_t item = n->a; item != JINJA_NOTHING; item = node_at(r, item)->next) count++;
    TRY(jinja_make_list(r, count, JINJA_LIST, out));
    for (uint32_t item = n->a; item != JINJA_NOTHING; item = node_at(r, item)->next)
        TRY(jinja_evaluate(r, item, &out->list->items[i++]));
    return CARINA_OK;
}

/* Keys and values take turns from n->a on. */
static carina_status make_dict(jinja_run *r, const jinja_node *n, jinja_kind kind, jinja_value *out) {
    TRY(jinja_make_dict(r, kind, out));
    for (uint32_t item = n->a; item != JINJA_NOTHING; item = node_at(r, item)->next) {
        jinja_value key, value;
        TRY(jinja_evaluate(r, item, &key));
        if (key.kind != JINJA_TEXT)
            return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "%s as a key is not supported",
                                  jinja_kind_name(key.kind));
        item = node_at(r, item)->next;
        TRY(jinja_evaluate(r, item, &value));
        TRY(jinja_dict_set(r, out->dict, key.text, value));
    }
    return CARINA_OK;
}

static carina_status call(jinja_run *r, const jinja_node *n, uint32_t at, jinja_value *out) {
    if (jinja_text_is(n->text, "namespace")) return make_dict(r, n, JINJA_NAMESPACE, out);
    if (!jinja_text_is(n->text, "raise_exception"))
        return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "the function %.*s is not supported",
                              (int)(n->text.size < 60 ? n->text.size : 60), n->text.data);
    jinja_value words = jinja_text_value("", 0);
    jinja_text text;
    if (n->a == JINJA_NOTHING || node_at(r, n->a)->next != JINJA_NOTHING)
        return jinja_run_fail(r, CARINA_ERROR_FORMAT, "raise_exception has one argument");
    TRY(jinja_evaluate(r, n->a, &words));
    r->at = at;
    TRY(jinja_to_text(r, &words, &text));
    return jinja_run_fail(r, CARINA_ERROR_ARGUMENT, "%.*s", (int)(text.size < 350 ? text.size : 350), text.data);
}

static carina_status filter(jinja_run *r, const jinja_node *n, uint32_t at, jinja_value *out) {
    jinja_arguments arguments = {.test = n->sign - 1};
    const uint32_t nodes[JINJA_MAX_PARAMETERS] = {n->b, n->c, n->d};
    jinja_value input;
    bool is_filter = n->kind == JINJA_NODE_FILTER;
    TRY(is_filter ? jinja_evaluate_any(r, n->a, &input) : jinja_evaluate(r, n->a, &input));
    for (int i = 0; i < JINJA_MAX_PARAMETERS; i++) {
        arguments.given[i] = nodes[i] != JINJA_NOTHING;
        arguments.values[i] = jinja_undefined_value((jinja_text){"an argument", 11});
        if (arguments.given[i]) TRY(jinja_evaluate(r, nodes[i], &arguments.values[i]));
    }
    r->at = at;
    return is_filter ? jinja_filter(r, n->entry, &input, &arguments, out)
                     : jinja_method(r, n->entry, &input, &arguments, out);
}

static carina_status test(jinja_run *r, const jinja_node *n, uint32_t at, jinja_value *out) {
    jinja_value input, argument = {.kind = JINJA_NONE};
    bool truth = false;
    TRY(jinja_evaluate(r, n->a, &input));
    if (n->b != JINJA_NOTHING) TRY(jinja_evaluate(r, n->b, &argument));
    r->at = at;
    TRY(jinja_test(r, n->entry, &input, &argument, &truth));
    *out = jinja_truth_value(truth);
    return CARINA_OK;
}

static carina_status slice(jinja_run *r, const jinja_node *n, uint32_t at, jinja_value *out) {
    const uint32_t nodes[3] = {n->b, n->c, n->d};
    jinja_value of, bounds[3];
    TRY(jinja_evaluate(r, n->a, &of));
    for (int i = 0; i < 3; i++) {
        bounds[i] = (jinja_value){.kind = JINJA_NONE};
        if (nodes[i] != JINJA_NOTHING) TRY(jinja_evaluate(r, nodes[i], &bounds[i]));
    }
    r->at = at;
    return jinja_slice(r, &of, bounds, out);
}

/* Operators of two values that are both needed. */
static carina_status pair(jinja_run *r, const jinja_node *n, uint32_t at, jinja_value *out) {
    jinja_value a, b;
    bool inside = false;
    TRY(jinja_evaluate(r, n->a, &a));
    TRY(jinja_evaluate(r, n->b, &b));
    r->at = at;
    if (n->kind == JINJA_NODE_BINARY) return jinja_binary(r, n->sign, &a, &b, out);
    if (n->kind == JINJA_NODE_ITEM) return jinja_item(r, &a, &b, out);
    TRY(jinja_contains(r, &a, &b, &inside));
    *out = jinja_truth_value(inside);
    return CARINA_OK;
}

/* Those that look at one value first, and perhaps at no other. */
static carina_status choose(jinja_run *r, const jinja_node *n, uint32_t at, jinja_value *out) {
    jinja_value first;
    TRY(jinja_evaluate(r, n->a, &first));
    bool truth = jinja_truth(&first);
    *out = first;
    r->at = at;
    switch (n->kind) {
        case JINJA_NODE_AND: return truth ? jinja_evaluate(r, n->b, out) : CARINA_OK;
        case JINJA_NODE_OR: return truth ? CARINA_OK : jinja_evaluate(r, n->b, out);
        case JINJA_NODE_NOT: *out = jinja_truth_value(!truth); return CARINA_OK;
        case JINJA_NODE_MINUS: {
            const jinja_value zero = jinja_whole_value(0);
            return jinja_binary(r, '-', &zero, &first, out);
        }
        default: break;
    }
    if (truth) return jinja_evaluate(r, n->b, out);
    if (n->c != JINJA_NOTHING) return jinja_evaluate(r, n->c, out);
    *out = jinja_undefined_value((jinja_text){"the inline if without else", 26});
    return CARINA_OK;
}

static carina_status evaluate_node(jinja_run *r, uint32_t at, jinja_value *out) {
    const jinja_node *n = node_at(r, at);
    switch (n->kind) {
        case JINJA_NODE_CONSTANT: *out = n->value; return CARINA_OK;
        case JINJA_NODE_NAME: return find_variable(r, n->text, out);
        case JINJA_NODE_LIST: return make_list(r, n, out);
        case JINJA_NODE_DICT: return make_dict(r, n, JINJA_DICT, out);
        case JINJA_NODE_CALL: return call(r, n, at, out);
        case JINJA_NODE_FILTER:
        case JINJA_NODE_METHOD: return filter(r, n, at, out);
        case JINJA_NODE_TEST: return test(r, n, at, out);
        case JINJA_NODE_SLICE: return slice(r, n, at, out);
        case JINJA_NODE_BINARY:
        case JINJA_NODE_ITEM:
        case JINJA_NODE_IN: return pair(r, n, at, out);
        default: return choose(r, n, at, out);
    }
}

carina_status jinja_evaluate_any(jinja_run *r, uint32_t node, jinja_value *out) {
    r->at = node;
    TRY(jinja_spend(r, 1));
    if (++r->depth > 2 * JINJA_MAX_DEPTH)
        return jinja_run_fail(r, CARINA_ERROR_LIMIT, "an expression more than %d levels deep", 2 * JINJA_MAX_DEPTH);
    carina_status status = evaluate_node(r, node, out);
    r->depth--;
    return status;
}

carina_status jinja_evaluate(jinja_run *r, uint32_t node, jinja_value *out) {
    TRY(jinja_evaluate_any(r, node, out));
    if (out->kind != JINJA_STREAM) return CARINA_OK;
    r->at = node;
    return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED,
                          "what is made here can only be gone through; put | list behind it");
}
