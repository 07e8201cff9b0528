/* The files of a run; see run_log.h. */
#include "train/run_log.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "format/json_writer.h"
#include "format/tensorboard.h"

#define LOG_MAX_BYTES (1ull << 30)

struct run_log {
    FILE *metrics, *first, *text;
    tensorboard *board;
};

/* The step a line begins with: `{"step": 12, ...` or `12 0.5`; UINT64_MAX when it has none. */
static uint64_t line_step(const char *line) {
    uint64_t step;
    if (sscanf(line, "{\"step\": %" SCNu64, &step) == 1) return step;
    if (sscanf(line, "%" SCNu64, &step) == 1) return step;
    return UINT64_MAX;
}

/* Keeps the whole lines of steps 1 .. steps_done. */
static carina_status cut_lines(const char *path, uint64_t steps_done, carina_error *error) {
    uint8_t *bytes;
    uint64_t size, kept = 0;
    if (!file_exists(path)) return CARINA_OK;
    TRY(file_read(path, LOG_MAX_BYTES, &bytes, &size, error));
    for (uint64_t begin = 0; begin < size;) {
        const uint8_t *end = memchr(bytes + begin, '\n', (size_t)(size - begin));
        if (!end) break; /* half a line from a kill */
        uint64_t length = (uint64_t)(end - bytes) + 1 - begin;
        if (line_step((const char *)bytes + begin) <= steps_done) {
            memmove(bytes + kept, bytes + begin, (size_t)length);
            kept += length;
        }
        begin += length;
    }
    carina_status status = kept == size ? CARINA_OK : file_write(path, bytes, kept, error);
    free(bytes);
    return status;
}

static carina_status open_lines(FILE **out, const char *folder, const char *name, uint64_t steps_done, bool cut,
                                carina_error *error) {
    char *path = path_join(folder, name);
    if (!path) return error_memory(error, name, strlen(folder) + 32);
    carina_status status = CARINA_OK;
    if (cut && steps_done > 0) status = cut_lines(path, steps_done, error);
    if (status == CARINA_OK) {
        *out = fopen(path, steps_done > 0 ? "ae" : "we");
        if (!*out) status = error_errno(error, "%s: cannot write", path);
    }
    free(path);
    return status;
}

carina_status run_log_open(run_log **out, const char *folder, uint64_t steps_done, carina_error *error) {
    *out = NULL;
    run_log *log = calloc(1, sizeof *log);
    if (!log) return error_memory(error, "log", sizeof *log);
    carina_status status = open_lines(&log->metrics, folder, "metrics.jsonl", steps_done, true, error);
    if (status == CARINA_OK) status = open_lines(&log->first, folder, "first_losses.txt", steps_done, true, error);
    if (status == CARINA_OK) status = open_lines(&log->text, folder, "log.txt", steps_done, false, error);
    if (status == CARINA_OK) status = tensorboard_open(&log->board, folder, steps_done, (double)time(NULL), error);
    if (status != CARINA_OK) {
        run_log_close(log, NULL);
        return status;
    }
    *out = log;
    return CARINA_OK;
}

carina_status run_log_close(run_log *log, carina_error *error) {
    if (!log) return CARINA_OK;
    bool failed = false;
    FILE *streams[] = {log->metrics, log->first, log->text};
    for (int i = 0; i < 3; i++) {
        if (!streams[i]) continue;
        bool broken = ferror(streams[i]) != 0;
        if (fclose(streams[i]) != 0 || broken) failed = true;
    }
    carina_status status = tensorboard_close(log->board, error);
    free(log);
    if (failed) return error_errno(error, "the run's log files could not be written completely");
    return status;
}

/* "validation_iou" is the chart "validation/iou"; what has no set in front belongs to training. */
static void chart_tag(char *tag, size_t size, const char *name) {
    static const char *const sets[] = {"validation", "monitor"};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(sets[i]);
        if (strncmp(name, sets[i], length) != 0 || name[length] != '_') continue;
        snprintf(tag, size, "%s/%s", sets[i], name + length + 1);
        return;
    }
    snprintf(tag, size, "train/%s", name);
}

static void write_charts(run_log *log, uint64_t step, const run_log_value *values, int count) {
    char tags[RUN_LOG_MAX_VALUES][64];
    tensorboard_value board[RUN_LOG_MAX_VALUES];
    for (int i = 0; i < count; i++) {
        chart_tag(tags[i], sizeof tags[i], values[i].name);
        board[i] = (tensorboard_value){tags[i], values[i].value};
    }
    tensorboard_write(log->board, step, (double)time(NULL), board, count);
}

void run_log_values(run_log *log, uint64_t step, const run_log_value *values, int count) {
    json_writer w = json_writer_make(log->metrics, JSON_ONE_LINE);
    json_begin_object(&w);
    json_field_whole(&w, "step", (int64_t)step);
    for (int i = 0; i < count; i++) json_field_number(&w, values[i].name, values[i].value);
    json_end(&w);
    fflush(log->metrics);
    write_charts(log, step, values, count < RUN_LOG_MAX_VALUES ? count : RUN_LOG_MAX_VALUES);
}

void run_log_first_loss(run_log *log, uint64_t step, double loss) {
    if (step > RUN_LOG_FIRST_LOSSES) return;
    fprintf(log->first, "%" PRIu64 " %.9g\n", step, loss);
    fflush(log->first);
}

void run_log_text(run_log *log, const char *format, ...) {
    time_t now = time(NULL);
    struct tm parts;
    char stamp[32];
    gmtime_r(&now, &parts);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &parts);
    fprintf(log->text, "%s ", stamp);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(log->text, format, arguments);
    va_end(arguments);
    fputc('\n', log->text);
    fflush(log->text);
}

/* losses[step - 1], NaN where the file has none. */
static carina_status read_losses(const char *path, double *losses, carina_error *error) {
    uint8_t *bytes;
    uint64_t size;
    for (int i = 0; i < RUN_LOG_FIRST_LOSSES; i++) losses[i] = NAN;
    TRY(file_read(path, 1 << 20, &bytes, &size, error));
    char *rest = NULL;
    for (char *line = strtok_r((char *)bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        uint64_t step;
        double loss;
        if (sscanf(line, "%" SCNu64 " %lf", &step, &loss) == 2 && step >= 1 && step <= RUN_LOG_FIRST_LOSSES)
            losses[step - 1] = loss;
    }
    free(bytes);
    return CARINA_OK;
}

carina_status run_log_compare_losses(const char *path_a, const char *path_b, double *difference, int *count,
                                     carina_error *error) {
    double a[RUN_LOG_FIRST_LOSSES], b[RUN_LOG_FIRST_LOSSES];
    TRY(read_losses(path_a, a, error));
    TRY(read_losses(path_b, b, error));
    *difference = 0;
    *count = 0;
    for (int i = 0; i < RUN_LOG_FIRST_LOSSES; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) continue;
        double scale = fmax(fabs(a[i]), fabs(b[i]));
        if (scale > 0) *difference = fmax(*difference, fabs(a[i] - b[i]) / scale);
        ++*count;
    }
    if (*count == 0)
        return error_set(error, CARINA_ERROR_FORMAT, "%s and %s: no step of which both have the loss", path_a, path_b);
    return CARINA_OK;
}
