// The parts of outside.c: who is watched, and what becomes of each record.
#ifndef HONE_CAPTURE_OUTSIDE_PARTS_H
#define HONE_CAPTURE_OUTSIDE_PARTS_H

#include "capture/outside.h"
#include "capture/perf_events.h"
#include "capture/remote.h"

enum { HONE_OUTSIDE_PIDS_MAX = 4 << 20 }; // the kernel's own limit

struct hone_outside_thread {
    uint32_t process;
    uint32_t index; // in its process
    uint32_t next;  // of its process's threads, plus one; 0: the last
    pid_t tid;
    uint64_t met_ns; // by the kernel's record of it
    char name[16];
    bool told; // to collected
    bool exited;
    bool owner;    // has events of its own; others inherit them
    uint32_t root; // the thread whose events it inherited
    uint64_t samples;
    uint64_t touched_sp; // where the kernel's copy of its stack was cut last
    uint64_t counted_ns; // told at its end
    uint64_t before_ns;  // of the clock of /proc when we came
    uint64_t earlier_ns; // of counted_ns, as another program before
    uint64_t dropped_ns; // counted by events that it had inherited, until they ended
    uint32_t dropped_root;
};

struct hone_outside_process {
    pid_t pid;
    uint32_t number; // in collected
    bool told, exited, closed, has_owner, kernel_told;
    bool adopted; // it was there before: some of its threads are not known
    bool unmapped;     // a program of which nothing is mapped yet
    bool events_ended; // with its exec: to be opened anew
    bool is_ours; // our own child, until it becomes the program
    uint64_t exited_ns;
    uint64_t clock_ns;      // its CPU clock, when it was looked at last; 0: it was not
    uint64_t clock_seen_ns; // and when that was
    bool clock_over;        // and it is gone
    uint64_t clock_came_ns; // and when we came to a process that ran already
    struct hone_remote *remote;
    struct hone_process_facts facts;
    uint8_t *modules;      // by module: what was told of it
    uint32_t changes;      // of the modules, when that was
    uint32_t first_thread; // plus one
    uint32_t thread_count, alive;
};

enum { MODULE_UNTOLD, MODULE_TOLD, MODULE_GONE };

struct hone_outside {
    struct hone_outside_options options;
    struct hone_collected *collected;
    struct hone_perf perf;
    bool all;     // every process counts
    bool by_cpus; // events are on CPUs
    bool has_ended; // some process has events_ended
    bool finished;
    struct hone_outside_process *processes;
    struct hone_outside_thread *threads;
    uint32_t process_count, process_room, thread_count, thread_room;
    uint32_t *by_pid, *by_tid; // plus one
    uint32_t next_number;
    struct hone_perf_record *records; // by ring: the next one
    bool *peeked;
    uint64_t record_ns; // of the record that is looked at; 0: none yet
    struct hone_outside_facts facts;
    int status;
    uint64_t *stack; // a record of HONE_STACK_MAX addresses
};

// --- outside_process.c: who is watched -----------------------------------------------------------

// NULL: not watched (any more).
struct hone_outside_process *hone_outside_process_of(const struct hone_outside *outside,
                                                     uint32_t pid);
struct hone_outside_thread *hone_outside_thread_of(const struct hone_outside *outside,
                                                   uint32_t tid);

// NULL: no memory, or no number of a process. Those that were there may move.
struct hone_outside_process *hone_outside_new_process(struct hone_outside *outside, uint32_t pid);
struct hone_outside_thread *hone_outside_new_thread(struct hone_outside *outside,
                                                    struct hone_outside_process *process,
                                                    uint32_t tid);
// A process that was there before we looked.
struct hone_outside_process *hone_outside_adopt(struct hone_outside *outside, uint32_t pid);
void hone_outside_read_program(struct hone_outside_process *process);
void hone_outside_tell_program(struct hone_outside *outside, struct hone_outside_process *process);

// The thread and its process become known to the collected, unless they are.
void hone_outside_tell_thread(struct hone_outside *outside, struct hone_outside_thread *thread);
// All that is known of the process has been told, and nothing more comes.
void hone_outside_close_process(struct hone_outside *outside, struct hone_outside_process *process);
// Those that ended some time ago.
void hone_outside_close_exited(struct hone_outside *outside);

// CPU time of a living thread since it began; 0: unknown.
uint64_t hone_outside_clock_ns(uint32_t pid, pid_t tid);

// --- outside_count.c: what the kernel counts -----------------------------------------------------

// The process's CPU clock, with all threads that have ended. It can be looked at until somebody has
// waited for the process; then nothing changes.
void hone_outside_look_at_clock(struct hone_outside_process *process);
// The clocks of all that live: of one that is waited for at once, the last look remains.
void hone_outside_look_at_clocks(struct hone_outside *outside);
// Whether a process still runs, by what the kernel says now.
bool hone_outside_runs(const struct hone_outside_process *process);
// At the end: what threads used that told nothing.
void hone_outside_count_threads(struct hone_outside *outside);

// --- outside.c -----------------------------------------------------------------------------------

// One look at the threads of a process. Returns how many were new, or a negative errno.
int hone_outside_add_threads(struct hone_outside *outside, uint32_t process_at,
                             struct hone_error *err);

// --- outside_reopen.c: programs whose exec has ended their events --------------------------------

// The end that was told of it was that of its events alone.
void hone_outside_revive(struct hone_outside *outside, struct hone_outside_process *process);
void hone_outside_reopen_ended(struct hone_outside *outside);

// --- outside_record.c and outside_sample.c -------------------------------------------------------

// All rings as one stream in the order of time, up to `until_ns`. Returns 0 or -ENOMEM.
int hone_outside_drain(struct hone_outside *outside, uint64_t until_ns);

void hone_outside_on_sample(struct hone_outside *outside, const struct hone_perf_record *record);

#endif
