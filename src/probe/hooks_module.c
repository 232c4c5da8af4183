// Modules that go. dlopen is not hooked: it finds libraries by the path of its caller, which would
// be us; a module that came is met by the first sample in it.
#include "probe/probe.h"
#include "probe/real.h"

#include <dlfcn.h>
#include <errno.h>

HONE_EXPORT int dlclose(void *handle)
{
    int r = hone_real()->dlclose(handle);
    if (hone_probe.engine && hone_is_our_process()) {
        int saved = errno;
        hone_modules_refresh(&hone_probe_modules);
        hone_modules_emit();
        errno = saved;
    }
    return r;
}
