// Files with code that a perf.data speaks of, and where they are now. One is believed to be the one
// that ran by its build id; where none was recorded, by its inode or by its age.
#ifndef HONE_CONVERT_PERF_MODULES_H
#define HONE_CONVERT_PERF_MODULES_H

#include "base/arena.h"
#include "base/table.h"
#include "convert/perf_info.h"
#include "elf/code.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hone_perfdata_module_kind {
    HONE_PERFDATA_FILE,
    HONE_PERFDATA_VDSO,
    HONE_PERFDATA_KERNEL,
    HONE_PERFDATA_GENERATED, // memory of one process that no file holds
};

struct hone_perfdata_module {
    enum hone_perfdata_module_kind kind;
    const char *path; // as recorded
    uint8_t build_id[HONE_PERFDATA_BUILD_ID_MAX];
    uint8_t build_id_size; // 0: unknown
    uint64_t inode;        // 0: unknown
    uint32_t pid;          // GENERATED: whose
    // Where it was mapped first, and how far all its mappings reach in the file.
    uint64_t start, offset, low_offset, high_offset;

    bool looked_for;
    const struct hone_elf_code *code; // NULL: it is not here
    const char *found;                // its path now, for those who read names; NULL: nowhere
    bool by_age;                      // believed, but not proven
    bool changed;                     // a file of that name is there and is another one
};

struct hone_perfdata_modules {
    const struct hone_perfdata_info *info;
    struct hone_arena arena;
    struct hone_table table;
    struct hone_perfdata_module *at;
    uint32_t count, room;
    const char *cache;    // perf's folder; "": none
    uint64_t recorded_ns; // the perf.data was written then; 0: unknown
    bool same_machine;    // code of this kind of processor
    uint64_t dropped;     // mappings of more modules than can be
};

enum { HONE_PERFDATA_NO_MODULE = UINT32_MAX };

// `info`, `cache` are borrowed.
void hone_perfdata_modules_init(struct hone_perfdata_modules *modules,
                                const struct hone_perfdata_info *info, const char *cache);
void hone_perfdata_modules_done(struct hone_perfdata_modules *modules);

// A mapping of code, as perf tells it.
struct hone_perfdata_mapping {
    uint32_t pid;
    uint64_t start, end, offset;
    const char *path;
    uint64_t inode;
    const uint8_t *build_id; // NULL: not told
    uint8_t build_id_size;
    bool kernel;
};

// The number of the module that is mapped so; HONE_PERFDATA_NO_MODULE: no memory, or too many.
uint32_t hone_perfdata_module_of(struct hone_perfdata_modules *modules,
                                 const struct hone_perfdata_mapping *mapping);

// The same for the kernel, of which nothing may be told.
uint32_t hone_perfdata_kernel_module(struct hone_perfdata_modules *modules);

// Looks for the module's file, once. Returns its code, or NULL.
const struct hone_elf_code *hone_perfdata_module_code(struct hone_perfdata_modules *modules,
                                                      uint32_t index);

#endif
