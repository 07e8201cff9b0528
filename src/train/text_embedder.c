/* A text encoder behind the interface of sentence_embedder; see text_embedder.h. */
#include "train/text_embedder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_fingerprint.h"

typedef struct embedder_state {
    text_encoder encoder;
    uint64_t cut;
    char name[256], print[FINGERPRINT_TEXT];
} embedder_state;

static uint64_t fingerprint_of(const text_encoder *encoder, const parameters *weights) {
    const wordpiece *w = &encoder->tokens;
    fingerprint f = fingerprint_start();
    fingerprint_add_number(&f, model_fingerprint(weights));
    for (int i = 0; i < w->words.count; i++) fingerprint_add_text(&f, vocabulary_token(&w->words, i));
    fingerprint_add_number(&f, (uint64_t)w->options.lower_case | (uint64_t)w->options.strip_accents << 1 |
                                   (uint64_t)w->options.split_cjk << 2);
    return fingerprint_value(&f);
}

uint64_t text_encoder_fingerprint(const text_encoder *encoder) {
    return fingerprint_of(encoder, encoder->model->parameters);
}

uint64_t text_encoder_bare_fingerprint(const text_encoder *encoder) {
    parameters bare = *encoder->model->parameters; /* the projector's come last */
    while (bare.count > 0 && strncmp(bare.items[bare.count - 1]->name, "project_head.", 13) == 0) bare.count--;
    return fingerprint_of(encoder, &bare);
}

/* The model's projector, if the encoder is the one that it was trained for. */
static carina_status attach(text_encoder *encoder, const char *folder, const text_projector *trained,
                            carina_error *error) {
    char print[FINGERPRINT_TEXT];
    fingerprint_text(print, text_encoder_bare_fingerprint(encoder));
    if (*trained->encoder && strcmp(print, trained->encoder) != 0)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: text encoder %s, but the model was trained with text encoder %s", folder, print,
                         trained->encoder);
    carina_status status = text_projector_attach(trained, &encoder->model, error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s", folder);
}

static carina_status embed(void *context, const char *const *texts, uint64_t count, float *out, carina_error *error) {
    embedder_state *state = context;
    uint64_t cut = 0;
    text_span *spans = malloc((size_t)count * sizeof *spans);
    if (!spans) return error_memory(error, "sentences", count * sizeof *spans);
    for (uint64_t i = 0; i < count; i++) spans[i] = (text_span){texts[i], strlen(texts[i])};
    carina_status status = text_encoder_encode(&state->encoder, spans, count, NULL, out, &cut, NULL, error);
    state->cut += cut;
    free(spans);
    return status;
}

carina_status text_embedder_open(sentence_embedder *out, const char *folder, const text_encoder_options *options,
                                 const text_projector *trained, carina_error *error) {
    *out = (sentence_embedder){0};
    embedder_state *state = calloc(1, sizeof *state);
    if (!state) return error_memory(error, folder, sizeof *state);
    out->context = state;
    carina_status status = text_encoder_load(&state->encoder, folder, options, error);
    if (status == CARINA_OK && trained) status = attach(&state->encoder, folder, trained, error);
    if (status == CARINA_OK && state->encoder.model->config.feature_size < 1)
        status =
            error_set(error, CARINA_ERROR_MISMATCH,
                      "%s: a text encoder without a projector gives no vectors that region features could be compared "
                      "with; --projector FILE adds one",
                      folder);
    if (status != CARINA_OK) {
        text_embedder_close(out);
        return status;
    }
    snprintf(state->name, sizeof state->name, "%.255s", folder);
    fingerprint_text(state->print, text_encoder_fingerprint(&state->encoder));
    *out = (sentence_embedder){state, state->encoder.model->config.feature_size, state->name, state->print, embed};
    return CARINA_OK;
}

void text_embedder_close(sentence_embedder *embedder) {
    embedder_state *state = embedder->context;
    if (!state) return;
    text_encoder_free(&state->encoder);
    free(state);
    *embedder = (sentence_embedder){0};
}

uint64_t text_embedder_cut(const sentence_embedder *embedder) { return ((embedder_state *)embedder->context)->cut; }
