/* DICOM reading: refusals, lying headers, samples out of words; see dicom.h. */
#include "format/dicom.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"
#include "format/dicom_dcmtk.h"
#include "format/dicom_structure.h"
#include "format/dicom_text.h"
#include "format/jpeg2000.h"
#include "format/raster.h"

#define MEDIA_STORAGE_DIRECTORY "1.2.840.10008.1.3.10"

bool dicom_recognise(const void *data, uint64_t size) { return dicom_structure_recognise(data, size); }

bool dicom_media_class(char out[DICOM_CODE], const void *data, uint64_t size) {
    dicom_structure structure;
    out[0] = 0;
    if (!dicom_structure_recognise(data, size)) return false;
    if (dicom_structure_header(&structure, data, size, NULL) == CARINA_OK) strcpy(out, structure.media_class);
    return out[0] != 0;
}

bool dicom_is_directory(const void *data, uint64_t size) {
    char class_uid[DICOM_CODE];
    return dicom_media_class(class_uid, data, size) && strcmp(class_uid, MEDIA_STORAGE_DIRECTORY) == 0;
}

/* ---- refusals ---- */

static carina_status check_grey(const dicom_attributes *a, carina_error *error) {
    const char *photometric = a->photometric;
    bool monochrome = strcmp(photometric, "MONOCHROME1") == 0 || strcmp(photometric, "MONOCHROME2") == 0;
    if (monochrome && a->samples_per_pixel == 1) return CARINA_OK;
    if (monochrome)
        return error_set(error, CARINA_ERROR_FORMAT, "%s with %d samples per pixel: the header contradicts itself",
                         photometric, a->samples_per_pixel);
    static const char *const colour[] = {"RGB", "YBR", "PALETTE COLOR", "HSV", "ARGB", "CMYK"};
    for (size_t i = 0; i < sizeof colour / sizeof *colour; i++)
        if (strncmp(photometric, colour[i], strlen(colour[i])) == 0)
            return error_set(error, CARINA_ERROR_UNSUPPORTED,
                             "a colour image (photometric interpretation %s): a film has one grey plane", photometric);
    return error_set(error, CARINA_ERROR_UNSUPPORTED, "unknown photometric interpretation '%s'", photometric);
}

static carina_status check_layout(const dicom_attributes *a, carina_error *error) {
    carina_status status = raster_check_size((uint64_t)a->columns, (uint64_t)a->rows, error);
    if (status != CARINA_OK) return status;
    if (a->bits_allocated != 8 && a->bits_allocated != 16)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "BitsAllocated is %d: 8 and 16 are read", a->bits_allocated);
    if (a->bits_stored < 1 || a->bits_stored > a->bits_allocated || a->high_bit < a->bits_stored - 1 ||
        a->high_bit >= a->bits_allocated)
        return error_set(error, CARINA_ERROR_FORMAT, "BitsAllocated %d, BitsStored %d and HighBit %d do not fit",
                         a->bits_allocated, a->bits_stored, a->high_bit);
    return CARINA_OK;
}

static carina_status choose_frame(const dicom_attributes *a, int wanted, int *frame, carina_error *error) {
    if (a->frame_count < 1)
        return error_set(error, CARINA_ERROR_FORMAT, "NumberOfFrames is %d: the header is damaged", a->frame_count);
    if (wanted == 0 && a->frame_count > 1)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%d frames: choose one with --frame 1..%d", a->frame_count,
                         a->frame_count);
    if (wanted < 0 || wanted > a->frame_count)
        return error_set(error, CARINA_ERROR_ARGUMENT, "there is no frame %d: the file has %d", wanted, a->frame_count);
    *frame = wanted ? wanted - 1 : 0;
    return CARINA_OK;
}

/* ---- frames as little endian words ---- */

/* Bytes of one frame's samples, `width` of them each. */
typedef struct words {
    uint8_t *bytes; /* owned */
    int width;      /* 1 or 2 */
} words;

static carina_status too_little(const dicom_attributes *a, uint64_t needed, uint64_t held, carina_error *error) {
    return error_set(
        error, CARINA_ERROR_FORMAT,
        "truncated, or a lying header: Rows %d x Columns %d at %d bits, frame count %d, need %llu bytes of "
        "pixels, %llu are there",
        a->rows, a->columns, a->bits_allocated, a->frame_count, (unsigned long long)needed, (unsigned long long)held);
}

static uint64_t frame_bytes(const dicom_attributes *a) {
    return (uint64_t)a->rows * (uint64_t)a->columns * (uint64_t)(a->bits_allocated / 8);
}

static carina_status take_native(words *out, const dcmtk_dataset *dataset, const dicom_attributes *a, int frame,
                                 carina_error *error) {
    const uint8_t *bytes;
    uint64_t size, needed = frame_bytes(a) * ((uint64_t)frame + 1);
    TRY(dcmtk_native_pixels(dataset, &bytes, &size, error));
    if (needed > size) return too_little(a, needed, size, error);
    out->width = a->bits_allocated / 8;
    out->bytes = malloc(frame_bytes(a));
    if (!out->bytes) return error_memory(error, "DICOM pixels", frame_bytes(a));
    memcpy(out->bytes, bytes + frame_bytes(a) * (uint64_t)frame, frame_bytes(a));
    return CARINA_OK;
}

/* The frame header of a JPEG or JPEG-LS stream (T.81 B.2.2, T.87 C.2.2). */
typedef struct jpeg_frame_header {
    int precision, height, width, components;
} jpeg_frame_header;

static bool is_start_of_frame(uint8_t marker) {
    return marker == 0xf7 || (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc);
}

static bool find_frame_header(const uint8_t *data, uint64_t size, jpeg_frame_header *out) {
    cursor c = cursor_make(data, size);
    if (cursor_u16be(&c) != 0xffd8) return false;
    while (!c.failed) {
        if (cursor_u8(&c) != 0xff) return false;
        uint8_t marker = cursor_u8(&c);
        while (marker == 0xff && !c.failed) marker = cursor_u8(&c);
        if (marker == 0xda || marker == 0xd9) return false;
        uint16_t length = cursor_u16be(&c);
        if (is_start_of_frame(marker)) {
            out->precision = cursor_u8(&c);
            out->height = cursor_u16be(&c);
            out->width = cursor_u16be(&c);
            out->components = cursor_u8(&c);
            return !c.failed;
        }
        if (length < 2) return false;
        cursor_skip(&c, length - 2u);
    }
    return false;
}

/* The compressed stream must be of the size that the header promises; height 0 is given at the stream's end. */
static carina_status check_jpeg(const dicom_attributes *a, const uint8_t *data, uint64_t size, bool lossless_runs,
                                int *precision, carina_error *error) {
    jpeg_frame_header header;
    if (!find_frame_header(data, size, &header))
        return error_set(error, CARINA_ERROR_FORMAT, "damaged or truncated pixel data: no JPEG frame header");
    if (header.width != a->columns || (header.height != a->rows && header.height != 0))
        return error_set(error, CARINA_ERROR_FORMAT,
                         "a lying header: Rows %d x Columns %d, but the compressed picture has %d x %d", a->rows,
                         a->columns, header.height, header.width);
    if (header.components != 1 || header.precision > a->bits_allocated)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "a lying header: one sample of %d bits, but the compressed picture has %d of %d bits",
                         a->bits_allocated, header.components, header.precision);
    /* Except in runs (JPEG-LS), 8 x 8 pixels take a bit at least. */
    if (!lossless_runs && (uint64_t)a->rows * (uint64_t)a->columns / 512 > size)
        return too_little(a, (uint64_t)a->rows * (uint64_t)a->columns / 512, size, error);
    *precision = header.precision;
    return CARINA_OK;
}

static carina_status take_decoded(words *out, const dcmtk_dataset *dataset, const dicom_attributes *a, int frame,
                                  uint32_t first_fragment, int precision, carina_error *error) {
    uint64_t size = (frame_bytes(a) + 1) / 2 * 2;
    out->width = precision > 8 ? 2 : 1;
    out->bytes = calloc(size, 1);
    if (!out->bytes) return error_memory(error, "DICOM pixels", size);
    return dcmtk_decode_frame(dataset, frame, first_fragment, out->bytes, (uint32_t)size, error);
}

static carina_status take_encapsulated(words *out, const dcmtk_dataset *dataset, const dicom_attributes *a, int frame,
                                       dcmtk_encoding encoding, carina_error *error) {
    uint8_t *bytes;
    uint64_t size;
    uint32_t first_fragment;
    TRY(dcmtk_frame_fragments(dataset, frame, a->frame_count, &bytes, &size, &first_fragment, error));
    int precision = a->bits_allocated;
    carina_status status = CARINA_OK;
    if (encoding != DCMTK_RLE)
        status = check_jpeg(a, bytes, size, encoding == DCMTK_JPEG_LS, &precision, error);
    else if (frame_bytes(a) / 64 > size) /* two bytes stand for at most 128 (PS3.5 G.3.1) */
        status = too_little(a, frame_bytes(a) / 64, size, error);
    free(bytes);
    if (status == CARINA_OK) status = take_decoded(out, dataset, a, frame, first_fragment, precision, error);
    return status;
}

static carina_status take_jpeg2000(words *out, const dcmtk_dataset *dataset, const dicom_attributes *a, int frame,
                                   carina_error *error) {
    uint8_t *bytes;
    uint64_t size;
    uint32_t first_fragment;
    jpeg2000_samples samples;
    TRY(dcmtk_frame_fragments(dataset, frame, a->frame_count, &bytes, &size, &first_fragment, error));
    carina_status status = jpeg2000_decode(&samples, bytes, size, a->columns, a->rows, error);
    free(bytes);
    TRY(status);
    if (samples.bits > a->bits_allocated)
        status = error_set(error, CARINA_ERROR_FORMAT,
                           "a lying header: samples of %d bits, but the compressed picture has %d", a->bits_allocated,
                           samples.bits);
    size_t count = (size_t)a->rows * (size_t)a->columns;
    out->width = 2;
    out->bytes = status == CARINA_OK ? malloc(2 * count) : NULL;
    if (status == CARINA_OK && !out->bytes) status = error_memory(error, "DICOM pixels", 2 * count);
    for (size_t i = 0; status == CARINA_OK && i < count; i++) { /* negative ones as two's complement */
        out->bytes[2 * i] = (uint8_t)((uint32_t)samples.sample[i] & 0xff);
        out->bytes[2 * i + 1] = (uint8_t)((uint32_t)samples.sample[i] >> 8 & 0xff);
    }
    free(samples.sample);
    return status;
}

/* ---- stored values out of words (PS3.5 8.1.1) ---- */

static carina_status unpack(dicom_film *out, const words *from, carina_error *error) {
    const dicom_attributes *a = &out->attributes;
    size_t count = (size_t)a->rows * (size_t)a->columns;
    out->pixel = malloc(count * sizeof *out->pixel);
    if (!out->pixel) return error_memory(error, "DICOM pixels", count * sizeof *out->pixel);
    int shift = a->high_bit + 1 - a->bits_stored;
    uint32_t mask = (1u << a->bits_stored) - 1, sign = a->is_signed ? 1u << (a->bits_stored - 1) : 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t word = from->bytes[i * (size_t)from->width];
        if (from->width == 2) word |= (uint32_t)from->bytes[2 * i + 1] << 8;
        uint32_t value = word >> shift & mask;
        out->pixel[i] = (int32_t)(value ^ sign) - (int32_t)sign;
    }
    return CARINA_OK;
}

static carina_status load_pixels(dicom_film *out, const dcmtk_dataset *dataset, int wanted, carina_error *error) {
    const dicom_attributes *a = &out->attributes;
    dcmtk_encoding encoding = dcmtk_pixel_encoding(dataset);
    int frame = 0;
    if (encoding == DCMTK_NO_PIXELS)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "no pixel data (modality '%s'): not an image", a->modality);
    TRY(check_grey(a, error));
    TRY(check_layout(a, error));
    TRY(choose_frame(a, wanted, &frame, error));
    words raw = {0};
    carina_status status;
    switch (encoding) {
        case DCMTK_NATIVE: status = take_native(&raw, dataset, a, frame, error); break;
        case DCMTK_RLE:
        case DCMTK_JPEG:
        case DCMTK_JPEG_LS: status = take_encapsulated(&raw, dataset, a, frame, encoding, error); break;
        case DCMTK_JPEG_2000: status = take_jpeg2000(&raw, dataset, a, frame, error); break;
        default:
            status = error_set(error, CARINA_ERROR_UNSUPPORTED, "transfer syntax %s (%s) is not read",
                               a->transfer_syntax_name, a->transfer_syntax);
    }
    if (status == CARINA_OK) status = unpack(out, &raw, error);
    free(raw.bytes);
    return status;
}

static void clean_texts(dicom_attributes *a) {
    struct {
        char *text;
        size_t capacity;
    } all[] = {
        {a->photometric, sizeof a->photometric},
        {a->modality_lut.explanation, DICOM_TEXT},
        {a->voi_lut.explanation, DICOM_TEXT},
        {a->sop_class, DICOM_CODE},
        {a->sop_instance, DICOM_CODE},
        {a->modality, DICOM_CODE},
        {a->body_part, DICOM_CODE},
        {a->view_position, DICOM_CODE},
        {a->view_meaning, DICOM_TEXT},
        {a->orientation[0], DICOM_CODE},
        {a->orientation[1], DICOM_CODE},
        {a->laterality, DICOM_CODE},
        {a->series_description, DICOM_TEXT},
        {a->burned_in, DICOM_CODE},
        {a->patient_id, DICOM_TEXT},
        {a->patient_name, DICOM_TEXT},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) dicom_text_clean(all[i].text, all[i].capacity);
}

carina_status dicom_load_memory(dicom_film *out, const void *data, uint64_t size, const dicom_options *options,
                                carina_error *error) {
    *out = (dicom_film){0};
    dicom_options chosen = options ? *options : (dicom_options){0};
    dicom_structure structure;
    TRY(dicom_structure_open(&structure, data, size, error));
    dcmtk_dataset *dataset = NULL;
    carina_status status = CARINA_OK;
    if (strcmp(structure.media_class, MEDIA_STORAGE_DIRECTORY) == 0)
        status = error_set(error, CARINA_ERROR_UNSUPPORTED, "a DICOMDIR, which lists films but holds none");
    if (status == CARINA_OK)
        status = dcmtk_open(&dataset, structure.dataset, structure.dataset_size, structure.transfer_syntax, error);
    if (status == CARINA_OK) status = dcmtk_attributes(dataset, &out->attributes, error);
    if (status == CARINA_OK) {
        dicom_attributes *a = &out->attributes;
        strcpy(a->transfer_syntax, structure.was_deflated ? "1.2.840.10008.1.2.1.99" : structure.transfer_syntax);
        if (structure.was_deflated) strcpy(a->transfer_syntax_name, "Deflated Explicit VR Little Endian");
        clean_texts(a);
        if (!chosen.attributes_only) status = load_pixels(out, dataset, chosen.frame, error);
    }
    dcmtk_close(dataset);
    dicom_structure_close(&structure);
    if (status != CARINA_OK) dicom_film_free(out);
    return status;
}

carina_status dicom_load_file(dicom_film *out, const char *path, const dicom_options *options, carina_error *error) {
    *out = (dicom_film){0};
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read(path, DICOM_MAX_FILE_BYTES, &bytes, &size, error));
    carina_status status = dicom_load_memory(out, bytes, size, options, error);
    if (status != CARINA_OK) error_prefix(error, "%s", path);
    free(bytes);
    return status;
}

void dicom_film_free(dicom_film *film) {
    if (!film) return;
    free(film->pixel);
    free(film->attributes.modality_lut.entry);
    free(film->attributes.voi_lut.entry);
    *film = (dicom_film){0};
}

/* ---- DICOMDIR (PS3.10 8) ---- */

/* A path that stays inside: relative, and no component climbs. */
static bool stays_inside(const char *path) {
    if (path[0] == '/' || path[0] == 0) return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0)) return false;
    }
    return true;
}

carina_status dicom_directory_load(char ***out, int *count, const void *data, uint64_t size, carina_error *error) {
    *out = NULL;
    *count = 0;
    dicom_structure structure;
    TRY(dicom_structure_open(&structure, data, size, error));
    dcmtk_dataset *dataset = NULL;
    carina_status status =
        dcmtk_open(&dataset, structure.dataset, structure.dataset_size, structure.transfer_syntax, error);
    if (status == CARINA_OK) status = dcmtk_directory_files(dataset, out, count, error);
    dcmtk_close(dataset);
    dicom_structure_close(&structure);
    if (status != CARINA_OK) {
        dicom_directory_free(*out, *count);
        *out = NULL;
        *count = 0;
        return status;
    }
    int kept = 0;
    for (int i = 0; i < *count; i++) {
        if (stays_inside((*out)[i]))
            (*out)[kept++] = (*out)[i];
        else
            free((*out)[i]);
    }
    *count = kept;
    return CARINA_OK;
}

void dicom_directory_free(char **paths, int count) {
    for (int i = 0; paths && i < count; i++) free(paths[i]);
    free(paths);
}
