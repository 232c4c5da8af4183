// The kernel's frames below a program's stack, as addresses that name themselves by /proc/kallsyms.
//
// They come in two ways: a perf sample brings addresses between marks, and of a thread that waits
// /proc/PID/task/TID/stack tells function and offset, whose addresses the kernel keeps to itself.
// All are return addresses, less one, so that they lie in the call; but for the innermost one of a
// sample, which is where the thread was interrupted.
//
// Who waits has the same innermost frames whatever it waits for: the switch to another thread and
// the scheduler's functions that asked for it, as schedule_timeout(). They are left out, so that
// the innermost frame says what is waited in: futex_do_wait, ep_poll, pipe_read.
//
// Threads: one at a time.
#ifndef HONE_CAPTURE_KERNEL_STACK_H
#define HONE_CAPTURE_KERNEL_STACK_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// The kernel's half of the address space, but for what lies at its very end.
#define HONE_KERNEL_START 0xffff800000000000u
#define HONE_KERNEL_END 0xffffffffff600000u

enum {
    HONE_KERNEL_FRAMES_MAX = 64,
    HONE_KERNEL_STACK_TEXT = 8192, // of all of them, and more
};

// Innermost first.
struct hone_kernel_stack {
    uint32_t count;
    uint64_t frames[HONE_KERNEL_FRAMES_MAX];
};

// What is known of the kernel's functions.
struct hone_kernel_names;

// Reads a file like /proc/kallsyms: until all of the scheduler is known, for it is long. The rest
// is read when a stack is asked for that comes as names. Returns 0; -EACCES when it hides the
// addresses; or why it cannot be read.
int hone_kernel_names_open(const char *path, struct hone_kernel_names **ret,
                           struct hone_error *err);
void hone_kernel_names_close(struct hone_kernel_names *names);

// The kernel's part of a sample's chain, with perf's marks; at most `room` frames. Returns how
// many.
uint32_t hone_kernel_stack_of_chain(const uint64_t *chain, uint64_t count, uint64_t *ret,
                                    uint32_t room);

// The same of a thread that is about to wait, without what all of these have in common. Empty when
// that is not there: then it is not known where the kernel was.
void hone_kernel_stack_of_wait(const struct hone_kernel_names *names, const uint64_t *chain,
                               uint64_t count, struct hone_kernel_stack *ret);

// What /proc/PID/task/TID/stack says. Empty when the thread runs, or may not be asked. Its frames
// are not addresses yet, but numbers below HONE_KERNEL_START that stand for them: to look names up
// takes longer than the program may be left alone.
void hone_kernel_stack_read(struct hone_kernel_names *names, uint32_t pid, uint32_t tid,
                            struct hone_kernel_stack *ret);
// The address that such a number stands for; of a name that is not there, HONE_KERNEL_START.
uint64_t hone_kernel_names_find(struct hone_kernel_names *names, uint64_t number);
// That text. False: the thread runs, or may not be asked.
bool hone_kernel_stack_text(uint32_t pid, uint32_t tid, char ret[HONE_KERNEL_STACK_TEXT]);
// Such a text.
void hone_kernel_stack_parse(struct hone_kernel_names *names, const char *text,
                             struct hone_kernel_stack *ret);

#endif
