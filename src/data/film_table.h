/* The index of a Chest ImaGenome / MIMIC-CXR-JPG folder: one small row per film, joined from the CSV files.
 *
 * Only what is needed to find a film and to know its labels is kept (about 150 bytes a film); boxes and pixels stay on
 * disk until a sample is read.
 */
#ifndef DATA_FILM_TABLE_H
#define DATA_FILM_TABLE_H

#include "data/dataset.h"
#include "data/string_index.h"

#define FILM_TABLE_BLANK 2 /* a label that the file leaves empty */

typedef struct film_row {
    const char *id;              /* dicom_id without extension; borrowed from the table */
    const char *patient, *study; /* without leading p and s; borrowed */
    char view[8];
    uint16_t rows, columns;           /* 0 unknown */
    int8_t labels[ATLAS_LABEL_COUNT]; /* 1, 0, -1 or FILM_TABLE_BLANK */
    bool dropped;                     /* by the avoid list or the other split */
} film_row;

typedef struct film_table {
    film_row *rows;
    uint64_t count, room;
    string_index *films; /* id -> row */
    string_index *names; /* patients, studies: one copy of each text */
    char *silver_folder, *image_folder;
    bool nested_graphs; /* scene_graph/scene_graph */
} film_table;

/* Reads all the tables. On failure *out is empty. */
carina_status film_table_open(film_table *out, const dataset_config *config, carina_error *error);
void film_table_free(film_table *table); /* accepts NULL and an empty table */

#endif
