#include "unwind/modules.h"

#include "core/hash.h"
#include "core/load.h"
#include "core/syscall.h"
#include "unwind/loader.h"
#include "unwind/module_rules.h"
#include "unwind/program.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <sys/auxv.h>

enum {
    SLOT_FILLING = 0,
    SLOT_LIVE,
    SLOT_RETIRED,

    HEADERS_MAX = 32, // of a module that a handler adopts; programs have some 13
    PATH_BYTES_MAX = 4096,
    ADOPTED_PATH_BYTES_MAX = 1024, // on the stack of a handler
};

// glibc 2.35 and later: lock-free, safe in a handler. Elsewhere it is NULL.
#ifdef DLFO_EH_SEGMENT_TYPE
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));
#endif

// The loader's list of modules, as debuggers find it, for C libraries that have nothing better
// (musl, which takes no module away from it; older ones of glibc). Guarded, for it may change.
static bool list_knows(const struct hone_modules *modules, uint64_t address, uint64_t *ret_start,
                       uint64_t *ret_link_map)
{
    struct r_debug list;
    if (!modules->loader_list || !hone_safe_copy(&list, modules->loader_list, sizeof list))
        return false;
    struct link_map map;
    uint64_t at = (uintptr_t)list.r_map;
    for (size_t i = 0; at && i < HONE_MODULES_MAX; i++, at = (uintptr_t)map.l_next) {
        if (!hone_safe_copy(&map, at, sizeof map))
            return false;
        Elf64_Ehdr elf;
        Elf64_Phdr headers[HEADERS_MAX];
        if (hone_modules_listed(modules, (uintptr_t)map.l_ld) ||
            !hone_safe_copy(&elf, map.l_addr, sizeof elf) ||
            __builtin_memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 || elf.e_phnum > HEADERS_MAX ||
            elf.e_phentsize != sizeof headers[0] ||
            !hone_safe_copy(headers, map.l_addr + elf.e_phoff, elf.e_phnum * sizeof headers[0]))
            continue;
        for (size_t k = 0; k < elf.e_phnum; k++) {
            if (headers[k].p_type != PT_LOAD ||
                address - map.l_addr - headers[k].p_vaddr >= headers[k].p_memsz)
                continue;
            *ret_start = map.l_addr;
            *ret_link_map = at;
            return true;
        }
    }
    return false;
}

static bool loader_knows(const struct hone_modules *modules, uint64_t address, uint64_t *ret_start,
                         uint64_t *ret_link_map)
{
#ifdef DLFO_EH_SEGMENT_TYPE
    struct dl_find_object found;
    if (_dl_find_object) {
        if (_dl_find_object((void *)(uintptr_t)address, &found) != 0)
            return false;
        *ret_start = (uintptr_t)found.dlfo_map_start;
        *ret_link_map = (uintptr_t)found.dlfo_link_map;
        return true;
    }
#endif
    return list_knows(modules, address, ret_start, ret_link_map);
}

static uint32_t load(const _Atomic uint32_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void count_one(_Atomic uint32_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

// Acquire: what was written before the slot was published. Pairs with the release in publish().
static uint8_t state_of(const struct hone_module *module)
{
    return atomic_load_explicit(&module->state, memory_order_acquire);
}

static bool holds(const struct hone_module *module, uint64_t address)
{
    return state_of(module) == SLOT_LIVE && address - module->start < module->end - module->start;
}

static bool same_text(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static size_t text_length(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

size_t hone_modules_count(const struct hone_modules *modules)
{
    uint32_t count = load(&modules->reserved);
    return count < HONE_MODULES_MAX ? count : HONE_MODULES_MAX;
}

const struct hone_module *hone_modules_at(const struct hone_modules *modules, size_t index)
{
    const struct hone_module *module = &modules->slots[index];
    return state_of(module) == SLOT_FILLING ? NULL : module;
}

bool hone_module_retired(const struct hone_module *module)
{
    return state_of(module) == SLOT_RETIRED;
}

// Room for `size` bytes of names that live on; NULL: none left.
static char *names_claim(struct hone_modules *modules, size_t size)
{
    uint32_t used = load(&modules->names_used);
    do {
        if (size > HONE_MODULES_NAMES_BYTES - used) {
            count_one(&modules->overflows);
            return NULL;
        }
    } while (!atomic_compare_exchange_weak_explicit(&modules->names_used, &used,
                                                    used + (uint32_t)size, memory_order_relaxed,
                                                    memory_order_relaxed));
    return modules->names + used;
}

static const char *names_add(struct hone_modules *modules, const char *first, const char *second)
{
    size_t first_length = text_length(first), second_length = text_length(second);
    char *name = names_claim(modules, first_length + second_length + 1);
    if (!name)
        return "";
    __builtin_memcpy(name, first, first_length);
    __builtin_memcpy(name + first_length, second, second_length + 1);
    return name;
}

static struct hone_module *slot_claim(struct hone_modules *modules)
{
    uint32_t index = load(&modules->reserved);
    do {
        if (index >= HONE_MODULES_MAX) {
            count_one(&modules->overflows);
            return NULL;
        }
    } while (!atomic_compare_exchange_weak_explicit(&modules->reserved, &index, index + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return &modules->slots[index];
}

// Of a slot that is being filled.
static void publish(struct hone_modules *modules, struct hone_module *module, uint8_t state)
{
    const uint32_t turns = hone_module_turns(module);
    const bool odd = state == SLOT_LIVE;
    // Release: what is in the slot. Pairs with hone_module_turns().
    atomic_store_explicit(&module->turns, turns + 1 + ((turns + 1) % 2 != odd),
                          memory_order_release);
    // Release: the turn. Before the state: who has seen that knows that there is a change.
    atomic_fetch_add_explicit(&modules->changes, 1, memory_order_release);
    // Release: readers see the whole slot. Pairs with state_of().
    atomic_store_explicit(&module->state, state, memory_order_release);
}

// Adds modules that were retired (two for each, see hone_modules.generation) and threads that have
// come to dlclose(), or are back.
static void turn(struct hone_modules *modules, uint32_t retired, int64_t closing)
{
    uint64_t now = atomic_load_explicit(&modules->generation, memory_order_relaxed), then;
    do {
        int64_t left = (int64_t)(now >> 32) + closing;
        if (left < 0)
            left = 0; // a fork in the middle
        then = (uint64_t)left << 32 | (((uint32_t)now & ~1u) + retired) | (left > 0);
        // Release: the places before it. Who stands in a module that came after that has acquired
        // the slot, or the loader's lock.
    } while (!atomic_compare_exchange_weak_explicit(&modules->generation, &now, then,
                                                    memory_order_acq_rel, memory_order_relaxed));
}

// Puts a module into the places that it lies in, or takes it away: the same operation. A place has
// something of each that lies in it, so none hides another one that comes and goes. Those that were
// there at the start never go, and need not be told apart.
static void toggle_places(struct hone_modules *modules, const struct hone_module *module)
{
    if (module->from_start || module->start >= module->end)
        return;
    const uint64_t own = hone_hash_fold(
        (uint64_t)(module - modules->slots + 1) ^ 0x9e3779b97f4a7c15u, 0xa0761d6478bd642fu);
    const uint64_t first = module->start >> HONE_PLACE_BITS;
    uint64_t count = ((module->end - 1) >> HONE_PLACE_BITS) - first + 1;
    count = count < HONE_PLACES ? count : HONE_PLACES;
    for (uint64_t i = first; i < first + count; i++)
        atomic_fetch_xor_explicit(&modules->places[i & (HONE_PLACES - 1)], own,
                                  memory_order_relaxed);
}

// A live module is retired, or a retired one lives again. False: somebody else was faster.
static bool change_state(struct hone_modules *modules, struct hone_module *module, uint8_t from,
                         uint8_t to)
{
    if (!atomic_compare_exchange_strong_explicit(&module->state, &from, SLOT_FILLING,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    toggle_places(modules, module);
    publish(modules, module, to);
    return true;
}

// An earlier life of the same module, whose mapping of the file serves again.
static bool reuse_rules(const struct hone_modules *modules, struct hone_module *module)
{
    if (!module->build_id_size && !module->contents)
        return false;
    for (size_t i = 0; i < hone_modules_count(modules); i++) {
        const struct hone_module *old = &modules->slots[i];
        // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a place in an array is not NULL
        if (state_of(old) != SLOT_RETIRED || old->from_start || old->cfi.relocated_by ||
            !old->cfi.eh_frame || old->build_id_size != module->build_id_size ||
            old->end - old->start != module->end - module->start ||
            old->contents != module->contents ||
            __builtin_memcmp(old->build_id, module->build_id, module->build_id_size) != 0 ||
            !same_text(old->path, module->path))
            continue;
        module->cfi = old->cfi;
        return true;
    }
    return false;
}

// Whether the loader may know a module of that path by this name, which is as its caller gave it.
static bool is_path_of(const char *path, const char *name)
{
    size_t path_length = text_length(path), length = text_length(name);
    if (!path_length || !length)
        return true;
    return path_length >= length && same_text(path + path_length - length, name) &&
           (path_length == length || (name[0] != '/' && path[path_length - length - 1] == '/'));
}

// `like` has the loader's name for its path. Two builds may have one build id, or none.
static bool same_module(const struct hone_module *module, const struct hone_module *like)
{
    return module->start == like->start && module->end == like->end && module->bias == like->bias &&
           module->text_start == like->text_start && module->text_end == like->text_end &&
           module->build_id_size == like->build_id_size &&
           __builtin_memcmp(module->build_id, like->build_id, like->build_id_size) == 0 &&
           (module->from_start ||
            (module->contents == like->contents && is_path_of(module->path, like->path)));
}

static void retire(struct hone_modules *modules, struct hone_module *module)
{
    if (change_state(modules, module, SLOT_LIVE, SLOT_RETIRED))
        turn(modules, 2, 0);
}

// What the headers in memory say of a module that may go at any moment.
static int describe_in_memory(struct hone_module *module, uint64_t start,
                              struct hone_module_headers *headers, Elf64_Phdr room[HEADERS_MAX])
{
    Elf64_Ehdr elf;
    if (!hone_safe_copy(&elf, start, sizeof elf) ||
        __builtin_memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 || elf.e_phnum > HEADERS_MAX ||
        elf.e_phentsize != sizeof room[0] ||
        !hone_safe_copy(room, start + elf.e_phoff, elf.e_phnum * sizeof room[0]))
        return -ENOEXEC;
    headers->at = room;
    headers->count = elf.e_phnum;
    return hone_module_describe(module, headers);
}

// Whether a late module still lies where it lay, or another one does. Nothing of it is loaded, for
// it may be taken away at any moment; a loader that can only be asked by reading its list (glibc
// before 2.35) is not asked.
static bool lies_there(const struct hone_module *module)
{
#ifdef DLFO_EH_SEGMENT_TYPE
    struct dl_find_object found;
    if (_dl_find_object)
        return _dl_find_object((void *)(uintptr_t)module->text_start, &found) == 0 &&
               (uintptr_t)found.dlfo_map_start == module->start && hone_module_has_marks(module);
#endif
    (void)module;
    return true;
}

// Before a module lives: what lay at its place and is not there any more is not found first.
static void make_room(struct hone_modules *modules, const struct hone_module *like)
{
    for (size_t i = 0; i < hone_modules_count(modules) && !modules->foreign; i++) {
        struct hone_module *other = &modules->slots[i];
        if (state_of(other) == SLOT_LIVE && !other->from_start && other->start < like->end &&
            like->start < other->end && !lies_there(other))
            retire(modules, other);
    }
}

// A module that was here before, at this very place, lives again in its old slot: programs that
// load and unload a library in a loop would use up all slots.
static struct hone_module *revive(struct hone_modules *modules, const struct hone_module *like)
{
    make_room(modules, like);
    const bool is_told = like->build_id_size || like->contents;
    for (size_t i = hone_modules_count(modules); i-- > 0 && is_told;) {
        struct hone_module *old = &modules->slots[i];
        if (state_of(old) == SLOT_RETIRED && !old->from_start && same_module(old, like) &&
            change_state(modules, old, SLOT_RETIRED, SLOT_LIVE))
            return old;
    }
    return NULL;
}

static struct hone_module *append(struct hone_modules *modules,
                                  const struct hone_module_headers *headers, const char *path,
                                  bool from_start)
{
    struct hone_module *module = slot_claim(modules);
    if (!module)
        return NULL;
    module->path = path;
    module->from_start = from_start;
    if (hone_module_describe(module, headers) != 0) {
        publish(modules, module, SLOT_RETIRED);
        return NULL;
    }
    if (from_start) {
        hone_module_rules_in_place(module, headers);
        if (!module->cfi.eh_frame) // no index; the file's sections may tell
            (void)hone_module_rules_map(module, headers);
    } else if (!reuse_rules(modules, module) && hone_module_rules_map(module, headers) != 0 &&
               hone_module_rules_copy(module, headers) != 0) {
        count_one(&modules->unmapped);
    }
    hone_module_mark(module, headers);
    toggle_places(modules, module);
    publish(modules, module, SLOT_LIVE);
    return module;
}

// The loader's name for it, made absolute; the program and the vDSO have names of our own.
static const char *name_of(struct hone_modules *modules, const struct dl_phdr_info *info,
                           bool is_first, bool is_vdso)
{
    char buffer[PATH_BYTES_MAX];
    if (is_vdso)
        return "[vdso]";
    // What the kernel has loaded is what runs, whatever the loader takes for its name: musl's is
    // not a path.
    bool is_program = is_first && (uintptr_t)info->dlpi_phdr == getauxval(AT_PHDR);
    if (is_program || !info->dlpi_name || !info->dlpi_name[0]) {
        if (!is_first || !hone_program_path(buffer, sizeof buffer))
            return "";
        return names_add(modules, buffer, "");
    }
    if (info->dlpi_name[0] == '/')
        return names_add(modules, info->dlpi_name, "");
    long size = hone_syscall2(SYS_getcwd, buffer, sizeof buffer - 1); // counts the zero
    if (size <= 0)
        return names_add(modules, info->dlpi_name, "");
    buffer[size - 1] = '/';
    buffer[size] = 0;
    return names_add(modules, buffer, info->dlpi_name);
}

struct refresh {
    struct hone_modules *modules;
    bool from_start;
    bool first;
    uint32_t unloaded; // by the loader's own count
    uint64_t vdso;
    uint8_t seen[HONE_MODULES_MAX / 8];
};

static void mark(struct refresh *refresh, const struct hone_module *module)
{
    size_t index = (size_t)(module - refresh->modules->slots);
    refresh->seen[index / 8] |= (uint8_t)(1u << index % 8);
}

static bool is_marked(const struct refresh *refresh, size_t index)
{
    return refresh->seen[index / 8] >> index % 8 & 1;
}

// The live slot that describes this very module; another may have lain at its place before.
static struct hone_module *known(struct hone_modules *modules, const struct hone_module *like)
{
    for (size_t i = hone_modules_count(modules); i-- > 0;) {
        struct hone_module *module = &modules->slots[i];
        if (state_of(module) == SLOT_LIVE && same_module(module, like))
            return module;
    }
    return NULL;
}

// Where the program's dynamic section says that the loader's list is; 0: nowhere.
static uint64_t find_loader_list(const struct dl_phdr_info *info)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_DYNAMIC)
            continue;
        const Elf64_Dyn *entry = (const void *)(uintptr_t)(info->dlpi_addr + header->p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++)
            if (entry->d_tag == DT_DEBUG)
                return entry->d_un.d_ptr;
    }
    return 0;
}

// How many modules the loader has taken away; 0 where it does not count.
static uint32_t unloaded_of(const struct dl_phdr_info *info, size_t size)
{
    bool counts = size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs;
    return counts ? (uint32_t)info->dlpi_subs : 0;
}

static int on_module(struct dl_phdr_info *info, size_t size, void *context)
{
    struct refresh *refresh = context;
    bool is_first = refresh->first;
    refresh->first = false;
    if (is_first)
        refresh->unloaded = unloaded_of(info, size);
    if (is_first && !refresh->modules->filled)
        refresh->modules->loader_list = find_loader_list(info);
    struct hone_module_headers headers = {info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum};
    struct hone_module like = {.path = info->dlpi_name ? info->dlpi_name : ""};
    if (hone_module_describe(&like, &headers) != 0)
        return 0;
    struct hone_module *module = known(refresh->modules, &like);
    if (!module)
        module = revive(refresh->modules, &like);
    if (!module) {
        bool is_vdso = refresh->vdso && like.start == refresh->vdso;
        const char *path = name_of(refresh->modules, info, is_first, is_vdso);
        module = append(refresh->modules, &headers, path, refresh->from_start);
    }
    if (module)
        mark(refresh, module);
    return 0;
}

// dl_iterate_phdr() lists one of the loader's name spaces; dlmopen() makes others.
static bool in_other_name_space(const struct refresh *refresh, const struct hone_module *module)
{
    uint64_t start, link_map;
    if (!loader_knows(refresh->modules, module->text_start, &start, &link_map) ||
        start != module->start || !lies_there(module))
        return false;
    // Or has another module taken its place?
    for (size_t i = 0; i < hone_modules_count(refresh->modules); i++)
        if (is_marked(refresh, i) && holds(&refresh->modules->slots[i], module->text_start))
            return false;
    return true;
}

// Retires what the loader no longer knows. Where it was not asked, those that it does not find.
static void retire_unseen(struct refresh *refresh, size_t count, bool asked)
{
    struct hone_modules *modules = refresh->modules;
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        struct hone_module *module = &modules->slots[i];
        if (state_of(module) != SLOT_LIVE || is_marked(refresh, i) ||
            (!asked && module->from_start) || in_other_name_space(refresh, module))
            continue;
        any |= change_state(modules, module, SLOT_LIVE, SLOT_RETIRED);
    }
    if (any)
        turn(modules, 2, 0);
}

static void sort(struct hone_modules *modules)
{
    uint16_t order[HONE_MODULES_MAX];
    uint32_t live = 0;
    size_t count = hone_modules_count(modules);
    for (size_t i = 0; i < count; i++) {
        if (state_of(&modules->slots[i]) != SLOT_LIVE)
            continue;
        uint32_t at = live++;
        for (; at > 0 && modules->slots[order[at - 1]].start > modules->slots[i].start; at--)
            order[at] = order[at - 1];
        order[at] = (uint16_t)i;
    }
    // Relaxed: a handler that meets half of the old order and half of the new notices.
    for (uint32_t i = 0; i < live; i++)
        atomic_store_explicit(&modules->sorted[i], order[i], memory_order_relaxed);
    atomic_store_explicit(&modules->sorted_count, live, memory_order_relaxed);
    atomic_store_explicit(&modules->sorted_slots, (uint32_t)count, memory_order_relaxed);
}

const struct hone_module *hone_modules_add(struct hone_modules *modules,
                                           const struct hone_module *like)
{
    struct hone_module *module = known(modules, like);
    if (module)
        return module;
    module = revive(modules, like);
    if (!module) {
        module = slot_claim(modules);
        if (!module)
            return NULL;
        *module = *like;
        toggle_places(modules, module);
        publish(modules, module, SLOT_LIVE);
    }
    sort(modules);
    return module;
}

void hone_modules_remove(struct hone_modules *modules, const struct hone_module *module)
{
    retire(modules, &modules->slots[module - modules->slots]);
    sort(modules);
}

static void refresh_once(struct hone_modules *modules)
{
    struct refresh refresh = {
        .modules = modules,
        .from_start = !modules->filled,
        .first = true,
        .vdso = getauxval(AT_SYSINFO_EHDR),
    };
    const uint32_t closed = atomic_exchange_explicit(&modules->closed, 0, memory_order_acquire);
    size_t count = hone_modules_count(modules);
    // Else new ones are adopted by who meets them.
    bool asked = hone_loader_ask(on_module, &refresh);
    retire_unseen(&refresh, count, asked);
    sort(modules);
    modules->filled = true;
    // Only now: who opens another library where one has gone must find it retired.
    if (asked)
        atomic_store_explicit(&modules->unloaded, refresh.unloaded, memory_order_release);
    if (closed)
        turn(modules, 0, -(int64_t)closed); // what they have taken away is retired now
}

void hone_modules_refresh(struct hone_modules *modules)
{
    // Acquire and release: whoever works sees what the one before has written.
    if (atomic_fetch_add_explicit(&modules->refreshing, 1, memory_order_acq_rel) != 0)
        return;
    uint32_t asked;
    do {
        // Acquire: what those who asked have counted before.
        asked = atomic_load_explicit(&modules->refreshing, memory_order_acquire);
        refresh_once(modules);
    } while (!atomic_compare_exchange_strong_explicit(&modules->refreshing, &asked, 0,
                                                      memory_order_acq_rel, memory_order_relaxed));
}

static int on_first(struct dl_phdr_info *info, size_t size, void *context)
{
    *(uint32_t *)context = unloaded_of(info, size);
    return 1;
}

void hone_modules_refresh_if_gone(struct hone_modules *modules)
{
    uint32_t unloaded = 0;
    if (hone_loader_ask(on_first, &unloaded) &&
        unloaded == atomic_load_explicit(&modules->unloaded, memory_order_acquire))
        return;
    // As after a dlclose(): another thread may be at it, and until it is through nothing that is
    // cached counts.
    hone_modules_begin_close(modules);
    hone_modules_end_close(modules);
}

void hone_modules_begin_close(struct hone_modules *modules)
{
    turn(modules, 0, 1);
}

// Whoever does the work ends it: that may be a thread that is at it now.
void hone_modules_end_close(struct hone_modules *modules)
{
    atomic_fetch_add_explicit(&modules->closed, 1, memory_order_release);
    hone_modules_refresh(modules);
}

void hone_modules_after_fork(struct hone_modules *modules)
{
    bool half_way = false;
    turn(modules, 0, INT32_MIN); // who was in dlclose() is not here
    atomic_store_explicit(&modules->closed, 0, memory_order_relaxed);
    atomic_store_explicit(&modules->refreshing, 0, memory_order_relaxed);
    atomic_store_explicit(&modules->adopting, 0, memory_order_relaxed);
    for (size_t i = 0; i < hone_modules_count(modules); i++) {
        struct hone_module *module = &modules->slots[i];
        if (state_of(module) != SLOT_FILLING)
            continue;
        module->start = module->end = module->text_start = module->text_end = 0;
        module->path = "";
        publish(modules, module, SLOT_RETIRED);
        half_way = true;
    }
    if (!half_way)
        return;
    // It may have been in some of its places.
    for (size_t i = 0; i < HONE_PLACES; i++)
        atomic_store_explicit(&modules->places[i], 0, memory_order_relaxed);
    for (size_t i = 0; i < hone_modules_count(modules); i++)
        if (state_of(&modules->slots[i]) == SLOT_LIVE)
            toggle_places(modules, &modules->slots[i]);
}

// Text that may not be there. False: nor is it, or there is no end to it.
static bool copy_text(char *to, size_t size, uint64_t from)
{
    enum { STEP = 64 };
    for (size_t i = 0; i < size;) {
        size_t left = HONE_PAGE_BYTES - (size_t)((from + i) % HONE_PAGE_BYTES), part = size - i;
        part = part < STEP ? part : STEP;
        part = part < left ? part : left;
        if (!hone_safe_copy(to + i, from + i, part))
            return false;
        for (size_t end = i + part; i < end; i++)
            if (!to[i])
                return true;
    }
    return false;
}

// Adds a module that only the loader knows, from its headers in memory. It is on somebody's stack,
// but may go at any moment: everything is read guarded. One that has been here before is found
// without waiting for anybody; a new one only while nobody else is at it, or it would get two
// slots.
static struct hone_module *adopt(struct hone_modules *modules, uint64_t start, uint64_t link_map)
{
    struct link_map map;
    if (!hone_safe_copy(&map, link_map, sizeof map))
        return NULL;
    Elf64_Phdr room[HEADERS_MAX];
    struct hone_module_headers headers = {.bias = map.l_addr};
    char name[ADOPTED_PATH_BYTES_MAX];
    struct hone_module like = {.path = name};
    if (!copy_text(name, sizeof name, (uintptr_t)map.l_name))
        name[0] = 0;
    if (describe_in_memory(&like, start, &headers, room) != 0)
        return NULL;
    struct hone_module *module = revive(modules, &like);
    if (!module)
        module = known(modules, &like); // somebody else has, just now
    if (module)
        return module;
    if (atomic_exchange_explicit(&modules->adopting, 1, memory_order_acquire) != 0) {
        count_one(&modules->not_now);
        return NULL;
    }
    module = known(modules, &like); // or has become known since
    if (module) {
        atomic_store_explicit(&modules->adopting, 0, memory_order_release);
        return module;
    }

    module = append(modules, &headers, names_add(modules, name, ""), false);
    if (module)
        count_one(&modules->adopted);
    atomic_store_explicit(&modules->adopting, 0, memory_order_release);
    return module;
}

static const struct hone_module *find_unlisted(struct hone_modules *modules, uint64_t address,
                                               bool *ret_stale)
{
    if (modules->foreign)
        return NULL;
    uint64_t start, link_map;
    bool known_to_loader = loader_knows(modules, address, &start, &link_map);
    // Perhaps the order was just being rewritten.
    if (known_to_loader || load(&modules->refreshing))
        for (size_t i = hone_modules_count(modules); i-- > 0;)
            if (holds(&modules->slots[i], address))
                return &modules->slots[i];
    if (!known_to_loader)
        return NULL;
    const struct hone_module *module = adopt(modules, start, link_map);
    if (module && holds(module, address))
        return module;
    *ret_stale = true;
    return NULL;
}

const struct hone_module *hone_modules_listed(const struct hone_modules *modules, uint64_t address)
{
    uint32_t low = 0, high = load(&modules->sorted_count);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint16_t slot = atomic_load_explicit(&modules->sorted[middle], memory_order_relaxed);
        if (modules->slots[slot].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        uint16_t slot = atomic_load_explicit(&modules->sorted[low - 1], memory_order_relaxed);
        if (holds(&modules->slots[slot], address))
            return &modules->slots[slot];
    }
    // Those adopted since the last refresh.
    for (size_t i = hone_modules_count(modules); i-- > load(&modules->sorted_slots);)
        if (holds(&modules->slots[i], address))
            return &modules->slots[i];
    return NULL;
}

const struct hone_module *hone_modules_find(struct hone_modules *modules, uint64_t address,
                                            bool *ret_stale)
{
    const struct hone_module *module = hone_modules_listed(modules, address);
    return module ? module : find_unlisted(modules, address, ret_stale);
}

const struct hone_module *hone_modules_find_now(struct hone_modules *modules, uint64_t address,
                                                bool *ret_stale)
{
    const struct hone_module *module = hone_modules_find(modules, address, ret_stale);
    if (!module || module->from_start || modules->foreign || lies_there(module))
        return module;
    retire(modules, &modules->slots[module - modules->slots]);
    return hone_modules_find(modules, address, ret_stale);
}
