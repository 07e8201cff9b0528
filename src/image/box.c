/* Box arithmetic; see box.h. */
#include "image/box.h"

box box_from_normalised(const float normalised[4], float width, float height) {
    float half_width = normalised[2] / 2, half_height = normalised[3] / 2;
    return (box){(normalised[0] - half_width) * width, (normalised[1] - half_height) * height,
                 (normalised[0] + half_width) * width, (normalised[1] + half_height) * height};
}

void box_to_normalised(box b, float width, float height, float normalised[4]) {
    normalised[0] = (b.x1 + b.x2) / 2 / width;
    normalised[1] = (b.y1 + b.y2) / 2 / height;
    normalised[2] = (b.x2 - b.x1) / width;
    normalised[3] = (b.y2 - b.y1) / height;
}

double box_area(box b) {
    double width = (double)b.x2 - (double)b.x1, height = (double)b.y2 - (double)b.y1;
    return width > 0 && height > 0 ? width * height : 0; /* comparisons with NaN are false */
}

box box_intersection(box a, box b) {
    return (box){a.x1 > b.x1 ? a.x1 : b.x1, a.y1 > b.y1 ? a.y1 : b.y1, a.x2 < b.x2 ? a.x2 : b.x2,
                 a.y2 < b.y2 ? a.y2 : b.y2};
}

double box_iou(box a, box b) {
    double shared = box_area(box_intersection(a, b));
    double total = box_area(a) + box_area(b) - shared;
    return total > 0 ? shared / total : 0;
}

box box_mirrored(box b, float width) { return (box){width - b.x2, b.y1, width - b.x1, b.y2}; }
