/* The sentence database in memory: for each region, the sentences that training films said of it, with their embedding
 * in the space of the region features (arXiv 2601.03191, "Sentence database"), and exact search among them.
 *
 * Built once (create, add ..., finish), then const: any number of threads may search. Rows of a region lie in the order
 * of their sentences' bytes; embeddings are of length 1, so a similarity is a cosine. A search ranks by the cosine, or
 * by cosine + weight * log prior: how often the region's sentence is said (docs/sentence-database.md, "The ranking").
 * On disk: index/index_file.h.
 */
#ifndef INDEX_SENTENCE_INDEX_H
#define INDEX_SENTENCE_INDEX_H

#include "atlas/atlas.h"
#include "base/threads.h"
#include "index/similarity.h"

#define SENTENCE_INDEX_MAX_WIDTH 4096
#define SENTENCE_INDEX_MAX_K     1024
#define SENTENCE_INDEX_MAX_ROWS  (1u << 28) /* of one region */
#define SENTENCE_INDEX_MAX_TEXT  65536      /* bytes of any text, the NUL not counted */

/* Where an index comes from. All "" where not known; borrowed by create (copied), owned by the index afterwards. */
typedef struct sentence_index_info {
    const char *model;               /* what the model is called: for people */
    const char *model_fingerprint;   /* 16 hexadecimal digits (model/model_fingerprint.h) */
    const char *encoder;             /* what the text encoder is called: for people */
    const char *encoder_fingerprint; /* whatever tells text encoders apart */
    const char *region_set;          /* name of the region set; set by create */
    const char *source, *split;      /* the data sets (type=path) and the parts of them that were read */
    const char *films;               /* how many, in digits */
    const char *data_fingerprint;
    const char *made_by; /* version and commit of Carina; set by create */
} sentence_index_info;
#define SENTENCE_INDEX_INFO_FIELDS (sizeof(sentence_index_info) / sizeof(const char *))

typedef struct sentence_entry {
    const char *text;  /* the sentence */
    uint64_t seen;     /* how many films say it */
    const char *place; /* where it was seen first: "SPLIT/FILM", such as "train/902f2bbf-9c349c7b" */
} sentence_entry;

typedef struct sentence_region {
    const char *name, *display; /* "right lung", "Right lung" */
    uint64_t count;
    const sentence_entry *entries; /* [count] */
    const float *blocks; /* [count / 16 rounded up][width][16], see similarity.h; 64-byte aligned, NULL when empty */
    const float *log_priors; /* [count] log of the share of the region's films that say it; NULL when empty */
} sentence_region;

typedef struct sentence_index sentence_index;

/* ---- building ---- */

/* regions: names are copied. width: numbers of an embedding. */
carina_status sentence_index_create(sentence_index **out, const atlas *regions, const sentence_index_info *info,
                                    int width, carina_error *error);
/* Copies the entry and its embedding [width], of any length above 0. Refused: an empty text, a control character in
 * one, numbers that are not finite, a zero vector. */
carina_status sentence_index_add(sentence_index *index, int region, const sentence_entry *entry, const float *embedding,
                                 carina_error *error);
/* Sorts, and makes the matrices and priors (a count of 0 is taken for 1). A sentence given twice for a region is
 * CARINA_ERROR_MISMATCH. */
carina_status sentence_index_finish(sentence_index *index, carina_error *error);
void sentence_index_free(sentence_index *index); /* accepts NULL */

/* ---- looking (of a finished index) ---- */

const sentence_index_info *sentence_index_origin(const sentence_index *index);
int sentence_index_width(const sentence_index *index);
int sentence_index_regions(const sentence_index *index);
const sentence_region *sentence_index_region(const sentence_index *index, int region);
uint64_t sentence_index_total(const sentence_index *index); /* sentences of all regions */
uint64_t sentence_index_most(const sentence_index *index);  /* of the region with the most, at least 1: for scratch */
/* The embedding of a row, of length 1, into out [width]. */
void sentence_index_vector(const sentence_index *index, int region, uint64_t row, float *out);
/* Of all regions' names, sentences and embeddings: tells databases apart, whatever file they lie in. */
uint64_t sentence_index_fingerprint(const sentence_index *index);
/* The row of a sentence, -1 when the region has none such. */
int64_t sentence_index_find(const sentence_index *index, int region, const char *text);

/* ---- what it may be used with ---- */

typedef struct sentence_index_use {
    const atlas *regions;            /* NULL: any; else names and order must be the same */
    const char *model_fingerprint;   /* NULL: any */
    const char *encoder_fingerprint; /* NULL: any */
    int width;                       /* 0: any */
} sentence_index_use;

/* CARINA_ERROR_MISMATCH that says what differs; name is the index's in the message. */
carina_status sentence_index_check(const sentence_index *index, const char *name, const sentence_index_use *use,
                                   carina_error *error);

/* ---- searching ---- */

/* The k rows of a region with the highest score, similarity to query [width] (of any length above 0) + weight * log
 * prior, into hits [k], *count of them: k, or all rows when there are fewer. Falling score; equal ones by row. weight:
 * 0 or more; with 0 the score is the similarity. k is 1 .. SENTENCE_INDEX_MAX_K. pool may be NULL. */
carina_status sentence_index_search(const sentence_index *index, thread_pool *pool, int region, const float *query,
                                    float weight, int k, similarity_hit *hits, int *count, carina_error *error);

/* The same for one query per region: queries [regions, width] -> hits [regions, k], counts [regions]. */
carina_status sentence_index_search_all(const sentence_index *index, thread_pool *pool, const float *queries,
                                        float weight, int k, similarity_hit *hits, int *counts, carina_error *error);

/* The similarities of all rows of a region, out [count of rows]. */
carina_status sentence_index_similarities(const sentence_index *index, int region, const float *query, float *out,
                                          carina_error *error);
/* The scores that a search ranks by, of similarities [count of rows]; out may be the same array. */
void sentence_index_scores(const sentence_index *index, int region, const float *similarities, float weight,
                           float *out);

/* ---- where embeddings come from ---- */

/* Text in, vector out: what makes the embeddings of a new index. */
typedef struct sentence_embedder {
    void *context;
    int width;
    const char *name, *fingerprint; /* of the text encoder; borrowed from it */
    /* texts [count] -> out [count, width] */
    carina_status (*embed)(void *context, const char *const *texts, uint64_t count, float *out, carina_error *error);
} sentence_embedder;

#endif
