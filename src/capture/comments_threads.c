// What threads.prof and threads-time.prof say of themselves.
#include "capture/output.h"

#include "profile/profile.h"

#include <inttypes.h>

static void comment_on_dump(const struct hone_recording *recording, struct hone_profile *profile)
{
    const struct hone_dump *dump = recording->dump;
    if (!dump) {
        hone_profile_comment(profile, "empty: the program ended before its threads were looked at; "
                                      "they are, every second and at the end of -d");
        return;
    }
    uint64_t at_ns = dump->started_ns > recording->started_monotonic_ns
                         ? dump->started_ns - recording->started_monotonic_ns
                         : 0;
    hone_profile_comment(profile,
                         "# threads: %" PRIu32 " of %" PRIu32
                         " processes, looked at from %.3f s on, for %.3f s, one after the other",
                         dump->thread_count, dump->process_count, (double)at_ns / 1e9,
                         (double)(dump->ended_ns - dump->started_ns) / 1e9);
    if (dump->sampled || dump->stopped)
        hone_profile_comment(profile,
                             "# threads that ran: %" PRIu32 " sampled by perf events, %" PRIu32
                             " stopped for a moment",
                             dump->sampled, dump->stopped);
    if (dump->gone)
        hone_profile_comment(profile, "# threads: %" PRIu32 " ended before they were looked at",
                             dump->gone);
    uint32_t missed[HONE_DUMP_MISSES] = {0}, unknown = 0, first = 0;
    for (uint32_t i = 0; i < dump->thread_count; i++) {
        missed[dump->threads[i].miss]++;
        bool is_first = dump->threads[i].tid == dump->processes[dump->threads[i].process].pid;
        first += is_first;
        unknown += !is_first && !dump->threads[i].creation;
    }
    for (int miss = 1; miss < HONE_DUMP_MISSES; miss++)
        if (missed[miss])
            hone_profile_comment(profile, "not covered: stacks of %" PRIu32 " thread%s: %s",
                                 missed[miss], missed[miss] == 1 ? "" : "s",
                                 hone_dump_miss_words((enum hone_dump_miss)miss));
    if (unknown)
        hone_profile_comment(profile,
                             "not covered: where %" PRIu32 " of %" PRIu32
                             " threads were created; that is known of programs that 'hone record "
                             "-t threads' has started",
                             unknown, dump->thread_count - first);
}

void hone_recording_comment_threads(const struct hone_recording *recording, int file,
                                    struct hone_profile *profile)
{
    if (file == HONE_CAPTURE_THREADS) {
        comment_on_dump(recording, profile);
        return;
    }
    hone_profile_comment(profile, "# threads: by the stack that created them, and by the interval "
                                  "that ends at `time`; alive is what the interval changed");
    const struct hone_collected *collected = recording->collected;
    uint64_t lost = 0;
    for (uint32_t i = 0; i < collected->process_count; i++)
        lost += collected->processes[i].facts.records_lost;
    if (lost)
        hone_profile_comment(profile,
                             "lost: %" PRIu64 " records of threads, stacks or modules, for lack of "
                             "memory: counts may be too low",
                             lost);
    if (!profile->samples.count)
        hone_profile_comment(profile, "empty: no thread was created by pthread_create() or "
                                      "thrd_create() in what was recorded");
}
