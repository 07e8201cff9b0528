/* A mapped file that somebody shortens while it is read: the page is gone, and the kernel sends SIGBUS.
 *
 * Left alone that ends the program without a word, with half a file beside the output. A program that wants better
 * calls file_guard_install at its start: from then on base/file.c tells here which files are mapped and which
 * temporary files are being written, and a SIGBUS within such a file ends the program with status 1, one line that
 * names the file, and no temporary file left. Any other SIGBUS does what it did. SIGINT, SIGTERM and SIGHUP end the
 * program as ever, but leave no temporary file either; programs that finish something first catch them after this
 * (progress_catch_interrupts). Signals are the program's matter: the library never installs this by itself.
 */
#ifndef BASE_FILE_GUARD_H
#define BASE_FILE_GUARD_H

#include <stdbool.h>
#include <stdint.h>

void file_guard_install(void); /* in main, before there are threads */

/* Removes the temporary files, then does what the signal does by itself; safe in a signal handler. */
void file_guard_end_by(int number);

/* For base/file.c: which bytes are mapped files'. Where there are more files than places, one is not guarded, nor known
 * to be one. The caller of file_guard_holds keeps the file mapped meanwhile. */
void file_guard_map(const char *path, const void *data, uint64_t size);
void file_guard_unmap(const void *data);
bool file_guard_holds(const void *begin, uint64_t size);
/* Without file_guard_install these do nothing. */
void file_guard_write(const char *temporary);
void file_guard_written(const char *temporary);

#endif
