// x86-64: its registers as DWARF numbers them (System V psABI, figure 3.36).
#ifndef HONE_UNWIND_ARCH_X86_64_H
#define HONE_UNWIND_ARCH_X86_64_H

#include <elf.h>
#include <stdint.h>

enum {
    HONE_REGISTER_FP = 6, // rbp
    HONE_REGISTER_SP = 7, // rsp
    HONE_REGISTER_IP = 16,
    HONE_REGISTER_RETURN = 16, // DWARF's column of the return address
    HONE_REGISTER_COUNT = 17,

    HONE_ELF_MACHINE = EM_X86_64,
    HONE_CALL_PUSHES = 1,       // a call leaves the return address just below its caller's sp
    HONE_RETURNS_SIGNED = 0,    // no pointer authentication
    HONE_PAGE_BYTES_MAX = 4096, // mappings begin at multiples of this
};

// What calls may destroy, a bit for each: rax rdx rcx rsi rdi r8 to r11.
#define HONE_REGISTERS_CLOBBERED 0xf3full

// The address in what a call left to return to.
static inline uint64_t hone_arch_code(uint64_t word)
{
    return word;
}

#endif
