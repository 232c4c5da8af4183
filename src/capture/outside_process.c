// Processes and threads from outside: found, told to the collected, and closed.
#include "capture/outside_parts.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    LINGER_NS = 100000000, // after a process's end its last records may still come
    PAGE = 4096,
    KERNEL_NAME = 15,   // bytes that the kernel keeps of a process's name
    AUXILIARY_MAX = 64, // entries of what the kernel passes to a program; they are some 20
};

struct hone_outside_process *hone_outside_process_of(const struct hone_outside *outside,
                                                     uint32_t pid)
{
    uint32_t at = pid < HONE_OUTSIDE_PIDS_MAX ? outside->by_pid[pid] : 0;
    return at && !outside->processes[at - 1].closed ? &outside->processes[at - 1] : NULL;
}

struct hone_outside_thread *hone_outside_thread_of(const struct hone_outside *outside, uint32_t tid)
{
    uint32_t at = tid < HONE_OUTSIDE_PIDS_MAX ? outside->by_tid[tid] : 0;
    return at ? &outside->threads[at - 1] : NULL;
}

// Room for one more; NULL: no memory.
static void *grow(struct hone_outside *outside, void *array, uint32_t count, uint32_t *room,
                  size_t size)
{
    if (count < *room)
        return array;
    uint32_t more = *room ? *room * 2 : 64;
    void *larger = realloc(array, more * size);
    if (larger)
        *room = more;
    else
        outside->status = -ENOMEM;
    return larger;
}

struct hone_outside_process *hone_outside_new_process(struct hone_outside *outside, uint32_t pid)
{
    if (pid >= HONE_OUTSIDE_PIDS_MAX)
        return NULL;
    struct hone_outside_process *larger = grow(outside, outside->processes, outside->process_count,
                                               &outside->process_room, sizeof *larger);
    if (!larger)
        return NULL;
    outside->processes = larger;
    struct hone_outside_process *process = &larger[outside->process_count++];
    *process = (struct hone_outside_process){.pid = (pid_t)pid};
    process->facts.pid = pid;
    process->facts.started_ns = outside->record_ns ? outside->record_ns : hone_now_ns();
    process->facts.period_ns = outside->options.period_ns;
    process->facts.pid_namespace = outside->collected->pid_namespace;
    process->facts.state = HONE_PROCESS_RUNNING;
    process->facts.engine =
        outside->perf.sees_kernel ? HONE_ENGINE_PERF_OUTSIDE : HONE_ENGINE_PERF_OUTSIDE_USER;
    if (!outside->perf.sees_kernel)
        (void)snprintf(process->facts.reason, sizeof process->facts.reason,
                       "the kernel may not be sampled: perf_event_paranoid is above 1");
    outside->by_pid[pid] = outside->process_count;
    return process;
}

struct hone_outside_thread *hone_outside_new_thread(struct hone_outside *outside,
                                                    struct hone_outside_process *process,
                                                    uint32_t tid)
{
    if (tid >= HONE_OUTSIDE_PIDS_MAX)
        return NULL;
    struct hone_outside_thread *larger = grow(outside, outside->threads, outside->thread_count,
                                              &outside->thread_room, sizeof *larger);
    if (!larger)
        return NULL;
    outside->threads = larger;
    struct hone_outside_thread *thread = &larger[outside->thread_count++];
    *thread = (struct hone_outside_thread){
        .process = (uint32_t)(process - outside->processes),
        .index = process->thread_count++,
        .tid = (pid_t)tid,
        .met_ns = outside->record_ns ? outside->record_ns : hone_now_ns(),
        .root = outside->thread_count - 1,
        .next = process->first_thread,
    };
    process->first_thread = outside->thread_count;
    process->alive++;
    outside->by_tid[tid] = outside->thread_count;
    return thread;
}

// The kernel tells 15 bytes of what a program was executed as; of one that was executed by a
// descriptor or by /proc/self/exe that says nothing.
static void complete_name(struct hone_process_facts *facts)
{
    const char *slash = strrchr(facts->path, '/');
    const char *file = slash ? slash + 1 : facts->path;
    size_t len = strlen(facts->name);
    bool is_handle = strcmp(facts->name, "exe") == 0 || strspn(facts->name, "0123456789") == len;
    if (is_handle || (len == KERNEL_NAME && strncmp(file, facts->name, len) == 0))
        (void)snprintf(facts->name, sizeof facts->name, "%.*s", (int)sizeof facts->name - 1, file);
}

static void tell_process(struct hone_outside *outside, struct hone_outside_process *process,
                         const char *name)
{
    if (process->told)
        return;
    process->told = true;
    process->number = outside->next_number++;
    struct hone_process_facts facts = process->facts;
    if (!facts.path[0] && name[0]) // sampled in its exec, before the program was mapped
        (void)snprintf(facts.path, sizeof facts.path, "%s", name);
    complete_name(&facts);
    hone_collect_events.process(outside->collected, process->number, &facts);
}

// One that was sampled in its exec was told of before anybody knew its program.
void hone_outside_tell_program(struct hone_outside *outside, struct hone_outside_process *process)
{
    struct hone_process_facts facts = process->facts;
    complete_name(&facts);
    hone_collect_program(outside->collected, process->number, &facts);
}

void hone_outside_tell_thread(struct hone_outside *outside, struct hone_outside_thread *thread)
{
    if (thread->told)
        return;
    struct hone_outside_process *process = &outside->processes[thread->process];
    tell_process(outside, process, thread->name);
    thread->told = true;
    process->facts.threads++;
    const struct hone_record_thread record = {
        .record.small = thread->index, .tid = (uint64_t)thread->tid, .time_ns = thread->met_ns};
    hone_collect_events.thread(outside->collected, process->number, &record);
    if (thread->name[0])
        hone_collect_thread_name(outside->collected, process->number, thread->index, thread->name);
}

// What a thread used since we watch it, by what the kernel told of it.
static void tell_thread_end(struct hone_outside *outside, struct hone_outside_thread *thread)
{
    uint64_t cpu_ns =
        thread->counted_ns > thread->earlier_ns ? thread->counted_ns - thread->earlier_ns : 0;
    if (!cpu_ns)
        return;
    hone_outside_tell_thread(outside, thread);
    const struct hone_record_thread_end record = {
        .record.small = thread->index, .time_ns = hone_now_ns(), .cpu_ns = cpu_ns};
    struct hone_outside_process *process = &outside->processes[thread->process];
    hone_collect_events.thread_end(outside->collected, process->number, &record);
    process->facts.cpu_total_ns += cpu_ns;
}

void hone_outside_close_process(struct hone_outside *outside, struct hone_outside_process *process)
{
    for (uint32_t at = process->first_thread; at; at = outside->threads[at - 1].next)
        tell_thread_end(outside, &outside->threads[at - 1]);
    if (process->told) {
        process->facts.ended_ns = process->exited_ns;
        process->facts.state = process->exited ? HONE_PROCESS_EXITED : HONE_PROCESS_RUNNING;
        if (!outside->by_cpus && process->clock_ns > process->clock_came_ns)
            process->facts.cpu_clock_ns = process->clock_ns - process->clock_came_ns;
        process->facts.cpu_clock_whole =
            process->exited ? process->clock_seen_ns >= process->exited_ns
                            : hone_outside_runs(process);
        hone_collect_events.process_end(outside->collected, process->number, &process->facts);
    }
    hone_remote_free(hone_take(process->remote));
    free(hone_take(process->modules));
    process->closed = true;
}

// Those whose last records have certainly come. An owner's own time is known at the very end.
void hone_outside_close_exited(struct hone_outside *outside)
{
    uint64_t now_ns = hone_now_ns();
    for (uint32_t i = 0; i < outside->process_count; i++) {
        struct hone_outside_process *process = &outside->processes[i];
        if (!process->exited || process->closed || process->has_owner ||
            now_ns - process->exited_ns <= LINGER_NS)
            continue;
        // Those of its threads that we know have ended; others may go on.
        if (process->adopted && (kill(process->pid, 0) == 0 || errno != ESRCH))
            continue;
        hone_outside_close_process(outside, process);
    }
}

uint64_t hone_outside_clock_ns(uint32_t pid, pid_t tid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%d/schedstat", pid, tid);
    char *text = NULL;
    size_t len = 0;
    uint64_t used = 0;
    if (hone_file_read(path, 256, &text, &len, NULL) == 0)
        used = strtoull(text, NULL, 10);
    free(text);
    return used;
}

// As the kernel keeps it on the program's stack: by which name it was executed.
static void read_executed(struct hone_outside_process *process)
{
    char path[64], name[2 * PAGE + 1];
    uint64_t words[2 * AUXILIARY_MAX], address = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/auxv", process->pid);
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, words, sizeof words);
    for (ssize_t i = 0; i + 1 < got / (ssize_t)sizeof words[0]; i += 2)
        if (words[i] == AT_EXECFN)
            address = words[i + 1];
    // It lies at the very end of the stack: there may be no page behind its own.
    size_t size = PAGE - address % PAGE;
    struct iovec ours = {name, size + PAGE};
    struct iovec theirs[] = {{(void *)(uintptr_t)address, size},
                             {(void *)(uintptr_t)(address + size), PAGE}};
    ssize_t len = address ? process_vm_readv(process->pid, &ours, 1, theirs, 2, 0) : 0;
    if (len <= 0)
        return;
    name[len] = '\0';
    const char *slash = strrchr(name, '/');
    if (strncmp(name, "/proc/", 6) != 0 && strncmp(name, "/dev/fd/", 8) != 0)
        (void)snprintf(process->facts.name, sizeof process->facts.name, "%.*s",
                       (int)sizeof process->facts.name - 1, slash ? slash + 1 : name);
}

void hone_outside_read_program(struct hone_outside_process *process)
{
    char path[64];
    read_executed(process);
    (void)snprintf(path, sizeof path, "/proc/%d/exe", process->pid);
    ssize_t len = readlink(path, process->facts.path, sizeof process->facts.path - 1);
    if (len > 0) {
        process->facts.path[len] = '\0';
        return;
    }
    // A thread of the kernel has a name only.
    (void)snprintf(path, sizeof path, "/proc/%d/comm", process->pid);
    char *text = NULL;
    size_t size = 0;
    if (hone_file_read(path, 256, &text, &size, NULL) == 0 && size)
        (void)snprintf(process->facts.path, sizeof process->facts.path, "[%.*s]", (int)size - 1,
                       text);
    free(text);
}

// A process that was there before we looked.
struct hone_outside_process *hone_outside_adopt(struct hone_outside *outside, uint32_t pid)
{
    struct hone_outside_process *process = hone_outside_new_process(outside, pid);
    if (!process)
        return NULL;
    process->adopted = true;
    hone_outside_look_at_clock(process);
    process->clock_came_ns = process->clock_ns;
    hone_outside_read_program(process);
    if (hone_remote_open((pid_t)pid, &process->remote, NULL) &&
        hone_remote_new((pid_t)pid, &process->remote))
        outside->status = -ENOMEM;
    return process;
}
