// The end of a recording: the rest of what was written is read, then profiles and session.json are.
#include "capture/recorder.h"

#include "base/cleanup.h"
#include "capture/output.h"
#include "core/clock.h"
#include "profile/profile.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static int finish_samples(struct hone_recorder *recorder)
{
    if (recorder->wall && recorder->outside)
        hone_wall_distrust_ends(recorder->wall);
    int r = hone_collect_finish(&recorder->collected);
    return r || !recorder->wall ? r : hone_wall_finish(recorder->wall);
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
    atomic_store(&recorder->launch.session.header->stop, 1);
    int r = hone_recorder_read(recorder);
    if (r)
        return r;
    *ret_left_running = 0;
    for (uint32_t i = 0; i < recorder->watched; i++) {
        struct pollfd alive = {.fd = recorder->pidfds[i], .events = POLLIN};
        if (alive.fd >= 0 && !recorder->collected.processes[i].ended && poll(&alive, 1, 0) == 0)
            ++*ret_left_running;
    }
    recorder->launch.keep_library = *ret_left_running > 0;
    if (!recorder->taken_ns) {
        hone_reader_all_dead(recorder->reader);
        r = hone_reader_poll(recorder->reader, &hone_collect_events, &recorder->collected);
    }
    return r ? r : finish_samples(recorder);
}

static const char *const file_names[HONE_CAPTURE_TYPES] = {
    [HONE_CAPTURE_CPU] = "cpu.prof",
    [HONE_CAPTURE_WALL] = "wall.prof",
    [HONE_CAPTURE_HEAP] = "heap.prof",
    [HONE_CAPTURE_ALLOCS] = "allocs.prof",
};

static void profiles_done(struct hone_profile *(*profiles)[HONE_CAPTURE_TYPES])
{
    for (int type = 0; type < HONE_CAPTURE_TYPES; type++)
        hone_profile_free((*profiles)[type]);
}

// Makes the profiles first: a folder that is there has all of them.
static int write_profiles(struct hone_recorder *recorder, const struct hone_recording *recording,
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

int hone_recorder_write(struct hone_recorder *recorder, struct hone_error *err)
{
    struct hone_recording recording = {
        .options = &recorder->options,
        .argv = recorder->argv,
        .collected = &recorder->collected,
        .started_realtime_ns = recorder->started_realtime_ns,
        .duration_ns = hone_now_ns() - recorder->started_monotonic_ns,
        .stopped_early = !recorder->program_ended,
        .cpu_kernel_ns = recorder->cpu_kernel_ns,
        .heap_outside = recorder->heap_outside,
        .status = recorder->program_ended && !recorder->attached ? recorder->status : -1,
    };
    int r = finish_reading(recorder, &recording.left_running);
    if (r)
        return hone_error_set(err, r, "cannot read the session");
    hone_recorder_progress(recorder, recorder->started_monotonic_ns, true);
    struct hone_outside_facts outside;
    if (recorder->outside) {
        hone_outside_facts(recorder->outside, &outside);
        recording.outside = &outside;
    } else {
        recording.processes_refused =
            recorder->taken_ns ? 0 : hone_reader_refused(recorder->reader);
        recording.losses = hone_reader_losses(recorder->reader);
        recording.taken_ns = recorder->taken_ns;
        recording.back_error = recorder->launch.session.back_error;
    }

    return write_profiles(recorder, &recording, err);
}
