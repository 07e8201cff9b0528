/* Training from end to end on a tiny set: the loss falls; one thread or two, stopped or killed and resumed, the numbers
 * are the same; a full disk loses nothing; a checkpoint or a configuration that does not fit is refused by name. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/folder_lock.h"
#include "base/progress.h"
#include "format/safetensors.h"
#include "model/model_file.h"
#include "train/checkpoint.h"
#include "train/run_log.h"
#include "train/trainer.h"
#include "train_set.h"

#define STEPS 12

static char folder[400], configuration[500];
static carina_error error;

static int set_up(void **state) {
    (void)state;
    char text[2000];
    snprintf(folder, sizeof folder, "%s/trainer-XXXXXX", TEST_TMP);
    if (!mkdtemp(folder)) return -1;
    if (train_set_write(folder, 3, &error) != CARINA_OK) return -1;
    snprintf(configuration, sizeof configuration, "%s/config.yaml", folder);
    snprintf(text, sizeof text,
             "name: full\nruns: %s/runs\nseed: 7\n"
             "model: {resnet_depth: 18, resnet_width: 0.0625, resnet_norm: batch, model_width: 32, heads: 2,\n"
             "        encoder_layers: 1, decoder_layers: 2, ffn_width: 64, image_size: 64, dropout: 0.1}\n"
             "data:\n  train: {type: nih_boxes, annotations: %s}\n"
             "  validation: {type: nih_boxes, annotations: %s, limit: 5}\n"
             "training: {steps: %d, batch_size: 4, validate_every: 5, save_every: 5, log_every: 3}\n"
             "optimizer: {rate: 3e-3, clip_norm: 1, ema_decay: 0.9, warmup_steps: 2}\n"
             "augment: {noise: 0.02, gamma: 0.2}\n",
             folder, folder, folder, STEPS);
    return file_write(configuration, text, strlen(text), &error) == CARINA_OK ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[500];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

/* Runs with up to three more words; the result's folder names the run. */
static carina_status train_with(trainer_options o, trainer_result *result, const char *name, const char *word) {
    char name_word[100];
    snprintf(name_word, sizeof name_word, "name=%s", name);
    const char *words[] = {name_word, word};
    train_config config;
    carina_status status = train_config_read(&config, configuration, words, word ? 2 : 1, &error);
    if (status != CARINA_OK) return status;
    status = trainer_run(&config, &o, result, &error);
    train_config_free(&config);
    return status;
}

static void run_path(char out[600], const char *name, const char *file) {
    snprintf(out, 600, "%s/runs/%s/%s", folder, name, file);
}

/* Lines of metrics.jsonl without what depends on the clock. */
static char *timeless_log(const char *name) {
    char path[600];
    uint8_t *text;
    uint64_t size;
    run_path(path, name, "metrics.jsonl");
    assert_ok(file_read(path, 100000, &text, &size, &error));
    char *out = calloc(1, size + 1), *to = out;
    for (char *line = (char *)text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        char *loss = strstr(line, "\"loss\""), *epoch = strstr(line, ", \"films_per_second\"");
        if (!loss || !epoch) continue;
        *epoch = 0;
        to += sprintf(to, "%s\n", loss);
    }
    free(text);
    assert_true(to > out);
    return out;
}

static void assert_same_log(const char *a, const char *b) {
    char *left = timeless_log(a), *right = timeless_log(b);
    assert_string_equal(left, right);
    free(left), free(right);
}

/* Every tensor of both runs' checkpoints, bit by bit, and what was logged. */
static void assert_same_checkpoints(const char *a, const char *b) {
    char path[2][600];
    tensor_file files[2];
    run_path(path[0], a, "checkpoint.safetensors");
    run_path(path[1], b, "checkpoint.safetensors");
    for (int i = 0; i < 2; i++) assert_ok(safetensors_read(&files[i], path[i], &error));
    assert_int_equal(files[0].count, files[1].count);
    for (uint64_t i = 0; i < files[0].count; i++) {
        const named_tensor *t = &files[0].tensors[i], *u = &files[1].tensors[i];
        assert_string_equal(t->name, u->name);
        assert_int_equal(t->byte_count, u->byte_count);
        if (memcmp(t->data, u->data, (size_t)t->byte_count) != 0) fail_msg("%s differs", t->name);
    }
    const char *keys[] = {"step", "batch", "best", "best_step", "skipped"};
    for (int i = 0; i < 5; i++)
        assert_string_equal(tensor_file_metadata(&files[0], keys[i]), tensor_file_metadata(&files[1], keys[i]));
    for (int i = 0; i < 2; i++) tensor_file_free(&files[i]);
    double difference;
    int count;
    assert_same_log(a, b);
    run_path(path[0], a, "first_losses.txt");
    run_path(path[1], b, "first_losses.txt");
    assert_ok(run_log_compare_losses(path[0], path[1], &difference, &count, &error));
    assert_true(difference == 0);
    assert_int_equal(count, STEPS);
}

static void the_loss_falls(void **state) {
    (void)state;
    trainer_result result;
    assert_ok(train_with((trainer_options){.threads = 2}, &result, "full", NULL));
    assert_true(result.finished);
    assert_int_equal(result.step, STEPS);
    assert_true(result.best > 0 && result.best <= 1);
    char path[600];
    run_path(path, "full", "first_losses.txt");
    uint8_t *text;
    uint64_t size;
    assert_ok(file_read(path, 10000, &text, &size, &error));
    double first = 0;
    assert_int_equal(sscanf((char *)text, "1 %lf", &first), 1);
    free(text);
    assert_true(result.loss < 0.8 * first);
    const char *files[] = {"config.yaml",      "metrics.jsonl",   "log.txt", "checkpoint.safetensors",
                           "best.safetensors", "last.safetensors"};
    for (int i = 0; i < 6; i++) {
        run_path(path, "full", files[i]);
        assert_true(file_exists(path));
    }
    /* A run is not overwritten by accident. */
    assert_int_equal(train_with((trainer_options){.threads = 1}, &result, "full", NULL), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "--resume"));
}

static void one_thread_is_as_two(void **state) {
    (void)state;
    trainer_result result;
    assert_ok(train_with((trainer_options){.threads = 1}, &result, "one", "data.threads=3"));
    assert_same_checkpoints("full", "one");
}

static void stopped_and_resumed_is_the_same(void **state) {
    (void)state;
    trainer_result result;
    assert_ok(train_with((trainer_options){.threads = 1, .stop_after = 4}, &result, "cut", "data.cache=false"));
    assert_false(result.finished);
    assert_ok(train_with((trainer_options){.threads = 2, .stop_after = 5, .resume = true}, &result, "cut", NULL));
    assert_int_equal(result.step, 9);
    assert_ok(train_with((trainer_options){.threads = 2, .resume = true}, &result, "cut", NULL));
    assert_same_checkpoints("full", "cut");
}

/* The same with Muon, whose matrices have one moment only. */
static void muon_resumes_the_same(void **state) {
    (void)state;
    const char *muon = "optimizer.type=muon";
    trainer_result result;
    assert_ok(train_with((trainer_options){.threads = 2}, &result, "muon-full", muon));
    assert_ok(train_with((trainer_options){.threads = 1, .stop_after = 4}, &result, "muon-cut", muon));
    assert_ok(train_with((trainer_options){.threads = 2, .resume = true}, &result, "muon-cut", muon));
    assert_same_checkpoints("muon-full", "muon-cut");
}

/* In a child: begins or resumes the run `name`, saving after every step. */
static pid_t train_in_child(const char *name, bool resume, void (*prepare)(void)) {
    pid_t child = fork();
    if (child != 0) return child;
    trainer_result result;
    if (prepare) prepare();
    carina_status status =
        train_with((trainer_options){.threads = 1, .resume = resume}, &result, name, "training.save_every=1");
    _exit(status == CARINA_OK ? (result.interrupted ? 10 : 0) : 20);
}

/* The checkpoint's inode, which changes with every save; 0: there is none. */
static ino_t checkpoint_identity(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

/* Each child is killed a little after its first or second save, in the middle of a step or of the next save. */
static void killed_at_any_moment(void **state) {
    (void)state;
    char path[600];
    int status = -1, kills = 0;
    run_path(path, "killed", "checkpoint.safetensors");
    for (int i = 0; i < 30 && !WIFEXITED(status); i++) {
        ino_t before = checkpoint_identity(path);
        pid_t child = train_in_child("killed", before != 0, NULL), gone = 0;
        while (checkpoint_identity(path) == before && (gone = waitpid(child, &status, WNOHANG)) == 0) usleep(200);
        if (gone == 0 && kills < 6) {
            usleep((useconds_t)(700 * (i % 7)));
            kill(child, SIGKILL);
        }
        if (gone == 0) assert_int_equal(waitpid(child, &status, 0), child);
        kills += WIFSIGNALED(status);
    }
    assert_true(WIFEXITED(status) && kills >= 3);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_same_checkpoints("full", "killed");
}

/* What a killed process left half written is gone when the run goes on; what a living one writes, and other names,
 * stay. */
static void halves_of_killed_runs_are_removed(void **state) {
    (void)state;
    trainer_result result;
    char name[64], dead[600], living[600], other[600];
    pid_t child = fork();
    if (child == 0) _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child); /* from now on nobody has its number */
    snprintf(name, sizeof name, "checkpoint.safetensors.tmp-%ld", (long)child);
    run_path(dead, "killed", name);
    snprintf(name, sizeof name, "best.safetensors.tmp-%ld", (long)getppid());
    run_path(living, "killed", name);
    run_path(other, "killed", "notes.tmp-old");
    const char *const written[] = {dead, living, other};
    for (int i = 0; i < 3; i++) assert_ok(file_write(written[i], "half", 4, &error));
    assert_ok(train_with((trainer_options){.threads = 1, .resume = true}, &result, "killed", "training.steps=13"));
    assert_true(!file_exists(dead) && file_exists(living) && file_exists(other));
    remove(living);
    remove(other);
}

static void limit_files(void) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {50000, 50000}; /* less than the checkpoint */
    setrlimit(RLIMIT_FSIZE, &limit);
}

static int count_entries(const char *name) {
    char path[600];
    run_path(path, name, "");
    DIR *open_folder = opendir(path);
    int count = 0;
    for (struct dirent *entry; open_folder && (entry = readdir(open_folder));) count += entry->d_name[0] != '.';
    if (open_folder) closedir(open_folder);
    return count;
}

static void a_full_disk_loses_nothing(void **state) {
    (void)state;
    trainer_result result;
    int status;
    assert_ok(train_with((trainer_options){.threads = 1, .stop_after = 4}, &result, "disk", NULL));
    int entries = count_entries("disk");
    assert_true(waitpid(train_in_child("disk", true, limit_files), &status, 0) > 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 20);
    assert_int_equal(count_entries("disk"), entries); /* no temporary file stays behind */
    assert_ok(train_with((trainer_options){.threads = 1, .resume = true}, &result, "disk", NULL));
    assert_same_checkpoints("full", "disk");
}

/* Whoever comes second changes nothing, whatever it was asked for. */
static void two_runs_do_not_share_a_folder(void **state) {
    (void)state;
    char path[600], run[600];
    folder_lock *lock, *second;
    trainer_result result;
    run_path(run, "full", "");
    run_path(path, "full", "checkpoint.safetensors");
    ino_t before = checkpoint_identity(path);
    assert_ok(folder_lock_take(&lock, run, &error));
    assert_int_equal(folder_lock_take(&second, run, &error), CARINA_ERROR_IO);
    assert_null(second);
    const trainer_options asked[] = {{.threads = 1, .resume = true}, {.threads = 1, .overwrite = true}, {.threads = 1}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(train_with(asked[i], &result, "full", NULL), CARINA_ERROR_IO);
        if (!strstr(error.message, "full: another process is at work in this folder")) fail_msg("%s", error.message);
        assert_true(checkpoint_identity(path) == before);
    }
    folder_lock_release(lock);
    assert_ok(train_with(asked[0], &result, "full", NULL));
    assert_true(result.finished_before);

    /* Also while the first is being killed: the lock ends with its process. */
    assert_ok(train_with((trainer_options){.threads = 1, .stop_after = 2}, &result, "held", NULL));
    run_path(run, "held", "");
    int pipes[2], status;
    char ready;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        ready = folder_lock_take(&lock, run, NULL) == CARINA_OK;
        if (write(pipes[1], &ready, 1) != 1) _exit(1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(pipes[0], &ready, 1), 1);
    assert_true(ready);
    assert_int_equal(train_with(asked[0], &result, "held", NULL), CARINA_ERROR_IO);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(pipes[0]);
    close(pipes[1]);
    assert_ok(train_with(asked[0], &result, "held", NULL));
    assert_same_checkpoints("full", "held");
}

static void interrupt_soon(void) {
    progress_catch_interrupts();
    raise(SIGINT);
}

static void an_interrupt_saves(void **state) {
    (void)state;
    trainer_result result;
    int status;
    assert_ok(train_with((trainer_options){.threads = 1, .stop_after = 2}, &result, "int", NULL));
    assert_true(waitpid(train_in_child("int", true, interrupt_soon), &status, 0) > 0);
    assert_int_equal(WEXITSTATUS(status), 10);
    assert_ok(train_with((trainer_options){.threads = 1, .resume = true}, &result, "int", NULL));
    assert_same_checkpoints("full", "int");
}

static void accumulated_batches(void **state) {
    (void)state;
    trainer_result result;
    const char *word = "training.accumulate=2";
    assert_ok(train_with((trainer_options){.threads = 1, .stop_after = 3}, &result, "sum", word));
    assert_true(result.loss > 0);
}

/* Nothing is left to do, and nothing is done; but a run that was killed before its last file makes up for it. */
static void a_finished_run_stays_finished(void **state) {
    (void)state;
    char path[600];
    trainer_result result;
    trainer_options resume = {.threads = 1, .resume = true};
    run_path(path, "full", "checkpoint.safetensors");
    ino_t before = checkpoint_identity(path);
    assert_ok(train_with(resume, &result, "full", "data.train.annotations=/nowhere"));
    assert_true(result.finished && result.finished_before && isnan(result.loss));
    assert_int_equal(result.step, STEPS);
    assert_true(result.best > 0 && result.best_step > 0);
    assert_true(checkpoint_identity(path) == before);
    run_path(path, "int", "last.safetensors");
    assert_int_equal(unlink(path), 0);
    assert_ok(train_with(resume, &result, "int", NULL));
    assert_true(result.finished && !result.finished_before);
    assert_true(file_exists(path));
    assert_same_checkpoints("full", "int");
}

static void nothing_is_left_where_nothing_begins(void **state) {
    (void)state;
    char path[600];
    trainer_result result;
    const char *words[] = {"data.train.annotations=/nowhere", "data.validation.annotations=/nowhere", "start=/nowhere",
                           "training.batch_size=17"};
    const char *keys[] = {"config.yaml: data.train: ", "config.yaml: data.validation: ", "config.yaml: start: ",
                          "config.yaml: training.batch_size: 16 films"};
    for (int i = 0; i < 4; i++) {
        assert_true(train_with((trainer_options){.threads = 1}, &result, "never", words[i]) != CARINA_OK);
        if (!strstr(error.message, keys[i])) fail_msg("%s", error.message);
        run_path(path, "never", "");
        assert_false(file_exists(path));
    }
}

/* Each names the place, the whole key and what would do. */
static void configurations_that_make_no_run(void **state) {
    (void)state;
    trainer_result result;
    static const char *const cases[][2] = {
        {"model.heads=3", "command line: model.heads: 3 heads do not divide model.model_width 32"},
        {"model.feature_heads=5", "command line: model.feature_heads: 5 heads do not divide"},
        {"model.model_width=30", "command line: model.model_width: 30 is not divisible by 4"},
        {"model.resnet_depth=20", "command line: model.resnet_depth: must be 18, 34 or 50, not 20"},
        {"model.encoder_weights=dinov3",
         "command line: model.encoder_weights: DINOv3's weights want model.encoder: vit"},
        {"model.vit_width=48", "command line: model.vit_width: has no effect: model.encoder is not vit; leave it out"},
        {"optimizer.momentum=0.9", "command line: optimizer.momentum: has no effect: optimizer.type is not muon"},
        {"alignment.tau=0.5", "command line: alignment.tau: has no effect: without alignment.text_encoder there is"},
        {"model.resnet_width=0.07", "command line: model.resnet_width: 0.07 of 64 channels is no whole number"},
        {"model.encoder_layers=0", "command line: model.encoder_layers: must lie in 1 .. 12"},
        {"data.train.type=nih_bxes",
         "command line: data.train.type: unknown data set type \"nih_bxes\" (did you mean "
         "nih_boxes?)"},
        {"data.monitor.type=x", "command line: data.monitor.type: unknown data set type"},
        {"data.train2.type=nih_boxes", "data.train2.annotations: no folder is given"},
        {"data.validation.split=tset", "command line: data.validation.split: unknown split \"tset\"; choose train"},
        {"atlas=nosuch", "command line: atlas: 'nosuch' is neither a region set that is built in (such as"},
        {"atlas=anatomix3", "(did you mean anatomix36)"},
        {"runs=a\nb", "command line: runs: a folder's name has no line breaks"},
        {"runs=", "command line: runs: no folder is given"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        carina_status status = train_with((trainer_options){0}, &result, "x", cases[i][0]);
        if (!strstr(error.message, cases[i][1])) fail_msg("%s", error.message);
        bool by_word = strstr(error.message, "command line: ") != NULL; /* it set the key that is named */
        assert_int_equal(status, by_word ? CARINA_ERROR_ARGUMENT : CARINA_ERROR_FORMAT);
    }
    char regions[600], word[700];
    snprintf(regions, sizeof regions, "%s/atlas.yaml", folder);
    snprintf(word, sizeof word, "atlas=%s", regions);
    assert_ok(file_write(regions, "{", 1, &error));
    assert_int_equal(train_with((trainer_options){0}, &result, "x", word), CARINA_ERROR_FORMAT); /* the file's fault */
    assert_int_equal(train_with((trainer_options){0}, &result, "a/b", NULL), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "command line: name: "));
}

/* Reads `text`, with words, in a file of its own. */
static carina_status read_text(train_config *out, const char *text, const char *const *words, int count) {
    char path[500];
    snprintf(path, sizeof path, "%s/keys.yaml", folder);
    assert_ok(file_write(path, text, strlen(text), &error));
    return train_config_read(out, path, words, count, &error);
}

/* Beside another encoder, or without sentences: refused where set, unless a word decides later than the file; and what
 * a run writes down has none. A file that lists every key with its default is as good. */
static void keys_without_effect(void **state) {
    (void)state;
    static const char data[] = "name: x\ndata: {train: {type: nih_boxes, annotations: films}}\n";
    static const char *const refused[][2] = {
        {"model: {encoder: vit, resnet_fine: true}",
         "keys.yaml: model.resnet_fine: has no effect: model.encoder is vit"},
        {"model: {encoder: vit, resnet_norm: batch}", "keys.yaml: model.resnet_norm: has no effect"},
        {"model: {vit_layers: 3}", "keys.yaml: model.vit_layers: has no effect: model.encoder is not vit"},
        {"model: {decoder_layers: 1, box_mean: true}",
         "keys.yaml: model.box_mean: has no effect: model.decoder_layers is 1"},
        {"model.vit_layers: 3", "keys.yaml: model.vit_layers: has no effect"},
        {"alignment: {loss: clip}", "keys.yaml: alignment.loss: has no effect: without alignment.text_encoder"},
    };
    char text[1000];
    train_config c;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        snprintf(text, sizeof text, "%s%s\n", data, refused[i][0]);
        assert_int_equal(read_text(&c, text, NULL, 0), CARINA_ERROR_FORMAT);
        if (!strstr(error.message, refused[i][1])) fail_msg("%s", error.message);
    }
    snprintf(text, sizeof text, "%smodel: {resnet_depth: 18, resnet_fine: true, image_size: 64}\n", data);
    static const char *const words[] = {"model.encoder=vit", "model.vit_layers=3", "model.resnet_norm=batch"};
    assert_int_equal(read_text(&c, text, words, 3), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "command line: model.resnet_norm: has no effect"));
    assert_ok(read_text(&c, text, words, 2));
    assert_non_null(strstr(c.text, "vit_layers: 3"));
    assert_null(strstr(c.text, "resnet_"));
    assert_non_null(strstr(c.text, "alignment:\n  text_encoder: "));
    assert_null(strstr(c.text, "tau"));
    char *written = c.text;
    c.text = NULL;
    train_config_free(&c);
    assert_ok(read_text(&c, written, NULL, 0));
    assert_string_equal(c.text, written);
    train_config_free(&c);
    free(written);
    snprintf(text, sizeof text, "%smodel: {encoder: vit, resnet_depth: 50, resnet_width: 1.0}\n", data);
    assert_ok(read_text(&c, text, NULL, 0));
    train_config_free(&c);
}

static char said[1000];

static void remember(const char *line) {
    size_t length = strlen(said);
    snprintf(said + length, sizeof said - length, "%s\n", line);
}

/* Whatever is something else on resuming is said and logged, unless no result depends on it; what decides on the
 * network or the place in the data is refused. */
static void changes_are_said(void **state) {
    (void)state;
    char path[600];
    trainer_result result;
    uint8_t *log;
    uint64_t size;
    trainer_options first = {.threads = 1, .stop_after = 1}, resume = first;
    resume.resume = true;
    resume.note = remember;
    assert_ok(train_with(first, &result, "said", "data.cache=false"));
    static const char *const refused[][2] = {
        {"training.batch_size=2",
         "checkpoint.safetensors: made with training.batch_size: 4, which is 2 now; restore it"},
        {"model.dropout=0.2", "made with model.dropout: 0.1, which is 0.2 now"},
        {"model.heads=4", "made with model.heads: 2, which is 4 now"},
        {"optimizer.type=muon", "made with optimizer.type: adamw, which is muon now"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(train_with(resume, &result, "said", refused[i][0]), CARINA_ERROR_MISMATCH);
        if (!strstr(error.message, refused[i][1])) fail_msg("%s", error.message);
    }
    assert_string_equal(said, "");
    assert_ok(train_with(resume, &result, "said", "data.threads=2"));
    assert_string_equal(said, "");
    assert_ok(train_with(resume, &result, "said", "optimizer.rate=1e-3"));
    assert_string_equal(said, "resumed with optimizer.rate 0.001, was 0.003\n");
    said[0] = 0;
    assert_ok(train_with(resume, &result, "said", "data.validation.limit=6"));
    assert_non_null(strstr(said, "resumed with optimizer.rate 0.003, was 0.001\n"));
    assert_non_null(strstr(said, "resumed with data.validation.limit 6, was 5\n"));
    run_path(path, "said", "log.txt");
    assert_ok(file_read(path, 1 << 20, &log, &size, &error));
    assert_non_null(strstr((char *)log, "Z resumed with optimizer.rate 0.001, was 0.003\n"));
    free(log);
}

/* Numbers of a checkpoint that no run can have: its place in the data would never come. */
static void impossible_checkpoints_are_refused(void **state) {
    (void)state;
    static char *const cases[][2] = {
        {"step", "18446744073709551615"},
        {"batch", "18446744073709551615"},
        {"batch", "8193"},
        {"skipped", "3"},
        {"best_step", "3"},
        {"best", "nan"},
        {"best", "inf"},
        {"seconds", "-1"},
        {"unlogged", "3 0 0 0 0 0 0 0"},
        {"unlogged", "1.5 0 0 0 0 0 0"},
        {"unlogged", "0 1 0 0 0 0 0 0"},
        {"unlogged", "1 0 0 0 0 0 0 nan"},
        {"unlogged", "1 0 0 0 0 0 0 0 0"},
        {"unlogged", ""},
        {"configuration", "{{{"},
    };
    char path[600], expected[100];
    trainer_result result;
    tensor_file file;
    assert_ok(train_with((trainer_options){.threads = 1, .stop_after = 2}, &result, "odd", NULL));
    run_path(path, "odd", "checkpoint.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(safetensors_read(&file, path, &error));
        tensor_file_entry *entry = file.metadata;
        while (strcmp(entry->key, cases[i][0]) != 0) entry++;
        char *value = entry->value;
        entry->value = cases[i][1];
        assert_ok(safetensors_write(path, file.tensors, file.count, file.metadata, file.metadata_count, &error));
        assert_int_equal(train_with((trainer_options){.threads = 1, .resume = true}, &result, "odd", NULL),
                         CARINA_ERROR_FORMAT);
        snprintf(expected, sizeof expected, "odd/checkpoint.safetensors: metadata %s: ", cases[i][0]);
        if (!strstr(error.message, expected)) fail_msg("%s", error.message);
        entry->value = value;
        assert_ok(safetensors_write(path, file.tensors, file.count, file.metadata, file.metadata_count, &error));
        tensor_file_free(&file);
    }
    assert_ok(train_with((trainer_options){.threads = 1, .resume = true, .stop_after = 1}, &result, "odd", NULL));
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    trainer_result result;
    trainer_options resume = {.threads = 1, .resume = true};
    assert_int_equal(train_with(resume, &result, "full", "model.model_width=64"), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "tensor model."));
    assert_int_equal(train_with(resume, &result, "full", "seed=8"), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "seed 7"));
    assert_ok(train_with((trainer_options){.threads = 1, .stop_after = 2}, &result, "part", NULL));
    assert_int_equal(train_with(resume, &result, "part", "data.train.limit=9"), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "other training data"));
    assert_int_equal(train_with(resume, &result, "nothing", NULL), CARINA_ERROR_IO);
    assert_int_equal(train_with((trainer_options){0}, &result, "a/b", NULL), CARINA_ERROR_ARGUMENT);
    assert_true(train_with((trainer_options){0}, &result, "x", "optimizer.rte=1") != CARINA_OK);
    assert_non_null(strstr(error.message, "optimizer.rate"));
}

/* ---- model files ---- */

static void models_survive_their_file(void **state) {
    (void)state;
    char path[600], copy[600];
    model_file first, second;
    run_path(path, "full", "last.safetensors");
    run_path(copy, "full", "copy.safetensors");
    assert_ok(model_file_load(&first, path, &error));
    assert_int_equal(first.model->config.model_width, 32);
    assert_string_equal(first.regions->name, "anatomix36");
    assert_string_equal(first.regions->regions[35].concept_name, atlas_anatomix36()->regions[35].concept_name);
    assert_int_equal(first.regions->regions[35].partner, atlas_anatomix36()->regions[35].partner);
    assert_int_equal(first.regions->regions[3].finding_count, atlas_anatomix36()->regions[3].finding_count);
    assert_non_null(strstr(model_file_note_text(&first, "training_configuration"), "warmup_steps: 2"));
    model_file_note note = {"card", "a\nb"};
    assert_ok(model_file_save(copy, first.model, NULL, first.regions, MODEL_FILE_BF16, &note, 1, &error));
    assert_ok(model_file_load(&second, copy, &error));
    assert_string_equal(model_file_note_text(&second, "card"), "a\nb");
    for (int i = 0; i < first.model->parameters->count; i++) {
        const parameter *p = first.model->parameters->items[i], *q = second.model->parameters->items[i];
        for (int64_t k = 0; k < p->count; k++) {
            double difference = (double)p->value[k] - (double)q->value[k];
            assert_true(difference * difference <= (p->rank < 2 ? 0 : 1.6e-5 * (double)(p->value[k] * p->value[k])));
        }
    }
    model_file_free(&first);
    model_file_free(&second);
}

/* The model that the full run left, by `last`. */
static void load_last(model_file *last, char path[static 600]) {
    run_path(path, "full", "last.safetensors");
    assert_ok(model_file_load(last, path, &error));
}

/* The checkpoint's averaged weights are the model that `last` holds. */
static void weights_come_from_checkpoints_too(void **state) {
    (void)state;
    char path[600];
    model_file last;
    apm *model;
    load_last(&last, path);
    assert_ok(apm_create(&model, &last.model->config, 99, &error));
    run_path(path, "full", "checkpoint.safetensors");
    assert_ok(model_file_load_weights(model, path, &error));
    for (int i = 0; i < model->parameters->count; i++)
        assert_memory_equal(model->parameters->items[i]->value, last.model->parameters->items[i]->value,
                            (size_t)model->parameters->items[i]->count * sizeof(float));
    apm_free(model);
    model_file_free(&last);
}

/* A run may start from a model without a branch that adds nothing at zero; a model of its own must have it. */
static void a_run_starts_without_an_optional_branch(void **state) {
    (void)state;
    char path[600];
    model_file last;
    apm *model;
    load_last(&last, path);
    apm_config config = last.model->config;
    config.box_queries = true;
    assert_ok(apm_create(&model, &config, 99, &error));
    assert_ok(model_file_load_weights(model, path, &error));
    const parameter *branch = parameters_find(model->parameters, "transformer.decoder.box_query.weight");
    for (int64_t i = 0; i < branch->count; i++) assert_float_equal(branch->value[i], 0, 0);
    tensor_file file;
    assert_ok(safetensors_read(&file, path, &error));
    assert_int_equal(model_file_copy_weights(model, &file, path, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "no tensor for parameter transformer.decoder.box_query.weight"));
    tensor_file_free(&file);
    apm_free(model);
    model_file_free(&last);
}

/* Writes the model again with one tensor spoiled; the message must name it. */
static void spoiled(int kind, carina_status expected, const char *message) {
    char path[600], copy[600];
    tensor_file file;
    model_file m;
    run_path(path, "full", "last.safetensors");
    run_path(copy, "full", "spoiled.safetensors");
    assert_ok(safetensors_read(&file, path, &error));
    named_tensor *tensors = calloc((size_t)file.count, sizeof *tensors), *t = tensors;
    memcpy(tensors, file.tensors, (size_t)file.count * sizeof *tensors);
    while (strcmp(t->name, "query_embed.weight") != 0) t++;
    float *values = malloc((size_t)t->byte_count);
    memcpy(values, t->data, (size_t)t->byte_count);
    t->data = values;
    char other[] = "something_else";
    if (kind == 0) values[5] = 0.0f / 0.0f;
    if (kind == 1) t->shape[0] = t->shape[1], t->shape[1] = file.tensors[t - tensors].shape[0];
    if (kind == 2) t->name = other;
    if (kind == 3 || kind == 4) memset(values, 0, (size_t)t->byte_count);
    for (uint64_t i = 0; kind == 4 && i < t->byte_count / sizeof *values; i++) values[i] = 0.5f;
    assert_ok(safetensors_write(copy, tensors, file.count, file.metadata, file.metadata_count, &error));
    assert_int_equal(model_file_load(&m, copy, &error), expected);
    if (!strstr(error.message, message)) fail_msg("%s", error.message);
    assert_non_null(strstr(error.message, "spoiled.safetensors"));
    free(values);
    free(tensors);
    tensor_file_free(&file);
}

static void spoiled_models_are_named(void **state) {
    (void)state;
    spoiled(0, CARINA_ERROR_FORMAT, "query_embed.weight");
    spoiled(1, CARINA_ERROR_MISMATCH, "query_embed.weight");
    spoiled(2, CARINA_ERROR_MISMATCH, "query_embed.weight");
    spoiled(3, CARINA_ERROR_FORMAT, "query_embed.weight holds nothing but the number 0");
    spoiled(4, CARINA_ERROR_FORMAT, "query_embed.weight holds nothing but the number 0.5");
    model_file m;
    char path[600];
    run_path(path, "full", "checkpoint.safetensors");
    assert_true(model_file_load(&m, path, &error) != CARINA_OK); /* a checkpoint is not a model */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_falls),
        cmocka_unit_test(one_thread_is_as_two),
        cmocka_unit_test(stopped_and_resumed_is_the_same),
        cmocka_unit_test(muon_resumes_the_same),
        cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(halves_of_killed_runs_are_removed),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(two_runs_do_not_share_a_folder),
        cmocka_unit_test(an_interrupt_saves),
        cmocka_unit_test(accumulated_batches),
        cmocka_unit_test(a_finished_run_stays_finished),
        cmocka_unit_test(nothing_is_left_where_nothing_begins),
        cmocka_unit_test(configurations_that_make_no_run),
        cmocka_unit_test(keys_without_effect),
        cmocka_unit_test(changes_are_said),
        cmocka_unit_test(impossible_checkpoints_are_refused),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(models_survive_their_file),
        cmocka_unit_test(weights_come_from_checkpoints_too),
        cmocka_unit_test(a_run_starts_without_an_optional_branch),
        cmocka_unit_test(spoiled_models_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
