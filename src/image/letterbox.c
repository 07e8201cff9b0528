/* Letterbox and its coordinate maps; see letterbox.h. */
#include "image/letterbox.h"

#include "image/resize.h"

letterbox_transform letterbox_make(int file_width, int file_height, int width, int height) {
    letterbox_transform t = {.file_width = file_width, .file_height = file_height, .width = width, .height = height};
    t.side = width > height ? width : height;
    t.left = (t.side - width) / 2;
    t.top = (t.side - height) / 2;
    return t;
}

carina_status letterbox_apply(float *out, int size, const image *film, carina_error *error) {
    letterbox_transform t = letterbox_make(film->width, film->height, film->width, film->height);
    return resize_canvas(out, size, size, film, t.side, t.side, t.left, t.top, error);
}

static double to_square(double file, int file_length, int length, int before, int side) {
    return (file * length / file_length + before) / side;
}

static float to_file(double square, int file_length, int length, int before, int side) {
    double file = (square * side - before) * file_length / length;
    return (float)(file > 0 ? (file < file_length ? file : file_length) : 0); /* NaN becomes 0 */
}

void letterbox_from_file(const letterbox_transform *t, box file_box, float normalised[4]) {
    double x1 = to_square((double)file_box.x1, t->file_width, t->width, t->left, t->side);
    double x2 = to_square((double)file_box.x2, t->file_width, t->width, t->left, t->side);
    double y1 = to_square((double)file_box.y1, t->file_height, t->height, t->top, t->side);
    double y2 = to_square((double)file_box.y2, t->file_height, t->height, t->top, t->side);
    normalised[0] = (float)((x1 + x2) / 2);
    normalised[1] = (float)((y1 + y2) / 2);
    normalised[2] = (float)(x2 - x1);
    normalised[3] = (float)(y2 - y1);
}

box letterbox_to_file(const letterbox_transform *t, const float normalised[4]) {
    double cx = (double)normalised[0], cy = (double)normalised[1];
    double half_width = (double)normalised[2] / 2, half_height = (double)normalised[3] / 2;
    box file_box;
    file_box.x1 = to_file(cx - half_width, t->file_width, t->width, t->left, t->side);
    file_box.x2 = to_file(cx + half_width, t->file_width, t->width, t->left, t->side);
    file_box.y1 = to_file(cy - half_height, t->file_height, t->height, t->top, t->side);
    file_box.y2 = to_file(cy + half_height, t->file_height, t->height, t->top, t->side);
    return file_box;
}
