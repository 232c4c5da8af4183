// Names of threads. The kernel keeps them, so that no thread need be asked. Most programs name a
// thread once it runs, and some anew for each job: a name is read when its thread is met, and again
// whenever the thread has become sixteen times as old. Threads that end where Hone lives tell their
// last.
#include "capture/collect_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    FIRST_NS = 5000000,
    TIMES_OLDER = 16,
    READS_MAX = 64, // at once, about a millisecond
};

bool hone_thread_name(uint32_t pid, uint32_t tid, char ret[16])
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/comm", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    char text[64];
    ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    (void)snprintf(ret, 16, "%.*s", (int)strcspn(text, "\n"), text);
    return true;
}

static bool read_name(const struct hone_collected *collected, struct hone_collected_thread *thread)
{
    const struct hone_collected_process *process = &collected->processes[thread->process];
    return !thread->left_ns && !process->ended && hone_collect_same_tid(collected, thread) &&
           hone_thread_name(process->pid, thread->tid, thread->name);
}

// From the time when it was met, as the recorder reads of it later.
static void plan(struct hone_collected_thread *thread, uint64_t now_ns)
{
    uint64_t age_ns = now_ns > thread->met_ns ? now_ns - thread->met_ns : 0;
    thread->name_due_ns = now_ns + FIRST_NS + (TIMES_OLDER - 1) * age_ns;
}

void hone_collect_name(struct hone_collected *collected, uint32_t at)
{
    struct hone_collect_state *state = collected->state;
    struct hone_collected_thread *thread = &collected->threads[at];
    if (!read_name(collected, thread) ||
        !hone_collect_reserve(state, &state->named, &state->named_room,
                              (uint64_t)state->named_count + 1, sizeof *state->named))
        return;
    plan(thread, collected->now_ns);
    if (thread->name_due_ns < state->name_due_ns)
        state->name_due_ns = thread->name_due_ns;
    state->named[state->named_count++] = at;
}

void hone_collect_look_at_names(struct hone_collected *collected, uint64_t now_ns, bool all)
{
    struct hone_collect_state *state = collected->state;
    uint32_t reads = 0;
    if (!all && now_ns < state->name_due_ns)
        return;
    uint64_t due_ns = UINT64_MAX; // of the next one
    for (uint32_t i = 0; i < state->named_count && (all || reads < READS_MAX);) {
        struct hone_collected_thread *thread = &collected->threads[state->named[i]];
        bool due = all || thread->name_due_ns <= now_ns;
        reads += due;
        if (thread->left_ns || (due && !read_name(collected, thread))) {
            state->named[i] = state->named[--state->named_count];
            continue;
        }
        if (due)
            plan(thread, now_ns);
        if (thread->name_due_ns < due_ns)
            due_ns = thread->name_due_ns;
        i++;
    }
    state->name_due_ns = reads < READS_MAX ? due_ns : 0;
}
