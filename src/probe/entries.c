#include "probe/entries.h"

#include "core/syscall.h"
#include "probe/allocator.h"
#include "probe/entries_find.h"
#include "probe/heap.h"
#include "probe/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
    PAGE = 4096,
    NAME_MAX_BYTES = 64,
    NEAR_STEP = 512 << 10, // where memory near a module is looked for, up to …
    NEAR_STEPS = 3500,     // … as far as a jump goes: allocators take large pieces beside it
    ROOM_BYTES = 4 * PAGE,
};

// What was changed: an island that leads to the hook, and the copy of what it stands in place of.
struct entry {
    uint8_t island[HONE_ENTRY_ISLAND];
    uint8_t copy[HONE_ENTRY_COPY_MAX];
};

_Static_assert(sizeof(struct entry) == 128, "an address tells which one it is in");

static struct room {
    uint64_t low, high; // memory of entries; written at start only
    uint64_t usable;    // malloc_usable_size() of the module; 0: not known
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

size_t (*hone_entry_usable(uint64_t copy))(void *)
{
    for (uint32_t i = 0; i < room_count; i++)
        if (copy - rooms[i].low < rooms[i].high - rooms[i].low)
            return (size_t(*)(void *))(uintptr_t)rooms[i].usable;
    return NULL;
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

// Code of which a page was changed lies in the program's core, all of it, megabytes of a C library.
// Who reads the core finds it in the file, as ever. All at once, so that it stays one mapping.
static void leave_out_of_cores(const struct hone_image *image)
{
    uint64_t from = image->text_low & ~(uint64_t)(PAGE - 1);
    uint64_t to = (image->text_high + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    (void)hone_syscall3(SYS_madvise, from, to - from, MADV_DONTDUMP);
}

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

static bool plan_one(struct hone_entry_function *function, const struct room *room, size_t number)
{
    struct entry *entry = (struct entry *)(uintptr_t)room->low + number;
    return hone_arch_entry_plan((const uint8_t *)(uintptr_t)function->address, function->address,
                                function->size, entry->copy, (uintptr_t)entry->copy,
                                &function->plan);
}

static bool prepare_change(const struct hone_entry_function *function, struct room *room,
                           size_t number, struct change *ret)
{
    struct entry *entry = (struct entry *)(uintptr_t)room->low + number;
    const struct hone_entry_plan *plan = &function->plan;
    void *hook = hone_other_hook(function->kind, entry->copy);
    if (!hook)
        return false;
    room->functions[number] = function->address;
    room->copied[number] = (uint8_t)plan->copied;
    bool result = function->kind != HONE_OTHER_BLOCK && function->kind != HONE_OTHER_END;
    hone_arch_entry_island(
        entry->island, (uintptr_t)(result ? hone_gate : hone_gate_without_result), (uintptr_t)hook);
    *ret = (struct change){.at = function->address + plan->at, .length = plan->length};
    memcpy(ret->before, (const void *)(uintptr_t)ret->at, plan->length);
    return hone_arch_entry_jump(ret->bytes, ret->at, (uintptr_t)entry->island);
}

bool hone_is_alone(void)
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

// The changes of all functions of a module. NULL: they are ready; else the one that cannot be.
static const char *plan_all(struct hone_entry_search *search, struct room *room,
                            struct change *changes, size_t *ret_count)
{
    size_t planned = 0;
    for (size_t i = 0; i < search->count; i++) {
        struct hone_entry_function *function = &search->functions[i];
        if (function->handed_on)
            continue;
        if (planned < HONE_ARRAY_LENGTH(room->functions) && plan_one(function, room, planned))
            planned++;
        else if (function->kind == HONE_OTHER_END)
            function->left = true;
        else
            return function->name;
    }
    hone_entries_find_entered(search);
    size_t number = 0, count = 0;
    for (size_t i = 0; i < search->count; i++) {
        const struct hone_entry_function *function = &search->functions[i];
        if (function->handed_on || function->left)
            continue;
        size_t at = number++;
        if (!function->entered && prepare_change(function, room, at, &changes[count]))
            count++;
        else if (function->kind != HONE_OTHER_END)
            return function->name;
    }
    *ret_count = count;
    return NULL;
}

// All functions of a module or none of them: a block that is made unseen and freed seen does no
// harm, but half of an allocator's calls would be taken for all.
static void patch_module(struct hone_entry_search *search, struct report *report)
{
    static struct change changes[HONE_ENTRIES_MAX];
    const char *first = search->allocates;
    if (!first)
        return;
    if (!hone_is_alone()) {
        say(report, first, "() is in the program, which had threads already");
        return;
    }
    struct room *room = make_room(search->image);
    if (!room) {
        say(report, first, "() is in the program, with no room for a hook near");
        return;
    }
    size_t planned = 0;
    hone_entries_find_handed_on(search);
    const char *failed = plan_all(search, room, changes, &planned);
    if (failed || search->too_many || protect(room->low, room->high, PROT_READ | PROT_EXEC) != 0) {
        say(report, failed ? failed : first,
            "() is in the program itself, and cannot be hooked safely");
        planned = 0;
    } else if (!write_changes(changes, planned)) {
        say(report, first, "() is in the program, which may not be changed");
        planned = 0;
    }
    if (!planned) {
        (void)hone_syscall2(SYS_munmap, room->low, ROOM_BYTES);
        *room = (struct room){0};
        room_count--;
        return;
    }
    leave_out_of_cores(search->image);
    room->usable = hone_entries_usable(search);
    if (search->clone)
        say(report, search->clone, " is a variant of the compiler's, whose calls are not seen");
    report->covered = true;
}

// --- functions that lead to ours -----------------------------------------------------------------

static bool prepare_lead(const struct hone_entry_lead *lead, struct room *room, size_t number,
                         struct change *ret)
{
    struct entry *entry = (struct entry *)(uintptr_t)room->low + number;
    const uint8_t *code = (const uint8_t *)(uintptr_t)lead->address;
    struct hone_entry_plan plan;
    if (!hone_arch_entry_plan(code, lead->address, lead->size, entry->copy, (uintptr_t)entry->copy,
                              &plan) ||
        hone_arch_entry_is_entered(code, lead->address, lead->size, lead->address, &plan,
                                   HONE_ENTRY_ITSELF))
        return false;
    hone_arch_entry_lead(entry->island, lead->hook);
    room->functions[number] = lead->address;
    room->copied[number] = (uint8_t)plan.copied;
    *ret = (struct change){.at = lead->address + plan.at, .length = plan.length};
    return hone_arch_entry_jump(ret->bytes, ret->at, (uintptr_t)entry->island);
}

void hone_entries_lead(const struct hone_image *image, const struct hone_entry_lead *leads,
                       size_t count)
{
    struct room *room = make_room(image);
    struct change changes[HONE_ARRAY_LENGTH(room->functions)];
    if (!room)
        return;
    for (size_t i = 0; i < count; i++)
        if (!prepare_lead(&leads[i], room, i, &changes[i]))
            changes[i].length = 0;
    if (protect(room->low, room->high, PROT_READ | PROT_EXEC) != 0)
        count = 0;
    if (count)
        leave_out_of_cores(image);
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = (struct entry *)(uintptr_t)room->low + i;
        if (!changes[i].length || !write_code(changes[i].at, changes[i].bytes, changes[i].length))
            continue;
        for (size_t k = 0; k < HONE_ARRAY_LENGTH(leads[i].copies); k++)
            if (leads[i].copies[k])
                *leads[i].copies[k] = entry->copy;
    }
}

// --- modules -------------------------------------------------------------------------------------

static void patch_program(const struct hone_image *image, const struct dl_phdr_info *info,
                          struct report *report)
{
    static struct hone_entry_search search;
    search = (struct hone_entry_search){.image = image};
    const uint8_t *file = NULL;
    struct statx st;
    long fd = hone_syscall4(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0 && hone_syscall5(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &st) == 0) {
        long memory = hone_syscall6(SYS_mmap, 0, st.stx_size, PROT_READ, MAP_PRIVATE, fd, 0);
        file = memory < 0 && memory > -PAGE ? NULL : (const uint8_t *)memory;
    }
    search.fd = (int)fd;
    if (file)
        hone_entries_find_in_file(&search, file, st.stx_size, info);
    if (!search.symbols && image->allocates)
        hone_entries_find_exports(&search);
    patch_module(&search, report);
    // Of a static program this is among its own data, where words that look like addresses of what
    // will be mapped in the file's place keep leaks from being seen.
    search = (struct hone_entry_search){0};
    if (file)
        (void)hone_syscall2(SYS_munmap, file, st.stx_size);
    if (fd >= 0)
        (void)hone_syscall1(SYS_close, fd);
}

static void patch_library(const struct hone_image *image, struct report *report)
{
    static struct hone_entry_search search;
    search = (struct hone_entry_search){.image = image};
    hone_entries_find_exports(&search);
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
