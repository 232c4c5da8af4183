// What unwinding must know about the machine beyond its register numbers.
#ifndef HONE_UNWIND_ARCH_ARCH_H
#define HONE_UNWIND_ARCH_ARCH_H

#include "unwind/memory.h"

// Whether the instruction before `address` is a call: an address that calls return to. Reads code,
// which may not be there.
HONE_SIGSAFE bool hone_arch_follows_call(struct hone_memory *memory, uint64_t address);

// Where the call before `address` goes, if it says so itself; 0: through a register or table.
HONE_SIGSAFE uint64_t hone_arch_call_target(struct hone_memory *memory, uint64_t address);

// Where that call leads in the end: through a linker's stub or a table of addresses; 0: unknown.
HONE_SIGSAFE uint64_t hone_arch_call_reaches(struct hone_memory *memory, uint64_t address);

// Where a function goes on that does little but jump there; 0: it does not. Only looks for a jump
// near its beginning, so the answer may be wrong.
HONE_SIGSAFE uint64_t hone_arch_jumps_on(struct hone_memory *memory, uint64_t address);

// Whether signal handlers return to `address` and its rules do not say so. If so, the registers of
// the interrupted code as they lie above `sp` there, in DWARF's order.
HONE_SIGSAFE bool hone_arch_signal_frame(struct hone_memory *memory, uint64_t address, uint64_t sp,
                                         uint64_t *ret_registers);

// What code without rules has pushed before `address`, where it is known: linkers' stubs, in bytes.
HONE_SIGSAFE uint64_t hone_arch_stub_pushed(struct hone_memory *memory, uint64_t address);

// How what is left of a function returns, as rules would say it at some address.
struct hone_way_out {
    bool by_fp;    // the CFA is found by fp; else by sp
    int32_t cfa;   // from that
    int32_t fp_at; // where fp is saved, from the CFA; 0: it is as it was
};

struct hone_code_range {
    uint64_t low, high;
};

// Finds that out for code without rules, by following it from `address`, where an instruction
// begins, as far as it stays in `range`; `called`: the instruction before was a call. `*left` is how
// many instructions may be looked at, and grows less.
// False: it does not return, or not as can be told.
HONE_SIGSAFE bool hone_arch_way_out(struct hone_memory *memory, uint64_t address, bool called,
                                    const struct hone_code_range *range, unsigned *left,
                                    struct hone_way_out *ret);

// The expression "what fp points to", as compilers write it, with its length.
extern const uint8_t hone_arch_fp_at_fp[3];

#endif
