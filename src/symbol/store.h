// Where indexes (index.h) are kept: a folder of files named by build id. Any number of processes
// use it at once: a file is written under a name of its own and renamed, so readers see a whole one
// or none, and one that is removed stays mapped for whoever has it open. A folder that is not ours,
// or cannot be written, is silently no store.
#ifndef HONE_SYMBOL_STORE_H
#define HONE_SYMBOL_STORE_H

#include "base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_symbol_store {
    char *directory; // heap; NULL: there is none
    uint64_t limit;  // bytes of all files
};

// directory NULL: as the environment says; "": no store. limit 0: the default. Touches no file.
void hone_symbol_store_init(struct hone_symbol_store *store, const char *directory, uint64_t limit);
void hone_symbol_store_done(struct hone_symbol_store *store);

// Whether something can be written, as far as can be told before: makes the folder.
bool hone_symbol_store_usable(struct hone_symbol_store *store);

// Maps the index of a build id, and notes that it was used. Returns 0 or a negative errno.
int hone_symbol_store_map(const struct hone_symbol_store *store, const unsigned char *build_id,
                          size_t build_id_len, struct hone_file_map *ret);

// Writes it, then removes the least recently used files beyond the limit. Returns 0 or a negative
// errno.
int hone_symbol_store_write(struct hone_symbol_store *store, const unsigned char *build_id,
                            size_t build_id_len, const void *bytes, size_t len);

#endif
