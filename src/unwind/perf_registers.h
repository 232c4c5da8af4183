// The registers of a perf event's sample, which the kernel numbers in its own way for each machine.
#ifndef HONE_UNWIND_PERF_REGISTERS_H
#define HONE_UNWIND_PERF_REGISTERS_H

#include "unwind/unwind.h"

#include <stdint.h>

// To ask for, a bit for each; a sample holds them in the order of their bits.
extern const uint64_t hone_perf_register_mask;
extern const unsigned hone_perf_register_count;

// By DWARF's numbers, from a sample that holds those of `mask`; what the mask lacks reads 0.
//
// Returns a bit for each that is known.
uint64_t hone_perf_registers(const uint64_t *sampled, uint64_t mask, struct hone_registers *ret);

#endif
