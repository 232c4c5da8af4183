// Hash tables of numbers: what finds equal things in an array. The table keeps a hash and a number
// (a place in the caller's array) per entry; the caller keeps the things and says what is equal.
//
//     struct hone_table_probe probe = hone_table_probe(&names, hash);
//     uint32_t at;
//     while ((at = hone_table_next(&names, &probe)) != HONE_TABLE_END)
//         if (hone_str_equal(text[at], name))
//             return at;
//     if (hone_table_add(&names, hash, count)) return -ENOMEM;
//
// Open addressing with linear probing over 8-byte slots, at most 3/4 full, so a lookup that finds
// nothing costs about one cache line. Entries are never removed alone. Equal hashes are expected
// from chance only: whoever stores what strangers wrote passes hone_table_hash() a seed they
// cannot know (hone_table_seed()), or they could make every lookup walk the whole table.
//
// Threads: one at a time while it changes, any number of readers after.
#ifndef HONE_BASE_TABLE_H
#define HONE_BASE_TABLE_H

#include "core/hash.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hone_table {  // zero is an empty table
    uint64_t *slots; // upper half of the hash above, number + 1 below; 0 is free
    uint32_t mask;   // number of slots - 1
    uint32_t count;  // of entries
};

#define HONE_TABLE_END UINT32_MAX // not a number that can be stored

// Adds a number below UINT32_MAX - 1 without looking for an equal one. Returns 0 or -ENOMEM.
int hone_table_add(struct hone_table *table, uint64_t hash, uint32_t number);

// Makes room for so many entries, so that adding them moves nothing. Returns 0 or -ENOMEM.
int hone_table_reserve(struct hone_table *table, uint32_t count);

// Forgets all entries and keeps the room.
void hone_table_clear(struct hone_table *table);

void hone_table_done(struct hone_table *table);

// The same in one process, another in the next.
uint64_t hone_table_seed(void);

struct hone_table_probe {
    uint32_t tag;
    uint32_t slot;
};

static inline struct hone_table_probe hone_table_probe(const struct hone_table *table,
                                                       uint64_t hash)
{
    return (struct hone_table_probe){(uint32_t)(hash >> 32), (uint32_t)(hash >> 32) & table->mask};
}

// Fetches what the probe of this hash will read, for those who know it some time before.
static inline void hone_table_prefetch(const struct hone_table *table, uint64_t hash)
{
    if (table->slots)
        __builtin_prefetch(&table->slots[(uint32_t)(hash >> 32) & table->mask], 1);
}

// The next number whose hash looks equal, or HONE_TABLE_END.
static inline uint32_t hone_table_next(const struct hone_table *table,
                                       struct hone_table_probe *probe)
{
    if (!table->slots)
        return HONE_TABLE_END;
    for (;;) {
        uint64_t slot = table->slots[probe->slot];
        if (!slot)
            return HONE_TABLE_END;
        probe->slot = (probe->slot + 1) & table->mask;
        if ((uint32_t)(slot >> 32) == probe->tag)
            return (uint32_t)slot - 1;
    }
}

// A hash of bytes, 16 at a step (multiply and fold, as in core/hash.h).
static inline uint64_t hone_table_hash(const void *bytes, size_t len, uint64_t seed)
{
    const char *at = bytes;
    uint64_t hash = hone_hash_fold(seed ^ 0x9e3779b97f4a7c15u, len ^ 0xa0761d6478bd642fu);
    uint64_t a = 0;
    uint64_t b = 0;
    for (; len > 16; at += 16, len -= 16) {
        memcpy(&a, at, 8);
        memcpy(&b, at + 8, 8);
        hash = hone_hash_fold(a ^ 0xe7037ed1a0b428dbu, b ^ hash);
    }
    a = b = 0;
    if (len >= 8) { // the two words overlap; the length is in the hash already
        memcpy(&a, at, 8);
        memcpy(&b, at + len - 8, 8);
    } else if (len >= 4) {
        uint32_t low;
        uint32_t high;
        memcpy(&low, at, 4);
        memcpy(&high, at + len - 4, 4);
        a = (uint64_t)low << 32 | high;
    } else if (len) {
        a = (uint64_t)(unsigned char)at[0] << 16 | (uint64_t)(unsigned char)at[len / 2] << 8 |
            (unsigned char)at[len - 1];
    }
    return hone_hash_fold(a ^ 0x8ebc6af09c88c6e3u, b ^ hash);
}

#endif
