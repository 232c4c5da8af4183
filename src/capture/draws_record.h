// What the program in the kernel (draws.bpf.c) tells beside the registers and the stack of a thread
// that leaves its CPU to wait. Both sides read this file.
#ifndef HONE_CAPTURE_DRAWS_RECORD_H
#define HONE_CAPTURE_DRAWS_RECORD_H

#include <linux/types.h>

// How a thread is watched. Copying much of each stack takes long, and few threads need it.
enum { HONE_DRAWS_SHORT = 1, HONE_DRAWS_WHOLE = 2 };

struct hone_draws_record {
    __s64 call;   // the system call that it is in; -1: none
    __u32 one_in; // it stands for so many waits
    __u32 state;  // of the thread, as the kernel has it
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
    __u32 spare;
};

// Counted there.
struct hone_draws_counts {
    __u64 lost;    // draws that could not be written: the ring is full
    __u64 no_room; // threads that cannot be watched, for there are too many
};

#endif
