#include "session/windows.h"

#include "core/syscall.h"

#include <linux/mman.h>

enum {
    // No kernel's pages are larger, so that places in the file which are multiples of it can be
    // mapped everywhere.
    GRAIN = 64 * 1024,
    // Windows that one step may lead over. What it maps in between is there for a few microseconds,
    // and another thread's malloc() may need the same last room.
    STEP = 16,
    ERRORS = 4096,
};

_Static_assert(HONE_WINDOW_BYTES % GRAIN == 0, "a window begins where pages do");

static size_t bytes_of(const struct hone_windows *windows, uint32_t window)
{
    uint32_t left = windows->chunk_count - window * HONE_WINDOW_CHUNKS;
    return (size_t)(left < HONE_WINDOW_CHUNKS ? left : HONE_WINDOW_CHUNKS) * HONE_CHUNK_BYTES;
}

bool hone_windows_begin(struct hone_windows *windows, unsigned char *memory, size_t bytes,
                        uint32_t chunk_count)
{
    windows->chunk_count = chunk_count;
    uint32_t count = (chunk_count + HONE_WINDOW_CHUNKS - 1) / HONE_WINDOW_CHUNKS;
    for (uint32_t i = 0; i < count; i++) { // not those beyond: they would become memory
        size_t from = (size_t)i * HONE_WINDOW_BYTES;
        bool there = from < bytes && bytes - from >= bytes_of(windows, i);
        atomic_store_explicit(&windows->at[i], there ? memory + from : NULL, memory_order_relaxed);
    }
    return hone_window_at(windows, 0) != NULL;
}

bool hone_windows_can_double(void *mapping)
{
    long copy = hone_syscall5(SYS_mremap, mapping, 0, GRAIN, MREMAP_MAYMOVE, 0);
    if (copy < 0 && copy > -ERRORS)
        return false;
    (void)hone_syscall2(SYS_munmap, copy, GRAIN);
    return true;
}

// Window `to`, from the end of window `from`, which is less. NULL where that is refused.
static unsigned char *step(unsigned char *at, uint32_t from, uint32_t to, size_t bytes)
{
    size_t surplus = GRAIN + (size_t)(to - from - 1) * HONE_WINDOW_BYTES;
    unsigned char *last = at + HONE_WINDOW_BYTES - GRAIN;
    // What is copied from a mapping that is locked is locked and made present, which needs a
    // permission; and the program did not mean ours.
    (void)hone_syscall2(SYS_munlock, at, HONE_WINDOW_BYTES);
    long copy = hone_syscall5(SYS_mremap, last, 0, surplus + bytes, MREMAP_MAYMOVE, 0);
    if (copy < 0 && copy > -ERRORS)
        return NULL;
    (void)hone_syscall2(SYS_munmap, copy, surplus);
    return (unsigned char *)copy + surplus;
}

bool hone_window_map(struct hone_windows *windows, uint32_t window)
{
    uint32_t from = window;
    while (!hone_window_at(windows, --from)) // window 0 is always there
        continue;
    unsigned char *at = hone_window_at(windows, from), *between = NULL;
    while (at && from < window) {
        uint32_t to = window - from > STEP ? from + STEP : window;
        at = step(at, from, to, bytes_of(windows, to));
        if (between)
            (void)hone_syscall2(SYS_munmap, between, HONE_WINDOW_BYTES);
        between = at;
        from = to;
    }
    unsigned char *other = NULL;
    if (at && !atomic_compare_exchange_strong(&windows->at[window], &other, at))
        (void)hone_syscall2(SYS_munmap, at, bytes_of(windows, window)); // somebody was faster
    // Whatever names a chunk in it is written after this: who reads that finds the window.
    atomic_thread_fence(memory_order_seq_cst);
    return at != NULL;
}
