/* One film's interpretation as text and as JSON; see interpret_output.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/interpret_output.h"

/* Of the terminal, between 80 and 120; 100 where there is none. */
static int table_width(void) {
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    int width = 100;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        width = size.ws_col;
    else if (columns && atoi(columns) > 0)
        width = atoi(columns);
    return width < 80 ? 80 : width > 120 ? 120 : width;
}

/* Words wrapped at `width`, every line behind `indent` blanks; a word that is longer stands alone. Widths are counted
 * in characters, not bytes. */
static void print_wrapped(const char *text, int indent, int width) {
    int at = 0;
    while (*text) {
        size_t length = strcspn(text, " ");
        int characters = 0;
        for (size_t i = 0; i < length; i++) characters += ((unsigned char)text[i] & 0xc0) != 0x80;
        if (at && at + 1 + characters > width) {
            putchar('\n');
            at = 0;
        }
        if (!at) {
            printf("%*s", indent, "");
            at = indent;
        } else {
            putchar(' ');
            at++;
        }
        printf("%.*s", (int)length, text);
        at += characters;
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_ranking(const interpret_view *v, const sentence_ranking *ranking) {
    const sentence_calibration *c = &interpreter_calibration(v->interpreter)->sentences;
    if (!ranking->calibrated) {
        printf("\nsentences ranked by cosine%s%s", *ranking->why_not ? ": " : "", ranking->why_not);
        return;
    }
    printf("\nsentences ranked by %s, calibrated%s",
           ranking->namings ? "what saying them is worth (not by probability)" : "probability",
           c->fitted_on[0] ? " on" : "");
    if (!c->fitted_on[0]) return;
    putchar('\n');
    print_wrapped(c->fitted_on, 4, table_width());
}

static void print_head(const interpret_view *v) {
    const interpretation *m = v->made;
    film_put_name(v->job->path, stdout);
    printf("  %d x %d pixels\nmodel ", m->location.width, m->location.height);
    film_put_name(locator_name(v->locator), stdout);
    printf(" %s", interpreter_fingerprint(v->interpreter));
    if (interpreter_database_path(v->interpreter)) {
        fputs(", sentences of ", stdout);
        film_put_name(path_name(interpreter_database_path(v->interpreter)), stdout);
    } else {
        fputs(", no sentence database", stdout);
    }
    const sentence_ranking *ranking = interpreter_ranking(v->interpreter);
    if (ranking) print_ranking(v, ranking);
    printf("\nfrontal chest film: score %.2f, the lowest measure: %s", (double)m->check.score,
           film_measure_name(m->check.reason));
    if (m->check.refused) fputs(" (refused, but --force)", stdout);
    puts("\n");
}

static void print_findings(const interpret_view *v) {
    const calibration *c = interpreter_calibration(v->interpreter);
    printf("Image findings, %s%s\n", c->fitted ? "calibrated" : "not calibrated: read the numbers as an order only",
           c->fitted && c->fitted_on[0] ? " on" : "");
    if (c->fitted && c->fitted_on[0]) print_wrapped(c->fitted_on, 4, table_width());
    for (int i = 0; i < v->made->finding_count; i++) {
        const interpreted_finding *f = &v->made->findings[i];
        char number[24];
        snprintf(number, sizeof number, "label %d", i);
        printf("  %c %-28s %6.3f  ", f->present ? '*' : ' ', f->name ? f->name : number, (double)f->probability);
        for (int k = 0; k < (int)(f->probability * 30 + 0.5f); k++) putchar('#');
        puts(c->fitted && !f->calibrated ? " (not calibrated)" : "");
    }
    puts("  * present: at or above the finding's own threshold (--json has them)");
}

static void print_region(const interpret_view *v, int r, bool sentences, int width) {
    const carina_region *at = &v->made->location.regions[r];
    const interpreted_region *said = &v->made->regions[r];
    printf("%3d  %-26s", at->id, at->name);
    const sentence_ranking *ranking = interpreter_ranking(v->interpreter);
    if (!said->count)
        printf(ranking && ranking->calibrated ? " %5s %6s" : " %7s", "-", "-");
    else if (ranking->calibrated)
        printf(" %5.3f %6.3f", (double)said->sentences[0].probability, (double)said->sentences[0].similarity);
    else
        printf(" %7.3f", (double)said->sentences[0].similarity);
    printf(" %8.1f %8.1f %8.1f %8.1f\n", (double)at->x1, (double)at->y1, (double)at->x2, (double)at->y2);
    if (sentences && said->count) print_wrapped(said->sentences[0].text, 5, width);
    for (int k = 1; k < said->count; k++) {
        printf("     %2d. ", k + 1);
        if (ranking->calibrated) printf("%.3f  ", (double)said->sentences[k].probability);
        printf("%.3f\n", (double)said->sentences[k].similarity);
        print_wrapped(said->sentences[k].text, 9, width);
    }
}

/* The regions of one group under a heading; nothing when there is none. */
static void print_group(const interpret_view *v, const char *title, bool (*belongs)(const interpreted_region *),
                        bool sentences) {
    int count = 0, width = table_width();
    for (int r = 0; r < v->made->location.region_count; r++) count += belongs(&v->made->regions[r]);
    if (!count) return;
    const sentence_ranking *ranking = interpreter_ranking(v->interpreter);
    printf("\n%s (%d)\n%3s  %-26s %s %8s %8s %8s %8s\n", title, count, "id", "region",
           ranking && ranking->calibrated ? "prob. cosine" : " cosine", "x1", "y1", "x2", "y2");
    for (int r = 0; r < v->made->location.region_count; r++)
        if (belongs(&v->made->regions[r])) print_region(v, r, sentences, width);
}

static bool is_ill(const interpreted_region *r) { return r->count && !r->healthy; }
static bool is_healthy(const interpreted_region *r) { return r->count && r->healthy; }
static bool is_silent(const interpreted_region *r) { return !r->count; }

void interpret_print_table(const interpret_view *v) {
    if (v->refused) return;
    print_head(v);
    print_findings(v);
    print_group(v, "Regions that are not healthy", is_ill, true);
    print_group(v, "Healthy regions", is_healthy, false);
    print_group(v, "Regions without a sentence", is_silent, false);
    putchar('\n');
}

/* ---- JSON ---- */

static void put_versions(json_writer *w, const interpret_view *v) {
    const sentence_index *index = interpreter_database(v->interpreter);
    const model_file *model = locator_model(v->locator);
    json_key(w, "model");
    json_begin_object(w);
    json_field_text(w, "name", locator_name(v->locator));
    json_field_text(w, "fingerprint", interpreter_fingerprint(v->interpreter));
    json_field_text(w, "carina_version", model_file_note_text(model, "carina_version"));
    json_field_text(w, "commit", model_file_note_text(model, "commit"));
    json_end(w);
    json_key(w, "database");
    if (!index) {
        json_put_null(w);
        return;
    }
    const sentence_index_info *origin = sentence_index_origin(index);
    json_begin_object(w);
    json_field_text(w, "name", path_name(interpreter_database_path(v->interpreter)));
    json_field_text(w, "model_fingerprint", origin->model_fingerprint);
    json_field_text(w, "text_encoder", origin->encoder);
    json_field_text(w, "text_encoder_fingerprint", origin->encoder_fingerprint);
    json_field_text(w, "data_fingerprint", origin->data_fingerprint);
    json_field_text(w, "made_by", origin->made_by);
    json_end(w);
}

static void put_ranking(json_writer *w, const interpret_view *v) {
    const sentence_ranking *r = interpreter_ranking(v->interpreter);
    json_key(w, "sentence_ranking");
    if (!r) {
        json_put_null(w);
        return;
    }
    json_begin_object(w);
    json_field_text(w, "by", r->calibrated ? "calibrated" : "cosine");
    if (r->calibrated) {
        json_key(w, "temperature");
        json_put_f32(w, r->temperature);
        json_key(w, "prior_exponent");
        json_put_f32(w, r->prior_exponent);
        json_key(w, "healthy_discount");
        json_put_f32(w, r->order.healthy_discount);
        json_key(w, "finding_worth");
        json_put_f32(w, r->order.finding_worth);
    } else if (*r->why_not) {
        json_field_text(w, "reason", r->why_not);
    }
    json_end(w);
}

static void put_check(json_writer *w, const interpret_view *v) {
    const film_check *c = &v->made->check;
    json_key(w, "frontal_chest_film");
    json_begin_object(w);
    json_key(w, "score");
    json_put_fixed(w, (double)c->score, 3);
    json_field_truth(w, "accepted", !c->refused);
    json_field_text(w, "least", film_measure_name(c->reason));
    if (c->refused) json_field_text(w, "reason", film_measure_reason(c->reason));
    json_key(w, "measures");
    json_begin_object(w);
    for (int i = 0; i < FILM_MEASURE_COUNT; i++) {
        json_key(w, film_measure_name((film_measure)i));
        json_put_fixed(w, (double)c->measure[i], 4);
    }
    json_key(w, "side");
    json_put_fixed(w, (double)c->side, 4);
    json_end(w);
    json_key(w, "side_marker");
    json_put_text(w, c->marker.letter ? (char[]){c->marker.letter, 0} : NULL);
    json_key(w, "mirrored");
    json_put_text(w, c->mirrored[0] ? c->mirrored : NULL);
    json_end(w);
}

static void put_findings(json_writer *w, const interpret_view *v) {
    json_field_truth(w, "calibrated", interpreter_calibration(v->interpreter)->fitted);
    json_key(w, "findings");
    json_begin_array(w);
    for (int i = 0; i < v->made->finding_count; i++) {
        const interpreted_finding *f = &v->made->findings[i];
        json_begin_object(w);
        json_field_text(w, "name", f->name);
        json_key(w, "probability");
        json_put_fixed(w, (double)f->probability, 4);
        json_key(w, "threshold");
        json_put_fixed(w, (double)f->threshold, 4);
        json_field_truth(w, "present", f->present);
        json_field_truth(w, "calibrated", f->calibrated);
        json_end(w);
    }
    json_end(w);
}

static void put_hit(json_writer *w, const region_sentence_hit *hit) {
    json_field_text(w, "sentence", hit->text);
    json_key(w, "similarity");
    json_put_fixed(w, (double)hit->similarity, 4);
    if (!isnan(hit->probability)) {
        json_key(w, "probability");
        json_put_fixed(w, (double)hit->probability, 4);
    }
    json_field_whole(w, "seen", (int64_t)hit->seen);
}

static void put_regions(json_writer *w, const interpret_view *v) {
    json_key(w, "regions");
    json_begin_array(w);
    for (int r = 0; r < v->made->location.region_count; r++) {
        const carina_region *at = &v->made->location.regions[r];
        const interpreted_region *said = &v->made->regions[r];
        json_begin_object(w);
        json_field_whole(w, "id", at->id);
        json_field_text(w, "name", at->name);
        json_field_numbers(w, "box", (float[]){at->x1, at->y1, at->x2, at->y2}, 4, 1);
        if (said->count) {
            json_field_truth(w, "healthy", said->healthy);
            put_hit(w, &said->sentences[0]);
        }
        if (said->count > 1) {
            json_key(w, "runners_up");
            json_begin_array(w);
            for (int k = 1; k < said->count; k++) {
                json_begin_object(w);
                put_hit(w, &said->sentences[k]);
                json_end(w);
            }
            json_end(w);
        }
        json_end(w);
    }
    json_end(w);
}

void interpret_print_json(const interpret_view *v) {
    json_writer w = json_writer_make(stdout, JSON_ONE_LINE);
    json_begin_object(&w);
    film_put_json(&w, v->job->path, &v->made->location);
    put_versions(&w, v);
    put_ranking(&w, v);
    put_check(&w, v);
    json_field_truth(&w, "refused", v->refused);
    if (!v->refused) {
        put_findings(&w, v);
        put_regions(&w, v);
    }
    json_end(&w);
}

char *interpret_said(const char *sentence, const char *display) {
    size_t length = strlen(display), end = strlen(sentence);
    const char *start = sentence;
    if (strncmp(sentence, display, length) == 0 && strncmp(sentence + length, " shows ", 7) == 0)
        start = sentence + length + 7;
    else if (strncmp(sentence, display, length) == 0 && strcmp(sentence + length, " is healthy.") == 0)
        start = sentence + length + 4;
    size_t left = end - (size_t)(start - sentence);
    if (start != sentence && left && start[left - 1] == '.') left--;
    return strndup(start, left);
}
