/* Runs a fuzz target over every file of a folder: the corpus as an ordinary test. No libFuzzer needed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argument_count, char **arguments) {
    if (argument_count != 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", arguments[0]);
        return 2;
    }
    DIR *folder = opendir(arguments[1]);
    if (!folder) {
        perror(arguments[1]);
        return 1;
    }
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char *path = path_join(arguments[1], entry->d_name);
        uint8_t *bytes;
        uint64_t size;
        carina_error error;
        if (path && !file_is_folder(path)) {
            if (file_read(path, 64u << 20, &bytes, &size, &error) != CARINA_OK) {
                fprintf(stderr, "%s\n", error.message);
                return 1;
            }
            LLVMFuzzerTestOneInput(bytes, (size_t)size);
            free(bytes);
            count++;
        }
        free(path);
    }
    closedir(folder);
    printf("%d inputs replayed\n", count);
    return count > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
