/* What a chat template is made of, for chat_template.c and chat_template_file.c. */
#ifndef TEXT_CHAT_TEMPLATE_INTERNAL_H
#define TEXT_CHAT_TEMPLATE_INTERNAL_H

#include "text/chat_template.h"

struct chat_template {
    struct jinja *tree;
    char *source;    /* owned */
    char *bos, *eos; /* owned, NULL: none */
};

#endif
