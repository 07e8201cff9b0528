/* Opening a data set by its name in a configuration, and calling it without knowing which one it is.
 *
 *     dataset_config wanted = {.type = "chest_imagenome", .annotations = "...", .images = "...", .split = "train"};
 *     dataset *set;
 *     TRY(dataset_open(&set, &wanted, atlas_anatomix36(), error));
 */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "data/sample.h"

typedef struct dataset_config {
    const char *type;        /* one of dataset_type_name() */
    const char *annotations; /* chest_imagenome: folder with silver_dataset/ (or silver_dataset itself);
                                nih_boxes, nih_films: folder with annotations.json */
    const char *images;      /* chest_imagenome: folder with files/ and mimic-cxr-2.0.0-*.csv[.gz]; NULL: `annotations`.
                                nih: folder of the PNGs; NULL: `annotations`/images */
    const char *split;       /* chest_imagenome: "train", "valid", "test" or "all"; NULL: "train" */
    uint64_t limit;          /* keep only the first so many films; 0: all */
    bool keep_avoided;       /* chest_imagenome: keep the films of images_to_avoid.csv (the gold set's patients) */
    bool own_split_only;     /* chest_imagenome: do not ask that MIMIC-CXR's split file agrees with the split wanted */
    bool masks;              /* samples read with film carry the masks of their findings, where the set has some
                                (dataset.has_masks); refused by types that never have */
    bool sentences;          /* samples carry the sentence of each present region; refused by sets that have none */
} dataset_config;

/* `regions` is borrowed and must outlive the set. An unknown type is an error that names the known ones. */
carina_status dataset_open(dataset **out, const dataset_config *config, const atlas *regions, carina_error *error);
void dataset_free(dataset *d); /* accepts NULL */

uint64_t dataset_count(const dataset *d);
carina_status dataset_read(const dataset *d, uint64_t index, bool with_film, sample *out, carina_error *error);
uint64_t dataset_fingerprint(const dataset *d);

const char *dataset_type_name(int index); /* 0, 1, ...; NULL past the last */

/* Do the films of such a set say something of their regions? */
bool dataset_has_sentences(const char *type);

/* Can such a set tell where on a film its findings are? */
bool dataset_has_masks(const char *type);

/* Has anybody read some of such films for lung opacity? */
bool dataset_has_opacity(const char *type);

/* Is there such a type, such a split ("train", "valid", "test", "all")? If not, *error says what there is. */
carina_status dataset_check_type(const char *type, carina_error *error);
carina_status dataset_check_split(const char *split, carina_error *error);
bool dataset_has_splits(const char *type); /* false: a split that is asked for means nothing, all films are read */

/* 64-bit FNV-1a, for fingerprints: start from DATASET_HASH_START. */
#define DATASET_HASH_START 0xcbf29ce484222325ULL
uint64_t dataset_hash(uint64_t hash, const void *data, uint64_t size);

#endif
