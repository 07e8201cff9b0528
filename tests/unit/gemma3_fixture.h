/* The two tiny Gemma 3 decoders of tests/data/gemma3 (tools/make_gemma3_fixture.py). Include after cmocka.h. */
#ifndef TEST_GEMMA3_FIXTURE_H
#define TEST_GEMMA3_FIXTURE_H

#include <stdio.h>

#include "fixture.h"
#include "model/gemma3.h"

static inline gemma3_config tied_config(void) {
    return (gemma3_config){.vocabulary = 61,
                           .positions = 4096,
                           .width = 24,
                           .layers = 5,
                           .heads = 4,
                           .key_heads = 2,
                           .head_width = 8,
                           .ffn_width = 40,
                           .window = 5,
                           .global_every = 3,
                           .local_base = 1e4,
                           .global_base = 1e6,
                           .global_scale = 8,
                           .query_scalar = 6,
                           .epsilon = 1e-6f,
                           .tied = true};
}

static inline gemma3_config head_config(void) {
    gemma3_config c = tied_config();
    c.layers = c.global_every = 2;
    c.key_heads = 1;
    c.global_scale = 1;
    c.tied = false;
    return c;
}

typedef struct gemma3_fixture {
    const char *name;
    gemma3_config (*config)(void);
} gemma3_fixture;

static const gemma3_fixture gemma3_fixtures[] = {{"tied", tied_config}, {"head", head_config}};
#define GEMMA3_FIXTURE_COUNT (sizeof gemma3_fixtures / sizeof *gemma3_fixtures)

static inline tensor_file gemma3_fixture_file(const gemma3_fixture *f, const char *what) {
    char path[400];
    snprintf(path, sizeof path, "%s/gemma3/%s.%s.safetensors", TEST_DATA, f->name, what);
    return fixture_open(path);
}

static inline gemma3 *gemma3_fixture_load(const gemma3_fixture *f) {
    gemma3 *m;
    const gemma3_config config = f->config();
    tensor_file weights = gemma3_fixture_file(f, "weights");
    assert_int_equal(gemma3_create_empty(&m, &config, NULL), CARINA_OK);
    assert_int_equal(m->parameters->count, weights.count);
    for (int i = 0; i < m->parameters->count; i++) {
        parameter *p = m->parameters->items[i];
        float *values = fixture_values(&weights, p->name, p->count);
        memcpy(p->value, values, (size_t)p->count * sizeof *values);
        free(values);
    }
    parameters_changed(m->parameters);
    tensor_file_free(&weights);
    return m;
}

#endif
