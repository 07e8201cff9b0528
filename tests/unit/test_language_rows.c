/* Documents and rows of the language task: what is a document, what is held out; rows that follow from (seed, number)
 * alone, packed and not, with every token guessed once an epoch and no prompt ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "data/film_report.h"
#include "text/bpe_train.h"
#include "train/language_rows.h"

static carina_error error;
#include "assert_ok.h"

static char folder[400];

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/language-rows-XXXXXX", TEST_TMP);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[500];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

/* ---- documents ---- */

static bpe *make_tokenizer(void) {
    bpe_train_options options = bpe_train_defaults();
    bpe_trainer *trainer;
    bpe *out;
    const char *line = "No effusion is seen. The heart is normal.";
    options.vocabulary_size = 320;
    assert_ok(bpe_trainer_create(&trainer, &options, &error));
    for (int i = 0; i < 3; i++) assert_ok(bpe_trainer_add(trainer, line, strlen(line), &error));
    assert_ok(bpe_trainer_finish(trainer, &out, &error));
    bpe_trainer_free(trainer);
    return out;
}

static void write_file(char path[500], const char *name, const char *text) {
    snprintf(path, 500, "%s/%s", folder, name);
    assert_ok(file_write(path, text, strlen(text), &error));
}

/* The text of a document between <bos> and <eos>. */
static void assert_document(const language_corpus *c, const language_part *part, uint32_t number, const bpe *tokenizer,
                            const char *wanted) {
    char *text;
    uint64_t size;
    assert_true(number < part->count);
    const language_document *d = &part->documents[number];
    const int32_t *ids = c->ids + d->begin;
    assert_int_equal(d->prompt, 1);
    assert_int_equal(ids[0], bpe_find(tokenizer, "<bos>", 5));
    assert_int_equal(ids[d->count - 1], bpe_find(tokenizer, "<eos>", 5));
    assert_ok(bpe_decode(tokenizer, ids + 1, d->count - 2, false, &text, &size, &error));
    assert_string_equal(text, wanted);
    free(text);
}

static void documents_of_files(void **state) {
    (void)state;
    char train[500], held[500];
    bpe *tokenizer = make_tokenizer();
    write_file(train, "train.txt", "\n\nNo effusion.\nThe heart\r\n \t\n The end. \n\n\n");
    write_file(held, "held.txt", "The end.\n\nNormal.");
    char *train_items[] = {train}, *held_items[] = {held};
    train_config config = {.task = TRAIN_CONFIG_LANGUAGE, .path = folder, .language = {.texts = {train_items, 1}}};
    config.language.validation_texts = (config_texts){held_items, 1};
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++) config.train_sets[i].type = NULL;
    static const int counts[] = {2, 3, 1};
    static const char *const firsts[] = {"No effusion.\nThe heart", "No effusion.",
                                         "No effusion.\nThe heart\r\n \t\n The end."};
    uint64_t fingerprints[3];
    for (int kind = 0; kind < 3; kind++) {
        language_corpus c;
        config.language.document = kind;
        assert_ok(language_corpus_read(&c, &config, tokenizer, bpe_find(tokenizer, "<eos>", 5), &error));
        assert_int_equal(c.train.count, counts[kind]);
        assert_document(&c, &c.train, 0, tokenizer, firsts[kind]);
        if (kind < 2) {
            assert_document(&c, &c.train, c.train.count - 1, tokenizer, "The end.");
            assert_int_equal(c.validation.count, 1); /* the other one is trained on */
            assert_document(&c, &c.validation, 0, tokenizer, "Normal.");
            assert_int_equal(c.validation.bytes, 7);
        }
        fingerprints[kind] = c.fingerprint;
        language_corpus_free(&c);
    }
    assert_true(fingerprints[0] != fingerprints[1] && fingerprints[1] != fingerprints[2]);
    bpe_free(tokenizer);
}

static void reports_are_tidied(void **state) {
    (void)state;
    char text[] = "  FINAL REPORT\n EXAMINATION:\tCHEST \n \n\n FINDINGS:\r\n\r\n No effusion.\n Clear.\n ";
    uint64_t size = film_report_tidy(text, strlen(text));
    assert_string_equal(text, "FINAL REPORT EXAMINATION: CHEST\nFINDINGS:\nNo effusion. Clear.");
    assert_int_equal(size, strlen(text));
    char empty[] = " \n\n";
    assert_int_equal(film_report_tidy(empty, 3), 0);
    assert_string_equal(empty, "");
}

/* ---- rows ---- */

enum { DOCUMENTS = 9, CONTEXT = 8, PAD = 5 };

/* Document i: tokens 100 i, 100 i + 1, ..., i + 2 of them; the fourth has a prompt of three. */
static void make_corpus(language_corpus *c) {
    *c = (language_corpus){0};
    for (int i = 0; i < DOCUMENTS; i++) {
        int32_t ids[32];
        for (int k = 0; k < i + 2; k++) ids[k] = 100 * i + k;
        if (i == 8) /* longer than a row */
            for (int k = 0; k < 22; k++) ids[k] = 100 * i + k;
        assert_ok(language_corpus_add(c, &c->train, ids, i == 8 ? 22 : (uint64_t)i + 2, i == 4 ? 3 : 1, &error));
    }
}

static language_rows make_rows(const language_corpus *c, bool packed, uint64_t seed) {
    language_rows r;
    const language_rows_options options = {
        .context = CONTEXT, .packed = packed, .shuffled = true, .seed = seed, .pad = PAD};
    assert_ok(language_rows_create(&r, c, &c->train, &options, &error));
    return r;
}

typedef struct row {
    float ids[CONTEXT], targets[CONTEXT], weights[CONTEXT];
} row;

static row get(language_rows *r, uint64_t number) {
    row out;
    double sum = language_rows_fill(r, number, out.ids, out.targets, out.weights), wanted = 0;
    for (int i = 0; i < CONTEXT; i++) wanted += (double)out.weights[i];
    assert_true(sum == wanted);
    return out;
}

/* Within a document the target is the next token; behind it, and of a prompt, there is none. */
static void every_token_is_guessed_once(void **state) {
    (void)state;
    language_corpus c;
    make_corpus(&c);
    for (int packed = 0; packed < 2; packed++) {
        language_rows r = make_rows(&c, packed, 1);
        assert_int_equal(r.count, packed ? (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 21 + 7) / 8 : 8 + 3);
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            static int seen[1000];
            int padding = 0;
            memset(seen, 0, sizeof seen);
            for (uint64_t n = 0; n < r.count; n++) {
                row w = get(&r, epoch * r.count + n);
                for (int i = 0; i < CONTEXT; i++) {
                    padding += w.ids[i] == PAD;
                    if (w.weights[i] > 0) {
                        assert_true(w.targets[i] == w.ids[i] + 1);
                        seen[(int)w.targets[i]]++;
                    } else {
                        assert_true(w.targets[i] == -1);
                        assert_true(w.ids[i] == PAD || w.ids[i] == 400 || w.ids[i] == 401);
                    }
                    if (!packed) assert_true(w.ids[i] == PAD || (int)w.ids[i] / 100 == (int)w.ids[0] / 100);
                }
            }
            for (int i = 0; i < DOCUMENTS; i++)
                for (int k = 0; k < (i == 8 ? 22 : i + 2); k++)
                    assert_int_equal(seen[100 * i + k], k > 0 && !(i == 4 && k < 3));
            assert_true(packed ? padding < CONTEXT : padding > CONTEXT);
        }
        language_rows_free(&r);
    }
    language_corpus_free(&c);
}

static void rows_follow_from_seed_and_number(void **state) {
    (void)state;
    language_corpus c;
    make_corpus(&c);
    language_rows r = make_rows(&c, true, 1), again = make_rows(&c, true, 1), other = make_rows(&c, true, 2);
    int differ = 0, epochs_differ = 0;
    uint64_t end = 3 * r.count;
    row kept[64];
    assert_true(end <= 64);
    for (uint64_t n = 0; n < end; n++) kept[n] = get(&r, n);
    for (uint64_t n = end; n-- > 0;) { /* from any place, in any order */
        row w = get(&again, n), v = get(&other, n);
        assert_memory_equal(&w, &kept[n], sizeof w);
        differ += memcmp(&v, &w, sizeof v) != 0;
        if (n >= r.count) epochs_differ += memcmp(&kept[n], &kept[n - r.count], sizeof w) != 0;
    }
    assert_true(differ > 0 && epochs_differ > 0);
    language_rows_free(&r), language_rows_free(&again), language_rows_free(&other);
    language_corpus_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_of_files),
        cmocka_unit_test(reports_are_tidied),
        cmocka_unit_test(every_token_is_guessed_once),
        cmocka_unit_test(rows_follow_from_seed_and_number),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
