// Three small hash tables of this room, keyed by address, by text and by pointers; they only grow.
#ifndef HONE_SYMBOL_TABLE_H
#define HONE_SYMBOL_TABLE_H

#include "base/table.h"
#include "symbol/symbol.h"

// address → frames
struct hone_symbol_cached {
    uint64_t vaddr;
    const struct hone_symbol_frame *frames; // NULL: known to be unknown
    uint32_t count;
    bool used;
};

struct hone_symbol_cache {
    struct hone_symbol_cached *at; // heap
    size_t count;
    size_t capacity; // a power of two
};

// The entry of vaddr or a free one (used is false), NULL when memory is out. A caller that fills a
// free one sets vaddr and used and adds 1 to count.
struct hone_symbol_cached *hone_symbol_cache_slot(struct hone_symbol_cache *cache, uint64_t vaddr);

// Room for so many more. False: memory is out.
bool hone_symbol_cache_reserve(struct hone_symbol_cache *cache, size_t count);
void hone_symbol_cache_done(struct hone_symbol_cache *cache);

// What DWARF or an index calls a function, its file, and the symbol where it begins → what was made
// of them.
struct hone_symbol_known {
    const void *function;
    const void *file;
    const void *begins;
    const void *made; // NULL: free
};

struct hone_symbol_knowns {
    struct hone_symbol_known *at; // heap
    size_t count;
    size_t capacity;
};

// As hone_symbol_cache_slot().
struct hone_symbol_known *hone_symbol_known_slot(struct hone_symbol_knowns *knowns,
                                                 const void *function, const void *file,
                                                 const void *begins);
bool hone_symbol_knowns_reserve(struct hone_symbol_knowns *knowns, size_t count);
void hone_symbol_knowns_done(struct hone_symbol_knowns *knowns);

// Things that are kept once: text and functions.
struct hone_symbol_interned {
    uint64_t hash;
    const void *item; // NULL: free
};

struct hone_symbol_pool {
    struct hone_symbol_interned *at; // heap
    size_t count;
    size_t capacity;
};

struct hone_arena;

// A text and its hash, for those who know it already.
struct hone_symbol_text {
    const char *at;
    uint32_t hash;
};

static inline uint32_t hone_symbol_text_hash(const char *text, size_t len)
{
    return (uint32_t)hone_table_hash(text, len, 0);
}

// The one copy of text, or of function (whose texts are such copies themselves). NULL when memory
// is out.
const char *hone_symbol_intern_text(struct hone_symbol_pool *pool, struct hone_arena *arena,
                                    const char *text);
// The same without a copy.
const char *hone_symbol_intern_hashed(struct hone_symbol_pool *pool,
                                      const struct hone_symbol_text *text);
const struct hone_symbol_function *
hone_symbol_intern_function(struct hone_symbol_pool *pool, struct hone_arena *arena,
                            const struct hone_symbol_function *function);
// As hone_symbol_cache_reserve().
bool hone_symbol_pool_reserve(struct hone_symbol_pool *pool, size_t count);
void hone_symbol_pool_done(struct hone_symbol_pool *pool);

#endif
