#include "base/utf8.h"
#include "profile/profile.h"

#include <stdarg.h>
#include <stdio.h>

enum { COMMENT_MAX = 1024 };

void hone_profile_comment(struct hone_profile *profile, const char *format, ...)
{
    char text[COMMENT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct hone_arena arena = {0};
    bool failed = false;
    struct hone_str clean = hone_utf8_clean(&arena, hone_str_of(text), sizeof text, &failed);
    const char *line = failed ? NULL : hone_arena_format(&arena, "%.*s", (int)clean.len, clean.at);
    hone_profile_add_comment(profile, line ? line : ""); // short of memory: interning will say so
    hone_arena_done(&arena);
}
