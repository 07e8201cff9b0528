/* From a text to a grammar that can be kept: parsed, compiled, and checked on its states. See grammar.h. */
#include "text/grammar.h"

#include <stdlib.h>
#include <string.h>

#include "text/grammar_internal.h"

/* What is found out about states; the facts grow until nothing changes. */
enum {
    ENDS = 1,  /* some finite text leads from here to the end of the rule */
    EMPTY = 2, /* the empty text does */
    BYTES = 4  /* there may be a byte on the way */
};

static uint8_t facts_of(const grammar *g, const uint8_t *facts, const grammar_state *state) {
    switch (state->kind) {
        case GRAMMAR_END: return ENDS | EMPTY;
        case GRAMMAR_SPLIT: return facts[state->a] | facts[state->b];
        case GRAMMAR_CALL: {
            uint8_t rule = facts[g->starts[state->a]], rest = facts[state->b];
            return (rule & rest & (ENDS | EMPTY)) | ((rule | rest) & BYTES);
        }
        case GRAMMAR_BYTES: break;
    }
    for (uint32_t i = 0; i < state->b; i++)
        if (facts[g->edges[state->a + i].next] & ENDS) return ENDS | BYTES;
    return BYTES;
}

/* States mostly lead to earlier ones, so a pass finds nearly all; calls of later rules and loops need another. */
static void find_facts(const grammar *g, uint8_t *facts) {
    bool changed = true;
    while (changed) {
        changed = false;
        for (uint32_t i = 0; i < g->state_count; i++) {
            uint8_t found = facts_of(g, facts, &g->states[i]);
            changed |= found != facts[i];
            facts[i] = found;
        }
    }
}

/* ---- rules that begin with themselves ---- */

enum { UNSEEN, OPEN, DONE };

typedef struct walk {
    const grammar *g;
    const uint8_t *facts;
    uint32_t *pending; /* [2 * states]: states still to be looked at; each is entered once */
    uint8_t *entered;  /* [states] */
    uint8_t *colour;   /* [rules] */
    uint32_t *path;    /* [rules]: rules, each called by the one before without a byte between */
    uint32_t *base;    /* [rules]: where the pending states of each rule of the path begin */
    uint32_t depth, pending_count;
} walk;

static void enter(walk *w, uint32_t state) {
    if (w->entered[state]) return;
    w->entered[state] = 1;
    w->pending[w->pending_count++] = state;
}

static void open_rule(walk *w, uint32_t rule) {
    w->colour[rule] = OPEN;
    w->path[w->depth] = rule;
    w->base[w->depth++] = w->pending_count;
    enter(w, w->g->starts[rule]);
}

/* Depth first over the calls that come before any byte; the rule that is met while it is open, or GRAMMAR_NONE. No
 * two rules share a state but the last one, which leads nowhere. */
static uint32_t find_circle(walk *w, uint32_t first) {
    if (w->colour[first] != UNSEEN) return GRAMMAR_NONE;
    open_rule(w, first);
    while (w->depth > 0) {
        if (w->pending_count == w->base[w->depth - 1]) {
            w->colour[w->path[--w->depth]] = DONE;
            continue;
        }
        const grammar_state *state = &w->g->states[w->pending[--w->pending_count]];
        if (state->kind == GRAMMAR_SPLIT) {
            enter(w, state->a);
            enter(w, state->b);
        } else if (state->kind == GRAMMAR_CALL) {
            if (w->facts[w->g->starts[state->a]] & EMPTY) enter(w, state->b);
            if (w->colour[state->a] == OPEN) return state->a;
            if (w->colour[state->a] == UNSEEN) open_rule(w, state->a);
        }
    }
    return GRAMMAR_NONE;
}

static carina_status fail_rule(const grammar *g, const grammar_rule *rule, carina_error *error, const char *why) {
    return error_set(error, CARINA_ERROR_FORMAT, "%s:%d:%d: the rule \"%.*s\" %s", g->name, rule->line, rule->column,
                     (int)rule->name_size, rule->name, why);
}

static carina_status check_circles(const grammar *g, const grammar_tree *tree, const uint8_t *facts,
                                   carina_error *error) {
    walk w = {.g = g,
              .facts = facts,
              .pending = calloc(g->state_count, sizeof *w.pending),
              .entered = calloc(g->state_count, 1),
              .colour = calloc(g->rule_count, 1),
              .path = calloc(g->rule_count, sizeof *w.path),
              .base = calloc(g->rule_count, sizeof *w.base)};
    carina_status status = CARINA_OK;
    if (!w.pending || !w.entered || !w.colour || !w.path || !w.base)
        status = error_memory(error, g->name, g->state_count * sizeof *w.pending);
    for (uint32_t i = 0; i < g->rule_count && status == CARINA_OK; i++) {
        uint32_t rule = find_circle(&w, i);
        if (rule != GRAMMAR_NONE)
            status = fail_rule(g, &tree->rules[rule], error,
                               "begins with itself (left recursion): let it begin with a character, x* repeats");
    }
    free(w.pending);
    free(w.entered);
    free(w.colour);
    free(w.path);
    free(w.base);
    return status;
}

static carina_status check(const grammar *g, const grammar_tree *tree, uint8_t *facts, carina_error *error) {
    find_facts(g, facts);
    for (uint32_t i = 0; i < g->rule_count; i++)
        if (!(facts[g->starts[i]] & ENDS))
            return fail_rule(g, &tree->rules[i], error, "can never end: every way through it comes to itself again");
    if (!(facts[g->starts[g->root]] & BYTES))
        return fail_rule(g, &tree->rules[g->root], error, "matches nothing but the empty text");
    return check_circles(g, tree, facts, error);
}

static carina_status make(grammar *g, const char *name, const char *text, uint64_t size, carina_error *error) {
    grammar_tree tree = {0};
    uint8_t *facts = NULL;
    carina_status status;
    if (!(g->name = strdup(name))) return error_memory(error, name, strlen(name));
    TRY(grammar_tree_parse(&tree, name, text, size, error));
    TRY_GOTO(status, done, grammar_compile(g, &tree, error));
    if (!(facts = calloc(g->state_count, 1)))
        status = error_memory(error, name, g->state_count);
    else
        status = check(g, &tree, facts, error);
done:
    free(facts);
    grammar_tree_free(&tree);
    return status;
}

carina_status grammar_parse(grammar **out, const char *name, const void *text, uint64_t size, carina_error *error) {
    *out = NULL;
    grammar *g = calloc(1, sizeof *g);
    if (!g) return error_memory(error, name, sizeof *g);
    carina_status status = make(g, name, size ? text : "", size, error);
    if (status == CARINA_OK)
        *out = g;
    else
        grammar_free(g);
    return status;
}

void grammar_free(grammar *g) {
    if (!g) return;
    free(g->name);
    free(g->states);
    free(g->edges);
    free(g->starts);
    free(g);
}
