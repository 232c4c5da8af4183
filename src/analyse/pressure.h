// How much of the CPU time a program pays for its memory: in the allocator, in the system calls
// that get memory from the kernel and give it back, in page faults. By names, from a CPU profile: a
// stack counts once, for the innermost of its frames that says what it is.
//
//     allocator   malloc(), free(), operator new and all below them, whatever the allocator
//     kernel      mmap, munmap, madvise, brk, mremap, whoever called them
//     faults      the kernel's page faults, where the profile has the kernel's frames
//
// Threads: any number for a profile that nobody changes.
#ifndef HONE_ANALYSE_PRESSURE_H
#define HONE_ANALYSE_PRESSURE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_profile;

enum hone_pressure_kind {
    HONE_PRESSURE_NONE,
    HONE_PRESSURE_ALLOCATOR,
    HONE_PRESSURE_KERNEL,
    HONE_PRESSURE_FAULTS,
    HONE_PRESSURE_RECORDER, // the library that recorded it: not the program's
    HONE_PRESSURE_KINDS
};

struct hone_pressure {
    double total;                       // of the profile's values, without the recorder's
    double values[HONE_PRESSURE_KINDS]; // of it
    bool faults_known;                  // false: the profile has no frames of the kernel
    double samples;                     // that stand behind the total; 0: nothing is known
    double share;                       // of allocator, kernel and faults together, with
    double low, high;                   // the limits that chance leaves, 95 of 100 times
};

// Returns 0; -EINVAL with err filled when the profile has no CPU time; -ENOMEM.
int hone_pressure_of(const struct hone_profile *profile, struct hone_pressure *ret,
                     struct hone_error *err);

#endif
