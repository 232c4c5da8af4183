#include "convert/perf_walker.h"

#include "base/cleanup.h"
#include "unwind/perf_registers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CACHE_BYTES = HONE_UNWIND_CACHE_BYTES,
    TABLE_MAX = 1024, // modules that a process has at a time, for walks
    STACK_BYTES_MIN = 8,
};

struct hone_perfdata_walker {
    struct hone_modules *modules;
    struct hone_unwinder unwinder;
    uint32_t generation; // of the process's mappings, when it was brought up to them
};

void hone_perfdata_walker_free(struct hone_perfdata_walker *walker)
{
    if (!walker)
        return;
    if (walker->unwinder.rows)
        (void)munmap(walker->unwinder.rows, CACHE_BYTES);
    if (walker->modules)
        (void)munmap(walker->modules, sizeof *walker->modules);
    free(walker);
}

static void walker_freep(struct hone_perfdata_walker **walker)
{
    hone_perfdata_walker_free(*walker);
}

// Memory that costs nothing until it is touched: most processes have few modules.
static void *map_zeros(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int new_walker(struct hone_perfdata_walker **ret)
{
    HONE_CLEANUP(walker_freep) struct hone_perfdata_walker *walker = calloc(1, sizeof *walker);
    if (!walker)
        return -ENOMEM;
    walker->modules = map_zeros(sizeof *walker->modules);
    void *cache = map_zeros(CACHE_BYTES);
    if (cache)
        hone_unwind_init(&walker->unwinder, walker->modules, cache, CACHE_BYTES);
    if (!cache || !walker->modules)
        return -ENOMEM;
    walker->modules->foreign = true;
    *ret = hone_take(walker);
    return 0;
}

// The module as it lies in the process. False: the mapping is of no segment with code.
static bool place_module(const struct hone_perfdata_module *module,
                         const struct hone_perfdata_map *map, struct hone_module *ret)
{
    uint64_t address = 0;
    if (module->kind == HONE_PERFDATA_VDSO)
        address = map->offset;
    else if (!hone_elf_code_address(module->code, map->offset, &address))
        return false;
    uint64_t bias = map->start - address;
    *ret = module->code->module;
    ret->bias += bias;
    ret->start += bias;
    ret->end += bias;
    ret->text_start += bias;
    ret->text_end += bias;
    ret->path = "";
    return ret->start < ret->end;
}

static void remove_unseen(struct hone_modules *table, const uint8_t *seen)
{
    for (size_t i = 0; i < hone_modules_count(table); i++)
        if (!seen[i] && !hone_module_retired(&table->slots[i]))
            hone_modules_remove(table, &table->slots[i]);
}

static int fill(struct hone_perfdata_walker *walker, const struct hone_perfdata_process *process,
                struct hone_perfdata_modules *modules)
{
    HONE_CLEANUP(hone_freep) struct hone_module *wanted = calloc(TABLE_MAX, sizeof *wanted);
    HONE_CLEANUP(hone_freep) uint8_t *seen = calloc(HONE_MODULES_MAX, 1);
    if (!wanted || !seen)
        return -ENOMEM;
    uint32_t count = 0;
    for (uint32_t i = 0; i < process->map_count && count < TABLE_MAX; i++) {
        const struct hone_perfdata_map *map = &process->maps[i];
        if (hone_perfdata_module_code(modules, map->module) &&
            place_module(&modules->at[map->module], map, &wanted[count]))
            count++;
    }
    struct hone_modules *table = walker->modules;
    // Those that go away first: another may lie at their place.
    for (size_t slot = 0; slot < hone_modules_count(table); slot++)
        for (uint32_t i = 0; i < count && !seen[slot]; i++)
            seen[slot] = table->slots[slot].start == wanted[i].start &&
                         table->slots[slot].end == wanted[i].end &&
                         table->slots[slot].cfi.frames.at == wanted[i].cfi.frames.at;
    remove_unseen(table, seen);
    for (uint32_t i = 0; i < count; i++)
        (void)hone_modules_add(table, &wanted[i]); // without a slot it has no rules
    return 0;
}

int hone_perfdata_walker_prepare(struct hone_perfdata_process *process,
                                 struct hone_perfdata_modules *modules)
{
    struct hone_perfdata_walker *walker = process->walker;
    if (walker && walker->generation == process->generation)
        return 0;
    if (walker && hone_modules_count(walker->modules) + TABLE_MAX > HONE_MODULES_MAX)
        hone_perfdata_walker_free(hone_take(process->walker));
    int r = process->walker ? 0 : new_walker(&process->walker);
    if (!r)
        r = fill(process->walker, process, modules);
    if (!r)
        process->walker->generation = process->generation;
    return r;
}

struct place {
    const struct hone_perfdata_process *process;
    const struct hone_perfdata_modules *modules;
};

// Code as its file has it.
static bool read_code(void *context, uint64_t address, void *to, size_t size)
{
    const struct place *place = context;
    const struct hone_perfdata_map *map = hone_perfdata_find_map(place->process, address);
    const struct hone_elf_code *code = map ? place->modules->at[map->module].code : NULL;
    if (!code || size > map->end - address)
        return false;
    uint64_t offset = address - map->start + map->offset;
    if (offset > code->size || size > code->size - offset)
        return false;
    memcpy(to, code->bytes + offset, size);
    return true;
}

size_t hone_perfdata_walk(const struct hone_perfdata_process *process,
                          const struct hone_perfdata_modules *modules,
                          const struct hone_perfdata_event *event,
                          const struct hone_perfdata_sample *sample, uint64_t *ret_addresses,
                          size_t max, struct hone_walk *ret)
{
    uint64_t sampled[64];
    memcpy(sampled, sample->registers.at, sample->registers.count * sizeof sampled[0]);
    struct hone_registers registers;
    uint64_t known = hone_perf_registers(sampled, event->attr.sample_regs_user, &registers);
    const uint64_t needed = 1ull << HONE_REGISTER_IP | 1ull << HONE_REGISTER_SP;
    *ret = (struct hone_walk){.end = HONE_WALK_UNKNOWN_REGISTER};
    if ((known & needed) != needed)
        return 0;
    const uint64_t low = registers.r[HONE_REGISTER_SP];
    struct place place = {process, modules};
    bool sound = sample->stack_bytes >= STACK_BYTES_MIN && low <= UINT64_MAX - sample->stack_bytes;
    const struct hone_foreign foreign = {
        .copy = sample->stack,
        .low = low,
        .size_bytes = sound ? sample->stack_bytes : 0,
        .known = known,
        .code = read_code,
        .context = &place,
    };
    return hone_unwind_walk_foreign(&process->walker->unwinder, &registers, &foreign, ret_addresses,
                                    max, ret);
}
