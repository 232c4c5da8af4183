// What the files of the wall clock share: wall_watch.c says who is watched, wall.c reads what is
// told of them, wall_account.c keeps account of the threads, wall_poll.c does both where perf
// events are not permitted, wall_program.c says then which program a process is, wall_stack.c reads
// the stacks of blocked threads, wall_draws.c takes those that the kernel copied, wall_sums.c what
// it summed up, wall_finish.c makes samples of all that.
#ifndef HONE_CAPTURE_WALL_PARTS_H
#define HONE_CAPTURE_WALL_PARTS_H

#include "base/table.h"
#include "capture/draws.h"
#include "capture/kernel_stack.h"
#include "capture/look.h"
#include "capture/restart.h"
#include "capture/switches.h"
#include "capture/wait_kinds.h"
#include "capture/wall.h"

enum hone_wall_state {
    HONE_WALL_UNKNOWN, // nobody has told yet
    HONE_WALL_RUNNING,
    HONE_WALL_PREEMPTED,
    HONE_WALL_BLOCKED,
    HONE_WALL_ENDED,
};

// One thread as one program; after an exec there is another one.
struct hone_wall_thread {
    uint32_t pid, tid;
    uint32_t process; // in wall->processes
    char name[16];
    bool unborn;                // nobody told yet that it began
    bool replaced;              // it ended by becoming another program
    uint64_t born_ns, ended_ns; // ended_ns 0: alive
    enum hone_wall_state state;
    uint64_t since_ns;
    uint64_t run_ns, preempted_ns;
    uint64_t long_ns, short_ns; // blocked: how long in blocks of either kind
    uint64_t longs, shorts;     // and how many

    // The block that it is in, if its stack was read.
    bool queued; // for reading
    bool seen;
    enum hone_wait_kind kind;
    uint32_t stack;
    uint64_t looked_ns, read_ns; // the tick, and when reading ended

    // What the kernel summed up since it told of the thread, as far as that was asked for.
    bool awake; // it is asked for at the next tick
    bool asked;
    bool uncovered; // the kernel watches too many others: only what it counts is known
    struct hone_draws_sums sums;

    struct hone_restart last_call; // of the blocks that were read or copied

    // What the kernel copied of the block that it is in, or is about to begin.
    struct hone_wall_draw {
        uint64_t time_ns;
        uint32_t one_in; // 0: nothing
        bool sure;       // it was drawn for certain, and stands for itself
        uint32_t stack;
        enum hone_wait_kind kind;
    } draw;

    // What the kernel counts of it: where we began, and at the last time that it was read.
    struct hone_wall_counts {
        uint64_t run_ns, delay_ns;
    } counted_first, counted;
    uint64_t counted_at_ns;
    uint64_t counted_blocks; // and how many blocks were over then,
    uint64_t counted_run_ns; // and how long it had run by the records
    bool counted_at_end;     // it was read when the thread ended, or the recording
    uint64_t switch_ns;      // what a block's switches take besides, by the kernel's count of it
    uint64_t blocks;         // that are over
    uint64_t wakeup_ns;      // how long it waits at the end of one, on average
    bool refused;            // its stack is not ours to read
    bool drawn_whole;        // much of its stack is copied
    uint64_t touched_sp;     // where the kernel's copy of it was cut last

    // Of a thread that is polled.
    uint64_t checked_ns;
    int counts_fd;        // of its counts, plus one; 0: closed
    bool met_late;        // it may have begun a while before born_ns
    uint64_t times;       // it was put on a CPU, at the last look
    uint64_t times_told;  // of them, those that ended blocks that are counted
    uint64_t run_read_ns; // and what the kernel counted then
};

struct hone_wall_process {
    uint32_t pid;
    uint32_t alive; // threads
    struct hone_look_process look;
    // What descriptors were when threads were drawn that waited for them: by a hash of both.
    struct hone_wall_file {
        uint64_t call, descriptor, seen_ns;
        enum hone_wait_kind kind;
    } files[16];
    bool unmapped;            // it is a new program, of which nothing is mapped yet
    uint64_t events_ended_ns; // when the kernel ended its events; 0: they go on
    bool announced;           // by the session,
    uint64_t announced_ns;    // as one that started then
    uint32_t before;          // what it was when it became this program, plus one
    // Those of the session that started until then, or since then, are other programs.
    uint64_t others_until_ns, others_from_ns; // 0: not known
    struct hone_wall_program {                // that it is; of those that are polled
        uint64_t device, file;                // 0: not known
    } program;
    bool left_out;             // ours, or the kernel's
    uint64_t settle_ns;        // from when on what waits for futexes in it may be looked at later
    uint64_t links, listed_ns; // of its folder of threads, when it is polled
};

// What was seen: a thread blocked at a stack. In blocks of either kind: how long, and how many that
// stands for. Those that were drawn for certain are short ones that stand for nothing else: what is
// seldom would be taken for what the thread does often.
struct hone_wall_seen {
    uint32_t thread, stack;
    enum hone_wait_kind kind;
    uint64_t samples, long_ns, short_ns, sure_ns;
    double longs, shorts, sures;
};

struct hone_wall {
    struct hone_collected *collected;
    struct hone_wall_facts facts;
    uint64_t period_ns, due_ns;
    uint64_t random;
    uint64_t busy_ns;               // when something came last that could not wait
    bool calm;                      // the program in the kernel calls for such
    bool storm;                     // and for waits that last
    bool late;                      // somebody who waits is yet to be looked at: there was no time
    struct hone_switches *switches; // NULL: threads are polled, or all is over
    bool polled;
    struct hone_draws *draws;         // NULL: not permitted, or all is over
    bool summed;                      // by its program: few switches are told
    struct hone_kernel_names *kernel; // NULL: its frames are not ours to see
    uint32_t one_in;                  // of waits is drawn, now
    uint64_t storm_ns;                // since when that is not each
    uint64_t drawn_ns;                // when they were read last
    uint64_t part_ns, part_drawn;     // since when, and how many, of that were drawn
    uint64_t draws_passed;            // by chance and lost, until then
    bool everybody;                   // is watched
    uint32_t expected;                // the child that is about to become the program; 0: it has
    struct hone_wall_counts expected_counts; // what the kernel counted of it before
    bool has_ended;                          // of some process the kernel ended the events
    uint64_t alive;                          // threads
    uint64_t listed_ns;                      // when new ones were looked for
    uint64_t *due;                           // by thread: when to look
    uint32_t due_room;
    uint32_t counts_open, counts_most;
    int status; // -ENOMEM

    struct hone_wall_thread *threads;
    uint32_t thread_count, thread_room;
    uint32_t *by_tid; // the thread that has the number now, plus one
    struct hone_wall_process *processes;
    uint32_t process_count, process_room;
    uint32_t *by_pid;
    uint32_t *awake; // threads of which the kernel is asked; only with draws
    uint32_t awake_count, awake_room;
    uint32_t *queue; // threads that are blocked anew
    uint32_t queue_count, queue_room;
    struct hone_wall_seen *seen;
    uint32_t seen_count, seen_room;
    struct hone_table seen_table;
    struct hone_look look;
};

enum {
    HONE_WALL_TIDS_MAX = 1 << 22,    // PID_MAX_LIMIT of the kernel
    HONE_WALL_THREADS_MAX = 1 << 20, // over the whole recording: some 300 MB
    HONE_WALL_READ_SHARE = 8,        // the part of a tick's time in which stacks are read, at most
    // What a process needs to be walked in is not complete at its beginning, and many end soon.
    HONE_WALL_SETTLE_NS = 100000000,
    HONE_WALL_LONG_TICKS = 2, // a block that lasts so many ticks cannot be missed
};

// The thread that has this number now; NULL: nobody we know.
struct hone_wall_thread *hone_wall_find(struct hone_wall *wall, uint32_t tid);
// A thread that was not known; NULL: it cannot be one, or memory is out.
struct hone_wall_thread *hone_wall_add(struct hone_wall *wall, uint32_t pid, uint32_t tid,
                                       uint64_t born_ns, const char *name);
// The same of one that is there already, as /proc names it; born_ns 0: it counts from now on. NULL
// also when it is known.
struct hone_wall_thread *hone_wall_meet(struct hone_wall *wall, uint32_t pid, uint32_t tid,
                                        uint64_t born_ns);
// It ends.
void hone_wall_end(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t time_ns);
// It has ended: its number may mean another one.
void hone_wall_forget(struct hone_wall *wall, struct hone_wall_thread *thread);

// What the kernel has counted of the thread by now. False: that cannot be.
bool hone_wall_counted(struct hone_wall_thread *thread, const struct hone_wall_counts *counts);

// What it has counted by now. False: the thread is gone.
bool hone_wall_read_counts(const struct hone_wall_thread *thread, struct hone_wall_counts *ret);

// From now on the thread is in this state; what was before is taken into account.
void hone_wall_enter(struct hone_wall *wall, struct hone_wall_thread *thread,
                     enum hone_wall_state state, uint64_t time_ns);

// How the thread spent its time since the kernel told of it last; it runs then.
void hone_wall_sum(struct hone_wall *wall, struct hone_wall_thread *thread,
                   const struct hone_draws_sums *sums);
// Asks for that of threads that do not wait, as far as we know; what was told until then is read.
void hone_wall_ask(struct hone_wall *wall, uint64_t until_ns);

// Watches those anew whose events the kernel has ended, if they go on.
void hone_wall_watch_ended(struct hone_wall *wall);

// Writes down what the kernel could not draw until now; returns how much of it is new.
uint64_t hone_wall_count_losses(struct hone_wall *wall);
// Reads what the scheduler told until then.
void hone_wall_read_switches(struct hone_wall *wall, uint64_t until_ns);
// The same with the draws in between.
void hone_wall_read_draws(struct hone_wall *wall, uint64_t until_ns);
// What the scheduler tells; the context is the struct hone_wall.
void hone_wall_event(void *context, const struct hone_switch *event);

// Adds to what was seen: of seen.thread, .stack and .kind, the other numbers.
void hone_wall_seen(struct hone_wall *wall, const struct hone_wall_seen *seen);

// As hone_wall_watch(), hone_wall_tick() and hone_wall_stop(), by polling. `new`: the process has
// just begun.
void hone_wall_poll_open(struct hone_wall *wall);
void hone_wall_poll_close(struct hone_wall *wall);
int hone_wall_poll_watch(struct hone_wall *wall, uint32_t pid, uint64_t began_ns, bool new);
void hone_wall_poll_tick(struct hone_wall *wall, uint64_t now_ns);
// Whether the process has become another program since that was asked last: of its first thread.
bool hone_wall_program_changed(struct hone_wall *wall, struct hone_wall_thread *first);
// What it was is over, and another one begins.
int hone_wall_program_replace(struct hone_wall *wall, uint32_t process);
// The process's threads end, as far as we know them.
void hone_wall_poll_end(struct hone_wall *wall, uint32_t process);
void hone_wall_poll_stop(struct hone_wall *wall);

// Doubles an array until `need` items fit; what is new is zero. False, and wall->status, when
// memory is out.
bool hone_wall_reserve(struct hone_wall *wall, void *array, uint32_t *room, uint64_t need,
                       size_t size);

// Reads where the thread waits. Returns 0, with *ret_kind and *ret_stack (in collected); -EBUSY
// when it does not wait any more; -ESRCH when it is gone; or why it cannot be read.
int hone_wall_look(struct hone_wall *wall, struct hone_wall_thread *thread,
                   enum hone_wait_kind *ret_kind, uint32_t *ret_stack);
// Its stack cannot be read: it is not tried again. Counted, but for a thread that has none any
// more.
void hone_wall_refuse(struct hone_wall *wall, struct hone_wall_thread *thread);

#endif
