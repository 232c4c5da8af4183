#include "capture/collect_heap.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "core/hash.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

double hone_heap_weight(uint64_t size, uint64_t rate)
{
    if (rate <= 1 || size == 0)
        return 1;
    return -1 / expm1(-(double)size / (double)rate);
}

// --- rows ----------------------------------------------------------------------------------------

void hone_heap_rows_done(struct hone_heap_rows *rows)
{
    free(rows->at);
    hone_table_done(&rows->table);
    *rows = (struct hone_heap_rows){0};
}

int hone_heap_rows_add(struct hone_heap_rows *rows, const struct hone_collected_heap *row,
                       uint32_t *ret)
{
    uint64_t key[] = {(uint64_t)row->thread << 32 | row->stack, row->size, row->rate};
    uint64_t hash = hone_hash_words(key, 3, 0);
    struct hone_table_probe probe = hone_table_probe(&rows->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&rows->table, &probe)) != HONE_TABLE_END) {
        const struct hone_collected_heap *other = &rows->at[at];
        if (other->thread == row->thread && other->stack == row->stack &&
            other->size == row->size && other->rate == row->rate)
            break;
    }
    if (at == HONE_TABLE_END) {
        if (!hone_array_grow(&rows->at, &rows->room, (uint64_t)rows->count + 1, sizeof *rows->at) ||
            hone_table_add(&rows->table, hash, rows->count))
            return -ENOMEM;
        at = rows->count++;
        rows->at[at] = (struct hone_collected_heap){
            .thread = row->thread, .stack = row->stack, .size = row->size, .rate = row->rate};
    }
    rows->at[at].allocated++;
    *ret = at;
    return 0;
}

// --- sites ---------------------------------------------------------------------------------------

void hone_heap_sites_done(struct hone_heap_sites *sites)
{
    free(sites->at);
    hone_table_done(&sites->table);
    *sites = (struct hone_heap_sites){0};
}

static struct hone_collected_site *find_site(struct hone_heap_sites *sites, uint32_t process,
                                             uint32_t stack)
{
    uint64_t hash = hone_hash_fold(((uint64_t)process << 32 | stack) ^ 0x9e3779b97f4a7c15u,
                                   0xe7037ed1a0b428dbu);
    struct hone_table_probe probe = hone_table_probe(&sites->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&sites->table, &probe)) != HONE_TABLE_END)
        if (sites->at[at].process == process && sites->at[at].stack == stack)
            return &sites->at[at];
    if (!hone_array_grow(&sites->at, &sites->room, (uint64_t)sites->count + 1, sizeof *sites->at) ||
        hone_table_add(&sites->table, hash, sites->count))
        return NULL;
    sites->at[sites->count] = (struct hone_collected_site){.process = process, .stack = stack};
    return &sites->at[sites->count++];
}

static uint64_t number(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

struct hone_heap_lives hone_heap_site_lives(const struct hone_heap_site *site)
{
    return (struct hone_heap_lives){
        .objects = (int64_t)(number(&site->allocated) - number(&site->freed) -
                             number(&site->freed_elsewhere)),
        .bytes = (int64_t)(number(&site->allocated_bytes) - number(&site->freed_bytes) -
                           number(&site->freed_elsewhere_bytes)),
    };
}

static void add_lives(struct hone_collected_site *to, const struct hone_heap_site *site)
{
    const uint64_t mask = (1 << HONE_HEAP_LIVES_DRAWN_SHIFT) - 1;
    uint64_t each = 0;
    for (int i = 0; i < HONE_HEAP_LIVES; i++) {
        uint64_t own = number(&site->lives[i]), elsewhere = number(&site->lives_elsewhere[i]);
        each += (own & mask) + (elsewhere & mask);
        to->lives[i] += (own & mask) + (elsewhere & mask);
        to->lives_drawn[i] +=
            (own >> HONE_HEAP_LIVES_DRAWN_SHIFT) + (elsewhere >> HONE_HEAP_LIVES_DRAWN_SHIFT);
    }
    uint64_t ended = number(&site->freed) + number(&site->freed_elsewhere);
    // Else what is missing is being told just now.
    if (number(&site->allocated) > HONE_HEAP_LIVES_ALL && ended > each)
        to->drawn_of += ended - each;
}

__extension__ typedef unsigned __int128 wide;

// How many of `of` blocks may be wrong where `part` of those drawn say that a share of them is so:
// the limits of Agresti and Coull, which hold for few, too. Where none was drawn: all.
static uint64_t error_of(uint64_t part, uint64_t drawn, double share, uint64_t of)
{
    static const double sure = 1.959964; // 95 of 100, to either side
    if (drawn >= of)
        return 0;
    double as_many = (double)drawn + sure * sure;
    double middle = ((double)part + sure * sure / 2) / as_many;
    double half = sure * sqrt(middle * (1 - middle) / as_many);
    double off = ceil((double)of * (half + fabs(middle - share)));
    return off < (double)of ? (uint64_t)off : of;
}

// Those drawn are a random part of what they stand for, whichever site they are of. Each bin ends
// where it would by its part of those, rounded.
void hone_collected_lives(const struct hone_collected_site *site, struct hone_collected_lives *ret)
{
    uint64_t each = 0, drawn = 0, sum = 0, told = 0;
    for (int i = 0; i < HONE_HEAP_LIVES; i++) {
        each += site->lives[i];
        drawn += site->lives_drawn[i];
    }
    *ret = (struct hone_collected_lives){.timed = each + drawn};
    // As long as none of them was drawn, they count as the others, with an error of all.
    const uint64_t *as = drawn ? site->lives_drawn : site->lives;
    uint64_t all = drawn ? drawn : each;
    for (int i = 0; i < HONE_HEAP_LIVES && all; i++) {
        sum += as[i];
        uint64_t until = (uint64_t)(((wide)sum * site->drawn_of + all / 2) / all);
        ret->objects[i] = site->lives[i] + until - told;
        ret->errors[i] =
            error_of(site->lives_drawn[i], drawn, (double)as[i] / (double)all, site->drawn_of);
        told = until;
    }
}

int hone_heap_sites_add(struct hone_heap_sites *sites, uint32_t process, uint32_t stack,
                        const struct hone_heap_site *site, uint32_t fall)
{
    struct hone_collected_site *to = find_site(sites, process, stack);
    if (!to)
        return -ENOMEM;
    struct hone_heap_lives lives = hone_heap_site_lives(site);
    uint64_t live = (uint64_t)lives.objects, live_bytes = (uint64_t)lives.bytes;
    bool fell = fall & 1 && atomic_load_explicit(&site->fall, memory_order_relaxed) == fall;
    to->allocated += number(&site->allocated);
    to->allocated_bytes += number(&site->allocated_bytes);
    to->usable_bytes += number(&site->usable_bytes);
    to->live += live;
    to->live_bytes += live_bytes;
    to->temporary += number(&site->temporary);
    to->temporary_bytes += number(&site->temporary_bytes);
    to->moved += number(&site->moved);
    to->peak += fell ? number(&site->peak) : live;
    to->peak_bytes += fell ? number(&site->peak_bytes) : live_bytes;
    for (int i = 0; i < HONE_HEAP_SIZES; i++)
        to->sizes[i] += number(&site->sizes[i]);
    add_lives(to, site);
    return 0;
}

// --- blocks --------------------------------------------------------------------------------------

enum {
    PAGE_BLOCKS = 4096,
    PAGES_AHEAD = 64, // a process writes its numbers nearly in order
};

struct hone_heap_page {
    uint32_t live;
    uint32_t rows[PAGE_BLOCKS]; // plus one; 0: not a live block
};

void hone_heap_blocks_done(struct hone_heap_blocks *blocks)
{
    for (uint32_t i = 0; i < blocks->room; i++)
        free(blocks->pages[i]);
    free(blocks->pages);
    free(blocks->spare);
    *blocks = (struct hone_heap_blocks){0};
}

int hone_heap_blocks_add(struct hone_heap_blocks *blocks, uint64_t number, uint32_t row)
{
    uint64_t page = number / PAGE_BLOCKS;
    if (page >= blocks->room * 2ull + PAGES_AHEAD)
        return -EINVAL;
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    if (!hone_array_reserve(&blocks->pages, &blocks->room, page + 1, sizeof *blocks->pages))
        return -ENOMEM;
    if (!blocks->pages[page])
        blocks->pages[page] =
            blocks->spare ? hone_take(blocks->spare) : calloc(1, sizeof *blocks->pages[page]);
    if (!blocks->pages[page])
        return -ENOMEM;
    uint32_t *at = &blocks->pages[page]->rows[number % PAGE_BLOCKS];
    blocks->pages[page]->live += *at == 0;
    *at = row + 1;
    return 0;
}

bool hone_heap_blocks_find(const struct hone_heap_blocks *blocks, uint64_t number,
                           uint32_t *ret_row)
{
    uint64_t page = number / PAGE_BLOCKS;
    if (page >= blocks->room || !blocks->pages[page] ||
        !blocks->pages[page]->rows[number % PAGE_BLOCKS])
        return false;
    *ret_row = blocks->pages[page]->rows[number % PAGE_BLOCKS] - 1;
    return true;
}

bool hone_heap_blocks_take(struct hone_heap_blocks *blocks, uint64_t number, uint32_t *ret_row)
{
    if (!hone_heap_blocks_find(blocks, number, ret_row))
        return false;
    uint64_t page = number / PAGE_BLOCKS;
    blocks->pages[page]->rows[number % PAGE_BLOCKS] = 0;
    if (--blocks->pages[page]->live == 0) {
        free(blocks->spare);
        blocks->spare = hone_take(blocks->pages[page]);
    }
    return true;
}
