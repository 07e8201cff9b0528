/* Locking a folder; see folder_lock.h. */
#include "base/folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"

struct folder_lock {
    int descriptor;
};

static carina_status take(int *descriptor, const char *path, const char *folder, carina_error *error) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666); /* RDWR: NFS locks what is open to write */
    if (fd < 0) return error_errno(error, "%s: cannot open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno == ENOTSUP || errno == ENOSYS || errno == ENOLCK) {
        *descriptor = fd;
        return CARINA_OK;
    }
    carina_status status =
        errno == EWOULDBLOCK
            ? error_set(
                  error, CARINA_ERROR_IO,
                  "%s: another process is at work in this folder; wait until it is done, or choose another folder",
                  folder)
            : error_errno(error, "%s: cannot lock", path);
    close(fd);
    return status;
}

carina_status folder_lock_take(folder_lock **out, const char *folder, carina_error *error) {
    folder_lock *lock = malloc(sizeof *lock);
    char *path = path_join(folder, "lock");
    *out = NULL;
    carina_status status =
        lock && path ? take(&lock->descriptor, path, folder, error) : error_memory(error, folder, sizeof *lock);
    free(path);
    if (status == CARINA_OK)
        *out = lock;
    else
        free(lock);
    return status;
}

void folder_lock_release(folder_lock *lock) {
    if (!lock) return;
    close(lock->descriptor);
    free(lock);
}
