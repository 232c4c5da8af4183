#include "capture/scan_mark.h"

#include "base/array.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    REGION_SHIFT = 25, // 32 MiB of addresses
    PAGE_SHIFT = 12,
    PAGES = 1 << (REGION_SHIFT - PAGE_SHIFT), // of a region
    ADDRESS_BITS = 47,
    WORD = 8,
    BUFFER_BYTES = 1 << 18, // stays in the processor's cache until it has been looked at
    LARGE_BYTES = 64 << 10, // of a block that is read by its pages
    WINDOW_BYTES = 16 << 10,
    WINDOWS = 16 << 10, // 256 MiB of memory that was read are kept, where so much was
    BLOCKS_BETWEEN = 4096,
    SOUGHT = 1 << 19,           // pages that have a bit each: 2 GiB, and 64 KiB for the bits
    TOGETHER = 4,               // words that are looked at together
    REGIONS_USED_MAX = 1 << 16, // 2 TiB that blocks are in, 2 GiB of tables
};

#define REGIONS ((size_t)1 << (ADDRESS_BITS - REGION_SHIFT))
#define NO_BLOCK UINT32_MAX

#define REGIONS_BYTES (REGIONS * sizeof(uint32_t *))
#define WINDOWS_BYTES ((size_t)WINDOWS * WINDOW_BYTES)

// Memory of which little may be touched: malloc() may be told to fill all that it gives out.
static void *reserve(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void unreserve(void *memory, size_t bytes)
{
    if (memory)
        (void)munmap(memory, bytes);
}

void hone_scan_heap_done(struct hone_scan_heap *heap)
{
    for (uint32_t i = 0; heap->regions && i < heap->used_count; i++)
        free(heap->regions[heap->used[i]]);
    free(heap->reach);
    free(heap->sought);
    unreserve((void *)heap->regions, REGIONS_BYTES);
    free(heap->used);
    free(heap->work);
    free(heap->buffer);
    unreserve(heap->windows, WINDOWS_BYTES);
    free(heap->window_starts);
    *heap = (struct hone_scan_heap){0};
}

static uint64_t end_of(const struct hone_scan_block *block)
{
    // A block of no bytes has an address, too.
    return block->address + (block->size ? block->size : 1);
}

// The region's pages, of which none has been entered yet when it is new.
static uint32_t *region_of(struct hone_scan_heap *heap, uint64_t number)
{
    if (!heap->regions[number]) {
        if (heap->used_count == REGIONS_USED_MAX)
            return NULL;
        if (!hone_array_reserve(&heap->used, &heap->used_room, (uint64_t)heap->used_count + 1,
                                sizeof *heap->used))
            return NULL;
        heap->regions[number] = calloc(PAGES, sizeof *heap->regions[number]);
        if (heap->regions[number])
            heap->used[heap->used_count++] = (uint32_t)number;
    }
    return heap->regions[number];
}

// Pages get the number of the first block that begins in them or behind them, as far as the region
// of the block before it goes on: [from, to] by number of page.
static bool enter(struct hone_scan_heap *heap, uint64_t from, uint64_t to, uint32_t block)
{
    for (uint64_t page = from; page <= to; page++) {
        uint32_t *first = region_of(heap, page / PAGES);
        if (!first)
            return false;
        first[page % PAGES] = block;
    }
    return true;
}

static bool index_blocks(struct hone_scan_heap *heap)
{
    uint64_t entered = 0; // pages before this one have their number
    for (uint32_t i = 0; i < heap->count; i++) {
        const struct hone_scan_block *block = &heap->blocks[i];
        uint64_t page = block->address >> PAGE_SHIFT;
        uint64_t from = page / PAGES * PAGES;
        if (page >= entered && !enter(heap, from > entered ? from : entered, page, i))
            return false;
        entered = page >= entered ? page + 1 : entered;
        // What is behind it is this block's or a later one's.
        uint64_t last = (end_of(block) - 1) >> PAGE_SHIFT;
        last = (last / PAGES + 1) * PAGES - 1;
        uint64_t next =
            i + 1 < heap->count ? heap->blocks[i + 1].address >> PAGE_SHIFT : UINT64_MAX;
        if (last >= next)
            last = next - 1;
        if (last >= entered && last != UINT64_MAX) {
            if (!enter(heap, entered, last, i + 1))
                return false;
            entered = last + 1;
        }
    }
    return true;
}

int hone_scan_heap_init(struct hone_scan_heap *heap, const struct hone_scan_block *blocks,
                        uint32_t count)
{
    *heap = (struct hone_scan_heap){.blocks = blocks, .count = count};
    heap->reach = calloc((size_t)count + 1, 1);
    heap->work = malloc(((size_t)count + 1) * sizeof *heap->work);
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    heap->regions = (uint32_t **)reserve(REGIONS_BYTES);
    heap->buffer = malloc(BUFFER_BYTES);
    heap->sought = malloc(SOUGHT / CHAR_BIT);
    heap->windows = reserve(WINDOWS_BYTES);
    heap->window_starts = calloc(WINDOWS, sizeof *heap->window_starts);
    if (!heap->windows || !heap->window_starts || !heap->reach || !heap->work || !heap->regions ||
        !heap->buffer || !heap->sought || !index_blocks(heap)) {
        hone_scan_heap_done(heap);
        return -ENOMEM;
    }
    hone_scan_heap_seek(heap);
    return 0;
}

void hone_scan_heap_seek(struct hone_scan_heap *heap)
{
    enum { BITS = sizeof *heap->sought * CHAR_BIT };
    memset(heap->sought, 0, SOUGHT / CHAR_BIT);
    heap->low = heap->high = 0;
    for (uint32_t i = 0; i < heap->count; i++) {
        const struct hone_scan_block *block = &heap->blocks[i];
        if (heap->reach[i] != HONE_REACH_UNREACHABLE)
            continue;
        if (!heap->high)
            heap->low = block->address;
        heap->high = end_of(block) + WORD; // see hone_scan_heap_find()
        uint64_t from = block->address >> PAGE_SHIFT, to = (heap->high - 1) >> PAGE_SHIFT;
        if (to - from >= SOUGHT)
            to = from + SOUGHT - 1; // all of them
        for (uint64_t page = from; page <= to; page++)
            heap->sought[page % SOUGHT / BITS] |= (uint64_t)1 << page % BITS;
    }
}

static bool is_sought(const struct hone_scan_heap *heap, uint64_t address)
{
    enum { BITS = sizeof *heap->sought * CHAR_BIT };
    uint64_t page = address >> PAGE_SHIFT;
    return address - heap->low < heap->high - heap->low &&
           heap->sought[page % SOUGHT / BITS] >> page % BITS & 1;
}

// The last block that does not begin behind the address; NO_BLOCK: none in its neighbourhood.
static uint32_t last_before(const struct hone_scan_heap *heap, uint64_t address)
{
    const uint32_t *first = heap->regions[address >> REGION_SHIFT];
    if (!first) // but for what lies just behind the last block of the region before
        return address << (64 - REGION_SHIFT) || !address ? NO_BLOCK
                                                          : last_before(heap, address - 1);
    uint32_t low = first[address >> PAGE_SHIFT & (PAGES - 1)], high = low;
    while (high < heap->count && heap->blocks[high].address <= address)
        high = high - low > 8 ? high + (high - low) : high + 1;
    high = high < heap->count ? high : heap->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (heap->blocks[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : NO_BLOCK;
}

// Whether the address can be that of an empty array, just behind its length.
static bool is_behind_word(const struct hone_scan_block *block, uint64_t address)
{
    return block->size == WORD && address == block->address + WORD;
}

uint32_t hone_scan_heap_find(const struct hone_scan_heap *heap, uint64_t address)
{
    if (address >> ADDRESS_BITS)
        return NO_BLOCK;
    uint32_t at = last_before(heap, address);
    if (at == NO_BLOCK ||
        (address >= end_of(&heap->blocks[at]) && !is_behind_word(&heap->blocks[at], address)))
        return NO_BLOCK;
    return at;
}

static bool is_zero(struct hone_scan_memory *memory, uint64_t address)
{
    uint64_t word = 1;
    struct iovec to = {&word, sizeof word};
    struct iovec from = {(void *)(uintptr_t)address,
                         sizeof word}; // NOLINT(performance-no-int-to-ptr)
    return memory->read(memory->context, &to, &from, 1) == 1 && word == 0;
}

// A word of block `owner` that is in block `at`, or just behind it. A block does not count as
// pointing to itself.
static void reach_block(struct hone_scan_heap *heap, struct hone_scan_memory *memory, uint64_t word,
                        uint32_t at, uint32_t owner, enum hone_reach reach)
{
    if (heap->reach[at] != HONE_REACH_UNREACHABLE || at == owner)
        return;
    const struct hone_scan_block *block = &heap->blocks[at];
    if (is_behind_word(block, word) && !is_zero(memory, block->address))
        return;
    if (heap->skip_tails && word % (2 * WORD) == 0 && block->size >= 2 * WORD &&
        word + WORD >= end_of(block))
        return;
    heap->reach[at] = (uint8_t)reach;
    if (reach != HONE_REACH_INDIRECT)
        heap->work[heap->work_count++] = at;
}

static void mark_one(struct hone_scan_heap *heap, struct hone_scan_memory *memory, uint64_t word,
                     uint32_t owner, enum hone_reach reach)
{
    uint32_t at = hone_scan_heap_find(heap, word);
    if (at == NO_BLOCK)
        return;
    reach_block(heap, memory, word, at, owner, reach);
    // Where small blocks lie side by side, what is just behind one is the next one's as well.
    if (at && word == heap->blocks[at].address && is_behind_word(&heap->blocks[at - 1], word))
        reach_block(heap, memory, word, at - 1, owner, reach);
}

// Most words are no addresses of blocks at all: without a branch for each.
static bool are_all_elsewhere(const struct hone_scan_heap *heap, const uint64_t words[TOGETHER])
{
    const uint64_t low = heap->low, span = heap->high - low;
    return ((words[0] - low >= span) & (words[1] - low >= span) & (words[2] - low >= span) &
            (words[3] - low >= span)) != 0;
}

static void mark(struct hone_scan_heap *heap, struct hone_scan_memory *memory,
                 const uint64_t *words, size_t count, uint32_t owner, enum hone_reach reach)
{
    for (size_t i = 0; i < count;) {
        size_t end = count - i < TOGETHER ? count : i + TOGETHER;
        if (end - i == TOGETHER && are_all_elsewhere(heap, words + i))
            i = end;
        for (; i < end; i++)
            if (is_sought(heap, words[i]))
                mark_one(heap, memory, words[i], owner, reach);
    }
}

void hone_scan_mark_words(struct hone_scan_heap *heap, struct hone_scan_memory *memory,
                          const uint64_t *words, size_t count, enum hone_reach reach)
{
    mark(heap, memory, words, count, NO_BLOCK, reach);
}

// Page by page: one that cannot be read, such as the guard of a stack, leaves the others.
static void mark_pages(struct hone_scan_heap *heap, struct hone_scan_memory *memory, uint64_t from,
                       uint64_t to, uint32_t owner, enum hone_reach reach)
{
    while (from < to) {
        uint64_t end = ((from >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
        size_t bytes = (size_t)((end < to ? end : to) - from);
        struct iovec into = {heap->buffer, bytes};
        struct iovec out = {(void *)(uintptr_t)from, bytes}; // NOLINT(performance-no-int-to-ptr)
        if (memory->read(memory->context, &into, &out, 1) == 1) {
            memory->bytes_read += bytes;
            mark(heap, memory, (const uint64_t *)(void *)heap->buffer, bytes / WORD, owner, reach);
        }
        from += bytes;
    }
}

static int mark_run(struct hone_scan_heap *heap, struct hone_scan_memory *memory, uint64_t from,
                    uint64_t to, uint32_t owner, enum hone_reach reach)
{
    while (from < to) {
        if (!memory->go_on(memory->context))
            return -ETIME;
        size_t bytes = to - from < BUFFER_BYTES ? (size_t)(to - from) : BUFFER_BYTES;
        struct iovec into = {heap->buffer, bytes};
        struct iovec out = {(void *)(uintptr_t)from, bytes}; // NOLINT(performance-no-int-to-ptr)
        if (memory->read(memory->context, &into, &out, 1) == 1) {
            memory->bytes_read += bytes;
            mark(heap, memory, (const uint64_t *)(void *)heap->buffer, bytes / WORD, owner, reach);
        } else {
            mark_pages(heap, memory, from, from + bytes, owner, reach);
        }
        from += bytes;
    }
    return 0;
}

static int mark_range(struct hone_scan_heap *heap, struct hone_scan_memory *memory, uint64_t from,
                      uint64_t to, uint32_t owner, enum hone_reach reach)
{
    from = (from + WORD - 1) & ~(uint64_t)(WORD - 1);
    to &= ~(uint64_t)(WORD - 1);
    uint64_t run_from, run_to;
    int r = 0;
    while (!r && from < to && memory->next(memory->context, from, to, &run_from, &run_to)) {
        r = mark_run(heap, memory, run_from, run_to, owner, reach);
        from = run_to;
    }
    return r;
}

int hone_scan_mark_range(struct hone_scan_heap *heap, struct hone_scan_memory *memory,
                         uint64_t from, uint64_t to, enum hone_reach reach)
{
    return mark_range(heap, memory, from, to, NO_BLOCK, reach);
}

// --- blocks --------------------------------------------------------------------------------------

// The process's memory at the start of that window, as it was read before or now; NULL: it cannot
// be read whole. Neighbours in a list or tree were often made one after the other.
static const unsigned char *window_at(struct hone_scan_heap *heap, struct hone_scan_memory *memory,
                                      uint64_t start)
{
    size_t slot = (size_t)(start / WINDOW_BYTES % WINDOWS);
    unsigned char *window = heap->windows + slot * WINDOW_BYTES;
    if (heap->window_starts[slot] == start)
        return window;
    struct iovec to = {window, WINDOW_BYTES};
    struct iovec from = {(void *)(uintptr_t)start,
                         WINDOW_BYTES}; // NOLINT(performance-no-int-to-ptr)
    heap->window_starts[slot] = 0;
    if (memory->read(memory->context, &to, &from, 1) != 1)
        return NULL;
    memory->bytes_read += WINDOW_BYTES;
    heap->window_starts[slot] = start;
    return window;
}

static int mark_block(struct hone_scan_heap *heap, struct hone_scan_memory *memory, uint32_t at,
                      enum hone_reach reach)
{
    const struct hone_scan_block *block = &heap->blocks[at];
    uint64_t from = (block->address + WORD - 1) & ~(uint64_t)(WORD - 1);
    uint64_t to = (block->address + block->size) & ~(uint64_t)(WORD - 1);
    if (block->size >= LARGE_BYTES)
        return mark_range(heap, memory, from, to, at, reach);
    if (++heap->marked % BLOCKS_BETWEEN == 0 && !memory->go_on(memory->context))
        return -ETIME;
    int r = 0;
    while (!r && from < to) {
        uint64_t start = from & ~(uint64_t)(WINDOW_BYTES - 1);
        uint64_t end = start + WINDOW_BYTES < to ? start + WINDOW_BYTES : to;
        const unsigned char *window = window_at(heap, memory, start);
        if (window)
            mark(heap, memory, (const uint64_t *)(const void *)(window + (from - start)),
                 (size_t)(end - from) / WORD, at, reach);
        else
            r = mark_run(heap, memory, from, end, at, reach);
        from = end;
    }
    return r;
}

int hone_scan_mark_follow(struct hone_scan_heap *heap, struct hone_scan_memory *memory,
                          enum hone_reach reach)
{
    int r = 0;
    while (!r && heap->work_count)
        r = mark_block(heap, memory, heap->work[--heap->work_count], reach);
    return r;
}

int hone_scan_mark_indirect(struct hone_scan_heap *heap, struct hone_scan_memory *memory)
{
    int r = 0;
    hone_scan_heap_seek(heap);
    for (uint32_t i = 0; !r && i < heap->count; i++)
        if (heap->reach[i] == HONE_REACH_UNREACHABLE || heap->reach[i] == HONE_REACH_INDIRECT)
            r = mark_block(heap, memory, i, HONE_REACH_INDIRECT);
    return r;
}
