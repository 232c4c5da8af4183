// The registers of a perf sample, which the kernel numbers in its own way for each machine.
#ifndef HONE_CAPTURE_ARCH_REGISTERS_H
#define HONE_CAPTURE_ARCH_REGISTERS_H

#include "unwind/unwind.h"

#include <stdint.h>

// To ask for, a bit for each; a sample holds them in the order of their bits.
extern const uint64_t hone_perf_register_mask;
extern const unsigned hone_perf_register_count;

// By DWARF's numbers.
void hone_perf_registers(const uint64_t *sampled, struct hone_registers *ret);

#endif
