#include "convert/perf_processes.h"

#include "base/array.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROCESSES_MAX = 1 << 20,
    THREADS_MAX = 1 << 21,
    MAPS_MAX = 1 << 14,     // of one process, with code
    ALL_MAPS_MAX = 8 << 20, // of all together: 256 MB
};

void hone_perfdata_processes_init(struct hone_perfdata_processes *processes, uint64_t seed)
{
    *processes = (struct hone_perfdata_processes){.seed = seed};
}

void hone_perfdata_processes_done(struct hone_perfdata_processes *processes)
{
    for (uint32_t i = 0; i < processes->count; i++)
        free(processes->at[i].maps);
    free(processes->at);
    free(processes->threads);
    hone_table_done(&processes->by_pid);
    hone_table_done(&processes->by_tid);
    *processes = (struct hone_perfdata_processes){0};
}

static uint64_t hash_of(const struct hone_perfdata_processes *processes, uint32_t number)
{
    return hone_hash_fold(number ^ processes->seed, 0xa0761d6478bd642fu);
}

uint32_t hone_perfdata_process(struct hone_perfdata_processes *processes, uint32_t pid)
{
    uint64_t hash = hash_of(processes, pid);
    struct hone_table_probe probe = hone_table_probe(&processes->by_pid, hash);
    uint32_t at;
    while ((at = hone_table_next(&processes->by_pid, &probe)) != HONE_TABLE_END)
        if (processes->at[at].pid == pid)
            return at;
    if (processes->count == PROCESSES_MAX) {
        processes->dropped++;
        return HONE_PERFDATA_NOBODY;
    }
    if (!hone_array_reserve(&processes->at, &processes->room, (uint64_t)processes->count + 1,
                            sizeof *processes->at) ||
        hone_table_add(&processes->by_pid, hash, processes->count))
        return HONE_PERFDATA_NOBODY;
    processes->at[processes->count] =
        (struct hone_perfdata_process){.pid = pid, .program_module = HONE_PERFDATA_NO_MODULE};
    return processes->count++;
}

uint32_t hone_perfdata_thread(struct hone_perfdata_processes *processes, uint32_t pid, uint32_t tid)
{
    uint32_t process = hone_perfdata_process(processes, pid);
    if (process == HONE_PERFDATA_NOBODY)
        return process;
    uint64_t hash = hash_of(processes, tid);
    struct hone_table_probe probe = hone_table_probe(&processes->by_tid, hash);
    uint32_t at;
    while ((at = hone_table_next(&processes->by_tid, &probe)) != HONE_TABLE_END)
        if (processes->threads[at].tid == tid && processes->threads[at].process == process)
            return at;
    if (processes->thread_count == THREADS_MAX) {
        processes->dropped++;
        return HONE_PERFDATA_NOBODY;
    }
    if (!hone_array_reserve(&processes->threads, &processes->thread_room,
                            (uint64_t)processes->thread_count + 1, sizeof *processes->threads) ||
        hone_table_add(&processes->by_tid, hash, processes->thread_count))
        return HONE_PERFDATA_NOBODY;
    processes->threads[processes->thread_count] =
        (struct hone_perfdata_thread){.tid = tid, .process = process};
    return processes->thread_count++;
}

static void set_program(struct hone_perfdata_process *process, const char *name, uint32_t module)
{
    process->program_module = module;
    (void)snprintf(process->program, sizeof process->program, "%.31s", name);
    process->renamed++;
}

// --- what is mapped ------------------------------------------------------------------------------

// How many mappings begin at or below an address.
static uint32_t maps_until(const struct hone_perfdata_process *process, uint64_t address)
{
    uint32_t low = 0, high = process->map_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (process->maps[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct hone_perfdata_map *hone_perfdata_find_map(const struct hone_perfdata_process *process,
                                                       uint64_t address)
{
    uint32_t until = maps_until(process, address);
    return until && address < process->maps[until - 1].end ? &process->maps[until - 1] : NULL;
}

// Room for so many mappings. Returns 0; -EFBIG: there are too many; -ENOMEM.
static int reserve_maps(struct hone_perfdata_processes *processes,
                        struct hone_perfdata_process *process, uint32_t count)
{
    if (count <= process->map_room)
        return 0;
    if (count > MAPS_MAX || processes->map_room > ALL_MAPS_MAX) {
        processes->dropped++;
        return -EFBIG;
    }
    processes->map_room -= process->map_room;
    bool done =
        hone_array_reserve(&process->maps, &process->map_room, count, sizeof *process->maps);
    processes->map_room += process->map_room;
    return done ? 0 : -ENOMEM;
}

// Takes away what lies from start to end; what reaches beyond is cut, in room that is there.
static void clear_range(struct hone_perfdata_process *process, uint64_t start, uint64_t end)
{
    struct hone_perfdata_map *maps = process->maps;
    uint32_t first = maps_until(process, start);
    if (first && maps[first - 1].end > start) { // it begins below, or here
        struct hone_perfdata_map *cut = &maps[first - 1];
        if (cut->end > end) {
            struct hone_perfdata_map rest = *cut;
            rest.offset += end - cut->start;
            rest.start = end;
            memmove(cut + 2, cut + 1, (process->map_count - first) * sizeof *maps);
            maps[first] = rest;
            process->map_count++;
        }
        cut->end = start;
        if (cut->start == cut->end)
            first--;
    }
    uint32_t last = first;
    while (last < process->map_count && maps[last].end <= end)
        last++;
    if (last < process->map_count && maps[last].start < end) {
        maps[last].offset += end - maps[last].start;
        maps[last].start = end;
    }
    memmove(maps + first, maps + last, (process->map_count - last) * sizeof *maps);
    process->map_count -= last - first;
}

int hone_perfdata_on_map(struct hone_perfdata_processes *processes, uint32_t number,
                         const struct hone_perfdata_mapping *mapping, uint32_t module)
{
    struct hone_perfdata_process *process = &processes->at[number];
    if (mapping->start >= mapping->end)
        return 0;
    // The kernel maps the program first, then its loader.
    if (!process->program[0] && mapping->path[0] == '/')
        set_program(process, strrchr(mapping->path, '/') + 1, module);
    int r = reserve_maps(processes, process, process->map_count + 2);
    if (r)
        return r == -ENOMEM ? r : 0;
    process->generation++;
    clear_range(process, mapping->start, mapping->end);
    if (module == HONE_PERFDATA_NO_MODULE)
        return 0;
    uint32_t at = maps_until(process, mapping->start);
    struct hone_perfdata_map *maps = process->maps;
    memmove(maps + at + 1, maps + at, (process->map_count - at) * sizeof *maps);
    maps[at] = (struct hone_perfdata_map){mapping->start, mapping->end, mapping->offset, module};
    process->map_count++;
    return 0;
}

// --- who is who ----------------------------------------------------------------------------------

int hone_perfdata_on_fork(struct hone_perfdata_processes *processes, uint32_t pid, uint32_t tid,
                          uint32_t parent_pid, uint32_t parent_tid, bool inherits_maps)
{
    uint32_t parent_thread = hone_perfdata_thread(processes, parent_pid, parent_tid);
    uint32_t thread = hone_perfdata_thread(processes, pid, tid);
    if (thread == HONE_PERFDATA_NOBODY || parent_thread == HONE_PERFDATA_NOBODY)
        return processes->dropped ? 0 : -ENOMEM;
    struct hone_perfdata_thread *ours = &processes->threads[thread];
    memcpy(ours->name, processes->threads[parent_thread].name, sizeof ours->name);
    ours->label_set = 0;
    if (pid == parent_pid)
        return 0;
    // Its number may have been another process's before.
    struct hone_perfdata_process *child = &processes->at[ours->process];
    const struct hone_perfdata_process *parent =
        &processes->at[processes->threads[parent_thread].process];
    child->map_count = 0;
    child->generation++;
    set_program(child, "", HONE_PERFDATA_NO_MODULE);
    if (!inherits_maps)
        return 0;
    memcpy(child->program, parent->program, sizeof child->program);
    child->program_module = parent->program_module;
    int r = reserve_maps(processes, child, parent->map_count);
    if (r)
        return r == -ENOMEM ? r : 0;
    if (parent->map_count)
        memcpy(child->maps, parent->maps, parent->map_count * sizeof *child->maps);
    child->map_count = parent->map_count;
    return 0;
}

int hone_perfdata_on_name(struct hone_perfdata_processes *processes, uint32_t pid, uint32_t tid,
                          const char *name, bool exec)
{
    uint32_t number = hone_perfdata_thread(processes, pid, tid);
    if (number == HONE_PERFDATA_NOBODY)
        return processes->dropped ? 0 : -ENOMEM;
    struct hone_perfdata_thread *thread = &processes->threads[number];
    (void)snprintf(thread->name, sizeof thread->name, "%.15s", name);
    thread->label_set = 0;
    if (!exec)
        return 0;
    struct hone_perfdata_process *process = &processes->at[thread->process];
    process->map_count = 0;
    process->generation++;
    set_program(process, "", HONE_PERFDATA_NO_MODULE);
    return 0;
}
