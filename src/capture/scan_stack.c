#include "capture/scan_threads.h"

enum {
    SMALLEST = 2048,   // stack, of musl's
    AROUND = 64 << 10, // a thread pointer at a stack's end: thread-local storage and accounts
};

// glibc and musl keep where a stack lies in two words side by side. The first one is glibc's
// `stackblock` or musl's `map_base`, the beginning of what ends just behind the account, or musl's
// `stack`, the end of what lies just below it; the second is how long that is.
uint64_t hone_scan_stack_start(const uint64_t *words, size_t count, uint64_t pointer, uint64_t from,
                               uint64_t sp)
{
    for (size_t i = 0; i + 1 < count; i++) {
        uint64_t at = words[i], bytes = words[i + 1], end = at + bytes;
        if (bytes < SMALLEST)
            continue;
        if (at >= from && at <= sp && end > pointer && end - pointer <= AROUND)
            return at;
        if (at > from && at <= pointer && pointer - at <= AROUND && bytes <= at - from &&
            at - bytes <= sp)
            return at - bytes;
    }
    return from;
}
