/* `carina --version`: the release, the build, the processor and the libraries. */
#include "base/build.h"
#include "base/cpu.h"
#include "cli/command.h"

static int run(const void *values, int count, char *const *arguments) {
    (void)values, (void)count, (void)arguments;
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
    .examples = "carina --version\n",
    .least = 0,
    .most = 0,
    .run = run,
};
