/* Pictures for people: a film with named boxes, and sheets of films. PNG out, through cairo.
 *
 * Labels stand in margins beside the film, each joined to its box by a thin line, so that 36 names stay legible and
 * cover nothing. Every picture ends with the line that says what Carina is not.
 */
#ifndef IMAGE_DRAW_H
#define IMAGE_DRAW_H

#include "image/image.h"

/* PNG's textual data by which a picture of Carina's is known: in its first bytes, between a length and a checksum. */
#define DRAW_MARK "tEXtSoftware\0Carina"

#define DRAW_FOOTER "Carina: research software, not a medical device"

typedef enum draw_line {
    DRAW_SOLID,
    DRAW_DASHED,
    DRAW_DOTTED,
} draw_line;

typedef struct draw_box {
    box frame;         /* in file pixels (see draw_film) */
    const char *label; /* UTF-8, borrowed; NULL or "": a box without a name */
    unsigned colour;   /* 0xRRGGBB; dark ones are lightened until they show on a film */
    draw_line line;
} draw_box;

typedef struct draw_key { /* of the legend: a short line, and what it means */
    const char *text;     /* borrowed */
    unsigned colour;
    draw_line line;
} draw_key;

typedef struct draw_film {
    const image *picture;        /* pixels square, borrowed */
    int file_width, file_height; /* the frame boxes are in; 0: the picture's own pixels */
    const image *heat;           /* over the whole picture, any size, borrowed; 0 is clear, 1 glows; NULL: none */
    const draw_box *boxes;       /* borrowed, drawn in order */
    int box_count;
    const draw_key *keys; /* borrowed; below an overlay, in rows */
    int key_count;
    const char *caption; /* one line, cut to the width with an ellipsis; NULL: none */
} draw_film;

/* One film, its longer side drawn `side` pixels long (0: as large as it is, but at least 900 and at most 1600). */
carina_status draw_overlay(const char *path, const draw_film *film, int side, carina_error *error);

/* `count` films in rows of `columns`, each within a square of `side` pixels, caption below, boxes without names. */
carina_status draw_sheet(const char *path, const draw_film *films, int count, int columns, int side, const char *title,
                         carina_error *error);

#endif
