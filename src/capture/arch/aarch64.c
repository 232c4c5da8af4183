#include "capture/arch/registers.h"

// The kernel numbers x0 to x30, sp and pc as DWARF does (arch/arm64/include/uapi/asm/perf_regs.h).
enum { REGISTERS = 33 };

const uint64_t hone_perf_register_mask = (1ull << REGISTERS) - 1;
const unsigned hone_perf_register_count = REGISTERS;

void hone_perf_registers(const uint64_t *sampled, struct hone_registers *ret)
{
    for (unsigned i = 0; i < REGISTERS; i++)
        ret->r[i] = sampled[i];
}
