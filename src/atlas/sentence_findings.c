/* Reading a region's sentence back; see sentence_findings.h. */
#include "atlas/sentence_findings.h"

#include <string.h>

#define JOINT   SENTENCE_JOINT
#define SHOWS   SENTENCE_SHOWS
#define HEALTHY SENTENCE_HEALTHY

bool sentence_says_healthy(const char *sentence, const char *object) {
    size_t length = strlen(object);
    return strncmp(sentence, object, length) == 0 && strcmp(sentence + length, HEALTHY) == 0;
}

/* The longest name of the region set that holds " and " and that the text starts with, ending at a joint or at the
 * end; 0: none. */
static size_t joined_name(const char *text, size_t length, const atlas *regions) {
    size_t longest = 0;
    for (int r = 0; r < regions->region_count; r++) {
        for (int i = 0; i < regions->regions[r].finding_count; i++) {
            const char *name = regions->regions[r].findings[i];
            size_t size = strlen(name);
            if (size <= longest || size > length || !strstr(name, JOINT) || memcmp(text, name, size) != 0) continue;
            if (size == length || (length - size > strlen(JOINT) && memcmp(text + size, JOINT, strlen(JOINT)) == 0))
                longest = size;
        }
    }
    return longest;
}

int sentence_findings_parse(sentence_finding findings[SENTENCE_FINDINGS], const char *sentence, const char *object,
                            const atlas *regions) {
    size_t head = strlen(object), length = strlen(sentence);
    if (length < head || memcmp(sentence, object, head) != 0) return -1;
    const char *text = sentence + head;
    if (strcmp(text, HEALTHY) == 0) return 0;
    if (strncmp(text, SHOWS, strlen(SHOWS)) != 0 || sentence[length - 1] != '.') return -1;
    text += strlen(SHOWS);
    size_t left = (size_t)(sentence + length - 1 - text);
    int count = 0;
    for (;;) {
        size_t size = joined_name(text, left, regions);
        const char *joint = size ? NULL : memmem(text, left, JOINT, strlen(JOINT));
        if (!size) size = joint ? (size_t)(joint - text) : left;
        if (size == 0 || count == SENTENCE_FINDINGS) return -1;
        findings[count++] = (sentence_finding){text, (uint32_t)size};
        if (size == left) return count;
        text += size + strlen(JOINT);
        left -= size + strlen(JOINT);
    }
}

int sentence_finding_names(const char *names[SENTENCE_FINDING_NAMES], const atlas *regions) {
    int count = 0;
    for (int r = 0; r < regions->region_count; r++)
        for (int i = 0; i < regions->regions[r].finding_count; i++) {
            const char *name = regions->regions[r].findings[i];
            if (sentence_finding_find(names, count, name, strlen(name)) >= 0) continue;
            if (count == SENTENCE_FINDING_NAMES) return count;
            names[count++] = name;
        }
    return count;
}

int sentence_finding_find(const char *const *names, int count, const char *name, size_t length) {
    for (int i = 0; i < count; i++)
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0) return i;
    return -1;
}
