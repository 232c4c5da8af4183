#include "probe/others.h"

#include "probe/allocator.h"
#include "probe/entries.h"
#include "probe/heap.h"

#include "check.h"

#include <string.h>

// --- what the hooks tell -------------------------------------------------------------------------

__thread struct hone_heap_thread hone_heap_self;
_Atomic uint8_t hone_heap_filter[HONE_HEAP_FILTER_SLOTS];

static size_t allocated, released, usable;
static const void *last;

void hone_heap_allocated(const void *block, size_t size)
{
    hone_heap_self.told++;
    hone_heap_self.countdown = -1;
    allocated += size;
    usable = hone_heap_self.usable ? hone_heap_self.usable((void *)block) : 0;
    last = block;
}

void hone_heap_released(const void *block)
{
    released++;
    last = block;
}

void hone_heap_take(const void *block, struct hone_heap_taken *ret)
{
    *ret = (struct hone_heap_taken){.sampled = 1, .address = block};
}

void hone_heap_put_back(const void *block, const struct hone_heap_taken *taken)
{
    (void)block;
    (void)taken;
}

void hone_heap_ended(const struct hone_heap_taken *taken, bool moved)
{
    (void)moved;
    released += taken->sampled;
}

static size_t sixty(void *block)
{
    (void)block;
    return 60;
}

static uint64_t made_by; // that the hook asked about

size_t (*hone_entry_usable(uint64_t copy))(void *)
{
    made_by = copy;
    return sixty;
}

bool hone_allocator_is_early(const void *block)
{
    return block == NULL;
}

HONE_HOOK static void in_the_section(void)
{
}

// --- names ---------------------------------------------------------------------------------------

static enum hone_other_kind kind_of(const char *name)
{
    return hone_other_kind_of(name, strlen(name));
}

TEST(allocators_functions_are_known_by_name)
{
    CHECK_EQ(kind_of("malloc"), HONE_OTHER_SIZE);
    CHECK_EQ(kind_of("_rjem_malloc"), HONE_OTHER_SIZE);
    CHECK_EQ(kind_of("je_sdallocx"), HONE_OTHER_BLOCK);
    CHECK_EQ(kind_of("mi_malloc_aligned"), HONE_OTHER_SIZE);
    CHECK_EQ(kind_of("mi_reallocarray"), HONE_OTHER_BLOCK_ARRAY);
    CHECK_EQ(kind_of("tc_deletearray_sized"), HONE_OTHER_BLOCK);
    CHECK_EQ(kind_of("tc_posix_memalign"), HONE_OTHER_POSIX_MEMALIGN);
    CHECK_EQ(kind_of("_ZnamSt11align_val_tRKSt9nothrow_t"), HONE_OTHER_SIZE);
    CHECK_EQ(kind_of("_ZdlPvmSt11align_val_t"), HONE_OTHER_BLOCK);
}

TEST(other_functions_are_none)
{
    static const char *const names[] = {
        "",
        "mallocate",
        "malloc_usable_size",
        "je_malloc_usable_size",
        "mi_mallocx_",
        "_ZnwmPv",
        "_ZdlPvS_",
        "_ZdlPvRKN",
        "free_list",
        "tc_",
        "calloc_one",
        "je_je_malloc",
        "_Znw",
        "realloc.part.0",
        "xmalloc",
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(names); i++)
        CHECK_EQ(kind_of(names[i]), HONE_OTHER_NONE);
}

// --- hooks ---------------------------------------------------------------------------------------

static char memory[64];
static void *(*inner)(size_t);

static void *give(size_t size)
{
    (void)size;
    return memory;
}

static void *give_by_inner(size_t count, size_t size)
{
    return inner(count * size);
}

static void take_back(void *block)
{
    (void)block;
}

TEST(each_function_has_one_hook)
{
    void *hook = hone_other_hook(HONE_OTHER_SIZE, (void *)(uintptr_t)give);
    CHECK(hook && hone_is_hook((uintptr_t)hook));
    CHECK(hone_is_hook((uintptr_t)in_the_section));
    CHECK(!hone_is_hook((uintptr_t)give));
    CHECK(hook == hone_other_hook(HONE_OTHER_SIZE, (void *)(uintptr_t)give));
    size_t more = 0;
    while (hone_other_hook(HONE_OTHER_SIZE, memory + more + 1))
        more++;
    CHECK_EQ(more, 63);
    CHECK(hook == hone_other_hook(HONE_OTHER_SIZE, (void *)(uintptr_t)give));
}

TEST(what_an_inner_hook_has_counted_is_not_counted_again)
{
    *(void **)&inner = hone_other_hook(HONE_OTHER_SIZE, (void *)(uintptr_t)give);
    void *(*outer)(size_t, size_t);
    *(void **)&outer = hone_other_hook(HONE_OTHER_COUNT_SIZE, (void *)(uintptr_t)give_by_inner);
    hone_heap_self.countdown = -1; // every one
    CHECK(outer(3, 5) == memory);
    CHECK_EQ(allocated, 15);
    CHECK_EQ(usable, 60);
    CHECK_EQ(made_by, (uintptr_t)give);
    CHECK(!hone_heap_self.usable); // of that block only
    inner = give;
    CHECK(outer(3, 5) == memory);
    CHECK_EQ(allocated, 30);
    hone_heap_self.countdown = 100;
    CHECK(outer(3, 5) == memory);
    CHECK_EQ(allocated, 30);
    CHECK_EQ(hone_heap_self.countdown, 85);
}

static int ends;

void hone_process_end(void)
{
    ends++;
}

static void end(int status)
{
    CHECK_EQ(status, 7);
    CHECK_EQ(ends, 1);
    ends++;
}

TEST(the_end_is_told_of_before_it_comes)
{
    void (*hook)(int);
    *(void **)&hook = hone_other_hook(HONE_OTHER_END, (void *)(uintptr_t)end);
    hook(7);
    CHECK_EQ(ends, 2);
}

TEST(only_what_may_be_tracked_is_told_of)
{
    void (*hook)(void *);
    *(void **)&hook = hone_other_hook(HONE_OTHER_BLOCK, (void *)(uintptr_t)take_back);
    hook(memory);
    CHECK_EQ(released, 0);
    *hone_heap_filter_of(memory) = 1;
    hook(memory);
    CHECK_EQ(released, 1);
    CHECK(last == memory);
}
