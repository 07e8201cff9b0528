/* JPEG 2000 through OpenJPEG; the only file that knows it. See jpeg2000.h. */
#include "format/jpeg2000.h"

#include <openjpeg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "format/raster.h"

#define MAX_TILES 4096 /* OpenJPEG keeps some kilobytes for each that the header claims */

static OPJ_SIZE_T read_bytes(void *out, OPJ_SIZE_T count, void *context) {
    cursor *c = context;
    if (count > cursor_remaining(c)) count = (OPJ_SIZE_T)cursor_remaining(c);
    if (count == 0) return (OPJ_SIZE_T)-1;
    cursor_read(c, out, count);
    return count;
}

static OPJ_OFF_T skip_bytes(OPJ_OFF_T count, void *context) {
    cursor *c = context;
    if (count < 0 || (uint64_t)count > cursor_remaining(c)) return -1;
    cursor_skip(c, (uint64_t)count);
    return count;
}

static OPJ_BOOL seek_bytes(OPJ_OFF_T offset, void *context) {
    cursor *c = context;
    if (offset < 0 || (uint64_t)offset > c->size) return OPJ_FALSE;
    return cursor_seek(c, (uint64_t)offset) ? OPJ_TRUE : OPJ_FALSE;
}

typedef struct first_message {
    char text[160];
} first_message;

static void keep_message(const char *text, void *context) {
    first_message *message = context;
    if (message->text[0]) return;
    strncpy(message->text, text, sizeof message->text - 1);
    message->text[strcspn(message->text, "\r\n")] = 0;
}

static void drop_message(const char *text, void *context) {
    (void)text;
    (void)context;
}

static carina_status damaged(const first_message *message, carina_error *error) {
    return error_set(error, CARINA_ERROR_FORMAT, "damaged or truncated JPEG 2000 data: %s",
                     message->text[0] ? message->text : "no reason given");
}

/* The SIZ segment (T.800 A.5.1) follows SOC at once; read here because OpenJPEG takes memory per tile while it reads
 * the header. */
static carina_status check_size_segment(const uint8_t *data, uint64_t size, int expected_width, int expected_height,
                                        carina_error *error) {
    static const uint8_t start[] = {0xff, 0x4f, 0xff, 0x51};
    const uint8_t *at = memmem(data, (size_t)size, start, sizeof start);
    bool bare = size >= 2 && memcmp(data, start, 2) == 0;
    if (!at || (bare && at != data)) return error_set(error, CARINA_ERROR_FORMAT, "no JPEG 2000 codestream");
    cursor c = cursor_make(at, size - (uint64_t)(at - data));
    cursor_skip(&c, 4 + 2 + 2);
    uint64_t x1 = cursor_u32be(&c), y1 = cursor_u32be(&c), x0 = cursor_u32be(&c), y0 = cursor_u32be(&c);
    uint64_t tile_width = cursor_u32be(&c), tile_height = cursor_u32be(&c);
    uint64_t tile_x0 = cursor_u32be(&c), tile_y0 = cursor_u32be(&c);
    uint32_t components = cursor_u16be(&c), precision = (cursor_u8(&c) & 0x7f) + 1u;
    uint32_t step_x = cursor_u8(&c), step_y = cursor_u8(&c);
    if (c.failed || x1 <= x0 || y1 <= y0 || tile_x0 > x0 || tile_y0 > y0 || tile_width == 0 || tile_height == 0)
        return error_set(error, CARINA_ERROR_FORMAT, "damaged or truncated JPEG 2000 data: its size makes no sense");
    TRY(raster_check_size(x1 - x0, y1 - y0, error));
    if (expected_width && (x1 - x0 != (uint64_t)expected_width || y1 - y0 != (uint64_t)expected_height))
        return error_set(error, CARINA_ERROR_MISMATCH, "the JPEG 2000 data is %llu x %llu, expected %d x %d",
                         (unsigned long long)(x1 - x0), (unsigned long long)(y1 - y0), expected_width, expected_height);
    if (components != 1)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "JPEG 2000 data of %u components: a film has one",
                         components);
    if (precision > 16 || step_x != 1 || step_y != 1)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "JPEG 2000 data of %u bits, sampled %u x %u", precision,
                         step_x, step_y);
    uint64_t tiles = ((x1 - tile_x0 + tile_width - 1) / tile_width) * ((y1 - tile_y0 + tile_height - 1) / tile_height);
    if (tiles > MAX_TILES)
        return error_set(error, CARINA_ERROR_LIMIT, "JPEG 2000 data of %llu tiles, at most %d are accepted",
                         (unsigned long long)tiles, MAX_TILES);
    return CARINA_OK;
}

static carina_status take_samples(jpeg2000_samples *out, const opj_image_t *image, int expected_width,
                                  int expected_height, carina_error *error) {
    const opj_image_comp_t *plane = &image->comps[0];
    if (image->numcomps != 1 || !plane->data || plane->w == 0 || plane->h == 0 || plane->prec < 1 || plane->prec > 16)
        return error_set(error, CARINA_ERROR_FORMAT, "damaged JPEG 2000 data: no grey plane came out");
    TRY(raster_check_size(plane->w, plane->h, error));
    if (expected_width && (plane->w != (OPJ_UINT32)expected_width || plane->h != (OPJ_UINT32)expected_height))
        return error_set(error, CARINA_ERROR_MISMATCH, "the JPEG 2000 data is %u x %u, expected %d x %d", plane->w,
                         plane->h, expected_width, expected_height);
    size_t bytes = (size_t)plane->w * plane->h * sizeof *out->sample;
    out->sample = malloc(bytes);
    if (!out->sample) return error_memory(error, "JPEG 2000 samples", bytes);
    memcpy(out->sample, plane->data, bytes);
    out->width = (int)plane->w;
    out->height = (int)plane->h;
    out->bits = (int)plane->prec;
    out->is_signed = plane->sgnd != 0;
    return CARINA_OK;
}

static carina_status decode(jpeg2000_samples *out, opj_codec_t *codec, opj_stream_t *stream, int expected_width,
                            int expected_height, carina_error *error) {
    first_message message = {0};
    opj_set_error_handler(codec, keep_message, &message);
    opj_set_warning_handler(codec, drop_message, NULL);
    opj_set_info_handler(codec, drop_message, NULL);
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    opj_image_t *image = NULL;
    carina_status status = CARINA_OK;
    if (!opj_setup_decoder(codec, &parameters) || !opj_decoder_set_strict_mode(codec, OPJ_TRUE) ||
        !opj_read_header(stream, codec, &image) || !image)
        status = damaged(&message, error);
    /* A JP2 file could show one codestream to the check above and decode another. */
    if (status == CARINA_OK && image->numcomps > 0)
        status = raster_check_size(image->comps[0].w, image->comps[0].h, error);
    if (status == CARINA_OK && (!opj_decode(codec, stream, image) || !opj_end_decompress(codec, stream)))
        status = damaged(&message, error);
    if (status == CARINA_OK) status = take_samples(out, image, expected_width, expected_height, error);
    if (image) opj_image_destroy(image);
    return status;
}

carina_status jpeg2000_decode(jpeg2000_samples *out, const void *data, uint64_t size, int expected_width,
                              int expected_height, carina_error *error) {
    *out = (jpeg2000_samples){0};
    TRY(check_size_segment(data, size, expected_width, expected_height, error));
    bool bare = size >= 2 && memcmp(data, "\xff\x4f", 2) == 0;
    cursor source = cursor_make(data, size);
    opj_codec_t *codec = opj_create_decompress(bare ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *stream = opj_stream_create(1 << 16, OPJ_TRUE);
    carina_status status = CARINA_OK;
    if (codec && stream) {
        opj_stream_set_user_data(stream, &source, NULL);
        opj_stream_set_user_data_length(stream, size);
        opj_stream_set_read_function(stream, read_bytes);
        opj_stream_set_skip_function(stream, skip_bytes);
        opj_stream_set_seek_function(stream, seek_bytes);
        status = decode(out, codec, stream, expected_width, expected_height, error);
    } else {
        status = error_memory(error, "JPEG 2000 reader", 0);
    }
    if (stream) opj_stream_destroy(stream);
    if (codec) opj_destroy_codec(codec);
    return status;
}
