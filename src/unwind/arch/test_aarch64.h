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

// What the handler of the fault finds after a call of `target`, which is no code, from `ip`.
static inline void call_into(struct hone_registers *registers, uint64_t target, uint64_t *stack)
{
    stack[0] = registers->r[HONE_REGISTER_IP]; // where the test looks for it
    registers->r[HONE_REGISTER_RETURN] = registers->r[HONE_REGISTER_IP];
    registers->r[HONE_REGISTER_IP] = target;
}

#endif
