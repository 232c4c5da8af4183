// Tells the reader which modules are mapped where, as they come and go.
#include "probe/probe.h"

#include "core/clock.h"

#include <string.h>

// How far the session knows the module table. One at a time: whoever finds that another thread is
// at it leaves the work to that one, or to the next sample.
static struct {
    _Atomic(const struct hone_thread *) by; // NULL: nobody
    _Atomic uint32_t changes;               // of the table, when we last looked
    uint32_t written;                       // slots described
    uint64_t gone[HONE_MODULES_MAX / 64];   // bit set: told that it is gone
} emitted;

static bool write_module(uint32_t index, const struct hone_module *module)
{
    size_t path_bytes = strlen(module->path) + 1;
    struct hone_record_module *record =
        hone_writer_claim(&hone_probe.writer, sizeof *record + path_bytes);
    if (!record)
        return false;
    record->record.small = index;
    record->start = module->start;
    record->end = module->end;
    record->text_start = module->text_start;
    record->text_end = module->text_end;
    record->text_offset = module->text_offset;
    record->bias = module->bias;
    record->time_ns = module->from_start ? 0 : hone_now_ns();
    record->build_id_bytes = module->build_id_size;
    memcpy(record->build_id, module->build_id, module->build_id_size);
    memcpy(record->path, module->path, path_bytes);
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_MODULE);
    return true;
}

static bool write_gone(uint32_t index)
{
    struct hone_record_module_gone *record = hone_writer_claim(&hone_probe.writer, sizeof *record);
    if (!record)
        return false;
    record->record.small = index;
    record->time_ns = hone_now_ns();
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_MODULE_GONE);
    return true;
}

static bool write_changes(void)
{
    uint32_t count = (uint32_t)hone_modules_count(&hone_probe_modules);
    for (; emitted.written < count; emitted.written++) {
        const struct hone_module *module = hone_modules_at(&hone_probe_modules, emitted.written);
        if (!module || !write_module(emitted.written, module))
            return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct hone_module *module = hone_modules_at(&hone_probe_modules, i);
        uint64_t bit = (uint64_t)1 << i % 64;
        bool told = (emitted.gone[i / 64] & bit) != 0;
        if (!module || hone_module_retired(module) == told)
            continue;
        if (!(told ? write_module(i, module) : write_gone(i))) // a module may come back
            return false;
        emitted.gone[i / 64] ^= bit;
    }
    return true;
}

// What the table had no room for changes nothing in it.
static void count_losses(void)
{
    struct hone_process_counters *counters = hone_counters();
    uint64_t lost = atomic_load_explicit(&hone_probe_modules.overflows, memory_order_relaxed);
    uint64_t bare = atomic_load_explicit(&hone_probe_modules.unmapped, memory_order_relaxed);
    if (HONE_UNLIKELY(lost))
        atomic_store_explicit(&counters->modules_lost, lost, memory_order_relaxed);
    if (HONE_UNLIKELY(bare))
        atomic_store_explicit(&counters->modules_without_rules, bare, memory_order_relaxed);
}

void hone_modules_emit(void)
{
    count_losses();
    uint32_t changes = atomic_load_explicit(&hone_probe_modules.changes, memory_order_acquire);
    if (HONE_LIKELY(atomic_load_explicit(&emitted.changes, memory_order_relaxed) == changes))
        return;
    const struct hone_thread *nobody = NULL;
    // Acquire and release: the table of what was written belongs to the one who is named.
    if (!atomic_compare_exchange_strong_explicit(&emitted.by, &nobody, hone_thread_self(),
                                                 memory_order_acquire, memory_order_relaxed))
        return;
    if (write_changes())
        atomic_store_explicit(&emitted.changes, changes, memory_order_relaxed);
    atomic_store_explicit(&emitted.by, NULL, memory_order_release);
}

void hone_modules_emit_abandon(void)
{
    const struct hone_thread *self = hone_thread_self();
    (void)atomic_compare_exchange_strong_explicit(&emitted.by, &self, NULL, memory_order_release,
                                                  memory_order_relaxed);
}

void hone_modules_emit_anew(void)
{
    memset(emitted.gone, 0, sizeof emitted.gone);
    emitted.written = 0;
    atomic_store_explicit(&emitted.changes, UINT32_MAX, memory_order_relaxed);
    atomic_store_explicit(&emitted.by, NULL, memory_order_release);
    hone_modules_emit();
}
