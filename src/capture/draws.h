// Waits of other threads, drawn as they begin, by a program in the kernel (eBPF, draws.bpf.c): one
// in so many, each with the registers of its thread and a copy of its stack, taken by the kernel as
// it does for perf events. It also sums up how threads spend their time, and tells of the switches
// that somebody has to know of (switches.h).
//
//     hone_draws_open(&options, &draws, &err);
//     hone_draws_watch(draws, tid);              // and all threads and processes that it starts
//     while (recording) {
//         hone_draws_look(draws);
//         while (hone_draws_next(draws, until_ns, &draw))
//             …                                  // its pointers are valid until the next call
//     }
//     hone_draws_close(draws);
//
// Why eBPF and not a perf event on context switches, which copies stacks, too: that event knows
// neither the system call nor whether the thread waits or was preempted, takes every n-th switch,
// which keeps step with what a program does in turn, and needs two descriptors for each thread and
// CPU, whose rate cannot be changed once threads inherited them. Why not at the end of a wait, when
// its length is known: that takes a hook in the thread that comes back (a kprobe, or a trampoline
// on schedule()), which many kernels do not have, while the tracepoint is in all of them. What both
// cost is in bench/waits.
//
// Needs root (CAP_BPF and CAP_PERFMON), and Linux 5.15 with BTF.
// Threads: one at a time.
#ifndef HONE_CAPTURE_DRAWS_H
#define HONE_CAPTURE_DRAWS_H

#include "base/error.h"
#include "capture/draws_record.h"
#include "unwind/unwind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hone_draws;

struct hone_draws_options {
    uint64_t memory_bytes; // of the kernel's rings, at most
    bool kernel;           // the kernel's frames, too
    uint64_t tell_ns;      // a thread that waits often is told of so often,
    uint64_t long_ns;      // and a block that is so long in any case
    uint64_t sure_ns;      // who waits less often is drawn each time; 0: nobody
};

struct hone_draw {
    uint32_t pid, tid;
    uint64_t time_ns; // when it left its CPU, monotonic
    uint32_t one_in;  // it stands for so many
    bool sure;        // one, of a thread that waits seldom while others are thinned out
    bool soon;        // it is one that cannot wait to be read
    int64_t call;     // the system call that it is in; -1: none
    bool stopped;     // it does not wait: a signal or a tracer has stopped it
    uint64_t arguments[6];
    struct hone_registers registers;
    const void *stack; // from its stack pointer on; NULL: the kernel had none for us
    size_t stack_bytes;
    bool stack_is_full;    // it has as much as was asked for: there may be more
    const uint64_t *chain; // of the kernel, innermost first, with perf's marks
    uint64_t chain_count;
};

int hone_draws_open(const struct hone_draws_options *options, struct hone_draws **ret,
                    struct hone_error *err);
void hone_draws_close(struct hone_draws *draws);

// Watches a thread; all that there are and will be. Returns 0; -ENOSPC: there are too many.
int hone_draws_watch(struct hone_draws *draws, pid_t tid);
int hone_draws_watch_all(struct hone_draws *draws);

// The number is no thread's any more.
void hone_draws_forget(struct hone_draws *draws, uint32_t tid);

// Of a thread that is watched, as much of the stack as the kernel can copy, from now on. For one
// that was found to need it.
void hone_draws_watch_whole(struct hone_draws *draws, pid_t tid);

// From now on what happens on the CPU is told by records of an event that the caller has opened
// there: samples of PERF_COUNT_SW_BPF_OUTPUT, each with a struct hone_draws_switch. Returns 0 or
// -errno.
int hone_draws_tell_switches(struct hone_draws *draws, uint32_t cpu, int event);

// How a thread that is watched has spent its time since it was told of last, and what it does now.
// Should it go on meanwhile, that may be half of what was and half of what is. False: it is not
// watched.
bool hone_draws_thread(const struct hone_draws *draws, uint32_t tid, struct hone_draws_thread *ret);

// From now on one in so many is drawn, but of a thread that waits seldom each is; at first,
// all are.
void hone_draws_set_part(struct hone_draws *draws, uint32_t one_in);

// Takes notice of what was drawn until now; the draws of that until a time, in its order.
void hone_draws_look(struct hone_draws *draws);
bool hone_draws_next(struct hone_draws *draws, uint64_t until_ns, struct hone_draw *ret);

// Whoever looks often wakes up often, which a program that uses all CPUs feels. So who has seen
// nothing for a while that could not wait may ask to be called, once, as soon as there is anything
// of that: the descriptor can be read then, and hone_draws_called() is true. What can wait is when
// a thread begins to wait for a futex, or to sleep, in a process that is settled; nobody else comes
// or goes, and the rings have room for what was drawn since the last look. Of threads in a list
// (NULL: none), a wait cannot of which no stack was drawn for certain, once it has lasted late_ns
// and up to HONE_DRAWS_SEARCH_NS: that is found out where other waits begin, so where few do it may
// be told late.
int hone_draws_descriptor(const struct hone_draws *draws);
void hone_draws_be_calm(struct hone_draws *draws, const struct hone_draws_list *list);
bool hone_draws_called(struct hone_draws *draws);
// All that is needed for stacks of that process is at hand, should it end. Or it is not any more.
void hone_draws_settle(struct hone_draws *draws, uint32_t pid, bool settled);

// What the kernel counted of a thread that has ended, once: how long it was on a CPU and waited for
// one. False: it was not watched, or that is long ago.
bool hone_draws_ended(struct hone_draws *draws, uint32_t tid, uint64_t *ret_run_ns,
                      uint64_t *ret_delay_ns);

// Until when it was quiet last while not each wait was drawn: nobody began to wait for some 10 ms.
uint64_t hone_draws_lull_ns(const struct hone_draws *draws);

// Drawn, and not written: the rings were full; of those, by chance. Threads that are not watched:
// there are too many.
void hone_draws_losses(const struct hone_draws *draws, uint64_t *ret_lost, uint64_t *ret_passed,
                       uint64_t *ret_no_room);

// --- arch/ ---------------------------------------------------------------------------------------

// The registers of a system call's arguments, by DWARF's numbers.
extern const uint8_t hone_call_arguments[6];

#endif
