// aarch64: its registers as DWARF numbers them (AADWARF64, section 4.1). Column 30, x30, is the
// link register: what a call sets and where the return address is until a function saves it. 34
// says whether that is signed; we need not know, for we take the signature off whatever is there.
#ifndef HONE_UNWIND_ARCH_AARCH64_H
#define HONE_UNWIND_ARCH_AARCH64_H

#include <elf.h>
#include <stdint.h>

enum {
    HONE_REGISTER_FP = 29, // x29
    HONE_REGISTER_SP = 31,
    HONE_REGISTER_IP = 32,
    HONE_REGISTER_RETURN = 30, // DWARF's column of the return address
    HONE_REGISTER_COUNT = 33,

    HONE_ELF_MACHINE = EM_AARCH64,
    HONE_CALL_PUSHES = 0,        // it sets x30
    HONE_RETURNS_SIGNED = 1,     // perhaps: pointer authentication
    HONE_PAGE_BYTES_MAX = 65536, // mappings begin at multiples of this
};

// What calls may destroy, a bit for each: x0 to x17, and x18, which some platforms keep.
#define HONE_REGISTERS_CLOBBERED 0x7ffffull

// The address in what a call left to return to. paciasp puts a signature into the bits above those
// of an address of user space: from bit 48 on, for code lies below, also where data may lie higher.
static inline uint64_t hone_arch_code(uint64_t word)
{
    return word & 0xffffffffffff;
}

#endif
