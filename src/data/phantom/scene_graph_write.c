/* Writing scene graphs of phantoms; see scene_graph_write.h. */
#include "data/phantom/scene_graph_write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "data/scene_graph.h"
#include "format/json_writer.h"

static const atlas_region *region_named(const char *name) {
    int index = atlas_find(atlas_anatomix36(), name);
    return index < 0 ? NULL : &atlas_anatomix36()->regions[index];
}

static void field_coordinates(json_writer *w, const char *prefix, const box *b, int decimals) {
    static const char *const names[6] = {"x1", "y1", "x2", "y2", "width", "height"};
    const double values[6] = {(double)b->x1, (double)b->y1,           (double)b->x2,
                              (double)b->y2, (double)(b->x2 - b->x1), (double)(b->y2 - b->y1)};
    for (int i = 0; i < 6; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%s", prefix, names[i]);
        json_key(w, key);
        json_put_fixed(w, values[i], decimals);
    }
}

static void empty_array(json_writer *w, const char *key) {
    json_key(w, key);
    json_begin_inline(w, false);
    json_end(w);
}

static void identify(json_writer *w, const film_names *names, const char *region) {
    char id[128];
    snprintf(id, sizeof id, "%s_%s", names->id, region);
    const atlas_region *entry = region_named(region);
    json_field_text(w, "object_id", id);
    json_field_text(w, "bbox_name", region);
    json_field_text(w, "name", entry ? entry->concept_name : region);
    empty_array(w, "synsets");
}

static void write_objects(json_writer *w, const film_names *names, const phantom_scene *scene) {
    float longest = (float)(scene->width > scene->height ? scene->width : scene->height);
    float scale = SCENE_GRAPH_FRAME / longest;
    float pad_x = (longest - (float)scene->width) / 2, pad_y = (longest - (float)scene->height) / 2;
    json_key(w, "objects");
    json_begin_array(w);
    for (int i = 0; i < PHANTOM_REGION_COUNT; i++) {
        if (!scene->present[i]) continue;
        const box *b = &scene->boxes[i];
        box small = {(b->x1 + pad_x) * scale, (b->y1 + pad_y) * scale, (b->x2 + pad_x) * scale,
                     (b->y2 + pad_y) * scale};
        json_begin_object(w);
        identify(w, names, atlas_anatomix36()->regions[i].name);
        field_coordinates(w, "", &small, 0);
        field_coordinates(w, "original_", b, 2);
        json_end(w);
    }
    json_end(w);
}

static bool speaks_of(const report_phrase *phrase, const char *region) {
    for (int i = 0; i < phrase->regions.count; i++) {
        if (strcmp(phrase->regions.name[i], region) == 0) return true;
    }
    return false;
}

/* One list with an entry per sentence that speaks of the region. */
static void write_lists(json_writer *w, const char *key, const report *r, const char *region,
                        void (*entry)(json_writer *w, const report_phrase *phrase, int number)) {
    json_key(w, key);
    json_begin_array(w);
    for (int i = 0; i < r->phrase_count; i++) {
        if (speaks_of(&r->phrases[i], region)) entry(w, &r->phrases[i], i);
    }
    json_end(w);
}

static void entry_attributes(json_writer *w, const report_phrase *phrase, int number) {
    (void)number;
    json_begin_inline(w, false);
    for (int i = 0; i < phrase->attribute_count; i++) json_put_text(w, phrase->attributes[i]);
    json_end(w);
}

static void entry_text(json_writer *w, const report_phrase *phrase, int number) {
    (void)number;
    json_put_text(w, phrase->text);
}

static void entry_number(json_writer *w, const report_phrase *phrase, int number) {
    (void)phrase;
    char id[24];
    snprintf(id, sizeof id, "%d", number + 1);
    json_put_text(w, id);
}

static void entry_section(json_writer *w, const report_phrase *phrase, int number) {
    (void)phrase, (void)number;
    json_put_text(w, "finalreport");
}

static void entry_severity(json_writer *w, const report_phrase *phrase, int number) {
    (void)number;
    char cue[48];
    json_begin_inline(w, false);
    if (phrase->severity) {
        snprintf(cue, sizeof cue, "severity|yes|%s", phrase->severity);
        json_put_text(w, cue);
    }
    json_end(w);
}

static void entry_comparison(json_writer *w, const report_phrase *phrase, int number) {
    (void)number;
    char cue[48];
    json_begin_inline(w, false);
    if (phrase->comparison) {
        snprintf(cue, sizeof cue, "comparison|yes|%s", phrase->comparison);
        json_put_text(w, cue);
    }
    json_end(w);
}

static void entry_nothing(json_writer *w, const report_phrase *phrase, int number) {
    (void)phrase, (void)number;
    json_begin_inline(w, false);
    json_end(w);
}

static void write_mention(json_writer *w, const film_names *names, const report *r, const char *region) {
    bool named = false;
    for (int i = 0; i < r->phrase_count; i++) named |= speaks_of(&r->phrases[i], region) && r->phrases[i].names_region;
    json_begin_object(w);
    json_field_truth(w, region, named);
    identify(w, names, region);
    write_lists(w, "attributes", r, region, entry_attributes);
    write_lists(w, "attributes_ids", r, region, entry_nothing);
    write_lists(w, "phrases", r, region, entry_text);
    write_lists(w, "phrase_IDs", r, region, entry_number);
    write_lists(w, "sections", r, region, entry_section);
    write_lists(w, "comparison_cues", r, region, entry_comparison);
    write_lists(w, "temporal_cues", r, region, entry_nothing);
    write_lists(w, "severity_cues", r, region, entry_severity);
    write_lists(w, "texture_cues", r, region, entry_nothing);
    json_end(w);
}

/* Each region once, in the order in which the report comes to it. */
static void write_mentions(json_writer *w, const film_names *names, const report *r) {
    const char *done[64];
    int count = 0;
    json_key(w, "attributes");
    json_begin_array(w);
    for (int i = 0; i < r->phrase_count; i++) {
        const report_phrase *phrase = &r->phrases[i];
        for (int k = 0; k < phrase->regions.count && phrase->attribute_count > 0; k++) {
            bool again = false;
            for (int d = 0; d < count; d++) again |= strcmp(done[d], phrase->regions.name[k]) == 0;
            if (again || count == 64) continue;
            done[count++] = phrase->regions.name[k];
            write_mention(w, names, r, phrase->regions.name[k]);
        }
    }
    json_end(w);
}

/* How a region of this film compares with the same region of the patient's film before. */
static void write_relationship(json_writer *w, const film_names *names, const char *prior_id,
                               const report_phrase *phrase, const char *region, int number) {
    char text[160];
    json_begin_object(w);
    snprintf(text, sizeof text, "%s_%d_%s", names->id, number, region);
    json_field_text(w, "relationship_id", text);
    json_field_text(w, "predicate", phrase->comparison);
    snprintf(text, sizeof text, "%s_%s", names->id, region);
    json_field_text(w, "subject_id", text);
    snprintf(text, sizeof text, "%s_%s", prior_id, region);
    json_field_text(w, "object_id", text);
    json_key(w, "relationship_names");
    entry_comparison(w, phrase, number);
    json_field_text(w, "bbox_name", region);
    json_key(w, "attributes");
    entry_attributes(w, phrase, number);
    json_field_text(w, "phrase", phrase->text);
    json_end(w);
}

static void write_relationships(json_writer *w, const film_names *names, const char *prior_id, const report *r) {
    json_key(w, "relationships");
    json_begin_array(w);
    for (int i = 0; prior_id && i < r->phrase_count; i++) {
        const report_phrase *phrase = &r->phrases[i];
        for (int k = 0; phrase->comparison && k < phrase->regions.count; k++) {
            write_relationship(w, names, prior_id, phrase, phrase->regions.name[k], i + 1);
        }
    }
    json_end(w);
}

static void write_labels(json_writer *w, const char *key, const float labels[ATLAS_LABEL_COUNT]) {
    json_key(w, key);
    json_begin_inline(w, false);
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) json_put_f32(w, labels[i]); /* NaN becomes null */
    json_end(w);
}

static void write_findings(json_writer *w, const finding_film *film, const phantom_scene *scene) {
    static const char *const sides[4] = {"right", "left", "both", "midline"};
    json_key(w, "findings");
    json_begin_array(w);
    for (int i = 0; i < film->list.count; i++) {
        const finding *f = &film->list.items[i];
        finding_regions regions;
        finding_truth_regions(&regions, film, i, scene);
        json_begin_inline(w, true);
        json_field_text(w, "kind", finding_table[f->kind].name);
        json_field_text(w, "attribute", finding_table[f->kind].attribute);
        json_field_text(w, "side", sides[f->side]);
        json_key(w, "severity");
        json_put_fixed(w, f->severity, 3);
        json_field_truth(w, "told", f->told);
        json_field_truth(w, "uncertain", f->uncertain);
        json_key(w, "regions");
        json_begin_inline(w, false);
        for (int k = 0; k < regions.count; k++) json_put_text(w, regions.name[k]);
        json_end(w);
        json_end(w);
    }
    json_end(w);
}

static void write_synthetic(json_writer *w, const film_names *names, const finding_film *film,
                            const phantom_scene *scene, const report *r) {
    float truth[ATLAS_LABEL_COUNT];
    finding_truth_labels(truth, film, scene);
    json_key(w, "synthetic");
    json_begin_object(w);
    json_field_text(w, "note", "synthetic film made by Carina's phantom, no patient");
    json_field_whole(w, "seed", (int64_t)scene->parameters.seed);
    json_field_whole(w, "index", (int64_t)scene->parameters.index);
    json_field_whole(w, "rows", scene->height);
    json_field_whole(w, "columns", scene->width);
    json_field_whole(w, "age", scene->parameters.age);
    json_field_truth(w, "equipment", finding_truth_equipment(scene));
    json_field_text(w, "study_date", names->date);
    write_labels(w, "labels", truth);
    write_labels(w, "report_labels", r->labels);
    write_findings(w, film, scene);
    json_end(w);
}

carina_status scene_graph_write(const char *path, const film_names *names, const char *prior_id,
                                const finding_film *film, const phantom_scene *scene, const report *r,
                                carina_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    json_writer w = json_writer_make(file_writer_stream(writer), JSON_PRETTY);
    char decile[32], sex[2] = {scene->parameters.sex, 0};
    int decade = scene->parameters.age / 10 * 10;
    snprintf(decile, sizeof decile, "%d-%d", decade, decade + 10);
    json_begin_object(&w);
    json_field_text(&w, "image_id", names->id);
    json_field_text(&w, "viewpoint", scene->parameters.ap ? "AP" : "PA");
    json_field_text(&w, "patient_id", names->patient);
    json_field_text(&w, "study_id", names->study);
    json_field_text(&w, "gender", sex);
    json_field_text(&w, "age_decile", decile);
    json_field_text(&w, "reason_for_exam", r->indication);
    json_field_text(&w, "StudyDateTime", names->date);
    write_objects(&w, names, scene);
    write_mentions(&w, names, r);
    write_relationships(&w, names, prior_id, r);
    write_synthetic(&w, names, film, scene, r);
    json_end(&w);
    return file_writer_commit(writer, error);
}
