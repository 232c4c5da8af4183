#include "core/load.h"

#include "check.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

// Two pages of which the second cannot be read.
static uint8_t *half_readable(void)
{
    uint8_t *pages =
        mmap(NULL, 2 * HONE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    memset(pages, 7, HONE_PAGE_BYTES);
    CHECK_EQ(mprotect(pages + HONE_PAGE_BYTES, HONE_PAGE_BYTES, PROT_NONE), 0);
    return pages;
}

TEST(load_reads_memory_that_is_there)
{
    uint64_t here = 42, value = 0;
    CHECK(hone_safe_load((uintptr_t)&here, &value));
    CHECK_EQ(value, 42);
}

TEST(load_refuses_null_unmapped_protected_kernel_and_noncanonical_addresses)
{
    uint64_t value = 5;
    uint64_t protected = (uintptr_t)half_readable() + HONE_PAGE_BYTES;
    uint64_t bad[] = {0,          8,          protected, protected - 7, 1ull << 47,
                      1ull << 62, 1ull << 63, ~0ull,     ~0ull - 7,     0xffffffff81000000u};
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(bad); i++)
        CHECK(!hone_safe_load(bad[i], &value));
    CHECK_EQ(value, 5);
}

TEST(load_takes_the_last_word_of_a_page)
{
    uint64_t value = 0;
    CHECK(hone_safe_load((uintptr_t)half_readable() + HONE_PAGE_BYTES - 8, &value));
    CHECK_EQ(value, 0x0707070707070707);
}

TEST(copy_stops_at_the_first_page_that_is_not_there)
{
    uint8_t *pages = half_readable();
    uint8_t to[64] = {0};
    CHECK(hone_safe_copy(to, (uintptr_t)pages + HONE_PAGE_BYTES - 3, 3));
    CHECK_EQ(to[2], 7);
    CHECK(!hone_safe_copy(to, (uintptr_t)pages + HONE_PAGE_BYTES - 3, 4));
    CHECK(hone_safe_copy(to, 0, 0));
}

TEST(equals_compares_and_reads_nothing_that_is_not_there)
{
    uint8_t *pages = half_readable();
    uint32_t sevens[2] = {0x07070707, 0x07070707}, other[2] = {0x07070707, 0x07070708};
    uint64_t last = (uintptr_t)pages + HONE_PAGE_BYTES - sizeof sevens;
    errno = 0;
    CHECK(hone_safe_equals(last, sevens, sizeof sevens));
    CHECK(!hone_safe_equals(last, other, sizeof other));
    CHECK(!hone_safe_equals(last + 4, sevens, sizeof sevens));
    CHECK(!hone_safe_equals(0, sevens, sizeof sevens));
    CHECK_EQ(errno, 0);
}

TEST(probe_changes_neither_mask_nor_errno)
{
    sigset_t before, after; // the kernel fills in the first 8 bytes
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    sigprocmask(SIG_SETMASK, NULL, &before);
    errno = 0;
    CHECK(hone_safe_probe((uintptr_t)&before));
    CHECK(!hone_safe_probe(4096));
    CHECK_EQ(errno, 0);
    sigprocmask(SIG_SETMASK, NULL, &after);
    CHECK(memcmp(&before, &after, sizeof before) == 0);
}
