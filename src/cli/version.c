/* `carina --version`: the release, the build, the processor and the libraries. */
#include "base/build.h"
#include "base/cpu.h"
#include "cli/command.h"
#include "format/json_writer.h"

typedef struct version_values {
    bool json;
} version_values;

static const option version_options[] = {OPTION_JSON(version_values, json), {0}};
static const version_values version_defaults = {false};

static void print_json(void) {
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "version", build_version());
    json_field_text(&w, "commit", build_commit());
    json_field_text(&w, "build", build_type());
    json_field_text(&w, "compiler", build_compiler());
    json_field_text(&w, "isa_machine", cpu_level_name(cpu_level_best()));
    json_field_text(&w, "isa_used", cpu_level_name(cpu_level_effective()));
    json_key(&w, "libraries");
    json_begin_object(&w);
    for (int i = 0; build_library_at(i); i++)
        json_field_text(&w, build_library_at(i)->name, build_library_at(i)->version);
    json_end(&w);
    json_end(&w);
}

static int run(const void *values, int count, char *const *arguments) {
    (void)count, (void)arguments;
    const version_values *v = values;
    if (v->json) {
        print_json();
        return COMMAND_OK;
    }
    printf("carina %s (commit %s)\n", build_version(), build_commit());
    printf("build      %s, %s\n", build_type(), build_compiler());
    printf("processor  %s, using %s\n", cpu_level_name(cpu_level_best()), cpu_level_name(cpu_level_effective()));
    printf("libraries ");
    for (int i = 0; build_library_at(i); i++)
        printf(" %s %s%s", build_library_at(i)->name, build_library_at(i)->version, build_library_at(i + 1) ? "," : "");
    printf("\nResearch software, not a medical device. Apache License 2.0.\n");
    return COMMAND_OK;
}

const command command_version = {
    .name = "version",
    .summary = "print the version, the build and the libraries",
    .arguments = "",
    .description = "What this build of Carina is. The commit has a '+' behind it when the sources were changed.\n",
    .examples = "carina --version\ncarina version --json\n",
    .options = version_options,
    .defaults = &version_defaults,
    .values_size = sizeof(version_values),
    .least = 0,
    .most = 0,
    .run = run,
};
