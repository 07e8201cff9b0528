/* PNG through libpng; the only file that knows it. See png.h.
 *
 * libpng leaves by longjmp, so everything that must survive lives in one struct outside the function that calls
 * setjmp. Its memory is bounded beforehand: by the raster limits, and by what the compressed data could hold at most.
 */
#include "format/png.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"

typedef struct png_reading {
    cursor source;
    png_structp png;
    png_infop info;
    uint8_t *pixels; /* as libpng gives them: [height][row_bytes] */
    png_bytep *rows;
    size_t row_bytes;
    uint32_t width, height;
    int channels, bit_depth;
    bool expanded_alpha;
    char message[200];
} png_reading;

bool png_recognise(const void *data, uint64_t size) {
    return size >= 8 && png_sig_cmp((png_const_bytep)data, 0, 8) == 0;
}

static void note_error(png_structp png, png_const_charp text) {
    char *message = png_get_error_ptr(png);
    snprintf(message, 200, "%s", text);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep out, png_size_t count) {
    png_reading *r = png_get_io_ptr(png);
    if (!cursor_read(&r->source, out, count)) png_error(png, "the file ends too early");
}

/* Deflate shrinks at most 1032 : 1, so a header that claims more pixels than the file could hold is a lie. */
static bool data_can_hold(const png_reading *r, uint64_t bits_per_pixel) {
    uint64_t bytes = ((uint64_t)r->width * bits_per_pixel + 7) / 8 * r->height;
    return bytes / 1032 <= r->source.size;
}

/* Everything that may longjmp. Returns CARINA_OK, or a status with the error filled in. */
static carina_status read_all(png_reading *r, carina_error *error) {
    if (setjmp(png_jmpbuf(r->png)))
        return error_set(error, CARINA_ERROR_FORMAT, "damaged or truncated PNG: %s", r->message);
    png_set_read_fn(r->png, r, read_bytes);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours, below, say what is wrong */
    png_set_chunk_cache_max(r->png, 64);
    png_set_chunk_malloc_max(r->png, 1 << 20);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(r->png, r->info);

    int depth, colour, interlace;
    png_get_IHDR(r->png, r->info, &r->width, &r->height, &depth, &colour, &interlace, NULL, NULL);
    TRY(raster_check_size(r->width, r->height, error));
    if (!data_can_hold(r, (uint64_t)depth * png_get_channels(r->png, r->info)))
        return error_set(error, CARINA_ERROR_FORMAT,
                         "damaged or truncated PNG: the header says %u x %u pixels, which %llu bytes cannot hold",
                         r->width, r->height, (unsigned long long)r->source.size);

    bool transparent_colour = png_get_valid(r->png, r->info, PNG_INFO_tRNS) != 0;
    if (transparent_colour) png_set_expand(r->png);
    if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(r->png);
    if (depth < 8) png_set_packing(r->png);
    if (depth == 16) png_set_swap(r->png); /* the file is big-endian */
    (void)png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);

    r->channels = png_get_channels(r->png, r->info);
    r->bit_depth = png_get_bit_depth(r->png, r->info);
    if (depth < 8 && r->channels == 1) r->bit_depth = depth; /* packing widens the storage, not the values */
    r->row_bytes = png_get_rowbytes(r->png, r->info);
    r->pixels = malloc(r->row_bytes * r->height);
    r->rows = malloc(r->height * sizeof *r->rows);
    if (!r->pixels || !r->rows) return error_memory(error, "PNG pixels", r->row_bytes * r->height);
    for (uint32_t y = 0; y < r->height; y++) r->rows[y] = r->pixels + y * r->row_bytes;
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL);
    return CARINA_OK;
}

/* Interleaved 8- or 16-bit samples, alpha last, to u16 without alpha. */
static void convert_samples(const png_reading *r, raster *out) {
    bool alpha = r->channels == 2 || r->channels == 4;
    size_t count = (size_t)r->width * r->height;
    uint32_t full = (1u << out->bit_depth) - 1;
    bool wide = r->bit_depth == 16;
    const uint16_t *wide_samples = (const uint16_t *)(const void *)r->pixels;
    for (size_t i = 0; i < count; i++) {
        size_t from = i * (size_t)r->channels;
        uint32_t opacity = full;
        if (alpha) {
            size_t last = from + (size_t)r->channels - 1;
            opacity = wide ? wide_samples[last] : r->pixels[last];
        }
        for (int c = 0; c < out->channels; c++) {
            uint32_t value = wide ? wide_samples[from + (size_t)c] : r->pixels[from + (size_t)c];
            if (opacity != full) {
                value = (uint32_t)(((uint64_t)value * opacity + full / 2) / full);
                out->had_transparency = true;
            }
            out->sample[i * (size_t)out->channels + (size_t)c] = (uint16_t)value;
        }
    }
}

carina_status png_load_memory(raster *out, const void *data, uint64_t size, carina_error *error) {
    *out = (raster){0};
    if (size == 0) return error_set(error, CARINA_ERROR_FORMAT, "the file is empty");
    if (!png_recognise(data, size)) return error_set(error, CARINA_ERROR_FORMAT, "not a PNG file");
    png_reading r = {.source = cursor_make(data, size)};
    carina_status status = CARINA_OK;
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r.message, note_error, ignore_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    if (!r.info)
        status = error_memory(error, "PNG reader", 0);
    else
        status = read_all(&r, error);
    if (status == CARINA_OK)
        status = raster_create(out, (int)r.width, (int)r.height, r.channels >= 3 ? 3 : 1, r.bit_depth, error);
    if (status == CARINA_OK) convert_samples(&r, out);
    free(r.rows);
    free(r.pixels);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return status;
}

carina_status png_load_file(raster *out, const char *path, carina_error *error) {
    *out = (raster){0};
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read(path, RASTER_MAX_FILE_BYTES, &bytes, &size, error));
    carina_status status = png_load_memory(out, bytes, size, error);
    if (status != CARINA_OK) error_prefix(error, "%s", path);
    free(bytes);
    return status;
}

typedef struct png_writing {
    FILE *stream;
    png_structp png;
    png_infop info;
    const uint8_t *samples;
    int width, height, colour, depth;
    size_t row_bytes;
    char message[200];
} png_writing;

static carina_status write_all(png_writing *w, carina_error *error) {
    if (setjmp(png_jmpbuf(w->png))) return error_set(error, CARINA_ERROR_IO, "cannot write PNG: %s", w->message);
    png_init_io(w->png, w->stream);
    png_set_user_limits(w->png, RASTER_MAX_SIDE, RASTER_MAX_SIDE);
    png_set_IHDR(w->png, w->info, (png_uint_32)w->width, (png_uint_32)w->height, w->depth, w->colour,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    /* Films are noise below their edges: one cheap filter packs as well as trying all five, four times as fast. */
    png_set_filter(w->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_UP);
    png_set_compression_level(w->png, 4);
    png_write_info(w->png, w->info);
    if (w->depth == 16) png_set_swap(w->png);
    for (int y = 0; y < w->height; y++) png_write_row(w->png, w->samples + (size_t)y * w->row_bytes);
    png_write_end(w->png, NULL);
    return CARINA_OK;
}

/* To a stream that is open; errors of the stream itself stay there. */
static carina_status write_stream(FILE *stream, const void *samples, int width, int height, int colour, int depth,
                                  carina_error *error) {
    png_writing w = {.stream = stream, .samples = samples, .width = width, .height = height, .colour = colour};
    w.depth = depth;
    w.row_bytes = (size_t)width * (size_t)(colour == PNG_COLOR_TYPE_RGB ? 3 : 1) * (size_t)(depth / 8);
    w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w.message, note_error, ignore_warning);
    w.info = w.png ? png_create_info_struct(w.png) : NULL;
    carina_status status = w.info ? write_all(&w, error) : error_memory(error, "PNG writer", 0);
    png_destroy_write_struct(&w.png, &w.info);
    return status;
}

static carina_status save(const char *path, const void *samples, int width, int height, int colour, int depth,
                          carina_error *error) {
    if (width < 1 || height < 1 || width > RASTER_MAX_SIDE || height > RASTER_MAX_SIDE)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: cannot write a PNG of %d x %d pixels", path, width, height);
    file_writer *file;
    TRY(file_writer_open(&file, path, error));
    carina_status status = write_stream(file_writer_stream(file), samples, width, height, colour, depth, error);
    if (status != CARINA_OK) {
        file_writer_abort(file);
        error_prefix(error, "%s", path);
        return status;
    }
    return file_writer_commit(file, error);
}

carina_status png_save_grey8(const char *path, const uint8_t *samples, int width, int height, carina_error *error) {
    return save(path, samples, width, height, PNG_COLOR_TYPE_GRAY, 8, error);
}

carina_status png_save_grey16(const char *path, const uint16_t *samples, int width, int height, carina_error *error) {
    return save(path, samples, width, height, PNG_COLOR_TYPE_GRAY, 16, error);
}

carina_status png_save_rgb8(const char *path, const uint8_t *samples, int width, int height, carina_error *error) {
    return save(path, samples, width, height, PNG_COLOR_TYPE_RGB, 8, error);
}

carina_status png_write_grey8(FILE *stream, const uint8_t *samples, int width, int height, carina_error *error) {
    if (width < 1 || height < 1 || width > RASTER_MAX_SIDE || height > RASTER_MAX_SIDE)
        return error_set(error, CARINA_ERROR_ARGUMENT, "cannot write a PNG of %d x %d pixels", width, height);
    return write_stream(stream, samples, width, height, PNG_COLOR_TYPE_GRAY, 8, error);
}
