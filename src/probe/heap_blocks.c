#include "probe/heap_blocks.h"

#include "core/syscall.h"
#include "session/layout.h"

#include <sys/mman.h>
#include <sys/resource.h>

enum { PAGE = 4096 };
#define DIRECTORY_BYTES (2 * HONE_BLOCK_REGIONS * sizeof *hone_block_directory)
#define REGION_BYTES (HONE_BLOCK_REGION_BLOCKS * sizeof(struct hone_block))

_Atomic(struct hone_block *) *hone_block_directory;

void *hone_heap_reserve(size_t bytes)
{
    long memory = hone_syscall6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory < 0 && memory > -PAGE)
        return NULL;
    (void)hone_syscall3(SYS_madvise, memory, (long)bytes, MADV_DONTDUMP);
    return (void *)memory;
}

void hone_heap_unreserve(void *memory, size_t bytes)
{
    (void)hone_syscall2(SYS_munmap, (long)memory, (long)bytes);
}

// What we would reserve is then missing to the program.
static bool is_limited(long resource)
{
    uint64_t limit[2];
    return hone_syscall4(SYS_prlimit64, 0, resource, NULL, limit) != 0 || limit[0] != UINT64_MAX;
}

bool hone_blocks_begin(void)
{
    if (!hone_block_directory && (is_limited(RLIMIT_AS) || is_limited(RLIMIT_DATA)))
        return false;
    if (!hone_block_directory)
        hone_block_directory = hone_heap_reserve(DIRECTORY_BYTES);
    return hone_block_directory != NULL;
}

struct hone_block *hone_block_make_region(_Atomic(struct hone_block *) *slot)
{
    struct hone_block *region = hone_heap_reserve(REGION_BYTES), *other = NULL;
    if (region && !atomic_compare_exchange_strong_explicit(
                      slot, &other, region, memory_order_acq_rel, memory_order_acquire)) {
        hone_heap_unreserve(region, REGION_BYTES);
        region = other; // somebody else was faster
    }
    return region;
}

void hone_blocks_tell(struct hone_scan_places *ret)
{
    ret->directory = (uintptr_t)hone_block_directory;
    ret->directory_bytes = hone_block_directory ? DIRECTORY_BYTES : 0;
    ret->region_shift = HONE_BLOCK_REGION_SHIFT;
    ret->block_bytes = sizeof(struct hone_block);
}
