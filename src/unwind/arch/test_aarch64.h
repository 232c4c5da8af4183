// What tests of the walk need to know of aarch64.
#ifndef HONE_UNWIND_ARCH_TEST_AARCH64_H
#define HONE_UNWIND_ARCH_TEST_AARCH64_H

#include "unwind/unwind.h"

// void (void (*function)(void)): calls it, with a frame pointer and without rules.
static const uint8_t code_with_frame_pointer[] = {
    0xfd, 0x7b, 0xbd, 0xa9, // stp x29, x30, [sp, -48]!
    0xfd, 0x03, 0x00, 0x91, // mov x29, sp
    0x00, 0x00, 0x3f, 0xd6, // blr x0
    0xfd, 0x7b, 0xc3, 0xa8, // ldp x29, x30, [sp], 48
    0xc0, 0x03, 0x5f, 0xd6, // ret
};

// The same with something else in the frame pointer.
static const uint8_t code_without_frame_pointer[] = {
    0xfd, 0x7b, 0xbd, 0xa9, // stp x29, x30, [sp, -48]!
    0x3d, 0x02, 0x80, 0xd2, // mov x29, 17
    0x00, 0x00, 0x3f, 0xd6, // blr x0
    0xfd, 0x7b, 0xc3, 0xa8, // ldp x29, x30, [sp], 48
    0xc0, 0x03, 0x5f, 0xd6, // ret
};

// void hone_test_call_back_busy(void (*function)(void), uint64_t value): calls it with that in the
// frame pointer, as compilers may use it where functions have none.
#define HONE_TEST_CALL_BACK_BUSY                                                                   \
    ".text\n.globl hone_test_call_back_busy\n"                                                     \
    ".type hone_test_call_back_busy, %function\n"                                                  \
    "hone_test_call_back_busy:\n.cfi_startproc\n"                                                  \
    "stp x29, x30, [sp, -16]!\n.cfi_def_cfa_offset 16\n"                                           \
    ".cfi_offset 29, -16\n.cfi_offset 30, -8\n"                                                    \
    "mov x29, x1\nblr x0\n"                                                                        \
    "ldp x29, x30, [sp], 16\n.cfi_restore 29\n.cfi_restore 30\n.cfi_def_cfa_offset 0\nret\n"       \
    ".cfi_endproc\n.size hone_test_call_back_busy, . - hone_test_call_back_busy\n"

// What the handler of the fault finds after a call of `target`, which is no code, from `ip`.
static inline void call_into(struct hone_registers *registers, uint64_t target, uint64_t *stack)
{
    stack[0] = registers->r[HONE_REGISTER_IP]; // where the test looks for it
    registers->r[HONE_REGISTER_RETURN] = registers->r[HONE_REGISTER_IP];
    registers->r[HONE_REGISTER_IP] = target;
}

#endif
