// Reading the stack of another process's thread from outside, into the tables of a collector. A
// thread that is blocked is not touched: its place comes from the kernel (stack pointer,
// instruction, system call), the stack from process_vm_readv(). That it stayed blocked is for the
// caller to find out, or else what was read does not count.
#ifndef HONE_CAPTURE_LOOK_H
#define HONE_CAPTURE_LOOK_H

#include "capture/collect.h"
#include "capture/kernel_stack.h"
#include "capture/remote.h"
#include "capture/waits.h"

enum { HONE_LOOK_COPY_BYTES = 64 << 10 };

// What looks work with, whatever the process.
struct hone_look {
    struct hone_collected *collected;
    uint32_t stack_max;
    unsigned char *copy; // of a stack
    uint64_t *addresses;
    uint32_t *places;
    uint64_t bases;    // frame pointers that had to be found on the stack
    uint64_t searched; // stacks of which a caller was searched for
    uint64_t kernels;  // stacks that have frames of the kernel
    uint32_t kernel;   // its module in collected, plus one; 0: not yet
};

// Returns 0 or -ENOMEM; done either way.
int hone_look_init(struct hone_look *look, struct hone_collected *collected, uint32_t stack_max);
void hone_look_done(struct hone_look *look);

// A process that is looked at. All zero but for the pid: nothing was read of it yet.
struct hone_look_process {
    uint32_t pid;
    struct hone_remote *remote; // NULL: not opened yet, or it cannot be
    int refused;                // why not; 0: it was not tried
    bool stale;                 // it may have mapped code since
    uint32_t *modules;          // by the remote's number: in collected, plus one
};

void hone_look_process_done(struct hone_look_process *process);

// Opens it, unless it is. Returns 0 or why it cannot be read.
int hone_look_open(struct hone_look_process *process);

struct hone_look_since {
    uint32_t tid;
    uint64_t turns; // hone_blocked_turns() before the place was read
};

// The stack of a thread that is blocked there, with the kernel's frames below it (NULL: without).
// With `since` it counts if the thread has not run since then; NULL: who asks sees to that. Returns
// 0; -EBUSY: it has run; or why the process cannot be read.
int hone_look_blocked(struct hone_look *look, struct hone_look_process *process,
                      const struct hone_look_since *since, const struct hone_blocked *blocked,
                      const struct hone_kernel_stack *kernel, uint32_t *ret_stack);

// Copies a stack to look->copy, from the stack pointer up, as much as is there. Returns how much.
size_t hone_look_copy(struct hone_look *look, uint32_t pid, uint64_t sp);

// A thread whose registers and stack were copied.
struct hone_look_copy {
    const struct hone_registers *registers;
    const void *stack; // from its stack pointer on
    size_t bytes;
    // It began to wait then: what the copy lacks is read from it, should it still be there.
    // 0: it runs on meanwhile.
    uint32_t waiting;
    bool lacks; // set: the stack goes on after the copy
};

int hone_look_copied(struct hone_look *look, struct hone_look_process *process,
                     struct hone_look_copy *copy, const struct hone_kernel_stack *kernel,
                     uint32_t *ret_stack);

// A stack that somebody else has walked, as in struct hone_record_stack; at most stack_max frames
// are kept. The process has been opened.
uint32_t hone_look_addresses(struct hone_look *look, struct hone_look_process *process,
                             const uint64_t *addresses, uint32_t count, enum hone_stack_end end);

#endif
