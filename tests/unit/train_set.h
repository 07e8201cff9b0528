/* A tiny annotated set in the NIH form for the tests of training: 16 films of 64 x 64 pixels, each a bright heart and a
 * dark right lung at places that vary, made in `folder`. */
#ifndef TRAIN_SET_H
#define TRAIN_SET_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "format/png.h"

enum { TRAIN_SET_FILMS = 16, TRAIN_SET_SIDE = 64 };

static inline void train_set_film(uint8_t *pixels, random_state *random, int heart[4], int lung[4]) {
    int shift = (int)random_below(random, 12);
    for (int i = 0; i < TRAIN_SET_SIDE * TRAIN_SET_SIDE; i++) pixels[i] = (uint8_t)(100 + random_below(random, 20));
    const int edges[2][4] = {{28 + shift, 30, 48 + shift, 50}, {4 + shift, 8 + shift / 2, 22 + shift, 52}};
    memcpy(heart, edges[0], sizeof edges[0]);
    memcpy(lung, edges[1], sizeof edges[1]);
    for (int k = 0; k < 2; k++)
        for (int y = edges[k][1]; y < edges[k][3]; y++)
            for (int x = edges[k][0]; x < edges[k][2]; x++) pixels[y * TRAIN_SET_SIDE + x] = k ? 20 : 240;
}

static inline carina_status train_set_write(const char *folder, uint64_t seed, carina_error *error) {
    char path[600], *annotations = NULL, *boxes = NULL;
    size_t size;
    uint8_t pixels[TRAIN_SET_SIDE * TRAIN_SET_SIDE];
    snprintf(path, sizeof path, "%s/images", folder);
    TRY(file_make_folders(path, error));
    FILE *a = open_memstream(&annotations, &size), *b = open_memstream(&boxes, &size);
    fprintf(a, "{\"images\": [");
    fprintf(b, "{\"frame\": %d, \"images\": [", TRAIN_SET_SIDE);
    for (int i = 0; i < TRAIN_SET_FILMS; i++) {
        int heart[4], lung[4];
        random_state random = random_stream(seed, (uint64_t)i);
        train_set_film(pixels, &random, heart, lung);
        snprintf(path, sizeof path, "%s/images/film%02d.png", folder, i);
        TRY(png_save_grey8(path, pixels, TRAIN_SET_SIDE, TRAIN_SET_SIDE, error));
        fprintf(a, "%s{\"image\": \"film%02d.png\", \"patient\": \"p%d\", \"view\": \"%s\", \"labels\": [%s]}",
                i ? "," : "", i, i, i % 2 ? "PA" : "AP", i % 3 ? "" : "\"Effusion\"");
        fprintf(b, "%s{\"image\": \"film%02d.png\", \"boxes\": {\"cardiac silhouette\": [%d, %d, %d, %d]", i ? "," : "",
                i, heart[0], heart[1], heart[2], heart[3]);
        if (i != 5) fprintf(b, ", \"right lung\": [%d, %d, %d, %d]", lung[0], lung[1], lung[2], lung[3]);
        fprintf(b, "}, \"unsure\": []}");
    }
    fputs("]}", a), fputs("]}", b);
    fclose(a), fclose(b);
    snprintf(path, sizeof path, "%s/annotations.json", folder);
    TRY(file_write(path, annotations, strlen(annotations), error));
    snprintf(path, sizeof path, "%s/anatomy-boxes.json", folder);
    TRY(file_write(path, boxes, strlen(boxes), error));
    free(annotations), free(boxes);
    return CARINA_OK;
}

#endif
