// Tells the reader which modules are mapped where, as they come and go.
#include "probe/probe.h"

#include "core/clock.h"

#include <string.h>

// How far the session knows the module table. Whoever meets a change tells it, before the stack
// that it has: there is no time to wait for another thread that is at it. So a record may come
// twice, or late; each says which turn of its slot it tells of, and the reader goes by the last
// one.
static struct {
    _Atomic uint32_t changes;                 // of the table, when all of them were told last
    _Atomic uint32_t turns[HONE_MODULES_MAX]; // of each slot, told
} emitted;

static bool write_module(uint32_t index, const struct hone_module *module, uint32_t turn)
{
    size_t path_bytes = strlen(module->path) + 1;
    struct hone_record_module *record =
        hone_writer_claim(&hone_probe.writer, sizeof *record + path_bytes);
    if (!record)
        return false;
    record->record.small = index;
    record->turn = turn;
    record->start = module->start;
    record->end = module->end;
    record->text_start = module->text_start;
    record->text_end = module->text_end;
    record->text_offset = module->text_offset;
    record->bias = module->bias;
    record->time_ns = module->from_start ? 0 : hone_now_ns();
    record->contents = module->contents;
    record->build_id_bytes = module->build_id_size;
    memcpy(record->build_id, module->build_id, module->build_id_size);
    memcpy(record->path, module->path, path_bytes);
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_MODULE);
    return true;
}

static bool write_gone(uint32_t index, uint32_t turn)
{
    struct hone_record_module_gone *record = hone_writer_claim(&hone_probe.writer, sizeof *record);
    if (!record)
        return false;
    record->record.small = index;
    record->turn = turn;
    record->time_ns = hone_now_ns();
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_MODULE_GONE);
    return true;
}

// False: it could not be told.
static bool tell(uint32_t index)
{
    const struct hone_module *module = &hone_probe_modules.slots[index];
    const uint32_t turn = hone_module_turns(module);
    // Acquire: the record comes before ours. Pairs with the release below.
    uint32_t told = atomic_load_explicit(&emitted.turns[index], memory_order_acquire);
    if (told >= turn)
        return true;
    if (!(turn % 2 ? write_module(index, module, turn) : write_gone(index, turn)))
        return false;
    while (told < turn &&
           !atomic_compare_exchange_weak_explicit(&emitted.turns[index], &told, turn,
                                                  memory_order_release, memory_order_relaxed))
        ;
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
    // Acquire: the records come before ours. Pairs with the release below.
    if (HONE_LIKELY(atomic_load_explicit(&emitted.changes, memory_order_acquire) == changes))
        return;
    const uint32_t count = (uint32_t)hone_modules_count(&hone_probe_modules);
    for (uint32_t i = 0; i < count; i++)
        if (!tell(i))
            return;
    atomic_store_explicit(&emitted.changes, changes, memory_order_release);
}

void hone_modules_emit_anew(void)
{
    memset(emitted.turns, 0, sizeof emitted.turns);
    atomic_store_explicit(&emitted.changes, UINT32_MAX, memory_order_relaxed);
    hone_modules_emit();
}
