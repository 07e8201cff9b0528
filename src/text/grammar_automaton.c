/* Sets of stacks and the steps between them; see grammar_automaton.h. */
#include "text/grammar_automaton.h"

#include <stdlib.h>
#include <string.h>

#include "text/grammar_internal.h"

#define MAX_FRAMES         (1u << 15)
#define MAX_DEPTH          1000u
#define MAX_CONFIGURATIONS (1u << 13)
#define MAX_STACKS         (1u << 19)
#define MAX_SEEN           (1u << 15) /* of one step */
#define FIRST_SEEN         1024u

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 32) * 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

static uint64_t stack_of(uint32_t state, uint32_t frame) { return (uint64_t)state << 32 | frame; }
static uint32_t state_of(uint64_t stack) { return (uint32_t)(stack >> 32); }
static uint32_t frame_of(uint64_t stack) { return (uint32_t)stack; }

static carina_status no_memory(const grammar_automaton *a, carina_error *error) {
    return error_memory(error, a->g->name, (uint64_t)a->stack_count * sizeof *a->stacks);
}

static carina_status full(const grammar_automaton *a, carina_error *error) {
    return error_set(error, CARINA_ERROR_LIMIT, "%s: too ambiguous: there are too many ways to go on here", a->g->name);
}

/* ---- frames ---- */

/* GRAMMAR_NONE in *out: the stack would be too deep, and is given up. */
static carina_status push_frame(grammar_automaton *a, uint32_t state, uint32_t below, uint32_t *out,
                                carina_error *error) {
    *out = GRAMMAR_NONE;
    if (a->frames[below].depth == MAX_DEPTH) {
        a->too_deep = true;
        return CARINA_OK;
    }
    uint32_t mask = 2 * MAX_FRAMES - 1, slot = (uint32_t)mix(stack_of(state, below)) & mask;
    for (; a->frame_slots[slot]; slot = (slot + 1) & mask) {
        const grammar_frame *f = &a->frames[a->frame_slots[slot] - 1];
        if (f->state != state || f->below != below) continue;
        *out = a->frame_slots[slot] - 1;
        return CARINA_OK;
    }
    if (a->frame_count == MAX_FRAMES) return full(a, error);
    if (!grammar_reserve((void **)&a->frames, a->frame_count, 1, &a->frame_room, sizeof *a->frames))
        return no_memory(a, error);
    *out = a->frame_count++;
    a->frames[*out] = (grammar_frame){state, below, a->frames[below].depth + 1};
    a->frame_slots[slot] = *out + 1;
    return CARINA_OK;
}

/* ---- one step: which stacks there are, before any byte is read ---- */

static void begin_step(grammar_automaton *a) {
    a->work_count = a->seen_count = 0;
    if (++a->step == 0) { /* numbers of steps begin again */
        memset(a->seen_step, 0, a->seen_slots * sizeof *a->seen_step);
        a->step = 1;
    }
}

static bool note_seen(grammar_automaton *a, uint64_t stack) {
    uint32_t mask = a->seen_slots - 1, slot = (uint32_t)mix(stack) & mask;
    for (; a->seen_step[slot] == a->step; slot = (slot + 1) & mask)
        if (a->seen[slot] == stack) return false;
    a->seen[slot] = stack;
    a->seen_step[slot] = a->step;
    a->seen_count++;
    return true;
}

static carina_status grow_seen(grammar_automaton *a, carina_error *error) {
    uint32_t old_slots = a->seen_slots, old_step = a->step;
    uint64_t *old_seen = a->seen;
    uint32_t *old_seen_step = a->seen_step;
    uint64_t *seen = malloc(2 * (size_t)old_slots * sizeof *seen);
    uint32_t *seen_step = calloc(2 * (size_t)old_slots, sizeof *seen_step);
    if (!seen || !seen_step) {
        free(seen);
        free(seen_step);
        return no_memory(a, error);
    }
    a->seen = seen;
    a->seen_step = seen_step;
    a->seen_slots = 2 * old_slots;
    a->seen_count = 0;
    for (uint32_t i = 0; i < old_slots; i++)
        if (old_seen_step[i] == old_step) note_seen(a, old_seen[i]);
    free(old_seen);
    free(old_seen_step);
    return CARINA_OK;
}

/* A stack that is to be looked at, unless it was. */
static carina_status add_stack(grammar_automaton *a, uint32_t state, uint32_t frame, carina_error *error) {
    if (2 * a->seen_count >= a->seen_slots) TRY(grow_seen(a, error));
    if (!note_seen(a, stack_of(state, frame))) return CARINA_OK;
    if (a->seen_count > MAX_SEEN) return full(a, error);
    if (!grammar_reserve((void **)&a->work, a->work_count, 1, &a->work_room, sizeof *a->work))
        return no_memory(a, error);
    a->work[a->work_count++] = stack_of(state, frame);
    return CARINA_OK;
}

static carina_status call(grammar_automaton *a, const grammar_state *state, uint32_t frame, carina_error *error) {
    uint32_t top = frame;
    /* a call that is the last of its rule returns where the rule itself does */
    if (a->g->states[state->b].kind != GRAMMAR_END) TRY(push_frame(a, state->b, frame, &top, error));
    return top == GRAMMAR_NONE ? CARINA_OK : add_stack(a, a->g->starts[state->a], top, error);
}

/* Follows splits, calls and ends until only states that read a byte are left, in front of a->work. */
static carina_status close_stacks(grammar_automaton *a, uint32_t *readers, bool *can_end, carina_error *error) {
    uint32_t kept = 0;
    *can_end = false;
    for (uint32_t i = 0; i < a->work_count; i++) {
        uint64_t stack = a->work[i];
        uint32_t frame = frame_of(stack);
        const grammar_state *state = &a->g->states[state_of(stack)];
        switch (state->kind) {
            case GRAMMAR_BYTES: a->work[kept++] = stack; break;
            case GRAMMAR_SPLIT:
                TRY(add_stack(a, state->a, frame, error));
                TRY(add_stack(a, state->b, frame, error));
                break;
            case GRAMMAR_CALL: TRY(call(a, state, frame, error)); break;
            case GRAMMAR_END:
                if (frame == 0)
                    *can_end = true;
                else
                    TRY(add_stack(a, a->frames[frame].state, a->frames[frame].below, error));
                break;
        }
    }
    *readers = kept;
    return CARINA_OK;
}

/* ---- configurations ---- */

static int compare_stacks(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static bool same(const grammar_automaton *a, const grammar_configuration *c, uint32_t count, bool can_end) {
    return c->count == count && c->can_end == can_end &&
           (count == 0 || memcmp(a->stacks + c->first, a->work, count * sizeof *a->work) == 0);
}

static carina_status reserve_configuration(grammar_automaton *a, uint32_t count, carina_error *error) {
    if (a->configuration_count == MAX_CONFIGURATIONS || count > MAX_STACKS - a->stack_count) return full(a, error);
    uint32_t room = a->configuration_room;
    if (!grammar_reserve((void **)&a->stacks, a->stack_count, count, &a->stack_room, sizeof *a->stacks) ||
        !grammar_reserve((void **)&a->configurations, a->configuration_count, 1, &room, sizeof *a->configurations))
        return no_memory(a, error);
    if (room == a->configuration_room) return CARINA_OK;
    uint32_t *steps = realloc(a->steps, (size_t)room * a->class_count * sizeof *steps);
    if (!steps) return no_memory(a, error);
    a->steps = steps;
    a->configuration_room = room; /* only now that both lists have it */
    return CARINA_OK;
}

/* The number of the set of stacks in work[0 .. count). */
static carina_status find_configuration(grammar_automaton *a, uint32_t count, bool can_end, uint32_t *out,
                                        carina_error *error) {
    qsort(a->work, count, sizeof *a->work, compare_stacks);
    uint64_t hash = can_end;
    for (uint32_t i = 0; i < count; i++) hash = mix(hash * 31 + a->work[i]);
    uint32_t mask = 2 * MAX_CONFIGURATIONS - 1, slot = (uint32_t)mix(hash) & mask;
    for (; a->configuration_slots[slot]; slot = (slot + 1) & mask) {
        *out = a->configuration_slots[slot] - 1;
        if (same(a, &a->configurations[*out], count, can_end)) return CARINA_OK;
    }
    TRY(reserve_configuration(a, count, error));
    *out = a->configuration_count++;
    a->configurations[*out] = (grammar_configuration){
        a->stack_count, count, can_end, -1, {GRAMMAR_AUTOMATON_UNKNOWN, GRAMMAR_AUTOMATON_UNKNOWN}};
    if (count) memcpy(a->stacks + a->stack_count, a->work, count * sizeof *a->work);
    a->stack_count += count;
    memset(a->steps + (size_t)*out * a->class_count, 0xff, a->class_count * sizeof *a->steps);
    a->configuration_slots[slot] = *out + 1;
    return CARINA_OK;
}

static carina_status finish_step(grammar_automaton *a, uint32_t *out, carina_error *error) {
    uint32_t readers = 0;
    bool can_end = false;
    TRY(close_stacks(a, &readers, &can_end, error));
    return find_configuration(a, readers, can_end, out, error);
}

carina_status grammar_automaton_start(grammar_automaton *a, uint32_t *out, carina_error *error) {
    begin_step(a);
    TRY(add_stack(a, a->g->starts[a->g->root], 0, error));
    return finish_step(a, out, error);
}

carina_status grammar_automaton_step(grammar_automaton *a, uint32_t configuration, uint8_t byte, uint32_t *out,
                                     carina_error *error) {
    size_t place = (size_t)configuration * a->class_count + a->classes[byte];
    if (a->steps[place] == GRAMMAR_AUTOMATON_UNKNOWN) {
        begin_step(a);
        grammar_configuration from = a->configurations[configuration];
        for (uint32_t i = 0; i < from.count; i++) {
            uint64_t stack = a->stacks[from.first + i];
            const grammar_state *state = &a->g->states[state_of(stack)];
            for (uint32_t e = 0; e < state->b; e++) {
                grammar_edge edge = a->g->edges[state->a + e];
                if (byte >= edge.low && byte <= edge.high) TRY(add_stack(a, edge.next, frame_of(stack), error));
            }
        }
        uint32_t next = 0;
        TRY(finish_step(a, &next, error));
        a->steps[place] = next;
    }
    *out = a->steps[place];
    return CARINA_OK;
}

/* ---- making and trimming ---- */

/* Everything empty but the bottom frame and the dead configuration. */
static carina_status clear(grammar_automaton *a, carina_error *error) {
    memset(a->frame_slots, 0, 2 * MAX_FRAMES * sizeof *a->frame_slots);
    memset(a->configuration_slots, 0, 2 * MAX_CONFIGURATIONS * sizeof *a->configuration_slots);
    a->configuration_count = a->stack_count = 0;
    a->frames[0] = (grammar_frame){0, 0, 0};
    a->frame_count = 1;
    uint32_t dead = 0;
    return find_configuration(a, 0, false, &dead, error);
}

carina_status grammar_automaton_make(grammar_automaton *out, const grammar *g, carina_error *error) {
    *out = (grammar_automaton){.g = g, .classes = g->class_of, .class_count = (uint32_t)g->class_count};
    out->frame_slots = malloc(2 * MAX_FRAMES * sizeof *out->frame_slots);
    out->configuration_slots = malloc(2 * MAX_CONFIGURATIONS * sizeof *out->configuration_slots);
    out->seen_slots = FIRST_SEEN;
    out->seen = malloc(FIRST_SEEN * sizeof *out->seen);
    out->seen_step = calloc(FIRST_SEEN, sizeof *out->seen_step);
    bool made = out->frame_slots && out->configuration_slots && out->seen && out->seen_step &&
                grammar_reserve((void **)&out->frames, 0, 1, &out->frame_room, sizeof *out->frames) &&
                grammar_reserve((void **)&out->work, 0, 1, &out->work_room, sizeof *out->work);
    carina_status status = made ? clear(out, error) : no_memory(out, error);
    if (status != CARINA_OK) grammar_automaton_free(out);
    return status;
}

void grammar_automaton_free(grammar_automaton *a) {
    free(a->frames);
    free(a->stacks);
    free(a->configurations);
    free(a->steps);
    free(a->frame_slots);
    free(a->configuration_slots);
    free(a->work);
    free(a->seen);
    free(a->seen_step);
    *a = (grammar_automaton){0};
}

/* Pushes the frames of an old stack again, from the bottom; *out is its top. */
static carina_status push_again(grammar_automaton *a, const grammar_frame *old, uint32_t top, uint32_t *out,
                                carina_error *error) {
    uint32_t states[MAX_DEPTH], depth = old[top].depth;
    for (uint32_t i = depth; i > 0; i--, top = old[top].below) states[i - 1] = old[top].state;
    *out = 0;
    for (uint32_t i = 0; i < depth; i++) TRY(push_frame(a, states[i], *out, out, error));
    return CARINA_OK;
}

static carina_status keep_one(grammar_automaton *a, const grammar_frame *frames, const uint64_t *stacks, uint32_t count,
                              bool can_end, uint32_t *configuration, carina_error *error) {
    TRY(clear(a, error));
    begin_step(a);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t frame = 0;
        TRY(push_again(a, frames, frame_of(stacks[i]), &frame, error));
        TRY(add_stack(a, state_of(stacks[i]), frame, error));
    }
    return find_configuration(a, a->work_count, can_end, configuration, error);
}

carina_status grammar_automaton_trim(grammar_automaton *a, uint32_t *configuration, bool *trimmed,
                                     carina_error *error) {
    *trimmed = a->frame_count > MAX_FRAMES / 2 || a->configuration_count > MAX_CONFIGURATIONS / 2 ||
               a->stack_count > MAX_STACKS / 2;
    if (!*trimmed) return CARINA_OK;
    grammar_configuration old = a->configurations[*configuration];
    grammar_frame *frames = malloc(a->frame_count * sizeof *frames);
    uint64_t *stacks = malloc((old.count + 1) * sizeof *stacks);
    carina_status status = CARINA_OK;
    if (!frames || !stacks) {
        status = no_memory(a, error);
    } else {
        memcpy(frames, a->frames, a->frame_count * sizeof *frames);
        memcpy(stacks, a->stacks + old.first, old.count * sizeof *stacks);
        status = keep_one(a, frames, stacks, old.count, old.can_end, configuration, error);
    }
    free(frames);
    free(stacks);
    return status;
}
