// What unwinding must know about the machine beyond its register numbers.
#ifndef HONE_UNWIND_ARCH_ARCH_H
#define HONE_UNWIND_ARCH_ARCH_H

#include "unwind/memory.h"

// Whether the instruction before `address` is a call: an address that calls return to. Reads code,
// which may not be there.
HONE_SIGSAFE bool hone_arch_follows_call(struct hone_memory *memory, uint64_t address);

// Where the call before `address` goes, if it says so itself; 0: through a register or table.
HONE_SIGSAFE uint64_t hone_arch_call_target(struct hone_memory *memory, uint64_t address);

// The expression "what fp points to", as compilers write it, with its length.
extern const uint8_t hone_arch_fp_at_fp[3];

#endif
