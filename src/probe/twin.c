// A program, or a library that it loads, may have libhone.a inside and a loader that preloads
// libhone.so all the same. That one sees more, so it does the work; calls that reach this one are
// handed on to it.
#include "probe/probe.h"

#include <dlfcn.h>
#include <sys/auxv.h>

struct hone_twin hone_twin;

// Static programs need not have it, nor those of an old glibc.
#pragma weak dlsym

// By a name that only libhone.so has: those of the calls are in every library of ours, and the
// loader may find any of them first.
bool hone_twin_find(void)
{
    if (hone_has_hooks || !getauxval(AT_BASE))
        return false;
    if (!dlsym)
        return true; // and not to be asked
    const struct hone_twin *found = dlsym(RTLD_DEFAULT, "hone_preloaded");
    if (found)
        hone_twin = *found;
    return found;
}
