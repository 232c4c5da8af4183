// Where the probe finds itself: some surroundings bear no signals of ours.
#include "probe/probe.h"

#include "core/syscall.h"

#include <fcntl.h>
#include <link.h>
#include <string.h>

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

// The first module is the program. (What the kernel passes does not tell where a static program
// that can lie anywhere lies.)
static int look_for_go(struct dl_phdr_info *program, size_t size, void *found)
{
    (void)size;
    for (size_t i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_NOTE &&
            has_go_note(&program->dlpi_phdr[i], program->dlpi_addr))
            *(bool *)found = true;
    return 1;
}

static bool has_go_runtime(void)
{
    bool found = false;
    (void)dl_iterate_phdr(look_for_go, &found);
    return found;
}

// The number behind a word of /proc/self/status; 0 when it is not there.
static uint32_t read_status(const char *word)
{
    char status[2048];
    long fd = hone_syscall4(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    long got = hone_syscall3(SYS_read, fd, status, sizeof status - 1);
    (void)hone_syscall1(SYS_close, fd);
    status[got > 0 ? got : 0] = '\0';
    const char *at = strstr(status, word);
    uint32_t value = 0;
    for (at = at ? at + strlen(word) : ""; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint32_t)(*at - '0');
    return value;
}

static const char in_sandbox[] =
    "it is in a sandbox (seccomp), where what a sample needs may end it";

const char *hone_sampling_forbidden(void)
{
    if (has_go_runtime())
        return "a Go runtime handles every signal itself";
    // Valgrind runs the program on a processor of its own and ends at a signal that it did not
    // expect.
    if (hone_under_valgrind())
        return "it runs under Valgrind, whose own tools measure there";
    if (read_status("Seccomp_filters:\t") > hone_probe.writer.header->config.seccomp_filters)
        return in_sandbox;
    return NULL;
}

bool hone_is_traced(void)
{
    return read_status("TracerPid:\t") != 0;
}

void hone_enter_sandbox(void)
{
    if (!hone_probe.engine || !hone_is_our_process())
        return;
    if (hone_probe.engine->pause)
        hone_probe.engine->pause(true);
    else
        hone_probe.engine->stop();
    hone_thread_leave(hone_thread_self());
    hone_probe.engine = NULL;
    hone_probe.writer.process->engine = HONE_ENGINE_NONE; // not covered, from here on
    memcpy(hone_probe.writer.process->reason, in_sandbox, sizeof in_sandbox);
}
