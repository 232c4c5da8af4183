// A counter of the processor that rises at a constant rate, the same on all its cores: some 10 ns
// to read, where the clock takes 25. How many ticks a second has is measured by whoever must know.
//
// Threads, Signals: safe.
#ifndef HONE_CORE_TICKS_H
#define HONE_CORE_TICKS_H

#include "core/core.h"

HONE_SIGSAFE static inline uint64_t hone_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
#error "no counter is known for this machine"
#endif
}

// In a loop that waits for another processor.
HONE_SIGSAFE static inline void hone_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

#endif
