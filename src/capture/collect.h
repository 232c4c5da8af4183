// Gathers what the processes of a session wrote into one table of samples, in the terms of files
// instead of processes: an address becomes a place in a module's file, so the same stack in two
// processes is one. A process that ended leaves only its share of the tables, so a recording of
// ten thousand short processes stays small.
#ifndef HONE_CAPTURE_COLLECT_H
#define HONE_CAPTURE_COLLECT_H

#include "base/arena.h"
#include "base/table.h"
#include "capture/generated.h"
#include "session/reader.h"

#include <stdbool.h>
#include <stdint.h>

// A file that was mapped as code, in whatever processes.
struct hone_collected_module {
    const char *path;
    unsigned char build_id[39];
    uint8_t build_id_bytes;
    uint64_t start, end;           // in the first process that had it
    uint64_t text_start, text_end; // the same
    uint64_t text_offset;
    uint64_t bias;
};

// The module of the kernel's own addresses, as perf and pprof call it.
#define HONE_KERNEL_PATH "[kernel.kallsyms]"

enum { HONE_NO_MODULE = 0 }; // module 0 holds addresses that belong to no file

// The address, in no module, of what threads did that ended before their first sample.
#define HONE_PLACE_NEVER_SAMPLED UINT64_MAX
// And of what a program used before it was sampled: in the kernel's exec, in the loader, and for
// the probe to begin.
#define HONE_PLACE_BEFORE (UINT64_MAX - 1)

// A place in a module: an address as the module's file counts. Without module: as in the process.
struct hone_collected_place {
    uint32_t module;
    uint32_t process; // whose code it is, plus one: in no module; else 0
    uint64_t address;
};

struct hone_collected_stack {
    uint32_t first; // in frames[]
    uint32_t count;
    enum hone_stack_end end;
    bool generated; // some of its frames are code of no file
};

struct hone_collected_thread {
    uint32_t process;
    uint32_t tid;
    char name[16];    // empty when nobody could say
    uint64_t end_ns;  // CPU time that it used, told at its end; 0: it did not say
    uint32_t routine; // place of the function that it ran, plus one; 0: unknown
};

struct hone_collected_process {
    uint32_t number; // of the reader
    uint32_t pid;
    char name[32];
    char became[HONE_PROCESS_PATH];   // program that it exec'ed and that did not report; or empty
    struct hone_process_facts facts;  // at its end, or the latest
    struct hone_generated *generated; // arena; NULL: it ran no code but that of files
    bool ended;
};

struct hone_collected_sample {
    uint32_t thread;
    uint32_t stack;
    uint64_t samples;
    uint64_t cpu_ns;
    uint64_t time_ns; // of stacks whose names depend on it; else 0: whenever
};

struct hone_collected {
    struct hone_arena arena; // paths

    struct hone_collected_module *modules;
    struct hone_collected_place *places;
    uint32_t *frames; // of stacks, leaf first: places
    struct hone_collected_stack *stacks;
    struct hone_collected_thread *threads;
    struct hone_collected_process *processes;
    struct hone_collected_sample *samples;
    uint32_t module_count, place_count, frame_count, stack_count, thread_count, process_count,
        sample_count;
    uint64_t pid_namespace;    // ours: what pids mean here; 0: unknown
    uint64_t unknown_stacks;   // samples whose stack never arrived
    uint64_t never_sampled_ns; // CPU time of threads that ended before their first sample
    uint64_t before_ns;        // CPU time of exec and loader, before the probe could begin

    struct hone_collect_state *state; // private
};

// Returns 0 or -ENOMEM.
int hone_collect_init(struct hone_collected *collected);

// Whether the process's pid and tids mean something to us: not in another pid namespace, such as a
// container's.
bool hone_collect_same_pids(const struct hone_collected *collected,
                            const struct hone_collected_process *process);
void hone_collect_done(struct hone_collected *collected);

// A thread's name, told by who knows it; `thread` is its index in process `number`.
void hone_collect_thread_name(struct hone_collected *collected, uint32_t number, uint32_t thread,
                              const char *name);

// For hone_reader_poll(), with the struct hone_collected as context.
extern const struct hone_reader_events hone_collect_events;

// After the last poll: makes each thread's samples add up to what the thread says it used, and adds
// what is known without a sample (threads that were too short, programs' starts), unless nothing
// was sampled. Returns 0 or -ENOMEM.
int hone_collect_finish(struct hone_collected *collected);

// 0, or -ENOMEM when something could not be kept: then the recording is incomplete.
int hone_collect_status(const struct hone_collected *collected);

#endif
