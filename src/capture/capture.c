// A recording from its options: what it needs is prepared, the program started, and recorder_*.c
// see it through.
#include "capture/recorder.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "capture/deadly.h"
#include "capture/marks.h"
#include "capture/output.h"
#include "capture/target.h"
#include "core/clock.h"
#include "core/ticks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { CHUNKS_SMALLEST = 64 };

static void recorder_done(struct hone_recorder *recorder)
{
    for (uint32_t i = 0; i < recorder->watched; i++)
        if (recorder->pidfds[i] >= 0)
            (void)close(recorder->pidfds[i]);
    free(recorder->pidfds);
    hone_dump_free(recorder->dump);
    hone_dump_free(recorder->dump_begun);
    hone_recorder_stuck_stop(recorder);
    hone_outside_free(recorder->outside);
    hone_wall_close(recorder->wall);
    hone_reader_close(recorder->reader);
    hone_scanner_stop(recorder->collected.scanner);
    hone_room_stop(recorder->room);
    hone_collect_done(&recorder->collected);
    hone_launch_done(&recorder->launch);
    hone_recorder_faults_stop(recorder);
    hone_sentinel_stop(&recorder->sentinel);
    if (recorder->epoll_fd >= 0)
        (void)close(recorder->epoll_fd);
    if (recorder->signal_fd >= 0)
        (void)close(recorder->signal_fd);
}

// --- preparations
// -----------------------------------------------------------------------------------

static void set_defaults(struct hone_capture_options *to, const struct hone_capture_options *from)
{
    size_t size = from->size < sizeof *to ? from->size : sizeof *to;
    memset(to, 0, sizeof *to);
    memcpy(to, from, size);
    if (!to->types)
        to->types = 1u << HONE_CAPTURE_CPU | 1u << HONE_CAPTURE_HEAP;
    if (!to->heap_rate)
        to->heap_rate = 512 << 10;
    if (!to->mutex_fraction)
        to->mutex_fraction = HONE_CAPTURE_MUTEX_FRACTION;
    if (!to->block_rate_ns)
        to->block_rate_ns = HONE_CAPTURE_BLOCK_RATE_NS;
    if (!to->wall_hz)
        to->wall_hz = 100;
    if (!to->cpu_hz)
        to->cpu_hz = 1000;
    // Where every block is counted, each site of each thread is there until its process ends.
    if (!to->memory_bytes)
        to->memory_bytes = to->heap_rate == 1 ? 1 << 30 : 256 << 20;
    if (!to->stack_max)
        to->stack_max = 512;
}

// A container puts everybody under a filter, us too; what works for us there works for all.
static uint32_t own_seccomp_filters(void)
{
    uint32_t filters = 0;
    (void)hone_recorder_filters(getpid(), &filters);
    return filters;
}

bool hone_recorder_filters(pid_t pid, uint32_t *ret)
{
    char path[64], *status = NULL;
    size_t len = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (hone_file_read(path, 65536, &status, &len, NULL))
        return false;
    const char *at = strstr(status, "Seccomp_filters:\t");
    if (at)
        *ret = (uint32_t)strtoul(at + strlen("Seccomp_filters:\t"), NULL, 10);
    free(status);
    return at;
}

void hone_recorder_leave_out_inner(struct hone_recorder *recorder)
{
    const unsigned heap = 1u << HONE_CAPTURE_HEAP | 1u << HONE_CAPTURE_ALLOCS;
    const unsigned inner = heap | 1u << HONE_CAPTURE_MUTEX;
    recorder->heap_outside = recorder->options.types & heap;
    recorder->locks_outside = recorder->options.types >> HONE_CAPTURE_MUTEX & 1;
    // Leaks are of the heap: leaks.prof alone would not be what was asked for.
    if (recorder->options.types & ~(inner | 1u << HONE_CAPTURE_LEAKS))
        recorder->options.types &= ~inner; // else a profile is left that says why it is empty
}

static int prepare_session(struct hone_recorder *recorder, struct hone_error *err)
{
    bool cpu = recorder->options.types & 1u << HONE_CAPTURE_CPU;
    bool wall = recorder->options.types & 1u << HONE_CAPTURE_WALL; // on-cpu is the CPU clock's
    bool heap = recorder->options.types & (1u << HONE_CAPTURE_HEAP | 1u << HONE_CAPTURE_ALLOCS);
    // How long each had to wait, and where, is told by those who wait.
    bool mutex = recorder->options.types & 1u << HONE_CAPTURE_MUTEX;
    const struct hone_session_config config = {
        .cpu_period_ns = cpu || wall ? 1000000000 / recorder->options.cpu_hz : 0,
        .heap_rate = heap ? recorder->options.heap_rate : 0,
        .heap_maps = heap && recorder->options.heap_maps,
        .cpu_engine = recorder->options.engine,
        .stack_max = recorder->options.stack_max,
        .seccomp_filters = own_seccomp_filters(),
        .leaks = recorder->options.types >> HONE_CAPTURE_LEAKS & 1,
        .mutex_fraction = mutex ? (uint32_t)recorder->options.mutex_fraction : 0,
        // Without the locks' own account the scheduler's is better: it has all waits, and exactly.
        .block_rate_ns = mutex ? recorder->options.block_rate_ns : 0,
        .creations = recorder->options.types >> HONE_CAPTURE_THREADS & 1,
        .lock_order = recorder->options.lock_order,
        .deadly = recorder->deadly,
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
    if (!r)
        r = hone_room_start(&recorder->launch.session, &recorder->room);
    if (r)
        return hone_error_set(err, r, "cannot prepare the recording");
    recorder->started_realtime_ns = recorder->launch.session.header->started_realtime_ns;
    recorder->started_monotonic_ns = recorder->launch.session.header->started_monotonic_ns;
    recorder->collected.heap_series.started_ns = recorder->started_monotonic_ns;
    recorder->ticks_ns = hone_now_ns();
    recorder->ticks = hone_ticks();
    if (recorder->options.directory)
        hone_marks_folder(recorder->options.directory, recorder->launch.session.header->folder);
    if (config.leaks)
        r = hone_scanner_start(recorder->launch.session.header, &recorder->collected.scanner);
    return r ? hone_error_set(err, r, "cannot look for leaks") : 0;
}

static int refused_events(int r)
{
    return r == -EPERM || r == -EACCES ? HONE_TARGET_UNPRELOADABLE : r;
}

// Before the program is one: events on the process that becomes it, and the signals for it.
static int prepare_child(void *context, pid_t pid, struct hone_error *err)
{
    struct hone_recorder *recorder = context;
    hone_recorder_pass_on_first(recorder, pid);
    if (recorder->wall)
        hone_wall_expect(recorder->wall, pid);
    if (!recorder->outside)
        return 0;
    int r = refused_events(hone_outside_add_program(recorder->outside, pid, recorder->rights, err));
    if (!r)
        hone_outside_start(recorder->outside);
    return r;
}

void hone_recorder_clock(struct hone_recorder *recorder)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    recorder->started_realtime_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    recorder->started_monotonic_ns = hone_now_ns();
}

static int prepare_outside(struct hone_recorder *recorder, struct hone_error *err)
{
    const struct hone_outside_options options = {
        .period_ns = 1000000000 / recorder->options.cpu_hz,
        .memory_bytes = recorder->options.memory_bytes,
        .stack_max = recorder->options.stack_max,
    };
    hone_recorder_clock(recorder);
    return hone_outside_new(&options, &recorder->collected, &recorder->outside, err);
}

// Where the wall clock cannot be watched the rest is recorded, and wall.prof and block.prof say why
// they are empty.
static void give_up_wall(struct hone_recorder *recorder, const struct hone_error *why)
{
    hone_wall_close(hone_take(recorder->wall));
    struct hone_wall_facts *facts = &recorder->collected.wall_facts;
    facts->hz = recorder->options.wall_hz;
    (void)snprintf(facts->reason, sizeof facts->reason, "%.150s", why->message);
}

static enum hone_wall_engine permitted_wall_engine(const struct hone_recorder *recorder)
{
    enum hone_wall_engine wanted = (enum hone_wall_engine)recorder->options.wall_engine;
    if (recorder->deadly & HONE_DEADLY_PERF)
        return HONE_WALL_BY_POLLING;
    return recorder->deadly & HONE_DEADLY_BPF && wanted == HONE_WALL_BY_DRAWS
               ? HONE_WALL_BY_SWITCHES
               : wanted;
}

// Before the recording begins: it takes a while to prepare a program in the kernel.
static void open_wall(struct hone_recorder *recorder)
{
    if (!(recorder->options.types & (1u << HONE_CAPTURE_WALL | 1u << HONE_CAPTURE_BLOCK)))
        return;
    const struct hone_wall_options options = {
        .hz = recorder->options.wall_hz,
        .stack_max = recorder->options.stack_max,
        .engine = permitted_wall_engine(recorder),
        .memory_bytes = recorder->options.memory_bytes,
    };
    struct hone_error why = {0};
    if (hone_wall_open(&recorder->collected, &options, &recorder->wall, &why))
        give_up_wall(recorder, &why);
}

int hone_recorder_prepare(struct hone_recorder *recorder, bool outside, const sigset_t *signals,
                          struct hone_error *err)
{
    int r = hone_deadly_find(&recorder->deadly, err);
    if (!r && outside && recorder->deadly & HONE_DEADLY_PERF) {
        r = hone_error_set(err, -EACCES,
                           "cannot record from outside in here: a sandbox (seccomp) kills who "
                           "calls perf_event_open");
        hone_error_hint(err, "run hone outside of the sandbox");
    }
    if (r)
        return r;
    r = hone_collect_init(&recorder->collected);
    if (r)
        return hone_error_set(err, r, "cannot prepare the recording");
    recorder->collected.locks.mutex_fraction = recorder->options.mutex_fraction;
    recorder->collected.locks.block_rate_ns = recorder->options.block_rate_ns;
    open_wall(recorder);
    r = outside ? prepare_outside(recorder, err) : prepare_session(recorder, err);
    if (r)
        return r;
    recorder->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    recorder->signal_fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (recorder->epoll_fd < 0 || recorder->signal_fd < 0)
        r = -errno;
    if (!r)
        r = hone_recorder_watch(recorder, recorder->signal_fd, HONE_WATCH_SIGNALS);
    return r ? hone_error_set(err, r, "cannot prepare the recording") : 0;
}

// Positive outcomes of target.h as the shell's statuses; the rest is a failure of ours. One status
// for all programs that are there and were not run: by the kernel's refusal, or by ours to record
// them.
static int as_outcome(int r)
{
    switch (r) {
    case HONE_TARGET_MISSING:
        return HONE_CAPTURE_NOT_FOUND;
    case HONE_TARGET_UNRUNNABLE:
    case HONE_TARGET_UNPRELOADABLE:
        return HONE_CAPTURE_NOT_RUNNABLE;
    default:
        return r;
    }
}

void hone_recorder_watch_buffers(struct hone_recorder *recorder)
{
    int fd;
    for (uint32_t i = 0; (fd = hone_outside_descriptor(recorder->outside, i)) >= 0; i++)
        (void)hone_recorder_watch(recorder, fd, HONE_WATCH_BUFFER);
}

// --- the wall clock ------------------------------------------------------------------------------

static int watch_targets(struct hone_recorder *recorder, struct hone_error *err)
{
    if (!recorder->attached)
        return hone_wall_begin(recorder->wall, recorder->launch.pid, recorder->started_monotonic_ns,
                               err);
    if (recorder->options.all)
        return hone_wall_watch_all(recorder->wall, err);
    int r = 0;
    for (size_t i = 0; !r && i < recorder->options.pid_count; i++)
        r = hone_wall_watch(recorder->wall, recorder->options.pids[i], err);
    return r;
}

void hone_recorder_watch_wall(struct hone_recorder *recorder)
{
    struct hone_error why = {0};
    if (!recorder->wall)
        return;
    if (watch_targets(recorder, &why)) {
        give_up_wall(recorder, &why);
        return;
    }
    int calls = hone_wall_descriptor(recorder->wall);
    if (calls >= 0)
        (void)hone_recorder_watch(recorder, calls, HONE_WATCH_WALL);
}

// --- a program -----------------------------------------------------------------------------------

static int run(struct hone_recorder *recorder, bool outside, struct hone_capture_result *ret,
               struct hone_error *err)
{
    sigset_t signals, mask;
    hone_recorder_signals(&signals);
    if (sigprocmask(SIG_BLOCK, &signals, &mask))
        return hone_error_set(err, -errno, "cannot prepare the recording");
    // A limit of file sizes shall be an error of ours, not our end; and where the ends of children
    // are ignored, nobody can wait for one.
    void (*file_size_signal)(int) = signal(SIGXFSZ, SIG_IGN);
    void (*child_signal)(int) = signal(SIGCHLD, SIG_DFL);
    int r = hone_recording_check(&recorder->options, err);
    if (!r)
        r = hone_recorder_prepare(recorder, outside, &signals, err);
    recorder->launch.prepare = prepare_child;
    recorder->launch.context = recorder;
    recorder->launch.file_size_signal = file_size_signal;
    recorder->launch.pipe_signal = recorder->pipe_signal;
    recorder->launch.child_signal = child_signal;
    if (!r)
        r = hone_launch_start(&recorder->launch, recorder->argv, &mask, err);
    if (r)
        return as_outcome(r);
    ret->started = true;
    err->code = 0;
    if (outside)
        hone_recorder_watch_buffers(recorder);
    hone_recorder_watch_wall(recorder);
    (void)hone_recorder_faults_start(recorder);
    if (!outside) // only now: the program shall not inherit it
        hone_session_guard(&recorder->launch.session);
    r = hone_recorder_watch(recorder, recorder->launch.pidfd, HONE_WATCH_PROGRAM);
    if (!r)
        r = hone_recorder_record(recorder);
    if (r)
        (void)hone_error_set(err, r, "recording stopped");
    else
        (void)hone_recorder_write(recorder, err);
    // Whatever became of the recording, the program is waited for.
    hone_recorder_wait(recorder);
    hone_recorder_pass_on(recorder); // what came too late is for nobody, and does not end us either
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
    return HONE_CAPTURE_NOT_RUNNABLE;
}

static void tell_outside(const struct hone_capture_options *options, const struct hone_error *why)
{
    char line[sizeof why->message + 64];
    (void)snprintf(line, sizeof line, "%s: it is recorded from outside, by perf events",
                   why->message);
    if (options->notice)
        options->notice(options->context, line);
}

static int run_or_attach(const struct hone_capture_options *options, char *const argv[],
                         struct hone_capture_result *ret, struct hone_error *err)
{
    HONE_CLEANUP(recorder_done)
    struct hone_recorder recorder = {
        .argv = argv,
        .launch = HONE_LAUNCH_NONE,
        .epoll_fd = -1,
        .signal_fd = -1,
        .fault_fd = -1,
    };
    *ret = (struct hone_capture_result){0};
    set_defaults(&recorder.options, options);
    // What we tell may have lost its reader, which is no reason to end.
    recorder.pipe_signal = signal(SIGPIPE, SIG_IGN);
    if (options->all || options->pid_count)
        return hone_recorder_attach(&recorder, err);
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
    if (outside)
        hone_recorder_leave_out_inner(&recorder);
    r = hone_recording_directory_check(&recorder.options, err);
    return r ? r : run(&recorder, outside, ret, err);
}

int hone_capture_run(const struct hone_capture_options *options, char *const argv[],
                     struct hone_capture_result *ret, struct hone_error *err)
{
    int r = run_or_attach(options, argv, ret, err);
    struct rlimit files;
    if (r == -EMFILE && !err->hint[0] && getrlimit(RLIMIT_NOFILE, &files) == 0)
        hone_error_hint(err, "at most %llu may be open here: allow more with 'ulimit -n 64'",
                        (unsigned long long)files.rlim_cur);
    return r;
}
