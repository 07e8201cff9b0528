/* Graphs, steps and figures of the language task; see language_task.h. */
#include "train/language_task.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/gemma3_write.h"
#include "train/language_rows.h"
#include "train/language_start.h"

typedef struct language_graph {
    graph *g;
    tensor *ids, *targets, *shares; /* [B, N] */
    tensor *loss;                   /* sum of shares x -log P(target) */
} language_graph;

typedef struct language_task {
    train_task task; /* first: the trainer sees only this */
    thread_pool *pool;
    bpe *tokenizer;
    int begin, end, pad; /* token ids; begin and pad -1: there are none */
    gemma3 *model;
    language_corpus corpus;
    language_rows train, validation;
    language_graph learning, measuring;
    double counted; /* tokens of this step, over all its batches */
} language_task;

/* ---- data ---- */

static carina_status open_data(train_task *task, uint64_t *fingerprint, carina_error *error) {
    (void)error;
    *fingerprint = ((language_task *)task)->corpus.fingerprint; /* read already: the model needs the tokenizer */
    return CARINA_OK;
}
static carina_status start_data(train_task *task, uint64_t first, carina_error *error) {
    (void)task, (void)first, (void)error; /* a row follows from its number */
    return CARINA_OK;
}
static uint64_t sample_count(const train_task *task) { return ((const language_task *)task)->corpus.train.tokens; }
static double batches_per_epoch(const train_task *task) {
    return (double)((const language_task *)task)->train.count / (double)task->config->batch_size;
}

/* Rows first, first + 1, ... into the graph's inputs, those from `end` on without any target; returns how many tokens
 * count. */
static double fill(language_rows *rows, uint64_t first, uint64_t end, int batch, language_graph *g) {
    double sum = 0;
    for (int i = 0; i < batch; i++) {
        uint64_t row = first + (uint64_t)i;
        int64_t at = (int64_t)i * rows->options.context;
        float *shares = tensor_data(g->shares) + at;
        double counted = language_rows_fill(rows, row, tensor_data(g->ids) + at, tensor_data(g->targets) + at, shares);
        if (row < end)
            sum += counted;
        else
            memset(shares, 0, (size_t)rows->options.context * sizeof *shares);
    }
    return sum;
}

/* ---- training ---- */

static carina_status gather(train_task *task, uint64_t batch, uint64_t step_number, carina_error *error) {
    (void)step_number, (void)error;
    language_task *t = (language_task *)task;
    const train_config *c = task->config;
    t->counted = 0;
    for (int i = 0; i < c->accumulate; i++) {
        uint64_t first = (batch + (uint64_t)i) * (uint64_t)c->batch_size;
        t->counted += fill(&t->train, first, UINT64_MAX, c->batch_size, &t->learning);
    }
    return CARINA_OK;
}

static carina_status step(train_task *task, uint64_t batch, uint64_t step_number, train_task_losses *out,
                          carina_error *error) {
    (void)step_number, (void)error;
    language_task *t = (language_task *)task;
    language_graph *l = &t->learning;
    const train_config *c = task->config;
    double here = fill(&t->train, batch * (uint64_t)c->batch_size, UINT64_MAX, c->batch_size, l);
    float *shares = tensor_data(l->shares), each = (float)(1 / fmax(t->counted, 1));
    for (int64_t i = 0; i < tensor_count(l->shares); i++) shares[i] *= each;
    graph_set_step(l->g, batch);
    graph_forward(l->g);
    /* The trainer takes the mean of a step's batches, and this is a share of their sum. */
    out->value[0] = (double)*tensor_data(l->loss) * c->accumulate;
    out->samples = (int)here;
    graph_backward(l->g);
    return CARINA_OK;
}

/* ---- validation ---- */

static double mean_loss(language_task *t, double *tokens) {
    int batch = t->task.config->batch_size;
    double sum = 0;
    *tokens = 0;
    for (uint64_t first = 0; first < t->validation.count; first += (uint64_t)batch) {
        *tokens += fill(&t->validation, first, t->validation.count, batch, &t->measuring);
        graph_forward(t->measuring.g);
        sum += (double)*tensor_data(t->measuring.loss);
    }
    return *tokens > 0 ? sum / *tokens : 0;
}

static carina_status measure(train_task *task, uint64_t step_number, train_task_measures *out, carina_error *error) {
    (void)step_number, (void)error;
    language_task *t = (language_task *)task;
    out->validated = t->validation.count > 0;
    if (!out->validated) return CARINA_OK;
    double tokens, loss = mean_loss(t, &tokens);
    double bits = loss * tokens / log(2) / (double)t->corpus.validation.bytes;
    out->score = exp(-loss);
    out->values[0] = (run_log_value){"validation_loss", loss};
    out->values[1] = (run_log_value){"validation_perplexity", exp(loss)};
    out->values[2] = (run_log_value){"validation_bits_per_byte", bits};
    out->value_count = 3;
    snprintf(out->note, sizeof out->note, "perplexity %.3f (%.3f bits per byte) on %.0f held-out tokens", exp(loss),
             bits, tokens);
    return CARINA_OK;
}

/* ---- the model as a folder ---- */

static carina_status save(train_task *task, const char *path, const train_task_origin *origin, carina_error *error) {
    const language_task *t = (const language_task *)task;
    const language_settings *c = &task->config->language;
    train_task_notes notes;
    train_task_note(&notes, task->config, origin);
    const gemma3_save_options o = {.type = c->output_type ? DTYPE_BF16 : DTYPE_F32,
                                   .begin = t->begin,
                                   .end = t->end,
                                   .pad = t->pad,
                                   .metadata = notes.entries,
                                   .metadata_count = 4};
    TRY(file_make_folders(path, error));
    char *tokenizer = path_join(path, "tokenizer.json");
    if (!tokenizer) return error_memory(error, path, 4096);
    carina_status status = bpe_write(t->tokenizer, tokenizer, error);
    free(tokenizer);
    return status == CARINA_OK ? gemma3_save(t->model, path, &o, error) : status;
}

static carina_status load_weights(train_task *task, const char *folder, carina_error *error) {
    const language_task *t = (const language_task *)task;
    return language_start(t->model, t->tokenizer, folder, error);
}

static void free_task(train_task *task) {
    language_task *t = (language_task *)task;
    graph_free(t->learning.g);
    graph_free(t->measuring.g);
    language_rows_free(&t->train);
    language_rows_free(&t->validation);
    language_corpus_free(&t->corpus);
    gemma3_free(t->model);
    bpe_free(t->tokenizer);
    free(t);
}

static const train_task_class language_class = {
    .loss_names = {"loss"},
    .samples = "tokens",
    .score = "token probability",
    .score_key = "token_probability",
    .model_ending = "",
    .weights_file = "model.safetensors",
    .load_weights = load_weights,
    .open_data = open_data,
    .start_data = start_data,
    .sample_count = sample_count,
    .batches_per_epoch = batches_per_epoch,
    .gather = gather,
    .step = step,
    .measure = measure,
    .save = save,
    .free = free_task,
};

/* ---- setting up ---- */

static carina_status open_tokenizer(language_task *t, carina_error *error) {
    const train_config *c = t->task.config;
    const char *end = c->language.end_token;
    if (bpe_read(&t->tokenizer, c->language.tokenizer, NULL, error) != CARINA_OK)
        return error_prefix(error, "%s: tokenizer", c->path);
    t->begin = bpe_find(t->tokenizer, "<bos>", 5);
    t->pad = bpe_find(t->tokenizer, "<pad>", 5);
    t->end = bpe_find(t->tokenizer, end, strlen(end));
    if (t->end >= 0) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "%s: data.end_token: %s has no token \"%.60s\"", c->path,
                     c->language.tokenizer, end);
}

static carina_status create_model(language_task *t, carina_error *error) {
    const train_config *c = t->task.config;
    gemma3_config model = language_settings_model(&c->language);
    int tokens = bpe_count(t->tokenizer);
    if (model.vocabulary == 0) model.vocabulary = tokens;
    if (model.vocabulary < tokens)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: model.vocabulary: %d rows, but %s has %d tokens", c->path,
                         model.vocabulary, c->language.tokenizer, tokens);
    if (gemma3_create(&t->model, &model, (uint64_t)c->seed, error) != CARINA_OK)
        return error_prefix(error, "%s: model", c->path);
    t->task.parameters = t->model->parameters;
    return parameters_allocate_gradients(t->task.parameters, error);
}

static carina_status create_rows(language_task *t, carina_error *error) {
    const language_settings *c = &t->task.config->language;
    language_rows_options o = {.context = c->context,
                               .packed = c->packed,
                               .shuffled = true,
                               .seed = (uint64_t)t->task.config->seed,
                               .pad = t->pad >= 0 ? t->pad : t->end};
    TRY(language_rows_create(&t->train, &t->corpus, &t->corpus.train, &o, error));
    o.shuffled = false;
    return language_rows_create(&t->validation, &t->corpus, &t->corpus.validation, &o, error);
}

static carina_status record(language_task *t, language_graph *l, bool training, carina_error *error) {
    const train_config *c = t->task.config;
    int64_t size[2] = {c->batch_size, c->language.context};
    graph_options o = {.pool = t->pool, .training = training, .type = (tensor_type)c->type, .seed = (uint64_t)c->seed};
    TRY(graph_create(&l->g, &o, error));
    l->ids = graph_input(l->g, "ids", 2, size);
    l->targets = graph_input(l->g, "targets", 2, size);
    l->shares = graph_input(l->g, "shares", 2, size);
    tensor *body = gemma3_record_body(l->g, t->model, l->ids, NULL, NULL);
    l->loss = gemma3_record_loss(l->g, t->model, body, l->targets, l->shares);
    graph_output(l->g, l->loss);
    if (training) graph_loss(l->g, l->loss);
    carina_status status = graph_plan(l->g, error);
    return status == CARINA_OK ? status : error_prefix(error, "%s: training.batch_size, data.context", c->path);
}

static carina_status create(language_task *t, carina_error *error) {
    TRY(open_tokenizer(t, error));
    TRY(create_model(t, error));
    TRY(language_corpus_read(&t->corpus, t->task.config, t->tokenizer, t->end, error));
    if (t->corpus.repeated)
        snprintf(t->task.note, sizeof t->task.note,
                 "validation: %" PRIu64 " documents are left out, training has them as well; %u are held out",
                 t->corpus.repeated, t->corpus.validation.count);
    TRY(create_rows(t, error));
    TRY(record(t, &t->learning, true, error));
    return t->validation.count ? record(t, &t->measuring, false, error) : CARINA_OK;
}

carina_status language_task_create(train_task **out, const train_config *config, thread_pool *pool,
                                   carina_error *error) {
    *out = NULL;
    language_task *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error, "training", sizeof *t);
    t->task = (train_task){.type = &language_class, .config = config};
    t->pool = pool;
    carina_status status = create(t, error);
    if (status != CARINA_OK) {
        free_task(&t->task);
        return status;
    }
    *out = &t->task;
    return CARINA_OK;
}
