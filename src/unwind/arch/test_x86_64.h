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

// void hone_test_call_back_busy(void (*function)(void), uint64_t value): calls it with that in the
// frame pointer, as compilers use it where functions have none.
#define HONE_TEST_CALL_BACK_BUSY                                                                   \
    ".text\n.globl hone_test_call_back_busy\n"                                                     \
    ".type hone_test_call_back_busy, @function\n"                                                  \
    "hone_test_call_back_busy:\n.cfi_startproc\n"                                                  \
    "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset %rbp, -16\n"                                   \
    "mov %rsi, %rbp\ncall *%rdi\n"                                                                 \
    "pop %rbp\n.cfi_restore %rbp\n.cfi_def_cfa_offset 8\nret\n"                                    \
    ".cfi_endproc\n.size hone_test_call_back_busy, . - hone_test_call_back_busy\n"

// What the handler of the fault finds after a call of `target`, which is no code, from `ip`.
static inline void call_into(struct hone_registers *registers, uint64_t target, uint64_t *stack)
{
    stack[0] = registers->r[HONE_REGISTER_IP];
    registers->r[HONE_REGISTER_IP] = target;
    registers->r[HONE_REGISTER_SP] = (uint64_t)stack;
}

#endif
