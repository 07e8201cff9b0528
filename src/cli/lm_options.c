/* Opening language models; see lm_options.h. */
#include "cli/lm_options.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/standard_output.h"
#include "model/lora_file.h"
#include "text/bpe_cache.h"

carina_status lm_engine_open(lm_engine *out, const lm_values *v, carina_error *error) {
    char *cache = bpe_cache_default_folder();
    *out = (lm_engine){0};
    carina_status status = thread_pool_create(&out->pool, (int)v->threads, error);
    const language_model_options options = {.tokenizer = v->tokenizer,
                                            .weights = (language_model_weights)v->weights,
                                            .cache_folder = cache,
                                            .pool = out->pool};
    if (status == CARINA_OK) status = language_model_load(&out->model, v->model, &options, error);
    if (status == CARINA_OK && v->adapter)
        status = lora_load(&out->adapter, v->adapter, &out->model->model->config, error);
    if (status == CARINA_OK) status = bpe_encoder_create(&out->encoder, out->model->tokenizer, error);
    free(cache);
    if (status != CARINA_OK) lm_engine_close(out);
    return status;
}

void lm_engine_close(lm_engine *e) {
    bpe_encoder_free(e->encoder);
    lora_free(e->adapter);
    language_model_free(e->model);
    thread_pool_free(e->pool);
    *e = (lm_engine){0};
}

void lm_warn(const lm_engine *e, int64_t tokens) {
    int longest = e->model->model->config.positions, threads = thread_pool_count(e->pool),
        processors = thread_available_count();
    if (tokens > longest)
        fprintf(stderr,
                "carina: warning: %lld tokens, but the model was trained for %d: what lies beyond may make no sense\n",
                (long long)tokens, longest);
    if (threads > processors)
        fprintf(stderr, "carina: warning: %d threads on %d processors wait for each other at every step\n", threads,
                processors);
}

bool lm_goes_on(void *context) {
    (void)context;
    return !standard_output_lost();
}

generate_request lm_request(const lm_engine *e, const lm_values *v) {
    generate_request r = generate_request_defaults();
    r.sampler = (sampler_options){.no_log_probability = true,
                                  .temperature = (float)v->temperature,
                                  .top_k = (int)v->top_k,
                                  .top_p = (float)v->top_p,
                                  .min_p = (float)v->min_p,
                                  .repetition_penalty = (float)v->repetition_penalty,
                                  .penalty_window = (int)v->penalty_window,
                                  .seed = (uint64_t)v->seed};
    r.adapter = e->adapter;
    r.stops = v->stops.items;
    r.stop_count = v->stops.count;
    r.max_tokens = v->max_tokens;
    r.keep = v->slide;
    return r;
}
