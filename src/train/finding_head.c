/* The training-only classifier of findings; see finding_head.h. */
#include "train/finding_head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/sentence_findings.h"
#include "base/cursor.h"
#include "model/model_file.h"

/* A finding of one region in a hundred, about what is usual: from even odds the first steps would be all about this. */
#define USUAL_LOGIT (-4.6f)
/* Of one patch's evidence, where dozens are in a box. */
#define USUAL_EVIDENCE_LOGIT (-9.0f)

/* Says the usual of everything: what the model has learned is not pulled about by random weights. */
static linear_layer create_layer(model_builder *b, const char *name, int width, int count, float usual) {
    linear_layer layer = linear_create(b, name, width, count);
    if (b->failed) return layer;
    parameter_fill(layer.weight, 0);
    parameter_fill(layer.bias, usual);
    layer.weight->optional = layer.bias->optional = true; /* in the file that a run starts from */
    return layer;
}

static carina_status list_names(finding_head *h, carina_error *error) {
    h->count = sentence_finding_names(h->names, h->regions);
    if (h->count > 0) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "the region set %s names no findings", h->regions->name);
}

carina_status finding_head_create(finding_head **out, const atlas *regions, int width, bool patches, bool masks,
                                  random_state *random, carina_error *error) {
    *out = NULL;
    finding_head *h = calloc(1, sizeof *h);
    if (!h) return error_memory(error, "finding head", sizeof *h);
    h->regions = regions;
    model_builder b = {.random = random};
    carina_status status = list_names(h, error);
    if (status == CARINA_OK) status = parameters_create(&h->parameters, error);
    if (status == CARINA_OK) {
        b.set = h->parameters;
        h->layer = create_layer(&b, "finding_head", width, h->count, USUAL_LOGIT);
        if (patches) h->patch_layer = create_layer(&b, "patch_finding_head", width, h->count, USUAL_EVIDENCE_LOGIT);
        if (masks) h->mask_layer = create_layer(&b, "patch_mask_head", width, h->count, USUAL_LOGIT);
        if (b.failed) status = error_memory(error, "finding head", (uint64_t)width * sizeof(float));
    }
    if (status != CARINA_OK) {
        finding_head_free(h);
        return status;
    }
    *out = h;
    return CARINA_OK;
}

void finding_head_free(finding_head *h) {
    if (!h) return;
    parameters_free(h->parameters);
    free(h->named);
    free(h);
}

static bool is_zero(const parameter *p) {
    for (int64_t i = 0; i < p->count; i++)
        if (p->value[i] != 0) return false;
    return true;
}

carina_status finding_head_load(finding_head *h, const char *path, carina_error *error) {
    TRY(model_file_load_parameters(h->parameters, path, error));
    linear_layer *shown = &h->mask_layer, *told = &h->patch_layer;
    if (!shown->weight || !told->weight || !is_zero(shown->weight) || is_zero(told->weight)) return CARINA_OK;
    memcpy(shown->weight->value, told->weight->value, (size_t)told->weight->count * sizeof(float));
    memcpy(shown->bias->value, told->bias->value, (size_t)told->bias->count * sizeof(float));
    parameters_changed(h->parameters);
    return CARINA_OK;
}

carina_status finding_head_read(finding_head *h, const sentence_vectors *v, carina_error *error) {
    uint64_t bytes;
    if (!size_multiply(v->count + 1, (uint64_t)h->count, &bytes) || !(h->named = calloc((size_t)bytes, 1)))
        return error_memory(error, "findings of sentences", v->count);
    for (uint64_t i = 0; i < v->count; i++) {
        sentence_finding findings[SENTENCE_FINDINGS];
        const char *object = h->regions->regions[v->region[i]].display_name;
        int count = sentence_findings_parse(findings, v->texts[i], object, h->regions);
        for (int k = 0; k < count; k++) {
            int name = sentence_finding_find(h->names, h->count, findings[k].name, findings[k].length);
            if (name >= 0) h->named[i * (uint64_t)h->count + (uint64_t)name] = 1;
        }
    }
    return CARINA_OK;
}

void finding_head_targets(const finding_head *h, const uint32_t *number, int64_t rows, float *targets) {
    for (int64_t i = 0; i < rows; i++, targets += h->count)
        for (int k = 0; k < h->count; k++)
            targets[k] = number[i] == SENTENCE_VECTORS_NONE
                             ? NAN
                             : (float)h->named[number[i] * (uint64_t)h->count + (uint64_t)k];
}

tensor *finding_head_record(graph *g, const finding_head *h, const apm_outputs *out, tensor *boxes, tensor *targets) {
    tensor *logits = linear_record(g, &h->layer, out->gathered, ACTIVATION_NONE);
    tensor *loss = op_binary_cross_entropy(g, logits, targets);
    if (h->patch_layer.weight) {
        tensor *patches = linear_record(g, &h->patch_layer, out->patch_features, ACTIVATION_NONE);
        tensor *evidence = op_box_evidence(g, patches, boxes, out->patch_rows, out->patch_columns);
        loss = op_add(g, loss, op_binary_cross_entropy(g, evidence, targets));
    }
    return op_scale(g, loss, (float)h->count); /* from mean to sum */
}

tensor *finding_head_record_masks(graph *g, const finding_head *h, const apm_outputs *out, tensor *targets) {
    return op_binary_cross_entropy(g, linear_record(g, &h->mask_layer, out->patch_features, ACTIVATION_NONE), targets);
}
