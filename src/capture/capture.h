// capture: records programs. Starts one with libhone.so inside, follows it and its children while
// they write into the session, and leaves a folder with one profile per type and session.json. What
// cannot be preloaded, or runs already, is recorded from outside, by perf events.
//
//     struct hone_capture_options options = {.size = sizeof options, .cpu_hz = 1000};
//     struct hone_capture_result result;
//     int r = hone_capture_run(&options, argv, &result, &err);
//
// It promises that the program keeps its streams, signals and exit status, that no profile is
// written that is wrong, and that each says what it lost. It leaves showing profiles to view/.
#ifndef HONE_CAPTURE_CAPTURE_H
#define HONE_CAPTURE_CAPTURE_H

#include "base/error.h"
#include "session/layout.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hone_profile;

// What is going on, for a progress line.
struct hone_capture_progress {
    uint64_t elapsed_ns;
    uint64_t samples;
    uint32_t processes;        // that are being recorded
    bool working;              // the program has ended, names are being looked up
    const char *fetching;      // the file whose debug information is being fetched, or NULL
    uint64_t bytes, all_bytes; // of it; all_bytes 0: not known yet
};

// What can be recorded, each into a file of its own.
enum hone_capture_type {
    HONE_CAPTURE_CPU,     // cpu.prof
    HONE_CAPTURE_WALL,    // wall.prof
    HONE_CAPTURE_HEAP,    // heap.prof: what lives
    HONE_CAPTURE_ALLOCS,  // allocs.prof: the same, seen from all that was ever allocated
    HONE_CAPTURE_THREADS, // threads.prof: every thread, and where it was created
    HONE_CAPTURE_MUTEX,   // mutex.prof: who held what others waited for
    HONE_CAPTURE_BLOCK,   // block.prof: who waited, where and for what
    HONE_CAPTURE_LEAKS,   // leaks.prof: what lived at the end, and whether anything points to it
    HONE_CAPTURE_TYPES
};

// Sums are right with any; these keep a lock that changes hands 100 000 times a second at 10 000
// records of releases a second, and of waits that are shorter than 10 us at a part of them.
enum { HONE_CAPTURE_MUTEX_FRACTION = 10, HONE_CAPTURE_BLOCK_RATE_NS = 10000 };

// Zero means default.
struct hone_capture_options {
    size_t size;
    unsigned types;          // 1 << enum hone_capture_type, … (cpu, heap)
    uint64_t cpu_hz;         // samples per second of CPU time (1000)
    uint64_t wall_hz;        // looks per second at who waits (100)
    uint64_t heap_rate;      // mean bytes between sampled allocations (512 KiB)
    bool heap_maps;          // mappings count as allocations
    uint64_t mutex_fraction; // one in so many releases that others waited for is recorded
    uint64_t block_rate_ns;  // a shorter wait is recorded with the probability of its part
    unsigned wall_engine;    // the best that may be taken, enum hone_wall_engine (by draws)
    bool lock_order;         // what threads hold when they take another lock is recorded
    uint64_t deadlock_ns;    // who sleeps in a lock so long is looked at, by stuck(); 0: nobody is
    uint64_t duration_ns;    // then recording ends and the program goes on (until it ends)
    enum hone_engine engine; // (the best that works)
    const char *directory;   // to create (profiles/<program>_<date>_<time>)
    uint64_t memory_bytes;   // of the session, at most (256 MiB; 1 GiB at a heap_rate of 1)
    uint32_t stack_max;      // frames kept of a stack (512)
    bool outside;            // by perf events, whether or not libhone.so could be preloaded
    const pid_t *pids;       // of pid_count processes that run, to record instead of a program
    size_t pid_count;
    bool all;            // or every process of the machine
    bool debuginfod;     // fetch debug files from the servers in $DEBUGINFOD_URLS (no)
    const char *version; // of hone, for session.json
    void (*progress)(void *context, const struct hone_capture_progress *progress); // (none)
    // Something that the user should know before the program runs, one line.
    void (*notice)(void *context, const char *line);
    // The profiles are written. Called before the program has ended when duration_ns was reached.
    // By type; NULL: it was not asked for.
    void (*finished)(void *context, const char *directory,
                     const struct hone_profile *const profiles[HONE_CAPTURE_TYPES]);
    // Somebody in that process has slept in a lock for deadlock_ns, or a signal (SIGURG to us) has
    // `asked` for a look. Called in a child of the recorder's, which ends when it returns.
    void (*stuck)(void *context, pid_t pid, bool asked);
    void *context;
};

struct hone_capture_result {
    int status; // of the program, as wait() gives it
    bool started;
};

// A positive outcome: the program was not run; these are a shell's exit statuses for it. Not
// runnable: it is there, but may not be executed, or cannot be recorded as it was asked for.
enum { HONE_CAPTURE_NOT_RUNNABLE = 126, HONE_CAPTURE_NOT_FOUND = 127 };

// Runs argv and records it; or records pids or all, where argv is not looked at, until a signal
// asks for the end, they have ended or duration_ns is over.
//
// Returns 0 when it ran: result->status says how it ended, also when
// something went wrong with the profile later and err is filled (err->code is then not 0).
// Otherwise one of the outcomes above, or a negative errno, with err filled.
// Afterwards this process ignores SIGPIPE, as long as nobody changes that; the program does not.
int hone_capture_run(const struct hone_capture_options *options, char *const argv[],
                     struct hone_capture_result *ret, struct hone_error *err);

#endif
