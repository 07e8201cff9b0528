/* zlib behind three functions; see inflate.h. */
#include "format/inflate.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define PIECE (1u << 30) /* zlib counts in 32 bits: feed it this much at a time */

carina_status inflate_exactly(void *out, uint64_t out_size, const void *in, uint64_t in_size, const char *name,
                              carina_error *error) {
    z_stream z = {0};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return error_memory(error, name, sizeof z);
    uint8_t spare; /* where output past the promised size goes, to notice it */
    z.next_in = (Bytef *)(uintptr_t)in;
    z.next_out = out_size ? out : &spare;
    uint64_t left_in = in_size, left_out = out_size;
    bool overflow = false;
    int result = Z_OK;
    while (result == Z_OK) {
        if (z.avail_in == 0) {
            z.avail_in = left_in < PIECE ? (uInt)left_in : PIECE;
            left_in -= z.avail_in;
        }
        if (z.avail_out == 0) {
            if (left_out == 0) {
                if (overflow) break;
                overflow = true; /* one spare byte: only the end mark may still come */
                z.next_out = &spare;
                z.avail_out = 1;
            } else {
                z.avail_out = left_out < PIECE ? (uInt)left_out : PIECE;
                left_out -= z.avail_out;
            }
        }
        result = inflate(&z, Z_NO_FLUSH);
    }
    bool complete = result == Z_STREAM_END && left_out == 0 && (overflow ? z.avail_out == 1 : z.avail_out == 0);
    inflateEnd(&z);
    if (!complete)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "%s: compressed data is damaged, cut off or not of the size promised", name);
    return CARINA_OK;
}

/* Room for more output: doubled, up to the limit. */
static carina_status grow(uint8_t **out, uint64_t *capacity, uint64_t filled, uint64_t limit, const char *name,
                          carina_error *error) {
    uint64_t wanted = *capacity <= limit / 2 ? 2 * *capacity : limit;
    if (filled >= limit)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: grows beyond %llu bytes", name, (unsigned long long)limit);
    uint8_t *larger = realloc(*out, (size_t)wanted);
    if (!larger) return error_memory(error, name, wanted);
    *out = larger;
    *capacity = wanted;
    return CARINA_OK;
}

carina_status inflate_all(uint8_t **out, uint64_t *out_size, uint64_t limit, const void *in, uint64_t in_size,
                          const char *name, carina_error *error) {
    *out = NULL;
    *out_size = 0;
    z_stream z = {0};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return error_memory(error, name, sizeof z);
    z.next_in = (Bytef *)(uintptr_t)in;
    uint64_t left = in_size, filled = 0, capacity = 2048 + in_size;
    carina_status status = CARINA_OK;
    int result = Z_OK;
    while (status == CARINA_OK && result != Z_STREAM_END) {
        if (z.avail_in == 0) {
            z.avail_in = left < PIECE ? (uInt)left : PIECE;
            left -= z.avail_in;
        }
        if (!*out || filled == capacity) status = grow(out, &capacity, filled, limit, name, error);
        if (status != CARINA_OK) break;
        uInt room = capacity - filled < PIECE ? (uInt)(capacity - filled) : PIECE;
        z.next_out = *out + filled;
        z.avail_out = room;
        result = inflate(&z, Z_NO_FLUSH);
        filled += room - z.avail_out;
        bool starved = z.avail_in == 0 && left == 0 && z.avail_out > 0;
        if (result != Z_STREAM_END && (result != Z_OK || starved))
            status = error_set(error, CARINA_ERROR_FORMAT, "%s: compressed data is damaged or cut off", name);
    }
    inflateEnd(&z);
    *out_size = filled;
    if (status != CARINA_OK) {
        free(*out);
        *out = NULL;
        *out_size = 0;
    }
    return status;
}

uint32_t inflate_crc32(const void *data, uint64_t size) {
    return (uint32_t)crc32_z(0, data, (z_size_t)size); /* NULL data: the CRC of nothing */
}

struct inflate_stream {
    gzFile file;
    char *path;
};

carina_status inflate_open(inflate_stream **out, const char *path, carina_error *error) {
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return error_errno(error, "%s: cannot open", path);
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return error_set(error, CARINA_ERROR_IO, "%s: not a regular file", path);
    }
    inflate_stream *stream = calloc(1, sizeof *stream);
    if (stream) stream->path = strdup(path);
    if (stream && stream->path) stream->file = gzdopen(fd, "rb");
    if (!stream || !stream->file) {
        close(fd);
        inflate_close(stream);
        return error_memory(error, path, sizeof *stream);
    }
    gzbuffer(stream->file, 1u << 17);
    *out = stream;
    return CARINA_OK;
}

carina_status inflate_read(inflate_stream *stream, void *out, uint64_t size, uint64_t *count, carina_error *error) {
    *count = 0;
    int got = gzread(stream->file, out, size < PIECE ? (unsigned)size : PIECE);
    int code = Z_OK;
    const char *text = gzerror(stream->file, &code);
    if (code == Z_ERRNO) return error_errno(error, "%s: cannot read", stream->path);
    if (got < 0 || code == Z_DATA_ERROR || code == Z_BUF_ERROR)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: gzip data is damaged or cut off (%s)", stream->path,
                         text && *text ? text : "no detail");
    *count = (uint64_t)got;
    return CARINA_OK;
}

void inflate_close(inflate_stream *stream) {
    if (!stream) return;
    if (stream->file) gzclose(stream->file);
    free(stream->path);
    free(stream);
}
