#include "unwind/perf_registers.h"

#include <asm/perf_regs.h>

// In the order of the kernel's numbers.
static const struct {
    uint8_t kernel, dwarf;
} registers[] = {
    {PERF_REG_X86_AX, 0},   {PERF_REG_X86_BX, 3},   {PERF_REG_X86_CX, 2},   {PERF_REG_X86_DX, 1},
    {PERF_REG_X86_SI, 4},   {PERF_REG_X86_DI, 5},   {PERF_REG_X86_BP, 6},   {PERF_REG_X86_SP, 7},
    {PERF_REG_X86_IP, 16},  {PERF_REG_X86_R8, 8},   {PERF_REG_X86_R9, 9},   {PERF_REG_X86_R10, 10},
    {PERF_REG_X86_R11, 11}, {PERF_REG_X86_R12, 12}, {PERF_REG_X86_R13, 13}, {PERF_REG_X86_R14, 14},
    {PERF_REG_X86_R15, 15},
};

#define BIT(name) (1ull << PERF_REG_X86_##name)

const uint64_t hone_perf_register_mask =
    BIT(AX) | BIT(BX) | BIT(CX) | BIT(DX) | BIT(SI) | BIT(DI) | BIT(BP) | BIT(SP) | BIT(IP) |
    BIT(R8) | BIT(R9) | BIT(R10) | BIT(R11) | BIT(R12) | BIT(R13) | BIT(R14) | BIT(R15);
const unsigned hone_perf_register_count = sizeof registers / sizeof registers[0];

uint64_t hone_perf_registers(const uint64_t *sampled, uint64_t mask, struct hone_registers *ret)
{
    *ret = (struct hone_registers){0};
    uint64_t known = 0;
    unsigned at = 0, bit = 0;
    for (unsigned i = 0; i < hone_perf_register_count; i++) {
        for (; bit < registers[i].kernel; bit++)
            at += mask >> bit & 1;
        if (!(mask >> bit & 1))
            continue;
        ret->r[registers[i].dwarf] = sampled[at];
        known |= 1ull << registers[i].dwarf;
    }
    return known;
}
