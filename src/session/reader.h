// The reading side of a session: turns shared memory into a stream of events, one process after the
// other, each in the order in which it was written. Works while the session is being written, and
// on what is left after everybody died.
//
//     hone_reader_open(memory, bytes, &reader);
//     while (recording)
//         hone_reader_poll(reader, &events, my_context);
//     hone_reader_all_dead(reader);
//     hone_reader_poll(reader, &events, my_context); // the rest, and end of every process
//     hone_reader_close(reader);
//
// The memory is input: every length and index is checked on a private copy, what contradicts the
// layout is skipped and counted in struct hone_reader_losses.
//
// Threads: one at a time.  Signals: not safe.
#ifndef HONE_SESSION_READER_H
#define HONE_SESSION_READER_H

#include "session/layout.h"

#include <stdbool.h>
#include <stddef.h>

struct hone_reader;

// Plain copies of struct hone_process_counters and its neighbours, in the same order.
struct hone_process_facts {
    uint32_t pid;
    uint32_t parent_pid;
    uint64_t started_ns;
    uint64_t ended_ns; // 0: it did not tell
    enum hone_engine engine;
    bool forked;
    enum hone_process_state state;
    uint64_t period_ns;
    uint64_t pid_namespace; // 0: unknown
    uint64_t cpu_before_ns;
    uint64_t cpu_total_ns;    // 0: unknown
    uint64_t cpu_clock_ns;    // by the kernel's clock of the process and of what it was before its
                              // last exec; of one that is recorded from outside. 0: unknown
    bool cpu_clock_whole;     // it was looked at when all threads had ended, or goes on
    uint64_t heap_peak_bytes; // of those that count every block
    uint64_t heap_peak_ns;
    uint32_t heap_fall;
    char path[HONE_PROCESS_PATH];
    char name[HONE_PROCESS_NAME];
    char reason[HONE_PROCESS_REASON];
    bool broken; // overwritten: what was known of it before counts, not this
    char heap_reason[HONE_PROCESS_REASON];
    char allocator[HONE_PROCESS_ALLOCATOR];
    char lock_reason[HONE_PROCESS_REASON];

    uint64_t samples;
    uint64_t lost_memory;
    uint64_t lost_busy;
    uint64_t lost_overrun;
    uint64_t records_lost;
    uint64_t stacks;
    uint64_t stack_repeats;
    uint64_t truncated;
    uint64_t frame_pointer;
    uint64_t frames;
    uint64_t frame_misses;
    uint64_t threads;
    uint64_t threads_uncovered;
    uint64_t foreign_traps;
    uint64_t own_ends;
    uint64_t searched;
    uint64_t modules_lost;
    uint64_t modules_without_rules;
    uint64_t heap_samples;
    uint64_t heap_frees;
    uint64_t heap_lost;
    uint64_t heap_frees_lost;
    uint64_t heap_untracked;
    uint64_t heap_truncated;
    uint64_t heap_missed;
    uint64_t heap_no_site;
    uint64_t heap_early;
    uint64_t heap_early_bytes;
    uint64_t heap_kept_lost;
    uint64_t lock_contentions;
    uint64_t lock_held;
    uint64_t lock_waits;
    uint64_t lock_lost;
    uint64_t lock_untracked;
    uint64_t lock_order_lost;
    uint64_t heap_left;
    uint64_t heap_in_handler;
    int64_t heap_live_bytes; // of those that count every block, now
};

// A mark, checked.
struct hone_reader_mark {
    uint64_t time_ns; // monotonic
    uint32_t pid;
    char name[HONE_MARK_NAME];
};

struct hone_reader_losses {
    uint64_t unfinished; // records that their process died in the middle of
    uint64_t broken;     // records, chunks and counters that contradict the layout or the clock
};

// Called by hone_reader_poll(). process is a number that the reader gave out, rising from 0. The
// pointers are valid during the call. Any of them may be NULL.
struct hone_reader_events {
    void (*process)(void *context, uint32_t process, const struct hone_process_facts *facts);
    void (*module)(void *context, uint32_t process, const struct hone_record_module *module);
    void (*module_gone)(void *context, uint32_t process,
                        const struct hone_record_module_gone *module);
    void (*thread)(void *context, uint32_t process, const struct hone_record_thread *thread);
    void (*thread_end)(void *context, uint32_t process,
                       const struct hone_record_thread_end *thread);
    void (*stack)(void *context, uint32_t process, const struct hone_record_stack *stack);
    void (*cpu)(void *context, uint32_t process, const struct hone_record_cpu *sample);
    // At the one moment that a short thread drew: of threads without another sample.
    void (*cpu_drawn)(void *context, uint32_t process, const struct hone_record_cpu *sample);
    void (*heap_alloc)(void *context, uint32_t process,
                       const struct hone_record_heap_alloc *allocation);
    void (*heap_free)(void *context, uint32_t process, const struct hone_record_heap_free *release);
    void (*heap_kept)(void *context, uint32_t process, const struct hone_record_heap_kept *kept);
    // What the process has counted at one stack by now: in each hone_reader_look(), and, `last`,
    // once before process_end. The site is where it counts, which it may do meanwhile.
    void (*heap_site)(void *context, uint32_t process, const struct hone_process_facts *facts,
                      uint32_t number, const struct hone_heap_site *site, bool last);
    // Before what any process recorded of the heap after it.
    void (*mark)(void *context, uint32_t number, const struct hone_reader_mark *mark);
    void (*lock_held)(void *context, uint32_t process, const struct hone_record_lock_held *held);
    void (*wait)(void *context, uint32_t process, const struct hone_record_wait *wait);
    void (*lock_use)(void *context, uint32_t process, const struct hone_record_lock_use *use);
    void (*lock_known)(void *context, uint32_t process, const struct hone_record_lock_known *lock);
    void (*lock_block)(void *context, uint32_t process, const struct hone_record_lock_block *lock);
    void (*lock_order)(void *context, uint32_t process, const struct hone_record_lock_order *order);
    void (*exec)(void *context, uint32_t process, const struct hone_record_exec *exec);
    // The process is dead and all it wrote was read.
    void (*process_end)(void *context, uint32_t process, const struct hone_process_facts *facts);
};

// Returns 0; -EPROTO when the memory is no session of this version, -EINVAL when its header
// contradicts itself or the size, -ENOMEM.
// Owner    the memory stays the caller's and must outlive the reader; it is written to, for chunks
//          that were read are given back.
int hone_reader_open(void *memory, size_t bytes, struct hone_reader **ret);
void hone_reader_close(struct hone_reader *reader);

// Reads what has been committed since the last call. Returns 0 or -ENOMEM.
int hone_reader_poll(struct hone_reader *reader, const struct hone_reader_events *events,
                     void *context);

// Looks at what the processes that live count in place. Call after a poll.
void hone_reader_look(struct hone_reader *reader, const struct hone_reader_events *events,
                      void *context);

// The process is known to be dead: the next poll reads what is left of it and ends it.
void hone_reader_dead(struct hone_reader *reader, uint32_t process);
void hone_reader_all_dead(struct hone_reader *reader);

// What the process says of itself now. False when there is no such process or it was ended.
bool hone_reader_facts(struct hone_reader *reader, uint32_t process,
                       struct hone_process_facts *ret);

// Processes that found no memory for their first chunk.
uint64_t hone_reader_refused(struct hone_reader *reader);

// Marks for which there was no room.
uint32_t hone_reader_marks_refused(const struct hone_reader *reader);

struct hone_reader_losses hone_reader_losses(const struct hone_reader *reader);

#endif
