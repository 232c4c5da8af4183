#include "symbol/table.h"

#include "base/arena.h"
#include "base/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// Empty slots. All pages of a large table are made in one call: they are used in no order, looked
// at before they are written to, and each would cost two page faults.
static void *new_slots(size_t capacity, size_t size)
{
    enum { LARGE = 128 * 1024, PAGE = 4096 };
    char *slots = calloc(capacity, size);
    size_t bytes = capacity * size;
    if (slots && bytes >= LARGE) { // where the kernel does not know the call, they are made as used
        uintptr_t from = ((uintptr_t)slots + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
        uintptr_t end = ((uintptr_t)slots + bytes) & ~(uintptr_t)(PAGE - 1);
#ifdef MADV_POPULATE_WRITE // Linux 5.14
        (void)madvise(slots + (from - (uintptr_t)slots), end - from, MADV_POPULATE_WRITE);
#endif
    }
    return slots;
}

static uint64_t mix(uint64_t value)
{
    value *= 0x9e3779b97f4a7c15U;
    return value ^ value >> 29;
}

// The capacity at which so many fill three quarters at most; not below the present one.
static size_t capacity_for(size_t count, size_t capacity)
{
    if (!capacity)
        capacity = 256;
    while (count * 4 > capacity * 3)
        capacity *= 2;
    return capacity;
}

// ---- Addresses

static bool cache_grow(struct hone_symbol_cache *cache, size_t capacity)
{
    struct hone_symbol_cached *grown = new_slots(capacity, sizeof *grown);
    if (!grown)
        return false;
    for (size_t i = 0; i < cache->capacity; i++) {
        if (!cache->at[i].used)
            continue;
        size_t to = mix(cache->at[i].vaddr) & (capacity - 1);
        while (grown[to].used)
            to = (to + 1) & (capacity - 1);
        grown[to] = cache->at[i];
    }
    free(cache->at);
    cache->at = grown;
    cache->capacity = capacity;
    return true;
}

struct hone_symbol_cached *hone_symbol_cache_slot(struct hone_symbol_cache *cache, uint64_t vaddr)
{
    if (cache->count * 2 >= cache->capacity &&
        !cache_grow(cache, cache->capacity ? cache->capacity * 2 : 256))
        return NULL;
    size_t i = mix(vaddr) & (cache->capacity - 1);
    while (cache->at[i].used && cache->at[i].vaddr != vaddr)
        i = (i + 1) & (cache->capacity - 1);
    return &cache->at[i];
}

bool hone_symbol_cache_reserve(struct hone_symbol_cache *cache, size_t count)
{
    size_t capacity = 256;
    while (capacity / 2 <= cache->count + count)
        capacity *= 2;
    return capacity <= cache->capacity || cache_grow(cache, capacity);
}

void hone_symbol_cache_done(struct hone_symbol_cache *cache)
{
    free(cache->at);
}

// ---- Functions by what DWARF calls them

static size_t known_hash(const void *function, const void *file, const void *begins)
{
    return mix(mix(mix((uintptr_t)function) ^ (uintptr_t)file) ^ (uintptr_t)begins);
}

static bool knowns_grow(struct hone_symbol_knowns *knowns, size_t capacity)
{
    struct hone_symbol_known *grown = new_slots(capacity, sizeof *grown);
    if (!grown)
        return false;
    for (size_t i = 0; i < knowns->capacity; i++) {
        const struct hone_symbol_known *known = &knowns->at[i];
        if (!known->made)
            continue;
        size_t to = known_hash(known->function, known->file, known->begins) & (capacity - 1);
        while (grown[to].made)
            to = (to + 1) & (capacity - 1);
        grown[to] = *known;
    }
    free(knowns->at);
    knowns->at = grown;
    knowns->capacity = capacity;
    return true;
}

struct hone_symbol_known *hone_symbol_known_slot(struct hone_symbol_knowns *knowns,
                                                 const void *function, const void *file,
                                                 const void *begins)
{
    if (!hone_symbol_knowns_reserve(knowns, 1))
        return NULL;
    size_t i = known_hash(function, file, begins) & (knowns->capacity - 1);
    while (knowns->at[i].made && (knowns->at[i].function != function ||
                                  knowns->at[i].file != file || knowns->at[i].begins != begins))
        i = (i + 1) & (knowns->capacity - 1);
    return &knowns->at[i];
}

bool hone_symbol_knowns_reserve(struct hone_symbol_knowns *knowns, size_t count)
{
    size_t capacity = capacity_for(knowns->count + count, knowns->capacity);
    return capacity == knowns->capacity || knowns_grow(knowns, capacity);
}

void hone_symbol_knowns_done(struct hone_symbol_knowns *knowns)
{
    free(knowns->at);
}

// ---- Text and functions

static bool pool_grow(struct hone_symbol_pool *pool, size_t capacity)
{
    struct hone_symbol_interned *grown = new_slots(capacity, sizeof *grown);
    if (!grown)
        return false;
    for (size_t i = 0; i < pool->capacity; i++) {
        if (!pool->at[i].item)
            continue;
        size_t to = pool->at[i].hash & (capacity - 1);
        while (grown[to].item)
            to = (to + 1) & (capacity - 1);
        grown[to] = pool->at[i];
    }
    free(pool->at);
    pool->at = grown;
    pool->capacity = capacity;
    return true;
}

bool hone_symbol_pool_reserve(struct hone_symbol_pool *pool, size_t count)
{
    size_t capacity = capacity_for(pool->count + count, pool->capacity);
    return capacity == pool->capacity || pool_grow(pool, capacity);
}

static struct hone_symbol_interned *text_slot(struct hone_symbol_pool *pool,
                                              const struct hone_symbol_text *text)
{
    size_t i = text->hash & (pool->capacity - 1);
    for (; pool->at[i].item; i = (i + 1) & (pool->capacity - 1)) {
        const char *known = pool->at[i].item;
        if (pool->at[i].hash == text->hash && (known == text->at || strcmp(known, text->at) == 0))
            break;
    }
    return &pool->at[i];
}

static const char *put(struct hone_symbol_pool *pool, struct hone_symbol_interned *slot,
                       const struct hone_symbol_text *text, const char *kept)
{
    if (!kept)
        return NULL;
    *slot = (struct hone_symbol_interned){text->hash, kept};
    pool->count++;
    return kept;
}

const char *hone_symbol_intern_text(struct hone_symbol_pool *pool, struct hone_arena *arena,
                                    const char *text)
{
    if (!hone_symbol_pool_reserve(pool, 1))
        return NULL;
    size_t len = strlen(text);
    const struct hone_symbol_text hashed = {text, hone_symbol_text_hash(text, len)};
    struct hone_symbol_interned *slot = text_slot(pool, &hashed);
    return slot->item ? slot->item
                      : put(pool, slot, &hashed, hone_arena_copy(arena, text, len + 1));
}

const char *hone_symbol_intern_hashed(struct hone_symbol_pool *pool,
                                      const struct hone_symbol_text *text)
{
    if (!hone_symbol_pool_reserve(pool, 1))
        return NULL;
    struct hone_symbol_interned *slot = text_slot(pool, text);
    return slot->item ? slot->item : put(pool, slot, text, text->at);
}

const struct hone_symbol_function *
hone_symbol_intern_function(struct hone_symbol_pool *pool, struct hone_arena *arena,
                            const struct hone_symbol_function *function)
{
    if (!hone_symbol_pool_reserve(pool, 1))
        return NULL;
    uint64_t hash = mix((uintptr_t)function->name);
    hash = mix(hash ^ (uintptr_t)function->system_name);
    hash = mix(hash ^ (uintptr_t)function->file);
    hash = mix(hash ^ function->start_line);
    size_t i = hash & (pool->capacity - 1);
    for (; pool->at[i].item; i = (i + 1) & (pool->capacity - 1)) {
        const struct hone_symbol_function *known = pool->at[i].item;
        if (pool->at[i].hash == hash && known->name == function->name &&
            known->system_name == function->system_name && known->file == function->file &&
            known->start_line == function->start_line)
            return known;
    }
    struct hone_symbol_function *kept = hone_arena_new(arena, struct hone_symbol_function);
    if (!kept)
        return NULL;
    *kept = *function;
    pool->at[i] = (struct hone_symbol_interned){hash, kept};
    pool->count++;
    return kept;
}

void hone_symbol_pool_done(struct hone_symbol_pool *pool)
{
    free(pool->at);
}
