#include "pprof/tell.h"

#include <stdarg.h>
#include <stdio.h>

void hone_pprof_tell(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}
