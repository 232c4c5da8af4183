#include "symbol/vdso.h"

#include "base/base.h"

#include <errno.h>
#include <stdint.h>
#include <sys/auxv.h>

// The size of the mapping at start: the image does not tell where it ends.
static size_t mapped_len(uintptr_t start)
{
    HONE_CLEANUP(hone_fclosep) FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    while (maps && fgets(line, sizeof line, maps)) {
        char *dash, *space;
        uintptr_t low = strtoul(line, &dash, 16);
        uintptr_t high = *dash == '-' ? strtoul(dash + 1, &space, 16) : 0;
        if (low == start && high > low)
            return high - low;
    }
    return 0;
}

int hone_symbol_vdso_open(struct hone_elf **ret, struct hone_error *err)
{
    uintptr_t start = getauxval(AT_SYSINFO_EHDR);
    size_t len = start ? mapped_len(start) : 0;
    if (!len)
        return hone_error_set(err, -ENOENT, "cannot find the vdso");
    return hone_elf_open_memory((const void *)start, len, "[vdso]", ret, err);
}
