/* Whether standard output still arrives. A command that works for long asks while it works: an answer that nobody can
 * read is not worth computing. At the end the program says what became of it. */
#ifndef CLI_STANDARD_OUTPUT_H
#define CLI_STANDARD_OUTPUT_H

#include <stdbool.h>

/* Passes on what was printed; false when it does not arrive. A failure is remembered with its reason. */
bool standard_output_flush(void);
/* Something could not be written, or it is a pipe that nobody reads any more. */
bool standard_output_lost(void);
/* The program's end: flushes, and says why something did not arrive. Returns the exit status; where a reader has gone
 * away it ends the program by SIGPIPE, silently, as other programs do. */
int standard_output_finish(int status);

#endif
