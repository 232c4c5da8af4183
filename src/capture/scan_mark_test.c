// Marking, on memory that is an array: what is found must be what a plain search finds.
#include "capture/scan_mark.h"

#include "check.h"

#include <errno.h>
#include <stdlib.h>

enum { BASE = 0x10000000, WORDS = 1 << 16, MAX_BLOCKS = 4096 };

// The process's memory: words from BASE on.
static uint64_t words[WORDS];
static struct hone_scan_block blocks[MAX_BLOCKS];
static uint32_t block_count;
static uint64_t unreadable; // a page of it; 0: none
static int left;            // calls until time is over

static size_t read_words(void *context, struct iovec *to, struct iovec *from, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        uint64_t at = (uintptr_t)from[i].iov_base;
        if (at < BASE || at + from[i].iov_len > BASE + sizeof words ||
            (unreadable && at < unreadable + 4096 && at + from[i].iov_len > unreadable))
            return i;
        memcpy(to[i].iov_base, (char *)words + (at - BASE), from[i].iov_len);
    }
    return count;
}

static bool next_run(void *context, uint64_t from, uint64_t to, uint64_t *ret_from,
                     uint64_t *ret_to)
{
    (void)context;
    *ret_from = from;
    *ret_to = to;
    return from < to;
}

static bool go_on(void *context)
{
    (void)context;
    return left-- > 0;
}

static struct hone_scan_memory memory;

static void begin(void)
{
    memset(words, 0, sizeof words);
    memory = (struct hone_scan_memory){.read = read_words, .next = next_run, .go_on = go_on};
    block_count = 0;
    unreadable = 0;
    left = 1 << 30;
}

static uint32_t add_block(uint64_t at, uint64_t size)
{
    blocks[block_count] = (struct hone_scan_block){BASE + at, size, 0};
    return block_count++;
}

static void point(uint64_t from, uint64_t to)
{
    words[from / 8] = BASE + to;
}

// Roots are the first 64 bytes.
static void run(struct hone_scan_heap *heap)
{
    CHECK_EQ(hone_scan_heap_init(heap, blocks, block_count), 0);
    CHECK_EQ(hone_scan_mark_range(heap, &memory, BASE, BASE + 64, HONE_REACH_REACHABLE), 0);
    CHECK_EQ(hone_scan_mark_follow(heap, &memory, HONE_REACH_REACHABLE), 0);
    CHECK_EQ(hone_scan_mark_indirect(heap, &memory), 0);
}

TEST(scan_tells_reachable_indirect_and_unreachable)
{
    struct hone_scan_heap heap;
    begin();
    uint32_t kept = add_block(128, 32), inner = add_block(192, 24), lost = add_block(256, 32),
             below = add_block(320, 40), lonely = add_block(400, 100);
    point(8, 128 + 8); // into the middle
    point(136, 192);   // kept → inner
    point(256, 320);   // lost → below
    point(400, 404);   // to itself: does not count
    run(&heap);
    CHECK_EQ(heap.reach[kept], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[inner], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[lost], HONE_REACH_UNREACHABLE);
    CHECK_EQ(heap.reach[below], HONE_REACH_INDIRECT);
    CHECK_EQ(heap.reach[lonely], HONE_REACH_UNREACHABLE);
    hone_scan_heap_done(&heap);
}

TEST(scan_knows_where_a_block_ends)
{
    struct hone_scan_heap heap;
    begin();
    uint32_t ended = add_block(128, 24), last = add_block(160, 24), empty = add_block(224, 0),
             array = add_block(240, 8), full = add_block(256, 8);
    point(0, 128 + 24); // behind it
    point(8, 160 + 23); // its last byte
    point(16, 224);     // a block of no bytes
    point(24, 240 + 8); // an empty array of C++, behind its length
    words[256 / 8] = 1;
    point(32, 256 + 8); // one that is not empty would be longer
    run(&heap);
    CHECK_EQ(heap.reach[ended], HONE_REACH_UNREACHABLE);
    CHECK_EQ(heap.reach[last], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[empty], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[array], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[full], HONE_REACH_UNREACHABLE);
    hone_scan_heap_done(&heap);
}

// A free chunk's header lies in the last word of the block before it.
TEST(scan_does_not_take_links_of_free_memory_for_pointers)
{
    struct hone_scan_heap heap;
    begin();
    add_block(128, 24);
    point(0, 128 + 16);
    CHECK_EQ(hone_scan_heap_init(&heap, blocks, block_count), 0);
    heap.skip_tails = true;
    CHECK_EQ(hone_scan_mark_range(&heap, &memory, BASE, BASE + 64, HONE_REACH_REACHABLE), 0);
    CHECK_EQ(heap.reach[0], HONE_REACH_UNREACHABLE);
    heap.skip_tails = false;
    CHECK_EQ(hone_scan_mark_range(&heap, &memory, BASE, BASE + 64, HONE_REACH_REACHABLE), 0);
    CHECK_EQ(heap.reach[0], HONE_REACH_REACHABLE);
    hone_scan_heap_done(&heap);
}

TEST(scan_goes_on_behind_what_cannot_be_read)
{
    struct hone_scan_heap heap;
    begin();
    uint32_t dark = add_block(8192, 64), bright = add_block(16384, 64), far = add_block(20480, 16);
    point(0, 8192);
    point(8, 16384);
    point(16384, 20480);
    unreadable = BASE + 8192;
    run(&heap);
    CHECK_EQ(heap.reach[dark], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[bright], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[far], HONE_REACH_REACHABLE);
    hone_scan_heap_done(&heap);
}

TEST(scan_ends_when_its_time_is_over)
{
    struct hone_scan_heap heap;
    begin();
    add_block(128, 32);
    point(0, 128);
    blocks[0].size = 100000;
    left = 1;
    CHECK_EQ(hone_scan_heap_init(&heap, blocks, block_count), 0);
    CHECK_EQ(hone_scan_mark_range(&heap, &memory, BASE, BASE + 64, HONE_REACH_REACHABLE), 0);
    CHECK_EQ(hone_scan_mark_follow(&heap, &memory, HONE_REACH_REACHABLE), -ETIME);
    hone_scan_heap_done(&heap);
}

static uint64_t state = 88172645463325252u;

static uint64_t random_below(uint64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 16) % limit;
}

// By going through all blocks.
static uint32_t search(uint64_t address)
{
    for (uint32_t i = 0; i < block_count; i++)
        if (address >= blocks[i].address &&
            address < blocks[i].address + (blocks[i].size ? blocks[i].size : 1))
            return i;
    return UINT32_MAX;
}

TEST(scan_finds_what_a_plain_search_finds)
{
    for (int round = 0; round < 60; round++) {
        struct hone_scan_heap heap;
        begin();
        // Addresses of tiny and of huge blocks, over several regions, and of none.
        uint64_t at = 0;
        while (block_count < 200) {
            at += 16 * (1 + random_below(random_below(8) ? 64 : 1 << 21));
            uint64_t size = random_below(4) ? random_below(500) : random_below(100u << 20);
            (void)add_block(at, size);
            at += (size + 24) & ~(uint64_t)15;
        }
        CHECK_EQ(hone_scan_heap_init(&heap, blocks, block_count), 0);
        for (int look = 0; look < 3000; look++) {
            const struct hone_scan_block *near = &blocks[random_below(block_count)];
            uint64_t address = look % 2 ? BASE + random_below(at + (1 << 20))
                                        : near->address + random_below(near->size + 40) - 20;
            uint32_t expected = search(address);
            uint32_t found = hone_scan_heap_find(&heap, address);
            bool behind_word = found != UINT32_MAX && blocks[found].size == 8 &&
                               address == blocks[found].address + 8;
            if (!behind_word)
                CHECK_EQ(found, expected);
        }
        hone_scan_heap_done(&heap);
    }
}

// Of blocks at the ends of pages and over many pages, with those that are reached taken out: every
// word counts that points to another one, and none that has the same bit as its page.
TEST(scan_looks_for_all_that_is_not_reached_yet)
{
    struct hone_scan_heap heap;
    enum { PAGE = 4096, FAR = 1 << 30 };
    begin();
    uint32_t found = add_block(128, 32), array = add_block(2 * PAGE - 8, 8),
             last = add_block(4 * PAGE - 16, 16), long_one = add_block(5 * PAGE, 20 * PAGE),
             alone = add_block(40 * PAGE, 32), end = add_block(12ull * FAR, 1);
    point(0, 128);
    CHECK_EQ(hone_scan_heap_init(&heap, blocks, block_count), 0);
    CHECK_EQ(hone_scan_mark_range(&heap, &memory, BASE, BASE + 64, HONE_REACH_REACHABLE), 0);
    hone_scan_heap_seek(&heap);
    point(8, 2 * PAGE);                // an empty array, on the page behind its length's
    point(16, 4 * PAGE - 1);           // the last byte of a page
    point(24, 25 * PAGE - 1);          // the last page of a long block
    point(32, 12ull * FAR);            // the last address of all
    point(40, 40 * PAGE + 2ull * FAR); // of the same bit as a block, and none
    CHECK_EQ(hone_scan_mark_range(&heap, &memory, BASE, BASE + 64, HONE_REACH_MAPPED), 0);
    CHECK_EQ(heap.reach[found], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[array], HONE_REACH_MAPPED);
    CHECK_EQ(heap.reach[last], HONE_REACH_MAPPED);
    CHECK_EQ(heap.reach[long_one], HONE_REACH_MAPPED);
    CHECK_EQ(heap.reach[end], HONE_REACH_MAPPED);
    CHECK_EQ(heap.reach[alone], HONE_REACH_UNREACHABLE);
    hone_scan_heap_seek(&heap);
    point(48, 40 * PAGE);
    CHECK_EQ(hone_scan_mark_range(&heap, &memory, BASE, BASE + 64, HONE_REACH_MAPPED), 0);
    CHECK_EQ(heap.reach[alone], HONE_REACH_MAPPED);
    hone_scan_heap_done(&heap);
}

// One over more pages than have a bit of their own.
TEST(scan_looks_for_all_of_a_huge_block)
{
    struct hone_scan_heap heap;
    const uint64_t far = 1 << 30;
    begin();
    uint32_t huge = add_block(4 * far, 6 * far);
    point(0, 9 * far);
    run(&heap);
    CHECK_EQ(heap.reach[huge], HONE_REACH_REACHABLE);
    hone_scan_heap_done(&heap);
}

// Where an allocator has blocks of one word, an empty array's address is the next block's, too.
TEST(scan_finds_an_empty_array_beside_another_block)
{
    struct hone_scan_heap heap;
    begin();
    uint32_t array = add_block(128, 8), next = add_block(136, 8), full = add_block(144, 8),
             behind = add_block(152, 8);
    words[144 / 8] = 1;
    point(0, 136); // of the array, or the next one
    point(8, 152);
    run(&heap);
    CHECK_EQ(heap.reach[array], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[next], HONE_REACH_REACHABLE);
    CHECK_EQ(heap.reach[full], HONE_REACH_UNREACHABLE);
    CHECK_EQ(heap.reach[behind], HONE_REACH_REACHABLE);
    hone_scan_heap_done(&heap);
}

// A guard in a stack that is a block: the pages around it are read.
TEST(scan_reads_around_a_page_that_cannot_be_read)
{
    struct hone_scan_heap heap;
    enum { PAGE = 4096 };
    begin();
    uint32_t small = add_block(2 * PAGE, 3 * PAGE), large = add_block(16 * PAGE, 64 * PAGE),
             of_small = add_block(256, 16), of_large = add_block(288, 16);
    struct hone_scan_block first[] = {blocks[of_small], blocks[of_large], blocks[small],
                                      blocks[large]};
    memcpy(blocks, first, sizeof first);
    point(0, 2 * PAGE);
    point(4 * PAGE + 8, 256);
    unreadable = BASE + 2 * PAGE;
    run(&heap);
    CHECK_EQ(heap.reach[0], HONE_REACH_REACHABLE);
    hone_scan_heap_done(&heap);
    point(0, 16 * PAGE);
    point(70 * PAGE, 288);
    unreadable = BASE + 16 * PAGE;
    run(&heap);
    CHECK_EQ(heap.reach[1], HONE_REACH_REACHABLE);
    hone_scan_heap_done(&heap);
}
