// What unwinding must know about the machine beyond its register numbers.
#ifndef HONE_UNWIND_ARCH_ARCH_H
#define HONE_UNWIND_ARCH_ARCH_H

#include "unwind/memory.h"

// Whether the instruction before `address` is a call: an address that calls return to. Reads code,
// which may not be there.
HONE_SIGSAFE bool hone_arch_follows_call(uint64_t address);

#endif
