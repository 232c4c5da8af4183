// The folder of a recording: a profile for each type and session.json.
#ifndef HONE_CAPTURE_OUTPUT_H
#define HONE_CAPTURE_OUTPUT_H

#include "capture/capture.h"
#include "capture/collect.h"
#include "capture/dump.h"
#include "capture/outside.h"

struct hone_symbolizer;

// Of the processes that count every block.
struct hone_heap_peak {
    double bytes;       // the most that all who lived at one time had together
    uint64_t time_ns;   // monotonic
    uint32_t together;  // who lived then
    uint32_t processes; // of how many
};

// All that is known when the recording is over.
struct hone_recording {
    const struct hone_capture_options *options; // with the defaults filled in
    char *const *argv;
    const struct hone_collected *collected;
    uint64_t started_realtime_ns, started_monotonic_ns;
    uint64_t duration_ns;
    bool stopped_early;    // duration_ns was reached
    uint32_t left_running; // processes that went on without us
    struct hone_reader_losses losses;
    uint64_t processes_refused;
    uint64_t processes_unmapped; // that had no address space for the session
    uint64_t taken_ns;           // into it, when the session's memory was taken away; 0: it was not
    int back_error;              // why the session could not grow, or 0
    uint64_t no_room;            // how often programs found no room in it
    bool full;                   // it is as large as it may become
    const char **inner_allocators; // by module: see hone_inner_allocator(); NULL: not asked for
    bool heap_outside;             // the heap was asked for, and is not seen from outside
    bool locks_outside;            // the same of locks
    uint64_t cpu_kernel_ns; // CPU time of the program and the children it waited for; 0: unknown
    int status;             // of the program; -1 while it runs
    bool unfiltered;        // it ended under no other filter (seccomp) than we are under
    const struct hone_outside_facts *outside; // NULL: the programs wrote the session themselves
    double ticks_per_s;                       // of hone_ticks(); 0: unknown
    uint32_t marks_refused;                   // for which there was no room
    uint32_t rate_changes, rate_offs;         // of the heap's rate, and of these to 0
    uint32_t scans_refused;                   // that processes asked for when too many others had
    const struct hone_dump *dump;             // the last one of its threads; NULL: there is none
    uint32_t dumps;                           // that were taken
};

// Fills inner_allocators, which is the caller's to free. Returns 0 or -ENOMEM.
int hone_recording_find_inner_allocators(struct hone_recording *recording);

// Returns 0 or -ENOMEM.
int hone_recording_heap_peak(const struct hone_recording *recording, struct hone_heap_peak *ret);

// Sums over all processes.
struct hone_recording_totals {
    uint64_t samples, cpu_ns, periods;
    uint64_t lost_memory, lost_busy, lost_overrun, records_lost;
    uint64_t stacks, stack_repeats, frames, frame_misses, frame_pointer, foreign_traps, searched;
    uint64_t threads, threads_uncovered;
    uint64_t modules_lost, modules_without_rules;
    uint64_t truncated[HONE_STACK_ENDS]; // samples by how their stack ended
    uint64_t truncated_cpu_ns;
    uint32_t engines[HONE_ENGINES]; // processes by engine
    uint32_t processes;             // all but those that only the wall clock tells of
    uint32_t uncovered;             // processes that were not sampled
};

void hone_recording_total(const struct hone_recording *recording,
                          struct hone_recording_totals *ret);

// CPU time that samples stand for: without what is known only as a sum.
uint64_t hone_recording_sampled_ns(const struct hone_recording *recording,
                                   const struct hone_recording_totals *totals);
// Samples per second of it.
double hone_recording_rate(const struct hone_recording *recording,
                           const struct hone_recording_totals *totals);

// The files of a recording: one for each type, and what the heap has beside its own.
enum hone_recording_file {
    HONE_RECORDING_HEAP_TIME = HONE_CAPTURE_TYPES, // heap-time.prof: changes, by interval
    HONE_RECORDING_HEAP_PEAK,    // heap-peak.prof: what lived when most did; where all is counted
    HONE_RECORDING_THREADS_TIME, // threads-time.prof: threads created and ended, by interval
    HONE_RECORDING_FILES
};

// What looks up names, for all profiles of the recording.
int hone_recording_symbolizer(const struct hone_capture_options *options,
                              struct hone_symbolizer **ret, struct hone_error *err);

// The profile of a file (or enum hone_capture_type), with names. The caller frees it, and
// ret_stacks, which may be NULL: what number each collected stack has in the profile.
int hone_recording_profile(const struct hone_recording *recording,
                           struct hone_symbolizer *symbolizer, int file, struct hone_profile **ret,
                           uint32_t **ret_stacks, struct hone_error *err);

// Adds the comments that the profile carries: engine, rates, losses, what was not covered. Returns
// 0 or -ENOMEM.
int hone_recording_comment(const struct hone_recording *recording, int file,
                           struct hone_profile *profile);

// Why the heap of what is recorded from outside is not known.
#define HONE_HEAP_OUTSIDE "it was recorded from outside, where no library sees what is allocated"

// The same of the heap's profiles alone.
void hone_recording_comment_heap(const struct hone_recording *recording, int file,
                                 struct hone_profile *profile);

// And, of leaks as well, that the rate was changed while it ran, if it was: true.
bool hone_recording_comment_rates(const struct hone_recording *recording,
                                  struct hone_profile *profile);

// How a stack ended, as it is said of stacks that are truncated.
extern const char *const hone_stack_end_texts[HONE_STACK_ENDS];

// Of a signal that ended it for which we may be the cause: comments_ended.c.
void hone_recording_comment_ended(const struct hone_recording *recording,
                                  struct hone_profile *profile);

// And of who waited: comments_wall.c.
void hone_recording_comment_wall(const struct hone_recording *recording,
                                 struct hone_profile *profile);
int hone_recording_comment_block(const struct hone_recording *recording,
                                 struct hone_profile *profile);
// And of threads.
void hone_recording_comment_threads(const struct hone_recording *recording, int file,
                                    struct hone_profile *profile);

// And of what was looked for leaks.
void hone_recording_comment_leaks(const struct hone_recording *recording,
                                  struct hone_profile *profile);
struct hone_leak_totals {
    uint32_t processes;    // that were looked through
    uint32_t unlooked;     // that counted blocks and were not, or not to the end
    uint64_t blocks;       // that lived in the former
    uint64_t bytes_read;   //
    uint64_t time_ns;      // that they waited
    uint32_t threads_left; // whose registers were not read
    bool sampled;          // only sampled blocks are known
    double objects[HONE_REACHES], bytes[HONE_REACHES];
};
void hone_recording_leaks(const struct hone_recording *recording, struct hone_leak_totals *ret);
// Why the process was not looked through; NULL: it was, or has become another program.
const char *hone_recording_unlooked(const struct hone_recording *recording,
                                    const struct hone_collected_process *process);

// Why the locks of what is recorded from outside are not known.
#define HONE_LOCKS_OUTSIDE "it was recorded from outside, where no library sees its locks"

// And of locks.
void hone_recording_comment_locks(const struct hone_recording *recording,
                                  struct hone_profile *profile);
struct hone_lock_totals {
    uint32_t processes;            // that told anything
    uint32_t reasons;              // of them, that say why theirs are not seen
    uint64_t contentions;          // acquisitions that had to wait, counted
    uint64_t lost, untracked;      // records; waits whose holder is not known
    struct hone_lock_sum releases; // that others waited for
    struct hone_lock_sum delay_ns;
    double truncated_ns; // of that, at stacks that end early
};
void hone_recording_locks(const struct hone_recording *recording, struct hone_lock_totals *ret);

// Whether the recording's folder can be created, before the program runs for nothing. Nothing is
// created yet: the program may look at the folder that it runs in.
int hone_recording_directory_check(const struct hone_capture_options *options,
                                   struct hone_error *err);

// Creates options->directory, or profiles/<program>_<date>_<time>; never one that exists. Writes
// its path (of size bytes).
int hone_recording_directory(const struct hone_capture_options *options, const char *program,
                             char *ret, size_t size, struct hone_error *err);

// Whether names can be looked up as the options ask: before anything is recorded. Returns 0, or a
// negative errno with err filled.
int hone_recording_check(const struct hone_capture_options *options, struct hone_error *err);

// The profiles of the heap, of locks and of created threads, and where stacks are in them, for
// their names; NULL: none was made.
struct hone_recording_names {
    const struct hone_profile *profile;
    const uint32_t *stacks;
    const struct hone_profile *mutex;
    const uint32_t *mutex_stacks;
    const struct hone_profile *threads;
    const uint32_t *thread_stacks;
    struct hone_symbolizer *symbolizer;
};

// Writes session.json into the directory.
int hone_recording_session(const struct hone_recording *recording,
                           const struct hone_recording_names *names, const char *directory,
                           struct hone_error *err);

#endif
