// Walks of another process, by the same steps: on a copy of its stack, with pages and code that it
// lends us.
#include "unwind/walk_body.h"

// `walker` first: it is found by its memory.
struct foreign_walker {
    struct hone_walker walker;
    const struct hone_foreign *foreign;
    struct hone_stack stack; // what the copy is of
    bool beyond;             // something above the copy was wanted
    uint64_t page_at;        // what page holds; 0: nothing
    uint8_t page[HONE_PAGE_BYTES];
};

static void look_into_copy(struct foreign_walker *walker)
{
    struct hone_memory *memory = &walker->walker.memory;
    const struct hone_foreign *foreign = walker->foreign;
    memory->low = walker->stack.low;
    memory->words_end = walker->stack.high - (HONE_WORD_BYTES - 1);
    memory->shift = (uintptr_t)foreign->copy - walker->stack.low;
}

// A load outside the window: the copy, or a page that the other process lends us.
static bool outside_foreign(struct hone_memory *memory, uint64_t address, uint64_t *ret)
{
    struct foreign_walker *walker = (struct foreign_walker *)memory;
    const struct hone_foreign *foreign = walker->foreign;
    if (hone_walker_stack(&walker->walker, address)) {
        look_into_copy(walker);
        return hone_memory_load(memory, address, ret);
    }
    if (!foreign->stack) {
        // Whoever asked for a larger copy would have had it.
        walker->beyond |= address >= walker->stack.low &&
                          address + HONE_WORD_BYTES - walker->stack.high < HONE_FRAME_BYTES_MAX;
        return false;
    }
    uint64_t page = address & ~(uint64_t)(HONE_PAGE_BYTES - 1);
    if (address - page > HONE_PAGE_BYTES - HONE_WORD_BYTES)
        return foreign->stack(foreign->context, address, ret, sizeof *ret); // on two pages
    if (walker->page_at != page &&
        !foreign->stack(foreign->context, page, walker->page, sizeof walker->page)) {
        walker->page_at = 0;
        return false;
    }
    walker->page_at = page;
    memory->low = page;
    memory->words_end = page + HONE_PAGE_BYTES - (HONE_WORD_BYTES - 1);
    memory->shift = (uintptr_t)walker->page - page;
    return hone_memory_load(memory, address, ret);
}

static bool code_foreign(struct hone_memory *memory, void *to, uint64_t from, size_t size)
{
    const struct hone_foreign *foreign = ((struct foreign_walker *)memory)->foreign;
    return foreign->code(foreign->context, from, to, size);
}

static void start_foreign(struct foreign_walker *walker, struct hone_unwinder *unwinder,
                          const struct hone_registers *registers)
{
    size_t stack_count = walker->stack.low < walker->stack.high;
    hone_walker_start(&walker->walker, unwinder, registers, &walker->stack, stack_count);
    walker->walker.memory.outside = outside_foreign;
    walker->walker.memory.code = code_foreign;
    if (hone_walker_stack(&walker->walker, registers->r[HONE_REGISTER_SP]))
        look_into_copy(walker);
    walker->walker.known = walker->foreign->known & hone_all_known;
    walker->walker.searches = walker->foreign->search;
    walker->walker.fp_unknown = !(walker->foreign->known & 1ull << HONE_REGISTER_FP);
    walker->beyond = false;
    walker->page_at = 0;
}

__attribute__((no_sanitize("address"))) size_t
hone_unwind_walk_foreign(struct hone_unwinder *unwinder, const struct hone_registers *registers,
                         const struct hone_foreign *foreign, uint64_t *ret_addresses, size_t max,
                         struct hone_walk *ret)
{
    *ret = (struct hone_walk){0};
    struct foreign_walker walker;
    walker.foreign = foreign;
    uint64_t low = foreign->size_bytes ? foreign->low : registers->r[HONE_REGISTER_SP];
    walker.stack = (struct hone_stack){low, low + foreign->size_bytes};
    walker.walker.addresses = ret_addresses;
    walker.walker.max = max;
    walker.walker.result = ret;
    start_foreign(&walker, unwinder, registers);
    hone_walker_walk(&walker.walker, hone_position_of(registers), NULL, true);
    if (HONE_UNLIKELY(hone_walker_lands(&walker.walker)) && !walker.beyond) {
        start_foreign(&walker, unwinder, registers);
        walker.walker.landing = true;
        hone_walker_walk(&walker.walker, hone_position_of(registers), NULL, true);
    }
    hone_walker_drop_unfounded(&walker.walker);
    if (walker.beyond && ret->end != HONE_WALK_COMPLETE && ret->end != HONE_WALK_TOO_DEEP)
        ret->end = HONE_WALK_COPY_SHORT;
    return ret->count;
}
