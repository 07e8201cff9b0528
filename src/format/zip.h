/* ZIP archives in memory, read only: stored and deflated entries, zip64. What PyTorch's .pth files are.
 *
 * The central directory is the truth; local headers must agree with it by name. Sizes are checked against the archive
 * before memory is taken, checksums when an entry is read.
 */
#ifndef FORMAT_ZIP_H
#define FORMAT_ZIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define ZIP_MAX_ENTRIES 1000000u

typedef struct zip_entry {
    char *name; /* as in the archive, NUL-terminated, never with a NUL inside; owned by the archive */
    bool deflated;
    uint32_t crc;
    uint64_t stored_size; /* bytes in the archive */
    uint64_t size;        /* bytes of content; equal to stored_size unless deflated */
    uint64_t offset;      /* of its local header */
} zip_entry;

typedef struct zip_archive {
    const char *name;    /* for messages; borrowed */
    const uint8_t *data; /* borrowed */
    uint64_t data_size;
    zip_entry *entries; /* sorted by name */
    uint64_t count;
} zip_archive;

/* True when the bytes begin like a ZIP archive. */
bool zip_is_archive(const void *data, uint64_t size);

/* Reads the directory. name and data must outlive *out. Encrypted entries, other methods than stored and deflate, and
 * archives in several volumes are CARINA_ERROR_UNSUPPORTED. */
carina_status zip_open(zip_archive *out, const char *name, const void *data, uint64_t size, carina_error *error);
void zip_close(zip_archive *archive); /* accepts an empty one */

const zip_entry *zip_find(const zip_archive *archive, const char *name); /* NULL when there is none */

/* The entry's bytes, checksum verified: *view points into the archive when it is stored (*owned NULL), else to *owned,
 * which the caller frees. Content larger than `limit` is CARINA_ERROR_LIMIT before anything is taken. */
carina_status zip_read(const zip_archive *archive, const zip_entry *entry, uint64_t limit, const uint8_t **view,
                       uint8_t **owned, carina_error *error);

#endif
