/* Drawing through cairo; the only file that knows it. See draw.h. */
#include "image/draw.h"

#include <cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/utf8.h"
#include "image/resize.h"

#define MAX_CANVAS 20000 /* pixels a side; cairo itself stops at 32767 */
#define FONT       "DejaVu Sans"
#define PADDING    8.0

typedef struct colour {
    double red, green, blue;
} colour;

/* Lightened until its luminance reaches 0.55: names in dark blue on a dark margin help nobody. */
static colour visible_colour(unsigned rgb) {
    colour c = {(double)(rgb >> 16 & 0xff) / 255, (double)(rgb >> 8 & 0xff) / 255, (double)(rgb & 0xff) / 255};
    double luminance = 0.299 * c.red + 0.587 * c.green + 0.114 * c.blue;
    double white = luminance < 0.55 ? (0.55 - luminance) / (1 - luminance) : 0;
    return (colour){c.red + (1 - c.red) * white, c.green + (1 - c.green) * white, c.blue + (1 - c.blue) * white};
}

static void use_colour(cairo_t *cairo, colour c, double opacity) {
    cairo_set_source_rgba(cairo, c.red, c.green, c.blue, opacity);
}

/* ---- text ---- */

static void use_font(cairo_t *cairo, double size) {
    cairo_select_font_face(cairo, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, size);
}

static double text_width(cairo_t *cairo, const char *text) {
    cairo_text_extents_t extents;
    cairo_text_extents(cairo, text, &extents);
    return extents.x_advance;
}

/* Text as cairo takes it, short enough for `width`; malloc'ed, NULL when out of memory. */
static char *fitted_text(cairo_t *cairo, const char *text, double width) {
    uint64_t length;
    char *fitted = utf8_repair(text, strlen(text), &length);
    if (!fitted || text_width(cairo, fitted) <= width) return fitted;
    char *shorter = malloc(length + 4);
    while (shorter && length > 0) {
        do length--;
        while (length > 0 && ((unsigned char)fitted[length] & 0xc0) == 0x80); /* never inside a character */
        memcpy(shorter, fitted, length);
        strcpy(shorter + length, "\xe2\x80\xa6");
        if (text_width(cairo, shorter) <= width) break;
    }
    free(fitted);
    return shorter;
}

static void show_text(cairo_t *cairo, double x, double y, double width, const char *text) {
    char *fitted = fitted_text(cairo, text, width);
    if (!fitted) return;
    cairo_move_to(cairo, x, y);
    cairo_show_text(cairo, fitted);
    free(fitted);
}

/* ---- canvas ---- */

typedef struct canvas {
    cairo_surface_t *surface;
    cairo_t *cairo;
} canvas;

static void canvas_close(canvas *c) {
    if (c->cairo) cairo_destroy(c->cairo);
    if (c->surface) cairo_surface_destroy(c->surface);
    *c = (canvas){0};
}

static carina_status canvas_open(canvas *c, double width, double height, carina_error *error) {
    *c = (canvas){0};
    if (!(width >= 1 && width <= MAX_CANVAS && height >= 1 && height <= MAX_CANVAS))
        return error_set(error, CARINA_ERROR_LIMIT, "a picture of %.0f x %.0f pixels is not drawn (at most %d a side)",
                         width, height, MAX_CANVAS);
    c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(width), (int)ceil(height));
    c->cairo = cairo_create(c->surface);
    if (cairo_status(c->cairo) != CAIRO_STATUS_SUCCESS) {
        canvas_close(c);
        return error_memory(error, "picture", (unsigned long long)(width * height * 4));
    }
    cairo_set_source_rgb(c->cairo, 0.07, 0.07, 0.08);
    cairo_paint(c->cairo);
    return CARINA_OK;
}

/* PNG's textual data "Software" "Carina" with its length and checksum: goes behind the signature and the header. */
static const unsigned char written_by[] = "\0\0\0\x0f" DRAW_MARK "\xbb\x79\xf6\xfb";
#define PNG_HEADER 33

typedef struct png_stream {
    FILE *file;
    uint64_t written;
} png_stream;

static bool put(png_stream *s, const unsigned char *bytes, size_t length) {
    s->written += length;
    return fwrite(bytes, 1, length, s->file) == length;
}

static cairo_status_t write_bytes(void *context, const unsigned char *bytes, unsigned length) {
    png_stream *s = context;
    size_t before = s->written < PNG_HEADER ? (size_t)(PNG_HEADER - s->written) : 0;
    bool good;
    if (before && before <= length)
        good = put(s, bytes, before) &&
               fwrite(written_by, 1, sizeof written_by - 1, s->file) == sizeof written_by - 1 &&
               put(s, bytes + before, length - before);
    else
        good = put(s, bytes, length);
    return good ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static carina_status canvas_save(canvas *c, const char *path, carina_error *error) {
    cairo_surface_flush(c->surface);
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    cairo_status_t state = cairo_status(c->cairo);
    png_stream stream = {.file = file_writer_stream(writer)};
    if (state == CAIRO_STATUS_SUCCESS) state = cairo_surface_write_to_png_stream(c->surface, write_bytes, &stream);
    if (state != CAIRO_STATUS_SUCCESS && state != CAIRO_STATUS_WRITE_ERROR) { /* a failed write: commit says why */
        file_writer_abort(writer);
        return error_set(error, CARINA_ERROR_IO, "%s: cannot draw: %s", path, cairo_status_to_string(state));
    }
    return file_writer_commit(writer, error);
}

/* ARGB32, multiplied by its opacity as cairo wants it, of a picture's value */
typedef uint32_t pixel_of(float value);

static uint32_t grey_pixel(float value) {
    uint32_t grey = (uint32_t)(fminf(fmaxf(value, 0), 1) * 255 + 0.5f);
    return 0xff000000u | grey << 16 | grey << 8 | grey;
}

/* Black body colours, from clear through red and orange to a pale yellow. */
static uint32_t heat_pixel(float value) {
    float v = fminf(fmaxf(value, 0), 1), opacity = 0.65f * v;
    float red = fminf(v * 2.5f, 1), green = fminf(fmaxf(v * 1.8f - 0.45f, 0), 1),
          blue = fminf(fmaxf(v * 3 - 2.3f, 0), 1);
    return (uint32_t)(opacity * 255 + 0.5f) << 24 | (uint32_t)(red * opacity * 255 + 0.5f) << 16 |
           (uint32_t)(green * opacity * 255 + 0.5f) << 8 | (uint32_t)(blue * opacity * 255 + 0.5f);
}

/* The picture at (x, y), width x height; NULL: nothing. Resized here and not by cairo, whose filters alias when they
 * shrink. */
static carina_status paint_picture(cairo_t *cairo, const image *picture, pixel_of *pixel, double x, double y, int width,
                                   int height, carina_error *error) {
    if (!picture) return CARINA_OK;
    image scaled;
    TRY(resize(&scaled, picture, width, height, error));
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, width, height);
    unsigned char *rows = cairo_image_surface_get_data(surface);
    carina_status status = rows ? CARINA_OK : error_memory(error, "picture", 4ull * (unsigned)width * (unsigned)height);
    if (rows) {
        cairo_surface_flush(surface);
        size_t stride = (size_t)cairo_image_surface_get_stride(surface);
        for (int row = 0; row < height; row++) {
            uint32_t *pixels = (uint32_t *)(void *)(rows + (size_t)row * stride);
            for (int column = 0; column < width; column++)
                pixels[column] = pixel(scaled.value[(size_t)row * (size_t)width + (size_t)column]);
        }
        cairo_surface_mark_dirty(surface);
        cairo_set_source_surface(cairo, surface, x, y);
        cairo_paint(cairo);
    }
    cairo_surface_destroy(surface);
    image_free(&scaled);
    return status;
}

/* ---- boxes ---- */

/* Where a film lies on the canvas, and how its file's pixels map there. */
typedef struct placement {
    double x, y, scale_x, scale_y;
    int width, height;
} placement;

static placement place(const draw_film *film, double x, double y, double side) {
    const image *p = film->picture;
    double scale = side / (p->width > p->height ? p->width : p->height);
    placement at = {.x = x, .y = y, .width = (int)lround(p->width * scale), .height = (int)lround(p->height * scale)};
    if (at.width < 1) at.width = 1;
    if (at.height < 1) at.height = 1;
    at.scale_x = (double)at.width / (film->file_width > 0 ? film->file_width : p->width);
    at.scale_y = (double)at.height / (film->file_height > 0 ? film->file_height : p->height);
    return at;
}

typedef struct drawn_box {
    double x1, y1, x2, y2;
} drawn_box;

static drawn_box on_canvas(const placement *at, box b) {
    return (drawn_box){at->x + (double)b.x1 * at->scale_x, at->y + (double)b.y1 * at->scale_y,
                       at->x + (double)b.x2 * at->scale_x, at->y + (double)b.y2 * at->scale_y};
}

static void use_line(cairo_t *cairo, draw_line line) {
    static const double dashes[] = {7, 4}, dots[] = {2.5, 2.5};
    cairo_set_dash(cairo, line == DRAW_DASHED ? dashes : dots, line == DRAW_SOLID ? 0 : 2, 0);
}

/* A dark line below the coloured one, so that boxes show on bone as well as on air. */
static void stroke_box(cairo_t *cairo, drawn_box b, const draw_box *source, double width) {
    cairo_rectangle(cairo, b.x1, b.y1, b.x2 - b.x1, b.y2 - b.y1);
    cairo_set_dash(cairo, NULL, 0, 0);
    cairo_set_line_width(cairo, width * 2);
    cairo_set_source_rgba(cairo, 0, 0, 0, 0.3);
    cairo_stroke_preserve(cairo);
    use_line(cairo, source->line);
    cairo_set_line_width(cairo, width);
    use_colour(cairo, visible_colour(source->colour), 1);
    cairo_stroke(cairo);
    cairo_set_dash(cairo, NULL, 0, 0);
}

static bool is_drawable(const draw_box *b) {
    return isfinite(b->frame.x1) && isfinite(b->frame.y1) && isfinite(b->frame.x2) && isfinite(b->frame.y2);
}

static void stroke_boxes(cairo_t *cairo, const draw_film *film, const placement *at, double width) {
    cairo_save(cairo);
    cairo_rectangle(cairo, at->x - width, at->y - width, at->width + 2 * width, at->height + 2 * width);
    cairo_clip(cairo);
    for (int i = 0; i < film->box_count; i++)
        if (is_drawable(&film->boxes[i]))
            stroke_box(cairo, on_canvas(at, film->boxes[i].frame), &film->boxes[i], width);
    cairo_restore(cairo);
}

/* ---- labels in the margins ---- */

typedef struct margin_label {
    const draw_box *source;
    drawn_box frame;
    double wanted; /* y it would like: its box's middle */
    double y;      /* y it gets: the middle of its line */
} margin_label;

static int compare_wanted(const void *a, const void *b) {
    double first = ((const margin_label *)a)->wanted, second = ((const margin_label *)b)->wanted;
    if (first != second) return first < second ? -1 : 1;
    const draw_box *p = ((const margin_label *)a)->source, *q = ((const margin_label *)b)->source;
    return p < q ? -1 : p > q;
}

static double middle(const margin_label *label) { return (label->frame.x1 + label->frame.x2) / 2; }

static int compare_middle(const void *a, const void *b) {
    double first = middle(a), second = middle(b);
    return first < second ? -1 : first > second;
}

/* Each box to the margin it is nearer to, but neither margin more than it has lines for. labels is sorted by the
 * boxes' middles; returns how many go left. */
static int split_sides(const margin_label *labels, int count, double film_middle, int lines) {
    int left = 0;
    while (left < count && middle(&labels[left]) < film_middle) left++;
    if (left > lines) left = lines;
    if (count - left > lines) left = count - lines;
    return left > count ? count : left < 0 ? 0 : left;
}

/* Lines as near to their boxes as the others allow: pushed down from the top, then back up from the bottom. */
static void stack(margin_label *labels, int count, double top, double bottom, double line_height) {
    qsort(labels, (size_t)count, sizeof *labels, compare_wanted);
    double y = top + line_height / 2;
    for (int i = 0; i < count; i++) {
        labels[i].y = fmax(y, labels[i].wanted);
        y = labels[i].y + line_height;
    }
    y = bottom - line_height / 2;
    for (int i = count - 1; i >= 0; i--) {
        labels[i].y = fmin(y, labels[i].y);
        y = labels[i].y - line_height;
    }
    /* Pushing back up may leave room above that a cluster could share: centre each cluster on what it wants. */
    for (int start = 0; start < count;) {
        int end = start;
        double offset = 0;
        while (end < count && (end == start || labels[end].y - labels[end - 1].y < line_height * 1.001)) {
            offset += labels[end].wanted - labels[end].y;
            end++;
        }
        offset /= end - start;
        double above = start ? labels[start - 1].y + line_height : top + line_height / 2;
        double below = end < count ? labels[end].y - line_height : bottom - line_height / 2;
        offset = fmin(fmax(offset, above - labels[start].y), below - labels[end - 1].y);
        for (int i = start; i < end; i++) labels[i].y += offset;
        start = end;
    }
}

static void draw_labels(cairo_t *cairo, const margin_label *labels, int count, bool left, double margin_x,
                        double margin_width, double edge_x, double font_size) {
    for (int i = 0; i < count; i++) {
        const margin_label *l = &labels[i];
        colour c = visible_colour(l->source->colour);
        use_font(cairo, font_size);
        double width = fmin(text_width(cairo, l->source->label), margin_width);
        double text_x = left ? margin_x + margin_width - width : margin_x;
        use_colour(cairo, c, 1);
        show_text(cairo, text_x, l->y + font_size * 0.36, margin_width + 0.5, l->source->label);
        /* The line ends on the box's near side, at the label's own height where the box reaches it. */
        double to_x = left ? l->frame.x1 : l->frame.x2;
        double to_y = fmin(fmax(l->y, l->frame.y1), l->frame.y2);
        cairo_set_line_width(cairo, 0.8);
        use_colour(cairo, c, 0.7);
        cairo_move_to(cairo, left ? margin_x + margin_width + 3 : margin_x - 3, l->y);
        cairo_line_to(cairo, edge_x, l->y);
        cairo_line_to(cairo, to_x, to_y);
        cairo_stroke(cairo);
        cairo_arc(cairo, to_x, to_y, 2, 0, 6.2831853);
        cairo_fill(cairo);
    }
}

static double widest_label(const draw_film *film, double font_size) {
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t *cairo = cairo_create(surface);
    use_font(cairo, font_size);
    double widest = 0;
    for (int i = 0; i < film->box_count; i++) {
        const char *label = film->boxes[i].label;
        if (label && *label && utf8_valid(label, strlen(label))) widest = fmax(widest, text_width(cairo, label));
    }
    cairo_destroy(cairo);
    cairo_surface_destroy(surface);
    return widest;
}

/* The overlay's measures, all in canvas pixels. */
typedef struct overlay_layout {
    double font_size, line_height, margin, header, footer, side;
    int lines; /* labels a margin has room for */
} overlay_layout;

static overlay_layout lay_out(const draw_film *film, int side) {
    const image *p = film->picture;
    int longest = p->width > p->height ? p->width : p->height;
    overlay_layout l = {.side = side > 0 ? side : longest < 900 ? 900 : longest > 1600 ? 1600 : longest};
    double height = l.side * p->height / longest;
    int named = 0;
    for (int i = 0; i < film->box_count; i++) named += film->boxes[i].label && film->boxes[i].label[0];
    l.font_size = fmin(fmax(l.side / 75, 11), 20);
    int needed = (named + 1) / 2 + named / 8; /* the two margins are seldom filled alike */
    if (needed > 0) l.font_size = fmax(fmin(l.font_size, height / needed / 1.3), 7);
    l.line_height = l.font_size * 1.3;
    l.lines = (int)(height / l.line_height);
    if (2 * l.lines < named) l.lines = (named + 1) / 2; /* too many for any font that can be read: let them overlap */
    double leader = 3 * PADDING;
    l.margin = named ? fmin(widest_label(film, l.font_size), l.side * 0.5) + leader : PADDING;
    l.header = film->caption ? l.font_size * 2 : PADDING;
    l.footer = l.font_size * 2;
    return l;
}

static carina_status draw_margins(cairo_t *cairo, const draw_film *film, const placement *at, const overlay_layout *l,
                                  carina_error *error) {
    margin_label *labels = calloc((size_t)film->box_count + 1, sizeof *labels);
    if (!labels) return error_memory(error, "labels", (size_t)film->box_count * sizeof *labels);
    int count = 0;
    for (int i = 0; i < film->box_count; i++) {
        const draw_box *b = &film->boxes[i];
        if (!b->label || !b->label[0] || !is_drawable(b) || !utf8_valid(b->label, strlen(b->label))) continue;
        drawn_box frame = on_canvas(at, b->frame);
        labels[count++] = (margin_label){.source = b, .frame = frame, .wanted = (frame.y1 + frame.y2) / 2};
    }
    qsort(labels, (size_t)count, sizeof *labels, compare_middle);
    int left = split_sides(labels, count, at->x + at->width / 2.0, l->lines);
    stack(labels, left, at->y, at->y + at->height, l->line_height);
    stack(labels + left, count - left, at->y, at->y + at->height, l->line_height);
    double text = l->margin - 3 * PADDING;
    draw_labels(cairo, labels, left, true, PADDING, text, at->x - 4, l->font_size);
    draw_labels(cairo, labels + left, count - left, false, at->x + at->width + 2 * PADDING, text, at->x + at->width + 4,
                l->font_size);
    free(labels);
    return CARINA_OK;
}

/* ---- the legend ---- */

#define KEY_LINE 2.2 /* length of its line, in font sizes */

/* Keys side by side from (PADDING, top), in as many rows as `width` asks for; cairo NULL: only counted. */
static int draw_keys(cairo_t *cairo, const draw_film *film, double top, double width, const overlay_layout *l) {
    cairo_surface_t *surface = cairo ? NULL : cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t *on = cairo ? cairo : cairo_create(surface);
    double x = PADDING, line = KEY_LINE * l->font_size, most = width - 2 * PADDING - line;
    int rows = film->key_count > 0;
    use_font(on, l->font_size);
    for (int i = 0; i < film->key_count; i++) {
        const draw_key *key = &film->keys[i];
        char *text = fitted_text(on, key->text, most);
        double taken = line + (text ? text_width(on, text) : 0) + 2 * l->font_size;
        if (x > PADDING && x + taken > width) {
            x = PADDING;
            rows++;
        }
        double y = top + (rows - 1) * l->line_height + l->font_size;
        use_colour(on, visible_colour(key->colour), 1);
        use_line(on, key->line);
        cairo_set_line_width(on, 3);
        cairo_move_to(on, x, y - 0.35 * l->font_size);
        cairo_line_to(on, x + line - 0.5 * l->font_size, y - 0.35 * l->font_size);
        cairo_stroke(on);
        cairo_set_dash(on, NULL, 0, 0);
        if (text) show_text(on, x + line, y, most, text);
        free(text);
        x += taken;
    }
    if (!cairo) cairo_destroy(on);
    if (surface) cairo_surface_destroy(surface);
    return rows;
}

static void draw_footer(cairo_t *cairo, double width, double height, double font_size) {
    use_font(cairo, font_size);
    cairo_set_source_rgb(cairo, 0.75, 0.75, 0.75);
    show_text(cairo, PADDING, height - font_size * 0.6, width - 2 * PADDING, DRAW_FOOTER);
}

carina_status draw_overlay(const char *path, const draw_film *film, int side, carina_error *error) {
    overlay_layout l = lay_out(film, side);
    placement at = place(film, l.margin, l.header, l.side);
    double width = at.width + 2 * l.margin, below = l.header + at.height + 0.5 * l.font_size;
    double height = below + draw_keys(NULL, film, 0, width, &l) * l.line_height + l.footer;
    canvas c;
    carina_status status = canvas_open(&c, width, height, error);
    if (status == CARINA_OK)
        status = paint_picture(c.cairo, film->picture, grey_pixel, at.x, at.y, at.width, at.height, error);
    if (status == CARINA_OK)
        status = paint_picture(c.cairo, film->heat, heat_pixel, at.x, at.y, at.width, at.height, error);
    if (status == CARINA_OK) {
        stroke_boxes(c.cairo, film, &at, fmax(l.side / 550, 1.5));
        status = draw_margins(c.cairo, film, &at, &l, error);
    }
    if (status == CARINA_OK) {
        use_font(c.cairo, l.font_size);
        cairo_set_source_rgb(c.cairo, 0.9, 0.9, 0.9);
        if (film->caption) show_text(c.cairo, PADDING, l.font_size * 1.4, width - 2 * PADDING, film->caption);
        draw_keys(c.cairo, film, below, width, &l);
        draw_footer(c.cairo, width, height, l.font_size * 0.9);
        status = canvas_save(&c, path, error);
    } else {
        error_prefix(error, "%s", path);
    }
    canvas_close(&c);
    return status;
}

carina_status draw_sheet(const char *path, const draw_film *films, int count, int columns, int side, const char *title,
                         carina_error *error) {
    if (count < 1 || columns < 1 || side < 16)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: a sheet of %d films in %d columns of %d pixels", path,
                         count, columns, side);
    if (columns > count) columns = count;
    int rows = (count + columns - 1) / columns;
    double font_size = fmin(fmax(side / 22.0, 9), 16), header = title ? font_size * 2.2 : PADDING;
    double step_x = side + PADDING, step_y = side + font_size * 1.6 + PADDING;
    double width = PADDING + columns * step_x, height = header + rows * step_y + font_size * 2;
    canvas c;
    carina_status status = canvas_open(&c, width, height, error);
    for (int i = 0; status == CARINA_OK && i < count; i++) {
        double x = PADDING + i % columns * step_x, y = header + (double)(i / columns) * step_y;
        placement at = place(&films[i], x, y, side);
        at.x += floor((side - at.width) / 2.0);
        at.y += floor((side - at.height) / 2.0);
        status = paint_picture(c.cairo, films[i].picture, grey_pixel, at.x, at.y, at.width, at.height, error);
        if (status == CARINA_OK)
            status = paint_picture(c.cairo, films[i].heat, heat_pixel, at.x, at.y, at.width, at.height, error);
        if (status != CARINA_OK) break;
        stroke_boxes(c.cairo, &films[i], &at, fmax(side / 400.0, 1));
        use_font(c.cairo, font_size);
        cairo_set_source_rgb(c.cairo, 0.85, 0.85, 0.85);
        if (films[i].caption) show_text(c.cairo, x, y + side + font_size * 1.2, side, films[i].caption);
    }
    if (status == CARINA_OK) {
        use_font(c.cairo, font_size * 1.1);
        cairo_set_source_rgb(c.cairo, 0.95, 0.95, 0.95);
        if (title) show_text(c.cairo, PADDING, font_size * 1.5, width - 2 * PADDING, title);
        draw_footer(c.cairo, width, height, font_size);
        status = canvas_save(&c, path, error);
    } else {
        error_prefix(error, "%s", path);
    }
    canvas_close(&c);
    return status;
}
