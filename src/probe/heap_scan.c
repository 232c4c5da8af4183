// Leaks are looked for from outside: at its end the process says where its tables lie and waits
// while its memory is read. Nothing here looks at a block.
//
// The wait ends when the scan is over, when the scanner has died (the kernel tells), and when
// nothing has been heard from him for a while.
#include "probe/heap.h"

#include "core/clock.h"
#include "probe/areas.h"
#include "probe/heap_exact.h"
#include "probe/heap_keeper.h"
#include "probe/lock_order.h"

#include <errno.h>
#include <linux/futex.h>

enum {
    LOOK_MS = 20,       // until the scanner is looked after,
    CROWD_MS = 100,     // and for a place, where more processes end at once than there are
    SILENT_MS = 2000,   // without a sign of life
    LONGEST_MS = 120000 // that a process waits, others before it
};

static struct hone_scan_places places;
static _Atomic uint32_t asked; // the epoch in which we did: a forked child is another process

static bool has_scanner(const struct hone_session_header *header)
{
    return atomic_load_explicit(&header->scanner, memory_order_relaxed) & FUTEX_TID_MASK;
}

static struct hone_scan *take_slot(struct hone_session_header *header)
{
    for (int i = 0; i < HONE_SCANS; i++) {
        uint32_t is_free = HONE_SCAN_FREE;
        if (atomic_compare_exchange_strong_explicit(&header->scans[i].state, &is_free,
                                                    HONE_SCAN_TAKEN, memory_order_acquire,
                                                    memory_order_relaxed))
            return &header->scans[i];
    }
    return NULL;
}

static void futex_wake(_Atomic uint32_t *at, int count)
{
    (void)hone_syscall6(SYS_futex, (long)at, FUTEX_WAKE, count, 0, 0, 0);
}

void hone_heap_tell_own(struct hone_scan_places *ret, const void *data, size_t bytes)
{
    if (!hone_has_hooks && ret->own_count < HONE_SCAN_OWN)
        ret->own[ret->own_count++] = (struct hone_scan_range){(uintptr_t)data, bytes};
}

static void tell(void)
{
    places = (struct hone_scan_places){
        .magic = HONE_SCAN_MAGIC,
        .started_ns = hone_probe.writer.process->started_ns,
        .epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed),
        .exact = hone_exact_is_on(),
    };
    hone_blocks_tell(&places);
    hone_heap_live_tell(&places);
    hone_keepers_tell(&places);
    hone_heap_tell_early(&places);
    hone_areas_tell(&places);
    hone_lock_order_tell(&places.apart[0]);
    hone_maps_tell(&places.apart[1]);
}

// What tells that it is no use to wait any longer.
struct patience {
    uint64_t began_ns, heard_ns;
    uint32_t beat;
};

static struct patience patience_for(const struct hone_session_header *header)
{
    uint64_t now_ns = hone_now_ns();
    return (struct patience){now_ns, now_ns,
                             atomic_load_explicit(&header->scan_beat, memory_order_relaxed)};
}

static bool is_over(struct patience *patience, const struct hone_session_header *header)
{
    uint64_t now_ns = hone_now_ns();
    uint32_t beat = atomic_load_explicit(&header->scan_beat, memory_order_relaxed);
    if (beat != patience->beat)
        patience->heard_ns = now_ns;
    patience->beat = beat;
    return !has_scanner(header) || now_ns - patience->heard_ns > SILENT_MS * 1000000ull ||
           now_ns - patience->began_ns > LONGEST_MS * 1000000ull;
}

static void futex_wait(const _Atomic uint32_t *at, uint32_t value, long milliseconds)
{
    const struct timespec time = {.tv_nsec = milliseconds * 1000000};
    (void)hone_syscall6(SYS_futex, (long)at, FUTEX_WAIT, value, (long)&time, 0, 0);
}

static struct hone_scan *wait_for_slot(struct hone_session_header *header,
                                       struct patience *patience)
{
    struct hone_scan *slot;
    for (;;) {
        uint32_t left = atomic_load_explicit(&header->scan_left, memory_order_acquire);
        if ((slot = take_slot(header)) || is_over(patience, header))
            return slot;
        futex_wait(&header->scan_left, left, CROWD_MS);
    }
}

// Whether the place is still ours: when the scan is over another process may have it.
static bool is_waited_for(const struct hone_scan *slot, uint32_t *ret_state)
{
    *ret_state = atomic_load_explicit(&slot->state, memory_order_acquire);
    return *ret_state >= HONE_SCAN_ASKED &&
           atomic_load_explicit(&slot->process, memory_order_relaxed) ==
               hone_probe.writer.process_chunk;
}

static void wait_for(struct hone_session_header *header, struct hone_scan *slot,
                     struct patience *patience)
{
    uint32_t state;
    while (is_waited_for(slot, &state)) {
        if (is_over(patience, header)) {
            (void)atomic_compare_exchange_strong(&slot->state, &state, HONE_SCAN_FREE);
            return;
        }
        futex_wait(&slot->state, state, LOOK_MS);
    }
}

void hone_heap_scan(void)
{
    struct hone_session_header *header = hone_probe.writer.header;
    if (!header->config.leaks || !hone_heap_is_wanted() || !has_scanner(header) ||
        atomic_load_explicit(&header->stop, memory_order_relaxed))
        return;
    uint32_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    if (atomic_exchange_explicit(&asked, epoch, memory_order_relaxed) == epoch)
        return;
    int saved = errno;
    struct patience patience = patience_for(header); // for both waits
    struct hone_scan *slot = wait_for_slot(header, &patience);
    if (!slot) {
        atomic_fetch_add_explicit(&header->scans_refused, 1, memory_order_relaxed);
        errno = saved;
        return;
    }
    tell();
    atomic_store_explicit(&slot->process, hone_probe.writer.process_chunk, memory_order_relaxed);
    atomic_store_explicit(&slot->places, (uintptr_t)&places, memory_order_relaxed);
    // Release: what is asked before that it is. Pairs with the scanner's acquire.
    atomic_store_explicit(&slot->state, HONE_SCAN_ASKED, memory_order_release);
    atomic_fetch_add_explicit(&header->scan_bell, 1, memory_order_release);
    futex_wake(&header->scan_bell, 1);
    wait_for(header, slot, &patience);
    errno = saved;
}
