// The threads of what is recorded are looked at every now and then, so that the recording has them
// as they were shortly before the program ended, and once more at its end if the program goes on.
// Looks come the rarer the longer they take, and are taken in parts, so that the session is read
// meanwhile.
#include "capture/recorder.h"

#include "core/clock.h"

#include <stdlib.h>

enum {
    FIRST_NS = 50000000,   // after the start; then twice as long, and so on,
    USUAL_NS = 1000000000, // up to this
    PARTS = 50,            // of the time, at most
    AGE_PARTS = 256,       // of the recording so far, that a look may be old
    TURN_NS = 20000000,    // without reading the session
    RUNNING_NS = 10000000, // that samples of those that run are waited for
    LAST_RUNNING_NS = 500000000,
};

static void add_processes(struct hone_recorder *recorder, struct hone_dump *dump)
{
    const struct hone_collected *collected = &recorder->collected;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        // As long as its pidfd is kept the number is its own.
        bool watched = recorder->outside || (i < recorder->watched && recorder->pidfds[i] >= 0);
        if (!process->ended && watched && hone_collect_same_pids(collected, process) &&
            hone_collect_by_pid(collected, process->pid) == i + 1)
            (void)hone_dump_add(dump, (pid_t)process->pid, NULL);
    }
    // From outside a process is told when it is sampled first.
    for (size_t i = 0; i < recorder->options.pid_count; i++)
        if (!hone_collect_by_pid(collected, (uint32_t)recorder->options.pids[i]))
            (void)hone_dump_add(dump, recorder->options.pids[i], NULL);
    if (recorder->outside && !recorder->attached && !recorder->program_ended &&
        !hone_collect_by_pid(collected, (uint32_t)recorder->launch.pid))
        (void)hone_dump_add(dump, recorder->launch.pid, NULL);
}

static bool begin(struct hone_recorder *recorder, uint64_t running_ns)
{
    const struct hone_dump_options options = {
        .stack_max = recorder->options.stack_max,
        .running_ns = running_ns,
        .never_stop = true,
    };
    struct hone_dump *dump;
    if (hone_dump_new(&options, &recorder->collected, &dump, NULL))
        return false;
    add_processes(recorder, dump);
    recorder->dump_begun = dump;
    return true;
}

// What was looked at counts as a dump when anybody was there.
static void end(struct hone_recorder *recorder, bool whole)
{
    struct hone_dump *dump = recorder->dump_begun;
    recorder->dump_begun = NULL;
    if (!whole || !dump->thread_count) {
        hone_dump_free(dump);
        return;
    }
    hone_dump_free(recorder->dump);
    recorder->dump = dump;
    recorder->dumps++;
}

static bool are_wanted(const struct hone_recorder *recorder)
{
    return recorder->options.types & 1u << HONE_CAPTURE_THREADS;
}

void hone_recorder_look_at_threads(struct hone_recorder *recorder)
{
    uint64_t now_ns = hone_now_ns();
    if (!are_wanted(recorder))
        return;
    if (!recorder->dump_pause_ns) {
        recorder->dump_pause_ns = FIRST_NS;
        recorder->dump_ns = recorder->started_monotonic_ns + FIRST_NS;
    }
    if (!recorder->dump_begun) {
        if (now_ns < recorder->dump_ns || !begin(recorder, RUNNING_NS))
            return;
        recorder->dump_cost_ns = 0;
    }
    int r = hone_dump_some(recorder->dump_begun, now_ns + TURN_NS);
    uint64_t after_ns = hone_now_ns();
    recorder->dump_cost_ns += after_ns - now_ns;
    if (r > 0)
        return;
    end(recorder, r == 0);
    recorder->dump_pause_ns =
        recorder->dump_pause_ns * 2 < USUAL_NS ? recorder->dump_pause_ns * 2 : USUAL_NS;
    uint64_t pause_ns = recorder->dump_cost_ns * PARTS;
    uint64_t age_ns = (after_ns - recorder->started_monotonic_ns) / AGE_PARTS;
    pause_ns = pause_ns > recorder->dump_pause_ns ? pause_ns : recorder->dump_pause_ns;
    recorder->dump_ns = after_ns + (pause_ns > age_ns ? pause_ns : age_ns);
}

void hone_recorder_look_at_threads_last(struct hone_recorder *recorder)
{
    if (!are_wanted(recorder))
        return;
    if (!recorder->program_ended || recorder->attached) {
        hone_dump_free(recorder->dump_begun);
        recorder->dump_begun = NULL;
        if (begin(recorder, LAST_RUNNING_NS))
            end(recorder, hone_dump_take(recorder->dump_begun) == 0);
    }
}
