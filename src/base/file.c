/* Reading, mapping and atomically replacing files; see file.h. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_guard.h"

static carina_status open_regular(const char *path, int *descriptor, uint64_t *size, carina_error *error) {
    if (!*path) return error_set(error, CARINA_ERROR_IO, "the name of a file is empty");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* NONBLOCK: a FIFO must not hang us */
    if (fd < 0) return error_errno(error, "%s: cannot open", path);
    struct stat info;
    if (fstat(fd, &info) != 0) {
        carina_status status = error_errno(error, "%s: cannot stat", path);
        close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return error_set(error, CARINA_ERROR_IO, "%s: not a regular file", path);
    }
    *descriptor = fd;
    *size = (uint64_t)info.st_size;
    return CARINA_OK;
}

/* The first `size` bytes, or what there is of them when the file is shortened while we read. */
static carina_status read_bytes(int fd, const char *path, uint64_t size, uint8_t **out, uint64_t *filled,
                                carina_error *error) {
    *out = NULL;
    *filled = 0;
    uint8_t *bytes = malloc((size_t)size + 1);
    if (!bytes) return error_memory(error, path, size);
    uint64_t got = 0;
    while (got < size) {
        ssize_t count = read(fd, bytes + got, (size_t)(size - got));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) {
            carina_status status = error_errno(error, "%s: cannot read", path);
            free(bytes);
            return status;
        }
        if (count == 0) break;
        got += (uint64_t)count;
    }
    bytes[got] = 0;
    *out = bytes;
    *filled = got;
    return CARINA_OK;
}

carina_status file_read(const char *path, uint64_t limit, uint8_t **out, uint64_t *size, carina_error *error) {
    *out = NULL;
    *size = 0;
    int fd;
    uint64_t expected;
    TRY(open_regular(path, &fd, &expected, error));
    carina_status status =
        expected > limit ? error_set(error, CARINA_ERROR_LIMIT, "%s: %llu bytes, more than the %llu accepted here",
                                     path, (unsigned long long)expected, (unsigned long long)limit)
                         : read_bytes(fd, path, expected, out, size, error);
    close(fd);
    return status;
}

carina_status file_read_start(const char *path, uint64_t most, uint8_t **out, uint64_t *size, carina_error *error) {
    *out = NULL;
    *size = 0;
    int fd;
    uint64_t whole;
    TRY(open_regular(path, &fd, &whole, error));
    carina_status status = read_bytes(fd, path, whole < most ? whole : most, out, size, error);
    close(fd);
    return status;
}

/* Only what is too large to be copied is mapped. */
static carina_status map_bytes(int fd, const char *path, uint64_t size, file_map *out, carina_error *error) {
    void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return error_errno(error, "%s: cannot map", path);
    *out = (file_map){data, size, true};
    file_guard_map(path, data, size);
    return CARINA_OK;
}

void file_map_forget(const void *begin, uint64_t size) {
    const uint8_t *from = begin;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)from + page - 1) / page * page, last = ((uintptr_t)from + size) / page * page;
    if (!from || first >= last) return;
    /* what is no mapping's is allocated memory: its pages would be lost */
    if (file_guard_holds(begin, size)) madvise((void *)first, last - first, MADV_DONTNEED);
}

carina_status file_map_open(file_map *out, const char *path, carina_error *error) {
    *out = (file_map){0};
    int fd;
    uint64_t size;
    TRY(open_regular(path, &fd, &size, error));
    carina_status status = CARINA_OK;
    if (size > FILE_MAP_COPIED) {
        status = map_bytes(fd, path, size, out, error);
    } else {
        uint8_t *bytes;
        status = read_bytes(fd, path, size, &bytes, &size, error);
        if (status == CARINA_OK && size > 0)
            *out = (file_map){bytes, size, false};
        else
            free(bytes);
    }
    close(fd);
    return status;
}

void file_map_close(file_map *map) {
    if (!map || !map->data) return;
    void *data = (void *)(uintptr_t)map->data;
    if (map->mapped) {
        file_guard_unmap(data);
        munmap(data, (size_t)map->size);
    } else {
        free(data);
    }
    *map = (file_map){0};
}

#define TEMPORARY ".tmp-" /* and the process's number, behind the file's name */

struct file_writer {
    char *path;
    char *temporary;
    FILE *stream;
};

/* The temporary file is another's name or gone by now, or was never made. */
static void writer_free(file_writer *writer) {
    if (writer->temporary) file_guard_written(writer->temporary);
    if (writer->stream) fclose(writer->stream);
    free(writer->temporary);
    free(writer->path);
    free(writer);
}

/* The file that will be replaced: behind a link, what the link names. A device, FIFO or folder must not be: renaming a
 * file over /dev/null would take it away from the whole machine. Malloc'ed. */
static carina_status find_target(char **out, const char *path, carina_error *error) {
    struct stat info;
    *out = NULL;
    if (!*path) return error_set(error, CARINA_ERROR_IO, "the name of a file is empty");
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return error_set(error, CARINA_ERROR_IO, "%s: cannot write: %s", path,
                         S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
    bool link = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    *out = link ? realpath(path, NULL) : strdup(path);
    if (*out) return CARINA_OK;
    return link ? error_errno(error, "%s: cannot write through the link", path)
                : error_memory(error, path, strlen(path) + 1);
}

carina_status file_writer_open(file_writer **out, const char *path, carina_error *error) {
    *out = NULL;
    char *target;
    TRY(find_target(&target, path, error));
    file_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        free(target);
        return error_memory(error, path, sizeof *writer);
    }
    size_t length = strlen(target) + 32;
    writer->path = target;
    writer->temporary = malloc(length);
    if (!writer->temporary) {
        writer_free(writer);
        return error_memory(error, path, length);
    }
    snprintf(writer->temporary, length, "%s" TEMPORARY "%ld", target, (long)getpid());
    int fd = open(writer->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    writer->stream = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!writer->stream) {
        carina_status status = error_errno(error, "%s: cannot write", path);
        if (fd >= 0) close(fd);
        writer_free(writer);
        return status;
    }
    file_guard_write(writer->temporary);
    *out = writer;
    return CARINA_OK;
}

FILE *file_writer_stream(file_writer *writer) { return writer->stream; }

const char *file_writer_temporary(const file_writer *writer) { return writer->temporary; }

static void sync_folder_of(const char *path) {
    char *folder = strdup(path);
    if (!folder) return;
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder ? 1 : 0] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* some file systems refuse this on folders; the rename itself has happened */
        close(fd);
    }
    free(folder);
}

/* The stream remembers that a write failed, but not why: writing on tells (the second time, when the first still finds
 * a little room). The file is thrown away in any case. */
static void recall_write_error(int fd) {
    static const char probe[4096];
    for (int i = 0; errno == 0 && i < 2; i++) {
        if (write(fd, probe, sizeof probe) == (ssize_t)sizeof probe) errno = EIO;
    }
    if (errno == 0) errno = EIO;
}

carina_status file_writer_commit(file_writer *writer, carina_error *error) {
    carina_status status = CARINA_OK;
    errno = 0;
    if (fflush(writer->stream) != 0 || ferror(writer->stream) || fsync(fileno(writer->stream)) != 0) {
        recall_write_error(fileno(writer->stream));
        status = error_errno(error, "%s: cannot write (nothing was changed)", writer->path);
    }
    int closed = fclose(writer->stream);
    writer->stream = NULL;
    if (status == CARINA_OK && closed != 0)
        status = error_errno(error, "%s: cannot write (nothing was changed)", writer->path);
    if (status == CARINA_OK && rename(writer->temporary, writer->path) != 0)
        status = error_errno(error, "%s: cannot replace", writer->path);
    if (status == CARINA_OK)
        sync_folder_of(writer->path);
    else
        unlink(writer->temporary);
    writer_free(writer);
    return status;
}

void file_writer_abort(file_writer *writer) {
    if (!writer) return;
    unlink(writer->temporary);
    writer_free(writer);
}

/* The process that a temporary file's name tells; 0: no such name. */
static pid_t process_of(const char *name) {
    const char *ending = strstr(name, TEMPORARY);
    for (const char *next = ending; next; next = strstr(next + 1, TEMPORARY)) ending = next;
    if (!ending) return 0;
    char *end;
    long number = strtol(ending + strlen(TEMPORARY), &end, 10);
    return *end || number <= 0 || number > INT_MAX ? 0 : (pid_t)number;
}

void file_remove_unfinished(const char *folder) {
    DIR *stream = opendir(folder);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        pid_t process = process_of(entry->d_name);
        if (process && kill(process, 0) != 0 && errno == ESRCH) unlinkat(dirfd(stream), entry->d_name, 0);
    }
    if (stream) closedir(stream);
}

carina_status file_check_writable(const char *path, carina_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    file_writer_abort(writer);
    return CARINA_OK;
}

/* The folder itself, or the nearest one above it that is there. */
static carina_status check_nearest_folder(char *path, const char *asked, carina_error *error) {
    struct stat info;
    while (stat(path, &info) != 0) {
        char *slash = strrchr(path, '/');
        if (errno != ENOENT) return error_errno(error, "%s: cannot make folder", asked);
        if (!slash)
            strcpy(path, "."); /* a relative name has at least one letter */
        else
            slash[slash == path ? 1 : 0] = 0;
    }
    if (!S_ISDIR(info.st_mode)) return error_set(error, CARINA_ERROR_IO, "%s: a file, where a folder should be", path);
    if (access(path, W_OK | X_OK) != 0) return error_errno(error, "%s: cannot write into folder %s", asked, path);
    return CARINA_OK;
}

carina_status file_check_folder(const char *path, carina_error *error) {
    if (!*path) return error_set(error, CARINA_ERROR_IO, "the name of a folder is empty");
    char *nearest = calloc(strlen(path) + 2, 1);
    if (!nearest) return error_memory(error, path, strlen(path) + 2);
    strcpy(nearest, path);
    carina_status status = check_nearest_folder(nearest, path, error);
    free(nearest);
    return status;
}

carina_status file_write(const char *path, const void *data, uint64_t size, carina_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    if (size) fwrite(data, 1, (size_t)size, writer->stream); /* a short write shows in commit's ferror */
    return file_writer_commit(writer, error);
}

carina_status file_make_folders(const char *path, carina_error *error) {
    if (!*path) return error_set(error, CARINA_ERROR_IO, "the name of a folder is empty");
    char *partial = strdup(path);
    if (!partial) return error_memory(error, path, strlen(path) + 1);
    carina_status status = CARINA_OK;
    for (char *p = partial + 1; status == CARINA_OK; p++) {
        if (*p != '/' && *p != 0) continue;
        char saved = *p;
        *p = 0;
        if (mkdir(partial, 0777) != 0 && !(errno == EEXIST && file_is_folder(partial)))
            status = errno == EEXIST
                         ? error_set(error, CARINA_ERROR_IO, "%s: a file, where a folder should be", partial)
                         : error_errno(error, "%s: cannot make folder", partial);
        *p = saved;
        if (!saved) break;
    }
    free(partial);
    return status;
}

bool file_exists(const char *path) { return access(path, F_OK) == 0; }

bool file_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool file_is_same(const char *a, const char *b) {
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

char *path_join(const char *folder, const char *name) {
    size_t folder_length = strlen(folder);
    while (folder_length > 1 && folder[folder_length - 1] == '/') folder_length--;
    size_t length = folder_length + strlen(name) + 2;
    char *joined = malloc(length);
    if (joined) snprintf(joined, length, "%.*s/%s", (int)folder_length, folder, name);
    return joined;
}

const char *path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
