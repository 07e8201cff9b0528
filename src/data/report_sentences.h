/* The sentences of a radiology report's file, as MIMIC-CXR has them: text under headings in capitals.
 *
 *     "FINDINGS:  There is a small\n left effusion. No pneumothorax."
 *         -> "There is a small left effusion."  "No pneumothorax."
 *
 * A line that begins with capitals and a colon is a heading, which is left out; a line of capitals alone ("FINAL
 * REPORT") too. Lines run on until a blank line. A sentence ends at . ! ? before white space, but not after the number
 * of an enumeration ("1. Small effusion."). Runs of white space and control characters become one blank. What has no
 * two letters side by side is no sentence.
 */
#ifndef DATA_REPORT_SENTENCES_H
#define DATA_REPORT_SENTENCES_H

#include <stdbool.h>
#include <stdint.h>

#define REPORT_SENTENCE_MAX 2000       /* bytes; a longer one is given in pieces */
#define REPORT_MAX_BYTES    (1u << 20) /* of a report's file */

/* `sentence` is NUL-terminated and lives during the call; false stops. */
typedef bool report_sentence_each(void *context, const char *sentence);
/* Any bytes are accepted. False when `each` stopped. */
bool report_sentences(const char *text, uint64_t size, report_sentence_each *each, void *context);

#endif
