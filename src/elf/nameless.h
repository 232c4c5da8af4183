// Functions without a name: where a stripped file's unwind table says that a function begins. So
// samples of one function stay together, as "python3.11+0x1c5f40", though nobody knows what it is.
#ifndef HONE_ELF_NAMELESS_H
#define HONE_ELF_NAMELESS_H

#include "elf/elf.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_elf_extent {
    uint64_t start;
    uint64_t end; // just past the last byte
};

// The function that holds an address of the file. False when the file does not say, or the address
// lies in none.
bool hone_elf_nameless(struct hone_elf *elf, uint64_t vaddr, struct hone_elf_extent *ret);

#endif
