/* DICOM writing: identifiers and compression; the file itself is built in dicom_dcmtk.cc. See dicom.h. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/dicom.h"
#include "format/dicom_dcmtk.h"
#include "format/jpeg.h"

/* UIDs of content, not of chance: "2.25." and a 128-bit number (PS3.5 B.2) from two FNV-1a hashes. */
typedef struct uid_hash {
    uint64_t low, high;
} uid_hash;

static void hash_bytes(uid_hash *h, const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        h->low = (h->low ^ bytes[i]) * UINT64_C(0x100000001b3);
        h->high = (h->high ^ (uint8_t)(bytes[i] + 0x5a)) * UINT64_C(0x100000001b3);
    }
    uint8_t end = 0xff; /* "ab" "c" is not "a" "bc" */
    h->low = (h->low ^ end) * UINT64_C(0x100000001b3);
}

static void hash_text(uid_hash *h, const char *text) { hash_bytes(h, text ? text : "", strlen(text ? text : "")); }

static void write_uid(char out[65], uid_hash h) {
    h.high ^= h.low >> 29; /* the two lanes saw the same bytes: stir them apart */
    h.high *= UINT64_C(0x9e3779b97f4a7c15);
    h.low ^= h.low >> 32;
    char digits[48];
    size_t count = 0;
    unsigned __int128 number = (unsigned __int128)h.high << 64 | h.low;
    do {
        digits[count++] = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number > 0);
    memcpy(out, "2.25.", 5);
    for (size_t i = 0; i < count; i++) out[5 + i] = digits[count - 1 - i];
    out[5 + count] = 0;
}

typedef struct derived_uids {
    char study[65], series[65], sop[65];
} derived_uids;

static void derive_uids(derived_uids *uids, dicom_film_attributes *a, const uint16_t *sample, size_t count) {
    uid_hash h = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x84222325cbf29ce4)};
    hash_text(&h, "study");
    hash_text(&h, a->patient_id);
    hash_text(&h, a->study_date);
    hash_text(&h, a->study_instance);
    write_uid(uids->study, h);
    hash_text(&h, a->series_instance);
    hash_text(&h, a->view_position);
    write_uid(uids->series, h);
    hash_bytes(&h, sample, count * sizeof *sample);
    write_uid(uids->sop, h);
    if (!a->study_instance) a->study_instance = uids->study;
    if (!a->series_instance) a->series_instance = uids->series;
    if (!a->sop_instance) a->sop_instance = uids->sop;
}

static carina_status check_arguments(const uint16_t *sample, int width, int height, const dicom_film_attributes *a,
                                     carina_error *error) {
    if (width < 1 || height < 1 || width > 65535 || height > 65535)
        return error_set(error, CARINA_ERROR_ARGUMENT, "cannot write a DICOM film of %d x %d pixels", width, height);
    if (a->bits_stored < 1 || a->bits_stored > 16 || (a->jpeg_quality && a->bits_stored > 8) || a->jpeg_quality < 0 ||
        a->jpeg_quality > 100)
        return error_set(error, CARINA_ERROR_ARGUMENT, "cannot write a DICOM film of %d bits with JPEG quality %d",
                         a->bits_stored, a->jpeg_quality);
    size_t count = (size_t)width * (size_t)height;
    for (size_t i = 0; i < count; i++)
        if (sample[i] >> a->bits_stored)
            return error_set(error, CARINA_ERROR_ARGUMENT, "cannot write sample %u in %d bits", sample[i],
                             a->bits_stored);
    return CARINA_OK;
}

static carina_status compress(uint8_t **out, uint64_t *size, const uint16_t *sample, int width, int height, int quality,
                              carina_error *error) {
    size_t count = (size_t)width * (size_t)height;
    uint8_t *narrow = malloc(count);
    if (!narrow) return error_memory(error, "film", count);
    for (size_t i = 0; i < count; i++) narrow[i] = (uint8_t)sample[i];
    carina_status status = jpeg_encode_grey8(out, size, narrow, width, height, quality, error);
    free(narrow);
    return status;
}

carina_status dicom_write_film(const char *path, const uint16_t *sample, int width, int height,
                               const dicom_film_attributes *attributes, carina_error *error) {
    uint8_t *jpeg = NULL, *bytes = NULL;
    uint64_t jpeg_size = 0, size = 0;
    derived_uids uids;
    dicom_film_attributes a = *attributes;
    carina_status status = check_arguments(sample, width, height, &a, error);
    if (status == CARINA_OK) {
        derive_uids(&uids, &a, sample, (size_t)width * (size_t)height);
        if (a.jpeg_quality) status = compress(&jpeg, &jpeg_size, sample, width, height, a.jpeg_quality, error);
    }
    if (status == CARINA_OK)
        status = dcmtk_encode_film(&bytes, &size, sample, width, height, jpeg, jpeg_size, &a, error);
    free(jpeg);
    if (status != CARINA_OK) {
        error_prefix(error, "%s", path);
        return status;
    }
    status = file_write(path, bytes, size, error);
    free(bytes);
    return status;
}
