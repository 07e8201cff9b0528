/* Any bytes as the text of a kept conversation. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/conversation_file.h"
#include "text/bpe_train.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once; of the model a conversation looks at the tokenizer alone until it is asked something. */
static conversation *make_conversation(void) {
    static language_model model;
    carina_error error;
    bpe_train_options options = bpe_train_defaults();
    bpe_trainer *trainer;
    bpe *tokenizer;
    chat_template *gemma;
    conversation *c;
    options.vocabulary_size = 300;
    if (bpe_trainer_create(&trainer, &options, &error) != CARINA_OK) abort();
    if (bpe_trainer_add(trainer, "a text", 6, &error) != CARINA_OK) abort();
    if (bpe_trainer_finish(trainer, &tokenizer, &error) != CARINA_OK) abort();
    bpe_trainer_free(trainer);
    model.tokenizer = tokenizer;
    if (chat_template_gemma(&gemma, &error) != CARINA_OK) abort();
    if (conversation_create(&c, &model, NULL, gemma, &error) != CARINA_OK) abort();
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static conversation *c;
    carina_error error;
    if (!c) c = make_conversation();
    if (conversation_reset(c, NULL, &error) != CARINA_OK) abort();
    if (conversation_text_parse(c, "fuzz", data, size, &error) != CARINA_OK) {
        assert(conversation_count(c) == 0);
        return 0;
    }
    assert(conversation_count(c) <= CHAT_MAX_MESSAGES);
    for (int i = 0; i < conversation_count(c); i++) assert(conversation_messages(c)[i].content);
    return 0;
}
