// Modules that come and go. dlopen() finds libraries by the path of its caller, which must not be
// us where that matters: then we only pass by, and the module is met by the first sample in it.
#include "probe/heap.h"
#include "probe/imports.h"
#include "probe/lock.h"
#include "probe/probe.h"
#include "probe/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

typedef void *opener(const char *, int);

static bool is_patching(void)
{
    return hone_heap_is_wanted() || hone_locks_are_wanted();
}

static bool follows_modules(void)
{
    return (hone_probe.engine || is_patching()) && hone_is_our_process();
}

static void *open_and_patch(const char *file, int mode)
{
    void *handle = hone_real()->dlopen(file, mode);
    int saved = errno;
    if (handle)
        hone_imports_patch();
    errno = saved;
    return handle;
}

opener *hone_dlopen_target(const char *file); // called by the dlopen() of arch/

// Where a call of dlopen() goes on, with its arguments and its return address as they are. By a
// path and without the caller's own directory in it ($ORIGIN), a file is the same for everyone,
// and what it needs is, too, unless a library says where to look for that.
opener *hone_dlopen_target(const char *file)
{
    const struct hone_real *real = hone_real();
    bool anybodys = file && strchr(file, '/') && !strchr(file, '$');
    if (!follows_modules())
        return real->dlopen;
    int saved = errno;
    hone_modules_refresh_if_gone(&hone_probe_modules); // this one may come to lie there
    if (is_patching())
        hone_imports_patch(); // those that came unseen
    errno = saved;
    return is_patching() && anybodys && hone_imports_know_paths() ? open_and_patch : real->dlopen;
}

HONE_EXPORT int dlclose(void *handle)
{
    if (!follows_modules())
        return hone_real()->dlclose(handle);
    // Another thread may open a library where this one is taken away, before we are back.
    hone_modules_begin_close(&hone_probe_modules);
    int r = hone_real()->dlclose(handle);
    if (hone_is_our_process()) {
        int saved = errno;
        hone_modules_end_close(&hone_probe_modules);
        hone_modules_emit();
        if (is_patching())
            hone_imports_patch();
        errno = saved;
    }
    return r;
}
