// Any bytes return: opening, symbols, linkage tables, DWARF functions, inlined calls and lines.
#include "elf/elf_read_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    // A block of exact size, so that a read past the end is caught.
    unsigned char *copy = malloc(len ? len : 1);
    if (!copy)
        return 0;
    memcpy(copy, bytes, len);
    (void)hone_elf_read_all(copy, len);
    free(copy);
    return 0;
}
