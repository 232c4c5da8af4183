// Where the probe finds itself: some surroundings bear no signals of ours.
#include "probe/probe.h"

#include "core/syscall.h"

#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

// A Go runtime takes every signal for itself by system calls that no hook sees, and ends the
// program at one that it does not know. Its linker leaves a note of the name "Go".
static bool has_go_note(const ElfW(Phdr) * note, uint64_t bias)
{
    const unsigned char *at = (const unsigned char *)(uintptr_t)(bias + note->p_vaddr);
    const unsigned char *end = at + note->p_memsz;
    while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *header = (const void *)at;
        size_t name = ((size_t)header->n_namesz + 3) & ~(size_t)3;
        size_t rest = ((size_t)header->n_descsz + 3) & ~(size_t)3;
        at += sizeof *header;
        if (name > (size_t)(end - at) || rest > (size_t)(end - at) - name)
            return false;
        if (header->n_namesz == 4 && memcmp(at, "Go\0", 4) == 0)
            return true;
        at += name + rest;
    }
    return false;
}

static bool has_go_runtime(void)
{
    const ElfW(Phdr) *headers = (const void *)getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    uint64_t bias = 0;
    for (size_t i = 0; headers && i < count; i++)
        if (headers[i].p_type == PT_PHDR)
            bias = (uint64_t)(uintptr_t)headers - headers[i].p_vaddr;
    for (size_t i = 0; headers && i < count; i++)
        if (headers[i].p_type == PT_NOTE && has_go_note(&headers[i], bias))
            return true;
    return false;
}

const char *hone_sampling_forbidden(void)
{
    if (has_go_runtime())
        return "a Go runtime handles every signal itself";
    // Valgrind runs the program on a processor of its own and ends at a signal that it did not
    // expect.
    if (hone_under_valgrind())
        return "it runs under Valgrind, whose own tools measure there";
    return NULL;
}

bool hone_is_traced(void)
{
    static const char word[] = "TracerPid:\t";
    char status[1024];
    long fd = hone_syscall4(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    long got = hone_syscall3(SYS_read, fd, status, sizeof status - 1);
    (void)hone_syscall1(SYS_close, fd);
    if (got <= 0)
        return false;
    status[got] = '\0';
    const char *tracer = strstr(status, word);
    return tracer && tracer[sizeof word - 1] != '0';
}
