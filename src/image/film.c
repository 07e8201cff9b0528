/* Reading one film; see film.h. */
#include "image/film.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "format/jpeg.h"
#include "format/png.h"

film_kind film_recognise(const void *data, uint64_t size) {
    if (png_recognise(data, size)) return FILM_PNG;
    if (jpeg_recognise(data, size)) return FILM_JPEG;
    if (dicom_is_directory(data, size)) return FILM_DICOM_DIRECTORY;
    return dicom_recognise(data, size) ? FILM_DICOM : FILM_UNKNOWN;
}

/* Says what else a file is, where that is easy to tell. */
static carina_status refuse(const uint8_t *data, uint64_t size, carina_error *error) {
    static const struct {
        const char *start;
        size_t length;
        const char *name;
    } kinds[] = {
        {"II*\0", 4, "a TIFF file"},
        {"MM\0*", 4, "a TIFF file"},
        {"BM", 2, "a BMP file"},
        {"GIF8", 4, "a GIF file"},
        {"%PDF", 4, "a PDF file"},
        {"\x1f\x8b", 2, "a gzip file"},
        {"PK\3\4", 4, "a zip file"},
        {"RIFF", 4, "a WebP or other RIFF file"},
        {"\0\0\0\x0cjP  ", 8, "a JPEG 2000 file"},
        {"\xff\x4f\xff\x51", 4, "a JPEG 2000 file"},
    };
    if (size == 0) return error_set(error, CARINA_ERROR_FORMAT, "the file is empty");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].length && memcmp(data, kinds[i].start, kinds[i].length) == 0)
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: give a DICOM, PNG or JPEG file", kinds[i].name);
    return error_set(error, CARINA_ERROR_FORMAT, "neither a DICOM nor a PNG nor a JPEG file");
}

/* ---- warnings ---- */

static void warn(film *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(film *f, const char *format, ...) {
    if (f->warning_count >= FILM_MAX_WARNINGS) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->warning[f->warning_count++], FILM_WARNING_TEXT, format, arguments);
    va_end(arguments);
}

static bool is_one_of(const char *word, const char *const *words) {
    for (; *words; words++)
        if (strcasecmp(word, *words) == 0) return true;
    return false;
}

/* Where no view is given the series may be named by it: "W034 Chest Lateral", but not "PA and lateral". */
static bool describes_lateral(const char *description) {
    static const char *const lateral[] = {"LATERAL", "LAT", NULL};
    static const char *const others[] = {"PA", "AP", "FRONTAL", "DECUBITUS", NULL};
    bool found = false;
    for (const char *c = description; *c;) {
        char word[16];
        size_t length = 0;
        while (isalpha((unsigned char)c[length])) length++;
        snprintf(word, sizeof word, "%.*s", (int)(length < 15 ? length : 15), c);
        if (is_one_of(word, others)) return false;
        found = found || is_one_of(word, lateral);
        c += length ? length : 1;
    }
    return found;
}

/* Lateral by its view, or by rows that run from front to back (PatientOrientation, PS3.3 C.7.6.1.1.1). */
static bool is_lateral(const dicom_attributes *a) {
    static const char *const positions[] = {"LL", "RL", "LLO", "RLO", "LATERAL", "LAT", "ML", "LM", NULL};
    if (is_one_of(a->view_position, positions) || strcasestr(a->view_position, "lateral")) return true;
    if (strcasestr(a->view_meaning, "lateral") && !strcasestr(a->view_meaning, "decubitus")) return true;
    if (a->view_position[0]) return false;
    char direction = a->orientation[0][0];
    return direction == 'A' || direction == 'P' || (!a->view_meaning[0] && describes_lateral(a->series_description));
}

static void find_view(film *f) {
    const dicom_attributes *a = &f->attributes;
    static const char *const front[] = {"PA", "POSTERO-ANTERIOR", NULL};
    static const char *const back[] = {"AP", "ANTERO-POSTERIOR", NULL};
    if (is_lateral(a)) {
        strcpy(f->view, "LATERAL");
        warn(f, "a lateral view: regions are those of a frontal film, so what is found here is not reliable");
    } else if (is_one_of(a->view_position, front) || is_one_of(a->view_meaning, front)) {
        strcpy(f->view, "PA");
    } else if (is_one_of(a->view_position, back) || is_one_of(a->view_meaning, back)) {
        strcpy(f->view, "AP");
    }
}

/* Rows run to the patient's left and columns to his feet where sides are as a radiologist sees them. */
static void check_orientation(film *f) {
    const dicom_attributes *a = &f->attributes;
    bool right = a->orientation[0][0] == 'R', head = a->orientation[1][0] == 'H';
    const char *how = right && head ? "turned by 180 degrees" : right ? "mirrored" : "flipped top to bottom";
    if (right || head) warn(f, "PatientOrientation: the picture is %s; regions are named as if it were not", how);
}

static void check_subject(film *f) {
    static const char *const radiographs[] = {"CR", "DX", "RG", "OT", "SC", "XA", "RF", "", NULL};
    const dicom_attributes *a = &f->attributes;
    find_view(f);
    check_orientation(f);
    if (!is_one_of(a->modality, radiographs)) warn(f, "modality %s: not a plain radiograph", a->modality);
    f->other_part = a->body_part[0] && !strcasestr(a->body_part, "CHEST") && !strcasestr(a->body_part, "THORAX") &&
                    !strcasestr(a->body_part, "LUNG") && !strcasestr(a->body_part, "PORT");
    if (f->other_part) warn(f, "body part %s: not a chest", a->body_part);
    if (strcasecmp(a->burned_in, "YES") == 0) warn(f, "the file says that text is burned into its pixels");
}

static void check_picture(film *f) {
    size_t count = (size_t)f->picture.width * (size_t)f->picture.height;
    size_t different = 0;
    for (size_t i = 1; i < count && !different; i++) different = f->picture.value[i] != f->picture.value[0];
    if (!different) warn(f, "the picture is one flat grey");
    if (f->picture.width < 128 || f->picture.height < 128)
        warn(f, "only %d x %d pixels: too few to see much", f->picture.width, f->picture.height);
}

/* ---- loading ---- */

static carina_status load_dicom(film *out, const void *data, uint64_t size, const film_options *options,
                                carina_error *error) {
    dicom_film stored;
    dicom_options chosen = {.frame = options ? options->frame : 0};
    TRY(dicom_load_memory(&stored, data, size, &chosen, error));
    dicom_attributes *a = &stored.attributes;
    out->file_width = a->columns;
    out->file_height = a->rows;
    grey_steps_add(&out->steps, "DICOM, %s, %d of %d bits %s", a->transfer_syntax_name, a->bits_stored,
                   a->bits_allocated, a->is_signed ? "signed" : "unsigned");
    if (a->frame_count > 1) grey_steps_add(&out->steps, "frame %d of %d", chosen.frame, a->frame_count);
    carina_status status = grey_levels_from_dicom(&out->picture, &out->steps, &stored, error);
    out->attributes = *a;
    out->attributes.modality_lut.entry = out->attributes.voi_lut.entry = NULL;
    out->attributes.modality_lut.count = out->attributes.voi_lut.count = 0;
    dicom_film_free(&stored);
    if (status == CARINA_OK) check_subject(out);
    return status;
}

static float mean_colour(const raster *picture) {
    if (picture->channels != 3) return 0;
    size_t count = (size_t)picture->width * (size_t)picture->height;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const uint16_t *s = picture->sample + 3 * i;
        int low = s[0] < s[1] ? s[0] : s[1], high = s[0] < s[1] ? s[1] : s[0];
        if (s[2] < low) low = s[2];
        if (s[2] > high) high = s[2];
        sum += high - low;
    }
    return (float)(sum / (double)count / (double)((1u << picture->bit_depth) - 1));
}

static carina_status load_picture(film *out, const void *data, uint64_t size, const film_options *options,
                                  carina_error *error) {
    raster picture;
    if (options && options->frame > 1)
        return error_set(error, CARINA_ERROR_ARGUMENT, "there is no frame %d: the file has 1", options->frame);
    TRY(out->kind == FILM_PNG ? png_load_memory(&picture, data, size, error)
                              : jpeg_load_memory(&picture, data, size, error));
    out->file_width = picture.width;
    out->file_height = picture.height;
    out->colour = mean_colour(&picture);
    grey_steps_add(&out->steps, "%s", out->kind == FILM_PNG ? "PNG" : "JPEG");
    carina_status status = grey_levels_from_raster(&out->picture, &out->steps, &picture, error);
    raster_free(&picture);
    return status;
}

carina_status film_load_memory(film *out, const void *data, uint64_t size, const film_options *options,
                               carina_error *error) {
    *out = (film){.kind = film_recognise(data, size), .attributes.age_years = -1};
    carina_status status;
    switch (out->kind) {
        case FILM_DICOM: status = load_dicom(out, data, size, options, error); break;
        case FILM_PNG:
        case FILM_JPEG: status = load_picture(out, data, size, options, error); break;
        case FILM_DICOM_DIRECTORY:
            status = error_set(error, CARINA_ERROR_UNSUPPORTED, "a DICOMDIR, which lists films but holds none");
            break;
        default: status = refuse(data, size, error);
    }
    if (status == CARINA_OK) check_picture(out);
    if (status != CARINA_OK) film_free(out);
    return status;
}

carina_status film_load(film *out, const char *path, const film_options *options, carina_error *error) {
    *out = (film){.attributes.age_years = -1};
    if (file_is_folder(path)) return error_set(error, CARINA_ERROR_IO, "%s: a folder, not a film", path);
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read(path, DICOM_MAX_FILE_BYTES, &bytes, &size, error));
    carina_status status = film_load_memory(out, bytes, size, options, error);
    if (status != CARINA_OK) error_prefix(error, "%s", path);
    free(bytes);
    return status;
}

void film_free(film *f) {
    if (!f) return;
    image_free(&f->picture);
    *f = (film){0};
}
