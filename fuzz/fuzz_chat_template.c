/* Any bytes as a chat template, run on a short conversation; what comes out is UTF-8. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "text/chat_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const chat_part parts[] = {{CHAT_TEXT, " Compare\n"}, {CHAT_IMAGE, NULL}, {CHAT_TEXT, "\xc3\xa9t\xc3\xa9"}};
    static const chat_message messages[] = {{"system", "Be brief.", NULL, 0},
                                            {"user", NULL, parts, 3},
                                            {"assistant", "<think>\na\n</think>\n\nb ", NULL, 0},
                                            {"user", "", NULL, 0}};
    const chat_options options = {"<bos>", "<eos>", true};
    carina_error error;
    chat_template *t;
    char *text;
    uint64_t text_size;
    if (chat_template_parse(&t, "fuzz", data, size, &error) != CARINA_OK) return 0;
    for (int skipped = 0; skipped < 2; skipped++) { /* with a system message and without */
        carina_status status =
            chat_template_render(t, messages + skipped, 4 - skipped, &options, &text, &text_size, &error);
        if (status != CARINA_OK) continue;
        assert(utf8_valid(text, text_size));
        free(text);
    }
    chat_template_free(t);
    return 0;
}
