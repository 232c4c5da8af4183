// The chunks of a session as a process sees them: in windows of 256 KiB, each mapped when the first
// of its chunks is taken. A whole session would count against the program's own limits (RLIMIT_AS,
// RLIMIT_MEMLOCK), be made present by its mlockall(), and lie in its core.
//
//      file:  │ header │ window 0 │ window 1 │ window 2 │ window 3 │ …
//   process:  └──── at start ─────┘                     └─ later ──┘
//
// By then the program may have closed every descriptor, so a window comes from the one before: a
// shared mapping is doubled by mremap() with an old size of 0, and the copy may reach further than
// what is copied. From the end of window j to all of window k:
//
//                   ┌───────────────┬───────────────────┐
//      one mremap() │ 64 KiB of j   │ … window k        │   of which the first part is unmapped
//                   └───────────────┴───────────────────┘
//
// (remap_file_pages() would need no such detour, but the kernel logs its use as deprecated, and it
// heeds mlockall(MCL_FUTURE), which makes it fail where little may be locked.)
//
// Threads: all; of two that map the same window, one unmaps his.  Signals: safe. A window that is
// mapped stays so, and a forked child has its parent's.
#ifndef HONE_SESSION_WINDOWS_H
#define HONE_SESSION_WINDOWS_H

#include "core/core.h"
#include "session/layout.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    // Most processes need no second one, for the reader gives back what it has read. Larger ones
    // would forbid a small program and its children to lock all they have where 8 MiB are the
    // limit, which is the default.
    HONE_WINDOW_CHUNKS = 4,
    HONE_WINDOW_BYTES = HONE_WINDOW_CHUNKS * HONE_CHUNK_BYTES,
    HONE_WINDOWS_MAX = HONE_CHUNKS_MAX / HONE_WINDOW_CHUNKS,
};

struct hone_windows {
    uint32_t chunk_count;                          // of the session
    _Atomic(unsigned char *) at[HONE_WINDOWS_MAX]; // first chunk of each; NULL: not mapped
};

// Takes over chunks that are mapped from `memory` on. False when not even the first window is.
HONE_SIGSAFE bool hone_windows_begin(struct hone_windows *windows, unsigned char *memory,
                                     size_t bytes, uint32_t chunk_count);

// Whether a shared mapping can be doubled at all: not where qemu-user makes the system calls. The
// session is mapped whole then.
HONE_SIGSAFE bool hone_windows_can_double(void *mapping);

// Maps a window that is not. False where that is refused.
HONE_SIGSAFE bool hone_window_map(struct hone_windows *windows, uint32_t window);

static inline unsigned char *hone_window_at(const struct hone_windows *windows, uint32_t window)
{
    // Relaxed: what it points to has its bytes from the kernel, and whoever tells another thread of
    // a chunk has mapped it before (see the fence in hone_window_map()).
    return atomic_load_explicit(&windows->at[window], memory_order_relaxed);
}

// A chunk whose window is mapped.
static inline struct hone_chunk *hone_window_chunk(const struct hone_windows *windows,
                                                   uint32_t index)
{
    return (struct hone_chunk *)(hone_window_at(windows, index / HONE_WINDOW_CHUNKS) +
                                 (size_t)(index % HONE_WINDOW_CHUNKS) * HONE_CHUNK_BYTES);
}

// The place of a heap site by its number. The same, for who has it from hone_writer_take_sites().
static inline struct hone_heap_site *hone_window_site(const struct hone_windows *windows,
                                                      uint32_t site)
{
    enum { SITES = HONE_WINDOW_CHUNKS * HONE_HEAP_SITES_STRIDE };
    _Static_assert(sizeof(struct hone_heap_site) * SITES == HONE_WINDOW_BYTES,
                   "a chunk further is as many numbers further");
    unsigned char *first = hone_window_at(windows, site / SITES) + sizeof(struct hone_chunk);
    return (struct hone_heap_site *)first + site % SITES;
}

#endif
