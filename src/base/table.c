#include "base/table.h"

#include "base/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>

enum { FIRST_SLOTS = 64 };

static void place(uint64_t *slots, uint32_t mask, uint64_t entry)
{
    uint32_t at = (uint32_t)(entry >> 32) & mask;
    while (slots[at])
        at = (at + 1) & mask;
    slots[at] = entry;
}

static int resize(struct hone_table *table, uint64_t slot_count)
{
    if (slot_count > (uint64_t)1 << 32)
        return -ENOMEM;
    uint64_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    hone_pages_large(slots, slot_count * sizeof *slots);
    uint32_t mask = (uint32_t)(slot_count - 1);
    if (table->slots)
        for (uint64_t i = 0; i <= table->mask; i++)
            if (table->slots[i])
                place(slots, mask, table->slots[i]);
    free(table->slots);
    table->slots = slots;
    table->mask = mask;
    return 0;
}

int hone_table_reserve(struct hone_table *table, uint32_t count)
{
    uint64_t slots = table->slots ? (uint64_t)table->mask + 1 : FIRST_SLOTS;
    while (slots / 4 * 3 < count)
        slots *= 2;
    return table->slots && slots == (uint64_t)table->mask + 1 ? 0 : resize(table, slots);
}

int hone_table_add(struct hone_table *table, uint64_t hash, uint32_t number)
{
    if (!table->slots || table->count >= ((uint64_t)table->mask + 1) / 4 * 3) {
        int r = resize(table, table->slots ? ((uint64_t)table->mask + 1) * 2 : FIRST_SLOTS);
        if (r)
            return r;
    }
    place(table->slots, table->mask, (hash >> 32) << 32 | (number + 1));
    table->count++;
    return 0;
}

void hone_table_clear(struct hone_table *table)
{
    if (table->slots)
        memset(table->slots, 0, ((size_t)table->mask + 1) * sizeof *table->slots);
    table->count = 0;
}

void hone_table_done(struct hone_table *table)
{
    free(table->slots);
    *table = (struct hone_table){0};
}

uint64_t hone_table_seed(void)
{
    // 16 random bytes that the kernel gives every process.
    const void *random = (const void *)getauxval(AT_RANDOM);
    uint64_t seed = 0;
    if (random)
        memcpy(&seed, random, sizeof seed);
    return seed;
}
