/* ZIP after PKWARE's APPNOTE 6.3: end record, zip64 records, central directory, local headers; see zip.h. */
#include "format/zip.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "format/inflate.h"

#define LOCAL_MARK     0x04034b50u
#define CENTRAL_MARK   0x02014b50u
#define END_MARK       0x06054b50u
#define END64_MARK     0x06064b50u
#define LOCATOR64_MARK 0x07064b50u
#define END_SIZE       22
#define CENTRAL_SIZE   46

static carina_status bad(const zip_archive *z, carina_error *error, const char *what) {
    return error_set(error, CARINA_ERROR_FORMAT, "%s: damaged ZIP archive: %s", z->name, what);
}

bool zip_is_archive(const void *data, uint64_t size) {
    return size >= 4 && (memcmp(data, "PK\3\4", 4) == 0 || memcmp(data, "PK\5\6", 4) == 0);
}

typedef struct directory {
    uint64_t count, offset, size;
} directory;

/* The end record is searched from the end over the longest comment it may have. */
static bool find_end(const zip_archive *z, uint64_t *at) {
    uint64_t lowest = z->data_size > END_SIZE + 65535 ? z->data_size - END_SIZE - 65535 : 0;
    for (uint64_t i = z->data_size < END_SIZE ? 0 : z->data_size - END_SIZE + 1; i-- > lowest;) {
        cursor c = cursor_make(z->data, z->data_size);
        cursor_seek(&c, i);
        if (cursor_u32le(&c) != END_MARK) continue;
        cursor_skip(&c, 16);
        uint64_t comment = cursor_u16le(&c);
        if (!c.failed && cursor_remaining(&c) == comment) {
            *at = i;
            return true;
        }
    }
    return false;
}

static carina_status read_end64(const zip_archive *z, uint64_t end_at, directory *d, bool *present,
                                carina_error *error) {
    *present = false;
    if (end_at < 20) return CARINA_OK;
    cursor c = cursor_make(z->data, z->data_size);
    cursor_seek(&c, end_at - 20);
    if (cursor_u32le(&c) != LOCATOR64_MARK) return CARINA_OK;
    cursor_skip(&c, 4);
    cursor_seek(&c, cursor_u64le(&c));
    if (cursor_u32le(&c) != END64_MARK) return bad(z, error, "its zip64 end record is missing");
    cursor_skip(&c, 8 + 2 + 2);
    uint32_t disk = cursor_u32le(&c), first_disk = cursor_u32le(&c);
    uint64_t here = cursor_u64le(&c);
    d->count = cursor_u64le(&c);
    d->size = cursor_u64le(&c);
    d->offset = cursor_u64le(&c);
    if (c.failed) return bad(z, error, "its zip64 end record is cut off");
    if (disk || first_disk || here != d->count)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: a ZIP archive in several volumes", z->name);
    *present = true;
    return CARINA_OK;
}

static carina_status find_directory(const zip_archive *z, directory *d, carina_error *error) {
    uint64_t at;
    if (!find_end(z, &at)) return bad(z, error, "no end record (file cut off?)");
    bool zip64 = false;
    TRY(read_end64(z, at, d, &zip64, error));
    if (!zip64) {
        cursor c = cursor_make(z->data, z->data_size);
        cursor_seek(&c, at + 4);
        uint16_t disk = cursor_u16le(&c), first_disk = cursor_u16le(&c), here = cursor_u16le(&c);
        d->count = cursor_u16le(&c);
        d->size = cursor_u32le(&c);
        d->offset = cursor_u32le(&c);
        if (disk || first_disk || here != d->count)
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: a ZIP archive in several volumes", z->name);
    }
    if (d->offset > z->data_size || d->size > z->data_size - d->offset)
        return bad(z, error, "its directory lies outside the file");
    if (d->count > d->size / CENTRAL_SIZE) return bad(z, error, "its directory is too short for its entries");
    if (d->count > ZIP_MAX_ENTRIES)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: more than %u ZIP entries", z->name, ZIP_MAX_ENTRIES);
    return CARINA_OK;
}

/* The zip64 extra field holds, in this order, those of the three values that did not fit 32 bits. */
static bool read_extra64(cursor extra, zip_entry *entry) {
    while (cursor_remaining(&extra) >= 4) {
        uint16_t id = cursor_u16le(&extra), size = cursor_u16le(&extra);
        const uint8_t *bytes = cursor_take(&extra, size);
        if (!bytes) return false;
        if (id != 1) continue;
        cursor c = cursor_make(bytes, size);
        if (entry->size == UINT32_MAX) entry->size = cursor_u64le(&c);
        if (entry->stored_size == UINT32_MAX) entry->stored_size = cursor_u64le(&c);
        if (entry->offset == UINT32_MAX) entry->offset = cursor_u64le(&c);
        return !c.failed;
    }
    return true; /* none: the values are what they seem */
}

static carina_status read_central(const zip_archive *z, cursor *c, zip_entry *entry, carina_error *error) {
    if (cursor_u32le(c) != CENTRAL_MARK) return bad(z, error, "a directory entry is missing");
    cursor_skip(c, 4);
    uint16_t flags = cursor_u16le(c), method = cursor_u16le(c);
    cursor_skip(c, 4);
    entry->crc = cursor_u32le(c);
    entry->stored_size = cursor_u32le(c);
    entry->size = cursor_u32le(c);
    uint16_t name_size = cursor_u16le(c), extra_size = cursor_u16le(c), comment_size = cursor_u16le(c);
    cursor_skip(c, 8);
    entry->offset = cursor_u32le(c);
    const uint8_t *name = cursor_take(c, name_size), *extra = cursor_take(c, extra_size);
    cursor_skip(c, comment_size);
    if (c->failed) return bad(z, error, "its directory is cut off");
    if (memchr(name, 0, name_size)) return bad(z, error, "an entry's name has a NUL character");
    entry->name = strndup((const char *)name, name_size);
    if (!entry->name) return error_memory(error, z->name, name_size);
    if (!read_extra64(cursor_make(extra, extra_size), entry)) return bad(z, error, "an extra field is cut off");
    if (flags & 1)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: entry '%s' is encrypted", z->name, entry->name);
    if (method != 0 && method != 8)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: entry '%s' has compression method %d", z->name,
                         entry->name, method);
    entry->deflated = method == 8;
    if (!entry->deflated && entry->size != entry->stored_size) return bad(z, error, "a stored entry has two sizes");
    if (entry->stored_size > z->data_size || entry->offset > z->data_size)
        return bad(z, error, "an entry lies outside the file");
    if (entry->deflated && entry->size / 1032 > entry->stored_size + 1) /* deflate's best ratio */
        return bad(z, error, "an entry promises more than its data can hold");
    return CARINA_OK;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const zip_entry *)a)->name, ((const zip_entry *)b)->name);
}

carina_status zip_open(zip_archive *out, const char *name, const void *data, uint64_t size, carina_error *error) {
    *out = (zip_archive){.name = name, .data = data, .data_size = size};
    directory d = {0};
    TRY(find_directory(out, &d, error));
    out->entries = calloc((size_t)d.count + 1, sizeof *out->entries);
    if (!out->entries) return error_memory(error, name, d.count * sizeof *out->entries);
    cursor c = cursor_make(out->data + d.offset, d.size);
    carina_status status = CARINA_OK;
    while (status == CARINA_OK && out->count < d.count)
        status = read_central(out, &c, &out->entries[out->count++], error);
    if (status == CARINA_OK) {
        qsort(out->entries, (size_t)out->count, sizeof *out->entries, compare_entries);
        for (uint64_t i = 1; i < out->count && status == CARINA_OK; i++)
            if (compare_entries(&out->entries[i - 1], &out->entries[i]) == 0)
                status =
                    error_set(error, CARINA_ERROR_FORMAT, "%s: entry '%s' is there twice", name, out->entries[i].name);
    }
    if (status != CARINA_OK) zip_close(out);
    return status;
}

void zip_close(zip_archive *z) {
    for (uint64_t i = 0; i < z->count; i++) free(z->entries[i].name);
    free(z->entries);
    *z = (zip_archive){0};
}

const zip_entry *zip_find(const zip_archive *z, const char *name) {
    if (z->count == 0) return NULL;
    zip_entry wanted = {.name = (char *)(uintptr_t)name};
    return bsearch(&wanted, z->entries, (size_t)z->count, sizeof *z->entries, compare_entries);
}

static carina_status find_bytes(const zip_archive *z, const zip_entry *entry, const uint8_t **out,
                                carina_error *error) {
    cursor c = cursor_make(z->data, z->data_size);
    cursor_seek(&c, entry->offset);
    uint32_t mark = cursor_u32le(&c);
    cursor_skip(&c, 22);
    uint16_t name_size = cursor_u16le(&c), extra_size = cursor_u16le(&c);
    const uint8_t *name = cursor_take(&c, name_size);
    cursor_skip(&c, extra_size);
    const uint8_t *bytes = cursor_take(&c, entry->stored_size);
    if (!bytes || mark != LOCAL_MARK || strlen(entry->name) != name_size || memcmp(name, entry->name, name_size) != 0)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "%s: damaged ZIP archive: entry '%s' is not where the directory says", z->name, entry->name);
    *out = bytes;
    return CARINA_OK;
}

carina_status zip_read(const zip_archive *z, const zip_entry *entry, uint64_t limit, const uint8_t **view,
                       uint8_t **owned, carina_error *error) {
    *view = NULL;
    *owned = NULL;
    if (entry->size > limit)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: entry '%s' has %llu bytes, more than the %llu accepted",
                         z->name, entry->name, (unsigned long long)entry->size, (unsigned long long)limit);
    const uint8_t *bytes = NULL;
    TRY(find_bytes(z, entry, &bytes, error));
    uint8_t *content = NULL;
    if (entry->deflated) {
        content = malloc((size_t)entry->size + 1);
        if (!content) return error_memory(error, entry->name, entry->size);
        carina_status status = inflate_exactly(content, entry->size, bytes, entry->stored_size, entry->name, error);
        if (status != CARINA_OK) {
            free(content);
            return error ? error_prefix(error, "%s", z->name) : status;
        }
        bytes = content;
    }
    if (inflate_crc32(bytes, entry->size) != entry->crc) {
        free(content);
        return error_set(error, CARINA_ERROR_FORMAT, "%s: entry '%s' is damaged (checksum)", z->name, entry->name);
    }
    *view = bytes;
    *owned = content;
    return CARINA_OK;
}
