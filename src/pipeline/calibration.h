/* From image logits to probabilities and yes or no, and from cosines to probabilities of sentences: what was fitted on
 * a validation set (eval/calibrate.h, eval/sentence_fit.h), kept in the model's file.
 *
 * Metadata key "calibration" of a model file, a JSON object with one number for each image label, in their order:
 *     {"temperature": [1.3, null, ...], "threshold": [0.21, null, ...], "fitted_on": "chest_imagenome=data valid, ..."}
 * probability = sigmoid(logit / temperature), present when probability >= threshold. temperature is within 0.01 and
 * 100, threshold within 0 and 1; both are null for a label that could not be fitted; fitted_on may be missing. Such a
 * label, and all of a model without the key: temperature 1, threshold 0.5, "uncalibrated".
 *
 * Beside these, when it was fitted with a sentence database,
 *     "sentences": {"temperature": 0.012, "prior_exponent": 0.9, "healthy_discount": 0.7, "finding_worth": 0.5,
 *                   "findings": [{"name": "picc", "cut": 0.2, "weight": 3.1}, ...],
 *                   "text_encoder_fingerprint": "...", "fitted_on": "..."}
 * p(sentence | region) = softmax over the region's sentences of (cosine / temperature + prior_exponent * log prior);
 * what the other numbers are: pipeline/sentence_ranking.h. temperature is within 0.0001 and 10, prior_exponent within 0
 * and 4, healthy_discount within 0 and 20, finding_worth within 0 and 1000, cut within 0 and 1, weight within 0 and
 * 1e6; all from healthy_discount on may be missing. A model without it: sentences are ranked by cosine.
 */
#ifndef PIPELINE_CALIBRATION_H
#define PIPELINE_CALIBRATION_H

#include <stdbool.h>

#include "model/model_file.h"

#define CALIBRATION_KEY               "calibration"
#define CALIBRATION_MAX_LABELS        1024
#define CALIBRATION_LEAST_TEMPERATURE 0.01
#define CALIBRATION_MOST_TEMPERATURE  100.0

#define CALIBRATION_LEAST_SENTENCE_TEMPERATURE 0.0001
#define CALIBRATION_MOST_SENTENCE_TEMPERATURE  10.0
#define CALIBRATION_MOST_PRIOR_EXPONENT        4.0
#define CALIBRATION_MOST_HEALTHY_DISCOUNT      20.0
#define CALIBRATION_MOST_FINDING_WORTH         1000.0
#define CALIBRATION_MOST_FINDING_WEIGHT        1e6
#define CALIBRATION_MAX_FINDINGS               256

typedef struct finding_calibration {
    char name[100];
    float cut, weight; /* the probability from which on naming it pays, and how much */
} finding_calibration;

typedef struct sentence_calibration {
    bool fitted;
    float temperature, prior_exponent;
    float healthy_discount, finding_worth; /* d and v of pipeline/sentence_ranking.h */
    int finding_count;
    finding_calibration findings[CALIBRATION_MAX_FINDINGS];
    char encoder[64]; /* fingerprint of the text encoder whose cosines these are; "" not known */
    char fitted_on[200];
} sentence_calibration;

typedef struct calibration {
    bool fitted; /* at least one label is */
    bool label_fitted[CALIBRATION_MAX_LABELS];
    char fitted_on[200];
    int label_count;
    float temperature[CALIBRATION_MAX_LABELS], threshold[CALIBRATION_MAX_LABELS];
    sentence_calibration sentences;
} calibration;

/* Temperature 1 and threshold 0.5 for all; no sentences. */
void calibration_clear(calibration *out, int label_count);

/* path: of the model, for messages. A calibration that makes no sense is CARINA_ERROR_FORMAT, never passed over. */
carina_status calibration_read(calibration *out, const model_file *model, const char *path, carina_error *error);

/* The sentences' part alone. */
carina_status calibration_read_sentences(sentence_calibration *out, const model_file *model, const char *path,
                                         carina_error *error);

/* From the metadata's text; name is used in messages. */
carina_status calibration_parse(calibration *out, const char *text, int label_count, const char *name,
                                carina_error *error);
/* The metadata's text; *out is malloc'ed. */
carina_status calibration_text(char **out, const calibration *c, carina_error *error);

float calibration_probability(const calibration *c, int label, float logit);

/* "Atelectasis" of the 14 CheXpert labels; of other models NULL. Borrowed. */
const char *calibration_label(const calibration *c, int label);

#endif
