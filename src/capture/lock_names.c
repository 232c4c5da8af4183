#include "capture/lock_names.h"

#include "elf/elf.h"
#include "profile/profile.h"
#include "symbol/symbol.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *hone_lock_named_name(enum hone_lock_named by)
{
    static const char *const names[HONE_LOCK_NAMED_BYS] = {
        [HONE_LOCK_NAMED_BY_PROGRAM] = "program", [HONE_LOCK_NAMED_BY_SYMBOL] = "symbol",
        [HONE_LOCK_NAMED_BY_FILE] = "file",       [HONE_LOCK_NAMED_BY_BLOCK] = "block",
        [HONE_LOCK_NAMED_BY_MAKER] = "maker",     [HONE_LOCK_NAMED_BY_WAITER] = "waiter",
        [HONE_LOCK_NAMED_BY_ADDRESS] = "address",
    };
    return names[by];
}

// --- places --------------------------------------------------------------------------------------

// What takes and releases locks, and what allocates and constructs: whoever called it is meant.
static const char *const machinery_starts[] = {
    "pthread_mutex_",
    "pthread_rwlock_",
    "pthread_spin_",
    "pthread_cond_",
    "pthread_barrier_",
    "__pthread_",
    "___pthread_",
    "__GI___pthread_",
    "__lll_",
    "__GI___lll_",
    "__futex_",
    "__gthread_",
    "__glibcxx_",
    "std::",
    "__gnu_cxx::",
    "operator new",
    "boost::mutex",
    "boost::unique_lock",
    "boost::lock_guard",
    "boost::shared_mutex",
    "boost::shared_lock",
    "absl::Mutex",
    "core::ops::",
    "core::sync::",
    "alloc::alloc::",
    "alloc::boxed::",
    "alloc::sync::",
    "alloc::vec::",
    "<std::",
    "<alloc::",
    "<core::",
    "parking_lot::",
    "parking_lot_core::",
    "<parking_lot",
    "lock_api::",
    "<lock_api::",
    "__rust_",
    "__rdl_",
    NULL,
};

static const char *const machinery[] = {
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
    "syscall",
    "futex_wait",
    "clone",
    "clone3",
    "__clone",
    "__clone3",
    "mtx_lock",
    "mtx_unlock",
    "mtx_trylock",
    "mtx_timedlock",
    "mtx_init",
    "sem_wait",
    "sem_post",
    "sem_trywait",
    "sem_init",
    "sem_timedwait",
    "sem_clockwait",
    "__new_sem_wait",
    "cnd_wait",
    "cnd_signal",
    "cnd_broadcast",
    "cnd_timedwait",
    "lll_lock",
    NULL,
};

static bool is_machinery(struct hone_str name)
{
    for (const char *const *at = machinery_starts; *at; at++)
        if (hone_str_starts(name, hone_str_of(*at)))
            return true;
    for (const char *const *at = machinery; *at; at++)
        if (hone_str_equal(name, hone_str_of(*at)))
            return true;
    return false;
}

struct hone_str hone_lock_site(const struct hone_profile *profile, uint32_t stack)
{
    struct hone_str innermost = {0};
    for (uint32_t i = profile->stacks.first_frame[stack];
         i < profile->stacks.first_frame[stack + 1]; i++) {
        uint32_t location = profile->frames.location[i];
        for (uint32_t line = profile->locations.first_line[location];
             line < profile->locations.first_line[location + 1]; line++) {
            uint32_t function = profile->lines.at[line].function;
            struct hone_str name = hone_profile_str(profile, profile->functions.name[function]);
            if (!is_machinery(name))
                return name;
            if (!innermost.len)
                innermost = name;
        }
    }
    return innermost;
}

// --- names ---------------------------------------------------------------------------------------

struct naming {
    const struct hone_collected *collected;
    struct hone_symbolizer *symbolizer;
    const struct hone_profile *profile;
    const uint32_t *stacks;
    struct hone_arena *arena;
};

// Whether a file has such an address, in what it loads and does not run.
static bool is_data(const struct hone_elf *elf, uint64_t vaddr)
{
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    for (size_t i = 0; i < facts->segment_count; i++) {
        const struct hone_elf_segment *segment = &facts->segments[i];
        if (vaddr >= segment->vaddr && vaddr - segment->vaddr < segment->memory_size)
            return !segment->executable;
    }
    return false;
}

// Returns 0 with the text, which stays NULL where no file or symbol tells; -ENOMEM.
static int name_data(const struct naming *naming, uint32_t number, uint64_t vaddr,
                     struct hone_lock_name *ret)
{
    const struct hone_collected_module *module = &naming->collected->modules[number];
    struct hone_symbol_module *symbols;
    struct hone_symbol_variable variable;
    if (number == HONE_NO_MODULE)
        return 0;
    int r = hone_symbolizer_module(naming->symbolizer, module->path,
                                   module->build_id_bytes ? module->build_id : NULL,
                                   module->build_id_bytes, &symbols);
    if (!r)
        r = hone_symbol_variable(symbols, vaddr, &variable);
    if (r < 0)
        return r;
    uint64_t offset = r ? 0 : vaddr - variable.start;
    const struct hone_elf *elf = hone_symbol_module_elf(symbols);
    const char *slash = strrchr(module->path, '/');
    if (r && (!elf || !is_data(elf, vaddr)))
        return 0;
    if (r)
        *ret = (struct hone_lock_name){hone_arena_format(naming->arena, "data of %s+%#" PRIx64,
                                                         slash ? slash + 1 : module->path, vaddr),
                                       HONE_LOCK_NAMED_BY_FILE};
    else
        *ret = (struct hone_lock_name){
            offset ? hone_arena_format(naming->arena, "%s+%#" PRIx64, variable.name, offset)
                   : variable.name,
            HONE_LOCK_NAMED_BY_SYMBOL};
    return ret->text ? 0 : -ENOMEM;
}

// A stack is told plus one; 0: it is not known.
static struct hone_str site_of(const struct naming *naming, uint32_t stack)
{
    return stack ? hone_lock_site(naming->profile, naming->stacks[stack - 1])
                 : (struct hone_str){0};
}

static void name_by_place(const struct naming *naming, const struct hone_collected_lock *lock,
                          struct hone_lock_name *ret)
{
    struct hone_str block = site_of(naming, lock->block), maker = site_of(naming, lock->made),
                    waiter = site_of(naming, lock->first_waiter);
    if (block.len)
        *ret = (struct hone_lock_name){
            lock->block_offset
                ? hone_arena_format(naming->arena, "heap of %.*s+%#" PRIx64, (int)block.len,
                                    block.at, lock->block_offset)
                : hone_arena_format(naming->arena, "heap of %.*s", (int)block.len, block.at),
            HONE_LOCK_NAMED_BY_BLOCK};
    else if (maker.len)
        *ret = (struct hone_lock_name){
            hone_arena_format(naming->arena, "made in %.*s", (int)maker.len, maker.at),
            HONE_LOCK_NAMED_BY_MAKER};
    else if (waiter.len)
        *ret = (struct hone_lock_name){hone_arena_format(naming->arena,
                                                         "%#" PRIx64 ", first waited for in %.*s",
                                                         lock->address, (int)waiter.len, waiter.at),
                                       HONE_LOCK_NAMED_BY_WAITER};
    else
        *ret = (struct hone_lock_name){hone_arena_format(naming->arena, "%#" PRIx64, lock->address),
                                       HONE_LOCK_NAMED_BY_ADDRESS};
}

int hone_lock_names_init(struct hone_lock_names *names, const struct hone_collected *collected,
                         struct hone_symbolizer *symbolizer, const struct hone_profile *profile,
                         const uint32_t *stacks)
{
    const struct naming naming = {collected, symbolizer, profile, stacks, &names->arena};
    names->at =
        hone_arena_zalloc(&names->arena, (size_t)collected->locks.count + 1, sizeof *names->at);
    if (!names->at)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->locks.count; i++) {
        const struct hone_collected_lock *lock = &collected->locks.at[i];
        struct hone_lock_name *name = &names->at[i];
        if (lock->name) {
            *name = (struct hone_lock_name){lock->name, HONE_LOCK_NAMED_BY_PROGRAM};
            continue;
        }
        int r = name_data(&naming, lock->module, lock->vaddr, name);
        if (!r && !name->text)
            name_by_place(&naming, lock, name);
        if (r || !name->text)
            return -ENOMEM;
    }
    return 0;
}

int hone_lock_names_data(struct hone_lock_names *names, const struct hone_collected *collected,
                         struct hone_symbolizer *symbolizer, uint32_t module, uint64_t vaddr,
                         const char **ret)
{
    const struct naming naming = {
        .collected = collected, .symbolizer = symbolizer, .arena = &names->arena};
    struct hone_lock_name name = {0};
    int r = name_data(&naming, module, vaddr, &name);
    *ret = name.text;
    return r;
}

void hone_lock_names_done(struct hone_lock_names *names)
{
    hone_arena_done(&names->arena);
    names->at = NULL;
}
