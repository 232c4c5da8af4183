// The end of a recording: the rest of what was written is read, then profiles and session.json are.
#include "capture/recorder.h"

#include "base/cleanup.h"
#include "capture/output.h"
#include "core/clock.h"
#include "core/ticks.h"
#include "profile/profile.h"
#include "symbol/symbol.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int finish_samples(struct hone_recorder *recorder)
{
    int r = hone_collect_finish(&recorder->collected);
    return r || !recorder->wall ? r : hone_wall_finish(recorder->wall);
}

// A daemon's first process ends as soon as it has forked the second, which begins when it gets a
// CPU, on a busy machine late. It is waited for, for it will go on without us, and who recorded it
// should know; not for ever, for a fork that failed looks the same.
static void wait_for_forked(const struct hone_session_header *header)
{
    enum { LOOKS = 500 };
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < LOOKS && atomic_load(&header->forks) > atomic_load(&header->forks_met); i++)
        (void)nanosleep(&pause, NULL);
}

// The rest of what was written. Processes that still run are told to stop sampling.
static int finish_reading(struct hone_recorder *recorder, uint32_t *ret_left_running)
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
    struct hone_session_header *header = recorder->launch.session.header;
    atomic_store(&header->stop, 1);
    if (recorder->program_ended && !recorder->taken_ns)
        wait_for_forked(header);
    int r = hone_recorder_read(recorder);
    if (r)
        return r;
    *ret_left_running = recorder->taken_ns ? 0 : (uint32_t)atomic_load(&header->forks_late);
    for (uint32_t i = 0; i < recorder->watched; i++) {
        struct pollfd alive = {.fd = recorder->pidfds[i], .events = POLLIN};
        struct hone_collected_process *process = &recorder->collected.processes[i];
        process->left_running = alive.fd >= 0 && !process->ended && poll(&alive, 1, 0) == 0;
        *ret_left_running += process->left_running;
    }
    recorder->launch.keep_library = *ret_left_running > 0;
    if (!recorder->taken_ns) {
        recorder->collected.now_ns = hone_now_ns();
        hone_reader_all_dead(recorder->reader);
        r = hone_reader_poll(recorder->reader, &hone_collect_events, &recorder->collected);
    }
    return r ? r : finish_samples(recorder);
}

static const char *const file_names[HONE_RECORDING_FILES] = {
    [HONE_CAPTURE_CPU] = "cpu.prof",
    [HONE_CAPTURE_WALL] = "wall.prof",
    [HONE_CAPTURE_HEAP] = "heap.prof",
    [HONE_CAPTURE_ALLOCS] = "allocs.prof",
    [HONE_RECORDING_HEAP_TIME] = "heap-time.prof",
    [HONE_RECORDING_HEAP_PEAK] = "heap-peak.prof",
    [HONE_CAPTURE_MUTEX] = "mutex.prof",
    [HONE_CAPTURE_LEAKS] = "leaks.prof",
    [HONE_CAPTURE_BLOCK] = "block.prof",
    [HONE_CAPTURE_THREADS] = "threads.prof",
    [HONE_RECORDING_THREADS_TIME] = "threads-time.prof",
};

// What comes with heap.prof: the peak is known where every block is counted. And with threads.prof:
// who creates threads is told from inside.
static bool is_wanted(const struct hone_recorder *recorder, int file)
{
    bool heap = recorder->options.types & 1u << HONE_CAPTURE_HEAP;
    if (file == HONE_RECORDING_HEAP_TIME)
        return heap;
    if (file == HONE_RECORDING_HEAP_PEAK)
        return heap && (recorder->options.heap_rate == 1 || recorder->collected.heap_sites.count);
    if (file == HONE_RECORDING_THREADS_TIME)
        return recorder->options.types & 1u << HONE_CAPTURE_THREADS && !recorder->outside;
    return recorder->options.types & 1u << file;
}

struct profiles {
    struct hone_symbolizer *symbolizer;
    struct hone_profile *at[HONE_RECORDING_FILES];
    uint32_t *heap_stacks, *mutex_stacks, *thread_stacks;
};

static void profiles_done(struct profiles *profiles)
{
    for (int file = 0; file < HONE_RECORDING_FILES; file++)
        hone_profile_free(profiles->at[file]);
    free(profiles->heap_stacks);
    free(profiles->mutex_stacks);
    free(profiles->thread_stacks);
    hone_symbolizer_free(profiles->symbolizer);
}

// Where stacks are in a profile, for session.json to name them.
static uint32_t **stacks_of(struct profiles *profiles, int file)
{
    if (file == HONE_CAPTURE_HEAP)
        return &profiles->heap_stacks;
    if (file == HONE_CAPTURE_MUTEX)
        return &profiles->mutex_stacks;
    return file == HONE_RECORDING_THREADS_TIME ? &profiles->thread_stacks : NULL;
}

static int make_profiles(const struct hone_recorder *recorder,
                         const struct hone_recording *recording, struct profiles *ret,
                         struct hone_error *err)
{
    int r = hone_recording_symbolizer(&recorder->options, &ret->symbolizer, err);
    for (int file = 0; !r && file < HONE_RECORDING_FILES; file++)
        if (is_wanted(recorder, file))
            r = hone_recording_profile(recording, ret->symbolizer, file, &ret->at[file],
                                       stacks_of(ret, file), err);
    if (!r)
        r = hone_symbolizer_keep(ret->symbolizer);
    return r < 0 && err && !err->code ? hone_error_set(err, r, "cannot make the profiles") : r;
}

// Makes the profiles first: a folder that is there has all of them.
static int write_profiles(struct hone_recorder *recorder, const struct hone_recording *recording,
                          struct hone_error *err)
{
    HONE_CLEANUP(profiles_done) struct profiles profiles = {0};
    int r = make_profiles(recorder, recording, &profiles, err);
    if (!r)
        r = hone_recording_directory(&recorder->options, recorder->argv[0], recorder->directory,
                                     sizeof recorder->directory, err);
    if (r)
        return r;
    for (int file = 0; !r && file < HONE_RECORDING_FILES; file++) {
        char path[PATH_MAX + 16];
        (void)snprintf(path, sizeof path, "%s/%s", recorder->directory, file_names[file]);
        if (profiles.at[file])
            r = hone_profile_write(profiles.at[file], path, err);
    }
    const struct hone_recording_names names = {
        .profile = profiles.at[HONE_CAPTURE_HEAP],
        .stacks = profiles.heap_stacks,
        .mutex = profiles.at[HONE_CAPTURE_MUTEX],
        .mutex_stacks = profiles.mutex_stacks,
        .symbolizer = profiles.symbolizer,
        .threads = profiles.at[HONE_RECORDING_THREADS_TIME],
        .thread_stacks = profiles.thread_stacks,
    };
    if (!r)
        r = hone_recording_session(recording, &names, recorder->directory, err);
    if (r) {
        (void)rmdir(recorder->directory); // when nothing could be written into it
        return r;
    }
    if (recorder->options.finished)
        recorder->options.finished(recorder->options.context, recorder->directory,
                                   (const struct hone_profile *const *)profiles.at);
    return 0;
}

static void look_at_room(const struct hone_session_header *header, struct hone_recording *ret)
{
    ret->no_room = atomic_load_explicit(&header->chunks_refused, memory_order_relaxed);
    ret->full =
        atomic_load_explicit(&header->backed_chunks, memory_order_relaxed) == header->chunk_count;
}

int hone_recorder_write(struct hone_recorder *recorder, struct hone_error *err)
{
    struct hone_recording recording = {
        .options = &recorder->options,
        .argv = recorder->argv,
        .collected = &recorder->collected,
        .started_realtime_ns = recorder->started_realtime_ns,
        .started_monotonic_ns = recorder->started_monotonic_ns,
        .duration_ns = hone_now_ns() - recorder->started_monotonic_ns,
        .stopped_early = !recorder->program_ended,
        .cpu_kernel_ns = recorder->cpu_kernel_ns,
        .heap_outside = recorder->heap_outside,
        .locks_outside = recorder->locks_outside,
        .status = recorder->program_ended && !recorder->attached ? recorder->status : -1,
        .unfiltered = recorder->unfiltered,
    };
    hone_collect_look_at_names(&recorder->collected, hone_now_ns(), true);
    hone_recorder_look_at_threads_last(recorder);
    hone_recorder_stuck_stop(recorder);
    int r = finish_reading(recorder, &recording.left_running);
    hone_room_stop(hone_take(recorder->room));
    if (!r && recorder->dump)
        r = hone_dump_creations_told(recorder->dump);
    recording.dump = recorder->dump;
    recording.dumps = recorder->dumps;
    if (r)
        return hone_error_set(err, r, "cannot read the session");
    hone_heap_series_settle(&recorder->collected.heap_series);
    r = hone_orders_find_rings(&recorder->collected.orders);
    if (r)
        return hone_error_set(err, r, "cannot read the session");
    if (recorder->ticks_ns)
        recording.ticks_per_s = (double)(hone_ticks() - recorder->ticks) * 1e9 /
                                (double)(hone_now_ns() - recorder->ticks_ns);
    hone_recorder_progress(recorder, recorder->started_monotonic_ns, true);
    struct hone_outside_facts outside;
    if (recorder->outside) {
        hone_outside_facts(recorder->outside, &outside);
        recording.outside = &outside;
    } else {
        recording.processes_refused =
            recorder->taken_ns ? 0 : hone_reader_refused(recorder->reader);
        recording.processes_unmapped =
            recorder->taken_ns
                ? 0
                : atomic_load_explicit(&recorder->launch.session.header->processes_unmapped,
                                       memory_order_relaxed);
        if (!recorder->taken_ns) {
            const struct hone_session_header *header = recorder->launch.session.header;
            recording.rate_changes =
                atomic_load_explicit(&header->heap_rate_changes, memory_order_relaxed);
            recording.rate_offs =
                atomic_load_explicit(&header->heap_rate_offs, memory_order_relaxed);
            recording.scans_refused =
                atomic_load_explicit(&header->scans_refused, memory_order_relaxed);
        }
        recording.losses = hone_reader_losses(recorder->reader);
        recording.marks_refused =
            recorder->taken_ns ? 0 : hone_reader_marks_refused(recorder->reader);
        recording.taken_ns = recorder->taken_ns;
        recording.back_error = recorder->launch.session.back_error;
        if (!recorder->taken_ns)
            look_at_room(recorder->launch.session.header, &recording);
    }

    if (recorder->options.types & (1u << HONE_CAPTURE_HEAP | 1u << HONE_CAPTURE_ALLOCS) &&
        !recording.heap_outside)
        r = hone_recording_find_inner_allocators(&recording);
    r = r ? hone_error_set(err, r, "cannot make the profiles")
          : write_profiles(recorder, &recording, err);
    free((void *)recording.inner_allocators);
    return r;
}
