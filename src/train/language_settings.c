/* The table of the language task's keys; see language_settings.h. */
#include "train/language_settings.h"

static const char *const output_names[] = {"f32", "bf16", NULL};
static const char *const document_names[] = {"paragraph", "line", "file", NULL};

#define KEY(member, key, ...)    CONFIG_KEY(language_settings, member, key, __VA_ARGS__)
#define CHOICE(member, key, ...) CONFIG_CHOICE_KEY(language_settings, member, key, __VA_ARGS__)

static const config_field fields[] = {
    KEY(tokenizer, "tokenizer", "", CONFIG_ANY, "the tokenizer.json; it goes into the model's folder", 0),

    KEY(vocabulary, "model.vocabulary", "0", 0, 1 << 20, "rows of the table; 0: as many as the tokenizer has tokens",
        0),
    KEY(width, "model.width", "128", 8, 8192, "of every token's vector", 0),
    KEY(layers, "model.layers", "6", 1, GEMMA3_MAX_LAYERS, "of the decoder", 0),
    KEY(heads, "model.heads", "4", 1, 256, "of queries", 0),
    KEY(key_heads, "model.key_heads", "2", 1, 256, "of keys and values; they divide model.heads", 0),
    KEY(head_width, "model.head_width", "32", 2, 512, "of a head; even", 0),
    KEY(ffn_width, "model.ffn_width", "384", 8, 65536, "within each layer's feed-forward part", 0),
    KEY(window, "model.window", "64", 1, 1 << 20, "tokens that a local layer sees", 0),
    KEY(global_every, "model.global_every", "6", 1, 1024, "every so many layers, one sees all earlier tokens", 0),
    KEY(local_base, "model.local_base", "10000", 1, 1e12, "of the local layers' rotary angles", 0),
    KEY(global_base, "model.global_base", "1000000", 1, 1e12, "of the global layers' rotary angles", 0),
    KEY(global_scale, "model.global_scale", "1", 1, 1e6, "global positions are divided by it", 0),
    KEY(query_scalar, "model.query_scalar", "0", 0, 1e6, "queries are divided by its root; 0: model.head_width", 0),
    KEY(tied, "model.tied", "true", CONFIG_ANY, "logits come from the table; false: from a head of their own", 0),

    KEY(texts, "data.texts", "[]", CONFIG_ANY, "text files to learn from", 0),
    KEY(validation_texts, "data.validation_texts", "[]", CONFIG_ANY, "text files that are held out", 0),
    CHOICE(document, "data.document", "paragraph", document_names, "what one document is in a text file", 0),
    KEY(end_token, "data.end_token", "<eos>", CONFIG_ANY, "what ends a document", 0),
    KEY(context, "data.context", "128", 4, 65536, "tokens of a row: the longest that is seen at once", 0),
    KEY(packed, "data.packed", "true", CONFIG_ANY, "fill rows up with the next documents; false: one document a row",
        0),

    CHOICE(output_type, "output.dtype", "bf16", output_names, "type of the weights in the saved model", 0),
};
const config_schema language_settings_schema = {fields, sizeof fields / sizeof *fields};

gemma3_config language_settings_model(const language_settings *s) {
    return (gemma3_config){.vocabulary = s->vocabulary,
                           .width = s->width,
                           .layers = s->layers,
                           .heads = s->heads,
                           .key_heads = s->key_heads,
                           .head_width = s->head_width,
                           .ffn_width = s->ffn_width,
                           .window = s->window,
                           .global_every = s->global_every,
                           .local_base = s->local_base,
                           .global_base = s->global_base,
                           .global_scale = s->global_scale,
                           .query_scalar = s->query_scalar > 0 ? s->query_scalar : s->head_width,
                           .epsilon = 1e-6f,
                           .tied = s->tied,
                           .positions = s->context};
}
