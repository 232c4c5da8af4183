#include "unwind/loader.h"

#include "core/core.h"
#include "core/syscall.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum {
    MOMENT_NS = 50 * 1000,
    // Moments, of some 100 us: asking takes less, but for who waits for a lock that is lost; a fork
    // takes as long as the memory is large.
    ASKING_MAX = 500,
    FORKING_MAX = 2000,
};

static _Atomic uint32_t asking, forking; // threads that are at it
static _Atomic bool asked;               // since the last fork
static __thread uint16_t asking_here;
static __thread bool forking_here;
static bool lost;

// glibc's, from 2.32 on: zero once there has been another thread.
extern char __libc_single_threaded __attribute__((weak));
static enum { NOBODY_SAYS, ALONE, WITH_OTHERS } parent;

static void wait_while(_Atomic uint32_t *count, uint32_t value)
{
    const struct timespec moment = {.tv_nsec = MOMENT_NS};
    (void)hone_syscall6(SYS_futex, count, FUTEX_WAIT_PRIVATE, value, &moment, 0, 0);
}

bool hone_loader_ask(hone_loader_visit *visit, void *context)
{
    if (lost)
        return false;
    asking_here++;
    for (unsigned i = 0;; i++) {
        // Sequential, here and in hone_loader_before_fork(): one of the two sees the other.
        atomic_fetch_add_explicit(&asking, 1, memory_order_seq_cst);
        uint32_t others = atomic_load_explicit(&forking, memory_order_seq_cst);
        if (!others || forking_here || asking_here > 1 || i == FORKING_MAX)
            break;
        atomic_fetch_sub_explicit(&asking, 1, memory_order_seq_cst);
        wait_while(&forking, others);
    }
    (void)dl_iterate_phdr(visit, context);
    atomic_store_explicit(&asked, true, memory_order_relaxed);
    atomic_fetch_sub_explicit(&asking, 1, memory_order_seq_cst);
    asking_here--;
    return true;
}

bool hone_loader_is_lost(void)
{
    return lost;
}

void hone_loader_before_fork(void)
{
    parent = !&__libc_single_threaded ? NOBODY_SAYS : __libc_single_threaded ? ALONE : WITH_OTHERS;
    forking_here = true;
    atomic_fetch_add_explicit(&forking, 1, memory_order_seq_cst);
    // Not for this thread itself, which a handler may have interrupted at it.
    uint32_t now;
    for (unsigned i = 0; i < ASKING_MAX; i++) {
        now = atomic_load_explicit(&asking, memory_order_seq_cst);
        if (now <= asking_here)
            break;
        wait_while(&asking, now);
    }
    // Threads of the program that have waited for us in dlopen() have the lock now, for a moment.
    // They are more than without us: 6 of 100 children of a program that opens and closes a library
    // all the time could not open another one, and 3 without us.
    if (parent != ALONE && atomic_exchange_explicit(&asked, false, memory_order_relaxed))
        wait_while(&forking, atomic_load_explicit(&forking, memory_order_relaxed));
}

void hone_loader_after_fork(void)
{
    if (!forking_here)
        return;
    forking_here = false;
    atomic_fetch_sub_explicit(&forking, 1, memory_order_seq_cst);
}

void hone_loader_after_fork_in_child(bool had_threads)
{
    lost = lost || (parent == NOBODY_SAYS ? had_threads : parent == WITH_OTHERS);
    parent = NOBODY_SAYS;
    forking_here = false;
    atomic_store_explicit(&forking, 0, memory_order_relaxed);
    atomic_store_explicit(&asking, asking_here, memory_order_relaxed);
}
