// Which blocks of a heap are still pointed to: memory is read word by word, and every aligned word
// that is an address inside a block counts as a pointer to it, as LeakSanitizer does it. Private to
// the scan for leaks; knows nothing of processes.
//
//     hone_scan_heap_init(&heap, blocks, count);
//     hone_scan_mark_range(&heap, &memory, from, to, HONE_REACH_REACHABLE);  // each root
//     hone_scan_mark_follow(&heap, &memory, HONE_REACH_REACHABLE);
//     hone_scan_mark_indirect(&heap, &memory);
//     heap.reach[i] tells of blocks[i]
//
// Time and memory are linear in the blocks and in the bytes that are read.
#ifndef HONE_CAPTURE_SCAN_MARK_H
#define HONE_CAPTURE_SCAN_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum hone_reach {
    HONE_REACH_UNREACHABLE, // nothing points to it
    HONE_REACH_INDIRECT,    // only blocks that nothing reaches point to it
    HONE_REACH_REACHABLE,   // from data of modules, stacks, registers, thread-local storage
    HONE_REACH_MAPPED,      // only from memory that the program or its allocator mapped itself
    HONE_REACHES
};

struct hone_scan_block {
    uint64_t address;
    uint64_t size;
    uint64_t what; // the caller's
};

// The memory that is read.
struct hone_scan_memory {
    // Reads ranges; returns how many of them were read whole, from the first on.
    size_t (*read)(void *context, struct iovec *to, struct iovec *from, size_t count);
    // The next run of pages in [from, to) that can hold a pointer. False: none is left.
    bool (*next)(void *context, uint64_t from, uint64_t to, uint64_t *ret_from, uint64_t *ret_to);
    // Called often. False: time is over, and the scan ends with -ETIME.
    bool (*go_on)(void *context);
    void *context;
    uint64_t bytes_read; // counted here
};

struct hone_scan_heap {
    const struct hone_scan_block *blocks; // the caller's, by rising address
    uint32_t count;
    uint8_t *reach; // enum hone_reach, of each block
    // What is looked for: blocks that nothing has reached yet. Where the first begins and the last
    // ends, and by number of page, of many pages together, whether there is any.
    uint64_t low, high;
    uint64_t *sought;
    // By address: of each page of a region with blocks, the first block that does not lie before
    // it.
    uint32_t **regions;
    uint32_t *used; // their numbers
    uint32_t used_count, used_room;
    uint32_t *work; // blocks that are reached and not read yet
    uint32_t work_count;
    unsigned char *buffer;
    unsigned char *windows; // memory around small blocks, by where it lies
    uint64_t *window_starts;
    uint64_t marked; // small blocks that were read
    // glibc links free memory by addresses 16 bytes before it: of a live block whose last word lies
    // there, that is no pointer to it. Set while the allocator's own data are read.
    bool skip_tails;
};

// Returns 0 or -ENOMEM. Blocks do not overlap; those that do are found in part.
int hone_scan_heap_init(struct hone_scan_heap *heap, const struct hone_scan_block *blocks,
                        uint32_t count);
void hone_scan_heap_done(struct hone_scan_heap *heap);

// The block that an address points into, UINT32_MAX: none. An address just behind a block of one
// word counts as well where that word is a zero: that is an empty array of C++, behind its length.
uint32_t hone_scan_heap_find(const struct hone_scan_heap *heap, uint64_t address);

// From now on only what is still unreached is looked for: before much memory is read for the rest.
void hone_scan_heap_seek(struct hone_scan_heap *heap);

// Marks what the words point to that are given, or lie in a range of memory. Returns 0 or -ETIME.
void hone_scan_mark_words(struct hone_scan_heap *heap, struct hone_scan_memory *memory,
                          const uint64_t *words, size_t count, enum hone_reach reach);
int hone_scan_mark_range(struct hone_scan_heap *heap, struct hone_scan_memory *memory,
                         uint64_t from, uint64_t to, enum hone_reach reach);
// And all that is reached from what was marked since.
int hone_scan_mark_follow(struct hone_scan_heap *heap, struct hone_scan_memory *memory,
                          enum hone_reach reach);
// At the end: marks the unreachable blocks that another unreachable one points to.
int hone_scan_mark_indirect(struct hone_scan_heap *heap, struct hone_scan_memory *memory);

#endif
