/* Writes a tiny language model of random weights as a Hugging Face folder, for the scripts: make_language_model FOLDER.
 * In it also the model as model.gguf, and an adapter in the folder "adapter". */
#include "language_fixture.h"

int main(int argc, char **argv) {
    carina_error error = {0};
    if (argc != 2) {
        fputs("usage: make_language_model FOLDER\n", stderr);
        return 2;
    }
    language_fixture_need(file_make_folders(argv[1], &error), &error);
    bpe *tokenizer = language_fixture_tokenizer();
    gemma3 *model = language_fixture_model(tokenizer);
    language_fixture_write(argv[1], tokenizer, model);
    char path[1000];
    snprintf(path, sizeof path, "%s/model.gguf", argv[1]);
    language_fixture_write_gguf(path, model, 6);
    snprintf(path, sizeof path, "%s/adapter", argv[1]);
    language_fixture_need(file_make_folders(path, &error), &error);
    lora *adapter = language_fixture_adapter(&model->config, 5);
    language_fixture_write_adapter(path, adapter);
    lora_free(adapter);
    gemma3_free(model);
    bpe_free(tokenizer);
    return 0;
}
