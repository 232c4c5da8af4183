// core: what may run anywhere, even in a signal handler inside somebody else's process: raw system
// calls, clocks, hashing, guarded loads. It promises no lock, no allocation, no thread-local
// storage, errno untouched and bounded time, and it needs no libc function but clock_gettime().
// It leaves to base/ whatever only our own processes do.
#ifndef HONE_CORE_CORE_H
#define HONE_CORE_CORE_H

#include <stdint.h>

// On a prototype: no lock, no allocation, errno kept, bounded time. A build check compares the
// undefined symbols of such objects with a short list.
#define HONE_SIGSAFE

// What libhone.so exports; everything else is hidden.
#define HONE_EXPORT __attribute__((visibility("default")))

#define HONE_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define HONE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define HONE_ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#endif
