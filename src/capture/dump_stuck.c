// Processes in which nobody is left to wake anybody: what Go calls "all goroutines are asleep".
// Told only where that can be proven from outside: at one moment every thread of the process
// waited, without a time limit, for a word in memory that no other process can reach (a futex:
// mutex, condition variable, join, …), and it handles no signal whose handler might go on with
// something.
//
// Threads are looked at one after the other. That they all waited at one moment follows from how
// long each has waited: since before the first was looked at. Who ended since then was awake, and
// may have woken others on its way.
#include "capture/dump_parts.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { MAPS_BYTES_MAX = 64 << 20, CANCEL = 32, SET_ID = 33 };

// Handlers of these run for what a thread does itself, or are the C library's own.
static const int harmless[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, CANCEL, SET_ID};

static bool handles_signals(const struct hone_dump_process *process)
{
    uint64_t handled = process->handled_signals;
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        handled &= ~((uint64_t)1 << (harmless[i] - 1));
    return handled != 0;
}

static bool has_rested(const struct hone_dump *dump, const struct hone_dump_thread *thread)
{
    return thread->waits_ns != HONE_DUMP_UNKNOWN &&
           thread->looked_ns - thread->waits_ns < dump->started_ns;
}

static bool waits_inside(const struct hone_dump *dump, const struct hone_dump_thread *thread)
{
    return thread->placed && thread->futex && !thread->limited && thread->state == 'S' &&
           has_rested(dump, thread);
}

// Whether the word lies in memory that the process has for itself.
static bool is_private(const char *maps, uint64_t address)
{
    for (const char *line = maps; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        uint64_t start, end;
        char permissions[5];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, permissions) == 3 &&
            address >= start && address < end)
            return permissions[3] == 'p';
    }
    return false;
}

// join() waits for a word that the kernel clears at the thread's end: for the kernel it is a shared
// one, wherever it lies.
static bool shares_nothing(const struct hone_dump *dump, uint32_t process)
{
    char path[64];
    HONE_CLEANUP(hone_freep) char *maps = NULL;
    size_t len = 0;
    for (uint32_t i = 0; i < dump->thread_count; i++) {
        const struct hone_dump_thread *thread = &dump->threads[i];
        if (thread->process != process || !thread->futex_shared)
            continue;
        (void)snprintf(path, sizeof path, "/proc/%u/maps",
                       thread->tid); // the first one may be over
        if (!maps && hone_file_read(path, MAPS_BYTES_MAX, &maps, &len, NULL))
            return false;
        if (!is_private(maps, thread->futex))
            return false;
    }
    return true;
}

void hone_dump_find_stuck(struct hone_dump *dump)
{
    for (uint32_t i = 0; i < dump->thread_count; i++) {
        const struct hone_dump_thread *thread = &dump->threads[i];
        if (thread->miss == HONE_DUMP_OVER ? !has_rested(dump, thread)
                                           : !waits_inside(dump, thread))
            dump->processes[thread->process].awake = true;
    }
    for (uint32_t i = 0; i < dump->process_count; i++) {
        struct hone_dump_process *process = &dump->processes[i];
        process->asleep = process->threads && !process->awake && !handles_signals(process) &&
                          shares_nothing(dump, i);
    }
}
