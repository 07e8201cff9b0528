/* Weights to begin with; see language_start.h. */
#include "train/language_start.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/gemma3_file.h"

static carina_status check_config(const gemma3_config *ours, const gemma3_config *theirs, const char *folder,
                                  carina_error *error) {
    const struct {
        const char *key;
        double ours, theirs;
    } values[] = {
        {"vocabulary", ours->vocabulary, theirs->vocabulary},
        {"width", ours->width, theirs->width},
        {"layers", ours->layers, theirs->layers},
        {"heads", ours->heads, theirs->heads},
        {"key_heads", ours->key_heads, theirs->key_heads},
        {"head_width", ours->head_width, theirs->head_width},
        {"ffn_width", ours->ffn_width, theirs->ffn_width},
        {"window", ours->window, theirs->window},
        {"global_every", ours->global_every, theirs->global_every},
        {"local_base", ours->local_base, theirs->local_base},
        {"global_base", ours->global_base, theirs->global_base},
        {"global_scale", ours->global_scale, theirs->global_scale},
        {"query_scalar", ours->query_scalar, theirs->query_scalar},
        {"tied", ours->tied, theirs->tied},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (values[i].ours != values[i].theirs)
            return error_set(error, CARINA_ERROR_MISMATCH, "%s: its model.%s would be %g, which is %g here", folder,
                             values[i].key, values[i].theirs, values[i].ours);
    return CARINA_OK;
}

static bool same_token(const bpe *ours, const bpe *theirs, int id) {
    uint64_t sizes[2];
    const char *wanted = bpe_token(theirs, id, &sizes[0]), *got;
    if (!wanted) return true;
    got = id < bpe_count(ours) ? bpe_token(ours, id, &sizes[1]) : NULL;
    return got && sizes[0] == sizes[1] && memcmp(wanted, got, sizes[0]) == 0;
}

static carina_status check_tokenizer(const bpe *ours, const char *folder, carina_error *error) {
    bpe *theirs = NULL;
    int id = 0;
    char *path = path_join(folder, "tokenizer.json");
    if (!path) return error_memory(error, folder, 4096);
    carina_status status = file_exists(path) ? bpe_read(&theirs, path, NULL, error) : CARINA_OK;
    if (status == CARINA_OK && theirs) {
        while (id < bpe_count(theirs) && same_token(ours, theirs, id)) id++;
        if (id < bpe_count(theirs))
            status =
                error_set(error, CARINA_ERROR_MISMATCH,
                          "%s: token %d is another one than in this run's tokenizer; give the model's own", path, id);
    }
    bpe_free(theirs);
    free(path);
    return status;
}

carina_status language_start(const gemma3 *model, const bpe *tokenizer, const char *folder, carina_error *error) {
    gemma3_config config;
    gemma3 *from;
    TRY(gemma3_config_read(&config, folder, error));
    TRY(check_config(&model->config, &config, folder, error));
    TRY(check_tokenizer(tokenizer, folder, error));
    TRY(gemma3_load(&from, folder, error));
    for (int i = 0; i < model->parameters->count; i++) { /* one configuration: the same parameters in the same order */
        parameter *p = model->parameters->items[i];
        memcpy(p->value, from->parameters->items[i]->value, (size_t)p->count * sizeof *p->value);
    }
    gemma3_free(from);
    parameters_changed(model->parameters);
    return CARINA_OK;
}
