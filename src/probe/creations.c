// Where threads are created: the stack of who calls pthread_create() goes into the session before
// the thread starts, and its id travels with the thread.
//
// The session is the recorder's alone. For who looks at the process from outside, what is known of
// the threads that live is kept once more in tables of our own, which are found by a section of
// this library:
//
//     threads[]  by tid ──► site ──► sites[]  the stack
//
// Both are bounded: a thread or a site without room is not known there, and is recorded all the
// same. A site is written once, by whoever has set its `check` to 1 first, and never changes.
#include "probe/areas.h"
#include "probe/heap.h"
#include "probe/heap_blocks.h"

#include "core/hash.h"
#include "core/syscall.h"

// Mapped when they are asked for, in one piece: 1 MiB. NULL: not yet, or there is no room.
static struct hone_creation_site *sites;
static struct hone_creation_thread *threads;

__attribute__((section(HONE_CREATIONS_SECTION), used)) static struct hone_creation_places places = {
    .magic = HONE_CREATIONS_MAGIC,
    .generation = (uintptr_t)&hone_probe_modules.generation,
    .epoch = (uintptr_t)&hone_probe.epoch,
};

bool hone_creations_begin(void)
{
    const size_t sites_bytes = HONE_CREATION_SITES * sizeof *sites;
    sites = hone_heap_reserve(sites_bytes + HONE_CREATION_THREADS * sizeof *threads);
    if (!sites)
        return false;
    threads = (struct hone_creation_thread *)((char *)sites + sites_bytes);
    places.threads = (uintptr_t)threads;
    places.sites = (uintptr_t)sites;
    return true;
}

bool hone_creations_wanted(void)
{
    return hone_probe.creations && hone_probe.writer.process && !hone_probe.locked_in &&
           !atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed);
}

// --- for who looks from outside ------------------------------------------------------------------

enum { BEING_WRITTEN = 1, TRIES = 16 };

// The number of the stack's site plus one; 0: there is no room.
static uint32_t keep_site(const uint64_t *addresses, uint32_t count, uint32_t end)
{
    if (count > HONE_CREATION_FRAMES) {
        count = HONE_CREATION_FRAMES;
        end = HONE_STACK_TOO_DEEP;
    }
    uint32_t generation = hone_modules_generation(&hone_probe_modules) & ~1u;
    uint64_t hash = hone_hash_words(addresses, count, (uint64_t)generation << 8 ^ end) | 2;
    for (uint32_t attempt = 0; attempt < TRIES; attempt++) {
        uint32_t at = (uint32_t)(hash + attempt) % HONE_CREATION_SITES;
        struct hone_creation_site *site = &sites[at];
        uint64_t check = atomic_load_explicit(&site->check, memory_order_acquire);
        if (check == hash)
            return at + 1;
        if (check || !atomic_compare_exchange_strong(&site->check, &check, BEING_WRITTEN))
            continue;
        site->generation = generation;
        site->end = end;
        site->count = count;
        for (uint32_t i = 0; i < count; i++)
            site->addresses[i] = addresses[i];
        // Release: the stack before what says that it is there. Pairs with the acquire above.
        atomic_store_explicit(&site->check, hash, memory_order_release);
        return at + 1;
    }
    return 0;
}

void hone_creation_begins(uint32_t tid, const struct hone_thread_birth *birth)
{
    uint32_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    for (uint32_t attempt = 0; attempt < HONE_CREATION_TRIES; attempt++) {
        struct hone_creation_thread *thread = &threads[hone_creation_slot(tid, attempt)];
        uint32_t there = atomic_load_explicit(&thread->tid, memory_order_relaxed);
        bool stale = there && thread->epoch != epoch; // a parent's
        if (there && there != tid && !stale)
            continue;
        if (!atomic_compare_exchange_strong(&thread->tid, &there, UINT32_MAX))
            continue;
        thread->epoch = epoch;
        thread->site = birth->site;
        thread->creator_tid = birth->creator_tid;
        atomic_store_explicit(&thread->tid, tid, memory_order_release);
        return;
    }
}

void hone_creation_ends(uint32_t tid)
{
    for (uint32_t attempt = 0; attempt < HONE_CREATION_TRIES; attempt++) {
        struct hone_creation_thread *thread = &threads[hone_creation_slot(tid, attempt)];
        if (atomic_load_explicit(&thread->tid, memory_order_relaxed) != tid)
            continue;
        atomic_store_explicit(&thread->tid, 0, memory_order_release);
        return;
    }
}

// --- at the creator ------------------------------------------------------------------------------

struct creation {
    struct hone_area *area;
    const struct hone_registers *registers;
    struct hone_thread_birth *ret;
};

// On the area's own stack.
static void take_stack(void *argument)
{
    const struct creation *at = argument;
    struct hone_thread *self = hone_thread_self();
    hone_thread_meet(self, NULL);
    struct hone_walk walk;
    hone_area_walk(at->area, self, at->registers, hone_area_frames_from_hook(), &walk);
    hone_modules_emit();
    uint32_t hooks = hone_heap_hook_frames(at->area->addresses, NULL, &walk);
    const uint64_t *addresses = at->area->addresses + hooks;
    uint32_t count = walk.count - hooks;
    at->ret->creation = hone_stack_id(addresses, count, (enum hone_stack_end)walk.end);
    at->ret->site = keep_site(addresses, count, walk.end);
    at->ret->creator = self->index + 1;
    at->ret->creator_tid = self->tid;
}

HONE_HOOK void hone_creation_here(struct hone_thread_birth *ret)
{
    struct hone_registers registers;
    hone_registers_here(&registers);
    struct creation at = {hone_is_on_alternate_stack() ? NULL : hone_area_take(), &registers, ret};
    if (!at.area) {
        hone_count(&hone_counters()->records_lost, 1);
        return;
    }
    hone_area_call(at.area, take_stack, &at);
    hone_area_give_back(at.area);
}
