// Any bytes as code: reading instructions and following them to where they return comes to an end,
// looks at no more than it may, and reads nothing outside.
#include "unwind/arch/arch.h"
#include "unwind/arch/code_x86_64.h"

#include <stdlib.h>
#include <string.h>

enum { BASE = 0x10000, LOOKED_AT_MAX = 300 };

struct code_memory {
    struct hone_memory memory; // first: found by it
    const uint8_t *bytes;
    size_t size;
};

static bool code_of(struct hone_memory *memory, void *to, uint64_t from, size_t size)
{
    const struct code_memory *code = (const struct code_memory *)memory;
    if (from < BASE || from - BASE > code->size || code->size - (from - BASE) < size)
        return false;
    memcpy(to, code->bytes + (from - BASE), size);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1); // exactly as long, so that a read past it is caught
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    struct code_memory code = {.memory = {.code = code_of}, .bytes = bytes, .size = size};
    const struct hone_code_range range = {BASE, BASE + size};
    for (size_t at = 0; at < size; at++) {
        struct hone_code one;
        struct hone_way_out out;
        unsigned left = LOOKED_AT_MAX;
        if (hone_code_read(bytes + at, size - at, &one) &&
            (one.size == 0 || one.size > HONE_CODE_BYTES_MAX || one.size > size - at))
            abort();
        if (at % 8 == 0 &&
            hone_arch_way_out(&code.memory, BASE + at, at % 16 == 0, &range, &left, &out) &&
            (out.fp_at > 0 || left == LOOKED_AT_MAX))
            abort();
        if (left > LOOKED_AT_MAX)
            abort();
    }
    free(bytes);
    return 0;
}
