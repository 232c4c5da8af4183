#include "probe/entries.h"

#include <string.h>

enum { JUMP_BYTES = 5, MARK_BYTES = 4 };

// endbr64: where a computed call may land. It stays, and the copy begins with it.
static const uint8_t mark[MARK_BYTES] = {0xf3, 0x0f, 0x1e, 0xfa};

struct instruction {
    uint32_t length;
    uint32_t distance_at; // of a 32-bit distance from the instruction's end; 0: it has none
    bool is_short;        // it has 8 bits
    bool leaves;          // nothing after it is reached
};

enum { NOT_KNOWN = -1, PLAIN = 0, MODRM = 1, BYTE = 2, WORD = 4 };

// Operands of the opcodes that functions begin with: in the general registers and the lower vector
// registers, without implied addresses.
static int operands_of(uint8_t opcode)
{
    if (opcode < 0x40)
        return (opcode & 7) < 4 ? MODRM : (opcode & 7) == 4 ? BYTE : (opcode & 7) == 5 ? WORD : -1;
    if (opcode >= 0x50 && opcode < 0x60)
        return PLAIN;
    if ((opcode >= 0x84 && opcode <= 0x8b) || opcode == 0x8d || opcode == 0x63 ||
        (opcode >= 0xd0 && opcode <= 0xd3))
        return MODRM;
    if (opcode >= 0xb0 && opcode < 0xb8)
        return BYTE;
    if (opcode >= 0xb8 && opcode < 0xc0)
        return WORD;
    switch (opcode) {
    case 0x68:
    case 0xa9:
        return WORD;
    case 0x6a:
    case 0xa8:
        return BYTE;
    case 0x69:
    case 0x81:
    case 0xc7:
        return MODRM | WORD;
    case 0x6b:
    case 0x80:
    case 0x83:
    case 0xc0:
    case 0xc1:
    case 0xc6:
        return MODRM | BYTE;
    case 0x90:
    case 0x98:
    case 0x99:
        return PLAIN;
    default:
        return NOT_KNOWN;
    }
}

// The same of those behind 0x0f.
static int operands_of_second(uint8_t opcode)
{
    if ((opcode >= 0x40 && opcode < 0x50) || (opcode >= 0x90 && opcode < 0xa0))
        return MODRM;
    switch (opcode) {
    case 0x10: // movups, movss, …
    case 0x11:
    case 0x18: // prefetch
    case 0x1f: // nop
    case 0x28:
    case 0x29:
    case 0x54:
    case 0x57:
    case 0x6e:
    case 0x6f:
    case 0x7e:
    case 0x7f:
    case 0xa3:
    case 0xaf:
    case 0xb6: // movzx, movsx
    case 0xb7:
    case 0xbe:
    case 0xbf:
    case 0xbc: // bsf, bsr
    case 0xbd:
    case 0xd6:
    case 0xef:
        return MODRM;
    case 0xba:
        return MODRM | BYTE;
    default:
        return NOT_KNOWN;
    }
}

static bool decode(const uint8_t *code, uint64_t room, struct instruction *ret)
{
    enum { LONGEST = 15 };
    uint8_t bytes[LONGEST + 8] = {0}; // so that operands may be looked at without counting
    memcpy(bytes, code, room < LONGEST ? room : LONGEST);
    *ret = (struct instruction){0};
    uint32_t at = 0;
    bool narrow = false, wide = false;
    // Operand size, segments fs and gs, and what makes vector instructions of others.
    while (at < 4 && (bytes[at] == 0x66 || bytes[at] == 0x64 || bytes[at] == 0x65 ||
                      bytes[at] == 0xf2 || bytes[at] == 0xf3))
        narrow = bytes[at++] == 0x66 || narrow;
    if ((bytes[at] & 0xf0) == 0x40)
        wide = (bytes[at++] & 8) != 0;
    uint8_t opcode = bytes[at++];
    int operands;
    if (opcode == 0xe9 || (opcode == 0x0f && (bytes[at] & 0xf0) == 0x80)) {
        ret->leaves = opcode == 0xe9;
        at += opcode == 0x0f;
        ret->distance_at = at;
        ret->length = at + 4;
        return !narrow && ret->length <= room;
    }
    if (opcode == 0xeb || (opcode & 0xf0) == 0x70) {
        ret->leaves = opcode == 0xeb;
        ret->is_short = true;
        ret->distance_at = at;
        ret->length = at + 1;
        return ret->length <= room;
    }
    if (opcode == 0xf6 || opcode == 0xf7 || opcode == 0xfe || opcode == 0xff) {
        uint32_t what = bytes[at] >> 3 & 7;
        if (opcode >= 0xfe) // inc, dec, push; the others of 0xff are calls and jumps
            operands = what < 2 || (opcode == 0xff && what == 6) ? MODRM : NOT_KNOWN;
        else
            operands = what >= 2 ? MODRM : opcode == 0xf6 ? MODRM | BYTE : MODRM | WORD;
    } else {
        operands = opcode == 0x0f ? operands_of_second(bytes[at++]) : operands_of(opcode);
    }
    if (operands == NOT_KNOWN || (narrow && operands & WORD))
        return false;
    if (operands & MODRM) {
        uint8_t modrm = bytes[at++], mode = modrm >> 6, base = modrm & 7;
        if (mode != 3 && base == 4)
            base = bytes[at++] & 7;
        else if (mode == 0 && base == 5)
            ret->distance_at = at;
        at += mode == 1 ? 1 : mode == 2 || (mode == 0 && base == 5) ? 4 : 0;
    }
    if (operands & BYTE)
        at += 1;
    if (operands & WORD) // a move alone takes eight bytes
        at += wide && opcode >= 0xb8 && opcode < 0xc0 ? 8 : 4;
    ret->length = at;
    return at <= room && at <= LONGEST;
}

static bool put_distance(uint8_t *at, uint64_t from, uint64_t to)
{
    int64_t distance = (int64_t)(to - from);
    int32_t kept = (int32_t)distance;
    memcpy(at, &kept, sizeof kept);
    return kept == distance;
}

bool hone_arch_entry_jump(uint8_t *code, uint64_t at, uint64_t to)
{
    code[0] = 0xe9;
    return put_distance(code + 1, at + JUMP_BYTES, to);
}

// Instructions stay as long as they are, so that where one is in the copy tells which it is. A
// short branch leads to a jump behind the copy.
struct far_jumps {
    struct {
        uint32_t distance_at; // of the short branch
        uint64_t to;
    } at[2];
    uint32_t count;
};

static bool move_distance(const struct instruction *next, const uint8_t *code, uint32_t at,
                          uint64_t address, uint8_t *copy, uint64_t copy_at,
                          struct far_jumps *jumps)
{
    int32_t distance = 0;
    if (next->is_short)
        distance = (int8_t)code[at + next->distance_at];
    else
        memcpy(&distance, code + at + next->distance_at, sizeof distance);
    uint64_t after = at + next->length, to = address + after + (uint64_t)(int64_t)distance;
    if (!next->is_short)
        return put_distance(copy + at + next->distance_at, copy_at + after, to);
    if (jumps->count == HONE_ARRAY_LENGTH(jumps->at))
        return false;
    jumps->at[jumps->count].distance_at = at + next->distance_at;
    jumps->at[jumps->count++].to = to;
    return true;
}

bool hone_arch_entry_plan(const uint8_t *code, uint64_t address, uint64_t size, uint8_t *copy,
                          uint64_t copy_at, struct hone_entry_plan *ret)
{
    uint32_t at = size >= MARK_BYTES && memcmp(code, mark, MARK_BYTES) == 0 ? MARK_BYTES : 0;
    *ret = (struct hone_entry_plan){.at = at, .length = JUMP_BYTES};
    memcpy(copy, code, at);
    bool leaves = false;
    struct far_jumps jumps = {.count = 0};
    while (at < ret->at + JUMP_BYTES) {
        struct instruction next;
        if (leaves || !decode(code + at, size - at, &next) ||
            at + next.length + 3 * JUMP_BYTES > HONE_ENTRY_COPY_MAX)
            return false;
        memcpy(copy + at, code + at, next.length);
        leaves = next.leaves;
        if (next.distance_at && !move_distance(&next, code, at, address, copy, copy_at, &jumps))
            return false;
        at += next.length;
    }
    ret->copied = at;
    if (!hone_arch_entry_jump(copy + at, copy_at + at, address + at))
        return false;
    for (uint32_t i = 0; i < jumps.count; i++) {
        at += JUMP_BYTES;
        copy[jumps.at[i].distance_at] = (uint8_t)(at - jumps.at[i].distance_at - 1);
        if (!hone_arch_entry_jump(copy + at, copy_at + at, jumps.at[i].to))
            return false;
    }
    return true;
}

// Every four bytes may be a distance: what is none does no harm but, rarely, that a function stays
// as it is. A call of the whole function is none that matters.
static bool reaches(const uint8_t *code, uint64_t address, uint64_t size, uint64_t low,
                    uint64_t function)
{
    for (uint64_t i = 1; i + 4 <= size; i++) {
        int32_t distance;
        memcpy(&distance, code + i, sizeof distance);
        uint64_t to = address + i + 4 + (uint64_t)(int64_t)distance;
        if (to - function < low - function + JUMP_BYTES &&
            !(to == function && (code[i - 1] == 0xe8 || code[i - 1] == 0xe9 ||
                                 (code[i - 1] & 0xc7) == 0x05))) // or its address is taken
            return true;
    }
    return false;
}

bool hone_arch_entry_is_entered(const uint8_t *code, uint64_t address, uint64_t size,
                                uint64_t function, const struct hone_entry_plan *plan, bool own)
{
    uint64_t low = function + plan->at;
    if (reaches(code, address, size, low, function))
        return true;
    if (!own)
        return false;
    for (uint64_t i = 1; i < size; i++) {
        // Short branches, and a jump to the very beginning, where that would be a loop's.
        uint64_t to = address + i + 1 + (uint64_t)(int64_t)(int8_t)code[i];
        bool is_short = (code[i - 1] & 0xf0) == 0x70 || code[i - 1] == 0xeb ||
                        (code[i - 1] >= 0xe0 && code[i - 1] <= 0xe3);
        if (is_short && to - function < low - function + JUMP_BYTES)
            return true;
        int32_t distance = 0;
        if (i + 4 <= size)
            memcpy(&distance, code + i, sizeof distance);
        if (distance && code[i - 1] == 0xe9 &&
            address + i + 4 + (uint64_t)(int64_t)distance == function)
            return true;
        // A jump by register or by a table.
        if (code[i - 1] == 0xff && ((code[i] & 0xf8) == 0xe0 || code[i] == 0x24))
            return true;
    }
    return false;
}

bool hone_arch_entry_calls(const uint8_t *code, uint64_t address, uint64_t size, uint64_t function)
{
    for (uint64_t i = 1; i + 4 <= size; i++) {
        int32_t distance;
        memcpy(&distance, code + i, sizeof distance);
        if ((code[i - 1] == 0xe8 || code[i - 1] == 0xe9) &&
            address + i + 4 + (uint64_t)(int64_t)distance == function)
            return true;
    }
    return false;
}

void hone_arch_entry_island(uint8_t *island, uint64_t to)
{
    // jmp *0(%rip), which looks behind itself
    static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
    memcpy(island, jump, sizeof jump);
    memcpy(island + sizeof jump, &to, sizeof to);
}
