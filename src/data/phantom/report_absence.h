/* What a phantom's report says is not there, in many words.
 *
 * Real reports deny in few ideas and many words ("no", "without", "negative for", "has resolved", lists of three). The
 * first wording of a statement (report_words.h) is drawn together with what the report says at all; this file draws
 * from a stream of its own, so that a set's labels and what its sentences say of which region stay the same whatever
 * words are added here.
 */
#ifndef DATA_PHANTOM_REPORT_ABSENCE_H
#define DATA_PHANTOM_REPORT_ABSENCE_H

#include "data/phantom/report.h"

/* Puts report_normals[normal] in other words, more often than not. `prior`: there is a film to compare with. */
void report_absence_reword(report_phrase *phrase, int normal, bool prior, random_state *words);

/* Adds denials that change no label: of findings without a label class, of those that the report denies already, and of
 * one side when the other has it. `list`: the film's findings, told or not. */
void report_absence_add(report *r, const finding_list *list, bool prior, random_state *words);

#endif
