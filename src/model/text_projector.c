/* The projector of sentences; see text_projector.h. */
#include "model/text_projector.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "text_model."

carina_status text_projector_create(text_projector **out, int width, int hidden, int features, random_state *random,
                                    carina_error *error) {
    *out = NULL;
    text_projector *p = calloc(1, sizeof *p);
    if (!p) return error_memory(error, "projector", sizeof *p);
    *p = (text_projector){.width = width, .hidden = hidden, .features = features};
    model_builder b = {.random = random};
    carina_status status = parameters_create(&p->parameters, error);
    b.set = p->parameters;
    if (status == CARINA_OK) {
        p->layers[0] = linear_create(&b, PREFIX "project_head.proj.0", width, hidden);
        p->layers[1] = linear_create(&b, PREFIX "project_head.proj.2", hidden, features);
        if (b.failed) status = error_memory(error, "projector", (uint64_t)hidden * sizeof(float));
    }
    if (status != CARINA_OK) {
        text_projector_free(p);
        return status;
    }
    *out = p;
    return CARINA_OK;
}

void text_projector_free(text_projector *p) {
    if (!p) return;
    parameters_free(p->parameters);
    free(p);
}

tensor *text_projector_record(graph *g, const text_projector *p, tensor *pooled) {
    return linear_record(g, &p->layers[1], linear_record(g, &p->layers[0], pooled, ACTIVATION_RELU), ACTIVATION_NONE);
}

carina_status text_projector_attach(const text_projector *p, bert **model, carina_error *error) {
    bert *with;
    bert_config c = (*model)->config;
    if (c.width != p->width)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "the projector takes vectors of %d numbers, the text encoder's have %d", p->width, c.width);
    c.projector_width = p->hidden;
    c.feature_size = p->features;
    TRY(bert_create_empty(&with, &c, error));
    for (int i = 0; i < with->parameters->count; i++) {
        parameter *to = with->parameters->items[i];
        const parameter *from = parameters_find((*model)->parameters, to->name);
        for (int k = 0; k < p->parameters->count; k++) /* its own, whatever the encoder had */
            if (strcmp(p->parameters->items[k]->name + strlen(PREFIX), to->name) == 0) from = p->parameters->items[k];
        memcpy(to->value, from->value, (size_t)to->count * sizeof *to->value);
    }
    bert_free(*model);
    *model = with;
    return CARINA_OK;
}
