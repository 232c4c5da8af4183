// Where the probe finds itself: some surroundings bear no signals of ours.
#include "probe/heap.h"
#include "probe/lock.h"
#include "probe/lock_order.h"

#include "core/clock.h"

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

// Asked when the program starts and never again: the list has a lock of the loader's, which a
// forked child finds held for ever when another thread of its parent held it.
static bool has_go_runtime(void)
{
    static bool asked, found;
    if (!asked)
        (void)dl_iterate_phdr(look_for_go, &found);
    asked = true;
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

// Its runtime is what libc's functions are then, for us, too: see capture/target.c.
__attribute__((weak)) void __tsan_init(void); // NOLINT(bugprone-reserved-identifier): its name

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
    if (__tsan_init)
        return "ThreadSanitizer is in it, which does not bear signals of ours";
    if (read_status("Seccomp_filters:\t") > hone_probe.writer.header->config.seccomp_filters)
        return in_sandbox;
    return NULL;
}

bool hone_is_traced(void)
{
    return read_status("TracerPid:\t") != 0;
}

void hone_sandbox_before(struct hone_door *ret)
{
    *ret = (struct hone_door){.ours = hone_is_our_process(), .engine = hone_probe.engine};
    if (!ret->ours)
        return;
    ret->heap = hone_heap_is_wanted();
    if (ret->heap)
        hone_heap_begin(false);
    ret->locks = hone_locks_are_wanted() || hone_lock_order_is_on();
    if (ret->locks)
        hone_locks_end();
    hone_probe.engine = NULL; // first: handlers of other threads do nothing any more
    hone_probe.writer.silent = true;
    if (ret->engine)
        ret->engine->pause(true);
    ret->time_ns = hone_now_ns();
    ret->thread_cpu_ns = hone_thread_cpu_ns();
    ret->process_cpu_ns = hone_cpu_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void hone_sandbox_after(const struct hone_door *door, bool locked_in)
{
    if (!door->ours)
        return;
    if (!locked_in) { // as libraries ask what the kernel can do: by a call that must fail
        if (door->engine)
            door->engine->pause(false);
        hone_probe.engine = door->engine;
        hone_probe.writer.silent = false;
        if (door->heap)
            hone_heap_begin(true);
        if (door->locks)
            hone_locks_begin(true);
        return;
    }
    hone_probe.locked_in = true;
    if (door->heap)
        memcpy(hone_probe.writer.process->heap_reason, in_sandbox, sizeof in_sandbox);
    if (door->locks)
        memcpy(hone_probe.writer.process->lock_reason, in_sandbox, sizeof in_sandbox);
    if (!door->engine)
        return;
    struct hone_process *process = hone_probe.writer.process;
    hone_thread_leave_at(hone_thread_self(), door->time_ns, door->thread_cpu_ns);
    atomic_store_explicit(&process->cpu_total_ns, door->process_cpu_ns, memory_order_relaxed);
    memcpy(process->reason, in_sandbox, sizeof in_sandbox);
    process->engine = HONE_ENGINE_NONE; // not covered, from here on
}

// Each signal stops a traced thread first, and its tracer takes a SIGTRAP for a stop that it waits
// for: exec's. So it gets none of ours. What the process uses from here on is in its clock.
const struct hone_engine_kind *hone_traced_before(void)
{
    const struct hone_engine_kind *engine = hone_is_our_process() ? hone_probe.engine : NULL;
    if (!engine)
        return NULL;
    hone_probe.engine = NULL;
    engine->pause(true);
    return engine;
}

void hone_traced_after(const struct hone_engine_kind *engine, bool traced)
{
    static const char reason[] = HONE_REASON_TRACED;
    if (!engine)
        return;
    if (traced) {
        memcpy(hone_probe.writer.process->reason, reason, sizeof reason);
        return;
    }
    engine->pause(false);
    hone_probe.engine = engine;
}
