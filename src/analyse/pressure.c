#include "analyse/pressure.h"

#include "analyse/confidence.h"
#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- names ---------------------------------------------------------------------------------------

// Whole names. Below these an allocator may call what it likes, so its other names need not be
// known; those listed besides are glibc's, which it also enters by a jump.
static const char *const allocators[] = {
    "malloc",
    "free",
    "calloc",
    "realloc",
    "reallocarray",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
    "valloc",
    "pvalloc",
    "cfree",
    "free_sized",
    "free_aligned_sized",
    "malloc_trim",
    "malloc_usable_size",
    "__libc_malloc",
    "__libc_free",
    "__libc_calloc",
    "__libc_realloc",
    "__libc_memalign",
    "__libc_free_impl",
    "_int_malloc",
    "_int_free",
    "_int_free_chunk",
    "_int_free_merge_chunk",
    "_int_free_maybe_consolidate",
    "_int_realloc",
    "_int_memalign",
    "malloc_consolidate",
    "unlink_chunk",
    "unlink_chunk.constprop.0",
    "unlink_chunk.isra.0",
    "sysmalloc",
    "systrim",
    "systrim.constprop.0",
    "systrim.isra.0",
    "tcache_thread_shutdown",
    "arena_get2",
    "arena_get_retry",
    "heap_trim",
    "munmap_chunk",
    "__rust_alloc",
    "__rust_dealloc",
    "__rust_realloc",
    "__rust_alloc_zeroed",
    "runtime.mallocgc",
    NULL,
};

static const char *const allocator_starts[] = {
    "operator new", "operator delete", "tcmalloc::", "__rdl_", "__rg_", NULL,
};

// What allocators with names of their own put before these, and call besides.
static const char *const own_names[] = {"je_", "tc_", "mi_", "_mi_", NULL};
static const char *const own_calls[] = {
    "new",     "newarray", "delete",   "deletearray", "mallocx",      "rallocx",
    "xallocx", "dallocx",  "sdallocx", "zalloc",      "malloc_small", NULL,
};

static const char *const libraries[] = {
    "libjemalloc.so", "libtcmalloc.so", "libtcmalloc_minimal.so", "libmimalloc.so", NULL,
};

static const char *const system_calls[] = {
    "mmap", "mmap64", "munmap", "madvise", "brk", "sbrk", "mremap", NULL,
};

static const char *const page_faults[] = {
    "asm_exc_page_fault",
    "exc_page_fault",
    "do_user_addr_fault",
    "handle_mm_fault",
    "__handle_mm_fault",
    "do_anonymous_page",
    "do_page_fault",
    "do_mem_abort",
    "do_translation_fault",
    "faultin_page",
    NULL,
};

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static bool starts_with_one_of(const char *name, const char *const *starts)
{
    for (; *starts; starts++)
        if (strncmp(name, *starts, strlen(*starts)) == 0)
            return true;
    return false;
}

static bool is_allocator(const char *name)
{
    if (is_one_of(name, allocators) || starts_with_one_of(name, allocator_starts))
        return true;
    for (const char *const *own = own_names; *own; own++)
        if (strncmp(name, *own, strlen(*own)) == 0 && (is_one_of(name + strlen(*own), allocators) ||
                                                       is_one_of(name + strlen(*own), own_calls)))
            return true;
    return false;
}

// The same without what the kernel and libc put in front of a system call's name.
static const char *bare_call(const char *name)
{
    static const char *const before[] = {"__x64_sys_", "__arm64_sys_", "__se_sys_", "__do_sys_",
                                         "__GI___",    "__",           NULL};
    for (const char *const *at = before; *at; at++)
        if (strncmp(name, *at, strlen(*at)) == 0)
            return name + strlen(*at);
    return name;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_kernel(const char *file)
{
    return strncmp(file, "[kernel", strlen("[kernel")) == 0;
}

static enum hone_pressure_kind kind_of_name(const char *name, bool kernel)
{
    if (kernel && is_one_of(name, page_faults))
        return HONE_PRESSURE_FAULTS;
    if (is_one_of(bare_call(name), system_calls))
        return HONE_PRESSURE_KERNEL;
    if (!kernel && is_allocator(name))
        return HONE_PRESSURE_ALLOCATOR;
    return HONE_PRESSURE_NONE;
}

// A hook of ours in front of an allocator's function.
#define HOOK HONE_PRESSURE_KINDS

// --- stacks --------------------------------------------------------------------------------------

static enum hone_pressure_kind kind_of_location(const struct hone_profile *p, uint32_t location)
{
    const char *file = hone_profile_text(p, p->mappings.at[p->locations.mapping[location]].file);
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    enum hone_pressure_kind kind = HONE_PRESSURE_NONE;
    bool ours = strcmp(base_name(file), "libhone.so") == 0;
    for (uint32_t i = 0; i < lines.count && kind == HONE_PRESSURE_NONE; i++)
        kind = kind_of_name(hone_profile_text(p, p->functions.system_name[lines.at[i].function]),
                            is_kernel(file));
    for (uint32_t i = 0; i < lines.count && kind == HONE_PRESSURE_NONE; i++)
        kind = kind_of_name(hone_profile_text(p, p->functions.name[lines.at[i].function]),
                            is_kernel(file));
    if (kind == HONE_PRESSURE_NONE && starts_with_one_of(base_name(file), libraries))
        kind = HONE_PRESSURE_ALLOCATOR;
    return !ours ? kind : kind == HONE_PRESSURE_ALLOCATOR ? HOOK : HONE_PRESSURE_RECORDER;
}

// The innermost frame that says what it is. The recorder's own time is what runs in it; what its
// hooks call is the allocator, also where that has no name.
static enum hone_pressure_kind kind_of_stack(struct hone_profile_span frames, const uint8_t *kinds)
{
    for (uint32_t i = 0; i < frames.count; i++) {
        enum hone_pressure_kind kind = (enum hone_pressure_kind)kinds[frames.at[i]];
        if (kind == HOOK)
            return i ? HONE_PRESSURE_ALLOCATOR : HONE_PRESSURE_RECORDER;
        if (kind == HONE_PRESSURE_RECORDER && i)
            continue;
        if (kind != HONE_PRESSURE_NONE)
            return kind;
    }
    return HONE_PRESSURE_NONE;
}

static int find_cpu(const struct hone_profile *p, uint32_t *ret, struct hone_error *err)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (strcmp(hone_profile_text(p, p->types[i].type), "cpu") == 0) {
            *ret = i;
            return 0;
        }
    return hone_error_set(err, -EINVAL, "this is no profile of CPU time");
}

static int limit(const struct hone_profile *p, uint32_t type, struct hone_pressure *pressure)
{
    struct hone_confidence confidence;
    int r = hone_confidence_of(p, type, &confidence);
    if (r || pressure->total <= 0)
        return r;
    pressure->samples = confidence.taken;
    pressure->share =
        (pressure->values[HONE_PRESSURE_ALLOCATOR] + pressure->values[HONE_PRESSURE_KERNEL] +
         pressure->values[HONE_PRESSURE_FAULTS]) /
        pressure->total;
    if (confidence.samples >= 1)
        hone_confidence_limits(&confidence, pressure->share < 1 ? pressure->share : 1,
                               &pressure->low, &pressure->high);
    return 0;
}

int hone_pressure_of(const struct hone_profile *profile, struct hone_pressure *ret,
                     struct hone_error *err)
{
    uint32_t type = 0;
    int r = find_cpu(profile, &type, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_freep) uint8_t *kinds = calloc(profile->locations.count, 1);
    if (!kinds)
        return hone_error_set(err, -ENOMEM, "cannot judge the profile");
    struct hone_pressure pressure = {0};
    for (uint32_t i = 0; i < profile->locations.count; i++)
        kinds[i] = (uint8_t)kind_of_location(profile, i);
    for (uint32_t i = 0; i < profile->mappings.count; i++)
        pressure.faults_known |=
            is_kernel(hone_profile_text(profile, profile->mappings.at[i].file));
    for (uint32_t i = 0; i < profile->samples.count; i++) {
        int64_t value = profile->samples.values[type][i];
        enum hone_pressure_kind kind =
            kind_of_stack(hone_profile_frames_of(profile, profile->samples.stack[i]), kinds);
        pressure.values[kind] += (double)value;
        pressure.total += kind == HONE_PRESSURE_RECORDER ? 0 : (double)value;
    }
    r = limit(profile, type, &pressure);
    if (r)
        return hone_error_set(err, r, "cannot judge the profile");
    *ret = pressure;
    return 0;
}
