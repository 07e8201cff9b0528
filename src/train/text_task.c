/* Graphs, steps and figures of the text task; see text_task.h. */
#include "train/text_task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json_writer.h"
#include "format/safetensors.h"
#include "model/bert_file.h"
#include "train/text_batch.h"
#include "train/text_measure.h"

enum { LOSS_TOTAL, LOSS_MASKED, LOSS_SIMILARITY };

/* BERT's head for masked words, under Hugging Face's names; the table of words is the encoder's. */
typedef struct word_head {
    linear_layer dense;
    layer_norm_layer norm;
    parameter *bias; /* [V] */
} word_head;

typedef struct stage {
    graph *g;
    tensor *ids, *mask, *targets;                  /* [B, N]: masked words */
    tensor *pair_ids, *pair_mask, *meaning;        /* [2 P, n] z then t, and [P, k]; NULL in stage 1 */
    tensor *total, *masked_loss, *similarity_loss; /* similarity_loss NULL in stage 1 */
} stage;

typedef struct text_task {
    train_task task; /* first: the trainer sees only this */
    thread_pool *pool;
    text_corpus corpus;
    wordpiece words;
    masking masks;
    bert *model;
    word_head head;
    stage stages[2];
    text_measure measure;
    text_contrast contrast; /* of the training sentences */
    uint32_t *pair_of[2];   /* [P]: the sentences of z and t */
} text_task;

/* ---- the graphs ---- */

static carina_status create_head(text_task *t, carina_error *error) {
    const bert_config *c = &t->model->config;
    random_state random = random_seed((uint64_t)t->task.config->seed + 1);
    model_builder b = {.set = t->model->parameters, .random = &random};
    t->head.dense = linear_create(&b, "cls.predictions.transform.dense", c->width, c->width);
    t->head.norm = layer_norm_create(&b, "cls.predictions.transform.LayerNorm", c->width);
    int64_t words = c->vocabulary;
    t->head.bias = layer_parameter(&b, PARAMETER_WEIGHT, 1, &words, "cls.predictions.bias");
    if (b.failed) return error_set(error, CARINA_ERROR_MEMORY, "out of memory for the head of masked words");
    t->head.bias->decay = false;
    return CARINA_OK;
}

/* hidden [B, N, D] -> logits [B, N, V], f32 */
static tensor *record_words(graph *g, const text_task *t, tensor *hidden) {
    tensor *x = linear_record(g, &t->head.dense, hidden, ACTIVATION_GELU);
    x = op_layer_norm(g, x, NULL, graph_parameter(g, t->head.norm.weight), graph_parameter(g, t->head.norm.bias),
                      t->model->config.epsilon);
    x = op_linear(g, x, graph_parameter(g, t->model->words), graph_parameter(g, t->head.bias), ACTIVATION_NONE);
    return op_cast(g, x, TENSOR_F32);
}

/* Rows [begin, begin + count) of x [R, D]. */
static tensor *rows(graph *g, tensor *x, int64_t begin, int64_t count) {
    if (!x) return NULL;
    int64_t width = tensor_size(x, 1);
    tensor *all = op_reshape(g, x, 3, (int64_t[]){1, tensor_size(x, 0), width});
    return op_reshape(g, op_slice(g, all, begin, count), 2, (int64_t[]){count, width});
}

static tensor *record_similarity(stage *s, text_task *t) {
    const text_settings *c = &t->task.config->text_task;
    int64_t pairs = c->pairs, tokens = c->pair_tokens;
    s->pair_ids = graph_input(s->g, "pair ids", 2, (int64_t[]){2 * pairs, tokens});
    s->pair_mask = graph_input(s->g, "pair mask", 2, (int64_t[]){2 * pairs, tokens});
    s->meaning = graph_input(s->g, "meaning", 2, (int64_t[]){pairs, t->corpus.feature_count});
    tensor *pooled = bert_record(s->g, t->model, s->pair_ids, s->pair_mask).pooled;
    alignment_options o = {.tau = (float)c->tau, .target_tau = (float)c->target_tau};
    return op_alignment_loss(s->g, rows(s->g, pooled, 0, pairs), rows(s->g, pooled, pairs, pairs), &o, s->meaning,
                             NULL);
}

/* Beside pairs, masked words have little weight: fewer of them may do. */
static int masked_rows(const train_config *c, int number) {
    return number == 1 && c->text_task.masked_rows > 0 ? c->text_task.masked_rows : c->batch_size;
}

static carina_status record_stage(text_task *t, int number, carina_error *error) {
    const train_config *c = t->task.config;
    stage *s = &t->stages[number];
    int64_t size[2] = {masked_rows(c, number), c->text_task.positions};
    graph_options o = {.pool = t->pool, .training = true, .type = (tensor_type)c->type, .seed = (uint64_t)c->seed};
    TRY(graph_create(&s->g, &o, error));
    s->ids = graph_input(s->g, "ids", 2, size);
    s->mask = graph_input(s->g, "mask", 2, size);
    s->targets = graph_input(s->g, "targets", 2, size);
    tensor *hidden = bert_record(s->g, t->model, s->ids, s->mask).hidden;
    s->total = s->masked_loss = op_token_cross_entropy(s->g, record_words(s->g, t, hidden), s->targets);
    graph_output(s->g, s->masked_loss);
    if (number == 1) {
        s->similarity_loss = record_similarity(s, t);
        graph_output(s->g, s->similarity_loss);
        s->total = op_sum_scalars(s->g, 2, (tensor *[]){s->similarity_loss, s->masked_loss},
                                  (float[]){1, (float)c->text_task.masked_weight});
        graph_output(s->g, s->total);
    }
    /* Gradients of accumulated batches add up, so each batch brings its share. */
    graph_loss(s->g, c->accumulate > 1 ? op_scale(s->g, s->total, 1.0f / (float)c->accumulate) : s->total);
    return graph_plan(s->g, error);
}

/* What validation asks of the weights as they are: no dropout, sentence by sentence. */
static carina_status record_measure(text_task *t, carina_error *error) {
    const train_config *c = t->task.config;
    text_measure *m = &t->measure;
    int64_t size[2] = {TEXT_MEASURE_ROWS, c->text_task.pair_tokens};
    graph_options o = {.pool = t->pool, .type = (tensor_type)c->type};
    TRY(graph_create(&m->g, &o, error));
    m->corpus = &t->corpus;
    m->masks = &t->masks;
    m->tokens = c->text_task.pair_tokens;
    m->tau = (float)c->text_task.tau;
    m->target_tau = (float)c->text_task.target_tau;
    m->seed = (uint64_t)c->seed;
    m->ids = graph_input(m->g, "ids", 2, size);
    m->mask = graph_input(m->g, "mask", 2, size);
    bert_outputs out = bert_record(m->g, t->model, m->ids, m->mask);
    m->logits = record_words(m->g, t, out.hidden);
    m->pooled = out.pooled;
    graph_output(m->g, m->logits);
    graph_output(m->g, m->pooled);
    return graph_plan(m->g, error);
}

/* ---- the task ---- */

static bool has_similarity(const text_task *t) {
    return t->corpus.train.group_count > 1 && t->task.config->text_task.similarity_from < t->task.config->steps;
}
static bool in_second(const text_task *t, uint64_t step) {
    return has_similarity(t) && step >= (uint64_t)t->task.config->text_task.similarity_from;
}

static carina_status open_data(train_task *task, uint64_t *fingerprint, carina_error *error) {
    (void)error;
    *fingerprint = ((text_task *)task)->corpus.fingerprint; /* read already: the vocabulary needs it */
    return CARINA_OK;
}
static carina_status start_data(train_task *task, uint64_t first, carina_error *error) {
    (void)task, (void)first, (void)error; /* a batch follows from its number */
    return CARINA_OK;
}
static uint64_t sample_count(const train_task *task) {
    const text_part *part = &((const text_task *)task)->corpus.train;
    return part->end - part->begin;
}
static double batches_per_epoch(const train_task *task) {
    return (double)sample_count(task) / (double)task->config->batch_size;
}

static void fill_pairs(text_task *t, stage *s, uint64_t number) {
    const text_settings *c = &t->task.config->text_task;
    const text_pairs from = {&t->corpus.train, &t->contrast, c->opposed};
    text_batch_pairs(&from, (uint64_t)t->task.config->seed, number, c->pairs, t->pair_of[0], t->pair_of[1]);
    for (int side = 0; side < 2; side++)
        for (int64_t p = 0; p < c->pairs; p++) {
            int64_t at = (side * c->pairs + p) * c->pair_tokens;
            text_batch_sentence(&t->masks, &t->corpus.sentences[t->pair_of[side][p]], c->pair_tokens,
                                tensor_data(s->pair_ids) + at, tensor_data(s->pair_mask) + at);
        }
    for (int64_t p = 0; p < c->pairs; p++)
        text_corpus_meaning(&t->corpus, t->pair_of[0][p], tensor_data(s->meaning) + p * t->corpus.feature_count);
}

static carina_status step(train_task *task, uint64_t number, uint64_t step_number, train_task_losses *out,
                          carina_error *error) {
    (void)error;
    text_task *t = (text_task *)task;
    const train_config *c = task->config;
    bool second = in_second(t, step_number);
    stage *s = &t->stages[second];
    int rows_masked = masked_rows(c, second);
    text_batch_masked(&t->masks, &t->corpus, (uint64_t)c->seed, number, rows_masked, c->text_task.positions,
                      tensor_data(s->ids), tensor_data(s->mask), tensor_data(s->targets));
    if (second) fill_pairs(t, s, number);
    graph_set_step(s->g, number);
    graph_forward(s->g);
    out->value[LOSS_TOTAL] = (double)*tensor_data(s->total);
    out->value[LOSS_MASKED] = (double)*tensor_data(s->masked_loss);
    if (second) out->value[LOSS_SIMILARITY] = (double)*tensor_data(s->similarity_loss);
    out->samples = rows_masked + (second ? 2 * c->text_task.pairs : 0);
    graph_backward(s->g);
    return CARINA_OK;
}

static carina_status measure(train_task *task, uint64_t step_number, train_task_measures *out, carina_error *error) {
    text_task *t = (text_task *)task;
    text_figures f;
    out->validated = t->corpus.validation.end > t->corpus.validation.begin;
    if (!out->validated) return CARINA_OK;
    TRY(text_measure_run(&t->measure, &f, error));
    bool second = in_second(t, step_number - 1); /* the step that was done */
    double loss = f.masked_loss;
    if (second) loss = loss * task->config->text_task.masked_weight + f.similarity_loss;
    out->score = 1 / (1 + loss) - (has_similarity(t) && !second ? 1 : 0);
    out->value_count = text_figures_values(&f, out->values);
    text_figures_note(&f, out->note, sizeof out->note);
    return CARINA_OK;
}

static carina_status write_tokenizer(const text_task *t, const char *folder, carina_error *error) {
    char *path = path_join(folder, "tokenizer_config.json");
    if (!path) return error_memory(error, folder, 4096);
    file_writer *writer;
    carina_status status = file_writer_open(&writer, path, error);
    free(path);
    if (status != CARINA_OK) return status;
    json_writer w = json_writer_make(file_writer_stream(writer), JSON_PRETTY);
    json_begin_object(&w);
    json_key(&w, "do_lower_case");
    json_put_truth(&w, t->words.options.lower_case);
    json_key(&w, "strip_accents");
    json_put_truth(&w, t->words.options.strip_accents);
    json_key(&w, "tokenize_chinese_chars");
    json_put_truth(&w, t->words.options.split_cjk);
    json_field_whole(&w, "model_max_length", t->model->config.positions);
    json_field_text(&w, "tokenizer_class", "BertTokenizer");
    json_end(&w);
    return file_writer_commit(writer, error);
}

static carina_status write_vocabulary(const text_task *t, const char *folder, carina_error *error) {
    char *path = path_join(folder, "vocab.txt");
    if (!path) return error_memory(error, folder, 4096);
    carina_status status = vocabulary_write(&t->words.words, path, error);
    free(path);
    return status;
}

static carina_status save(train_task *task, const char *path, const train_task_origin *origin, carina_error *error) {
    const text_task *t = (const text_task *)task;
    train_task_notes notes;
    train_task_note(&notes, task->config, origin);
    bert_save_options o = {task->config->text_task.output_type ? DTYPE_BF16 : DTYPE_F32, notes.entries, 4};
    TRY(file_make_folders(path, error));
    TRY(write_vocabulary(t, path, error));
    TRY(write_tokenizer(t, path, error));
    return bert_save_as(t->model, path, &o, error);
}

/* Ids mean what they mean to the model only with its own words. */
static carina_status check_words(const text_task *t, const char *folder, carina_error *error) {
    wordpiece theirs;
    TRY(wordpiece_load(&theirs, folder, error));
    const vocabulary *ours = &t->words.words;
    bool same = theirs.words.count == ours->count;
    for (int i = 0; i < ours->count && same; i++)
        same = strcmp(vocabulary_token(&theirs.words, i), vocabulary_token(ours, i)) == 0;
    wordpiece_free(&theirs);
    if (same) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH,
                     "%s/vocab.txt: not the vocabulary of this configuration's training sentences; give the "
                     "configuration and the films that the model was trained with",
                     folder);
}

static carina_status copy_weights(text_task *t, const tensor_file *file, const char *path, carina_error *error) {
    for (int i = 0; i < t->task.parameters->count; i++) {
        parameter *p = t->task.parameters->items[i];
        const named_tensor *found = tensor_file_find(file, p->name);
        if (!found)
            return error_set(error, CARINA_ERROR_FORMAT,
                             "%s: %s is missing; `carina train` writes it, for measuring an encoder", path, p->name);
        carina_status status = named_tensor_check_finite(found, error);
        if (status == CARINA_OK) status = named_tensor_to_f32(found, p->value, (uint64_t)p->count, error);
        if (status != CARINA_OK) return error_prefix(error, "%s", path);
    }
    parameters_changed(t->task.parameters);
    return CARINA_OK;
}

static carina_status load_weights(train_task *task, const char *folder, carina_error *error) {
    text_task *t = (text_task *)task;
    tensor_file file = {0};
    TRY(check_words(t, folder, error));
    char *path = path_join(folder, "model.safetensors");
    if (!path) return error_memory(error, folder, 4096);
    carina_status status = safetensors_read(&file, path, error);
    if (status == CARINA_OK) status = copy_weights(t, &file, path, error);
    tensor_file_free(&file);
    free(path);
    return status;
}

static void free_task(train_task *task) {
    text_task *t = (text_task *)task;
    for (int i = 0; i < 2; i++) graph_free(t->stages[i].g);
    for (int i = 0; i < 2; i++) free(t->pair_of[i]);
    graph_free(t->measure.g);
    bert_free(t->model);
    wordpiece_free(&t->words);
    text_contrast_free(&t->contrast);
    text_corpus_free(&t->corpus);
    free(t);
}

static const train_task_class text_class = {
    .loss_names = {"loss", "masked_loss", "similarity_loss"},
    .samples = "sentences",
    .score = "score",
    .score_key = "score",
    .model_ending = "",
    .weights_file = "model.safetensors",
    .load_weights = load_weights,
    .open_data = open_data,
    .start_data = start_data,
    .sample_count = sample_count,
    .batches_per_epoch = batches_per_epoch,
    .step = step,
    .measure = measure,
    .save = save,
    .free = free_task,
};

static carina_status create_words(text_task *t, carina_error *error) {
    const text_settings *c = &t->task.config->text_task;
    t->words.options = wordpiece_defaults();
    TRY(text_corpus_vocabulary(&t->corpus, c->vocabulary_size, c->min_frequency, &t->words.words, error));
    const vocabulary *v = &t->words.words;
    t->masks = (masking){.share = c->mask_share,
                         .single = c->single_share,
                         .cls = v->special[VOCABULARY_CLS],
                         .sep = v->special[VOCABULARY_SEP],
                         .pad = v->special[VOCABULARY_PAD],
                         .mask = v->special[VOCABULARY_MASK],
                         .ordinary = VOCABULARY_SPECIAL_COUNT, /* the trainer puts the special ones first */
                         .vocabulary = v->count};
    if (v->count <= VOCABULARY_SPECIAL_COUNT)
        return error_set(error, CARINA_ERROR_ARGUMENT, "the training sentences have no words");
    return text_corpus_tokenise(&t->corpus, &t->words, c->positions - 2, error);
}

static carina_status create(text_task *t, carina_error *error) {
    const train_config *c = t->task.config;
    TRY(text_corpus_read(&t->corpus, c, error));
    TRY(create_words(t, error));
    TRY(text_contrast_create(&t->contrast, &t->corpus, &t->corpus.train, error));
    bert_config model = text_settings_model(&c->text_task);
    model.vocabulary = t->words.words.count;
    TRY(bert_create(&t->model, &model, (uint64_t)c->seed, error));
    TRY(create_head(t, error));
    t->task.parameters = t->model->parameters;
    TRY(parameters_allocate_gradients(t->task.parameters, error));
    TRY(record_stage(t, 0, error));
    for (int i = 0; i < 2; i++) {
        t->pair_of[i] = calloc((size_t)c->text_task.pairs, sizeof **t->pair_of);
        if (!t->pair_of[i]) return error_memory(error, "pairs", (uint64_t)c->text_task.pairs * sizeof **t->pair_of);
    }
    if (has_similarity(t)) TRY(record_stage(t, 1, error));
    return record_measure(t, error);
}

carina_status text_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error) {
    *out = NULL;
    text_task *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error, "training", sizeof *t);
    t->task = (train_task){.type = &text_class, .config = config};
    t->pool = pool;
    carina_status status = create(t, error);
    if (status != CARINA_OK) {
        free_task(&t->task);
        return error_prefix(error, "%s: model, training.batch_size", config->path);
    }
    *out = &t->task;
    return CARINA_OK;
}
