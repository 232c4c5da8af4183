// What tests of the walk need to know of x86-64.
#ifndef HONE_UNWIND_ARCH_TEST_X86_64_H
#define HONE_UNWIND_ARCH_TEST_X86_64_H

#include "unwind/unwind.h"

// void (void (*function)(void)): calls it, with a frame pointer and without rules.
static const uint8_t code_with_frame_pointer[] = {
    0x55,             // push %rbp
    0x48, 0x89, 0xe5, // mov %rsp, %rbp
    0xff, 0xd7,       // call *%rdi
    0x5d,             // pop %rbp
    0xc3,             // ret
};

// The same with something else in the frame pointer.
static const uint8_t code_without_frame_pointer[] = {
    0x55,                // push %rbp
    0xbd, 17,   0, 0, 0, // mov $17, %ebp
    0xff, 0xd7,          // call *%rdi
    0x5d,                // pop %rbp
    0xc3,                // ret
};

// What the handler of the fault finds after a call of `target`, which is no code, from `ip`.
static inline void call_into(struct hone_registers *registers, uint64_t target, uint64_t *stack)
{
    stack[0] = registers->r[HONE_REGISTER_IP];
    registers->r[HONE_REGISTER_IP] = target;
    registers->r[HONE_REGISTER_SP] = (uint64_t)stack;
}

#endif
