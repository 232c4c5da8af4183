// Gathers what the processes of a session wrote into one table of samples, in the terms of files
// instead of processes: an address becomes a place in a module's file, so the same stack in two
// processes is one. A process that ended leaves only its share of the tables, so a recording of
// ten thousand short processes stays small.
#ifndef HONE_CAPTURE_COLLECT_H
#define HONE_CAPTURE_COLLECT_H

#include "base/arena.h"
#include "base/table.h"
#include "capture/collect_heap.h"
#include "capture/collect_lock_order.h"
#include "capture/collect_locks.h"
#include "capture/collect_waits.h"
#include "capture/generated.h"
#include "capture/heap_series.h"
#include "capture/scan.h"
#include "capture/wait_kinds.h"
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
    uint64_t contents; // a hash of it where there is no build id; 0: not known
    int held_fd;       // its file, plus one; 0: it is not held open
    bool held_tried;   // to hold it
    bool ours;         // libhone.so
};

// The module of the kernel's own addresses, as perf and pprof call it.
#define HONE_KERNEL_PATH "[kernel.kallsyms]"

enum { HONE_NO_MODULE = 0 }; // module 0 holds addresses that belong to no file

// The address, in no module, of what threads did that ended before their first sample.
#define HONE_PLACE_NEVER_SAMPLED UINT64_MAX
// And of what a program used before it was sampled: in the kernel's exec, in the loader, and for
// the probe to begin.
#define HONE_PLACE_BEFORE (UINT64_MAX - 1)
// The same of a forked process: in the kernel's fork, and for the probe to begin anew.
#define HONE_PLACE_FORK (UINT64_MAX - 3)

// And of what threads that had samples used when nothing sampled them any more.
#define HONE_PLACE_NOT_SAMPLED (UINT64_MAX - 4)

// And of what threads did that were ready to run and got no CPU.
#define HONE_PLACE_RUNNABLE (UINT64_MAX - 2)

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
    uint32_t told_tid;    // as it knows itself: of another pid namespace, maybe
    bool translated;      // and tid is what it is here
    uint64_t met_ns;      // when it was first seen, monotonic
    uint64_t left_ns;     // and when it told that it ends; 0: it did not
    uint64_t name_due_ns; // when its name is read again
    char name[16];        // empty when nobody could say
    uint64_t end_ns;      // CPU time that it used, told at its end; 0: it did not say
    uint32_t routine;     // place of the function that it ran, plus one; 0: unknown
    uint32_t creation;    // the stack that created it, plus one; 0: unknown, or the first thread
    uint32_t creator;     // the thread that did, plus one; 0: unknown
};

struct hone_collected_process {
    uint32_t number; // of the reader
    uint32_t pid;
    bool translated; // from what it is in its own pid namespace, facts.pid, to what it is here
    uint32_t tid_distance;            // what that added to a thread's number last
    uint64_t tids_looked_due_ns;      // when its threads may be looked through again
    char name[HONE_PROCESS_NAME];     // by which it was executed
    char became[HONE_PROCESS_PATH];   // program that it exec'ed and that did not report; or empty
    struct hone_process_facts facts;  // at its end, or the latest
    struct hone_generated *generated; // arena; NULL: it ran no code but that of files
    uint32_t before;                  // another one that had its pid before, plus one; 0: none
    bool ended;
    bool left_running; // when the recording ended
    bool unsampled;    // only the wall clock tells of it
    // CPU time that the kernel counted, when it was looked at from outside: of processes that have
    // ceased to tell. 0: it was not looked at.
    uint64_t seen_cpu_ns;
    uint64_t not_sampled_ns; // CPU time beyond the account of its samples
    // What its allocator held, when it was looked at last: resident memory that is of no file and
    // not ours, and what lived of the heap then. 0: it was not looked at.
    uint64_t held_bytes, held_ns;
    int64_t held_live_bytes;
    struct hone_scan_result *scan; // for leaks, at its end; NULL: there was none
};

// Blocks of one stack that lived at their process's end.
struct hone_collected_leak {
    uint32_t process;
    uint32_t stack;
    enum hone_reach reach;
    double objects, bytes; // with those that sampled ones stand for
};

struct hone_collected_sample {
    uint32_t thread;
    uint32_t stack;
    uint64_t samples;
    uint64_t cpu_ns;
    uint64_t time_ns; // of stacks whose names depend on it; else 0: whenever
};

// Wall-clock time of a thread in one state at one stack.
struct hone_collected_wall {
    uint32_t thread;
    uint32_t stack;
    enum hone_wait_kind kind;
    uint64_t samples; // how often it was seen so; 0: known as a sum only
    uint64_t ns;
    double blocks; // how often it waited so; of those that were not seen, an estimate
};

// How threads are followed: what tells that they wait, and where.
enum hone_wall_engine {
    HONE_WALL_BY_DRAWS,    // the scheduler's records, and stacks that the kernel copies (eBPF)
    HONE_WALL_BY_SWITCHES, // the scheduler's records, and looks at who waits
    HONE_WALL_BY_POLLING,  // the kernel's counts of each thread, and looks
};
const char *hone_wall_engine_name(enum hone_wall_engine engine);
const char *hone_wall_engine_text(enum hone_wall_engine engine); // a sentence

// What the wall clock's samples are worth. Times are of all threads together.
struct hone_wall_facts {
    bool taken; // wall clock was asked for
    enum hone_wall_engine engine;
    char reason[160];    // why nothing, or less than asked for, was seen; or empty
    uint64_t hz;         // asked for
    uint64_t started_ns; // monotonic
    uint64_t ended_ns;   //
    uint64_t ticks;      //
    uint64_t threads;    // that were watched
    uint64_t refused;    // threads whose stacks we may not read
    uint64_t too_many;   // threads that there was no room for
    uint64_t unmatched;  // sampled threads that nobody watched: their CPU time alone is known
    // Programs that gained rights, which ends the events on them: watched anew, or …
    uint64_t gained, gained_gone, gained_refused;
    uint64_t lifetime_ns;          // from each thread's start to its end
    uint64_t state_ns[HONE_WAITS]; // what the lifetime consists of
    uint64_t blocks;               // that were over, or when the recording ended
    uint64_t reads;                // stacks of blocked threads that were read
    uint64_t draws;                // and that the kernel copied
    uint64_t draws_lost;           // and for which it had no room
    uint64_t draws_unread; // and that could not be walked: the process had ended, or is not ours
    uint64_t too_many_to_draw; // threads whose waits it cannot draw
    uint32_t one_in;           // of waits was drawn, where they were most; 0: none were
    char undrawn[96];          // why the kernel copies no stacks; or empty
    uint64_t torn;             // and that do not count: the thread ran meanwhile
    uint64_t gone;             // threads that had gone on before they could be read
    uint64_t postponed;        // reads put off: more threads blocked anew than there was time for
    uint64_t bases;            // of which the frame pointer had to be found on the stack
    uint64_t searched;         // and of which a caller was
    // Blocked time whose stack was seen, and the part of it with stacks that end early; and looks
    // by how the stack ended.
    uint64_t seen_ns, truncated_ns;
    uint64_t ends[HONE_STACK_ENDS];
    uint64_t lost;      // times that the kernel dropped records of switches
    uint64_t kernels;   // stacks that have the kernel's frames
    char no_kernel[96]; // why none has; or empty
};

// A moment that got a name.
struct hone_collected_mark {
    uint64_t time_ns; // monotonic
    uint32_t pid;     // of who made it
    const char *name; // fit to be shown
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
    struct hone_collected_wall *wall;
    uint32_t module_count, place_count, frame_count, stack_count, thread_count, process_count,
        sample_count, wall_count;
    struct hone_collected_waits waits;
    struct hone_heap_rows heap;
    struct hone_heap_sites heap_sites;
    struct hone_heap_series heap_series;
    struct hone_locks locks;
    struct hone_orders orders;
    struct hone_collected_mark marks[HONE_MARKS_MAX];
    uint32_t mark_count;
    uint64_t now_ns;              // of the last look, monotonic; set by who reads
    struct hone_scanner *scanner; // who looks for leaks; NULL: nobody
    struct hone_collected_leak *leaks;
    uint32_t leak_count;
    uint32_t held_files; // of modules
    struct hone_wall_facts wall_facts;
    uint64_t pid_namespace;    // ours: what pids mean here; 0: unknown
    uint64_t unknown_stacks;   // samples whose stack never arrived
    uint64_t never_sampled_ns; // CPU time of threads that ended before their first sample
    uint64_t not_sampled_ns;   // CPU time of threads that nothing sampled any more
    uint64_t before_ns;        // CPU time of fork, exec and loader, before the probe could begin

    struct hone_collect_state *state; // private
};

// What is not in a session finds its place in the same tables: each returns the number of the equal
// one that is there, or of a new one. When memory is out, 0, and hone_collect_status() tells.
uint32_t hone_collect_module(struct hone_collected *collected,
                             const struct hone_record_module *record);
uint32_t hone_collect_place(struct hone_collected *collected, struct hone_collected_place place);
// Places, leaf first.
uint32_t hone_collect_stack(struct hone_collected *collected, const uint32_t *places,
                            uint32_t count, enum hone_stack_end end);
// After a stack of that process was added: generated code in it gets names, if somebody keeps them.
void hone_collect_generated(struct hone_collected *collected, uint32_t process, uint32_t stack);
// The process that has this pid now, plus one; 0: unknown.
uint32_t hone_collect_by_pid(const struct hone_collected *collected, uint32_t pid);
// The process that had this one's pid before it, in the same pid namespace, plus one; 0: none.
uint32_t hone_collect_before(const struct hone_collected *collected, uint32_t process);
// Whether another one has had its pid after it.
bool hone_collect_is_replaced(const struct hone_collected *collected, uint32_t process);
// A process or thread that no session tells of.
uint32_t hone_collect_process(struct hone_collected *collected, uint32_t pid, const char *name);
uint32_t hone_collect_thread(struct hone_collected *collected, uint32_t process, uint32_t tid,
                             const char *name);
// Adds to the thread's time in this state at this stack.
void hone_collect_wall(struct hone_collected *collected, const struct hone_collected_wall *wall);

// Returns 0 or -ENOMEM.
int hone_collect_init(struct hone_collected *collected);

// What the process says of itself by now.
void hone_collect_facts(struct hone_collected *collected, uint32_t process,
                        const struct hone_process_facts *facts);

// Whether the process's pid means something to us: it is not in another pid namespace, such as a
// container's, or was found here.
bool hone_collect_same_pids(const struct hone_collected *collected,
                            const struct hone_collected_process *process);
// The same of a thread's tid.
bool hone_collect_same_tid(const struct hone_collected *collected,
                           const struct hone_collected_thread *thread);
void hone_collect_done(struct hone_collected *collected);

// The name that the kernel has for a thread now. False, and nothing is written, when it has ended.
bool hone_thread_name(uint32_t pid, uint32_t tid, char ret[16]);
// Reads names again of which it is time, or of all that live.
void hone_collect_look_at_names(struct hone_collected *collected, uint64_t now_ns, bool all);
// What a process runs, by who learns it after the process was told of.
void hone_collect_program(struct hone_collected *collected, uint32_t number,
                          const struct hone_process_facts *facts);
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
