/* A tree to states, from the back to the front: what is compiled knows the state that follows it, so nothing is patched
 * but the loop of a repetition without end (Thompson 1968, with calls for rules).
 *
 * Classes become ranges of bytes block by block: all characters of one length in UTF-8 are a block of lead bytes, each
 * a block of 64^n continuations. A block that a range covers is one edge, one that it cuts becomes a state of its own.
 * The states of a class are deterministic, but for the runs of whole blocks that different leads share. */
#include <stdlib.h>
#include <string.h>

#include "text/grammar_internal.h"

#define MAX_WORK (4 * GRAMMAR_MAX_STATES) /* nodes visited, copies included */

typedef struct compiler {
    grammar *g;
    const grammar_tree *tree;
    uint32_t work;
    carina_error *error;
} compiler;

static carina_status too_large(compiler *c) {
    return error_set(c->error, CARINA_ERROR_LIMIT,
                     "%s: too large: more than %u states; are repetitions nested, or their counts large?", c->g->name,
                     GRAMMAR_MAX_STATES);
}

static carina_status add_state(compiler *c, grammar_state_kind kind, uint32_t a, uint32_t b, uint32_t *out) {
    grammar *g = c->g;
    if (g->state_count == GRAMMAR_MAX_STATES) return too_large(c);
    if (!grammar_reserve((void **)&g->states, g->state_count, 1, &g->state_room, sizeof *g->states))
        return error_memory(c->error, g->name, (uint64_t)g->state_count * sizeof *g->states);
    *out = g->state_count++;
    g->states[*out] = (grammar_state){kind, a, b};
    return CARINA_OK;
}

static carina_status add_bytes(compiler *c, const grammar_edge *edges, uint32_t count, uint32_t *out) {
    grammar *g = c->g;
    if (g->edge_count + count > GRAMMAR_MAX_EDGES) return too_large(c);
    if (!grammar_reserve((void **)&g->edges, g->edge_count, count, &g->edge_room, sizeof *g->edges))
        return error_memory(c->error, g->name, (uint64_t)g->edge_count * sizeof *g->edges);
    memcpy(g->edges + g->edge_count, edges, count * sizeof *edges);
    g->edge_count += count;
    return add_state(c, GRAMMAR_BYTES, g->edge_count - count, count, out);
}

/* ---- classes ---- */

typedef struct class_builder {
    const grammar_range *ranges;
    uint32_t count;
    uint32_t whole[4]; /* state in front of n continuation bytes of any value; whole[0]: what follows */
} class_builder;

static carina_status build_block(compiler *c, class_builder *b, uint32_t from, uint32_t low, uint32_t high, int rest,
                                 uint32_t *out);

/* Edges for the codes low .. high, whose first byte is lead + (code >> 6 * rest), `rest` bytes follow; ranges before
 * `from` lie below. */
static carina_status block_edges(compiler *c, class_builder *b, uint32_t from, uint32_t low, uint32_t high, int rest,
                                 uint32_t lead, grammar_edge *edges, uint32_t *count) {
    int shift = 6 * rest;
    uint32_t unit = 1u << shift, mask = lead == 0x80 ? 0x3f : 0xff;
    for (uint32_t code = low;;) {
        while (from < b->count && b->ranges[from].high < code) from++;
        if (from == b->count || b->ranges[from].low > high) return CARINA_OK;
        if (b->ranges[from].low > code) code = b->ranges[from].low;
        uint32_t last = b->ranges[from].high < high ? b->ranges[from].high : high;
        uint32_t first_unit = code >> shift, end_unit = (last + 1) >> shift, next = 0;
        if (code % unit == 0 && end_unit > first_unit) {
            next = b->whole[rest];
        } else {
            uint32_t block_high = (code | (unit - 1)) < high ? code | (unit - 1) : high;
            TRY(build_block(c, b, from, code, block_high, rest - 1, &next));
            end_unit = first_unit + 1;
        }
        edges[(*count)++] =
            (grammar_edge){(uint8_t)(lead | (first_unit & mask)), (uint8_t)(lead | ((end_unit - 1) & mask)), next};
        code = end_unit << shift;
        if (code > high) return CARINA_OK;
    }
}

/* The state for the codes low .. high, all of one block of 64 * 64^rest. */
static carina_status build_block(compiler *c, class_builder *b, uint32_t from, uint32_t low, uint32_t high, int rest,
                                 uint32_t *out) {
    grammar_edge edges[64];
    uint32_t count = 0;
    TRY(block_edges(c, b, from, low, high, rest, 0x80, edges, &count));
    return add_bytes(c, edges, count, out);
}

static carina_status compile_class(compiler *c, const grammar_node *node, uint32_t next, uint32_t *out) {
    static const struct {
        uint32_t low, high, lead;
        int rest;
    } lengths[5] = {{0, 0x7f, 0, 0},
                    {0x80, 0x7ff, 0xc0, 1},
                    {0x800, 0xd7ff, 0xe0, 2},
                    {0xe000, 0xffff, 0xe0, 2}, /* between them the surrogates, which are no characters */
                    {0x10000, GRAMMAR_MAX_CODE, 0xf0, 3}};
    class_builder b = {.ranges = c->tree->ranges + node->first, .count = node->count, .whole = {next}};
    grammar_edge edges[256];
    uint32_t count = 0, highest = b.ranges[b.count - 1].high;
    for (int i = 0; i < 5 && highest >= lengths[i].low; i++) {
        int rest = lengths[i].rest;
        if (rest > 0 && !b.whole[rest])
            TRY(add_bytes(c, &(grammar_edge){0x80, 0xbf, b.whole[rest - 1]}, 1, &b.whole[rest]));
        TRY(block_edges(c, &b, 0, lengths[i].low, lengths[i].high, rest, lengths[i].lead, edges, &count));
    }
    return add_bytes(c, edges, count, out);
}

/* ---- the rest of a tree ---- */

static carina_status compile_node(compiler *c, uint32_t index, uint32_t next, uint32_t *out);

static carina_status compile_literal(compiler *c, const grammar_node *node, uint32_t next, uint32_t *out) {
    for (uint32_t i = node->first + node->count; i > node->first; i--) {
        uint8_t byte = c->tree->bytes[i - 1];
        TRY(add_bytes(c, &(grammar_edge){byte, byte, next}, 1, &next));
    }
    *out = next;
    return CARINA_OK;
}

static carina_status compile_sequence(compiler *c, const grammar_node *node, uint32_t next, uint32_t *out) {
    for (uint32_t child = node->last_child; child != GRAMMAR_NONE; child = c->tree->nodes[child].before)
        TRY(compile_node(c, child, next, &next));
    *out = next;
    return CARINA_OK;
}

static carina_status compile_choice(compiler *c, const grammar_node *node, uint32_t next, uint32_t *out) {
    uint32_t child = node->last_child, start = 0, others = 0;
    TRY(compile_node(c, child, next, &others));
    while ((child = c->tree->nodes[child].before) != GRAMMAR_NONE) {
        TRY(compile_node(c, child, next, &start));
        TRY(add_state(c, GRAMMAR_SPLIT, start, others, &others));
    }
    *out = others;
    return CARINA_OK;
}

/* x{2,4} is x x (x (x)?)?, x{2,} is x x x*. */
static carina_status compile_repeat(compiler *c, const grammar_node *node, uint32_t next, uint32_t *out) {
    uint32_t tail = next, start = 0;
    if (node->maximum == GRAMMAR_ENDLESS) {
        TRY(add_state(c, GRAMMAR_SPLIT, next, next, &tail));
        TRY(compile_node(c, node->last_child, tail, &start));
        c->g->states[tail].a = start;
    } else {
        for (uint32_t i = node->minimum; i < node->maximum; i++) {
            TRY(compile_node(c, node->last_child, tail, &start));
            TRY(add_state(c, GRAMMAR_SPLIT, start, next, &tail));
        }
    }
    for (uint32_t i = 0; i < node->minimum; i++) TRY(compile_node(c, node->last_child, tail, &tail));
    *out = tail;
    return CARINA_OK;
}

/* Recursion is as deep as groups are within each other (GRAMMAR_MAX_GROUPS). */
static carina_status compile_node(compiler *c, uint32_t index, uint32_t next, uint32_t *out) {
    const grammar_node *node = &c->tree->nodes[index];
    if (++c->work > MAX_WORK) return too_large(c);
    switch (node->kind) {
        case GRAMMAR_LITERAL: return compile_literal(c, node, next, out);
        case GRAMMAR_CLASS: return compile_class(c, node, next, out);
        case GRAMMAR_RULE: return add_state(c, GRAMMAR_CALL, node->first, next, out);
        case GRAMMAR_SEQUENCE: return compile_sequence(c, node, next, out);
        case GRAMMAR_CHOICE: return compile_choice(c, node, next, out);
        case GRAMMAR_REPEAT: return compile_repeat(c, node, next, out);
    }
    return CARINA_OK;
}

/* Bytes between two neighbouring borders of edges are never told apart. */
static void find_classes(grammar *g) {
    bool begins[257] = {[0] = true};
    for (uint32_t i = 0; i < g->edge_count; i++) begins[g->edges[i].low] = begins[g->edges[i].high + 1] = true;
    g->class_count = 0;
    for (int byte = 0; byte < 256; byte++) {
        if (begins[byte]) g->example[g->class_count++] = (uint8_t)byte;
        g->class_of[byte] = (uint8_t)(g->class_count - 1);
    }
}

carina_status grammar_compile(grammar *g, const grammar_tree *tree, carina_error *error) {
    compiler c = {.g = g, .tree = tree, .error = error};
    uint32_t end = 0;
    TRY(add_state(&c, GRAMMAR_END, 0, 0, &end));
    g->rule_count = tree->rule_count;
    g->root = tree->root;
    g->starts = calloc(tree->rule_count, sizeof *g->starts);
    if (!g->starts) return error_memory(error, g->name, tree->rule_count * sizeof *g->starts);
    for (uint32_t i = 0; i < tree->rule_count; i++) TRY(compile_node(&c, tree->rules[i].body, end, &g->starts[i]));
    find_classes(g);
    return CARINA_OK;
}
