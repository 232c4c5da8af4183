// First periods of short threads. A thread inherits its perf event with a whole period left, so one
// that uses less CPU time than that is never sampled, however many there are. Where such threads
// matter, new ones draw when to be sampled first, from a whole period: then each moment of a thread
// has the same chance, and a sample stands for a period.
//
// Most of them end long before the moment that they drew, and their event, 10 us, would be for
// nothing. So moments beyond the life that such threads mostly had count in one thread of
// HONE_DRAWN_RARELY, and for so many periods there.
#ifndef HONE_PROBE_DRAWN_H
#define HONE_PROBE_DRAWN_H

#include "core/core.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { HONE_DRAWN_RARELY = 16 };

struct hone_drawn {
    uint64_t first_ns; // CPU time until the sample, 1 to a period
    uint32_t periods;  // that it stands for
};

// Threads that ended without a sample.
struct hone_drawn_account {
    _Atomic uint64_t count, used_ns;
    _Atomic uint64_t state; // of the draws
};

// Threads: any.  Signals: safe.
HONE_SIGSAFE void hone_drawn_ended(struct hone_drawn_account *account, uint64_t used_ns);

// What a new thread draws. False: nothing, for short threads are few, have used less than a
// hundredth of `sampled_ns`, which samples stand for, or it drew a moment that counts elsewhere.
HONE_SIGSAFE bool hone_drawn_first(struct hone_drawn_account *account, uint64_t period_ns,
                                   uint64_t sampled_ns, struct hone_drawn *ret);

#endif
