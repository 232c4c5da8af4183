// Looks from outside at the heap of processes that count every block: at their sites, for the
// course of the heap over time, and at the memory that their allocator has from the kernel. Looks
// cost what the heap is large, so they come the rarer the longer they take.
#include "capture/recorder.h"

#include "capture/held.h"
#include "core/clock.h"

#include <math.h>
#include <string.h>

// Looks take at most one part in so many of the time, and come not more often than every so often.
enum {
    LOOK_PARTS = 200,
    LOOK_NS = 50000000,
    HELD_PARTS = 400, // the kernel keeps the process from mapping memory meanwhile
    HELD_NS = 250000000,
};

static uint64_t next_ns(uint64_t began_ns, uint64_t ended_ns, uint64_t parts, uint64_t least_ns)
{
    uint64_t pause_ns = (ended_ns - began_ns) * parts;
    return ended_ns + (pause_ns > least_ns ? pause_ns : least_ns);
}

// Where the heap has grown or shrunk by more than a part of it meanwhile, what was read is of no
// one moment, and says nothing.
enum { SAME_MOMENT_PARTS = 8 };

static bool look_at_one(struct hone_recorder *recorder, struct hone_collected_process *process)
{
    struct hone_process_facts before, after;
    uint64_t bytes;
    // Where other allocators keep their blocks cannot be told from what the program mapped itself.
    if (!strstr(process->facts.allocator, "/libc.so.6") ||
        !hone_reader_facts(recorder->reader, process->number, &before) ||
        !hone_held_read((pid_t)process->pid, &bytes) ||
        !hone_reader_facts(recorder->reader, process->number, &after) || after.broken)
        return false;
    double change = (double)after.heap_live_bytes - (double)before.heap_live_bytes;
    if (fabs(change) * SAME_MOMENT_PARTS > fabs((double)after.heap_live_bytes))
        return false;
    process->held_bytes = bytes;
    process->held_live_bytes = after.heap_live_bytes;
    return true;
}

static void look_at_held(struct hone_recorder *recorder, uint64_t now_ns)
{
    struct hone_collected *collected = &recorder->collected;
    for (uint32_t i = recorder->first_live; i < recorder->watched; i++) {
        struct hone_collected_process *process = &collected->processes[i];
        // As long as its pidfd is kept the number is its own.
        if (!process->ended && recorder->pidfds[i] >= 0 && process->facts.heap_peak_ns &&
            look_at_one(recorder, process))
            process->held_ns = now_ns;
    }
}

void hone_recorder_look(struct hone_recorder *recorder)
{
    uint64_t now_ns = hone_now_ns();
    if (now_ns >= recorder->look_ns) {
        hone_reader_look(recorder->reader, &hone_collect_events, &recorder->collected);
        recorder->look_ns = next_ns(now_ns, hone_now_ns(), LOOK_PARTS, LOOK_NS);
        now_ns = hone_now_ns();
    }
    if (now_ns >= recorder->held_ns) {
        look_at_held(recorder, now_ns);
        recorder->held_ns = next_ns(now_ns, hone_now_ns(), HELD_PARTS, HELD_NS);
    }
}
