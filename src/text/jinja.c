/* A template's statements, run: what is put out, the names that are set, and how long each of them lasts.
 *
 * Names live in scopes: the whole template is one, each pass through a loop's body is one of its own (what is set there
 * is gone afterwards, as in Jinja), `if` is none. */
#include "text/jinja.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_internal.h"

carina_status jinja_run_fail(jinja_run *r, carina_status status, const char *format, ...) {
    char what[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (r->at == JINJA_NOTHING) return error_set(r->error, status, "%s: %s", r->tree->source.name, what);
    return jinja_fail_at(&r->tree->source, r->tree->nodes[r->at].offset, status, r->error, "%s", what);
}

carina_status jinja_run_create(jinja_run **out, const jinja *t, carina_error *error) {
    jinja_run *r = calloc(1, sizeof *r);
    if (!r) return error_memory(error, "a template's run", sizeof *r);
    r->tree = t;
    r->at = JINJA_NOTHING;
    r->steps = JINJA_MAX_STEPS;
    r->memory = JINJA_MAX_MEMORY;
    r->error = error;
    *out = r;
    return CARINA_OK;
}

/* ---- names ---- */

static carina_status set_name(jinja_run *r, jinja_text name, jinja_value value) {
    for (uint64_t i = r->scope; i < r->variable_count; i++) {
        jinja_variable *v = &r->variables[i];
        if (v->name.size != name.size || memcmp(v->name.data, name.data, name.size) != 0) continue;
        v->value = value;
        return CARINA_OK;
    }
    if (r->variable_count == r->variable_room) {
        uint64_t room = 2 * r->variable_room + 16;
        TRY(jinja_charge(r, (room - r->variable_room) * sizeof *r->variables));
        jinja_variable *larger = realloc(r->variables, room * sizeof *larger);
        if (!larger) return error_memory(r->error, "a template's names", room * sizeof *larger);
        r->variables = larger;
        r->variable_room = room;
    }
    r->variables[r->variable_count++] = (jinja_variable){name, value};
    return jinja_spend(r, (r->variable_count - r->scope) / 8);
}

carina_status jinja_run_set(jinja_run *r, const char *name, jinja_value value) {
    return set_name(r, (jinja_text){name, strlen(name)}, value);
}

static carina_status run_set(jinja_run *r, uint32_t at, const jinja_node *n) {
    jinja_value value, owner = {.kind = JINJA_UNDEFINED};
    TRY(jinja_evaluate(r, n->a, &value));
    r->at = at;
    if (!n->more.size) return set_name(r, n->text, value);
    for (uint64_t i = 0; i < r->variable_count; i++) { /* the last of that name is the one that is seen */
        const jinja_variable *v = &r->variables[i];
        if (v->name.size == n->text.size && memcmp(v->name.data, n->text.data, n->text.size) == 0) owner = v->value;
    }
    TRY(jinja_spend(r, r->variable_count / 8));
    if (owner.kind != JINJA_NAMESPACE)
        return jinja_run_fail(r, CARINA_ERROR_FORMAT, "only a namespace's attributes can be set; '%.*s' is %s",
                              (int)(n->text.size < 60 ? n->text.size : 60), n->text.data, jinja_kind_name(owner.kind));
    return jinja_dict_set(r, owner.dict, n->more, value);
}

/* ---- output ---- */

static carina_status put_out(jinja_run *r, jinja_text text) {
    if (text.size > JINJA_MAX_OUTPUT - r->output_size)
        return jinja_run_fail(r, CARINA_ERROR_LIMIT, "the template's text is longer than %u MiB",
                              JINJA_MAX_OUTPUT >> 20);
    uint64_t wanted = r->output_size + text.size + 1;
    if (wanted > r->output_room) {
        uint64_t room = 2 * wanted + 256;
        char *larger = realloc(r->output, room);
        if (!larger) return error_memory(r->error, "a template's text", room);
        r->output = larger;
        r->output_room = room;
    }
    if (text.size) memcpy(r->output + r->output_size, text.data, text.size);
    r->output_size += text.size;
    return jinja_spend(r, text.size / 64);
}

static carina_status run_print(jinja_run *r, uint32_t at, const jinja_node *n) {
    jinja_value value;
    jinja_text text;
    TRY(jinja_evaluate(r, n->a, &value));
    r->at = at;
    TRY(jinja_to_text(r, &value, &text));
    return put_out(r, text);
}

/* ---- loops ---- */

static carina_status run_statements(jinja_run *r, uint32_t node);

static carina_status set_targets(jinja_run *r, const jinja_node *n, const jinja_value *item) {
    if (!n->more.size) return set_name(r, n->text, *item);
    const jinja_list *pair;
    TRY(jinja_to_list(r, item, &pair));
    if (pair->count != 2)
        return jinja_run_fail(r, CARINA_ERROR_FORMAT, "two names, and %llu values for them",
                              (unsigned long long)pair->count);
    TRY(set_name(r, n->text, pair->items[0]));
    return set_name(r, n->more, pair->items[1]);
}

/* One pass through the body, or (without `loop`) one look at the filter, in a scope of its own. */
static carina_status run_pass(jinja_run *r, uint32_t at, const jinja_value *item, const jinja_value *loop, bool *keep) {
    const jinja_node *n = &r->tree->nodes[at];
    uint64_t outer = r->scope;
    jinja_value condition;
    carina_status status;
    r->scope = r->variable_count;
    r->at = at;
    TRY_GOTO(status, end, jinja_spend(r, 1));
    TRY_GOTO(status, end, set_targets(r, n, item));
    if (loop) {
        TRY_GOTO(status, end, set_name(r, (jinja_text){"loop", 4}, *loop));
        TRY_GOTO(status, end, run_statements(r, n->c));
    } else {
        TRY_GOTO(status, end, jinja_evaluate(r, n->b, &condition));
        *keep = jinja_truth(&condition);
    }
end:
    r->variable_count = r->scope;
    r->scope = outer;
    return status;
}

static carina_status filter_items(jinja_run *r, uint32_t at, const jinja_list **list) {
    jinja_value kept;
    uint64_t count = 0;
    TRY(jinja_make_list(r, (*list)->count, JINJA_LIST, &kept));
    for (uint64_t i = 0; i < (*list)->count; i++) {
        bool keep = false;
        TRY(run_pass(r, at, &(*list)->items[i], NULL, &keep));
        if (keep) kept.list->items[count++] = (*list)->items[i];
    }
    kept.list->count = count;
    *list = kept.list;
    return CARINA_OK;
}

static carina_status run_for(jinja_run *r, uint32_t at, const jinja_node *n) {
    jinja_value of;
    const jinja_list *list;
    void *memory;
    TRY(jinja_evaluate_any(r, n->a, &of));
    r->at = at;
    TRY(jinja_to_list(r, &of, &list));
    if (n->b != JINJA_NOTHING) TRY(filter_items(r, at, &list));
    TRY(jinja_take(r, sizeof(jinja_loop), &memory));
    jinja_loop *loop = memory;
    const jinja_value value = {.kind = JINJA_LOOP, .loop = loop};
    *loop = (jinja_loop){list, 0};
    for (; loop->index < list->count; loop->index++) TRY(run_pass(r, at, &list->items[loop->index], &value, NULL));
    return list->count == 0 ? run_statements(r, n->d) : CARINA_OK;
}

/* ---- statements ---- */

static carina_status run_if(jinja_run *r, uint32_t at) {
    for (;;) {
        const jinja_node *n = &r->tree->nodes[at];
        jinja_value condition;
        TRY(jinja_evaluate(r, n->a, &condition));
        if (jinja_truth(&condition)) return run_statements(r, n->b);
        if (n->c == JINJA_NOTHING) return run_statements(r, n->d);
        at = n->c;
    }
}

static carina_status run_statements(jinja_run *r, uint32_t node) {
    for (; node != JINJA_NOTHING; node = r->tree->nodes[node].next) {
        const jinja_node *n = &r->tree->nodes[node];
        r->at = node;
        TRY(jinja_spend(r, 1));
        switch (n->kind) {
            case JINJA_NODE_DATA: TRY(put_out(r, n->text)); break;
            case JINJA_NODE_PRINT: TRY(run_print(r, node, n)); break;
            case JINJA_NODE_SET: TRY(run_set(r, node, n)); break;
            case JINJA_NODE_IF: TRY(run_if(r, node)); break;
            default: TRY(run_for(r, node, n)); break;
        }
    }
    return CARINA_OK;
}

carina_status jinja_run_render(jinja_run *r, char **text, uint64_t *size) {
    TRY(run_statements(r, r->tree->first));
    TRY(put_out(r, (jinja_text){"", 0}));
    r->output[r->output_size] = 0;
    *text = r->output;
    *size = r->output_size;
    r->output = NULL;
    r->output_size = r->output_room = 0;
    return CARINA_OK;
}
