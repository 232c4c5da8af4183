// A program that asks to be traced by its parent, as debuggers' children do: see surroundings.c.
#include "probe/probe.h"
#include "probe/real.h"

#include <linux/ptrace.h>
#include <stdarg.h>

// C libraries do not agree on the first argument's type.
long ptrace(int request, ...);

HONE_EXPORT long ptrace(int request, ...)
{
    long words[3];
    va_list arguments;
    va_start(arguments, request);
    hone_sandbox_words(arguments, words, 3);
    va_end(arguments);
    const struct hone_engine_kind *engine =
        HONE_UNLIKELY(request == PTRACE_TRACEME) ? hone_traced_before() : NULL;
    long r = hone_real()->ptrace(request, words[0], words[1], words[2]);
    hone_traced_after(engine, r == 0);
    return r;
}
