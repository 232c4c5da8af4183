// The course of a recording: who comes and goes, and reading along what is written.
#include "capture/recorder.h"

#include "base/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    // Often enough that 4 MiB of free chunks last at 10 000 Hz on many cores, rare enough to cost
    // nothing.
    POLL_MS = 50,
    SOON_MS = 25, // what is due so soon is done now, when we are awake: each wake-up is felt
    POLL_OUTSIDE_MS = 10, // who gains rights is watched anew only when it is read
    // Where more than so many chunks were used meanwhile: each allocation of a program that does
    // little else may be a record.
    HURRY_MS = 5,
    HURRY_CHUNKS = 16,
    PROGRESS_MS = 500,
};

int hone_recorder_watch(struct hone_recorder *recorder, int fd, uint32_t what)
{
    // What in the lower half, as data.u32 finds it.
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = what | (uint64_t)(uint32_t)fd << 32};
    return epoll_ctl(recorder->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

// A process that became another program: what it was before is over, and since the new program
// reports, nothing is missing.
static void replaced(struct hone_recorder *recorder, uint32_t i)
{
    struct hone_collected_process *process = &recorder->collected.processes[i];
    process->became[0] = '\0';
    hone_reader_dead(recorder->reader, process->number);
}

// Processes that the last poll found get a descriptor that tells of their death. One that is dead
// already is read to its end at once, one that cannot be watched at the end of the recording.
static int watch_new(struct hone_recorder *recorder)
{
    uint32_t count = recorder->collected.process_count;
    if (count > recorder->pidfd_room) {
        uint32_t room = count * 2;
        int *pidfds = realloc(recorder->pidfds, room * sizeof *pidfds);
        if (!pidfds)
            return -ENOMEM;
        recorder->pidfds = pidfds;
        recorder->pidfd_room = room;
    }
    for (; recorder->watched < count; recorder->watched++) {
        uint32_t i = recorder->watched;
        const struct hone_collected_process *process = &recorder->collected.processes[i];
        recorder->pidfds[i] = -1;
        if (recorder->wall && hone_collect_same_pids(&recorder->collected, process))
            hone_wall_announce(recorder->wall, (pid_t)process->pid, process->facts.started_ns,
                               process->facts.path);
        // In another pid namespace its number says nothing here: it is read until the end.
        if (hone_collect_same_pids(&recorder->collected, process))
            recorder->pidfds[i] = (int)syscall(SYS_pidfd_open, (pid_t)process->pid, 0);
        if (recorder->pidfds[i] >= 0 && hone_recorder_watch(recorder, recorder->pidfds[i], i))
            (void)close(hone_fd_take(&recorder->pidfds[i]));
        else if (recorder->pidfds[i] < 0 && errno == ESRCH &&
                 hone_collect_same_pids(&recorder->collected, process))
            hone_reader_dead(recorder->reader, process->number);
        uint32_t before = hone_collect_before(&recorder->collected, i);
        if (before)
            replaced(recorder, before - 1);
        if (hone_collect_is_replaced(&recorder->collected, i)) // by one that was found earlier
            replaced(recorder, i);
    }
    return 0;
}

// A process that was sampled and has locked itself in says nothing any more: its clock is looked at
// from here, as long as it can be.
static void look_at_clock(struct hone_recorder *recorder, uint32_t i)
{
    struct hone_collected_process *process = &recorder->collected.processes[i];
    struct hone_process_facts facts;
    struct timespec used;
    if (process->ended || i >= recorder->watched || recorder->pidfds[i] < 0 ||
        !hone_reader_facts(recorder->reader, process->number, &facts) ||
        facts.engine != HONE_ENGINE_NONE || !facts.samples)
        return;
    // As the kernel numbers clocks: inverted id, 2 for "as the scheduler counts".
    if (clock_gettime((clockid_t)(~process->pid << 3 | 2), &used))
        return;
    // Unless its number is another's by now.
    if (syscall(SYS_pidfd_send_signal, recorder->pidfds[i], 0, NULL, 0) == 0 || errno == EPERM)
        process->seen_cpu_ns = hone_timespec_ns(used);
}

static void process_died(struct hone_recorder *recorder, uint32_t i)
{
    if (i >= recorder->watched || recorder->pidfds[i] < 0)
        return;
    look_at_clock(recorder, i);
    (void)close(hone_fd_take(&recorder->pidfds[i]));
    hone_reader_dead(recorder->reader, recorder->collected.processes[i].number);
}

static void program_died(struct hone_recorder *recorder)
{
    struct rusage usage = {0};
    int status;
    uint32_t filters, ours = 0;
    bool known = hone_recorder_filters(recorder->launch.pid, &filters) &&
                 hone_recorder_filters(getpid(), &ours);
    for (uint32_t i = 0; i < recorder->watched; i++)
        if (recorder->collected.processes[i].pid == (uint32_t)recorder->launch.pid)
            look_at_clock(recorder, i);
    if (recorder->outside)
        hone_outside_program_ended(recorder->outside, recorder->launch.pid);
    if (wait4(recorder->launch.pid, &status, WNOHANG, &usage) != recorder->launch.pid)
        return;
    recorder->program_ended = true;
    recorder->status = status;
    recorder->unfiltered = known && filters <= ours;
    recorder->cpu_kernel_ns =
        ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000000u +
        ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000u;
    (void)epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, recorder->launch.pidfd, NULL);
}

// --- reading along -------------------------------------------------------------------------------

// Somebody has made the session's file shorter: what was read until now is all that there will be.
static bool session_taken(struct hone_recorder *recorder)
{
    if (!hone_session_taken(&recorder->launch.session))
        return false;
    recorder->taken_ns = hone_now_ns() - recorder->started_monotonic_ns;
    if (recorder->options.notice)
        recorder->options.notice(recorder->options.context,
                                 "the program has truncated the session's file: nothing is "
                                 "recorded from here on");
    return true;
}

// What processes say of themselves is kept, should the memory be gone at the end.
static void refresh_facts(struct hone_recorder *recorder)
{
    struct hone_collected *collected = &recorder->collected;
    while (recorder->first_live < collected->process_count &&
           collected->processes[recorder->first_live].ended)
        recorder->first_live++;
    for (uint32_t i = recorder->first_live; i < collected->process_count; i++) {
        struct hone_process_facts facts;
        if (!collected->processes[i].ended &&
            hone_reader_facts(recorder->reader, collected->processes[i].number, &facts))
            hone_collect_facts(collected, i, &facts);
    }
}

static uint32_t chunks_used(const struct hone_recorder *recorder)
{
    return atomic_load_explicit(&recorder->launch.session.header->chunks_used,
                                memory_order_relaxed);
}

int hone_recorder_read(struct hone_recorder *recorder)
{
    if (recorder->outside) {
        int r = hone_outside_poll(recorder->outside);
        if (!r)
            hone_recorder_look_at_threads(recorder);
        return r;
    }
    if (recorder->taken_ns || session_taken(recorder))
        return 0;
    if (chunks_used(recorder) > recorder->kept + HURRY_CHUNKS)
        recorder->read_ns = hone_now_ns() + HURRY_MS * 1000000ull;
    recorder->collected.now_ns = hone_now_ns();
    int r = hone_reader_poll(recorder->reader, &hone_collect_events, &recorder->collected);
    recorder->kept = chunks_used(recorder);
    for (uint32_t i = 0; !r && i < recorder->watched; i++)
        look_at_clock(recorder, i);
    if (!r)
        r = watch_new(recorder);
    if (!r && !session_taken(recorder)) {
        refresh_facts(recorder);
        hone_collect_look_at_names(&recorder->collected, hone_now_ns(), false);
        hone_recorder_look(recorder);
        hone_recorder_look_at_threads(recorder);
    }
    return r;
}

void hone_recorder_progress(struct hone_recorder *recorder, uint64_t started_ns, bool working)
{
    if (!recorder->options.progress)
        return;
    struct hone_capture_progress progress = {.elapsed_ns = hone_now_ns() - started_ns,
                                             .working = working};
    if (recorder->outside) {
        struct hone_outside_facts facts;
        hone_outside_facts(recorder->outside, &facts);
        progress.samples = facts.samples;
        progress.processes = facts.processes;
        recorder->options.progress(recorder->options.context, &progress);
        return;
    }
    for (uint32_t i = 0; i < recorder->collected.process_count; i++) {
        progress.samples += recorder->collected.processes[i].facts.samples;
        progress.processes +=
            !recorder->collected.processes[i].ended && !recorder->collected.processes[i].unsampled;
    }
    recorder->options.progress(recorder->options.context, &progress);
}

// A buffer fills, and is read next; or has nobody any more who writes into it.
static void buffer_fills(struct hone_recorder *recorder, const struct epoll_event *event)
{
    if (event->events & (EPOLLHUP | EPOLLERR))
        (void)epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, (int)(event->data.u64 >> 32), NULL);
}

static void target_died(struct hone_recorder *recorder, const struct epoll_event *event)
{
    (void)close((int)(event->data.u64 >> 32));
    if (--recorder->targets == 0)
        recorder->program_ended = true;
}

static void on_event(struct hone_recorder *recorder, const struct epoll_event *event)
{
    if (event->data.u32 == HONE_WATCH_PROGRAM)
        program_died(recorder);
    else if (event->data.u32 == HONE_WATCH_SIGNALS)
        hone_recorder_pass_on(recorder);
    else if (event->data.u32 == HONE_WATCH_BUFFER)
        buffer_fills(recorder, event);
    else if (event->data.u32 == HONE_WATCH_TARGET)
        target_died(recorder, event);
    else if (event->data.u32 == HONE_WATCH_WALL) // its tick has answered that
        return;
    else
        process_died(recorder, event->data.u32);
}

// Where the program feels each time we wake up, and has written little, the next one does for both.
static uint64_t next_read_ns(const struct hone_recorder *recorder, uint64_t now_ns)
{
    if (recorder->wall && hone_wall_is_in_storm(recorder->wall) && !recorder->outside &&
        chunks_used(recorder) == recorder->kept)
        return hone_wall_due_ns(recorder->wall);
    return now_ns + (recorder->outside ? POLL_OUTSIDE_MS : POLL_MS) * 1000000ull;
}

int hone_recorder_record(struct hone_recorder *recorder)
{
    uint64_t started_ns = recorder->started_monotonic_ns;
    uint64_t end_ns =
        recorder->options.duration_ns ? started_ns + recorder->options.duration_ns : UINT64_MAX;
    uint64_t progress_ns = started_ns + PROGRESS_MS * 1000000ull;
    hone_recorder_stuck_start(recorder);
    while (!recorder->program_ended) {
        uint64_t now_ns = hone_now_ns();
        if (now_ns >= end_ns)
            break;
        uint64_t due_ns = recorder->read_ns < end_ns ? recorder->read_ns : end_ns;
        if (recorder->wall && hone_wall_due_ns(recorder->wall) < due_ns)
            due_ns = hone_wall_due_ns(recorder->wall);
        if (hone_recorder_stuck_due_ns(recorder) < due_ns)
            due_ns = hone_recorder_stuck_due_ns(recorder);
        int wait_ms = due_ns > now_ns ? (int)((due_ns - now_ns) / 1000000) + 1 : 0;
        struct epoll_event events[64];
        int count = epoll_wait(recorder->epoll_fd, events, 64, wait_ms);
        if (recorder->wall)
            hone_wall_tick(recorder->wall);
        bool called = count == 1 && events[0].data.u32 == HONE_WATCH_WALL;
        for (int i = 0; i < count; i++)
            on_event(recorder, &events[i]);
        hone_recorder_stuck_look(recorder);
        now_ns = hone_now_ns();
        if ((count <= 0 || called) &&
            now_ns + (recorder->outside ? 0 : SOON_MS * 1000000ull) < recorder->read_ns)
            continue;
        recorder->read_ns = next_read_ns(recorder, now_ns);
        int r = hone_recorder_read(recorder);
        if (r)
            return r;
        if (hone_now_ns() >= progress_ns) {
            hone_recorder_progress(recorder, started_ns, false);
            progress_ns = hone_now_ns() + PROGRESS_MS * 1000000ull;
        }
    }
    return 0;
}

void hone_recorder_wait(struct hone_recorder *recorder)
{
    while (!recorder->program_ended) {
        struct epoll_event events[8];
        int count = epoll_wait(recorder->epoll_fd, events, 8, -1);
        for (int i = 0; i < count; i++)
            if (events[i].data.u32 == HONE_WATCH_WALL) // nobody answers any more
                (void)epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, (int)(events[i].data.u64 >> 32),
                                NULL);
            else
                on_event(recorder, &events[i]);
    }
}
