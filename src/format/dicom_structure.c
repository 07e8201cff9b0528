/* Walks a DICOM file's elements without keeping anything; see dicom_structure.h. */
#include "format/dicom_structure.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "format/inflate.h"

#define IMPLICIT_LITTLE   "1.2.840.10008.1.2"
#define EXPLICIT_LITTLE   "1.2.840.10008.1.2.1"
#define EXPLICIT_DEFLATED "1.2.840.10008.1.2.1.99"
#define EXPLICIT_BIG      "1.2.840.10008.1.2.2"

#define UNDEFINED_LENGTH UINT32_MAX
#define TAG_ITEM         0xFFFEE000u
#define TAG_ITEM_END     0xFFFEE00Du
#define TAG_SEQUENCE_END 0xFFFEE0DDu
#define TAG_PIXEL_DATA   0x7FE00010u

/* The toolkit recurses once per level and takes some 200 bytes per element. */
#define MAX_DEPTH    32
#define MAX_ELEMENTS 500000
#define MAX_INFLATED (UINT64_C(1) << 28)

/* ---- the file header (PS3.10 7.1) ---- */

static bool is_vr(const uint8_t *two) { return two[0] >= 'A' && two[0] <= 'Z' && two[1] >= 'A' && two[1] <= 'Z'; }

/* VRs whose explicit form has two reserved bytes and a 32-bit length (PS3.5 table 7.1-1); any word of two capitals
 * that is not known either is read so, like the toolkit does. */
static bool has_long_length(const uint8_t *vr) {
    static const char short_ones[] = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ";
    if (!is_vr(vr)) return false;
    for (const char *known = short_ones; *known; known += 3)
        if (known[0] == (char)vr[0] && known[1] == (char)vr[1]) return false;
    return true;
}

/* A data set that came without the 132 bytes in front: its first element must look like one. */
static bool starts_with_element(const uint8_t *bytes, uint64_t size) {
    if (size < 16 || bytes[1] != 0 || (bytes[0] != 2 && bytes[0] != 8) || bytes[3] != 0 || bytes[2] > 0x60)
        return false;
    cursor c = cursor_make(bytes + 4, size - 4);
    if (is_vr(bytes + 4)) {
        static const char first_ones[] = "UL UI CS OB SH DA TM IS LO ";
        for (const char *known = first_ones; *known; known += 3)
            if (known[0] == (char)bytes[4] && known[1] == (char)bytes[5]) return true;
        return false;
    }
    return cursor_u32le(&c) <= 256 && bytes[0] == 8;
}

bool dicom_structure_recognise(const void *data, uint64_t size) {
    const uint8_t *bytes = data;
    return (size >= 132 && memcmp(bytes + 128, "DICM", 4) == 0) || starts_with_element(bytes, size);
}

static void copy_uid(char out[68], const uint8_t *value, uint32_t length) {
    if (length > 64) length = 64;
    memcpy(out, value, length);
    out[length] = 0;
    for (size_t end = strlen(out); end > 0 && out[end - 1] == ' '; end--) out[end - 1] = 0;
}

carina_status dicom_structure_header(dicom_structure *out, const void *data, uint64_t size, carina_error *error) {
    *out = (dicom_structure){0};
    const uint8_t *bytes = data;
    if (size == 0) return error_set(error, CARINA_ERROR_FORMAT, "the file is empty");
    if (!dicom_structure_recognise(data, size)) return error_set(error, CARINA_ERROR_FORMAT, "not a DICOM file");
    cursor c = cursor_make(data, size);
    if (size >= 132 && memcmp(bytes + 128, "DICM", 4) == 0) cursor_skip(&c, 132);
    while (cursor_remaining(&c) >= 8 && bytes[c.offset] == 2 && bytes[c.offset + 1] == 0) {
        cursor_skip(&c, 2);
        uint16_t element = cursor_u16le(&c);
        uint32_t length;
        if (is_vr(bytes + c.offset)) {
            bool is_long = has_long_length(bytes + c.offset);
            cursor_skip(&c, is_long ? 4 : 2);
            length = is_long ? cursor_u32le(&c) : cursor_u16le(&c);
        } else {
            length = cursor_u32le(&c);
        }
        const uint8_t *value = cursor_take(&c, length);
        if (!value)
            return error_set(error, CARINA_ERROR_FORMAT,
                             "truncated or damaged DICOM header: element (0002,%04x) says %u bytes", element, length);
        if (element == 0x0002) copy_uid(out->media_class, value, length);
        if (element == 0x0010) copy_uid(out->transfer_syntax, value, length);
    }
    out->dataset = bytes + c.offset;
    out->dataset_size = cursor_remaining(&c);
    if (!out->transfer_syntax[0]) {
        bool is_explicit = out->dataset_size >= 6 && is_vr(out->dataset + 4);
        bool big = is_explicit && out->dataset[0] == 0 && out->dataset[1] != 0;
        strcpy(out->transfer_syntax, big ? EXPLICIT_BIG : is_explicit ? EXPLICIT_LITTLE : IMPLICIT_LITTLE);
    }
    return CARINA_OK;
}

/* ---- the walk ---- */

typedef struct walker {
    cursor c;
    bool big_endian;
    uint64_t elements;
    carina_error *error;
} walker;

static uint16_t read_u16(walker *w) { return w->big_endian ? cursor_u16be(&w->c) : cursor_u16le(&w->c); }
static uint32_t read_u32(walker *w) { return w->big_endian ? cursor_u32be(&w->c) : cursor_u32le(&w->c); }

static uint32_t read_tag(walker *w) {
    uint32_t group = read_u16(w);
    return group << 16 | read_u16(w);
}

static carina_status too_long(walker *w, uint32_t tag, uint64_t length, uint64_t end) {
    return error_set(w->error, CARINA_ERROR_FORMAT,
                     "truncated or damaged DICOM: element (%04x,%04x) says %llu bytes where %llu are left", tag >> 16,
                     tag & 0xffff, (unsigned long long)length,
                     (unsigned long long)(end > w->c.offset ? end - w->c.offset : 0));
}

static carina_status count_element(walker *w) {
    if (++w->elements > MAX_ELEMENTS)
        return error_set(w->error, CARINA_ERROR_LIMIT, "DICOM file of more than %d elements", MAX_ELEMENTS);
    return CARINA_OK;
}

static carina_status walk_elements(walker *w, uint64_t end, bool is_explicit, int depth, bool to_delimiter);

/* Items until `end`, or until the delimiter where the length is undefined. */
static carina_status walk_sequence(walker *w, uint64_t end, bool is_explicit, int depth, bool to_delimiter) {
    if (depth > MAX_DEPTH)
        return error_set(w->error, CARINA_ERROR_LIMIT, "DICOM sequences nested deeper than %d", MAX_DEPTH);
    while (w->c.offset < end) {
        TRY(count_element(w));
        uint32_t tag = read_tag(w), length = read_u32(w);
        if (w->c.failed || w->c.offset > end) return too_long(w, tag, 8, end);
        if (tag == TAG_SEQUENCE_END && to_delimiter) return CARINA_OK;
        if (tag != TAG_ITEM)
            return error_set(w->error, CARINA_ERROR_FORMAT, "damaged DICOM: (%04x,%04x) where an item should start",
                             tag >> 16, tag & 0xffff);
        bool undefined = length == UNDEFINED_LENGTH;
        if (!undefined && length > end - w->c.offset) return too_long(w, tag, length, end);
        TRY(walk_elements(w, undefined ? end : w->c.offset + length, is_explicit, depth, undefined));
    }
    return to_delimiter ? too_long(w, TAG_SEQUENCE_END, 8, end) : CARINA_OK;
}

/* Encapsulated pixels (PS3.5 A.4): items of bytes, then a delimiter. */
static carina_status walk_fragments(walker *w, uint64_t end) {
    while (w->c.offset < end) {
        TRY(count_element(w));
        uint32_t tag = read_tag(w), length = read_u32(w);
        if (w->c.failed || w->c.offset > end) return too_long(w, tag, 8, end);
        if (tag == TAG_SEQUENCE_END) return CARINA_OK;
        if (tag != TAG_ITEM)
            return error_set(w->error, CARINA_ERROR_FORMAT,
                             "damaged DICOM: (%04x,%04x) where a fragment of the pixels should start", tag >> 16,
                             tag & 0xffff);
        if (length > end - w->c.offset) return too_long(w, tag, length, end);
        cursor_skip(&w->c, length);
    }
    return too_long(w, TAG_SEQUENCE_END, 8, end);
}

/* Implicit VR does not say what is a sequence, but the toolkit's dictionary does: what starts like one must be one. */
static bool starts_with_item(const walker *w, uint32_t length) {
    walker look = *w;
    return length >= 8 && read_tag(&look) == TAG_ITEM;
}

static carina_status walk_element(walker *w, uint32_t tag, uint64_t end, bool is_explicit, int depth) {
    uint32_t length;
    uint8_t vr[2] = {0, 0};
    if (is_explicit) {
        cursor_read(&w->c, vr, 2);
        bool is_long = has_long_length(vr);
        if (is_long) cursor_skip(&w->c, 2);
        length = is_long ? read_u32(w) : read_u16(w);
    } else {
        length = read_u32(w);
    }
    if (w->c.failed || w->c.offset > end) return too_long(w, tag, 8, end);
    if (length == UNDEFINED_LENGTH) {
        bool bytes = memcmp(vr, "OB", 2) == 0 || memcmp(vr, "OW", 2) == 0;
        bool sequence = memcmp(vr, "SQ", 2) == 0, unknown = memcmp(vr, "UN", 2) == 0;
        if (tag == TAG_PIXEL_DATA && (bytes || !is_explicit)) return walk_fragments(w, end);
        if (is_explicit && !sequence && !unknown)
            return error_set(w->error, CARINA_ERROR_FORMAT,
                             "damaged DICOM: element (%04x,%04x) of kind %c%c has no length", tag >> 16, tag & 0xffff,
                             vr[0], vr[1]);
        /* PS3.5 6.2.2 note 2: inside what is unknown, VRs are implicit */
        return walk_sequence(w, end, sequence, depth + 1, true);
    }
    if (length > end - w->c.offset) return too_long(w, tag, length, end);
    if (memcmp(vr, "SQ", 2) == 0 || (!is_explicit && starts_with_item(w, length)))
        return walk_sequence(w, w->c.offset + length, is_explicit, depth + 1, false);
    cursor_skip(&w->c, length);
    return CARINA_OK;
}

static carina_status walk_elements(walker *w, uint64_t end, bool is_explicit, int depth, bool to_delimiter) {
    while (w->c.offset < end) {
        if (depth == 0 && end - w->c.offset < 8) return CARINA_OK; /* stray bytes after the last element */
        TRY(count_element(w));
        uint32_t tag = read_tag(w);
        if (w->c.failed || w->c.offset > end) return too_long(w, tag, 8, end);
        if (tag == TAG_ITEM_END && to_delimiter) {
            cursor_skip(&w->c, 4);
            return w->c.failed || w->c.offset > end ? too_long(w, tag, 4, end) : CARINA_OK;
        }
        TRY(walk_element(w, tag, end, is_explicit, depth));
    }
    return to_delimiter ? too_long(w, TAG_ITEM_END, 8, end) : CARINA_OK;
}

carina_status dicom_structure_open(dicom_structure *out, const void *data, uint64_t size, carina_error *error) {
    TRY(dicom_structure_header(out, data, size, error));
    carina_status status = CARINA_OK;
    if (strcmp(out->transfer_syntax, EXPLICIT_DEFLATED) == 0) {
        status = inflate_all(&out->inflated, &out->dataset_size, MAX_INFLATED, out->dataset, out->dataset_size,
                             "deflated data set", error);
        out->dataset = out->inflated;
        out->was_deflated = true;
        strcpy(out->transfer_syntax, EXPLICIT_LITTLE);
    }
    if (status == CARINA_OK) {
        walker w = {.c = cursor_make(out->dataset, out->dataset_size), .error = error};
        w.big_endian = strcmp(out->transfer_syntax, EXPLICIT_BIG) == 0;
        bool is_explicit = strcmp(out->transfer_syntax, IMPLICIT_LITTLE) != 0;
        status = walk_elements(&w, out->dataset_size, is_explicit, 0, false);
    }
    if (status != CARINA_OK) dicom_structure_close(out);
    return status;
}

void dicom_structure_close(dicom_structure *structure) {
    free(structure->inflated);
    *structure = (dicom_structure){0};
}
