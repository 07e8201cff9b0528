/* The sentences that a text encoder learns from, and what each says of where.
 *
 * From data sets (chest_imagenome): each region's sentence (data/region_sentence.h), each phrase of the report with
 * what the scene graph says of it, and on request the reports' own sentences; and plain text files, one sentence a
 * line. A text is kept once. The first place decides what it means.
 *
 * Meaning is a vector over features: "yes NAME" and "no NAME" for each finding that is affirmed or denied, "healthy",
 * each of weight 1, and the regions, together of weight region_weight. Two meanings' cosine is how much they overlap:
 * the soft target of similarity. Sentences whose features are the same form a group: the same in other words. Sentences
 * of reports and plain files have no meaning and only teach words.
 */
#ifndef TRAIN_TEXT_CORPUS_H
#define TRAIN_TEXT_CORPUS_H

#include "text/wordpiece.h"
#include "train/train_config.h"

#define TEXT_CORPUS_FEATURES 64 /* of one sentence; more are left out */

typedef struct text_sentence {
    char *text;
    uint32_t *features;                   /* [feature_count], sorted */
    uint16_t feature_count, region_count; /* region_count of the features are regions */
    uint32_t group;                       /* UINT32_MAX: no meaning */
    int *tokens;                          /* [token_count], without [CLS] and [SEP]; text_corpus_tokenise */
    int token_count;
} text_sentence;

/* Sentences of a kind, and their groups laid end to end. */
typedef struct text_part {
    uint32_t begin, end;   /* of sentences */
    uint32_t *members;     /* sentences with a meaning, group by group */
    uint32_t *group_begin; /* [group_count + 1] into members */
    uint32_t group_count, member_count;
} text_part;

typedef struct text_corpus {
    text_sentence *sentences;
    uint32_t count, room;
    uint32_t feature_count; /* k */
    char *kind;             /* [k] 'y' affirmed, 'n' denied, 'h' healthy, 'r' a region */
    uint32_t *opposite;     /* [k] what affirms the finding that this denies, or denies it; UINT32_MAX: none */
    float region_weight;
    text_part train, validation; /* validation: those that training does not have */
    uint64_t fingerprint;
    struct text_corpus_tables *tables; /* while it is read */
} text_corpus;

/* Reads everything that the configuration names. An interrupt is CARINA_ERROR_CANCELLED. */
carina_status text_corpus_read(text_corpus *out, const train_config *config, carina_error *error);
void text_corpus_free(text_corpus *corpus); /* accepts an empty one */

/* The vocabulary of the training sentences. */
carina_status text_corpus_vocabulary(const text_corpus *corpus, int size, int min_frequency, vocabulary *out,
                                     carina_error *error);
/* Cuts every sentence into at most `most` tokens. */
carina_status text_corpus_tokenise(text_corpus *corpus, const wordpiece *words, int most, carina_error *error);

/* A sentence's meaning as a dense row [k]; zeros without one. */
void text_corpus_meaning(const text_corpus *corpus, uint32_t sentence, float *row);

#endif
