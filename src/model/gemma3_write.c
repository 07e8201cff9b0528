/* Writing a Hugging Face Gemma 3 folder; see gemma3_write.h. */
#include "model/gemma3_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json_writer.h"
#include "model/parameters_file.h"

#define MAX_METADATA 16

static void put_token(json_writer *w, const char *key, int id) {
    json_key(w, key);
    if (id >= 0)
        json_put_whole(w, id);
    else
        json_put_null(w);
}

static void put_tokens(json_writer *w, const gemma3_save_options *o) {
    put_token(w, "bos_token_id", o->begin);
    put_token(w, "eos_token_id", o->end);
    put_token(w, "pad_token_id", o->pad);
}

static void put_sizes(json_writer *w, const gemma3_config *c) {
    json_field_whole(w, "vocab_size", c->vocabulary);
    json_field_whole(w, "hidden_size", c->width);
    json_field_whole(w, "intermediate_size", c->ffn_width);
    json_field_whole(w, "num_hidden_layers", c->layers);
    json_field_whole(w, "num_attention_heads", c->heads);
    json_field_whole(w, "num_key_value_heads", c->key_heads);
    json_field_whole(w, "head_dim", c->head_width);
    json_field_whole(w, "sliding_window", c->window);
    json_field_whole(w, "sliding_window_pattern", c->global_every); /* transformers makes layer_types of it */
}

static void put_rotary(json_writer *w, const gemma3_config *c) {
    json_field_number(w, "rope_theta", c->global_base);
    json_field_number(w, "rope_local_base_freq", c->local_base);
    json_key(w, "rope_scaling");
    if (c->global_scale == 1) {
        json_put_null(w);
        return;
    }
    json_begin_object(w);
    json_field_text(w, "rope_type", "linear");
    json_field_number(w, "factor", c->global_scale);
    json_end(w);
}

static void put_config(json_writer *w, const gemma3_config *c, const gemma3_save_options *o) {
    json_begin_object(w);
    json_key(w, "architectures");
    json_begin_inline(w, false);
    json_put_text(w, "Gemma3ForCausalLM");
    json_end(w);
    json_field_text(w, "model_type", "gemma3_text");
    json_field_text(w, "torch_dtype", o->type == DTYPE_BF16 ? "bfloat16" : "float32");
    put_sizes(w, c);
    json_field_whole(w, "max_position_embeddings", c->positions);
    put_rotary(w, c);
    json_field_number(w, "query_pre_attn_scalar", c->query_scalar);
    json_key(w, "rms_norm_eps");
    json_put_f32(w, c->epsilon);
    json_field_text(w, "hidden_activation", "gelu_pytorch_tanh");
    json_field_truth(w, "attention_bias", false);
    json_field_number(w, "attention_dropout", 0);
    json_field_truth(w, "tie_word_embeddings", c->tied);
    put_tokens(w, o);
    json_end(w);
}

static void put_generation(json_writer *w, const gemma3_save_options *o) {
    json_begin_object(w);
    put_tokens(w, o);
    json_end(w);
}

static carina_status write_json(const gemma3 *m, const char *folder, const char *name, const gemma3_save_options *o,
                                carina_error *error) {
    file_writer *writer;
    char *path = path_join(folder, name);
    if (!path) return error_memory(error, folder, 4096);
    carina_status status = file_writer_open(&writer, path, error);
    free(path);
    if (status != CARINA_OK) return status;
    json_writer w = json_writer_make(file_writer_stream(writer), JSON_PRETTY);
    if (strcmp(name, "config.json") == 0)
        put_config(&w, &m->config, o);
    else
        put_generation(&w, o);
    return file_writer_commit(writer, error);
}

static carina_status write_weights(const gemma3 *m, const char *folder, const gemma3_save_options *o,
                                   carina_error *error) {
    static char key[] = "format", value[] = "pt"; /* transformers refuses a file that does not say so */
    tensor_file_entry entries[MAX_METADATA] = {{key, value}};
    if (o->metadata_count >= MAX_METADATA)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: more than %d notes of metadata", folder, MAX_METADATA - 1);
    if (o->metadata_count) memcpy(entries + 1, o->metadata, o->metadata_count * sizeof *entries);
    char *path = path_join(folder, "model.safetensors");
    if (!path) return error_memory(error, folder, 4096);
    carina_status status = parameters_write(m->parameters, path, o->type, entries, o->metadata_count + 1, error);
    free(path);
    return status;
}

carina_status gemma3_save(const gemma3 *m, const char *folder, const gemma3_save_options *options,
                          carina_error *error) {
    if (!m->table.weight)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: a model with packed weights cannot be saved", folder);
    TRY(file_make_folders(folder, error));
    TRY(write_json(m, folder, "config.json", options, error));
    TRY(write_json(m, folder, "generation_config.json", options, error));
    return write_weights(m, folder, options, error);
}
