// What the parts of asking servers for names share: origins.c knows whom to ask, symbols.c asks,
// symbols_read.c reads answers, symbols_apply.c writes them into a profile. Private to this room.
#ifndef HONE_FETCH_SYMBOLS_H
#define HONE_FETCH_SYMBOLS_H

#include "base/base.h"

#include <stdint.h>

struct hone_profile;

// --- origins -------------------------------------------------------------------------------------

struct hone_fetch_origin {
    const char *key; // build id or file of a mapping
    const char *url;
    uint64_t start; // of the mapping in the process that was asked
    size_t place;   // in the order of sources
};

struct hone_fetch_origins {
    struct hone_arena arena;
    struct hone_fetch_origin *at; // by key, then by place
    size_t count;
};

// The first origin with this key, NULL when there is none; those after it may have it too.
const struct hone_fetch_origin *hone_fetch_origins_find(const struct hone_fetch_origins *origins,
                                                        const char *key);

// --- answers -------------------------------------------------------------------------------------

// What a server says of an address. The name lies in the answer.
struct hone_symbols_name {
    uint64_t address;
    struct hone_str name;
};

struct hone_symbols {
    struct hone_symbols_name *at; // by address, one for each
    size_t count;
};

// Reads lines such as "0x401136 main"; others are skipped. Returns 0 or -ENOMEM.
int hone_symbols_read(const char *answer, size_t len, struct hone_symbols *ret);
void hone_symbols_done(struct hone_symbols *symbols);

// The name of an address; empty when the server did not say.
struct hone_str hone_symbols_find(const struct hone_symbols *symbols, uint64_t address);

// --- into a profile ------------------------------------------------------------------------------

// What the server of a mapping said, and by how much its addresses are higher than the profile's.
struct hone_symbols_answer {
    struct hone_symbols symbols;
    uint64_t higher;
    bool asked; // the mapping counts as looked up from now on
};

// Gives the names that answers (one for each mapping) have to locations without any. Returns 0 or
// -ENOMEM.
int hone_symbols_apply(struct hone_profile *profile, const struct hone_symbols_answer *answers);

#endif
