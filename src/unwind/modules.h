// Which module (program, library, vDSO) holds an address, and where its unwinding rules lie.
//
// Slots are only ever appended: a slot never changes its meaning and stays readable when its module
// is gone (retired), so a reader needs no lock and may be a signal handler. The table is filled
// outside signals, by hone_modules_refresh(); a module that no refresh has seen yet (loaded behind
// our back by libc: name services, character sets) is adopted in the handler that meets it.
//
// Modules that were there at start are never unloaded, so their rules are read where the loader
// put them. A later one may vanish while we read: of those we map the file ourselves (or, when the
// file is not the same any more, copy the rules) and keep that for good.
//
// While a dlclose() is under way another module may come to lie where one has just been, before any
// refresh: whoever reads the table then looks at what is in memory (hone_modules_find_now()).
#ifndef HONE_UNWIND_MODULES_H
#define HONE_UNWIND_MODULES_H

#include "core/core.h"
#include "unwind/cfi.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HONE_MODULES_MAX = 4096,              // slots over the life of the process
    HONE_MODULES_NAMES_BYTES = 192 << 10, // their paths
    HONE_BUILD_ID_MAX = 32,
    HONE_MODULE_MARKS = 3,
    HONE_MODULE_MARK_BYTES = 8,
    HONE_PLACE_BITS = 12, // of an address: modules share no page
    HONE_PLACES = 8192,   // a power of two; pages so many apart share one
};

// Bytes of a module in memory that are hardly the same in another one; in its first 4 GiB.
struct hone_module_bytes {
    uint32_t from_bias;
    uint8_t bytes[HONE_MODULE_MARK_BYTES];
};

struct hone_module {
    uint64_t start, end;           // from its first segment to the end of its last
    uint64_t bias;                 // address in memory minus address in the file (p_vaddr)
    uint64_t text_start, text_end; // its executable segments in memory
    uint64_t text_offset;          // and where in the file they begin
    const char *path;              // "[vdso]" for the vDSO; "" when unknown
    uint8_t build_id[HONE_BUILD_ID_MAX];
    uint8_t build_id_size; // 0: it has none
    bool from_start;       // there at the first refresh

    // Private to unwind/.
    _Atomic uint8_t state;
    uint8_t mark_count;
    _Atomic uint32_t turns;
    uint64_t contents; // a hash of what it has instead of a build id; 0: none
    struct hone_module_bytes marks[HONE_MODULE_MARKS];
    struct hone_cfi cfi;
};

struct hone_modules {
    _Atomic uint32_t reserved; // slots handed out
    // The lower half grows by two when modules were retired: cached rows are void. It is odd while
    // some thread is in dlclose(): the upper half says how many are.
    _Atomic uint64_t generation;
    _Atomic uint32_t changes;    // grows with each new or retired module; for those who copy it out
    _Atomic uint32_t overflows;  // modules without a slot, paths without room
    _Atomic uint32_t adopted;    // modules first met by a handler
    _Atomic uint32_t unmapped;   // late modules whose rules could be neither mapped nor copied
    _Atomic uint32_t refreshing; // how many asked for a refresh since it was last idle
    _Atomic uint32_t closed;     // threads that have been in dlclose() since the last one began
    _Atomic uint32_t adopting;   // some handler is at one that is new
    _Atomic uint32_t not_now;    // how often another one was not adopted meanwhile
    _Atomic uint32_t unloaded;   // by the loader's own count, at the last refresh
    _Atomic uint32_t names_used;
    _Atomic uint32_t sorted_count; // of sorted[], a hint: a wrong answer is found and corrected
    _Atomic uint32_t sorted_slots; // slots that the order takes into account
    bool filled;                   // the first refresh has been
    uint64_t loader_list;          // the loader's struct r_debug; 0: it has none
    bool foreign;                  // of another process: our loader knows nothing of it
    _Atomic uint16_t sorted[HONE_MODULES_MAX];
    _Atomic uint64_t places[HONE_PLACES]; // see hone_modules_place()
    struct hone_module slots[HONE_MODULES_MAX];
    char names[HONE_MODULES_NAMES_BYTES];
};

// Makes the table agree with the loader's list: new modules get slots, vanished ones are retired.
// The first call takes what it finds as never unloaded.
// A table is zero bytes before its first refresh.
//
// Threads  any; whoever comes while another is at it leaves the work to that one.
// Signals  no: it asks the loader.
void hone_modules_refresh(struct hone_modules *modules);

// Refreshes the table if modules have gone that no refresh has seen: the C library closes some
// itself, and a program may have its dlclose() from there.
//
// Threads, Signals  as for hone_modules_refresh().
void hone_modules_refresh_if_gone(struct hone_modules *modules);

// Around each dlclose(): modules may go away between the two, the second one refreshes the table.
//
// Threads  any.     Signals  no.
void hone_modules_begin_close(struct hone_modules *modules);
void hone_modules_end_close(struct hone_modules *modules);

// For tables of another process (`foreign`), which are not refreshed but told: adds a module like
// this one, which may be an earlier one that comes back, unless it is there. Its path and rules
// must outlive the table. Returns NULL when there is no slot.
const struct hone_module *hone_modules_add(struct hone_modules *modules,
                                           const struct hone_module *like);
// Likewise: the module is gone.
void hone_modules_remove(struct hone_modules *modules, const struct hone_module *module);

// For the child of a fork, before anything else here: work in progress elsewhere is forgotten.
HONE_SIGSAFE void hone_modules_after_fork(struct hone_modules *modules);

// The slots so far: indices 0 to count-1, never fewer than before.
HONE_SIGSAFE size_t hone_modules_count(const struct hone_modules *modules);

// What slot `index` describes; NULL while it is still being filled (ask again later).
HONE_SIGSAFE const struct hone_module *hone_modules_at(const struct hone_modules *modules,
                                                       size_t index);

// How often a slot has changed: odd while its module lives, even when it is gone, 0 while it is
// being filled for the first time.
static inline uint32_t hone_module_turns(const struct hone_module *module)
{
    return atomic_load_explicit(&module->turns, memory_order_acquire);
}

// The module is gone from memory; its addresses may mean another one now.
HONE_SIGSAFE bool hone_module_retired(const struct hone_module *module);

// The live module that holds `address`, adopting it when only the loader knows it; NULL: none.
// *ret_stale is set when the loader knows it and we could not adopt it now.
HONE_SIGSAFE const struct hone_module *hone_modules_find(struct hone_modules *modules,
                                                         uint64_t address, bool *ret_stale);

// The same while a dlclose() is under way: a module that is not in memory any more is retired, and
// what lies there now is adopted.
HONE_SIGSAFE const struct hone_module *hone_modules_find_now(struct hone_modules *modules,
                                                             uint64_t address, bool *ret_stale);

// The same among those that the table has, without asking the loader.
HONE_SIGSAFE const struct hone_module *hone_modules_listed(const struct hone_modules *modules,
                                                           uint64_t address);

// What cached rows are of. Odd: a dlclose() is under way.
static inline uint32_t hone_modules_generation(const struct hone_modules *modules)
{
    return (uint32_t)atomic_load_explicit(&modules->generation, memory_order_relaxed);
}

// Grows when a module was not adopted because somebody was at another one. Who may wait can try
// again then.
static inline uint32_t hone_modules_not_now(const struct hone_modules *modules)
{
    return atomic_load_explicit(&modules->not_now, memory_order_relaxed);
}

// Some module that was there is not: an address alone does not say whose it is.
static inline bool hone_modules_have_gone(const struct hone_modules *modules)
{
    return hone_modules_generation(modules) > 1;
}

// Tells apart who lies at an address, to those who are there: of two modules that were at one
// address, one after the other, each has found another value; the same one finds the same again
// when it comes back, unless others share the place now. 0: none but those from the start.
static inline uint64_t hone_modules_place(const struct hone_modules *modules, uint64_t address)
{
    return atomic_load_explicit(&modules->places[address >> HONE_PLACE_BITS & (HONE_PLACES - 1)],
                                memory_order_relaxed);
}

#endif
