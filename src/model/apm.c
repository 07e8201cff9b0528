/* The Anatomy Perception Module: parameters and forward pass; see apm.h. */
#include "model/apm.h"

#include <math.h>
#include <stdlib.h>

#define ENCODER_PREFIX "backbone.0.body."

apm_config apm_config_published(void) {
    return (apm_config){
        .backbone = {.depth = 50, .width = 1.0, .norm = RESNET_FROZEN},
        .model_width = 256,
        .heads = 4,
        .encoder_layers = 4,
        .decoder_layers = 4,
        .ffn_width = 1024,
        .region_count = 36,
        .feature_size = 16,
        .feature_heads = 2,
        .label_count = 14,
        .image_height = 1024,
        .image_width = 1024,
        .dropout = 0.1f,
        .vit = vit_config_small(),
    };
}

static carina_status check_range(const char *name, int value, int low, int high, carina_error *error) {
    if (value >= low && value <= high) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "%s: %d is not within %d to %d", name, value, low, high);
}

static carina_status check_config(const apm_config *c, carina_error *error) {
    TRY(check_range("model_width", c->model_width, 4, 4096, error));
    TRY(check_range("heads", c->heads, 1, 64, error));
    TRY(check_range("feature_heads", c->feature_heads, 1, 64, error));
    TRY(check_range("encoder_layers", c->encoder_layers, 1, DETR_MAX_LAYERS, error));
    TRY(check_range("decoder_layers", c->decoder_layers, 1, DETR_MAX_LAYERS, error));
    TRY(check_range("ffn_width", c->ffn_width, 1, 65536, error));
    TRY(check_range("region_count", c->region_count, 1, 1024, error));
    TRY(check_range("feature_size", c->feature_size, 1, 4096, error));
    TRY(check_range("label_count", c->label_count, 1, 1024, error));
    TRY(check_range("image_height", c->image_height, 32, 4096, error));
    TRY(check_range("image_width", c->image_width, 32, 4096, error));
    if (c->encoder == APM_VIT) {
        TRY(vit_config_check(&c->vit, error));
        if (c->image_height % c->vit.patch || c->image_width % c->vit.patch)
            return error_set(error, CARINA_ERROR_ARGUMENT, "vit_patch: %d x %d pixels are no whole patches of %d",
                             c->image_width, c->image_height, c->vit.patch);
    }
    if (c->model_width % 4 || c->model_width % c->heads || c->model_width % c->feature_heads)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "model_width: %d is not divisible by 4, heads (%d) and feature_heads (%d)", c->model_width,
                         c->heads, c->feature_heads);
    return CARINA_OK;
}

/* Every box begins near (0.5, 0.45, 0.25, 0.2), whatever the query: from sigmoid's middle, boxes half the film wide,
 * the optimizer would need hundreds of steps to get there. */
static void begin_with_a_middling_box(linear_layer *last) {
    static const double start[4] = {0.5, 0.45, 0.25, 0.2};
    for (int64_t i = 0; i < last->weight->count; i++) last->weight->value[i] *= 0.1f;
    for (int i = 0; i < 4; i++) last->bias->value[i] = (float)log(start[i] / (1 - start[i]));
}

/* The branch adds nothing at first, as if the model had none. */
static void begin_without(linear_layer *branch) {
    parameter_fill(branch->weight, 0);
    branch->weight->optional = branch->bias->optional = true;
}

/* Everything behind the backbone, in the order of the data's way. */
static void create_head(apm *m, model_builder *b) {
    const apm_config *c = &m->config;
    int64_t width = c->model_width, encoded = c->encoder == APM_VIT ? c->vit.width : m->backbone.outputs;
    m->projection_weight =
        layer_parameter(b, PARAMETER_WEIGHT, 4, (int64_t[]){width, encoded, 1, 1}, "input_proj.weight");
    m->projection_bias = layer_parameter(b, PARAMETER_WEIGHT, 1, &width, "input_proj.bias");
    m->cls_token = layer_parameter(b, PARAMETER_WEIGHT, 3, (int64_t[]){1, 1, width}, "transformer.cls_token");
    m->cls_position = layer_parameter(b, PARAMETER_WEIGHT, 3, (int64_t[]){1, 1, width}, "transformer.cls_pos");
    detr_create(&m->encoder, b, "transformer.encoder.", c->encoder_layers, width, c->heads, c->ffn_width, c->dropout,
                false);
    detr_create(&m->decoder, b, "transformer.decoder.", c->decoder_layers, width, c->heads, c->ffn_width, c->dropout,
                true);
    m->decoder_norm = layer_norm_create(b, "transformer.decoder.norm", width);
    m->queries = layer_parameter(b, PARAMETER_WEIGHT, 2, (int64_t[]){c->region_count, width}, "query_embed.weight");
    if (c->box_queries) m->box_query = linear_create(b, "transformer.decoder.box_query", 2 * width, width);
    m->box_layers[0] = linear_create(b, "bbox_embed.layers.0", width, width);
    m->box_layers[1] = linear_create(b, "bbox_embed.layers.1", width, width);
    m->box_layers[2] = linear_create(b, "bbox_embed.layers.2", width, 4);
    m->image_head = linear_create(b, "image_class_embed", width, c->label_count);
    if (c->features == APM_MODULE_F)
        m->feature_attention = attention_create(b, "anat_obj_embs.mha", width, c->feature_heads);
    m->feature_linear = linear_create(b, "anat_obj_embs.linear", width, c->feature_size);
    if (b->failed) return;
    parameter_fill_xavier_uniform(m->projection_weight, b->random);
    parameter_fill_normal(m->cls_token, b->random, 0.02);
    parameter_fill_normal(m->cls_position, b->random, 0.02);
    parameter_fill_normal(m->queries, b->random, 1.0);
    begin_with_a_middling_box(&m->box_layers[2]);
    if (c->box_queries) begin_without(&m->box_query);
    m->queries->decay = m->cls_token->decay = m->cls_position->decay = false; /* positions are not weights */
    m->queries->matrices = m->cls_token->matrices = m->cls_position->matrices = 0;
}

static carina_status create_encoder(apm *m, model_builder *b, carina_error *error) {
    if (m->config.encoder == APM_VIT) return vit_create(&m->transformer, b, ENCODER_PREFIX, &m->config.vit, error);
    return resnet_create(&m->backbone, b, ENCODER_PREFIX, &m->config.backbone, error);
}

static carina_status create(apm **out, const apm_config *config, random_state *random, carina_error *error) {
    *out = NULL;
    TRY(check_config(config, error));
    apm *m = calloc(1, sizeof *m);
    if (!m) return error_memory(error, "APM", sizeof *m);
    m->config = *config;
    /* Model files have the keys of both encoders: those of the one that is not built must be readable too. */
    const apm_config published = apm_config_published();
    if (config->encoder == APM_VIT)
        m->config.backbone = published.backbone;
    else
        m->config.vit = published.vit;
    model_builder b = {.random = random};
    carina_status status = parameters_create(&m->parameters, error);
    b.set = m->parameters;
    if (status == CARINA_OK) status = create_encoder(m, &b, error);
    if (status == CARINA_OK) {
        for (int i = 0; i < b.set->count; i++) b.set->items[i]->group = 1; /* the backbone learns at its own rate */
        create_head(m, &b);
        if (b.failed) status = error_set(error, CARINA_ERROR_MEMORY, "out of memory for the model's parameters");
    }
    if (status != CARINA_OK) {
        apm_free(m);
        return status;
    }
    *out = m;
    return CARINA_OK;
}

carina_status apm_create(apm **out, const apm_config *config, uint64_t seed, carina_error *error) {
    random_state random = random_seed(seed);
    return create(out, config, &random, error);
}

carina_status apm_create_empty(apm **out, const apm_config *config, carina_error *error) {
    return create(out, config, NULL, error);
}

void apm_free(apm *model) {
    if (!model) return;
    parameters_free(model->parameters);
    free(model);
}

/* Sine positions of the patches, [B, P, D]. */
static tensor *patch_positions(graph *g, const apm *m, int64_t batch, int64_t rows, int64_t columns) {
    int64_t size[2] = {rows * columns, m->config.model_width};
    float *values = malloc((size_t)(size[0] * size[1]) * sizeof *values);
    if (!values) return NULL;
    detr_sine_position(values, rows, columns, size[1]);
    tensor *position = op_repeat(g, graph_constant(g, 2, size, values), batch);
    free(values);
    return position;
}

/* A learned [1, 1, D] vector as the first token of every sample. */
static tensor *first_token(graph *g, parameter *p, int64_t batch, int64_t width) {
    return op_repeat(g, op_reshape(g, graph_parameter(g, p), 2, (int64_t[]){1, width}), batch);
}

static tensor *box_head(graph *g, const apm *m, tensor *decoded) {
    tensor *h = linear_record(g, &m->box_layers[0], op_cast(g, decoded, TENSOR_F32), ACTIVATION_RELU);
    h = linear_record(g, &m->box_layers[1], h, ACTIVATION_RELU);
    return linear_record(g, &m->box_layers[2], h, ACTIVATION_SIGMOID);
}

/* Where a decoder layer looks from: the learned query, and with box_queries the corners that the layer before found. */
static tensor *box_query(graph *g, const apm *m, tensor *queries, tensor *boxes) {
    if (!m->config.box_queries) return queries;
    tensor *corners = linear_record(g, &m->box_query, op_box_sine(g, boxes, m->config.model_width), ACTIVATION_NONE);
    return op_add(g, queries, op_cast(g, corners, graph_options_of(g)->type));
}

apm_outputs apm_record(graph *g, const apm *m, tensor *films) {
    apm_outputs out = {0};
    if (!films) return out;
    int64_t batch = tensor_size(films, 0), width = m->config.model_width, n = m->config.region_count;
    tensor *x = op_cast(g, films, graph_options_of(g)->type);
    x = m->config.encoder == APM_VIT ? vit_record(g, &m->transformer, x) : resnet_record(g, &m->backbone, x);
    convolution_options pointwise = {.stride = 1};
    x = op_convolution(g, x, graph_parameter(g, m->projection_weight), graph_parameter(g, m->projection_bias), NULL,
                       &pointwise);
    if (!x) return out;
    int64_t rows = tensor_size(x, 1), columns = tensor_size(x, 2), patches = rows * columns;
    x = op_reshape(g, x, 3, (int64_t[]){batch, patches, width});

    tensor *position = patch_positions(g, m, batch, rows, columns);
    tensor *encoded = detr_encode(g, &m->encoder, op_concatenate(g, first_token(g, m->cls_token, batch, width), x),
                                  op_concatenate(g, first_token(g, m->cls_position, batch, width), position));
    tensor *cls = op_cast(g, op_slice(g, encoded, 0, 1), TENSOR_F32);
    tensor *memory = op_slice(g, encoded, 1, patches);
    if (!cls) return out;
    out.cls = op_reshape(g, cls, 2, (int64_t[]){batch, width});
    out.image_logits = linear_record(g, &m->image_head, out.cls, ACTIVATION_NONE);
    out.patch_features = op_cast(g, memory, TENSOR_F32);
    out.patch_rows = rows;
    out.patch_columns = columns;

    float *zeros = calloc((size_t)(n * width), sizeof *zeros);
    if (!zeros) return out;
    tensor *targets = op_repeat(g, graph_constant(g, 2, (int64_t[]){n, width}, zeros), batch);
    free(zeros);
    tensor *queries = op_repeat(g, graph_parameter(g, m->queries), batch);
    tensor *key = op_add(g, memory, position), *decoded = NULL;
    int last = m->decoder.count - 1;
    bool is_mean = m->config.box_mean && last > 0 && !graph_options_of(g)->training;
    int first_box = graph_options_of(g)->training || m->config.box_queries ? 0 : is_mean ? last - 1 : last;
    for (int i = 0; i <= last; i++) {
        tensor *query_position = i == 0 ? queries : box_query(g, m, queries, out.layer_boxes[i - 1]);
        targets = detr_decode_layer(g, &m->decoder, i, targets, query_position, key, memory);
        if (i < first_box) continue;
        decoded = layer_norm_record(g, &m->decoder_norm, targets, NULL);
        out.layer_boxes[i] = box_head(g, m, decoded);
    }
    out.boxes = out.layer_boxes[last];
    if (is_mean) out.boxes = op_scale(g, op_add(g, out.boxes, out.layer_boxes[last - 1]), 0.5f);

    out.decoded = op_cast(g, decoded, TENSOR_F32);
    out.gathered = out.decoded;
    if (m->config.features == APM_MODULE_F)
        out.gathered = op_cast(g, attention_record(g, &m->feature_attention, decoded, memory, memory, 0), TENSOR_F32);
    out.region_features = linear_record(g, &m->feature_linear, out.gathered, ACTIVATION_NONE);
    return out;
}

static tensor *shared(graph *g, tensor *loss, tensor *share) { return share ? op_multiply(g, loss, share) : loss; }

apm_losses apm_record_loss(graph *g, const apm_outputs *outputs, const apm_targets *targets,
                           const apm_loss_options *options) {
    apm_losses losses = {0};
    tensor *terms[DETR_MAX_LAYERS + 1];
    float weights[DETR_MAX_LAYERS + 1];
    int count = 0;
    losses.box = op_box_loss(g, outputs->boxes, targets->boxes, targets->present, &options->box);
    losses.labels = op_binary_cross_entropy(g, outputs->image_logits, targets->labels);
    terms[count] = shared(g, losses.labels, options->label_share), weights[count++] = options->label_weight;
    terms[count] = shared(g, losses.box, options->box_share), weights[count++] = 1.0f;
    for (int i = 0; options->auxiliary && i + 1 < DETR_MAX_LAYERS && outputs->layer_boxes[i + 1]; i++) {
        if (!outputs->layer_boxes[i]) continue;
        tensor *box = op_box_loss(g, outputs->layer_boxes[i], targets->boxes, targets->present, &options->box);
        terms[count] = shared(g, box, options->box_share), weights[count++] = 1.0f;
    }
    losses.total = op_sum_scalars(g, count, terms, weights);
    return losses;
}
