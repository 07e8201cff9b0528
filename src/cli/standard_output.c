/* Standard output that fails; see standard_output.h. */
#include "cli/standard_output.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/progress.h"
#include "cli/command.h"

static int lost; /* errno of the first failure: the stream remembers only that there was one */

static bool reader_is_gone(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

bool standard_output_flush(void) {
    int before = errno;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return !lost;
    if (!lost && errno)
        lost = errno;
    else if (!lost) /* a full buffer was written while printing: `before` is of that, or of anything since */
        lost = progress_interrupted() ? EINTR : before ? before : EIO;
    return false;
}

bool standard_output_lost(void) {
    if (!lost && ferror(stdout)) standard_output_flush();
    if (!lost && reader_is_gone()) lost = EPIPE;
    return lost != 0;
}

int standard_output_finish(int status) {
    if (standard_output_flush()) return status;
    if (reader_is_gone()) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    if (lost == EINTR) return COMMAND_FAILED; /* what was interrupted has said so */
    fprintf(stderr, "carina: cannot write standard output: %s\n", strerror(lost));
    return COMMAND_FAILED;
}
