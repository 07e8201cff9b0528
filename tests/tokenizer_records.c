/* For the scripts: texts that have line breaks in them, through the tokenizer.
 *
 *     tokenizer_records encode TOKENIZER.json < RECORDS         ids, a line for each record
 *     tokenizer_records decode TOKENIZER.json < LINES-OF-IDS    texts, as records
 *
 * A record is a length (u32, little-endian) and as many bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/bpe.h"
#include "text/bpe_cache.h"

static int fail(const carina_error *error) {
    fprintf(stderr, "%s\n", error->message);
    return 1;
}

static int encode(const bpe *b) {
    bpe_encoder *encoder;
    carina_error error;
    if (bpe_encoder_create(&encoder, b, &error) != CARINA_OK) return fail(&error);
    uint8_t head[4];
    while (fread(head, 1, 4, stdin) == 4) {
        size_t size = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        char *text = malloc(size + 1);
        const int32_t *ids;
        uint64_t count;
        if (!text || fread(text, 1, size, stdin) != size) return 1;
        if (bpe_encode(encoder, text, size, false, &ids, &count, &error) != CARINA_OK) return fail(&error);
        for (uint64_t i = 0; i < count; i++) printf(i ? " %d" : "%d", ids[i]);
        putchar('\n');
        free(text);
    }
    bpe_encoder_free(encoder);
    return 0;
}

static int decode(const bpe *b) {
    char *line = NULL;
    size_t room = 0;
    carina_error error;
    while (getline(&line, &room, stdin) >= 0) {
        bpe_decoder d = bpe_decoder_make(b, false);
        char *rest = line;
        for (char *word; (word = strsep(&rest, " \n"));)
            if (*word && bpe_decoder_push(&d, atoll(word), &error) != CARINA_OK) return fail(&error);
        if (bpe_decoder_finish(&d, &error) != CARINA_OK) return fail(&error);
        for (int i = 0; i < 4; i++) putchar((int)(d.size >> 8 * i & 0xff));
        fwrite(d.text, 1, (size_t)d.size, stdout);
        bpe_decoder_free(&d);
    }
    free(line);
    return 0;
}

int main(int argument_count, char **arguments) {
    bpe *b;
    carina_error error;
    char *folder = bpe_cache_default_folder();
    if (argument_count != 3) return 2;
    if (bpe_read(&b, arguments[2], folder, &error) != CARINA_OK) return fail(&error);
    free(folder);
    int status = strcmp(arguments[1], "encode") == 0 ? encode(b) : decode(b);
    bpe_free(b);
    return status;
}
