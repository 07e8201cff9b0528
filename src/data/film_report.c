/* Finding, reading and tidying reports; see film_report.h. */
#include "data/film_report.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "data/report_sentences.h"

carina_status film_report_read(char **out, uint64_t *size, const char *folder, const scene_graph *scene,
                               carina_error *error) {
    char path[1024];
    uint8_t *data;
    *out = NULL;
    *size = 0;
    if (strchr(scene->patient_id, '/') || strchr(scene->study_id, '/')) return CARINA_OK;
    int length = snprintf(path, sizeof path, "%s/files/p%.2s/p%s/s%s.txt", folder, scene->patient_id, scene->patient_id,
                          scene->study_id);
    if (length >= (int)sizeof path || !file_exists(path)) return CARINA_OK;
    TRY(file_read(path, REPORT_MAX_BYTES, &data, size, error));
    *out = (char *)data;
    return CARINA_OK;
}

uint64_t film_report_tidy(char *text, uint64_t size) {
    uint64_t used = 0;
    int breaks = 0;
    bool blank = false;
    for (uint64_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] <= ' ') {
            blank = true;
            breaks += text[i] == '\n';
            continue;
        }
        if (used && blank) text[used++] = breaks > 1 ? '\n' : ' ';
        text[used++] = text[i];
        blank = false;
        breaks = 0;
    }
    if (used < size) text[used] = 0;
    return used;
}
