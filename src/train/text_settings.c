/* The table of the text task's keys; see text_settings.h. */
#include "train/text_settings.h"

static const char *const output_names[] = {"f32", "bf16", NULL};

#define KEY(member, key, ...)    CONFIG_KEY(text_settings, member, key, __VA_ARGS__)
#define CHOICE(member, key, ...) CONFIG_CHOICE_KEY(text_settings, member, key, __VA_ARGS__)

static const config_field fields[] = {
    KEY(width, "model.width", "256", 8, 4096, "of every token's vector; heads divide it", 0),
    KEY(heads, "model.heads", "4", 1, 64, "of attention", 0),
    KEY(layers, "model.layers", "4", 1, BERT_MAX_LAYERS, "of the encoder", 0),
    KEY(ffn_width, "model.ffn_width", "512", 8, 65536, "within each layer's feed-forward part", 0),
    KEY(positions, "model.positions", "64", 8, 512, "tokens of the longest text; masked rows are so long", 0),
    KEY(dropout, "model.dropout", "0.1", 0, 0.9, "of embeddings and sublayers; also what makes two views differ", 0),

    KEY(vocabulary_size, "vocabulary.size", "2000", 64, 1000000, "most word pieces, special ones included", 0),
    KEY(min_frequency, "vocabulary.min_frequency", "2", 1, 1000000, "of two pieces side by side, to become one", 0),

    KEY(reports, "data.reports", "false", CONFIG_ANY, "read the reports of the sets' films, files/pXX/pID/sID.txt", 0),
    KEY(texts, "data.texts", "[]", CONFIG_ANY, "text files to learn words from, one sentence a line", 0),

    KEY(mask_share, "masked.share", "0.15", 0.01, 0.9, "of tokens to be guessed", 0),
    KEY(single_share, "masked.single", "0.25", 0, 1, "of rows with one sentence; the others are filled up", 0),

    KEY(similarity_from, "similarity.from_step", "1000", 0, 1e9, "before it masked words alone are learned", 0),
    KEY(pairs, "similarity.pairs", "32", 2, 4096, "of sentences in a batch", 0),
    KEY(pair_tokens, "similarity.tokens", "32", 4, 512, "longer sentences are cut for it", 0),
    KEY(masked_rows, "similarity.masked_rows", "0", 0, 4096, "of masked words beside the pairs; 0: training.batch_size",
        0),
    KEY(opposed, "similarity.opposed", "0.5", 0, 0.99, "of pairs, of which one denies what its neighbour affirms", 0),
    KEY(tau, "similarity.tau", "0.05", 0.001, 10, "temperature of the cosines", 0),
    KEY(target_tau, "similarity.target_tau", "0.1", 0.001, 10, "temperature of the overlap of findings", 0),
    KEY(masked_weight, "similarity.masked_weight", "0.1", 0, 100, "of masked words in the second stage", 0),
    KEY(region_weight, "similarity.region_weight", "0.5", 0, 10, "of where beside what, in the overlap", 0),

    CHOICE(output_type, "output.dtype", "bf16", output_names, "type of the weights in the saved model", 0),
};
const config_schema text_settings_schema = {fields, sizeof fields / sizeof *fields};

bert_config text_settings_model(const text_settings *s) {
    bert_config c = bert_config_base();
    c.width = s->width;
    c.heads = s->heads;
    c.layers = s->layers;
    c.ffn_width = s->ffn_width;
    c.positions = s->positions;
    c.dropout = (float)s->dropout;
    c.projector_width = c.feature_size = 0;
    return c;
}
