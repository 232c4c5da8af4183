#include "unwind/perf_registers.h"

// The kernel numbers x0 to x30, sp and pc as DWARF does (arch/arm64/include/uapi/asm/perf_regs.h).
enum { REGISTERS = 33 };

const uint64_t hone_perf_register_mask = (1ull << REGISTERS) - 1;
const unsigned hone_perf_register_count = REGISTERS;

uint64_t hone_perf_registers(const uint64_t *sampled, uint64_t mask, struct hone_registers *ret)
{
    *ret = (struct hone_registers){0};
    for (unsigned i = 0, at = 0; i < REGISTERS; i++)
        if (mask >> i & 1)
            ret->r[i] = sampled[at++];
    return mask & hone_perf_register_mask;
}
