/* One film's interpretation as a page that needs nothing beside it: the picture as base64, boxes as SVG over it, a list
 * of regions; pointer and keyboard move through both. See interpret_output.h.
 *
 * Whatever comes from outside (names, sentences) passes put_text, which escapes it and repairs its UTF-8. The page is
 * well-formed XML too, and its policy forbids loading anything.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/interpret_output.h"
#include "cli/output.h"
#include "format/png.h"
#include "image/draw.h"
#include "image/resize.h"

#define PICTURE_MOST 1400 /* pixels of the embedded picture's longer side */

static const char style[] =
    ":root{color-scheme:light dark;--back:#f6f6f4;--text:#1c1d20;--quiet:#64666c;--line:#d9d9d6;--card:#fff;"
    "--ill:#b85400;--well:#19703c}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#131417;--text:#e6e6e4;--quiet:#9c9ea5;--line:#2d2f35;"
    "--card:#1b1d21;--ill:#ffa04a;--well:#5cc488}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--back);color:var(--text);font:15px/1.45 system-ui,sans-serif}\n"
    "header,footer{padding:.8rem 1.2rem}header p{margin:.2rem 0;color:var(--quiet)}\n"
    "h1{font-size:1.15rem;margin:0;overflow-wrap:anywhere}h2{font-size:1rem;margin:1.2rem 0 .4rem}\n"
    "main{display:grid;grid-template-columns:minmax(0,1fr) minmax(20rem,30rem);gap:1.2rem;padding:0 1.2rem}\n"
    "@media(max-width:60rem){main{grid-template-columns:minmax(0,1fr)}figure{position:static!important}}\n"
    "figure{margin:0;position:sticky;top:.8rem;align-self:start}\n"
    "svg{display:block;width:100%;max-height:94vh;background:#000;border-radius:4px}\n"
    "rect{fill:transparent;stroke-width:1.5;vector-effect:non-scaling-stroke;stroke-opacity:.6;cursor:pointer;"
    "outline:none}\n"
    "rect.ill{stroke:#ff9d3c}rect.well{stroke:#4fb477;stroke-dasharray:2 3}rect.none{stroke:#8fb8ff}\n"
    "rect.on,rect:focus{stroke-width:3;stroke-opacity:1;stroke-dasharray:none;fill:rgba(255,255,255,.12)}\n"
    "svg.some rect:not(.on){stroke-opacity:.15}\n"
    "figcaption{min-height:3em;padding:.4rem 0;color:var(--quiet)}\n"
    "ul{list-style:none;margin:0;padding:0}\n"
    "li{border-top:1px solid var(--line)}\n"
    "li button{all:unset;box-sizing:border-box;display:block;width:100%;padding:.4rem .5rem;cursor:pointer;"
    "border-left:4px solid transparent}\n"
    "li button:focus-visible,li button.on{background:var(--card);border-left-color:currentColor}\n"
    ".ill>button>b{color:var(--ill)}.well>button>b{color:var(--well)}\n"
    "small{color:var(--quiet)}ol{margin:.2rem 0 .2rem 1.4rem;padding:0;color:var(--quiet);font-size:.9em}\n"
    "table{border-collapse:collapse;width:100%}td{padding:.15rem .4rem .15rem 0}td.n{text-align:right;"
    "font-variant-numeric:tabular-nums}\n"
    ".bar{display:block;height:.6em;background:var(--line);border-radius:2px}.bar i{display:block;height:100%;"
    "background:var(--quiet);border-radius:2px}td:last-child{width:38%}.present .bar i{background:var(--ill)}\n"
    "ol li{border:0}tr.present td:first-child{font-weight:bold;color:var(--ill)}\n"
    ".warning{border-left:4px solid var(--ill);padding:.3rem .7rem;color:var(--text)}\n"
    "footer{color:var(--quiet);border-top:1px solid var(--line);margin-top:1.5rem;font-size:.9em;"
    "overflow-wrap:anywhere}\n";

/* No '<' and no '&' in it: the page stays well-formed XML without further wrapping. */
static const char script[] =
    "const svg=document.querySelector('svg'),note=document.querySelector('figcaption'),quiet=note.textContent;\n"
    "const parts=id=>document.querySelectorAll('[data-region=\"'+id+'\"]');\n"
    "let kept=null;\n"
    "function mark(id){document.querySelectorAll('.on').forEach(e=>e.classList.remove('on'));\n"
    " svg.classList.toggle('some',id!==null);\n"
    " if(id===null){note.textContent=quiet;return}\n"
    " parts(id).forEach(e=>e.classList.add('on'));\n"
    " note.textContent=document.querySelector('rect[data-region=\"'+id+'\"]').getAttribute('aria-label')}\n"
    "document.querySelectorAll('[data-region]').forEach(e=>{const id=e.dataset.region,box=e.tagName==='rect';\n"
    " e.addEventListener('pointerenter',()=>mark(id));\n"
    " e.addEventListener('pointerleave',()=>mark(kept));\n"
    " e.addEventListener('focus',()=>mark(id));\n"
    " e.addEventListener('blur',()=>mark(kept));\n"
    " const keep=()=>{kept=kept===id?null:id;mark(kept);\n"
    "  if(box){if(kept!==null)document.querySelector('button[data-region=\"'+id+'\"]')"
    ".scrollIntoView({block:'nearest'})}};\n"
    " e.addEventListener('click',keep);\n"
    " if(box)e.addEventListener('keydown',k=>{if(k.key==='Enter'||k.key===' '){k.preventDefault();keep()}})});\n"
    "document.addEventListener('keydown',k=>{if(k.key==='Escape'){kept=null;mark(null)}});\n";

/* Text for elements and attributes: markup escaped, control characters and malformed bytes replaced. */
static void put_text(FILE *out, const char *text) {
    size_t left = strlen(text);
    while (left) {
        int length = utf8_character(text, left);
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            fputs("&amp;", out);
        else if (c == '<')
            fputs("&lt;", out);
        else if (c == '>')
            fputs("&gt;", out);
        else if (c == '"')
            fputs("&quot;", out);
        else if (c == '\'')
            fputs("&#39;", out);
        else if (!length || c < 0x20 || c == 0x7f ||
                 (length == 3 && c == 0xef && (uint8_t)text[1] == 0xbf &&
                  (uint8_t)text[2] >= 0xbe)) /* U+FFFE and U+FFFF: not in XML */
            fputs("\xef\xbf\xbd", out);
        else
            fwrite(text, 1, (size_t)length, out);
        text += length ? length : 1;
        left -= (size_t)(length ? length : 1);
    }
}

static carina_status make_png(char **out, size_t *size, const image *picture, carina_error *error) {
    int longest = picture->width > picture->height ? picture->width : picture->height;
    double scale = longest > PICTURE_MOST ? (double)PICTURE_MOST / longest : 1;
    int width = (int)fmax(round(picture->width * scale), 1), height = (int)fmax(round(picture->height * scale), 1);
    image scaled;
    TRY(resize(&scaled, picture, width, height, error));
    size_t count = (size_t)width * (size_t)height;
    uint8_t *grey = malloc(count);
    for (size_t i = 0; grey && i < count; i++) grey[i] = (uint8_t)(fminf(fmaxf(scaled.value[i], 0), 1) * 255 + 0.5f);
    image_free(&scaled);
    *out = NULL;
    FILE *stream = grey ? open_memstream(out, size) : NULL;
    carina_status status =
        stream ? png_write_grey8(stream, grey, width, height, error) : error_memory(error, "a page's picture", count);
    free(grey);
    if (stream && fclose(stream) != 0 && status == CARINA_OK) status = error_memory(error, "a page's picture", count);
    if (status != CARINA_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

static const char *class_of(const interpreted_region *r) { return !r->count ? "none" : r->healthy ? "well" : "ill"; }

static void put_head(FILE *out, const interpret_view *v) {
    const interpretation *m = v->made;
    fputs(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta "
        "charset=\"utf-8\"/>\n"
        "<meta " OUTPUT_PAGE_MARK
        "/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
        "'unsafe-inline'; script-src 'unsafe-inline'\"/>\n<title>",
        out);
    put_text(out, path_name(v->job->path));
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<header>\n<h1>", style);
    put_text(out, path_name(v->job->path));
    fputs("</h1>\n<p>model ", out);
    put_text(out, locator_name(v->locator));
    fprintf(out, " <small>%s</small>, ", interpreter_fingerprint(v->interpreter));
    if (interpreter_database_path(v->interpreter)) {
        fputs("sentences of ", out);
        put_text(out, path_name(interpreter_database_path(v->interpreter)));
    } else {
        fputs("no sentence database", out);
    }
    fprintf(out, "; looks like a frontal chest film: %.2f</p>\n", (double)m->check.score);
    if (m->check.refused) {
        fputs("<p class=\"warning\">This does not look like a frontal chest film: ", out);
        put_text(out, film_measure_reason(m->check.reason));
        fputs(".</p>\n", out);
    }
    if (m->check.mirrored[0]) {
        fputs("<p class=\"warning\">This film ", out);
        put_text(out, m->check.mirrored);
        fputs(".</p>\n", out);
    }
    for (int i = 0; i < m->location.warning_count; i++) {
        fputs("<p class=\"warning\">", out);
        put_text(out, m->location.warnings[i]);
        fputs("</p>\n", out);
    }
    fputs("</header>\n", out);
}

static void put_box(FILE *out, const interpret_view *v, int r) {
    const carina_region *at = &v->made->location.regions[r];
    const interpreted_region *said = &v->made->regions[r];
    fprintf(out,
            "<rect data-region=\"%d\" class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" tabindex=\"0\" "
            "role=\"button\" aria-label=\"",
            r, class_of(said), (double)at->x1, (double)at->y1, fmax((double)(at->x2 - at->x1), 0),
            fmax((double)(at->y2 - at->y1), 0));
    put_text(out, at->name);
    if (said->count) {
        fputs(": ", out);
        put_text(out, said->sentences[0].text);
    }
    fputs("\"/>\n", out);
}

/* Large boxes first: small ones lie over them and stay within the pointer's reach. */
static void put_boxes(FILE *out, const interpret_view *v) {
    const carina_location *found = &v->made->location;
    int order[ATLAS_MAX_REGIONS];
    float area[ATLAS_MAX_REGIONS];
    for (int r = 0; r < found->region_count; r++) {
        const carina_region *at = &found->regions[r];
        area[r] = (at->x2 - at->x1) * (at->y2 - at->y1);
        int place = r;
        for (; place > 0 && area[order[place - 1]] < area[r]; place--) order[place] = order[place - 1];
        order[place] = r;
    }
    for (int i = 0; i < found->region_count; i++) put_box(out, v, order[i]);
}

static void put_figure(FILE *out, const interpret_view *v, const char *png, size_t size) {
    const carina_location *found = &v->made->location;
    fprintf(out,
            "<main>\n<figure>\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"group\" "
            "aria-label=\"film with regions\">\n<image width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" "
            "href=\"data:image/png;base64,",
            found->width, found->height, found->width, found->height);
    base64_write(out, png, size);
    fputs("\"/>\n", out);
    put_boxes(out, v);
    fputs(
        "</svg>\n<figcaption aria-live=\"polite\">Point at a box or a region, or move with Tab; click or Enter keeps "
        "it, "
        "Escape lets it go.</figcaption>\n</figure>\n",
        out);
}

static void put_numbers(FILE *out, const region_sentence_hit *hit) {
    if (isnan(hit->probability))
        fprintf(out, " <small>%.3f</small>", (double)hit->similarity);
    else
        fprintf(out, " <small>%.1f %% (%.3f)</small>", 100 * (double)hit->probability, (double)hit->similarity);
}

static void put_region(FILE *out, const interpret_view *v, int r) {
    const carina_region *at = &v->made->location.regions[r];
    const interpreted_region *said = &v->made->regions[r];
    fprintf(out, "<li class=\"%s\"><button type=\"button\" data-region=\"%d\"><b>", class_of(said), r);
    put_text(out, at->name);
    fputs("</b>", out);
    if (said->count) {
        put_numbers(out, &said->sentences[0]);
        fputs("<br/>", out);
        put_text(out, said->sentences[0].text);
    }
    fputs("</button>", out);
    if (said->count > 1) {
        fputs("<ol start=\"2\">", out);
        for (int k = 1; k < said->count; k++) {
            fputs("<li>", out);
            put_text(out, said->sentences[k].text);
            put_numbers(out, &said->sentences[k]);
            fputs("</li>", out);
        }
        fputs("</ol>", out);
    }
    fputs("</li>\n", out);
}

static void put_group(FILE *out, const interpret_view *v, const char *title, const char *group) {
    int count = 0;
    for (int r = 0; r < v->made->location.region_count; r++)
        count += strcmp(class_of(&v->made->regions[r]), group) == 0;
    if (!count) return;
    fprintf(out, "<h2>%s (%d)</h2>\n<ul>\n", title, count);
    for (int r = 0; r < v->made->location.region_count; r++)
        if (strcmp(class_of(&v->made->regions[r]), group) == 0) put_region(out, v, r);
    fputs("</ul>\n", out);
}

static void put_findings(FILE *out, const interpret_view *v) {
    const calibration *c = interpreter_calibration(v->interpreter);
    fputs("<section>\n<h2>Image findings</h2>\n<p><small>", out);
    fputs(c->fitted ? "calibrated" : "not calibrated: read the numbers as an order only", out);
    if (c->fitted && c->fitted_on[0]) {
        fputs(" on ", out);
        put_text(out, c->fitted_on);
    }
    fputs("</small></p>\n<table>\n", out);
    for (int i = 0; i < v->made->finding_count; i++) {
        const interpreted_finding *f = &v->made->findings[i];
        fprintf(out, "<tr%s><td>", f->present ? " class=\"present\"" : "");
        if (f->name)
            put_text(out, f->name);
        else
            fprintf(out, "label %d", i);
        if (c->fitted && !f->calibrated) fputs(" <small>(not calibrated)</small>", out);
        fprintf(
            out,
            "</td><td class=\"n\">%.3f</td><td><span class=\"bar\"><i style=\"width:%.1f%%\"></i></span></td></tr>\n",
            (double)f->probability, (double)f->probability * 100);
    }
    fputs("</table>\n", out);
}

/* What the numbers behind a region are. */
static void put_ranking(FILE *out, const interpret_view *v) {
    const sentence_ranking *r = interpreter_ranking(v->interpreter);
    const sentence_calibration *c = &interpreter_calibration(v->interpreter)->sentences;
    if (r && r->calibrated) {
        fputs("Behind a region stands how probable the sentence is among those the database has for it, calibrated",
              out);
        if (c->fitted_on[0]) {
            fputs(" on ", out);
            put_text(out, c->fitted_on);
        }
        fputs(", and the cosine between its feature and the sentence.", out);
        return;
    }
    fputs("Numbers behind a region are cosines between its feature and the sentence", out);
    if (r && *r->why_not) {
        fputs("; ", out);
        put_text(out, r->why_not);
    }
    fputs(".", out);
}

/* Readers see the page alone: a percentage that is not the largest of its list must not look like a mistake. */
static void put_order(FILE *out, const interpret_view *v) {
    const sentence_ranking *r = interpreter_ranking(v->interpreter);
    if (r && r->namings)
        fputs(
            "<p><small>Sentences stand in the order of what saying them is worth, not of how probable they are: a "
            "finding can stand before a likelier &ldquo;is healthy&rdquo;.</small></p>\n",
            out);
}

static void put_page(FILE *out, const interpret_view *v, const char *png, size_t size) {
    put_head(out, v);
    put_figure(out, v, png, size);
    put_findings(out, v);
    put_order(out, v);
    put_group(out, v, "Regions that are not healthy", "ill");
    put_group(out, v, "Healthy regions", "well");
    put_group(out, v, "Regions without a sentence", "none");
    fputs("</section>\n</main>\n<footer>" DRAW_FOOTER ". Boxes and sentences are a model's guesses. ", out);
    put_ranking(out, v);
    fputs("</footer>\n<script>\n", out);
    fputs(script, out);
    fputs("</script>\n</body>\n</html>\n", out);
}

carina_status interpret_write_html(const interpret_view *v, const char *folder, carina_error *error) {
    char *path, *png;
    size_t size;
    TRY(film_result_path(&path, folder, v->job, "html", "--html", error));
    carina_status status = make_png(&png, &size, &v->job->study.film.picture, error);
    file_writer *writer;
    if (status == CARINA_OK) {
        status = file_writer_open(&writer, path, error);
        if (status == CARINA_OK) {
            put_page(file_writer_stream(writer), v, png, size);
            status = file_writer_commit(writer, error);
        }
        free(png);
    } else {
        error_prefix(error, "%s", path);
    }
    free(path);
    return status;
}
