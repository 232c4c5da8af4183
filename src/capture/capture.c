// The course of a recording: start the program, read along, notice who comes and goes, pass on
// signals, and write the profiles when it ends or its time is over.
#include "capture/capture.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "capture/collect.h"
#include "capture/launch.h"
#include "capture/output.h"
#include "capture/outside.h"
#include "capture/target.h"
#include "capture/wall.h"
#include "core/clock.h"
#include "profile/profile.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    // Often enough that 4 MiB of free chunks last at 10 000 Hz on many cores, rare enough to cost
    // nothing.
    POLL_MS = 50,
    PROGRESS_MS = 500,
    CHUNKS_SMALLEST = 64,
};

struct recorder {
    struct hone_capture_options options;
    char *const *argv;
    char directory[PATH_MAX];
    struct hone_launch launch;
    struct hone_reader *reader;
    struct hone_collected collected;
    struct hone_outside *outside; // NULL: the programs write into the session themselves
    bool rights;                  // the program has rights of its own
    bool attached;                // no program of ours
    uint32_t targets;             // processes that were named and live
    uint64_t started_realtime_ns, started_monotonic_ns;
    struct hone_wall *wall; // NULL: not asked for, or not possible
    uint64_t read_ns;       // when the session is to be read next
    int epoll_fd;
    int signal_fd;
    uint32_t watched; // processes of collected that have a pidfd in epoll
    int *pidfds;      // by process of collected; -1: dead
    uint32_t pidfd_room;
    bool program_ended;
    int status;
    uint64_t cpu_kernel_ns;
};

static void recorder_done(struct recorder *recorder)
{
    for (uint32_t i = 0; i < recorder->watched; i++)
        if (recorder->pidfds[i] >= 0)
            (void)close(recorder->pidfds[i]);
    free(recorder->pidfds);
    hone_outside_free(recorder->outside);
    hone_wall_close(recorder->wall);
    hone_reader_close(recorder->reader);
    hone_collect_done(&recorder->collected);
    hone_launch_done(&recorder->launch);
    if (recorder->epoll_fd >= 0)
        (void)close(recorder->epoll_fd);
    if (recorder->signal_fd >= 0)
        (void)close(recorder->signal_fd);
}

// --- who lives -----------------------------------------------------------------------------------

enum {
    WATCH_PROGRAM = UINT32_MAX,
    WATCH_SIGNALS = UINT32_MAX - 1,
    WATCH_BUFFER = UINT32_MAX - 2,
    WATCH_TARGET = UINT32_MAX - 3,
};

static int watch(struct recorder *recorder, int fd, uint32_t what)
{
    // What in the lower half, as data.u32 finds it.
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = what | (uint64_t)(uint32_t)fd << 32};
    return epoll_ctl(recorder->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

// Processes that the last poll found get a descriptor that tells of their death. One that is dead
// already is read to its end at once, one that cannot be watched at the end of the recording.
static int watch_new(struct recorder *recorder)
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
            hone_wall_announce(recorder->wall, (pid_t)process->pid);
        // In another pid namespace its number says nothing here: it is read until the end.
        if (hone_collect_same_pids(&recorder->collected, process))
            recorder->pidfds[i] = (int)syscall(SYS_pidfd_open, (pid_t)process->pid, 0);
        if (recorder->pidfds[i] >= 0 && watch(recorder, recorder->pidfds[i], i))
            (void)close(hone_fd_take(&recorder->pidfds[i]));
        else if (recorder->pidfds[i] < 0 && errno == ESRCH &&
                 hone_collect_same_pids(&recorder->collected, process))
            hone_reader_dead(recorder->reader, process->number);
        // A process that became another program: what it was before is over, and since the new
        // program reports, nothing is missing.
        for (uint32_t before = i; before-- > 0;) {
            struct hone_collected_process *other = &recorder->collected.processes[before];
            if (other->pid != process->pid ||
                other->facts.pid_namespace != process->facts.pid_namespace)
                continue;
            other->became[0] = '\0';
            hone_reader_dead(recorder->reader, other->number);
            break;
        }
    }
    return 0;
}

static void process_died(struct recorder *recorder, uint32_t i)
{
    if (i >= recorder->watched || recorder->pidfds[i] < 0)
        return;
    (void)close(hone_fd_take(&recorder->pidfds[i]));
    hone_reader_dead(recorder->reader, recorder->collected.processes[i].number);
}

static void program_died(struct recorder *recorder)
{
    struct rusage usage = {0};
    int status;
    if (wait4(recorder->launch.pid, &status, WNOHANG, &usage) != recorder->launch.pid)
        return;
    recorder->program_ended = true;
    recorder->status = status;
    recorder->cpu_kernel_ns =
        ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000000u +
        ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000u;
    (void)epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, recorder->launch.pidfd, NULL);
}

// --- signals -------------------------------------------------------------------------------------

// Those that ask a program to end or to do something reach us in its place.
static const int passed_on[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

static void fill_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++)
        (void)sigaddset(set, passed_on[i]);
}

static void pass_on_signals(struct recorder *recorder)
{
    struct signalfd_siginfo info;
    while (read(recorder->signal_fd, &info, sizeof info) == sizeof info) {
        if (recorder->attached) {
            recorder->program_ended |= info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM ||
                                       info.ssi_signo == SIGHUP || info.ssi_signo == SIGQUIT;
            continue;
        }
        // What the terminal sends goes to the whole group: the program has it already.
        if (info.ssi_code == SI_KERNEL)
            continue;
        if (!recorder->program_ended)
            (void)kill(recorder->launch.pid, (int)info.ssi_signo);
    }
}

// --- reading along -------------------------------------------------------------------------------

static int read_along(struct recorder *recorder)
{
    if (recorder->outside)
        return hone_outside_poll(recorder->outside);
    (void)hone_session_back(&recorder->launch.session, HONE_SESSION_AHEAD);
    int r = hone_reader_poll(recorder->reader, &hone_collect_events, &recorder->collected);
    return r ? r : watch_new(recorder);
}

static void show_progress(struct recorder *recorder, uint64_t started_ns, bool working)
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
        const struct hone_collected_process *process = &recorder->collected.processes[i];
        struct hone_process_facts facts;
        if (process->ended) {
            progress.samples += process->facts.samples;
        } else if (hone_reader_facts(recorder->reader, process->number, &facts)) {
            progress.samples += facts.samples;
            progress.processes++;
        }
    }
    recorder->options.progress(recorder->options.context, &progress);
}

// A buffer fills, and is read next; or has nobody any more who writes into it.
static void buffer_fills(struct recorder *recorder, const struct epoll_event *event)
{
    if (event->events & (EPOLLHUP | EPOLLERR))
        (void)epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, (int)(event->data.u64 >> 32), NULL);
}

static void target_died(struct recorder *recorder, const struct epoll_event *event)
{
    (void)close((int)(event->data.u64 >> 32));
    if (--recorder->targets == 0)
        recorder->program_ended = true;
}

static void on_event(struct recorder *recorder, const struct epoll_event *event)
{
    if (event->data.u32 == WATCH_PROGRAM)
        program_died(recorder);
    else if (event->data.u32 == WATCH_SIGNALS)
        pass_on_signals(recorder);
    else if (event->data.u32 == WATCH_BUFFER)
        buffer_fills(recorder, event);
    else if (event->data.u32 == WATCH_TARGET)
        target_died(recorder, event);
    else
        process_died(recorder, event->data.u32);
}

// Until the program ends, or the time of the recording.
static int record(struct recorder *recorder)
{
    uint64_t started_ns = recorder->started_monotonic_ns;
    uint64_t end_ns =
        recorder->options.duration_ns ? started_ns + recorder->options.duration_ns : UINT64_MAX;
    uint64_t progress_ns = started_ns + PROGRESS_MS * 1000000ull;
    while (!recorder->program_ended) {
        uint64_t now_ns = hone_now_ns();
        if (now_ns >= end_ns)
            break;
        uint64_t due_ns = recorder->read_ns < end_ns ? recorder->read_ns : end_ns;
        if (recorder->wall && hone_wall_due_ns(recorder->wall) < due_ns)
            due_ns = hone_wall_due_ns(recorder->wall);
        int wait_ms = due_ns > now_ns ? (int)((due_ns - now_ns) / 1000000) + 1 : 0;
        struct epoll_event events[64];
        int count = epoll_wait(recorder->epoll_fd, events, 64, wait_ms);
        if (recorder->wall)
            hone_wall_tick(recorder->wall);
        for (int i = 0; i < count; i++)
            on_event(recorder, &events[i]);
        now_ns = hone_now_ns();
        if (count <= 0 && now_ns < recorder->read_ns)
            continue;
        recorder->read_ns = now_ns + POLL_MS * 1000000ull;
        int r = read_along(recorder);
        if (r)
            return r;
        if (hone_now_ns() >= progress_ns) {
            show_progress(recorder, started_ns, false);
            progress_ns = hone_now_ns() + PROGRESS_MS * 1000000ull;
        }
    }
    return 0;
}

static int finish_samples(struct recorder *recorder)
{
    if (recorder->wall && recorder->outside)
        hone_wall_distrust_ends(recorder->wall);
    int r = hone_collect_finish(&recorder->collected);
    return r || !recorder->wall ? r : hone_wall_finish(recorder->wall);
}

// The rest of what was written. Processes that still run are told to stop sampling.
static int finish_reading(struct recorder *recorder, uint32_t *ret_left_running)
{
    if (recorder->wall)
        hone_wall_stop(recorder->wall);
    if (recorder->outside) {
        struct hone_outside_facts facts;
        int r = hone_outside_finish(recorder->outside);
        hone_outside_facts(recorder->outside, &facts);
        *ret_left_running = recorder->attached ? 0 : facts.processes;
        return r ? r : finish_samples(recorder);
    }
    atomic_store(&recorder->launch.session.header->stop, 1);
    int r = read_along(recorder);
    if (r)
        return r;
    *ret_left_running = 0;
    for (uint32_t i = 0; i < recorder->watched; i++) {
        struct pollfd alive = {.fd = recorder->pidfds[i], .events = POLLIN};
        if (alive.fd >= 0 && !recorder->collected.processes[i].ended && poll(&alive, 1, 0) == 0)
            ++*ret_left_running;
    }
    recorder->launch.keep_library = *ret_left_running > 0;
    hone_reader_all_dead(recorder->reader);
    r = hone_reader_poll(recorder->reader, &hone_collect_events, &recorder->collected);
    return r ? r : finish_samples(recorder);
}

static const char *const file_names[HONE_CAPTURE_TYPES] = {
    [HONE_CAPTURE_CPU] = "cpu.prof",
    [HONE_CAPTURE_WALL] = "wall.prof",
};

static void profiles_done(struct hone_profile *(*profiles)[HONE_CAPTURE_TYPES])
{
    for (int type = 0; type < HONE_CAPTURE_TYPES; type++)
        hone_profile_free((*profiles)[type]);
}

// Makes the profiles first: a folder that is there has all of them.
static int write_profiles(struct recorder *recorder, const struct hone_recording *recording,
                          struct hone_error *err)
{
    HONE_CLEANUP(profiles_done) struct hone_profile *profiles[HONE_CAPTURE_TYPES] = {0};
    int r = 0;
    for (int type = 0; !r && type < HONE_CAPTURE_TYPES; type++)
        if (recorder->options.types & 1u << type)
            r = hone_recording_profile(recording, (enum hone_capture_type)type, &profiles[type],
                                       err);
    if (!r)
        r = hone_recording_directory(&recorder->options, recorder->argv[0], recorder->directory,
                                     sizeof recorder->directory, err);
    if (r)
        return r;
    for (int type = 0; !r && type < HONE_CAPTURE_TYPES; type++) {
        char path[PATH_MAX + 16];
        (void)snprintf(path, sizeof path, "%s/%s", recorder->directory, file_names[type]);
        if (profiles[type])
            r = hone_profile_write(profiles[type], path, err);
    }
    if (!r)
        r = hone_recording_session(recording, recorder->directory, err);
    if (r) {
        (void)rmdir(recorder->directory); // when nothing could be written into it
        return r;
    }
    if (recorder->options.finished)
        recorder->options.finished(recorder->options.context, recorder->directory,
                                   (const struct hone_profile *const *)profiles);
    return 0;
}

static int write_recording(struct recorder *recorder, struct hone_error *err)
{
    struct hone_recording recording = {
        .options = &recorder->options,
        .argv = recorder->argv,
        .collected = &recorder->collected,
        .started_realtime_ns = recorder->started_realtime_ns,
        .duration_ns = hone_now_ns() - recorder->started_monotonic_ns,
        .stopped_early = !recorder->program_ended,
        .cpu_kernel_ns = recorder->cpu_kernel_ns,
        .status = recorder->program_ended && !recorder->attached ? recorder->status : -1,
    };
    int r = finish_reading(recorder, &recording.left_running);
    if (r)
        return hone_error_set(err, r, "cannot read the session");
    show_progress(recorder, recorder->started_monotonic_ns, true);
    struct hone_outside_facts outside;
    if (recorder->outside) {
        hone_outside_facts(recorder->outside, &outside);
        recording.outside = &outside;
    } else {
        recording.losses = hone_reader_losses(recorder->reader);
        recording.processes_refused =
            atomic_load(&recorder->launch.session.header->processes_refused);
        recording.back_error = recorder->launch.session.back_error;
    }

    return write_profiles(recorder, &recording, err);
}

// After the recording's time: the program goes on, and we stand in its place until it ends.
static void wait_for_program(struct recorder *recorder)
{
    while (!recorder->program_ended) {
        struct epoll_event events[8];
        int count = epoll_wait(recorder->epoll_fd, events, 8, -1);
        for (int i = 0; i < count; i++)
            on_event(recorder, &events[i]);
    }
}

// --- the whole -----------------------------------------------------------------------------------

static void set_defaults(struct hone_capture_options *to, const struct hone_capture_options *from)
{
    size_t size = from->size < sizeof *to ? from->size : sizeof *to;
    memset(to, 0, sizeof *to);
    memcpy(to, from, size);
    if (!to->types)
        to->types = 1u << HONE_CAPTURE_CPU;
    if (!to->wall_hz)
        to->wall_hz = 100;
    if (!to->cpu_hz)
        to->cpu_hz = 1000;
    if (!to->memory_bytes)
        to->memory_bytes = 256 << 20;
    if (!to->stack_max)
        to->stack_max = 512;
}

// A container puts everybody under a filter, us too; what works for us there works for all.
static uint32_t own_seccomp_filters(void)
{
    char *status = NULL;
    size_t len = 0;
    if (hone_file_read("/proc/self/status", 65536, &status, &len, NULL))
        return 0;
    const char *at = strstr(status, "Seccomp_filters:\t");
    uint32_t filters = at ? (uint32_t)strtoul(at + strlen("Seccomp_filters:\t"), NULL, 10) : 0;
    free(status);
    return filters;
}

static int prepare_session(struct recorder *recorder, struct hone_error *err)
{
    const struct hone_session_config config = {
        .cpu_period_ns = 1000000000 / recorder->options.cpu_hz,
        .cpu_engine = recorder->options.engine,
        .stack_max = recorder->options.stack_max,
        .seccomp_filters = own_seccomp_filters(),
    };
    uint64_t chunks = recorder->options.memory_bytes / HONE_CHUNK_BYTES;
    if (chunks < CHUNKS_SMALLEST)
        chunks = CHUNKS_SMALLEST;
    if (chunks > HONE_CHUNKS_MAX)
        chunks = HONE_CHUNKS_MAX;
    int r = hone_launch_session(&recorder->launch, (uint32_t)chunks, &config, err);
    if (r)
        return r;
    r = hone_reader_open(recorder->launch.session.header, recorder->launch.session.bytes,
                         &recorder->reader);
    if (r)
        return hone_error_set(err, r, "cannot prepare the recording");
    recorder->started_realtime_ns = recorder->launch.session.header->started_realtime_ns;
    recorder->started_monotonic_ns = recorder->launch.session.header->started_monotonic_ns;
    return 0;
}

// Before the program is one: events on the process that becomes it.
static int prepare_child(void *context, pid_t pid, struct hone_error *err)
{
    struct recorder *recorder = context;
    int r = hone_outside_add_program(recorder->outside, pid, recorder->rights, err);
    if (!r)
        hone_outside_start(recorder->outside);
    return r;
}

static int prepare_outside(struct recorder *recorder, struct hone_error *err)
{
    const struct hone_outside_options options = {
        .period_ns = 1000000000 / recorder->options.cpu_hz,
        .memory_bytes = recorder->options.memory_bytes,
        .stack_max = recorder->options.stack_max,
    };
    recorder->launch.prepare = prepare_child;
    recorder->launch.context = recorder;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    recorder->started_realtime_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    recorder->started_monotonic_ns = hone_now_ns();
    return hone_outside_new(&options, &recorder->collected, &recorder->outside, err);
}

static int prepare(struct recorder *recorder, bool outside, const sigset_t *signals,
                   struct hone_error *err)
{
    int r = hone_collect_init(&recorder->collected);
    if (r)
        return hone_error_set(err, r, "cannot prepare the recording");
    r = outside ? prepare_outside(recorder, err) : prepare_session(recorder, err);
    if (r)
        return r;
    recorder->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    recorder->signal_fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (recorder->epoll_fd < 0 || recorder->signal_fd < 0)
        r = -errno;
    if (!r)
        r = watch(recorder, recorder->signal_fd, WATCH_SIGNALS);
    return r ? hone_error_set(err, r, "cannot prepare the recording") : 0;
}

// Positive outcomes of target.h as the shell's statuses; the rest is a failure of ours.
static int as_outcome(int r)
{
    switch (r) {
    case HONE_TARGET_MISSING:
        return HONE_CAPTURE_NOT_FOUND;
    case HONE_TARGET_UNRUNNABLE:
        return HONE_CAPTURE_NOT_RUNNABLE;
    case HONE_TARGET_UNPRELOADABLE:
        return -EPERM;
    default:
        return r;
    }
}

static void watch_buffers(struct recorder *recorder)
{
    int fd;
    for (uint32_t i = 0; (fd = hone_outside_descriptor(recorder->outside, i)) >= 0; i++)
        (void)watch(recorder, fd, WATCH_BUFFER);
}

// --- the wall clock ------------------------------------------------------------------------------

static int watch_targets(struct recorder *recorder, struct hone_error *err)
{
    if (!recorder->attached)
        return hone_wall_watch(recorder->wall, recorder->launch.pid, recorder->started_monotonic_ns,
                               err);
    if (recorder->options.all)
        return hone_wall_watch_all(recorder->wall, err);
    int r = 0;
    for (size_t i = 0; !r && i < recorder->options.pid_count; i++)
        r = hone_wall_watch(recorder->wall, recorder->options.pids[i], 0, err);
    return r;
}

// Where the wall clock cannot be watched the rest is recorded, and wall.prof says why it is empty.
static void watch_wall(struct recorder *recorder)
{
    if (!(recorder->options.types & 1u << HONE_CAPTURE_WALL))
        return;
    struct hone_error why = {0};
    int r =
        hone_wall_open(&recorder->collected, recorder->options.wall_hz, recorder->options.stack_max,
                       recorder->options.wall_poll, &recorder->wall, &why);
    if (!r)
        r = watch_targets(recorder, &why);
    if (!r)
        return;
    hone_wall_close(hone_take(recorder->wall));
    struct hone_wall_facts *facts = &recorder->collected.wall_facts;
    facts->hz = recorder->options.wall_hz;
    (void)snprintf(facts->reason, sizeof facts->reason, "%.150s", why.message);
}

// --- processes that run already ------------------------------------------------------------------

static int add_targets(struct recorder *recorder, struct hone_error *err)
{
    if (recorder->options.all)
        return hone_outside_add_all(recorder->outside, err);
    for (size_t i = 0; i < recorder->options.pid_count; i++) {
        pid_t pid = recorder->options.pids[i];
        int r = hone_outside_add_process(recorder->outside, pid, err);
        if (r)
            return r;
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0 || watch(recorder, fd, WATCH_TARGET))
            return hone_error_set(err, -ESRCH, "cannot record process %d", pid);
        recorder->targets++;
    }
    return 0;
}

static int run_attached(struct recorder *recorder, struct hone_error *err)
{
    sigset_t signals, mask;
    fill_signals(&signals);
    if (sigprocmask(SIG_BLOCK, &signals, &mask))
        return hone_error_set(err, -errno, "cannot prepare the recording");
    int r = hone_recording_check(&recorder->options, err);
    if (!r)
        r = prepare(recorder, true, &signals, err);
    if (!r)
        r = add_targets(recorder, err);
    if (r)
        return r;
    hone_outside_start(recorder->outside);
    watch_buffers(recorder);
    watch_wall(recorder);
    err->code = 0;
    r = record(recorder);
    if (r)
        (void)hone_error_set(err, r, "recording stopped");
    else
        (void)write_recording(recorder, err);
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    return 0;
}

// What the profile calls the command: the first process's, or the machine.
static void name_targets(struct recorder *recorder, char *room, size_t size, char *argv[2])
{
    (void)snprintf(room, size, "machine");
    argv[0] = room;
    argv[1] = NULL;
    recorder->argv = argv;
    if (recorder->options.all)
        return;
    char path[64];
    pid_t pid = recorder->options.pids[0];
    (void)snprintf(room, size, "process_%d", pid);
    (void)snprintf(path, sizeof path, "/proc/%d/comm", pid);
    char *text = NULL;
    size_t len = 0;
    if (hone_file_read(path, 256, &text, &len, NULL) == 0 && len > 1)
        (void)snprintf(room, size, "%.*s_%d", (int)len - 1, text, pid);
    free(text);
    for (char *at = room; *at; at++)
        if (*at == '/' || *at == ' ')
            *at = '_';
}

static int attach(struct recorder *recorder, struct hone_error *err)
{
    char name[64], *argv[2];
    name_targets(recorder, name, sizeof name, argv);
    recorder->attached = true;
    int r = hone_recording_directory_check(&recorder->options, err);
    return r ? r : run_attached(recorder, err);
}

// --- a program -----------------------------------------------------------------------------------

static int run(struct recorder *recorder, bool outside, struct hone_capture_result *ret,
               struct hone_error *err)
{
    sigset_t signals, mask;
    fill_signals(&signals);
    if (sigprocmask(SIG_BLOCK, &signals, &mask))
        return hone_error_set(err, -errno, "cannot prepare the recording");
    int r = hone_recording_check(&recorder->options, err);
    if (!r)
        r = prepare(recorder, outside, &signals, err);
    // A limit of file sizes shall be an error of ours, not our end.
    recorder->launch.file_size_signal = signal(SIGXFSZ, SIG_IGN);
    if (!r)
        r = hone_launch_start(&recorder->launch, recorder->argv, &mask, err);
    if (r)
        return as_outcome(r);
    ret->started = true;
    err->code = 0;
    if (outside)
        watch_buffers(recorder);
    watch_wall(recorder);
    r = watch(recorder, recorder->launch.pidfd, WATCH_PROGRAM);
    if (!r)
        r = record(recorder);
    if (r)
        (void)hone_error_set(err, r, "recording stopped");
    else
        (void)write_recording(recorder, err);
    // Whatever became of the recording, the program is waited for.
    wait_for_program(recorder);
    ret->status = recorder->status;
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    return 0;
}

// The engine that was asked for works in the program, which nothing can be preloaded into.
static int refuse_engine(struct hone_error *err)
{
    struct hone_error why = *err;
    (void)hone_error_set(err, 0, "%.400s, so nothing can be preloaded", why.message);
    hone_error_hint(err, "leave --engine away, and it is recorded from outside");
    return -EPERM;
}

static void tell_outside(const struct hone_capture_options *options, const struct hone_error *why)
{
    char line[sizeof why->message + 64];
    (void)snprintf(line, sizeof line, "%s: it is recorded from outside, by perf events",
                   why->message);
    if (options->notice)
        options->notice(options->context, line);
}

int hone_capture_run(const struct hone_capture_options *options, char *const argv[],
                     struct hone_capture_result *ret, struct hone_error *err)
{
    HONE_CLEANUP(recorder_done)
    struct recorder recorder = {
        .argv = argv,
        .launch = {.session = {.fd = -1}, .pidfd = -1, .event_fd = -1},
        .epoll_fd = -1,
        .signal_fd = -1,
    };
    *ret = (struct hone_capture_result){0};
    set_defaults(&recorder.options, options);
    if (options->all || options->pid_count)
        return attach(&recorder, err);
    char path[PATH_MAX];
    int r = hone_target_check(argv[0], path, sizeof path, err);
    bool outside = recorder.options.outside;
    if (r == HONE_TARGET_OUTSIDE || r == HONE_TARGET_OUTSIDE_RIGHTS) {
        if (recorder.options.engine != HONE_ENGINE_NONE)
            return refuse_engine(err);
        if (!outside)
            tell_outside(&recorder.options, err);
        outside = true;
        recorder.rights = r == HONE_TARGET_OUTSIDE_RIGHTS;
        r = 0;
    }
    if (r)
        return as_outcome(r);
    r = hone_recording_directory_check(&recorder.options, err);
    return r ? r : run(&recorder, outside, ret, err);
}
