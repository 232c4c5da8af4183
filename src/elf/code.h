// A file with code, as those need it who walk stacks of other processes: its executable segments,
// its bytes and its unwinding rules, each in the file's own terms. As with all mapped files, one
// that is cut short meanwhile can end us (SIGBUS).
#ifndef HONE_ELF_CODE_H
#define HONE_ELF_CODE_H

#include "unwind/modules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_elf_code_segment {
    uint64_t address, offset, size; // executable; address and offset in the file
};

enum { HONE_ELF_CODE_SEGMENTS = 8 };

struct hone_elf_code {
    struct hone_module module; // as if it were loaded at its own addresses; its path is not set
    struct hone_elf_code_segment segments[HONE_ELF_CODE_SEGMENTS];
    uint32_t segment_count;
    const uint8_t *bytes; // of the whole file
    uint64_t size;
    bool owns_rules; // they are not in the file as such, but made of what it says
};

// Maps an open file of `size` bytes. Rules that it does not have are no error.
//
// Returns  0; -ENOEXEC: no ELF file of this machine, or nothing to load; -errno.
int hone_elf_code_map(int fd, uint64_t size, struct hone_elf_code *ret);

// Its rules may not be in use any more.
void hone_elf_code_unmap(struct hone_elf_code *code);

// The kernel's own little library, the same in all processes. NULL: there is none.
const struct hone_elf_code *hone_elf_code_vdso(void);

// Where the file's executable byte at `offset` is loaded, as its program headers say. False: it is
// in no executable segment. A mapping covers whole pages, so what lies between the page's start and
// the segment's counts as the segment's.
bool hone_elf_code_address(const struct hone_elf_code *code, uint64_t offset, uint64_t *ret);

#endif
