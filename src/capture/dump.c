// Going through the threads of a dump, one after the other. A look counts when the thread was not
// put on a CPU between its beginning and its end: then state, place and stack are of one wait.
#include "capture/dump_parts.h"

#include "base/array.h"
#include "base/file.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TURNS = 3,         // looks at one thread that goes on meanwhile
    ROUNDS = 3,        // at those that began to wait when they were about to be sampled
    STACK_MAX = 512,   // as a recording keeps
    PIDS_MAX = 1 << 22 // PID_MAX_LIMIT of the kernel
};

const char *hone_dump_miss_words(enum hone_dump_miss miss)
{
    static const char *const words[HONE_DUMP_MISSES] = {
        [HONE_DUMP_REFUSED] = "not ours to read",
        [HONE_DUMP_RESTLESS] = "it never stood still, and no sample of it came",
        [HONE_DUMP_NO_CPU] = "it got no CPU while it was waited for",
        [HONE_DUMP_NOT_STOPPED] =
            "it runs, perf events are not permitted, and it may not be stopped",
        [HONE_DUMP_OVER] = "it has ended",
    };
    return miss < HONE_DUMP_MISSES ? words[miss] : NULL;
}

const char *hone_dump_state_name(const struct hone_dump_thread *thread)
{
    switch (thread->state) {
    case 'R':
        return "running";
    case 'T':
        return "stopped";
    case 't':
        return "traced";
    case 'Z':
    case 'X':
        return "ended";
    default:
        return hone_wait_name(thread->wait);
    }
}

int hone_dump_new(const struct hone_dump_options *options, struct hone_collected *collected,
                  struct hone_dump **ret, struct hone_error *err)
{
    struct hone_dump *dump = calloc(1, sizeof *dump);
    if (!dump)
        return hone_error_set(err, -ENOMEM, "cannot look at threads");
    dump->collected = collected;
    dump->state = calloc(1, sizeof *dump->state);
    if (dump->state && options)
        dump->state->options = *options;
    if (dump->state && !dump->state->options.stack_max)
        dump->state->options.stack_max = STACK_MAX;
    if (dump->state && !dump->state->options.running_ns)
        dump->state->options.running_ns = 1000000000;
    if (!dump->state ||
        hone_look_init(&dump->state->look, collected, dump->state->options.stack_max)) {
        hone_dump_free(dump);
        return hone_error_set(err, -ENOMEM, "cannot look at threads");
    }
    dump->started_ns = hone_now_ns();
    *ret = dump;
    return 0;
}

void hone_dump_free(struct hone_dump *dump)
{
    if (!dump)
        return;
    if (dump->state) {
        for (uint32_t i = 0; i < dump->process_count && i < dump->state->look_room; i++)
            hone_look_process_done(&dump->state->looks[i]);
        hone_look_done(&dump->state->look);
        free(dump->state->looks);
        free(dump->state->running);
        free(dump->state);
    }
    free(dump->processes);
    free(dump->threads);
    free(dump);
}

// --- who is there --------------------------------------------------------------------------------

static int by_tid(const void *a, const void *b)
{
    const struct hone_dump_thread *one = a, *other = b;
    return one->tid < other->tid ? -1 : one->tid > other->tid;
}

static bool is_listed(const struct hone_dump *dump, uint32_t first, uint32_t count, uint32_t tid)
{
    const struct hone_dump_thread key = {.tid = tid};
    return count && bsearch(&key, dump->threads + first, count, sizeof key, by_tid) != NULL;
}

// Appends the process's threads that are not among those from `first` to `last`. Returns how many,
// or a negative errno.
static int list(struct hone_dump *dump, uint32_t process, uint32_t first, uint32_t last)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task", dump->processes[process].pid);
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? -ESRCH : -errno;
    int found = 0, r = 0;
    uint32_t begin = dump->thread_count;
    for (struct dirent *entry; !r && (entry = readdir(folder));) {
        unsigned long tid = strtoul(entry->d_name, NULL, 10);
        if (!tid || tid >= PIDS_MAX || is_listed(dump, first, last - first, (uint32_t)tid))
            continue;
        if (!hone_array_reserve(&dump->threads, &dump->thread_room,
                                (uint64_t)dump->thread_count + 1, sizeof *dump->threads)) {
            r = -ENOMEM;
            break;
        }
        dump->threads[dump->thread_count++] =
            (struct hone_dump_thread){.process = process, .tid = (uint32_t)tid};
        found++;
    }
    (void)closedir(folder);
    qsort(dump->threads + begin, dump->thread_count - begin, sizeof *dump->threads, by_tid);
    return r ? r : found;
}

// A line of /proc/PID/status, behind its name; NULL: none.
static const char *status_line(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    return at ? at + strlen(name) : NULL;
}

static void describe(struct hone_dump_process *process)
{
    char path[64], *text = NULL;
    size_t len = 0;
    (void)snprintf(path, sizeof path, "/proc/%u/status", process->pid);
    if (hone_file_read(path, 1 << 16, &text, &len, NULL) == 0) {
        const char *name = status_line(text, "Name:\t");
        const char *handled = status_line(text, "\nSigCgt:\t");
        if (name)
            (void)snprintf(process->name, sizeof process->name, "%.*s", (int)strcspn(name, "\n"),
                           name);
        if (handled)
            process->handled_signals = strtoull(handled, NULL, 16);
    }
    free(text);
}

int hone_dump_add(struct hone_dump *dump, pid_t pid, struct hone_error *err)
{
    struct hone_dump_state *state = dump->state;
    if (!hone_array_reserve(&dump->processes, &dump->process_room,
                            (uint64_t)dump->process_count + 1, sizeof *dump->processes) ||
        !hone_array_reserve(&state->looks, &state->look_room, (uint64_t)dump->process_count + 1,
                            sizeof *state->looks))
        return hone_error_set(err, -ENOMEM, "cannot look at threads");
    struct hone_dump_process *process = &dump->processes[dump->process_count];
    *process = (struct hone_dump_process){.pid = (uint32_t)pid};
    state->looks[dump->process_count] = (struct hone_look_process){.pid = (uint32_t)pid};
    uint32_t first = dump->thread_count;
    int found = list(dump, dump->process_count, first, first);
    if (found <= 0) {
        found = found ? found : -ESRCH;
        (void)hone_error_set(
            err, found, found == -ESRCH ? "there is no process %d" : "cannot look at process %d",
            (int)pid);
        return found;
    }
    describe(process);
    process->threads = (uint32_t)found;
    uint32_t known = hone_collect_by_pid(dump->collected, (uint32_t)pid);
    process->collected =
        known ? known - 1 : hone_collect_process(dump->collected, (uint32_t)pid, process->name);
    dump->process_count++;
    return hone_collect_status(dump->collected);
}

// --- one thread ----------------------------------------------------------------------------------

static void forget(struct hone_dump *dump, struct hone_dump_thread *thread)
{
    dump->processes[thread->process].threads--;
    dump->processes[thread->process].awake = true; // it may have woken whoever slept by then
    dump->gone++;
    thread->state = '\0';
}

static int push_running(struct hone_dump *dump, const struct hone_dump_thread *thread)
{
    struct hone_dump_state *state = dump->state;
    if (!hone_array_reserve(&state->running, &state->running_room,
                            (uint64_t)state->running_count + 1, sizeof *state->running))
        return -ENOMEM;
    state->running[state->running_count++] = (uint32_t)(thread - dump->threads);
    return 0;
}

static bool stands_still(char state)
{
    return state == 'T' || state == 't';
}

static bool is_at(const struct hone_blocked *one, const struct hone_blocked *other)
{
    return memcmp(one, other, offsetof(struct hone_blocked, stopped)) == 0;
}

// All that a look at a blocked thread tells. Returns 0; -EAGAIN: it went on meanwhile; -EBUSY: it
// runs; -ESRCH; or why it may not be read.
static int look_once(struct hone_dump *dump, struct hone_dump_thread *thread)
{
    struct hone_dump_state *state = dump->state;
    uint32_t pid = dump->processes[thread->process].pid;
    struct hone_task_stat stat;
    uint64_t turns = hone_blocked_turns(pid, thread->tid);
    struct hone_blocked blocked, again;
    int blocked_r = hone_blocked_read(pid, thread->tid, &blocked);
    int r = hone_task_stat(pid, thread->tid, &stat);
    if (r)
        return r;
    memcpy(thread->name, stat.name, sizeof thread->name);
    thread->state = stat.state;
    thread->looked_ns = hone_now_ns();
    uint64_t ran_ns = hone_task_ran_ns(&state->clocks, pid, thread->tid, stat.cpu);
    thread->waits_ns = !ran_ns                      ? HONE_DUMP_UNKNOWN
                       : ran_ns < thread->looked_ns ? thread->looked_ns - ran_ns
                                                    : 0;
    if (stat.state == 'Z' || stat.state == 'X') {
        thread->miss = HONE_DUMP_OVER;
        return 0;
    }
    if (blocked_r)
        return blocked_r;
    uint32_t stack = 0;
    r = state->options.no_stacks ? 0
                                 : hone_look_blocked(&state->look, &state->looks[thread->process],
                                                     0, &blocked, NULL, &stack);
    if (r)
        return r;
    if (!stands_still(stat.state))
        thread->kind = hone_blocked_kind(thread->tid, &blocked);
    thread->wait = hone_wait_of_kind(thread->kind);
    bool same = turns != UINT64_MAX
                    ? hone_blocked_turns(pid, thread->tid) == turns
                    : hone_blocked_read(pid, thread->tid, &again) == 0 && is_at(&again, &blocked);
    if (!same || stat.state == 'R')
        return -EAGAIN;
    thread->placed = true;
    thread->blocked = blocked;
    thread->futex = hone_blocked_futex(&blocked, &thread->futex_shared);
    thread->limited = hone_blocked_is_limited(&blocked);
    thread->stack = state->options.no_stacks ? 0 : stack + 1;
    thread->miss = HONE_DUMP_HAS_STACK;
    return 0;
}

static int look(struct hone_dump *dump, struct hone_dump_thread *thread)
{
    int r = -EAGAIN;
    for (int turn = 0; r == -EAGAIN && turn < TURNS; turn++) {
        thread->wait = HONE_WAIT_NONE;
        r = look_once(dump, thread);
        dump->torn += r == -EAGAIN;
    }
    if (r == 0)
        return 0;
    if (r == -ESRCH) {
        forget(dump, thread);
        return 0;
    }
    if (r == -EBUSY || r == -EAGAIN) {
        thread->state = 'R';
        thread->wait = HONE_WAIT_NONE;
        thread->waits_ns = 0;
        thread->miss = HONE_DUMP_RESTLESS;
        return dump->state->options.no_stacks ? 0 : push_running(dump, thread);
    }
    if (r == -ENOMEM)
        return r;
    thread->miss = HONE_DUMP_REFUSED;
    if (thread->state != 'R' && !stands_still(thread->state))
        thread->wait = HONE_WAIT_UNKNOWN;
    else
        thread->waits_ns = 0;
    dump->processes[thread->process].refused = true;
    return 0;
}

// --- all of them ---------------------------------------------------------------------------------

// Those that began while the others were looked at. What begins after that is not of this dump.
static int list_new(struct hone_dump *dump)
{
    uint32_t last = dump->thread_count;
    for (uint32_t i = 0, first = 0; i < dump->process_count; i++) {
        uint32_t end = first;
        while (end < last && dump->threads[end].process == i)
            end++;
        int found = list(dump, i, first, end);
        if (found == -ENOMEM)
            return found;
        if (found > 0)
            dump->processes[i].threads += (uint32_t)found;
        first = end;
    }
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct hone_dump_thread *one = a, *other = b;
    if (one->process != other->process)
        return one->process < other->process ? -1 : 1;
    return by_tid(a, b);
}

// Puts the threads in order, without those that are gone. A process that has ended is as good as
// gone: its first thread is listed until its parent takes note.
static void settle(struct hone_dump *dump)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < dump->thread_count; i++)
        if (dump->threads[i].state && dump->threads[i].miss != HONE_DUMP_OVER)
            dump->processes[dump->threads[i].process].lives = true;
    for (uint32_t i = 0; i < dump->thread_count; i++) {
        struct hone_dump_process *process = &dump->processes[dump->threads[i].process];
        if (dump->threads[i].state && process->lives)
            dump->threads[kept++] = dump->threads[i];
        else if (dump->threads[i].state)
            process->threads--;
    }
    dump->thread_count = kept;
    if (kept)
        qsort(dump->threads, kept, sizeof *dump->threads, by_place);
    dump->ended_ns = hone_now_ns();
    hone_dump_find_stuck(dump);
}

// Those that run, and those of them that have begun to wait when they were to be sampled.
static int look_at_running(struct hone_dump *dump)
{
    struct hone_dump_state *state = dump->state;
    int r = 0;
    for (int round = 0; !r && state->running_count && round < ROUNDS; round++) {
        r = hone_dump_running(dump);
        uint32_t left = state->running_count;
        state->running_count = 0;
        for (uint32_t i = 0; !r && i < left; i++) // each is pushed to a place before its own
            r = look(dump, &dump->threads[state->running[i]]);
    }
    return r;
}

int hone_dump_some(struct hone_dump *dump, uint64_t until_ns)
{
    struct hone_dump_state *state = dump->state;
    for (;;) {
        for (; state->next < dump->thread_count; state->next++) {
            if (hone_now_ns() > until_ns)
                return 1;
            int r = look(dump, &dump->threads[state->next]);
            if (r)
                return r;
        }
        if (state->relisted)
            break;
        state->relisted = true;
        int r = list_new(dump);
        if (r)
            return r;
    }
    int r = look_at_running(dump);
    settle(dump);
    return r ? r : hone_collect_status(dump->collected);
}

int hone_dump_take(struct hone_dump *dump)
{
    return hone_dump_some(dump, UINT64_MAX);
}
