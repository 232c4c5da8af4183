// One instruction of x86-64, as far as is needed to follow code: how long it is and its operands.
#ifndef HONE_UNWIND_ARCH_CODE_X86_64_H
#define HONE_UNWIND_ARCH_CODE_X86_64_H

#include "core/core.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HONE_CODE_BYTES_MAX = 15, // of one instruction
    HONE_CODE_TWO = 0x100,    // opcodes behind 0f
    HONE_CODE_OTHER = 0x200,  // behind 0f38, 0f3a, VEX or EVEX: no more is told of them
    HONE_CODE_R = 4,          // bits of rex
    HONE_CODE_X = 2,
    HONE_CODE_B = 1,
    HONE_CODE_W = 8,
};

struct hone_code {
    uint8_t size;
    uint8_t rex, mod, reg, rm; // without the bits of rex
    uint8_t sib;
    bool short_operand; // of 16 bits
    uint16_t opcode;
    int32_t displacement;
    int32_t immediate; // of up to 32 bits
};

// Reads the instruction at the beginning of `size` bytes. False: it is none, or longer than that.
HONE_SIGSAFE bool hone_code_read(const uint8_t *code, size_t size, struct hone_code *ret);

#endif
