#include "probe/heap_blocks.h"

#include "core/syscall.h"
#include "session/layout.h"

#include <stdatomic.h>

#include <sys/mman.h>
#include <sys/resource.h>

enum { REGION_SHIFT = 25, ADDRESS_BITS = 47, GRANULE_SHIFT = 4, PAGE = 4096 };
#define REGIONS ((size_t)1 << (ADDRESS_BITS - REGION_SHIFT))
#define REGION_BLOCKS ((size_t)1 << (REGION_SHIFT - GRANULE_SHIFT))

// One slot for 32 MiB of addresses, touched where there is heap. The second half is for blocks that
// lie 8 above a multiple of 16: most allocators have none, others put two of 8 bytes side by side.
static _Atomic(struct hone_block *) *directory;

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

bool hone_blocks_begin(void)
{
    uint64_t limit[2];
    if (!directory &&
        (hone_syscall4(SYS_prlimit64, 0, RLIMIT_AS, NULL, limit) != 0 || limit[0] != UINT64_MAX))
        return false;
    if (!directory)
        directory = hone_heap_reserve(2 * REGIONS * sizeof *directory);
    return directory != NULL;
}

static struct hone_block *make_region(_Atomic(struct hone_block *) *slot)
{
    struct hone_block *region = hone_heap_reserve(REGION_BLOCKS * sizeof *region), *other = NULL;
    if (region && !atomic_compare_exchange_strong_explicit(
                      slot, &other, region, memory_order_acq_rel, memory_order_acquire)) {
        hone_heap_unreserve(region, REGION_BLOCKS * sizeof *region);
        region = other; // somebody else was faster
    }
    return region;
}

struct hone_block *hone_block_at(uint64_t address, bool make)
{
    if (HONE_UNLIKELY(address >> ADDRESS_BITS))
        return NULL;
    size_t half = address & 8 ? REGIONS : 0;
    _Atomic(struct hone_block *) *slot = &directory[half + (address >> REGION_SHIFT)];
    struct hone_block *region = atomic_load_explicit(slot, memory_order_acquire);
    if (HONE_UNLIKELY(!region) && !(make && (region = make_region(slot))))
        return NULL;
    return &region[(address >> GRANULE_SHIFT) & (REGION_BLOCKS - 1)];
}

void hone_blocks_tell(struct hone_scan_places *ret)
{
    ret->directory = (uintptr_t)directory;
    ret->directory_bytes = directory ? 2 * REGIONS * sizeof *directory : 0;
    ret->region_shift = REGION_SHIFT;
    ret->block_bytes = sizeof(struct hone_block);
}
