// threads.prof of a dump alone, without a recording around it.
#include "capture/dump.h"

#include "base/cleanup.h"
#include "capture/output.h"
#include "core/clock.h"
#include "profile/profile.h"
#include "symbol/symbol.h"

#include <stdio.h>
#include <time.h>

int hone_dump_profile(const struct hone_dump *dump, const struct hone_dump_profile_options *how,
                      struct hone_profile **ret, uint32_t **ret_stacks, struct hone_error *err)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t realtime_ns = hone_timespec_ns(now) - (hone_now_ns() - dump->started_ns);
    const struct hone_capture_options options = {
        .size = sizeof options,
        .types = 1u << HONE_CAPTURE_THREADS,
        .cpu_hz = 1000,
        .wall_hz = 100,
        .version = how->version,
        .debuginfod = how->debuginfod,
    };
    char pid[32];
    (void)snprintf(pid, sizeof pid, "-p %u", dump->process_count ? dump->processes[0].pid : 0);
    char *const argv[] = {(char *)"hone threads", pid, NULL};
    const struct hone_recording recording = {
        .options = &options,
        .argv = argv,
        .collected = dump->collected,
        .started_realtime_ns = realtime_ns,
        .started_monotonic_ns = dump->started_ns,
        .duration_ns = dump->ended_ns - dump->started_ns,
        .status = -1,
        .dump = dump,
    };
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
    int r = hone_recording_symbolizer(&options, &symbolizer, err);
    if (!r)
        r = hone_recording_profile(&recording, symbolizer, HONE_CAPTURE_THREADS, ret, ret_stacks,
                                   err);
    if (!r)
        (void)hone_symbolizer_keep(symbolizer); // an index that could not be kept is made again
    return r;
}
