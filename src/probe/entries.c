#include "probe/entries.h"

#include "core/syscall.h"
#include "probe/allocator.h"
#include "probe/heap.h"
#include "probe/image.h"
#include "probe/others.h"
#include "probe/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
    PAGE = 4096,
    FUNCTIONS_MAX = 192,
    NAME_MAX_BYTES = 64,
    SCAN_MAX = 64 << 20, // bytes of code that are looked through for branches
    SYMBOLS_MAX = 1 << 22,
    NEAR_STEP = 512 << 10, // where memory near a module is looked for, up to …
    NEAR_STEPS = 3500,     // … as far as a jump goes: allocators take large pieces beside it
    ROOM_BYTES = 4 * PAGE,
};

// One function, while they are looked for.
struct function {
    uint64_t address, size;
    const char *name;
    enum hone_other_kind kind;
    bool entered;   // something jumps into its beginning
    bool handed_on; // by an operator to a function that is hooked
};

// What was changed: an island that leads to the hook, and the copy of what it stands in place of.
struct entry {
    uint8_t island[HONE_ENTRY_ISLAND];
    uint8_t copy[HONE_ENTRY_COPY_MAX];
};

_Static_assert(sizeof(struct entry) == 128, "an address tells which one it is in");

static struct room {
    uint64_t low, high; // memory of entries; written at start only
    uint64_t functions[ROOM_BYTES / sizeof(struct entry)];
    uint8_t copied[ROOM_BYTES / sizeof(struct entry)]; // of each, behind which there are jumps
} rooms[4];
static uint32_t room_count;

bool hone_entry_is_patched(uint64_t function)
{
    for (uint32_t i = 0; i < room_count; i++)
        for (size_t k = 0; k < HONE_ARRAY_LENGTH(rooms[i].functions); k++)
            if (rooms[i].functions[k] == function)
                return true;
    return false;
}

void hone_entry_look_through(struct hone_registers *registers)
{
    uint64_t address = registers->r[HONE_REGISTER_IP];
    for (uint32_t i = 0; i < room_count; i++) {
        uint64_t at = address - rooms[i].low;
        if (HONE_LIKELY(at >= rooms[i].high - rooms[i].low))
            continue;
        uint64_t function = rooms[i].functions[at / sizeof(struct entry)];
        uint64_t copied = rooms[i].copied[at / sizeof(struct entry)];
        uint64_t within = at % sizeof(struct entry);
        if (!function)
            return;
        if (within >= HONE_ENTRY_ISLAND) {
            within -= HONE_ENTRY_ISLAND;
            registers->r[HONE_REGISTER_IP] = function + (within < copied ? within : copied);
            return;
        }
        registers->r[HONE_REGISTER_IP] = function;
        if (within >= HONE_ENTRY_PUSHED)
            registers->r[HONE_REGISTER_SP] += sizeof(uint64_t);
        return;
    }
}

// --- which functions -----------------------------------------------------------------------------

struct search {
    const struct hone_image *image;
    struct function functions[FUNCTIONS_MAX];
    size_t count;
    bool too_many;
    const char *clone; // a copy of such a function, with other parameters
    // The file's own table of symbols, of the program's; NULL: only what it exports is known.
    const Elf64_Sym *symbols;
    size_t symbol_count;
    const char *strings;
    size_t string_bytes;
};

static void add(struct search *search, const char *name, size_t length, uint64_t address,
                uint64_t size)
{
    const struct hone_image *image = search->image;
    enum hone_other_kind kind = hone_other_kind_of(name, length);
    if (!kind || address < image->text_low || address >= image->text_high ||
        size > image->text_high - address)
        return;
    for (size_t i = 0; i < search->count; i++)
        if (search->functions[i].address == address)
            return;
    if (search->count == FUNCTIONS_MAX) {
        search->too_many = true;
        return;
    }
    search->functions[search->count++] =
        (struct function){.address = address, .size = size, .name = name, .kind = kind};
}

static const char *name_of(const struct search *search, const Elf64_Sym *symbol, size_t *ret_length)
{
    if (symbol->st_name >= search->string_bytes)
        return NULL;
    const char *name = search->strings + symbol->st_name;
    *ret_length = strnlen(name, search->string_bytes - symbol->st_name);
    return *ret_length < search->string_bytes - symbol->st_name ? name : NULL;
}

static bool is_function(const Elf64_Sym *symbol)
{
    return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
           symbol->st_size;
}

static void add_all(struct search *search)
{
    for (size_t i = 0; i < search->symbol_count; i++) {
        const Elf64_Sym *symbol = &search->symbols[i];
        size_t length;
        const char *name = is_function(symbol) ? name_of(search, symbol, &length) : NULL;
        const char *dot = name ? memchr(name, '.', length) : NULL;
        if (dot && hone_other_kind_of(name, (size_t)(dot - name)) &&
            (strstr(dot, ".constprop") || strstr(dot, ".isra")))
            search->clone = name;
        if (name)
            add(search, name, length, search->image->bias + symbol->st_value, symbol->st_size);
    }
}

// What the compiler has split off from one of them (`malloc.cold`) may jump back into it.
static bool is_part_of(const struct search *search, const Elf64_Sym *symbol,
                       const struct function *function)
{
    size_t length;
    const char *name = is_function(symbol) ? name_of(search, symbol, &length) : NULL;
    const char *dot = name ? memchr(name, '.', length) : NULL;
    return dot && strlen(function->name) == (size_t)(dot - name) &&
           memcmp(name, function->name, (size_t)(dot - name)) == 0;
}

static bool in_text(const struct hone_image *image, uint64_t address, uint64_t size)
{
    return address >= image->text_low && address < image->text_high &&
           size <= image->text_high - address;
}

static bool is_entered(const struct search *search, const struct function *function,
                       const struct hone_entry_plan *plan)
{
    const struct hone_image *image = search->image;
    const uint8_t *code = (const uint8_t *)(uintptr_t)function->address;
    const uint8_t *text = (const uint8_t *)(uintptr_t)image->text_low;
    uint64_t text_bytes = image->text_high - image->text_low;
    if (hone_arch_entry_is_entered(code, function->address, function->size, function->address, plan,
                                   HONE_ENTRY_ITSELF))
        return true;
    if (!search->symbols)
        return text_bytes > SCAN_MAX ||
               hone_arch_entry_is_entered(text, image->text_low, text_bytes, function->address,
                                          plan, HONE_ENTRY_ANY_CODE);
    for (size_t i = 0; i < search->symbol_count; i++) {
        const Elf64_Sym *symbol = &search->symbols[i];
        uint64_t at = image->bias + symbol->st_value;
        if (is_part_of(search, symbol, function) && in_text(image, at, symbol->st_size) &&
            hone_arch_entry_is_entered((const uint8_t *)(uintptr_t)at, at, symbol->st_size,
                                       function->address, plan, HONE_ENTRY_PART))
            return true;
    }
    return false;
}

// An operator that calls malloc(), or another operator that does, is seen there.
static void find_handed_on(struct search *search)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < search->count; i++) {
            struct function *from = &search->functions[i];
            if (!hone_other_is_operator(from->name) || from->handed_on)
                continue;
            for (size_t k = 0; k < search->count && !from->handed_on; k++) {
                const struct function *to = &search->functions[k];
                if (hone_other_is_operator(to->name) && !to->handed_on)
                    continue;
                from->handed_on = hone_arch_entry_calls((const uint8_t *)(uintptr_t)from->address,
                                                        from->address, from->size, to->address);
                again = again || from->handed_on;
            }
        }
    }
}

// --- changing them -------------------------------------------------------------------------------

// Memory that a jump from the module reaches, below it: above a program grows its heap.
static struct room *make_room(const struct hone_image *image)
{
    if (room_count == HONE_ARRAY_LENGTH(rooms))
        return NULL;
    uint64_t below = image->low & ~(uint64_t)(NEAR_STEP - 1);
    uint64_t above = (image->high + NEAR_STEP - 1) & ~(uint64_t)(NEAR_STEP - 1);
    for (int step = 0; step < 2 * NEAR_STEPS; step++) {
        uint64_t away = (uint64_t)(step / 2) * NEAR_STEP;
        bool upwards = step % 2;
        if (!upwards && below < away + 3 * (uint64_t)NEAR_STEP)
            continue; // beyond the beginning; the kernel knows the end
        uint64_t at = upwards ? above + away : below - away - NEAR_STEP;
        long memory = hone_syscall6(SYS_mmap, at, ROOM_BYTES, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (memory < 0 && memory > -PAGE)
            continue;
        if ((uint64_t)memory != at) { // an old kernel, which takes it as advice
            (void)hone_syscall2(SYS_munmap, memory, ROOM_BYTES);
            continue;
        }
        struct room *room = &rooms[room_count++];
        *room = (struct room){.low = at, .high = at + ROOM_BYTES};
        return room;
    }
    return NULL;
}

static int protect(uint64_t low, uint64_t high, int protection)
{
    uint64_t from = low & ~(uint64_t)(PAGE - 1);
    return (int)hone_syscall3(SYS_mprotect, from,
                              ((high + PAGE - 1) & ~(uint64_t)(PAGE - 1)) - from, protection);
}

struct change {
    uint64_t at;
    uint8_t bytes[8], before[8];
    uint32_t length;
};

// As a debugger writes: the pages stay as they are protected, for code that runs may lie on them,
// and where that is not allowed nothing has changed.
static bool write_code(uint64_t at, const uint8_t *bytes, uint32_t length)
{
    long fd = hone_syscall4(SYS_openat, AT_FDCWD, "/proc/self/mem", O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    long wrote = hone_syscall4(SYS_pwrite64, fd, bytes, length, at);
    (void)hone_syscall1(SYS_close, fd);
    return wrote == (long)length;
}

// All or none.
static bool write_changes(struct change *changes, size_t count)
{
    size_t done = 0;
    while (done < count && write_code(changes[done].at, changes[done].bytes, changes[done].length))
        done++;
    if (done == count)
        return true;
    while (done-- > 0)
        (void)write_code(changes[done].at, changes[done].before, changes[done].length);
    return false;
}

static bool plan_one(const struct search *search, const struct function *function,
                     struct room *room, size_t number, struct change *ret)
{
    struct entry *entry = (struct entry *)(uintptr_t)room->low + number;
    const uint8_t *code = (const uint8_t *)(uintptr_t)function->address;
    struct hone_entry_plan plan;
    if (!hone_arch_entry_plan(code, function->address, function->size, entry->copy,
                              (uintptr_t)entry->copy, &plan) ||
        is_entered(search, function, &plan))
        return false;
    void *hook = hone_other_hook(function->kind, entry->copy);
    if (!hook)
        return false;
    room->copied[number] = (uint8_t)plan.copied;
    bool result = function->kind != HONE_OTHER_BLOCK;
    hone_arch_entry_island(
        entry->island, (uintptr_t)(result ? hone_gate : hone_gate_without_result), (uintptr_t)hook);
    *ret = (struct change){.at = function->address + plan.at, .length = plan.length};
    memcpy(ret->before, (const void *)(uintptr_t)ret->at, plan.length);
    return hone_arch_entry_jump(ret->bytes, ret->at, (uintptr_t)entry->island);
}

// Whether this is the only thread. Where nobody can tell, it is not.
static bool is_alone(void)
{
    enum { OF_ONE_THREAD = 3 };
    struct statx st;
    return hone_syscall5(SYS_statx, AT_FDCWD, "/proc/self/task", 0, STATX_NLINK, &st) == 0 &&
           st.stx_nlink == OF_ONE_THREAD;
}

struct report {
    char *reason;
    size_t reason_size;
    bool covered;
};

static void say(struct report *report, const char *name, const char *why)
{
    char *at = report->reason;
    size_t name_bytes = strnlen(name, NAME_MAX_BYTES), why_bytes = strlen(why);
    if (at[0] || name_bytes + why_bytes + 1 > report->reason_size)
        return; // the first one is enough
    memcpy(at, name, name_bytes);
    memcpy(at + name_bytes, why, why_bytes + 1);
}

// All functions of a module or none of them: a block that is made unseen and freed seen does no
// harm, but half of an allocator's calls would be taken for all.
static void patch_module(struct search *search, struct report *report)
{
    static struct change changes[FUNCTIONS_MAX];
    struct room *room = NULL;
    size_t planned = 0;
    const char *failed = NULL;
    find_handed_on(search);
    if (search->count && is_alone())
        room = make_room(search->image);
    else if (search->count)
        say(report, search->functions[0].name, "() is in the program, which had threads already");
    if (!room && search->count && is_alone())
        say(report, search->functions[0].name,
            "() is in the program, with no room for a hook near");
    if (!room)
        return;
    for (size_t i = 0; i < search->count && !failed; i++) {
        const struct function *function = &search->functions[i];
        if (function->handed_on)
            continue;
        if (planned == HONE_ARRAY_LENGTH(room->functions) ||
            !plan_one(search, function, room, planned, &changes[planned]))
            failed = function->name;
        else
            room->functions[planned++] = function->address;
    }
    if (failed || search->too_many || protect(room->low, room->high, PROT_READ | PROT_EXEC) != 0) {
        say(report, failed ? failed : search->functions[0].name,
            "() is in the program itself, and cannot be hooked safely");
        planned = 0;
    } else if (!write_changes(changes, planned)) {
        say(report, search->functions[0].name, "() is in the program, which may not be changed");
        planned = 0;
    }
    if (!planned) {
        (void)hone_syscall2(SYS_munmap, room->low, ROOM_BYTES);
        *room = (struct room){0};
        room_count--;
        return;
    }
    if (search->clone)
        say(report, search->clone, " is a variant of the compiler's, whose calls are not seen");
    report->covered = true;
}

// --- modules -------------------------------------------------------------------------------------

static bool lies_in(uint64_t at, uint64_t bytes, uint64_t size)
{
    return at <= size && bytes <= size - at;
}

// The symbols that a program keeps to itself are in its file only.
static void search_file(struct search *search, const uint8_t *file, uint64_t size,
                        const struct dl_phdr_info *info)
{
    const Elf64_Ehdr *header = (const void *)file;
    if (size < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff % 8 ||
        !lies_in(header->e_shoff, header->e_shnum * sizeof(Elf64_Shdr), size))
        return;
    // A program that the loader was told to start has the loader's file.
    size_t headers = header->e_phnum * sizeof(Elf64_Phdr);
    if (header->e_phnum != info->dlpi_phnum || !lies_in(header->e_phoff, headers, size) ||
        memcmp(file + header->e_phoff, info->dlpi_phdr, headers) != 0)
        return;
    const Elf64_Shdr *sections = (const void *)(file + header->e_shoff);
    for (size_t i = 0; i < header->e_shnum; i++) {
        const Elf64_Shdr *table = &sections[i];
        if (table->sh_type != SHT_SYMTAB || table->sh_link >= header->e_shnum ||
            table->sh_offset % 8 || table->sh_size / sizeof(Elf64_Sym) > SYMBOLS_MAX)
            continue;
        const Elf64_Shdr *names = &sections[table->sh_link];
        if (!lies_in(table->sh_offset, table->sh_size, size) ||
            !lies_in(names->sh_offset, names->sh_size, size))
            continue;
        search->symbols = (const void *)(file + table->sh_offset);
        search->symbol_count = table->sh_size / sizeof(Elf64_Sym);
        search->strings = (const char *)file + names->sh_offset;
        search->string_bytes = names->sh_size;
        add_all(search);
        return;
    }
}

// What a module exports under the names that are looked for.
static void search_exports(struct search *search)
{
    static const char *const names[] = {
        "malloc",
        "free",
        "calloc",
        "realloc",
        "aligned_alloc",
        "posix_memalign",
        "memalign",
        "reallocarray",
        "valloc",
        "pvalloc",
        "cfree",
        "mallocx",
        "rallocx",
        "dallocx",
        "sdallocx",
        "_Znwm",
        "_Znam",
        "_ZnwmRKSt9nothrow_t",
        "_ZnamRKSt9nothrow_t",
        "_ZnwmSt11align_val_t",
        "_ZnamSt11align_val_t",
        "_ZnwmSt11align_val_tRKSt9nothrow_t",
        "_ZnamSt11align_val_tRKSt9nothrow_t",
        "_ZdlPv",
        "_ZdaPv",
        "_ZdlPvm",
        "_ZdaPvm",
        "_ZdlPvRKSt9nothrow_t",
        "_ZdaPvRKSt9nothrow_t",
        "_ZdlPvSt11align_val_t",
        "_ZdaPvSt11align_val_t",
        "_ZdlPvmSt11align_val_t",
        "_ZdaPvmSt11align_val_t",
        "_ZdlPvSt11align_val_tRKSt9nothrow_t",
        "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(names); i++) {
        uint64_t size = 0, address = hone_image_find_sized(search->image, names[i], &size);
        if (address)
            add(search, names[i], strlen(names[i]), address, size);
    }
}

static void patch_program(const struct hone_image *image, const struct dl_phdr_info *info,
                          struct report *report)
{
    static struct search search;
    search = (struct search){.image = image};
    const uint8_t *file = NULL;
    struct statx st;
    long fd = hone_syscall4(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0 && hone_syscall5(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &st) == 0) {
        long memory = hone_syscall6(SYS_mmap, 0, st.stx_size, PROT_READ, MAP_PRIVATE, fd, 0);
        file = memory < 0 && memory > -PAGE ? NULL : (const uint8_t *)memory;
    }
    if (fd >= 0)
        (void)hone_syscall1(SYS_close, fd);
    if (file)
        search_file(&search, file, st.stx_size, info);
    if (!search.symbols && image->allocates)
        search_exports(&search);
    patch_module(&search, report);
    if (file)
        (void)hone_syscall2(SYS_munmap, file, st.stx_size);
}

static void patch_library(const struct hone_image *image, struct report *report)
{
    static struct search search;
    search = (struct search){.image = image};
    search_exports(&search);
    patch_module(&search, report);
}

struct visit {
    struct report *report;
    bool first;
};

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct visit *visit = context;
    struct hone_image image;
    bool first = visit->first;
    visit->first = false;
    if (!hone_image_read(info, &image))
        return 0;
    if (first) {
        patch_program(&image, info, visit->report);
    } else if (image.allocates && !hone_image_holds(&image, (uintptr_t)__start_hone_hooks) &&
               !hone_allocator_is_at((const void *)(uintptr_t)image.low)) {
        patch_library(&image, visit->report);
    } else if (image.allocates && image.symbolic && hone_allocator_is_at((void *)image.low) &&
               !hone_allocator_is_libc((void *)image.low)) {
        say(visit->report, "malloc",
            "() is bound inside its own library, whose calls are not seen");
    }
    return 0;
}

bool hone_entries_patch(char *ret_reason, size_t reason_size)
{
    struct report report = {.reason = ret_reason, .reason_size = reason_size};
    struct visit first = {&report, true};
    ret_reason[0] = 0;
    (void)dl_iterate_phdr(visit, &first);
    return report.covered;
}
