#include "base/heap.h"

#include "check.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#ifndef __SANITIZE_ADDRESS__ // which has an allocator of its own
#ifndef __SANITIZE_THREAD__

enum { EXPECTED = 64 << 20, BLOCK = 8 << 20 };

// How many blocks are mapped alone, once there is one more of this size.
static size_t mapped_with(size_t size)
{
    char *block = malloc(size);
    CHECK(block);
    memset(block, 1, size);
    size_t mapped = mallinfo2().hblks;
    free(block);
    return mapped;
}

TEST(what_is_expected_is_cut_from_one_heap)
{
    size_t before = mallinfo2().hblks;
    hone_heap_expect(1 << 20); // not worth it
    CHECK_EQ(mapped_with(BLOCK), before + 1);
    hone_heap_expect(EXPECTED);
    CHECK_EQ(mapped_with(BLOCK), before);
    CHECK_EQ(mapped_with(2 * EXPECTED), before + 1);
}

TEST(what_cannot_be_had_is_not_waited_for)
{
    hone_heap_expect((size_t)1 << 60);
    CHECK_EQ(mapped_with(BLOCK), mallinfo2().hblks);
}

#endif
#endif
