// .eh_frame_hdr holds a table of function starts, sorted, each with the place of its rules
// (.eh_frame), which say how long it is. Linkers write both in one encoding; others are left alone.
// Format: Linux Standard Base 5.0, chapter 10.6.
#include "elf/nameless.h"

#include <string.h>

enum {
    HEADER_BYTES = 12, // version, three encodings, place of .eh_frame, number of entries
    ENTRY_BYTES = 8,
    ENCODING_PLACE = 0x1b, // relative to itself, 4 bytes signed
    ENCODING_COUNT = 0x03, // 4 bytes
    ENCODING_TABLE = 0x3b, // relative to the section, 4 bytes signed
};

static int32_t signed_at(const unsigned char *at)
{
    int32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t word_at(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

// The length of a function from its entry of rules: after the entry's length and the place of its
// common part stand where the function begins and how many bytes it has.
static bool function_length(struct hone_elf *elf, uint64_t rules, uint32_t *ret)
{
    struct hone_elf_bytes frames = hone_elf_section(elf, ".eh_frame");
    uint64_t at = rules - frames.vaddr;
    if (!frames.at || rules < frames.vaddr || frames.len < 16 || at > frames.len - 16)
        return false;
    *ret = word_at(frames.at + at + 12);
    return true;
}

bool hone_elf_nameless(struct hone_elf *elf, uint64_t vaddr, struct hone_elf_extent *ret)
{
    struct hone_elf_bytes header = hone_elf_section(elf, ".eh_frame_hdr");
    if (!header.at || header.len < HEADER_BYTES || header.at[0] != 1 ||
        header.at[1] != ENCODING_PLACE || header.at[2] != ENCODING_COUNT ||
        header.at[3] != ENCODING_TABLE)
        return false;
    const unsigned char *table = header.at + HEADER_BYTES;
    uint64_t count = word_at(header.at + 8);
    if (count > (header.len - HEADER_BYTES) / ENTRY_BYTES)
        return false;
    int64_t wanted = (int64_t)(vaddr - header.vaddr);
    uint64_t low = 0, high = count; // the first entry beyond the address
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (signed_at(table + middle * ENTRY_BYTES) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    const unsigned char *entry = table + (low - 1) * ENTRY_BYTES;
    uint64_t start = header.vaddr + (uint64_t)(int64_t)signed_at(entry);
    uint64_t rules = header.vaddr + (uint64_t)(int64_t)signed_at(entry + 4);
    uint32_t length;
    if (!function_length(elf, rules, &length) || vaddr - start >= length)
        return false;
    *ret = (struct hone_elf_extent){start, start + length};
    return true;
}
