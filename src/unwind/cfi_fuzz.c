// Any bytes as call frame information: looking rules up, going through all of them, packing and
// stepping by them return, read nothing outside, and agree with one another.
//
// The first 16 bits say where in the rest .eh_frame_hdr begins, the next 8 pick the address.
#include "unwind/frame.h"
#include "unwind/row.h"

#include <stdlib.h>
#include <string.h>

enum { BASE = 0x1000, ENTRIES_MAX = 64 };

struct lookup {
    const struct hone_cfi *cfi;
    const struct hone_fde *fde;
    unsigned left;
};

static bool nothing_there(struct hone_memory *memory, uint64_t address, uint64_t *ret)
{
    (void)memory;
    *ret = address * 3;
    return address % 16 == 0;
}

static void step(const struct hone_cfi *cfi, const struct hone_rules *rules, bool signal_frame)
{
    struct hone_memory memory = {.outside = nothing_there};
    struct hone_frame frame = {.known = 0xffff, .exact = true};
    for (unsigned i = 0; i < HONE_REGISTER_COUNT; i++)
        frame.r[i] = i * 0x1000;
    (void)hone_frame_step(&frame, cfi, rules, signal_frame, &memory);
    (void)hone_row_pack(cfi, rules, signal_frame);
}

static void on_row(void *context, uint64_t from, uint64_t until, const struct hone_rules *rules)
{
    struct lookup *lookup = context;
    if (lookup->left == 0)
        return;
    lookup->left--;
    if (until <= from)
        abort();
    struct hone_rules found;
    uint64_t found_until;
    int r = hone_cfi_rules(lookup->cfi, lookup->fde, from, &found, &found_until);
    if (r == 0 && memcmp(found.registers, rules->registers, sizeof found.registers) != 0)
        abort();
    step(lookup->cfi, rules, lookup->fde->signal_frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    uint64_t hdr = (uint64_t)data[0] | (uint64_t)data[1] << 8;
    uint64_t pc = BASE + 16u * data[2];
    size -= 3;
    uint8_t *bytes = malloc(size ? size : 1); // exactly as long, so that a read past it is caught
    if (!bytes)
        return 0;
    memcpy(bytes, data + 3, size);
    struct hone_cfi cfi = {.frames = {bytes, BASE, size}, .eh_frame = BASE};
    if (hdr < size) {
        cfi.hdr = (struct hone_view){bytes + hdr, BASE + hdr, size - hdr};
        (void)hone_cfi_eh_frame(&cfi.hdr);
    }
    struct hone_fde fde;
    struct hone_rules rules;
    uint64_t until;
    if (hone_cfi_find(&cfi, pc, &fde) == 0 && hone_cfi_rules(&cfi, &fde, pc, &rules, &until) == 0)
        step(&cfi, &rules, fde.signal_frame);
    uint64_t next = BASE;
    for (unsigned i = 0; i < ENTRIES_MAX && next; i++) {
        if (hone_cfi_read(&cfi, next, &fde, &next) != 0)
            continue;
        struct lookup lookup = {&cfi, &fde, 16};
        (void)hone_cfi_each_row(&cfi, &fde, on_row, &lookup);
    }
    free(bytes);
    return 0;
}
