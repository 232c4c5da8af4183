#include "elf/function.h"

#include "elf/ranges.h"
#include "elf/symbol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Which of two aliases is better: negative when a is.
static int prefer(const struct hone_elf_symbol *a, const struct hone_elf_symbol *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    size_t a_len = strlen(a->name), b_len = strlen(b->name);
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int by_start(const void *left, const void *right)
{
    const struct hone_elf_symbol *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return prefer(a, b);
}

// Keeps the best symbol for each start and size, and gives size-0 symbols an end: the next symbol's
// start. Those inside a sized symbol are labels, no functions.
static size_t settle(struct hone_elf_symbol *at, size_t count)
{
    size_t kept = 0;
    uint64_t covered = 0; // by sized symbols so far
    for (size_t i = 0, next; i < count; i = next) {
        next = i + 1;
        while (next < count && at[next].start == at[i].start && at[next].size == at[i].size)
            next++;
        struct hone_elf_symbol symbol = at[i];
        if (symbol.size) {
            if (symbol.start + symbol.size > covered)
                covered = symbol.start + symbol.size;
        } else if (symbol.start < covered) {
            continue;
        } else {
            bool another = next < count && at[next].start < symbol.limit;
            symbol.size = (another ? at[next].start : symbol.limit) - symbol.start;
        }
        at[kept++] = symbol;
    }
    return kept;
}

// Makes the ranges flat (ranges.h) and puts them into the arena.
static int flatten(struct hone_arena *arena, const struct hone_elf_symbol *at, size_t count,
                   struct hone_elf_functions *ret)
{
    HONE_CLEANUP(hone_ranges_done) struct hone_ranges ranges = {0};
    for (size_t i = 0; i < count; i++)
        hone_ranges_add(&ranges, at[i].start, at[i].start + at[i].size, (uint32_t)i);
    int r = hone_ranges_settle(&ranges);
    if (r)
        return r;
    struct hone_elf_function *kept = hone_arena_alloc(arena, (ranges.count + 1) * sizeof *kept);
    if (!kept)
        return -ENOMEM;
    for (size_t i = 0; i < ranges.count; i++) {
        const struct hone_elf_symbol *symbol = &at[ranges.at[i].value];
        kept[i] = (struct hone_elf_function){
            .start = ranges.at[i].low,
            .end = ranges.at[i].high,
            .entry = symbol->start,
            .name = symbol->name,
            .source = symbol->source,
        };
    }
    ret->at = kept;
    ret->count = ranges.count;
    return 0;
}

static int arrange(struct hone_arena *arena, struct hone_elf_symbols *symbols, bool full,
                   struct hone_elf_functions *ret)
{
    if (symbols->failed)
        return -ENOMEM;
    if (symbols->count)
        qsort(symbols->at, symbols->count, sizeof *symbols->at, by_start);
    size_t count = symbols->count ? settle(symbols->at, symbols->count) : 0;
    struct hone_elf_functions functions = {.full = full};
    int r = flatten(arena, symbols->at, count, &functions);
    if (r)
        return r;
    *ret = functions;
    if (!functions.count)
        return HONE_ELF_NO_SYMBOLS;
    return full ? 0 : HONE_ELF_STRIPPED;
}

int hone_elf_functions(struct hone_arena *arena, struct hone_elf *elf, struct hone_elf *debug,
                       struct hone_elf_functions *ret)
{
    HONE_CLEANUP(hone_elf_symbols_done) struct hone_elf_symbols symbols = {0};
    bool full = hone_elf_read_table(elf, SHT_SYMTAB, HONE_ELF_FROM_SYMTAB, arena, &symbols);
    if (!full && debug)
        full = hone_elf_read_table(debug, SHT_SYMTAB, HONE_ELF_FROM_SYMTAB, arena, &symbols);
    if (!full) {
        full = hone_elf_read_mini_debug(elf, arena, &symbols);
        // A full table holds the exports too; the small one leaves them to .dynsym.
        (void)hone_elf_read_table(elf, SHT_DYNSYM, HONE_ELF_FROM_DYNSYM, arena, &symbols);
    }
    hone_elf_read_plt(elf, arena, &symbols);
    return arrange(arena, &symbols, full, ret);
}

int hone_elf_variables(struct hone_arena *arena, struct hone_elf *elf, struct hone_elf *debug,
                       struct hone_elf_functions *ret)
{
    HONE_CLEANUP(hone_elf_symbols_done) struct hone_elf_symbols symbols = {0};
    bool full = hone_elf_read_data(elf, SHT_SYMTAB, arena, &symbols);
    if (!full && debug)
        full = hone_elf_read_data(debug, SHT_SYMTAB, arena, &symbols);
    if (!full)
        (void)hone_elf_read_data(elf, SHT_DYNSYM, arena, &symbols);
    return arrange(arena, &symbols, full, ret);
}

const struct hone_elf_function *hone_elf_function_at(const struct hone_elf_functions *functions,
                                                     uint64_t vaddr)
{
    size_t low = 0, high = functions->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (functions->at[middle].end <= vaddr)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == functions->count || functions->at[low].start > vaddr)
        return NULL;
    return &functions->at[low];
}
