/* Reading CONFIG.yaml and the words behind it; see configuration.h. */
#include "cli/configuration.h"

#include <string.h>

#include "cli/command.h"

int configuration_read(train_config *out, const char *name, int count, char *const *arguments) {
    carina_error error = {0};
    for (int i = 1; i < count; i++)
        if (!strchr(arguments[i], '=') || arguments[i][0] == '=')
            return command_usage("%s: '%s' is not of the form KEY=VALUE; see `carina %s --help`", name, arguments[i],
                                 name);
    carina_status status =
        train_config_read(out, arguments[0], (const char *const *)(arguments + 1), count - 1, &error);
    if (status == CARINA_OK) return COMMAND_OK;
    command_fail(&error);
    return status == CARINA_ERROR_ARGUMENT ? COMMAND_USAGE : COMMAND_FAILED;
}
