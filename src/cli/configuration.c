/* Reading CONFIG.yaml and the words behind it; see configuration.h. */
#include "cli/configuration.h"

#include <string.h>

#include "cli/command.h"
#include "format/config.h"

int configuration_read(train_config *out, const char *name, int count, char *const *arguments) {
    static const char words[] = CONFIG_COMMAND_LINE ": ";
    carina_error error = {0};
    for (int i = 1; i < count; i++)
        if (!strchr(arguments[i], '=') || arguments[i][0] == '=')
            return command_usage("%s: '%s' is not of the form KEY=VALUE; see `carina %s --help`", name, arguments[i],
                                 name);
    if (train_config_read(out, arguments[0], (const char *const *)(arguments + 1), count - 1, &error) == CARINA_OK)
        return COMMAND_OK;
    command_fail(&error);
    return strncmp(error.message, words, strlen(words)) == 0 ? COMMAND_USAGE : COMMAND_FAILED;
}
