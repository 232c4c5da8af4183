#include "probe/imports.h"

#include "core/core.h"
#include "core/load.h"
#include "core/syscall.h"
#include "probe/allocator.h"
#include "probe/entries.h"
#include "probe/heap.h"
#include "probe/image.h"
#include "probe/lock.h"
#include "probe/others.h"
#include "probe/probe.h"
#include "probe/real.h"
#include "unwind/loader.h"

#include <dlfcn.h>
#include <link.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#if defined(__x86_64__)
enum { IMPORT = R_X86_64_GLOB_DAT, CALL = R_X86_64_JUMP_SLOT, POINTER = R_X86_64_64 };
#elif defined(__aarch64__)
enum { IMPORT = R_AARCH64_GLOB_DAT, CALL = R_AARCH64_JUMP_SLOT, POINTER = R_AARCH64_ABS64 };
#endif

enum { IMAGES_MAX = 1024 };

static struct hone_image images[IMAGES_MAX], before[IMAGES_MAX];
static size_t count, before_count;
static bool some_path;
static _Atomic uint32_t busy; // how many asked since nobody was at it
static unsigned long long changes;
static bool wants_heap, wants_locks;

void hone_imports_begin(bool heap, bool locks)
{
    wants_heap = heap;
    wants_locks = locks;
}

static void collect_none(void)
{
    memcpy(before, images, count * sizeof images[0]);
    before_count = count;
    count = 0;
    some_path = false;
}

static int collect(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    if (count == IMAGES_MAX)
        return 1;
    struct hone_image *image = &images[count];
    if (!hone_image_read(info, image) || hone_image_holds(image, (uintptr_t)__start_hone_hooks))
        return 0;
    some_path = some_path || (image->has_path && count); // the program's own counts for everybody
    for (size_t i = 0; i < before_count; i++)
        if (before[i].dynamic == image->dynamic && before[i].low == image->low &&
            before[i].high == image->high && before[i].strings == image->strings)
            image->done = before[i].done;
    count++;
    return 0;
}

static const struct hone_image *holder(uint64_t address)
{
    for (size_t i = 0; i < count; i++)
        if (hone_image_holds(&images[i], address))
            return &images[i];
    return NULL;
}

// --- what is to be called ------------------------------------------------------------------------

static uint64_t hook_for(const struct hone_image *image, const char *name,
                         enum hone_other_kind kind, uint64_t function)
{
    if (hone_is_hook(function) || hone_entry_is_patched(function))
        return 0;
    const struct hone_image *home = holder(function);
    if (!home)
        return 0;
    // An allocator calls itself.
    bool of_libc = hone_allocator_is_libc((const void *)(uintptr_t)home->low);
    if (home == image && home != images && !of_libc)
        return 0;
    // Those of the C++ libraries call malloc(), which is seen there.
    if (hone_other_is_operator(name) && (!home->allocates || of_libc))
        return 0;
    void *hook = hone_allocator_hook(name, (const void *)(uintptr_t)function);
    if (!hook)
        hook = hone_other_hook(kind, (void *)(uintptr_t)function);
    return (uintptr_t)hook;
}

// What the loader will find for a name, if all modules but ours have one such function at most.
static uint64_t only_definition(const char *name)
{
    uint64_t only = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t function = hone_image_find(&images[i], name);
        if (function && only)
            return 0;
        only = function ? function : only;
    }
    return only;
}

// --- changing it ---------------------------------------------------------------------------------

// Whether a word may be written, without writing it: the kernel adds nothing to its lower half.
static bool is_writable(const _Atomic uint64_t *word)
{
    uint32_t nobody = 0;
    return hone_syscall6(SYS_futex, &nobody, FUTEX_WAKE_OP_PRIVATE, 0, 0, word,
                         FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)) >= 0;
}

// False: the loader is not done with this module yet. Should it seal a page while we have it open,
// or we seal one that it still writes to, the program would end.
static bool change(const struct hone_image *image, _Atomic uint64_t *slot, uint64_t from,
                   uint64_t to)
{
    const uint64_t page = getauxval(AT_PAGESZ), at = (uintptr_t)slot & ~(page - 1);
    bool sealed = at >= image->sealed_low && at < image->sealed_high;
    if (sealed &&
        (is_writable(slot) || hone_syscall3(SYS_mprotect, at, page, PROT_READ | PROT_WRITE) != 0))
        return false;
    if (!sealed && !is_writable(slot))
        return true; // the program has made it so
    // Unless the program has stored something else meanwhile.
    (void)atomic_compare_exchange_strong_explicit(slot, &from, to, memory_order_release,
                                                  memory_order_relaxed);
    if (sealed)
        (void)hone_syscall3(SYS_mprotect, at, page, PROT_READ);
    return true;
}

static bool begins_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

static bool is_of_locks(const char *name)
{
    return begins_with(name, "pthread_") || begins_with(name, "sem_") ||
           begins_with(name, "mtx_") || begins_with(name, "cnd_") || begins_with(name, "thrd_");
}

static bool patch_lock(const struct hone_image *image, _Atomic uint64_t *slot, const char *name,
                       bool unbound)
{
    uint64_t bound = atomic_load_explicit(slot, memory_order_acquire), function = bound;
    if (unbound && begins_with(name, "pthread_cond_"))
        return true;
    if (unbound)
        function = only_definition(name);
    void *hook = hone_lock_hook(name, (const void *)(uintptr_t)function);
    return !hook || change(image, slot, bound, (uintptr_t)hook);
}

// What opens and closes modules is ours to see, for others may come to lie there. Only the C
// library's own: ours calls that.
static uint64_t opener_hook(const char *name, uint64_t function)
{
    const struct hone_real *real = hone_real();
    if (strcmp(name, "dlopen") == 0 && function == (uintptr_t)real->dlopen)
        return (uintptr_t)dlopen;
    if (strcmp(name, "dlclose") == 0 && function == (uintptr_t)real->dlclose)
        return (uintptr_t)dlclose;
    return 0;
}

static bool patch_opener(const struct hone_image *image, _Atomic uint64_t *slot, const char *name,
                         bool unbound)
{
    uint64_t bound = atomic_load_explicit(slot, memory_order_acquire);
    uint64_t ours = opener_hook(name, unbound ? only_definition(name) : bound);
    return !ours || change(image, slot, bound, ours);
}

static bool patch_entry(const struct hone_image *image, const Elf64_Rela *entry)
{
    uint32_t type = ELF64_R_TYPE(entry->r_info);
    if ((type != IMPORT && type != CALL && type != POINTER) ||
        (type == POINTER && entry->r_addend != 0))
        return true;
    const Elf64_Sym *symbol = &image->symbols[ELF64_R_SYM(entry->r_info)];
    const char *name = image->strings + symbol->st_name;
    enum hone_other_kind kind =
        wants_heap ? hone_other_kind_of(name, strlen(name)) : HONE_OTHER_NONE;
    bool locks = wants_locks && !kind && is_of_locks(name);
    bool opens = strcmp(name, "dlopen") == 0 || strcmp(name, "dlclose") == 0;
    if (!kind && !locks && !opens)
        return true;
    _Atomic uint64_t *slot = (_Atomic uint64_t *)(uintptr_t)(image->bias + entry->r_offset);
    uint64_t bound = atomic_load_explicit(slot, memory_order_acquire), function = bound;
    // Bound at its first call: until then it leads into the module's own stubs.
    bool unbound =
        type == CALL && symbol->st_shndx == SHN_UNDEF && hone_image_holds(image, function);
    if (opens)
        return patch_opener(image, slot, name, unbound);
    if (locks)
        return patch_lock(image, slot, name, unbound);
    // What we define as well may be bound to us; then it must be the same.
    if (unbound && (function = only_definition(name)) != 0 && hone_allocator_hook(name, NULL) &&
        !hone_allocator_hook(name, (const void *)(uintptr_t)function))
        return true;
    uint64_t hook = function ? hook_for(image, name, kind, function) : 0;
    return !hook || change(image, slot, bound, hook);
}

static void patch(struct hone_image *image)
{
    if (!image->symbols || !image->strings)
        return;
    bool all = true;
    for (size_t table = 0; table < 2; table++)
        for (size_t i = table ? 0 : image->relative; i < image->counts[table]; i++)
            all = patch_entry(image, &image->tables[table][i]) && all;
    image->done = all;
}

// With the loader's lock, so that no module goes.
static int patch_all(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)context;
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) {
        if (changes && changes == info->dlpi_adds + info->dlpi_subs)
            return 1;
        changes = info->dlpi_adds + info->dlpi_subs;
    }
    collect_none();
    (void)dl_iterate_phdr(collect, NULL);
    for (size_t i = 0; i < count; i++) {
        if (!images[i].done)
            patch(&images[i]);
        if (!images[i].done)
            changes = 0; // again at the next time
    }
    return 1;
}

// --- where the loader may not be asked -----------------------------------------------------------

// What the loader tells debuggers.
static const struct r_debug *loaders_list(void)
{
    for (const Elf64_Dyn *entry = count ? images[0].dynamic : NULL;
         entry && entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_DEBUG)
            return (const struct r_debug *)(uintptr_t)entry->d_un.d_ptr;
    return NULL;
}

// A module's headers lie at its beginning; the program's own, wherever it begins, the kernel told.
static bool headers_of(const struct link_map *map, bool first, struct dl_phdr_info *ret)
{
    *ret = (struct dl_phdr_info){.dlpi_addr = map->l_addr, .dlpi_name = map->l_name};
    if (first) {
        ret->dlpi_phdr = (const Elf64_Phdr *)getauxval(AT_PHDR);
        ret->dlpi_phnum = (Elf64_Half)getauxval(AT_PHNUM);
        return ret->dlpi_phdr != NULL;
    }
    Elf64_Ehdr header;
    if (!hone_safe_copy(&header, map->l_addr, sizeof header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    ret->dlpi_phdr = (const Elf64_Phdr *)(map->l_addr + header.e_phoff);
    ret->dlpi_phnum = header.e_phnum;
    return true;
}

// Without the loader's lock, which somebody had when the process was forked and nobody has now: the
// only thread is here, so no module comes or goes.
static bool patch_alone(void)
{
    const struct r_debug *list = loaders_list();
    if (!list || list->r_state != RT_CONSISTENT || !hone_is_alone())
        return false;
    collect_none();
    for (const struct link_map *map = list->r_map; map; map = map->l_next) {
        struct dl_phdr_info info;
        if (headers_of(map, map == list->r_map, &info))
            (void)collect(&info, sizeof info, NULL);
    }
    for (size_t i = 0; i < count; i++)
        if (!images[i].done)
            patch(&images[i]);
    return true;
}

static void say_so(void)
{
    static const char reason[] = "libraries that a forked child with threads loads are not hooked";
    char *to = hone_probe.writer.process->heap_reason;
    if (!to[0])
        memcpy(to, reason, sizeof reason);
}

void hone_imports_patch(void)
{
    if (hone_loader_is_lost()) {
        if (!patch_alone())
            say_so();
        return;
    }
    if (atomic_fetch_add_explicit(&busy, 1, memory_order_acquire) != 0)
        return;
    uint32_t asked = 1;
    do {
        (void)hone_loader_ask(patch_all, NULL);
    } while (!atomic_compare_exchange_strong_explicit(&busy, &asked, 0, memory_order_release,
                                                      memory_order_acquire));
}

void hone_imports_after_fork(void)
{
    atomic_store_explicit(&busy, 0, memory_order_relaxed);
}

bool hone_imports_know_paths(void)
{
    return !some_path;
}
