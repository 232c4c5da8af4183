// Where libhone.so's own data lies. In a program that has libhone.a inside this would be the
// program's.
#include "probe/probe.h"

#include "core/syscall.h"

#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden"))); // by the linker

void hone_leave_out_of_cores(void)
{
    const uintptr_t page = getauxval(AT_PAGESZ);
    const char *image = (const char *)&__ehdr_start;
    const ElfW(Phdr) *headers = (const void *)(image + __ehdr_start.e_phoff);
    for (int i = 0; i < __ehdr_start.e_phnum; i++) {
        const ElfW(Phdr) *h = &headers[i];
        if (h->p_type != PT_LOAD || !(h->p_flags & PF_W))
            continue;
        uintptr_t from = (uintptr_t)image + h->p_vaddr + h->p_filesz;
        uintptr_t to = (uintptr_t)image + h->p_vaddr + h->p_memsz;
        // What the file does not have, as the loader maps it: so it stays one mapping.
        from = (from + page - 1) & ~(page - 1);
        to = (to + page - 1) & ~(page - 1);
        if (to > from)
            (void)hone_syscall3(SYS_madvise, from, to - from, MADV_DONTDUMP);
    }
}
