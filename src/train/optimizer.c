/* AdamW over fixed pieces of the parameters; see optimizer.h. */
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/muon.h"

#define PIECE_VALUES 32768

/* Values [begin, end) of one parameter: a shard of the work, cut by shape alone. */
typedef struct optimizer_piece {
    int index;
    int64_t begin, end;
} optimizer_piece;

const char *const optimizer_kind_names[] = {"adamw", "muon", NULL};

optimizer_options optimizer_defaults(void) {
    optimizer_options o = {.momentum = 0.95, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    for (int i = 0; i < OPTIMIZER_MAX_GROUPS; i++) o.groups[i] = (optimizer_group){1, 1e-4};
    return o;
}

static bool with_muon(const optimizer *o, const parameter *p) {
    return o->options.kind == OPTIMIZER_MUON && muon_takes(p);
}

static float *zeroed(int64_t count) { return calloc((size_t)count, sizeof(float)); }

static carina_status make_buffers(optimizer *o, carina_error *error) {
    size_t slots = (size_t)o->set->count + 1;
    o->first = calloc(slots, sizeof *o->first);
    o->second = calloc(slots, sizeof *o->second);
    if (o->options.ema_decay > 0) o->average = calloc(slots, sizeof *o->average);
    if (!o->first || !o->second || (o->options.ema_decay > 0 && !o->average))
        return error_memory(error, "optimizer", 3 * slots * sizeof(float *));
    for (int i = 0; i < o->set->count; i++) {
        const parameter *p = o->set->items[i];
        if (p->trainable) {
            o->first[i] = zeroed(p->count);
            if (!with_muon(o, p)) o->second[i] = zeroed(p->count);
            if (!o->first[i] || (!o->second[i] && !with_muon(o, p)))
                return error_memory(error, p->name, (unsigned long long)p->count * 2 * sizeof(float));
        }
        if (o->average) {
            o->average[i] = zeroed(p->count);
            if (!o->average[i]) return error_memory(error, p->name, (unsigned long long)p->count * sizeof(float));
            memcpy(o->average[i], p->value, (size_t)p->count * sizeof(float));
        }
    }
    return CARINA_OK;
}

static carina_status make_pieces(optimizer *o, carina_error *error) {
    int64_t count = 0;
    for (int i = 0; i < o->set->count; i++) count += (o->set->items[i]->count + PIECE_VALUES - 1) / PIECE_VALUES;
    o->pieces = calloc((size_t)count + 1, sizeof *o->pieces);
    o->partial = calloc((size_t)count + 1, sizeof *o->partial);
    if (!o->pieces || !o->partial) return error_memory(error, "optimizer", (unsigned long long)count * 32);
    for (int i = 0; i < o->set->count; i++) {
        int64_t size = o->set->items[i]->count;
        for (int64_t begin = 0; begin < size; begin += PIECE_VALUES)
            o->pieces[o->piece_count++] =
                (optimizer_piece){i, begin, begin + PIECE_VALUES < size ? begin + PIECE_VALUES : size};
    }
    return CARINA_OK;
}

carina_status optimizer_create(optimizer **out, parameters *set, const optimizer_options *options, thread_pool *pool,
                               carina_error *error) {
    *out = NULL;
    for (int i = 0; i < set->count; i++)
        if (set->items[i]->group < 0 || set->items[i]->group >= OPTIMIZER_MAX_GROUPS)
            return error_set(error, CARINA_ERROR_ARGUMENT, "optimizer: parameter %s is in group %d, known are 0 to %d",
                             set->items[i]->name, set->items[i]->group, OPTIMIZER_MAX_GROUPS - 1);
    TRY(parameters_allocate_gradients(set, error));
    optimizer *o = calloc(1, sizeof *o);
    if (!o) return error_memory(error, "optimizer", sizeof *o);
    o->options = *options;
    o->set = set;
    o->pool = pool;
    carina_status status = make_buffers(o, error);
    if (status == CARINA_OK) status = make_pieces(o, error);
    if (status == CARINA_OK && options->kind == OPTIMIZER_MUON) status = muon_create(&o->muon, set, pool, error);
    if (status != CARINA_OK) {
        optimizer_free(o);
        return status;
    }
    *out = o;
    return CARINA_OK;
}

static void free_list(float **list, int count) {
    for (int i = 0; list && i < count; i++) free(list[i]);
    free(list);
}

void optimizer_free(optimizer *o) {
    if (!o) return;
    free_list(o->first, o->set->count);
    free_list(o->second, o->set->count);
    free_list(o->average, o->set->count);
    muon_free(o->muon);
    free(o->pieces);
    free(o->partial);
    free(o);
}

static void norm_piece(void *context, int shard, int worker) {
    (void)worker;
    optimizer *o = context;
    const optimizer_piece *piece = &o->pieces[shard];
    const float *gradient = o->set->items[piece->index]->gradient;
    double sum = 0;
    for (int64_t i = piece->begin; gradient && i < piece->end; i++) sum += (double)gradient[i] * (double)gradient[i];
    o->partial[shard] = sum;
}

double optimizer_gradient_norm(optimizer *o) {
    thread_pool_run(o->pool, o->piece_count, norm_piece, o);
    double sum = 0;
    for (int i = 0; i < o->piece_count; i++) sum += o->partial[i];
    return sqrt(sum);
}

typedef struct step_context {
    optimizer *o;
    double rate;
    float scale;                     /* of the gradients: clipping */
    double correction1, correction2; /* 1 - beta^t */
    float average_decay;
} step_context;

static void update_values(const step_context *c, const parameter *p, float *first, float *second, int64_t begin,
                          int64_t end) {
    const optimizer_options *options = &c->o->options;
    const optimizer_group *group = &options->groups[p->group];
    double rate = c->rate * group->rate_factor;
    float beta1 = (float)options->beta1, beta2 = (float)options->beta2;
    float rest1 = (float)(1 - options->beta1), rest2 = (float)(1 - options->beta2);
    float step = (float)(rate / c->correction1), root = (float)(1 / sqrt(c->correction2));
    float keep = (float)(1 - (p->decay ? rate * group->weight_decay : 0)), epsilon = (float)options->epsilon;
    for (int64_t i = begin; i < end; i++) {
        float g = p->gradient[i] * c->scale;
        first[i] = beta1 * first[i] + rest1 * g;
        second[i] = beta2 * second[i] + rest2 * g * g;
        p->value[i] = keep * p->value[i] - step * first[i] / (sqrtf(second[i]) * root + epsilon);
    }
}

static void step_piece(void *context, int shard, int worker) {
    (void)worker;
    const step_context *c = context;
    const optimizer_piece *piece = &c->o->pieces[shard];
    const parameter *p = c->o->set->items[piece->index];
    /* A group at rate 0 stands still: its moments would otherwise jump when it is released. */
    if (p->trainable && p->gradient && !with_muon(c->o, p) && c->o->options.groups[p->group].rate_factor > 0)
        update_values(c, p, c->o->first[piece->index], c->o->second[piece->index], piece->begin, piece->end);
    if (!c->o->average) return;
    float *average = c->o->average[piece->index], rest = 1 - c->average_decay;
    for (int64_t i = piece->begin; i < piece->end; i++) average[i] += rest * (p->value[i] - average[i]);
}

/* Whole matrices, before the pieces: the average follows what they become. */
static void step_matrices(optimizer *o, const step_context *c) {
    float rates[OPTIMIZER_MAX_GROUPS], decays[OPTIMIZER_MAX_GROUPS];
    for (int i = 0; i < OPTIMIZER_MAX_GROUPS; i++) {
        rates[i] = (float)(c->rate * o->options.groups[i].rate_factor);
        decays[i] = (float)o->options.groups[i].weight_decay;
    }
    const muon_step step = {.momentum = o->first,
                            .beta = (float)o->options.momentum,
                            .gradient_scale = c->scale,
                            .rate = rates,
                            .decay = decays};
    muon_run(o->muon, &step);
}

bool optimizer_step(optimizer *o, double rate, double *norm) {
    double length = optimizer_gradient_norm(o);
    if (norm) *norm = length;
    if (!isfinite(length)) return false;
    o->step++;
    double t = (double)o->step, warm = (1 + t) / (10 + t);
    step_context context = {.o = o, .rate = rate, .scale = 1};
    if (o->options.clip_norm > 0 && length > o->options.clip_norm)
        context.scale = (float)(o->options.clip_norm / length);
    context.correction1 = 1 - pow(o->options.beta1, t);
    context.correction2 = 1 - pow(o->options.beta2, t);
    context.average_decay = (float)(o->options.ema_decay < warm ? o->options.ema_decay : warm);
    if (o->muon) step_matrices(o, &context);
    thread_pool_run(o->pool, o->piece_count, step_piece, &context);
    parameters_changed(o->set);
    return true;
}

static void exchange_piece(void *context, int shard, int worker) {
    (void)worker;
    optimizer *o = context;
    const optimizer_piece *piece = &o->pieces[shard];
    float *value = o->set->items[piece->index]->value, *average = o->average[piece->index];
    for (int64_t i = piece->begin; i < piece->end; i++) {
        float held = value[i];
        value[i] = average[i];
        average[i] = held;
    }
}

void optimizer_use_average(optimizer *o, bool wanted) {
    if (!o->average || o->averaged == wanted) return;
    thread_pool_run(o->pool, o->piece_count, exchange_piece, o);
    o->averaged = wanted;
    parameters_changed(o->set);
}
