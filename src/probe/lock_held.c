#include "probe/lock_held.h"

#include "probe/lock_record.h"
#include "probe/lock_work.h"

enum { LAST_RELEASE_NS = 10000000 };

// A release of before the wait is the one that ended it if it is about as old as a tick. Of a
// shared lock it need not be, nor one that lies further back: others may have had it since.
void hone_lock_held_from(struct hone_lock_held *held, struct hone_lock_entry *entry,
                         const struct hone_lock_left *left, bool shared)
{
    uint64_t recent = hone_lock_ticks(LAST_RELEASE_NS);
    if (shared ? left->age || left->rest > recent : left->age > recent)
        return;
    held->released = left->released;
    uint32_t stack = (uint32_t)left->released;
    if (!left->released || stack == HONE_LOCK_STACK_SOON ||
        !(hone_lock_wanted() & HONE_LOCKS_MUTEX))
        return;
    bool summed = left->released & HONE_LOCK_SUMMED;
    if (!stack) {
        if (summed)
            hone_lock_pass_on(entry, left->rest);
        return;
    }
    held->rest = left->rest;
    if (summed)
        held->rest += hone_lock_collect(entry, left->rest);
}

static void drop(struct hone_lock_thread *self, uint32_t at)
{
    self->held_count--;
    for (; at < self->held_count; at++)
        self->held[at] = self->held[at + 1];
}

uint64_t hone_lock_held_leave(struct hone_lock_thread *self, struct hone_lock_held *held)
{
    const struct hone_lock_place place = {.entry = self->pending,
                                          .began = held->taken - held->waited,
                                          .stack = held->shown ? held->stack : 0};
    struct hone_lock_left left;
    hone_lock_leave(&place, held->taken, HONE_LOCK_LATE, &left);
    held->pending = false;
    self->pending = NULL;
    hone_lock_held_from(held, place.entry, &left, false);
    return left.owed;
}

void hone_lock_held_end(struct hone_lock_thread *self, struct hone_lock_held *held)
{
    struct hone_lock_entry *entry = self->pending;
    uint64_t owed = held->pending ? hone_lock_held_leave(self, held) : 0;
    if (owed)
        hone_lock_owe(entry, held->lock, owed);
}

void hone_lock_held_by_whom(struct hone_lock_held *held)
{
    if (held->released)
        held->released = (held->released & ~(uint64_t)UINT32_MAX) |
                         hone_lock_released_stack(held->lock, held->released);
}

void hone_lock_held_push(struct hone_lock_thread *self, const struct hone_lock_held *held)
{
    if (self->held_count == HONE_LOCKS_HELD) {
        hone_lock_held_end(self, &self->held[0]);
        hone_lock_settle(&self->held[0]);
        drop(self, 0);
    }
    self->held[self->held_count++] = *held;
}

bool hone_lock_held_pop(struct hone_lock_thread *self, uint64_t lock, uint32_t depth,
                        struct hone_lock_held *ret)
{
    for (uint32_t at = self->held_count; at-- > 0;)
        if (self->held[at].lock == lock && self->held[at].depth == depth) {
            *ret = self->held[at];
            drop(self, at);
            return true;
        }
    return false;
}
