/* Turns region sets (configs/atlas/NAME.yaml) into constant C tables, while Carina is built:
 *
 *     atlas_compile OUT.c anatomix36.yaml imagenome29.yaml
 *
 * The files are read by the very reader that reads a user's own set, so they pass the same checks.
 */
#include <stdio.h>
#include <string.h>

#include "atlas/atlas_file.h"
#include "base/file.h"

static void print_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\' || c < 0x20 || c >= 0x7f)
            fprintf(out, "\\%03o", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void print_findings(FILE *out, int set, const atlas *a) {
    for (int i = 0; i < a->region_count; i++) {
        const atlas_region *r = &a->regions[i];
        if (!r->finding_count) continue;
        fprintf(out, "static const char *const set%d_findings%d[] = {", set, i);
        for (int j = 0; j < r->finding_count; j++) {
            print_string(out, r->findings[j]);
            fputs(j + 1 < r->finding_count ? ", " : "};\n", out);
        }
    }
}

static void print_set(FILE *out, int set, const atlas *a) {
    print_findings(out, set, a);
    fprintf(out, "static const atlas_region set%d_regions[] = {\n", set);
    for (int i = 0; i < a->region_count; i++) {
        const atlas_region *r = &a->regions[i];
        fputs("    {", out);
        print_string(out, r->name);
        fputs(", ", out);
        print_string(out, r->display_name);
        fputs(", ", out);
        print_string(out, r->concept_name);
        fprintf(out, ", %d, %d, 0x%06x, ", r->partner, r->parent, r->colour);
        if (r->finding_count)
            fprintf(out, "set%d_findings%d, %d},\n", set, i, r->finding_count);
        else
            fputs("NULL, 0},\n", out);
    }
    fputs("};\n", out);
}

static carina_status compile(const char *path, int count, char **files, carina_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    FILE *out = file_writer_stream(writer);
    atlas *sets[16];
    int loaded = 0;
    carina_status status = CARINA_OK;
    while (status == CARINA_OK && loaded < count) {
        status = atlas_load(&sets[loaded], files[loaded], error);
        if (status == CARINA_OK) loaded++;
    }
    if (status == CARINA_OK) {
        fputs(
            "/* Made from configs/atlas by tools/atlas_compile.c. */\n#include <stddef.h>\n\n"
            "#include \"atlas/atlas_tables.h\"\n\n",
            out);
        for (int i = 0; i < loaded; i++) print_set(out, i, sets[i]);
        fprintf(out, "const atlas atlas_tables[ATLAS_TABLE_COUNT] = {\n");
        for (int i = 0; i < loaded; i++) {
            fputs("    {", out);
            print_string(out, sets[i]->name);
            fprintf(out, ", %d, set%d_regions},\n", sets[i]->region_count, i);
        }
        fputs("};\n", out);
        status = file_writer_commit(writer, error);
    } else {
        file_writer_abort(writer);
    }
    while (loaded > 0) atlas_free(sets[--loaded]);
    return status;
}

int main(int argc, char **argv) {
    carina_error error;
    if (argc < 3 || argc > 2 + 16) {
        fputs("usage: atlas_compile OUT.c SET.yaml...\n", stderr);
        return 2;
    }
    if (compile(argv[1], argc - 2, argv + 2, &error) != CARINA_OK) {
        fprintf(stderr, "atlas_compile: %s\n", error.message);
        return 1;
    }
    return 0;
}
