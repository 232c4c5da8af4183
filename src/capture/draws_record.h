// What the program in the kernel (draws.bpf.c) tells: beside the registers and the stack of a
// thread that leaves its CPU to wait, and how it spends its time. Both sides read this file.
#ifndef HONE_CAPTURE_DRAWS_RECORD_H
#define HONE_CAPTURE_DRAWS_RECORD_H

#include <linux/types.h>

struct hone_draws_record {
    __s64 call;   // the system call that it is in; -1: none
    __u32 one_in; // it stands for so many waits
    __u32 state;  // of the thread, as the kernel has it
    __u32 sure;   // 1: it was drawn for certain, for its thread waits seldom
    __u32 soon;   // 1: what it waits for has to be looked at soon
};

enum hone_draws_state {
    HONE_DRAWS_UNKNOWN, // it has not come to or left a CPU since it is watched
    HONE_DRAWS_RUNNING,
    HONE_DRAWS_PREEMPTED,
    HONE_DRAWS_BLOCKED,
};

// How a thread spent its time from then on, until from_ns + run_ns + preempted_ns + short_ns.
struct hone_draws_sums {
    __u64 from_ns;
    __u64 run_ns, preempted_ns;
    __u64 short_ns; // in blocks that nothing else tells of
    __u32 shorts;   // and how many
    // For the program alone: all its waits would have been up to then, were it one that waits
    // seldom; in units of 2^20 ns. Here it takes no room.
    __u32 waits_ms;
};

// A thread that is watched. In the kernel's table it has 56 bytes of the table's own before it: so
// what changes in each switch is in one line of the cache, in which no other thread's is.
struct hone_draws_thread {
    __u32 over;   // 1: it is on its way out; its number may go on as another thread of its process
    __u32 called; // for the block that began then: lower bits of since_ns
    __u64 since_ns;              // of the state
    __u64 on_ns;                 // its time on a CPU, as the kernel counted it then
    struct hone_draws_sums sums; // since it was told of last
    __u32 block_count;           // its blocks, as the kernel counted them then
    __u16 state;                 // enum hone_draws_state
    __u16 known;                 // enum hone_draws_known, of its block
};

enum hone_draws_known {
    HONE_DRAWS_TOLD = 1,  // when it began
    HONE_DRAWS_DRAWN = 2, // and where, not by chance: nobody needs to look
};

enum hone_draws_told {
    HONE_DRAWS_COMES,  // to a CPU, from a block of which was told
    HONE_DRAWS_GOES,   // off it, preempted
    HONE_DRAWS_BLOCKS, // it begins to wait
    HONE_DRAWS_WAITED, // it comes from a block that was told by nobody, and long
    HONE_DRAWS_CLOSES, // it runs, and is about to end or has become another program
};

// What is told of a thread, and how it spent its time since it was told of last. A thread that
// waits often is told of once in a while.
struct hone_draws_switch {
    __u32 tid, pid;
    __u32 what;    // enum hone_draws_told
    __u32 leaving; // 1: it is on its way out
    __u64 time_ns;
    struct hone_draws_sums sums;
};

// What the kernel counts of a thread that has ended: that it was on a CPU, and waited for one.
struct hone_draws_ended {
    __u64 run_ns, delay_ns;
};

// Set from outside while it runs.
struct hone_draws_settings {
    __u32 one_in;    // of so many waits one is drawn
    __u32 everybody; // 1: whoever comes along is watched, but threads of the kernel
    __u32 namespace; // whose numbers of threads are meant, by its inode; 0: the first one's
    __u32 switches;  // 1: they are told
    __u64 tell_ns;   // a thread that blocks is told of when that was so long ago,
    __u64 long_ns;   // and a block that was so long in any case
    __u32 sure_ms;   // a thread that waits less often is drawn for certain; 0: none is
    __u32 calm;      // 1: call when something cannot wait; who calls takes that back
    __u32 turn;      // changes when what was drawn is read,
    __u32 room;      // of which no more than that is drawn in between: the rings would be full
    __u32 may_wait;  // and no more than that can wait to be read: one ring might be
};

// Where whoever reads all this looks seldom: threads of which a block that lasts is called for.
enum { HONE_DRAWS_LISTED = 64, HONE_DRAWS_SEARCH_NS = 4000000 };

struct hone_draws_list {
    __u64 late_ns; // when it lasts; 0: none is called for
    __u32 count;
    __u32 tids[HONE_DRAWS_LISTED];
};

// Counted there.
struct hone_draws_counts {
    __u64 lost;         // draws that could not be written: the ring is full
    __u64 passed;       // of those, by chance, which stand for others
    __u64 no_room;      // threads that cannot be watched, for there are too many
    __u64 sure_ns;      // when what was drawn for certain would have been at its rate
    __u32 turn, unread; // stacks that were drawn since that turn began
    __u64 search_ns;    // when it is looked next for blocks that are late, while not each is drawn
    __u64 lull_ns;      // the end of the last time then that nobody came by for a while
};

#endif
