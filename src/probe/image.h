// A loaded module as its headers in memory tell: what it imports and defines. Private to who
// changes what modules call.
#ifndef HONE_PROBE_IMAGE_H
#define HONE_PROBE_IMAGE_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_image {
    uint64_t bias, low, high;
    uint64_t text_low, text_high;     // code that cannot be written
    uint64_t sealed_low, sealed_high; // data that is not written once the loader is done with it
    const Elf64_Dyn *dynamic;
    const Elf64_Sym *symbols;
    const char *strings;
    const uint32_t *gnu_hash, *hash;
    const Elf64_Rela *tables[2];
    size_t counts[2];
    size_t relative; // of the first table: entries without a symbol, at its beginning
    bool allocates;  // defines malloc()
    bool symbolic;   // binds its own functions itself (-Bsymbolic)
    bool has_path;   // says where what it needs is looked for, and what that needs (DT_RPATH)
    bool done;       // free for the user
};

// False: there is nothing of it.
bool hone_image_read(const struct dl_phdr_info *info, struct hone_image *ret);

static inline bool hone_image_holds(const struct hone_image *image, uint64_t address)
{
    return address - image->low < image->high - image->low;
}

// Address of a function that it exports, and how long it is; 0: none of that name.
uint64_t hone_image_find_sized(const struct hone_image *image, const char *name,
                               uint64_t *ret_size);
uint64_t hone_image_find(const struct hone_image *image, const char *name);

// From now on the loader does not find these functions in it any more: as if it did not export
// them. What is bound to them already stays so.
void hone_image_withdraw(const struct hone_image *image, const char *const *names, size_t count);

#endif
