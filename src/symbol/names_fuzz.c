// Any bytes return: perf maps, jitdumps, the kernel's list and indexes, as the first byte says.
#include "symbol/names_read_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (!len)
        return 0;
    // A block of exact size, so that a read past the end is caught; malloc aligns it as a mapping.
    size_t rest = len - 1;
    unsigned char *copy = malloc(rest ? rest : 1);
    if (!copy)
        return 0;
    memcpy(copy, bytes + 1, rest);
    switch (bytes[0] % 4) {
    case 0:
        (void)hone_read_all_jit(copy, rest, false);
        break;
    case 1:
        (void)hone_read_all_jit(copy, rest, true);
        break;
    case 2:
        (void)hone_read_all_kernel(copy, rest);
        break;
    default:
        hone_resum(copy, rest);
        (void)hone_read_all_index(copy, rest);
    }
    free(copy);
    return 0;
}
