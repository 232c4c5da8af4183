// A program may have libhone.a inside and a loader that preloads libhone.so all the same. That one
// sees more, so it does the work; the program's calls reach this one, which hands them on.
#include "probe/probe.h"

#include "hone/hone.h"

#include <dlfcn.h>
#include <sys/auxv.h>

struct hone_twin hone_twin;

// Static programs need not have it, nor those of an old glibc.
#pragma weak dlsym

// Somebody else's function: the loader's first one may be ours, where the program exports it.
static void *find(const char *name, uintptr_t ours)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    return (uintptr_t)found == ours ? dlsym(RTLD_NEXT, name) : found;
}

bool hone_twin_find(void)
{
    if (hone_has_hooks || !getauxval(AT_BASE))
        return false;
    if (!dlsym)
        return true; // and not to be asked
    *(void **)&hone_twin.recording = find("hone_recording", (uintptr_t)hone_recording);
    *(void **)&hone_twin.heap_set_rate = find("hone_heap_set_rate", (uintptr_t)hone_heap_set_rate);
    *(void **)&hone_twin.mark = find("hone_mark", (uintptr_t)hone_mark);
    *(void **)&hone_twin.lock_name = find("hone_lock_name", (uintptr_t)hone_lock_name);
    return hone_twin.recording;
}
