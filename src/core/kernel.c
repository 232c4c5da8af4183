#include "core/kernel.h"

#include "core/syscall.h"

#include <sys/utsname.h>

bool hone_release_is_from(const char *release, unsigned major, unsigned minor)
{
    unsigned version[2] = {0}, part = 0;
    for (; *release && part < 2; release++) {
        if (*release >= '0' && *release <= '9')
            version[part] = version[part] * 10 + (unsigned)(*release - '0');
        else
            part++;
    }
    return version[0] > major || (version[0] == major && version[1] >= minor);
}

bool hone_kernel_keeps_traps(void)
{
    struct utsname name = {0};
    return hone_syscall1(SYS_uname, &name) >= 0 && hone_release_is_from(name.release, 5, 19);
}
