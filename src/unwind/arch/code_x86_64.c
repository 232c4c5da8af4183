#include "unwind/arch/code_x86_64.h"

// What follows each opcode, laid out as in the manuals' maps: nothing ( ), a ModRM byte (m), an
// immediate of 1 (b), 2 (w), 4 (d), 4 or with a prefix 2 (z), 4 or 8 bytes (v), 3 bytes (e), an
// address (a), ModRM and 1 (M) or z (Z) bytes or, for some, none (t, T). More to read: prefixes
// (p), REX (r), another map (O, 3, A), VEX and EVEX (V). None: x.
static const char one_byte[] = "mmmmbzxxmmmmbzxO"   // 00
                               "mmmmbzxxmmmmbzxx"   // 10
                               "mmmmbzpxmmmmbzpx"   // 20
                               "mmmmbzpxmmmmbzpx"   // 30
                               "rrrrrrrrrrrrrrrr"   // 40
                               "                "   // 50
                               "xxVmppppzZbM    "   // 60
                               "bbbbbbbbbbbbbbbb"   // 70
                               "MZxMmmmmmmmmmmmm"   // 80
                               "          x     "   // 90
                               "aaaa    bz      "   // a0
                               "bbbbbbbbvvvvvvvv"   // b0
                               "MMw VVMZe w  bx "   // c0
                               "mmmmxxx mmmmmmmm"   // d0
                               "bbbbbbbbddxb    "   // e0
                               "p pp  tT      mm";  // f0
static const char two_bytes[] = "mmmmx     x xm x"  // 0f00
                                "mmmmmmmmmmmmmmmm"  // 0f10
                                "mmmmxxxxmmmmmmmm"  // 0f20
                                "      x 3xAxxxxx"  // 0f30
                                "mmmmmmmmmmmmmmmm"  // 0f40
                                "mmmmmmmmmmmmmmmm"  // 0f50
                                "mmmmmmmmmmmmmmmm"  // 0f60
                                "MMMMmmm mmxxmmmm"  // 0f70
                                "dddddddddddddddd"  // 0f80
                                "mmmmmmmmmmmmmmmm"  // 0f90
                                "   mMmxx   mMmmm"  // 0fa0
                                "mmmmmmmmmmMmmmmm"  // 0fb0
                                "mmMmMMMm        "  // 0fc0
                                "mmmmmmmmmmmmmmmm"  // 0fd0
                                "mmmmmmmmmmmmmmmm"  // 0fe0
                                "mmmmmmmmmmmmmmmm"; // 0ff0

struct reader {
    const uint8_t *code;
    size_t size, at;
    bool beyond;
};

static uint8_t next(struct reader *reader)
{
    if (reader->at < reader->size)
        return reader->code[reader->at++];
    reader->beyond = true;
    return 0;
}

static int32_t next_number(struct reader *reader, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)next(reader) << 8 * i;
    if (bytes == 1)
        return (int8_t)value;
    return bytes == 2 ? (int16_t)value : (int32_t)value;
}

static void read_operand(struct reader *reader, struct hone_code *code)
{
    uint8_t modrm = next(reader);
    code->mod = modrm >> 6;
    code->reg = modrm >> 3 & 7;
    code->rm = modrm & 7;
    if (code->mod == 3)
        return;
    if (code->rm == 4)
        code->sib = next(reader);
    uint8_t base = code->rm == 4 ? code->sib & 7 : code->rm;
    if (code->mod == 2 || (code->mod == 0 && base == 5))
        code->displacement = next_number(reader, 4);
    else if (code->mod == 1)
        code->displacement = next_number(reader, 1);
}

// VEX of two (c5) or three (c4) bytes, and EVEX (62) of four: a map, an opcode in it, ModRM.
static char read_vector(struct reader *reader, uint8_t kind)
{
    uint8_t first = next(reader);
    uint8_t map = kind == 0xc5 ? 1 : first & (kind == 0xc4 ? 31 : 7);
    for (unsigned i = 0; i < (kind == 0x62 ? 2 : kind == 0xc4); i++)
        (void)next(reader);
    uint8_t opcode = next(reader);
    if (map == 1)
        return two_bytes[opcode] == 'M' ? 'M' : opcode == 0x77 ? ' ' : 'm';
    // Map 4 has usual instructions in a new form (APX), which move the stack, too.
    return map == 3 ? 'M' : map && map != 4 && map <= 6 ? 'm' : 'x';
}

bool hone_code_read(const uint8_t *bytes, size_t size, struct hone_code *ret)
{
    struct reader reader = {bytes, size < HONE_CODE_BYTES_MAX ? size : HONE_CODE_BYTES_MAX, 0, 0};
    struct hone_code code = {0};
    char kind;
    bool short_address = false;
    uint8_t byte;
    do {
        byte = next(&reader);
        kind = one_byte[byte];
        code.rex = kind == 'r' ? byte & 15 : 0; // counts only where the opcode follows
        code.short_operand |= byte == 0x66;
        short_address |= byte == 0x67;
        if (kind == 'r') {
            byte = next(&reader);
            kind = one_byte[byte];
        }
    } while (kind == 'p' && !reader.beyond);
    code.opcode = byte;
    if (kind == 'O') {
        byte = next(&reader);
        kind = two_bytes[byte];
        code.opcode = HONE_CODE_TWO | byte;
    }
    if (kind == '3' || kind == 'A') {
        (void)next(&reader);
        kind = kind == '3' ? 'm' : 'M';
        code.opcode = HONE_CODE_OTHER;
    } else if (kind == 'V') {
        kind = read_vector(&reader, byte);
        code.opcode = HONE_CODE_OTHER;
    }
    if (kind == 'm' || kind == 'M' || kind == 'Z' || kind == 't' || kind == 'T')
        read_operand(&reader, &code);
    const unsigned wide = code.short_operand && !(code.rex & HONE_CODE_W) ? 2 : 4;
    unsigned immediate = 0, rest = 0;
    switch (kind) {
    case 't':
        immediate = code.reg < 2;
        break;
    case 'T':
        immediate = code.reg < 2 ? wide : 0;
        break;
    case 'b':
    case 'M':
        immediate = 1;
        break;
    case 'w':
        immediate = 2;
        break;
    case 'd':
        immediate = 4;
        break;
    case 'z':
    case 'Z':
        immediate = wide;
        break;
    case 'v':
        immediate = wide;
        rest = code.rex & HONE_CODE_W ? 4 : 0;
        break;
    case 'e':
        rest = 3;
        break;
    case 'a':
        rest = short_address ? 4 : 8;
        break;
    case ' ':
    case 'm':
        break;
    default:
        return false;
    }
    code.immediate = next_number(&reader, immediate);
    for (; rest; rest--)
        (void)next(&reader);
    if (reader.beyond)
        return false;
    code.size = (uint8_t)reader.at;
    *ret = code;
    return true;
}
