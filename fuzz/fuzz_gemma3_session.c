/* Any bytes as a saved session of a tiny Gemma 3. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "model/gemma3_session_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const gemma3_config config = {.vocabulary = 7,
                                         .width = 8,
                                         .layers = 2,
                                         .heads = 2,
                                         .key_heads = 1,
                                         .head_width = 2,
                                         .ffn_width = 8,
                                         .window = 2,
                                         .global_every = 2,
                                         .local_base = 1e4,
                                         .global_base = 1e6,
                                         .global_scale = 1,
                                         .query_scalar = 2,
                                         .epsilon = 1e-6f,
                                         .tied = true};
    gemma3_session *s;
    carina_error error;
    if (gemma3_session_parse(&s, "fuzz", data, size, &config, 0, NULL, 64, &error) != CARINA_OK) return 0;
    assert(gemma3_session_length(s) <= gemma3_session_capacity(s) && gemma3_session_capacity(s) <= 64);
    assert(gemma3_session_is_whole(s));
    gemma3_session_free(s);
    return 0;
}
