#include "profile/index.h"
#include "profile/profile.h"

#include <errno.h>

enum { SIGN_BYTES = 3 }; // of U+2409 to U+240D, the signs for \t to \r

static bool breaks_line(char c)
{
    return c >= '\t' && c <= '\r';
}

int hone_profile_one_line(struct hone_profile *p)
{
    for (uint32_t i = 1; i < p->strings.count; i++) {
        struct hone_str text = p->strings.text[i];
        size_t breaks = 0;
        for (size_t at = 0; at < text.len; at++)
            breaks += breaks_line(text.at[at]);
        if (!breaks)
            continue;
        char *copy = hone_arena_alloc(&p->index->text, text.len + breaks * (SIGN_BYTES - 1) + 1);
        if (!copy)
            return -ENOMEM;
        size_t len = 0;
        for (size_t at = 0; at < text.len; at++) {
            copy[len++] = text.at[at];
            if (!breaks_line(text.at[at]))
                continue;
            copy[len - 1] = (char)0xe2;
            copy[len++] = (char)0x90;
            copy[len++] = (char)(0x80 + text.at[at]);
        }
        copy[len] = '\0';
        p->strings.text[i] = (struct hone_str){copy, len};
    }
    return 0;
}
