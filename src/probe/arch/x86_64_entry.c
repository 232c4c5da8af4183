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
        distance = (code[at + next->distance_at] ^ 0x80) - 0x80;
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

// --- all of a function ---------------------------------------------------------------------------

// What follows an opcode, for all of them: MODRM, BYTE and WORD as above, HALF (two bytes), EIGHT,
// and BAD for what is none. Sixteen opcodes a line.
enum { HALF = 8, EIGHT = 16, BAD = 32 };

#define M MODRM
#define MB (MODRM | BYTE)
#define MW (MODRM | WORD)
#define ARITHMETIC M, M, M, M, BYTE, WORD, BAD, BAD

static const uint8_t first_map[256] = {
    ARITHMETIC, ARITHMETIC, // 0x00; 0x0f is looked at before
    ARITHMETIC, ARITHMETIC, // 0x10
    ARITHMETIC, ARITHMETIC, // 0x20
    ARITHMETIC, ARITHMETIC, // 0x30
    BAD,        BAD,        BAD,         BAD,   BAD,  BAD,  BAD,  BAD,  BAD,  BAD,  BAD,
    BAD,        BAD,        BAD,         BAD,   BAD, // prefixes
    0,          0,          0,           0,     0,    0,    0,    0,    0,    0,    0,
    0,          0,          0,           0,     0, // 0x50
    BAD,        BAD,        BAD,         M,     BAD,  BAD,  BAD,  BAD,  WORD, MW,   BYTE,
    MB,         0,          0,           0,     0, // 0x60
    BYTE,       BYTE,       BYTE,        BYTE,  BYTE, BYTE, BYTE, BYTE, BYTE, BYTE, BYTE,
    BYTE,       BYTE,       BYTE,        BYTE,  BYTE, MB,   MW,   BAD,  MB,   M,    M,
    M,          M,          M,           M,     M,    M,    M,    M,    M,    M, // 0x80
    0,          0,          0,           0,     0,    0,    0,    0,    0,    0,    BAD,
    0,          0,          0,           0,     0, // 0x90
    EIGHT,      EIGHT,      EIGHT,       EIGHT, 0,    0,    0,    0,    BYTE, WORD, 0,
    0,          0,          0,           0,     0, // 0xa0
    BYTE,       BYTE,       BYTE,        BYTE,  BYTE, BYTE, BYTE, BYTE, WORD, WORD, WORD,
    WORD,       WORD,       WORD,        WORD,  WORD, MB,   MB,   HALF, 0,    BAD,  BAD,
    MB,         MW,         HALF | BYTE, 0,     HALF, 0,    0,    BYTE, BAD,  0, // 0xc0
    M,          M,          M,           M,     BAD,  BAD,  BAD,  0,    M,    M,    M,
    M,          M,          M,           M,     M, // 0xd0
    BYTE,       BYTE,       BYTE,        BYTE,  BYTE, BYTE, BYTE, BYTE, WORD, WORD, BAD,
    BYTE,       0,          0,           0,     0,    BAD,  0,    BAD,  BAD,  0,    0,
    M,          M,          0,           0,     0,    0,    0,    0,    M,    M, // 0xf0
};

static const uint8_t second_map[256] = {
    M,    M,    M,    M,    BAD,  0,    0,    0,    0,    0,    BAD,
    0,    BAD,  M,    0,    MB, // 0x00
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,
    M,    M,    M,    M,    M, // 0x10
    M,    M,    M,    M,    BAD,  BAD,  BAD,  BAD,  M,    M,    M,
    M,    M,    M,    M,    M, // 0x20
    0,    0,    0,    0,    0,    0,    BAD,  0,    BAD,  BAD,  BAD,
    BAD,  BAD,  BAD,  BAD,  BAD, // 0x30
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,
    M,    M,    M,    M,    M, // 0x40
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,
    M,    M,    M,    M,    M, // 0x50
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,
    M,    M,    M,    M,    M, // 0x60
    MB,   MB,   MB,   MB,   M,    M,    M,    0,    M,    M,    BAD,
    BAD,  M,    M,    M,    M, // 0x70
    WORD, WORD, WORD, WORD, WORD, WORD, WORD, WORD, WORD, WORD, WORD,
    WORD, WORD, WORD, WORD, WORD, M,    M,    M,    M,    M,    M,
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M, // 0x90
    0,    0,    0,    M,    MB,   M,    BAD,  BAD,  0,    0,    0,
    M,    MB,   M,    M,    M, // 0xa0
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,    MB,
    M,    M,    M,    M,    M, // 0xb0
    M,    M,    MB,   M,    MB,   MB,   MB,   M,    0,    0,    0,
    0,    0,    0,    0,    0, // 0xc0
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,
    M,    M,    M,    M,    M, // 0xd0
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,
    M,    M,    M,    M,    M, // 0xe0
    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,    M,
    M,    M,    M,    M,    M, // 0xf0
};

#undef M
#undef MB
#undef MW
#undef ARITHMETIC

// Of the maps that two or three bytes select, by their numbers in vector prefixes.
static int operands_in_map(unsigned map, uint8_t opcode)
{
    return map == 1 ? second_map[opcode] : map == 2 ? MODRM : map == 3 ? MODRM | BYTE : BAD;
}

static bool is_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return false;
    }
}

// What matters of an instruction to who looks for jumps.
struct step {
    uint32_t length;
    bool branches; // by `distance` from its end
    bool calls;
    bool computed; // a jump to where a register or memory says, other than out of the module
    int64_t distance;
};

static bool step_over(const uint8_t *code, uint64_t room, struct step *ret)
{
    uint8_t bytes[32] = {0};
    memcpy(bytes, code, room < 15 ? room : 15);
    *ret = (struct step){0};
    uint32_t at = 0;
    bool narrow = false, wide = false;
    while (at < 14 && is_prefix(bytes[at]))
        narrow = bytes[at++] == 0x66 || narrow;
    if ((bytes[at] & 0xf0) == 0x40)
        wide = (bytes[at++] & 8) != 0;
    uint8_t opcode = bytes[at++], second = 0;
    int operands;
    if (opcode == 0xc5) { // two bytes of vector prefix, three, four
        operands = operands_in_map(1, bytes[at + 1]);
        at += 2;
    } else if (opcode == 0xc4) {
        operands = operands_in_map(bytes[at] & 31, bytes[at + 2]);
        at += 3;
    } else if (opcode == 0x62) {
        operands = operands_in_map(bytes[at] & 7, bytes[at + 3]);
        at += 4;
    } else if (opcode == 0x0f) {
        second = bytes[at++];
        operands = operands_in_map(second == 0x38 ? 2 : second == 0x3a ? 3 : 1, second);
        at += second == 0x38 || second == 0x3a;
    } else {
        operands = first_map[opcode];
    }
    if (operands & BAD)
        return false;
    uint8_t modrm = bytes[at], what = modrm >> 3 & 7;
    if (opcode == 0xf6 && what < 2)
        operands |= BYTE;
    if (opcode == 0xf7 && what < 2)
        operands |= WORD;
    if (operands & MODRM) {
        uint8_t mode = modrm >> 6, base = modrm & 7;
        bool by_ip = mode == 0 && base == 5;
        at++;
        if (mode != 3 && base == 4)
            base = bytes[at++] & 7;
        at += mode == 1 ? 1 : mode == 2 || (mode == 0 && base == 5) ? 4 : 0;
        ret->computed = opcode == 0xff && (what == 4 || what == 5) && !by_ip;
    }
    ret->calls = opcode == 0xe8;
    ret->branches = opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb || (opcode & 0xf0) == 0x70 ||
                    (opcode >= 0xe0 && opcode < 0xe4) ||
                    (opcode == 0x0f && (second & 0xf0) == 0x80);
    if (ret->branches && operands & BYTE) {
        ret->distance = (bytes[at] ^ 0x80) - 0x80; // its sign spread
    } else if (ret->branches) {
        int32_t distance;
        memcpy(&distance, bytes + at, sizeof distance);
        ret->distance = distance;
        narrow = false;
    }
    at += operands & BYTE ? 1 : 0;
    at += operands & HALF ? 2 : 0;
    at += operands & EIGHT ? 8 : 0;
    if (operands & WORD)
        at += wide && opcode >= 0xb8 && opcode < 0xc0 ? 8 : narrow ? 2 : 4;
    ret->length = at;
    return at <= room && at <= 15;
}

// Between instructions that are overwritten; or, by another way than a call, to the beginning,
// which would be a loop's.
static bool is_into(const struct step *step, uint64_t to, uint64_t function,
                    const struct hone_entry_plan *plan, bool own)
{
    if (to == function && (step->calls || !own))
        return false;
    return to - function < (uint64_t)plan->at + plan->length;
}

// The register that is pushed (0x50) or popped (0x58) by an instruction.
static int register_of(const uint8_t *code, uint64_t room, uint8_t opcode)
{
    if (room >= 1 && (code[0] & 0xf8) == opcode)
        return code[0] & 7;
    return room >= 2 && code[0] == 0x41 && (code[1] & 0xf8) == opcode ? 8 + (code[1] & 7)
                                                                      : NOT_KNOWN;
}

static bool function_enters(const uint8_t *code, uint64_t address, uint64_t size, uint64_t function,
                            const struct hone_entry_plan *plan, bool own)
{
    const int pushed = own ? register_of(code + plan->at, size - plan->at, 0x50) : NOT_KNOWN;
    int popped = NOT_KNOWN;
    struct step step;
    for (uint64_t at = 0; at < size; at += step.length) {
        if (!step_over(code + at, size - at, &step))
            return true; // nobody knows
        // Behind a pop of what the first instruction pushes, it goes on elsewhere: between the two
        // there is one word more on the stack.
        if (step.computed && (pushed == NOT_KNOWN || popped != pushed))
            return true;
        popped = register_of(code + at, size - at, 0x58);
        uint64_t to = address + at + step.length + (uint64_t)step.distance;
        if (step.branches && is_into(&step, to, function, plan, own))
            return true;
    }
    return false;
}

bool hone_arch_entry_is_entered(const uint8_t *code, uint64_t address, uint64_t size,
                                uint64_t function, const struct hone_entry_plan *plan,
                                enum hone_entry_code what)
{
    return function_enters(code, address, size, function, plan, what == HONE_ENTRY_ITSELF);
}

// Whether a branch ends there. Where instructions begin is not known, but whoever reads on from any
// byte falls into step with them before long: of 16 bytes in a row, an instruction begins at one.
static bool branch_ends_at(const uint8_t *code, uint64_t size, uint64_t end)
{
    enum { LONGEST = 15 };
    uint64_t first = end > HONE_ENTRY_CODE_BEFORE ? end - HONE_ENTRY_CODE_BEFORE : 0;
    for (uint64_t begin = first; begin <= first + LONGEST && begin < end; begin++) {
        struct step step = {0};
        uint64_t at = begin;
        while (at < end) {
            if (!step_over(code + at, size - at, &step))
                step = (struct step){.length = 1}; // data, or what we do not know
            at += step.length;
        }
        if (at == end && step.branches)
            return true;
    }
    return false;
}

static void look_at(const uint8_t *code, uint64_t address, uint64_t size, uint64_t i,
                    struct hone_entry_target *targets, size_t count)
{
    int32_t distance;
    memcpy(&distance, code + i, sizeof distance);
    uint64_t to = address + i + 4 + (uint64_t)(int64_t)distance;
    if ((code[i - 1] & 0xfe) != 0xe8 && (code[i - 2] != 0x0f || (code[i - 1] & 0xf0) != 0x80))
        return;
    for (size_t k = 0; k < count; k++)
        if (to != targets[k].function && to - targets[k].function < targets[k].bytes &&
            !targets[k].entered)
            targets[k].entered = branch_ends_at(code, size, i + 4);
}

typedef uint32_t words __attribute__((vector_size(16), aligned(1), may_alias));

// All distances of 32 bits that lie in the next 64 bytes, wherever they begin: whether one leads to
// between `low` and low + span. Nearly none does.
static bool some_lead_to(const uint8_t *code, uint32_t from, uint32_t low, uint32_t span)
{
    const words each = {0, 4, 8, 12};
    words any = {0}, limit = any + span, base = each + (from + 4 - low);
#pragma GCC unroll 4
    for (uint32_t k = 0; k < 64; k += 16, base += 16)
#pragma GCC unroll 4
        for (uint32_t at = 0; at < 4; at++)
            any |= (words)(*(const words *)(const void *)(code + k + at) + base + at < limit);
    return any[0] | any[1] | any[2] | any[3];
}

void hone_arch_code_find_entered(const uint8_t *code, uint64_t address, uint64_t size,
                                 uint64_t from, struct hone_entry_target *targets, size_t count)
{
    enum { BLOCK = 64, BEYOND = 4 };
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t k = 0; k < count; k++) {
        low = targets[k].function < low ? targets[k].function : low;
        uint64_t end = targets[k].function + targets[k].bytes;
        high = end > high ? end : high;
    }
    uint64_t i = from > 2 ? from : 2;
    for (; i + BLOCK + BEYOND <= size; i += BLOCK)
        if (HONE_UNLIKELY(some_lead_to(code + i, (uint32_t)(address + i), (uint32_t)low,
                                       (uint32_t)(high - low))))
            for (uint64_t k = i; k < i + BLOCK; k++)
                look_at(code, address, size, k, targets, count);
    for (; i + 4 <= size; i++)
        look_at(code, address, size, i, targets, count);
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

void hone_arch_entry_lead(uint8_t *island, uint64_t to)
{
    static const uint8_t code[] = {0xff, 0x25, 0, 0, 0, 0}; // jmp *0(%rip): what lies behind
    memcpy(island, code, sizeof code);
    memcpy(island + sizeof code, &to, sizeof to);
}

void hone_arch_entry_island(uint8_t *island, uint64_t gate, uint64_t hook)
{
    // push 18(%rip), jmp *4(%rip): the hook and the gate, which lie behind
    static const uint8_t code[] = {0xff, 0x35, 18, 0, 0, 0, 0xff, 0x25, 4, 0, 0, 0};
    memcpy(island, code, sizeof code);
    memcpy(island + 16, &gate, sizeof gate);
    memcpy(island + 24, &hook, sizeof hook);
}
