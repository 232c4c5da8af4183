#include "base/error.h"

#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void append_reason(struct hone_error *err, int code)
{
    char reason[128];
    const char *text = strerror_r(-code, reason, sizeof reason); // GNU: returns the text
    size_t used = strlen(err->message);
    (void)snprintf(err->message + used, sizeof err->message - used, ": %s", text);
    char *first = err->message + used + 2;
    // "No such file" reads as one sentence with what precedes it; "I/O error" stays as it is.
    if (used + 3 < sizeof err->message && isupper((unsigned char)first[0]) &&
        islower((unsigned char)first[1]))
        first[0] = (char)tolower((unsigned char)first[0]);
}

int hone_error_set(struct hone_error *err, int code, const char *format, ...)
{
    if (!err)
        return code;
    err->code = code;
    err->hint[0] = '\0';
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    if (code != 0 && code != -EINVAL && code != -EBADMSG)
        append_reason(err, code);
    return code;
}

void hone_error_hint(struct hone_error *err, const char *format, ...)
{
    if (!err)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(err->hint, sizeof err->hint, format, arguments);
    va_end(arguments);
}

// Messages quote what strangers wrote, which must not steer the terminal.
static void print_line(const char *text)
{
    struct hone_arena arena = {0};
    bool failed = false;
    struct hone_str clean = hone_utf8_clean(&arena, hone_str_of(text), 2048, &failed);
    (void)fprintf(stderr, "hone: %.*s\n", (int)clean.len, clean.at);
    hone_arena_done(&arena);
}

void hone_error_print(const struct hone_error *err)
{
    print_line(err->message[0] ? err->message : strerror(-err->code));
    if (err->hint[0])
        print_line(err->hint);
}
