// Many addresses at once: grouped by compilation unit, so that each unit is read once, by whichever
// thread takes it first. Threads read DWARF and demangle; what they found is put into the module's
// tables afterwards, in the order of addresses, so the result does not depend on who was first.
#include "symbol/demangle.h"
#include "symbol/module.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum {
    FEW = 16,              // addresses: below, starting threads takes longer
    SMALL = 256 << 10,     // bytes of .debug_info: the same
    SCRATCH_MAX = 1 << 20, // demangling leaves more behind than the name it was asked for
};

struct worker {
    struct hone_arena arena;
    struct hone_arena scratch;
    struct hone_symbol_knowns names; // (function, symbol) → name
    int status;
};

struct preparing {
    struct hone_symbol_module *module;
    struct hone_symbol_answer *answers; // by unit and address
    size_t count;
    size_t *groups; // first answers of units, and the end
    size_t group_count;
    _Atomic size_t next; // group; relaxed: it orders nothing but itself
    struct worker workers[HONE_CREW_MAX];
};

static void preparing_done(struct preparing *preparing)
{
    for (size_t i = 0; i < HONE_CREW_MAX; i++) {
        hone_arena_done(&preparing->workers[i].arena);
        hone_arena_done(&preparing->workers[i].scratch);
        hone_symbol_knowns_done(&preparing->workers[i].names);
    }
    free(preparing->answers);
    free(preparing->groups);
}

// ---- In threads

static const char *demangled(struct worker *worker, const struct hone_dwarf_function *function,
                             const struct hone_elf_function *begins)
{
    struct hone_symbol_known *known =
        hone_symbol_known_slot(&worker->names, function, NULL, begins);
    if (!known || known->made)
        return known ? known->made : NULL;
    if (worker->scratch.total_bytes > SCRATCH_MAX)
        hone_arena_done(&worker->scratch);
    const char *name = hone_demangle(&worker->scratch, hone_symbol_naming(function, begins).label);
    name = name ? hone_arena_copy(&worker->arena, name, strlen(name) + 1) : NULL;
    if (name) {
        *known = (struct hone_symbol_known){function, NULL, begins, name};
        worker->names.count++;
    }
    return name;
}

static int find(struct preparing *preparing, struct worker *worker, struct hone_dwarf *dwarf,
                struct hone_symbol_answer *answer)
{
    struct hone_dwarf_frames frames;
    answer->outcome = hone_dwarf_lookup(dwarf, answer->vaddr, &frames);
    if (answer->outcome)
        return answer->outcome < 0 ? answer->outcome : 0;
    struct hone_dwarf_frame *kept = hone_arena_alloc(&worker->arena, frames.count * sizeof *kept);
    const char **names = hone_arena_zalloc(&worker->arena, frames.count, sizeof *names);
    if (!kept || !names)
        return -ENOMEM;
    memcpy(kept, frames.at, frames.count * sizeof *kept);
    const struct hone_elf_function *begins = hone_symbol_beginning(preparing->module, frames.entry);
    for (size_t i = 0; i < frames.count && kept->function; i++) {
        names[i] = demangled(worker, kept[i].function, i + 1 == frames.count ? begins : NULL);
        if (!names[i])
            return -ENOMEM;
    }
    answer->frames = (struct hone_dwarf_frames){kept, frames.count, frames.entry};
    answer->names = names;
    return 0;
}

static void work(void *context, unsigned number)
{
    struct preparing *preparing = context;
    struct hone_symbol_module *module = preparing->module;
    struct worker *worker = &preparing->workers[number];
    for (;;) {
        size_t group = atomic_fetch_add_explicit(&preparing->next, 1, memory_order_relaxed);
        if (group >= preparing->group_count)
            return;
        size_t at = preparing->groups[group], end = preparing->groups[group + 1];
        // Each unit has one group, so nobody else looks at its owner.
        module->owners[preparing->answers[at].unit] = (uint8_t)(number + 1);
        for (; at < end && !worker->status; at++)
            worker->status =
                find(preparing, worker, module->dwarfs[number], &preparing->answers[at]);
    }
}

// ---- Around them

static int by_unit(const void *left, const void *right)
{
    const struct hone_symbol_answer *a = left, *b = right;
    if (a->unit != b->unit)
        return a->unit < b->unit ? -1 : 1;
    return a->vaddr < b->vaddr ? -1 : a->vaddr > b->vaddr;
}

// Those addresses whose units nobody has read yet. Others are left to hone_symbol_lookup().
static int choose(struct preparing *preparing, const uint64_t *vaddrs, size_t count)
{
    struct hone_symbol_module *module = preparing->module;
    preparing->answers = calloc(count, sizeof *preparing->answers);
    preparing->groups = calloc(count + 1, sizeof *preparing->groups);
    if (!preparing->answers || !preparing->groups)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        uint32_t unit;
        int r = hone_dwarf_unit_of(module->dwarfs[0], vaddrs[i], &unit);
        if (r < 0)
            return r;
        if (r == 0 && !module->owners[unit])
            preparing->answers[preparing->count++] =
                (struct hone_symbol_answer){.vaddr = vaddrs[i], .unit = unit};
    }
    qsort(preparing->answers, preparing->count, sizeof *preparing->answers, by_unit);
    for (size_t i = 0; i < preparing->count; i++)
        if (i == 0 || preparing->answers[i].unit != preparing->answers[i - 1].unit)
            preparing->groups[preparing->group_count++] = i;
    preparing->groups[preparing->group_count] = preparing->count;
    return 0;
}

static bool is_worth_it(struct hone_symbol_module *module, size_t count)
{
    if (!module->dwarf_count || count < FEW || hone_crew_size() < 2)
        return false;
    struct hone_elf *holder = module->debug ? module->debug : module->elf;
    return hone_elf_section(holder, ".debug_info").len >= SMALL;
}

int hone_symbol_prepare(struct hone_symbol_module *module, const uint64_t *vaddrs, size_t count)
{
    int r = hone_symbol_module_open(module);
    if (r || !count)
        return r;
    if (module->index)
        return hone_symbol_prepare_index(module, vaddrs, count);
    if (!is_worth_it(module, count))
        return 0;
    // Units that were read already have no owner: they are the first reader's for good.
    if (!module->owners && hone_dwarf_stats(module->dwarfs[0]).units_read)
        return 0;
    unsigned threads = hone_crew_size();
    hone_symbol_module_readers(module, threads);
    if (module->dwarf_count < threads)
        threads = module->dwarf_count;
    if (!module->owners)
        return 0;
    HONE_CLEANUP(preparing_done) struct preparing preparing = {.module = module};
    r = choose(&preparing, vaddrs, count);
    if (r)
        return r;
    hone_crew_run(threads < preparing.group_count ? threads : (unsigned)preparing.group_count, work,
                  &preparing);
    for (unsigned i = 0; i < threads; i++)
        r = r ? r : preparing.workers[i].status;
    for (size_t i = 0; i < preparing.count && !r; i++)
        r = hone_symbol_answer(module, &preparing.answers[i]);
    return r;
}
