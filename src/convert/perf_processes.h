// Who ran while perf recorded: processes, their threads, and what code each has mapped by now.
#ifndef HONE_CONVERT_PERF_PROCESSES_H
#define HONE_CONVERT_PERF_PROCESSES_H

#include "base/table.h"
#include "convert/perf_modules.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_perfdata_walker;

struct hone_perfdata_map {
    uint64_t start, end, offset; // offset: of start, in the module's file
    uint32_t module;
};

struct hone_perfdata_process {
    uint32_t pid;
    char program[32];               // its file's name; "" unknown
    uint32_t renamed;               // how often that has changed
    struct hone_perfdata_map *maps; // by address; none overlaps another
    uint32_t map_count, map_room;
    uint32_t generation; // grows with each change of them
    struct hone_perfdata_walker *walker;
    uint32_t waiting;        // samples of it that are still to be walked
    uint32_t program_module; // HONE_PERFDATA_NO_MODULE: unknown
    uint64_t samples;
};

struct hone_perfdata_thread {
    uint32_t tid, process;
    char name[16];
    uint32_t label_set; // of the caller's; 0: not yet, or its name has changed
    uint32_t label_for; // what `renamed` of its process was then
};

struct hone_perfdata_processes {
    struct hone_perfdata_process *at;
    struct hone_perfdata_thread *threads;
    uint32_t count, room, thread_count, thread_room;
    struct hone_table by_pid, by_tid;
    uint64_t seed;
    uint64_t map_room; // of all processes together
    uint64_t dropped;  // processes, threads or mappings beyond our limits
};

enum { HONE_PERFDATA_NOBODY = UINT32_MAX };

void hone_perfdata_processes_init(struct hone_perfdata_processes *processes, uint64_t seed);
void hone_perfdata_processes_done(struct hone_perfdata_processes *processes);

// The number of a process or thread, which is new if it was not known. HONE_PERFDATA_NOBODY: no
// memory, or too many.
uint32_t hone_perfdata_process(struct hone_perfdata_processes *processes, uint32_t pid);
uint32_t hone_perfdata_thread(struct hone_perfdata_processes *processes, uint32_t pid,
                              uint32_t tid);

// What records tell. Each returns 0 or -ENOMEM.
int hone_perfdata_on_fork(struct hone_perfdata_processes *processes, uint32_t pid, uint32_t tid,
                          uint32_t parent_pid, uint32_t parent_tid, bool inherits_maps);
int hone_perfdata_on_name(struct hone_perfdata_processes *processes, uint32_t pid, uint32_t tid,
                          const char *name, bool exec);
int hone_perfdata_on_map(struct hone_perfdata_processes *processes, uint32_t process,
                         const struct hone_perfdata_mapping *mapping, uint32_t module);

// The mapping that holds an address. NULL: none.
const struct hone_perfdata_map *hone_perfdata_find_map(const struct hone_perfdata_process *process,
                                                       uint64_t address);

#endif
