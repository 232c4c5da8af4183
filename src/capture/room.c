#include "capture/room.h"

#include "core/clock.h"
#include "core/syscall.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum {
    // Who is asked for more again within this time keeps twice as much, up to 64 MiB: programs were
    // seen to take 100 MB in a second, while they start.
    SOON_MS = 100,
    AHEAD_MAX = 1024,
    // Where every block is counted: many threads may begin before we get a processor, and what
    // finds no room then is not in the total either.
    AHEAD_EXACT = 256,
    WAIT_MS = 500, // what is used without a word, after an error
};

struct hone_room {
    pthread_t thread;
    struct hone_session *session;
    _Atomic bool stop;
};

static void wait_for_bell(struct hone_session_header *header, uint32_t bell)
{
    const struct timespec wait = {.tv_nsec = WAIT_MS * 1000000L};
    (void)hone_syscall6(SYS_futex, (long)&header->room_bell, FUTEX_WAIT, bell, (long)&wait, 0, 0);
}

// The bell is to be rung when a quarter of what is free now is used: we may have to wait for a
// processor.
static void arm(struct hone_session_header *header, uint32_t ahead)
{
    uint32_t backed = atomic_load_explicit(&header->backed_chunks, memory_order_relaxed);
    uint32_t free = ahead / 4 * 3;
    bool more = backed < header->chunk_count && backed > free;
    atomic_store_explicit(&header->room_low, more ? backed - free : 0, memory_order_release);
}

static void *keep(void *argument)
{
    struct hone_room *room = argument;
    struct hone_session_header *header = room->session->header;
    uint32_t ahead = HONE_SESSION_AHEAD;
    uint64_t rung_ns = 0;
    while (!atomic_load_explicit(&room->stop, memory_order_relaxed)) {
        uint32_t bell = atomic_load_explicit(&header->room_bell, memory_order_acquire);
        if (ahead < AHEAD_EXACT &&
            atomic_load_explicit(&header->heap_rate, memory_order_relaxed) == 1)
            ahead = AHEAD_EXACT;
        if (!hone_session_taken(room->session) && hone_session_back(room->session, ahead) == 0)
            arm(header, ahead);
        wait_for_bell(header, bell);
        uint64_t now_ns = hone_now_ns();
        if (atomic_load_explicit(&header->room_bell, memory_order_relaxed) == bell)
            continue;
        if (now_ns - rung_ns < SOON_MS * 1000000ull && ahead < AHEAD_MAX)
            ahead *= 2;
        rung_ns = now_ns;
    }
    return NULL;
}

int hone_room_start(struct hone_session *session, struct hone_room **ret)
{
    struct hone_room *room = calloc(1, sizeof *room);
    if (!room)
        return -ENOMEM;
    room->session = session;
    int r = pthread_create(&room->thread, NULL, keep, room);
    if (r) {
        free(room);
        return -r;
    }
    *ret = room;
    return 0;
}

void hone_room_stop(struct hone_room *room)
{
    if (!room)
        return;
    struct hone_session_header *header = room->session->header;
    atomic_store_explicit(&room->stop, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&header->room_bell, 1, memory_order_release);
    (void)hone_syscall6(SYS_futex, (long)&header->room_bell, FUTEX_WAKE, 1, 0, 0, 0);
    (void)pthread_join(room->thread, NULL);
    atomic_store_explicit(&header->room_low, 0, memory_order_relaxed);
    free(room);
}
