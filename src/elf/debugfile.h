// Separate debug files, where distributions put what they strip from programs:
//   1. by build id:        ROOT/.build-id/xx/yyyy.debug
//   2. by .gnu_debuglink:  beside the file, in .debug/, in ROOT/<directory of the file>/
//   3. what dwz took out of several debug files (.gnu_debugaltlink), by its build id or path
// A debug file is accepted when its build id is the one wanted; one without build id only through
// a debug link with the right checksum. Everything else is passed over as if it were not there.
#ifndef HONE_ELF_DEBUGFILE_H
#define HONE_ELF_DEBUGFILE_H

#include "elf/elf.h"

enum { HONE_ELF_NO_DEBUG_FILE = 1 };

struct hone_elf_debug_places {
    const char *const *roots; // in the order of search: "/usr/lib/debug"
    size_t root_count;
};

// Each returns 0 and an open file, or HONE_ELF_NO_DEBUG_FILE; -ENOMEM.
int hone_elf_debug_by_build_id(const struct hone_elf_debug_places *places,
                               const unsigned char *build_id, size_t build_id_len,
                               struct hone_elf **ret);
int hone_elf_debug_by_link(const struct hone_elf_debug_places *places, struct hone_elf *elf,
                           struct hone_elf **ret);
int hone_elf_debug_alternate(const struct hone_elf_debug_places *places, struct hone_elf *debug,
                             struct hone_elf **ret);

// By build id, then by link.
int hone_elf_debug_find(const struct hone_elf_debug_places *places, struct hone_elf *elf,
                        struct hone_elf **ret);

#endif
