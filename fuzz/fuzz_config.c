/* Configuration reader: the bytes up to the first NUL are the file, what follows is one key=value word. What is
 * accepted must load again from its own dump with the same hash. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct settings {
    int64_t whole;
    double real;
    float small;
    int choice;
    bool truth;
    char *text;
    config_ints ints;
    config_floats floats;
    config_texts texts;
} settings;

static const char *const choices[] = {"one", "two", NULL};
static const config_field fields[] = {
    CONFIG_FIELD(settings, whole, "1", -100, 100, ""),
    CONFIG_FIELD(settings, real, "0.5", CONFIG_ANY, ""),
    CONFIG_KEY(settings, small, "section.small", "0.1", 0, INFINITY, "", 0),
    CONFIG_CHOICE(settings, choice, "one", choices, ""),
    CONFIG_FIELD(settings, truth, "no", CONFIG_ANY, ""),
    CONFIG_KEY(settings, text, "section.text", "", CONFIG_ANY, "", 0),
    CONFIG_KEY(settings, ints, "section.ints", "[1]", 0, 9, "", 0),
    CONFIG_FIELD(settings, floats, "[]", CONFIG_ANY, ""),
    CONFIG_FIELD(settings, texts, "[a]", CONFIG_ANY, ""),
};
static const config_schema schema = {fields, sizeof fields / sizeof *fields};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t file_size = zero ? (size_t)(zero - data) : size;
    char *word = zero ? strndup((const char *)zero + 1, size - file_size - 1) : NULL;
    settings values;
    config_part part = {"", &schema, &values};
    carina_error error;
    const char *const words[1] = {word};
    if (config_load_text(&part, 1, "fuzz", data, file_size, words, word != NULL, &error) == CARINA_OK) {
        char *dump;
        uint64_t hash = config_hash(&part, 1);
        if (config_dump(&dump, &part, 1, &error) != CARINA_OK) abort();
        config_free(&part, 1);
        if (config_load_text(&part, 1, "dump", dump, strlen(dump), NULL, 0, &error) != CARINA_OK) abort();
        if (config_hash(&part, 1) != hash) abort();
        config_free(&part, 1);
        free(dump);
    }
    free(word);
    return 0;
}
