#include "pprof/tell.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

void hone_pprof_tell(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}

static bool is_coloured(void)
{
    const char *term = getenv("TERM");
    const char *without = getenv("NO_COLOR");
    return isatty(STDERR_FILENO) && term && *term && strcasecmp(term, "dumb") != 0 &&
           !(without && *without);
}

void hone_pprof_complain(const char *text)
{
    bool coloured = is_coloured();
    (void)fprintf(stderr, "%s%s\n%s", coloured ? "\x1b[0;31m" : "", text,
                  coloured ? "\x1b[0m" : "");
}
