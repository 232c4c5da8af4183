#include "capture/standstill_parts.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "elf/function.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The address of libhone.so's account in the process; 0: it is not inside, or keeps none.
static uint64_t find_account(struct hone_standstill_reader *reader)
{
    const struct hone_modules *modules = hone_remote_modules(reader->remote);
    for (size_t i = 0; i < hone_modules_count(modules); i++) {
        const struct hone_module *slot = hone_modules_at(modules, i);
        const char *slash = slot && slot->path ? strrchr(slot->path, '/') : NULL;
        if (!slash || hone_module_retired(slot) || strncmp(slash + 1, "libhone", 7) != 0)
            continue;
        struct hone_symbol_module *module;
        struct hone_symbol_variable variable;
        reader->status = hone_symbolizer_module(reader->stand->symbolizer, slot->path,
                                                slot->build_id, slot->build_id_size, &module);
        if (reader->status)
            return 0;
        int r = hone_symbol_variable_named(module, "hone_lock_holders", &variable);
        if (r < 0)
            reader->status = r;
        uint64_t account;
        if (r == 0 && variable.end - variable.start == sizeof account &&
            hone_standstill_memory(reader, variable.start + slot->bias, &account, sizeof account))
            return account;
    }
    return 0;
}

struct found {
    const struct hone_lock_holding *holding;
    uint32_t tid;
    uint32_t count; // of holders
};

// Who holds it by that account: all of them, of whom one is told.
static struct found find_holder(const struct hone_lock_holder *holders, uint64_t lock)
{
    struct found found = {0};
    for (uint32_t i = 0; i < HONE_LOCK_HOLDERS; i++) {
        uint32_t tid = holders[i].tid, count = holders[i].count;
        for (uint32_t k = 0; tid && k < count && k < HONE_LOCK_HELD_MAX; k++) {
            if (holders[i].held[k].lock != lock)
                continue;
            found.holding = &holders[i].held[k];
            found.tid = tid;
            found.count++;
        }
    }
    return found;
}

static void tell_held(struct hone_standstill_reader *reader, struct hone_standstill_lock *lock,
                      const struct hone_lock_holder *holders, uint64_t now_ns)
{
    struct hone_lock_state *state = &lock->state;
    bool wanted = state->kind == HONE_LOCK_MUTEX || state->kind == HONE_LOCK_READ ||
                  state->kind == HONE_LOCK_WRITE;
    struct found found =
        wanted && state->exact ? find_holder(holders, state->address) : (struct found){0};
    if (found.count != 1)
        return;
    // The lock itself is believed first; of several readers each would have to let go.
    if (state->holder == HONE_HOLDER_UNKNOWN ||
        (state->holder == HONE_HOLDER_READERS && state->readers == 1)) {
        state->holder = HONE_HOLDER_THREAD;
        state->owner = found.tid;
    }
    if (state->holder != HONE_HOLDER_THREAD || state->owner != found.tid)
        return;
    if (found.holding->time_ns < now_ns)
        lock->held_since_ns = found.holding->time_ns;
    for (int i = 0; i < HONE_LOCK_PLACES && found.holding->places[i]; i++)
        hone_standstill_frames(reader, found.holding->places[i], &lock->taken);
    hone_standstill_settle(reader, &lock->taken);
}

int hone_standstill_held(struct hone_standstill_reader *reader)
{
    uint64_t account = find_account(reader), now_ns = hone_now_ns();
    size_t bytes = HONE_LOCK_HOLDERS * sizeof(struct hone_lock_holder);
    HONE_CLEANUP(hone_freep)
    struct hone_lock_holder *holders = account ? aligned_alloc(64, bytes) : NULL;
    if (!account || reader->status)
        return reader->status;
    if (!holders)
        return -ENOMEM;
    if (!hone_standstill_memory(reader, account, holders, bytes))
        return 0;
    for (uint32_t i = 0; i < reader->stand->count && !reader->status; i++)
        if (reader->stand->threads[i].waits_for_lock)
            tell_held(reader, &reader->stand->threads[i].lock, holders, now_ns);
    return reader->status;
}
