// Functions that belong to the measurement or to the allocator itself, which pprof leaves out of
// what it shows. Its files of today bring such patterns with them; for older ones it knows these,
// and files converted by either are to say the same.
#include "profile/legacy.h"

static const char allocators[] =
    "calloc|cfree|malloc|free|memalign|do_memalign|(__)?posix_memalign|pvalloc|valloc|"
    "realloc|tcmalloc::.*|tc_calloc|tc_cfree|tc_malloc|tc_free|tc_memalign|"
    "tc_posix_memalign|tc_pvalloc|tc_valloc|tc_realloc|tc_new|tc_delete|tc_newarray|"
    "tc_deletearray|tc_new_nothrow|tc_newarray_nothrow|malloc_zone_malloc|"
    "malloc_zone_calloc|malloc_zone_valloc|malloc_zone_realloc|malloc_zone_memalign|"
    "malloc_zone_free|runtime\\..*|BaseArena::.*|(::)?do_malloc_no_errno|"
    "(::)?do_malloc_pages|(::)?do_malloc|DoSampledAllocation|"
    "MallocedMemBlock::MallocedMemBlock|_M_allocate|__builtin_(vec_)?delete|"
    "__builtin_(vec_)?new|__gnu_cxx::new_allocator::allocate|__libc_malloc|"
    "__malloc_alloc_template::allocate|allocate|cpp_alloc|operator new(\\[\\])?|"
    "simple_alloc::allocate";

// Parts of Go's runtime that stay in the middle of a stack.
static const char allocators_but[] = "runtime\\.panic|runtime\\.reflectcall|runtime\\.call[0-9]*";

static const char cpu_profiler[] =
    "ProfileData::Add|ProfileData::prof_handler|CpuProfiler::prof_handler|"
    "__pthread_sighandler|__restore";

static const char locks[] =
    "RecordLockProfileData|(base::)?RecordLockProfileData.*|"
    "(base::)?SubmitMutexProfileData.*|(base::)?SubmitSpinLockProfileData.*|"
    "(base::Mutex::)?AwaitCommon.*|(base::Mutex::)?Unlock.*|(base::Mutex::)?UnlockSlow.*|"
    "(base::Mutex::)?ReaderUnlock.*|(base::MutexLock::)?~MutexLock.*|"
    "(Mutex::)?AwaitCommon.*|(Mutex::)?Unlock.*|(Mutex::)?UnlockSlow.*|"
    "(Mutex::)?ReaderUnlock.*|(MutexLock::)?~MutexLock.*|(SpinLock::)?Unlock.*|"
    "(SpinLock::)?SlowUnlock.*|(SpinLockHolder::)?~SpinLockHolder.*";

static bool has_types(const struct hone_profile *p, uint32_t count, const char *const *types)
{
    bool has = p->type_count == count;
    for (uint32_t i = 0; has && i < count; i++)
        has = strcmp(hone_profile_text(p, p->types[i].type), types[i]) == 0;
    return has;
}

static bool is_heap(const struct hone_profile *p)
{
    static const char *const all[] = {"alloc_objects", "alloc_space", "inuse_objects",
                                      "inuse_space"};
    static const char *const pairs[][2] = {{"allocations", "size"},
                                           {"objects", "space"},
                                           {"inuse_objects", "inuse_space"},
                                           {"alloc_objects", "alloc_space"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (has_types(p, 2, pairs[i]))
            return true;
    return has_types(p, 4, all);
}

void hone_legacy_set_frames(struct hone_profile *p)
{
    static const char *const contention[] = {"contentions", "delay"};
    const char *drop = cpu_profiler;
    const char *keep = NULL;
    if (is_heap(p)) {
        drop = allocators;
        keep = allocators_but;
    } else if (has_types(p, 2, contention)) {
        drop = locks;
    }
    p->drop_frames = hone_profile_intern(p, drop);
    p->keep_frames = hone_profile_intern(p, keep);
}
