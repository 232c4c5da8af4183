// What a program calls a lock: told to whoever reads the recording, who finds the lock by its
// address.
#include "probe/probe.h"

#include "core/clock.h"
#include "hone/hone.h"

#include <string.h>

enum { NAME_MAX_BYTES = 127 };

// Whether anything is recorded that speaks of locks.
static bool is_of_use(const struct hone_session_header *header)
{
    return header && !hone_probe.locked_in && hone_probe.writer.process &&
           (header->config.mutex_fraction || header->config.block_rate_ns ||
            header->config.lock_order) &&
           !atomic_load_explicit(&header->stop, memory_order_relaxed);
}

HONE_EXPORT int hone_lock_name(const void *lock, const char *name)
{
    if (hone_twin.lock_name)
        return hone_twin.lock_name(lock, name);
    if (!lock || !name || !name[0] || !is_of_use(hone_probe.writer.header))
        return 0;
    size_t len = strnlen(name, NAME_MAX_BYTES);
    struct hone_record_lock_known *record =
        hone_writer_claim(&hone_probe.writer, sizeof *record + len + 1);
    if (!record) {
        hone_count(&hone_counters()->lock_lost, 1);
        return 0;
    }
    record->time_ns = hone_now_ns();
    record->lock = (uintptr_t)lock;
    memcpy(record->name, name, len);
    record->name[len] = '\0';
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_KNOWN);
    return 1;
}

HONE_OWN(hone_lock_name) int hone_own_lock_name(const void *lock, const char *name);
