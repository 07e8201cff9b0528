/* A phantom's finding in other words than its first (report_words.h), from a stream of its own.
 *
 * The new sentence says what the old one says: the same severity where a severity is named, emphysema or opacity only
 * where they were named; attributes and labels that follow from the words stay as they were. It uses the verbs that
 * denials use ("is seen", "evidence of"), so that only the denying word tells the two apart.
 */
#ifndef DATA_PHANTOM_REPORT_AFFIRMATION_H
#define DATA_PHANTOM_REPORT_AFFIRMATION_H

#include "data/phantom/report.h"
#include "data/phantom/text_grammar.h"

/* `slots`: those that made the phrase's text. Every other phrase or so stays as it is. */
void report_affirmation_reword(report_phrase *phrase, const finding *f, const text_slot *slots, int slot_count,
                               random_state *words);

/* The same for the impression's short forms. */
void report_affirmation_reword_short(report_phrase *phrase, const finding *f, const text_slot *slots, int slot_count,
                                     random_state *words);

/* The impression of a normal film. */
void report_affirmation_reword_normal(report_phrase *phrase, random_state *words);

#endif
