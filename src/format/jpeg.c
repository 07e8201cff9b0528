/* JPEG through TurboJPEG; the only file that knows it. See jpeg.h. */
#include "format/jpeg.h"

#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "base/file.h"

#define JPEG_MAX_SIDE 65500 /* libjpeg's own */

bool jpeg_recognise(const void *data, uint64_t size) { return size >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0; }

/* Says whether what was decoded may be trusted: libjpeg fills what is missing with grey and only warns. Stray bytes
 * between segments change no pixel. */
static bool is_harmless(tjhandle handle) {
    return tjGetErrorCode(handle) == TJERR_WARNING && strstr(tjGetErrorStr2(handle), "extraneous bytes") != NULL;
}

static carina_status damaged(tjhandle handle, carina_error *error) {
    const char *text = tjGetErrorStr2(handle);
    carina_status status = strstr(text, "Unsupported") ? CARINA_ERROR_UNSUPPORTED : CARINA_ERROR_FORMAT;
    return error_set(error, status, "%s: %s",
                     status == CARINA_ERROR_FORMAT ? "damaged or truncated JPEG" : "JPEG of a kind that is not read",
                     text);
}

static carina_status decode(tjhandle handle, raster *out, const uint8_t *data, uint64_t size, carina_error *error) {
    int width, height, subsampling, colour;
    if (tjDecompressHeader3(handle, data, (unsigned long)size, &width, &height, &subsampling, &colour) != 0 &&
        !is_harmless(handle))
        return damaged(handle, error);
    if (colour == TJCS_CMYK || colour == TJCS_YCCK)
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "CMYK JPEG: a film is grey or RGB; save it as a grey JPEG or PNG");
    TRY(raster_check_size((uint64_t)width, (uint64_t)height, error));
    /* Each 8 x 8 block takes one bit at the very least. */
    if ((uint64_t)width * (uint64_t)height / 512 > size)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "damaged or truncated JPEG: the header says %d x %d pixels, which %llu bytes cannot hold",
                         width, height, (unsigned long long)size);
    int channels = colour == TJCS_GRAY ? 1 : 3;
    size_t count = (size_t)width * (size_t)height * (size_t)channels;
    uint8_t *bytes = malloc(count);
    if (!bytes) return error_memory(error, "JPEG pixels", count);
    carina_status status = CARINA_OK;
    if (tjDecompress2(handle, data, (unsigned long)size, bytes, width, 0, height, channels == 1 ? TJPF_GRAY : TJPF_RGB,
                      TJFLAG_LIMITSCANS | TJFLAG_ACCURATEDCT) != 0 &&
        !is_harmless(handle))
        status = damaged(handle, error);
    if (status == CARINA_OK) status = raster_create(out, width, height, channels, 8, error);
    for (size_t i = 0; status == CARINA_OK && i < count; i++) out->sample[i] = bytes[i];
    free(bytes);
    return status;
}

carina_status jpeg_load_memory(raster *out, const void *data, uint64_t size, carina_error *error) {
    *out = (raster){0};
    if (size == 0) return error_set(error, CARINA_ERROR_FORMAT, "the file is empty");
    if (!jpeg_recognise(data, size)) return error_set(error, CARINA_ERROR_FORMAT, "not a JPEG file");
    tjhandle handle = tjInitDecompress();
    if (!handle) return error_memory(error, "JPEG reader", 0);
    carina_status status = decode(handle, out, data, size, error);
    tjDestroy(handle);
    return status;
}

carina_status jpeg_load_file(raster *out, const char *path, carina_error *error) {
    *out = (raster){0};
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read(path, RASTER_MAX_FILE_BYTES, &bytes, &size, error));
    carina_status status = jpeg_load_memory(out, bytes, size, error);
    if (status != CARINA_OK) error_prefix(error, "%s", path);
    free(bytes);
    return status;
}

carina_status jpeg_encode_grey8(uint8_t **out, uint64_t *size, const uint8_t *samples, int width, int height,
                                int quality, carina_error *error) {
    *out = NULL;
    *size = 0;
    if (width < 1 || height < 1 || width > JPEG_MAX_SIDE || height > JPEG_MAX_SIDE || quality < 1 || quality > 100)
        return error_set(error, CARINA_ERROR_ARGUMENT, "cannot write a JPEG of %d x %d pixels, quality %d", width,
                         height, quality);
    tjhandle handle = tjInitCompress();
    if (!handle) return error_memory(error, "JPEG writer", 0);
    unsigned char *buffer = NULL;
    unsigned long length = 0;
    carina_status status = CARINA_OK;
    if (tjCompress2(handle, samples, width, 0, height, TJPF_GRAY, &buffer, &length, TJSAMP_GRAY, quality,
                    TJFLAG_ACCURATEDCT) != 0)
        status = error_set(error, CARINA_ERROR_MEMORY, "cannot make a JPEG: %s", tjGetErrorStr2(handle));
    if (status == CARINA_OK) {
        *out = malloc(length);
        if (!*out) status = error_memory(error, "JPEG", length);
    }
    if (status == CARINA_OK) {
        memcpy(*out, buffer, length);
        *size = length;
    }
    tjFree(buffer);
    tjDestroy(handle);
    return status;
}

carina_status jpeg_save_grey8(const char *path, const uint8_t *samples, int width, int height, int quality,
                              carina_error *error) {
    uint8_t *bytes;
    uint64_t size;
    carina_status status = jpeg_encode_grey8(&bytes, &size, samples, width, height, quality, error);
    if (status != CARINA_OK) {
        error_prefix(error, "%s", path);
        return status;
    }
    status = file_write(path, bytes, size, error);
    free(bytes);
    return status;
}
