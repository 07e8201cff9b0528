/* carina lm bench: how fast the language model's engine is on this machine, with random weights made in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/memory_speed.h"
#include "base/progress.h"
#include "cli/command.h"
#include "format/json_writer.h"
#include "model/gemma3_random.h"
#include "model/gemma3_session.h"
#include "tensor/register_speed.h"

#define CHUNK           512
#define NEW_TOKENS      8   /* of a prompt whose beginning is known */
#define REGISTER_PASSES 100 /* of less than a millisecond */

typedef struct lm_bench_values {
    int shape, weights;
    int64_t prompt, decode, threads;
    bool json;
} lm_bench_values;

static const lm_bench_values defaults = {.prompt = 2560, .decode = 32};
static const option options[] = {
    {"shape", 0, OPTION_CHOICE, "gemma3-4b|gemma3-1b|gemma3-tiny", "sizes of the model (default gemma3-4b)",
     offsetof(lm_bench_values, shape), 0, 0},
    {"weights", 'w', OPTION_CHOICE, "q4|q8|bf16", "how weights are packed (default q4)",
     offsetof(lm_bench_values, weights), 0, 0},
    {"prompt", 'p', OPTION_INTEGER, "N", "tokens of the prompt (default 2560)", offsetof(lm_bench_values, prompt), 1,
     100000},
    {"decode", 'd', OPTION_INTEGER, "N", "tokens taken one by one behind it (default 32)",
     offsetof(lm_bench_values, decode), 1, 100000},
    OPTION_THREADS(lm_bench_values, threads),
    OPTION_JSON(lm_bench_values, json),
    {0},
};

static gemma3_config tiny(void) {
    gemma3_config c = gemma3_config_4b();
    c.vocabulary = 500;
    c.width = c.ffn_width = 64;
    c.layers = 7;
    c.head_width = 32;
    c.window = 16;
    return c;
}

static gemma3_config shape_of(int choice) {
    return choice == 0 ? gemma3_config_4b() : choice == 1 ? gemma3_config_1b() : tiny();
}

typedef struct bench_result {
    double prompt_seconds, reused_seconds, decode_seconds;
    double register_speed;    /* operations a second */
    double peak;              /* bytes */
    double prompt_operations; /* of the prompt's products with weights */
    uint64_t weight_bytes, session_bytes;
    uint64_t keys_bytes; /* keys and values that all of decoding read */
} bench_result;

typedef struct bench_run {
    const lm_bench_values *v;
    gemma3_config config;
    thread_pool *pool;
    gemma3 *model;
    gemma3_runner *runner;
    gemma3_session *session;
    progress *shown;
    void *probe;               /* memory to read, */
    double *probe_seconds;     /* and how long that took behind each token */
    const register_loop *loop; /* the machine's own limit for such weights */
    bench_result result;
} bench_run;

static int64_t new_tokens(const bench_run *r) { return r->v->prompt < NEW_TOKENS ? r->v->prompt : NEW_TOKENS; }

static gemma3_runner_options runner_options_of(const bench_run *r) {
    return (gemma3_runner_options){
        .pool = r->pool, .type = TENSOR_F32, .chunk = CHUNK, .tokens = r->v->prompt + r->v->decode};
}

static carina_status check_memory(const bench_run *r, carina_error *error) {
    const gemma3_runner_options running = runner_options_of(r);
    uint64_t available = memory_available(), wanted = r->result.weight_bytes + (1ull << 30);
    wanted += gemma3_runner_needs(&r->config, &running);
    wanted += 2 * gemma3_session_needs(&r->config, TENSOR_BF16, r->v->prompt + r->v->decode, CHUNK); /* and its copy */
    if (!available || wanted <= available) return CARINA_OK;
    return error_set(
        error, CARINA_ERROR_MEMORY,
        "lm bench: %.1f GB are wanted for these weights and keys, %.1f GB are available; choose --weights q4, a "
        "smaller --shape or a shorter --prompt",
        1e-9 * (double)wanted, 1e-9 * (double)available);
}

/* A multiplication and an addition for each weight and row: of whole layers, of the one in which a row only stores keys
 * and values, and for the last row of the last layer's others and the head. */
static double prompt_operations(const bench_run *r, uint64_t layer_rows) {
    const gemma3_config *c = &r->config;
    double width = c->width, queries = (double)c->heads * c->head_width, keys = (double)c->key_heads * c->head_width;
    double stored = 2 * width * keys, others = 2 * width * queries + 3 * width * c->ffn_width;
    double head = width * c->vocabulary;
    return 2 * ((double)layer_rows * (stored + others) + (double)r->v->prompt * stored + others + head);
}

static carina_status set_up(bench_run *r, carina_error *error) {
    static const quantized_kind kinds[] = {QUANTIZED_Q4, QUANTIZED_Q8, QUANTIZED_BF16};
    quantized_kind kind = kinds[r->v->weights];
    r->config = shape_of(r->v->shape);
    TRY(gemma3_packed_bytes(&r->result.weight_bytes, &r->config, kind, error));
    TRY(thread_pool_create(&r->pool, (int)r->v->threads, error));
    TRY(check_memory(r, error));
    TRY(gemma3_create_random(&r->model, &r->config, kind, 1, error));
    const gemma3_runner_options options_of = runner_options_of(r);
    TRY(gemma3_runner_create(&r->runner, r->model, &options_of, error));
    TRY(gemma3_session_create(&r->session, &r->config, TENSOR_BF16, options_of.tokens, CHUNK, error));
    r->result.session_bytes = gemma3_session_bytes(r->session);
    r->loop = register_loop_best(kind == QUANTIZED_BF16 ? REGISTER_BF16 : REGISTER_INT8);
    return CARINA_OK;
}

static void tear_down(bench_run *r) {
    gemma3_session_free(r->session);
    gemma3_runner_free(r->runner);
    gemma3_free(r->model);
    memory_probe_free(r->probe);
    free(r->probe_seconds);
    thread_pool_free(r->pool);
}

static float larger(float a, float b) { return a > b ? a : b; }

/* Four at a time: value by value it took half a percent of a token. */
static int64_t largest(const float *logits, int64_t count) {
    int64_t best = 0, i = 0;
    for (int64_t next; i < count; i = next) {
        const float *x = logits + i;
        next = i + 4 <= count ? i + 4 : count;
        if (next == i + 4 && !(larger(larger(x[0], x[1]), larger(x[2], x[3])) > logits[best])) continue;
        for (int64_t k = i; k < next; k++)
            if (logits[k] > logits[best]) best = k;
    }
    return best;
}

/* Plans are made at the first step of each size, and the system gives a session's memory where it is first written (on
 * a virtual machine that may take milliseconds a page): that is loading, not speed. */
static carina_status warm_up(bench_run *r, carina_error *error) {
    gemma3_row rows[CHUNK];
    const float *logits;
    int64_t count = r->v->prompt < CHUNK ? r->v->prompt : CHUNK, rest = r->v->prompt % CHUNK;
    gemma3_session_settle(r->session);
    for (int64_t i = 0; i < count; i++)
        rows[i] = (gemma3_row){r->session, i % r->config.vocabulary, NULL, i == count - 1, 0};
    TRY(gemma3_runner_step(r->runner, rows, count, &logits, error));
    gemma3_session_rewind(r->session, 0);
    if (rest && r->v->prompt > CHUNK) {
        TRY(gemma3_runner_step(r->runner, rows, rest, &logits, error));
        gemma3_session_rewind(r->session, 0);
    }
    TRY(gemma3_runner_step(r->runner, rows, 1, &logits, error));
    gemma3_session_rewind(r->session, 0);
    if (new_tokens(r) > 1) {
        for (int64_t i = 0; i < new_tokens(r); i++) rows[i].wants_logits = i == new_tokens(r) - 1;
        TRY(gemma3_runner_step(r->runner, rows, new_tokens(r), &logits, error));
        gemma3_session_rewind(r->session, 0);
    }
    return CARINA_OK;
}

/* `count` tokens behind those that the session has seen; of the last one logits are wanted. seed: other tokens. */
static carina_status take_tokens(bench_run *r, gemma3_session *session, int64_t count, int64_t seed,
                                 const float **logits, carina_error *error) {
    gemma3_row rows[CHUNK];
    int64_t seen = gemma3_session_length(session), end = seen + count;
    while (seen < end) {
        int64_t step = end - seen < CHUNK ? end - seen : CHUNK;
        for (int64_t i = 0; i < step; i++)
            rows[i] = (gemma3_row){.session = session,
                                   .id = (seen + i + seed) * 7919 % r->config.vocabulary,
                                   .wants_logits = seen + i == end - 1,
                                   .more = end - 1 - (seen + i)};
        TRY(gemma3_runner_step(r->runner, rows, step, logits, error));
        seen += step;
        progress_update(r->shown, (uint64_t)seen, NULL);
        if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
    }
    return CARINA_OK;
}

/* A second prompt that begins like the first: a copy of its session, brought back to where they part. */
static carina_status take_second_prompt(bench_run *r, carina_error *error) {
    gemma3_session *second;
    const float *logits;
    double began = clock_seconds();
    TRY(gemma3_session_copy(&second, r->session, error));
    gemma3_session_rewind(second, r->v->prompt - new_tokens(r)); /* no further back than a chunk: it can */
    carina_status status = take_tokens(r, second, new_tokens(r), 1, &logits, error);
    r->result.reused_seconds = clock_seconds() - began;
    gemma3_session_free(second);
    return status;
}

/* Keys and values that the next token's attention reads. */
static uint64_t keys_read(const bench_run *r) {
    const gemma3_config *c = &r->config;
    int64_t seen = gemma3_session_length(r->session) + 1, rows = 0;
    for (int i = 0; i < c->layers; i++) rows += gemma3_is_global(c, i) || seen < c->window ? seen : c->window;
    return (uint64_t)rows * (uint64_t)c->key_heads * (uint64_t)c->head_width * 2 * sizeof(uint16_t);
}

static double peak_memory(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * (double)usage.ru_maxrss;
}

/* What measures the memory's speed is no part of the engine's peak. */
static carina_status make_probe(bench_run *r, carina_error *error) {
    r->result.peak = peak_memory();
    r->probe = memory_probe();
    r->probe_seconds = calloc((size_t)r->v->decode, sizeof *r->probe_seconds);
    return r->probe && r->probe_seconds ? CARINA_OK : error_memory(error, "lm bench", MEMORY_PROBE_BYTES);
}

/* Between two tokens the memory's speed is measured, so that both are held against each other under the same load: on a
 * shared machine it may be half as much again a minute later. A token then begins with caches that hold nothing of the
 * model. */
static carina_status decode(bench_run *r, const float *logits, carina_error *error) {
    for (int64_t i = 0; i < r->v->decode; i++) {
        r->result.keys_bytes += keys_read(r);
        double began = clock_seconds();
        const gemma3_row row = {r->session, largest(logits, r->config.vocabulary), NULL, true, 0};
        TRY(gemma3_runner_step(r->runner, &row, 1, &logits, error));
        double done = clock_seconds();
        memory_read(r->pool, r->probe, MEMORY_PROBE_BYTES);
        r->result.decode_seconds += done - began;
        r->probe_seconds[i] = clock_seconds() - done;
        progress_update(r->shown, (uint64_t)(r->v->prompt + i + 1), NULL);
        if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
    }
    return CARINA_OK;
}

static carina_status measure(bench_run *r, carina_error *error) {
    const float *logits = NULL;
    uint64_t layer_rows = gemma3_runner_layer_rows(r->runner);
    double began = clock_seconds();
    TRY(take_tokens(r, r->session, r->v->prompt, 0, &logits, error));
    r->result.prompt_seconds = clock_seconds() - began;
    r->result.prompt_operations = prompt_operations(r, gemma3_runner_layer_rows(r->runner) - layer_rows);
    TRY(take_second_prompt(r, error));
    /* The second prompt's logits are in the place of the first one's: the last token once more. */
    gemma3_session_rewind(r->session, r->v->prompt - 1);
    TRY(take_tokens(r, r->session, 1, 0, &logits, error));
    TRY(make_probe(r, error));
    return decode(r, logits, error);
}

/* Before and after: the faster one, so that a pause of the machine does not flatter us. */
static void measure_registers(bench_run *r) {
    double registers = register_speed(r->loop, r->pool, REGISTER_PASSES);
    if (registers > r->result.register_speed) r->result.register_speed = registers;
}

static carina_status run_bench(bench_run *r, carina_error *error) {
    TRY(set_up(r, error));
    TRY(warm_up(r, error));
    measure_registers(r);
    r->shown = progress_start("lm bench", "tokens", 0, (uint64_t)(r->v->prompt + r->v->decode));
    carina_status status = measure(r, error);
    progress_finish(r->shown);
    if (status == CARINA_OK) measure_registers(r);
    return status;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Bytes a second, by the median: a pause of the machine is to make decoding slower, not the memory. */
static double memory_speed(const bench_run *r) {
    qsort(r->probe_seconds, (size_t)r->v->decode, sizeof *r->probe_seconds, compare_doubles);
    return (double)MEMORY_PROBE_BYTES / r->probe_seconds[r->v->decode / 2];
}

/* What is printed, in the units in which it is printed. */
typedef struct bench_figures {
    char shape[32], weights[16];
    double prompt, decode;      /* tokens a second */
    double speed, read, memory; /* GB/s: of weights, with keys and values; of the machine's memory */
    double keys;                /* GB a token */
    double products, registers; /* Gop/s: of the prompt's products; of the machine's registers */
    double peak;                /* GB */
} bench_figures;

static bench_figures figures_of(const bench_run *r) {
    const bench_result *b = &r->result;
    bench_figures f = {.prompt = (double)r->v->prompt / b->prompt_seconds,
                       .decode = (double)r->v->decode / b->decode_seconds,
                       .memory = 1e-9 * memory_speed(r),
                       .keys = 1e-9 * (double)b->keys_bytes / (double)r->v->decode,
                       .products = 1e-9 * b->prompt_operations / b->prompt_seconds,
                       .registers = 1e-9 * b->register_speed,
                       .peak = 1e-9 * b->peak};
    f.speed = 1e-9 * f.decode * (double)b->weight_bytes;
    f.read = f.speed + f.decode * f.keys;
    options_choice(options[0].argument, r->v->shape, f.shape, sizeof f.shape);
    options_choice(options[1].argument, r->v->weights, f.weights, sizeof f.weights);
    return f;
}

static void print_table(const bench_run *r, const bench_figures *f) {
    const bench_result *b = &r->result;
    printf("%s, %s weights (%.2f GB, random), %d threads\n", f->shape, f->weights, 1e-9 * (double)b->weight_bytes,
           thread_pool_count(r->pool));
    printf("prompt of %lld tokens   %8.1f tokens/s   %.1f Gop/s in products; registers do %.1f now (%s)\n",
           (long long)r->v->prompt, f->prompt, f->products, f->registers, r->loop->instruction);
    printf("first token            %8.2f s          %.3f s when all but %lld are known\n", b->prompt_seconds,
           b->reused_seconds, (long long)new_tokens(r));
    printf(
        "decode of %lld tokens   %8.2f tokens/s   %.1f GB/s of weights, %.1f with keys and values; memory reads at "
        "%.1f GB/s now\n",
        (long long)r->v->decode, f->decode, f->speed, f->read, f->memory);
    printf("keys and values %.2f GB, of which a token reads %.3f; peak memory %.2f GB\n",
           1e-9 * (double)b->session_bytes, f->keys, f->peak);
}

static void print_json(const bench_run *r, const bench_figures *f) {
    const bench_result *b = &r->result;
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "shape", f->shape);
    json_field_text(&w, "weights", f->weights);
    json_field_whole(&w, "threads", thread_pool_count(r->pool));
    json_field_whole(&w, "prompt_tokens", r->v->prompt);
    json_field_whole(&w, "decode_tokens", r->v->decode);
    json_field_number(&w, "prompt_tokens_per_s", f->prompt);
    json_field_number(&w, "first_token_s", b->prompt_seconds);
    json_field_number(&w, "reused_first_token_s", b->reused_seconds);
    json_field_number(&w, "prompt_gop_per_s", f->products);
    json_field_number(&w, "register_gop_per_s", f->registers);
    json_field_text(&w, "register_instruction", r->loop->instruction);
    json_field_number(&w, "decode_tokens_per_s", f->decode);
    json_field_number(&w, "weights_gb_per_s", f->speed);
    json_field_number(&w, "read_gb_per_s", f->read);
    json_field_number(&w, "memory_gb_per_s", f->memory);
    json_field_number(&w, "weights_gb", 1e-9 * (double)b->weight_bytes);
    json_field_number(&w, "keys_gb_per_token", f->keys);
    json_field_number(&w, "peak_rss_gb", f->peak);
    json_end(&w);
}

static void print(const bench_run *r) {
    bench_figures f = figures_of(r);
    if (r->v->json)
        print_json(r, &f);
    else
        print_table(r, &f);
}

static int run(const void *values, int count, char *const *arguments) {
    (void)count, (void)arguments;
    bench_run r = {.v = values};
    carina_error error = {0};
    progress_catch_interrupts();
    carina_status status = run_bench(&r, &error);
    if (status == CARINA_OK) print(&r);
    tear_down(&r);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

const command command_lm_bench = {
    .name = "lm bench",
    .summary = "measure the language model's engine with random weights",
    .arguments = "",
    .description =
        "Makes a Gemma 3 of random packed weights in memory, takes a prompt in chunks of 512 tokens, then a second\n"
        "one that differs in its last 8 tokens (reused_first_token_s), then tokens one by one, and prints tokens a\n"
        "second. Beside what was achieved stands what this machine does in the same run:\n"
        "\n"
        "    memory_gb_per_s       reading memory, the median of a reading behind each token. Every token that is\n"
        "                          decoded reads all weights once (weights_gb_per_s), and the keys and values that it\n"
        "                          looks back on (read_gb_per_s: both together)\n"
        "    register_gop_per_s    multiplying and adding in registers on all threads, at most, by the widest\n"
        "                          instruction for such weights (register_instruction): 8-bit integers for q4 and\n"
        "                          q8, else bf16. A prompt's products with the weights count two operations for each\n"
        "                          weight and token that needs it (prompt_gop_per_s: of the last layer all tokens but\n"
        "                          the last one need keys and values only); attention takes time, and is not counted\n",
    .examples =
        "carina lm bench --shape gemma3-4b --weights q4 --prompt 2560 --decode 32 --json\n"
        "carina lm bench --shape gemma3-1b --weights q8 --prompt 512\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 0,
    .run = run,
};
