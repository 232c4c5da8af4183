#include "base/error.h"

#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What an error number says, as the end of a line: "No such file" reads as one sentence with what
// precedes it; "I/O error" stays as it is.
static void put_reason(int code, char *to, size_t size)
{
    char buffer[128];
    const char *text = strerror_r(-code, buffer, sizeof buffer); // GNU: returns the text
    (void)snprintf(to, size, ": %s", text);
    if (isupper((unsigned char)to[2]) && islower((unsigned char)to[3]))
        to[2] = (char)tolower((unsigned char)to[2]);
}

// What is too long, be it a stranger's name within, keeps both its ends.
static void put(char *to, size_t size, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int len = vsnprintf(to, size, format, arguments);
    char *whole;
    if (len >= (int)size && vasprintf(&whole, format, again) >= 0) {
        hone_utf8_brief(hone_str_of(whole), to, size);
        free(whole);
    }
    va_end(again);
}

int hone_error_vset(struct hone_error *err, int code, const char *format, va_list arguments)
{
    if (!err)
        return code;
    char reason[130] = "";
    if (code != 0 && code != -EINVAL && code != -EBADMSG)
        put_reason(code, reason, sizeof reason);
    err->code = code;
    err->hint[0] = '\0';
    size_t room = sizeof err->message - strlen(reason);
    put(err->message, room, format, arguments);
    memcpy(err->message + strlen(err->message), reason, strlen(reason) + 1);
    return code;
}

int hone_error_set(struct hone_error *err, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)hone_error_vset(err, code, format, arguments);
    va_end(arguments);
    return code;
}

void hone_error_hint(struct hone_error *err, const char *format, ...)
{
    if (!err)
        return;
    va_list arguments;
    va_start(arguments, format);
    put(err->hint, sizeof err->hint, format, arguments);
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

void hone_tell(const char *format, ...)
{
    struct hone_error line;
    va_list arguments;
    va_start(arguments, format);
    (void)hone_error_vset(&line, 0, format, arguments);
    va_end(arguments);
    print_line(line.message);
}
