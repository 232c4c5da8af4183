// What a blocked thread's registers are, beyond the stack pointer and the instruction: nobody tells
// without stopping it. Those that carry the system call's arguments are known. The frame pointer
// matters where a program's own functions are built with it: it is found on the stack by what the
// function itself says, its prologue and the call before the return address.
#ifndef HONE_CAPTURE_FRAME_BASE_H
#define HONE_CAPTURE_FRAME_BASE_H

#include "capture/remote.h"
#include "capture/waits.h"

// Fills in what the kernel told. Returns a bit for each register that is known.
uint64_t hone_blocked_registers(const struct hone_blocked *blocked, struct hone_registers *ret);

// A copy of the stack from `low` up, and the process that it is of.
struct hone_frame_stack {
    pid_t pid;
    const unsigned char *copy;
    uint64_t low;
    size_t size;
};

// The frame pointer of the function at `address`, whose stack pointer is `sp` there, and whose
// rules count from the frame pointer. False: there is no place of which we are sure.
bool hone_frame_base_find(struct hone_remote *remote, const struct hone_frame_stack *stack,
                          uint64_t address, uint64_t sp, uint64_t *ret_fp);

#endif
