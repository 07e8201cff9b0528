/* A grammar at work: a pushdown automaton made deterministic as far as it is walked.
 *
 * Where an answer stands is a set of stacks: the state that reads the next byte, and the states that are returned to
 * when rules end. A frame is one such return with what lies below it; frames are shared, so a stack is a state and the
 * number of its top frame. A set of stacks is a configuration; the same set always has the same number, and steps from
 * one to the next are remembered. A rule that is called last needs no return, so lists of any length take no room.
 *
 * Everything is bounded. When what is remembered has grown too large it is dropped, all but the one configuration that
 * is still wanted (grammar_automaton_trim); numbers change then.
 */
#ifndef TEXT_GRAMMAR_AUTOMATON_H
#define TEXT_GRAMMAR_AUTOMATON_H

#include <stdbool.h>
#include <stdint.h>

#include "text/grammar.h"

#define GRAMMAR_AUTOMATON_DEAD    0u         /* the configuration without stacks that is not an end either */
#define GRAMMAR_AUTOMATON_UNKNOWN UINT32_MAX /* a step that was not taken yet */

typedef struct grammar_frame {
    uint32_t state, below; /* frame 0 is the bottom */
    uint32_t depth;
} grammar_frame;

typedef struct grammar_configuration {
    uint32_t first, count; /* stacks[first .. first + count), sorted */
    bool can_end;          /* the answer may end here */
    int mask;              /* the matcher's; -1 when new */
    uint32_t uniform[2];   /* the matcher's; GRAMMAR_AUTOMATON_UNKNOWN when new */
} grammar_configuration;

typedef struct grammar_automaton {
    const grammar *g; /* borrowed */
    grammar_frame *frames;
    uint64_t *stacks; /* state << 32 | frame */
    grammar_configuration *configurations;
    uint32_t *steps;        /* [configurations, classes] */
    const uint8_t *classes; /* [256]: the grammar's classes of bytes */
    uint32_t class_count;
    uint32_t frame_count, stack_count, configuration_count;
    uint32_t frame_room, stack_room, configuration_room;
    uint32_t *frame_slots, *configuration_slots; /* hash tables, number + 1 */
    uint64_t *work; /* the stacks of one step: those to be looked at, then those that read */
    uint32_t work_count, work_room;
    uint64_t *seen;      /* hash table of one step */
    uint32_t *seen_step; /* the step that each slot was filled in */
    uint32_t seen_slots, seen_count, step;
    bool too_deep; /* a stack was given up because it grew too deep */
} grammar_automaton;

carina_status grammar_automaton_make(grammar_automaton *out, const grammar *g, carina_error *error);
void grammar_automaton_free(grammar_automaton *a); /* accepts an empty one */

/* The configuration before the first byte. */
carina_status grammar_automaton_start(grammar_automaton *a, uint32_t *out, carina_error *error);

/* The configuration after one more byte. Failing leaves everything as it was. */
carina_status grammar_automaton_step(grammar_automaton *a, uint32_t configuration, uint8_t byte, uint32_t *out,
                                     carina_error *error);

/* When more than half of the room is used: forgets all but *configuration, which gets its new number. *trimmed says
 * whether that was so. */
carina_status grammar_automaton_trim(grammar_automaton *a, uint32_t *configuration, bool *trimmed, carina_error *error);

#endif
