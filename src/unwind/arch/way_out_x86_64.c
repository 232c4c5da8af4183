// How code returns that no rule describes: what is left of the function is followed instruction by
// instruction, as far as it moves the stack and the frame pointer, until it returns. Calls leave
// both as they were. Where the way parts the straight one is taken, and the others when that does
// not lead out: it ended in a loop, a table of jumps, or in the next function, behind a call that
// does not return. The last shows, for the stack is at a multiple of 16 wherever a function is
// called, and there it is not.
#include "unwind/arch/arch.h"
#include "unwind/arch/code_x86_64.h"
#include "unwind/unwind.h"

enum {
    WAYS_MAX = 32,     // not taken yet
    PASSED_MAX = 256,  // instructions remembered
    WINDOW_BYTES = 64, // of code read at a time
    REACH = 1 << 22,   // of sp and frame pointers
    RSP = 4,           // as instructions number registers
    RBP = 5,
    IN_MEMORY = 16,
    SIB_RSP = 0x24, // an address that is rsp's and a displacement
};

// What a register holds, told by what sp and the frame pointer held where we began.
struct value {
    enum { LOST, SP_PLUS, FP_PLUS, AT_SP_PLUS, AT_FP_PLUS } kind : 8; // AT: what memory holds there
    int32_t offset : 24;
};

struct way {
    uint64_t at;
    struct value sp, fp;
    struct saved {
        struct value at, value;
    } saved[2];      // where the frame pointer was first put on the way, and where last
    bool called;     // a function, and there
    uint8_t call_sp; // sp was that, modulo 16
    bool raised;     // sp was, when it last changed
};

struct follower {
    struct hone_memory *memory;
    struct hone_code_range range;
    struct way ways[WAYS_MAX];
    unsigned way_count;
    uint32_t passed[PASSED_MAX]; // by some way: the lower half of their addresses, hashed
    uint64_t window_at;
    uint64_t window_size;
    uint8_t window[WINDOW_BYTES];
};

enum outcome { ON, RETURNS, ENDS };

static struct value plus(struct value value, int64_t offset)
{
    int64_t sum = value.offset + offset;
    if ((value.kind != SP_PLUS && value.kind != FP_PLUS) || sum < -REACH || sum > REACH)
        return (struct value){LOST, 0};
    return (struct value){value.kind, (int32_t)sum};
}

static struct value load(const struct way *way, struct value address)
{
    if (address.kind != SP_PLUS && address.kind != FP_PLUS)
        return (struct value){LOST, 0};
    for (unsigned i = 0; i < HONE_ARRAY_LENGTH(way->saved); i++)
        if (address.kind == way->saved[i].at.kind && address.offset == way->saved[i].at.offset)
            return way->saved[i].value;
    return (struct value){address.kind == SP_PLUS ? AT_SP_PLUS : AT_FP_PLUS, address.offset};
}

static bool read_code(struct follower *follower, uint64_t at, struct hone_code *ret)
{
    uint64_t into = at - follower->window_at;
    if (into >= follower->window_size || follower->window_size - into < HONE_CODE_BYTES_MAX) {
        const uint64_t low = follower->range.low, high = follower->range.high;
        if (at - low >= high - low)
            return false;
        const uint64_t size = high - at < WINDOW_BYTES ? high - at : WINDOW_BYTES;
        follower->window_size = 0;
        if (!hone_memory_code(follower->memory, follower->window, at, size))
            return false;
        follower->window_at = at;
        follower->window_size = size;
        into = 0;
    }
    return hone_code_read(follower->window + into, follower->window_size - into, ret);
}

// Where it is remembered that some way passed here.
static uint32_t *passed_by(struct follower *follower, uint64_t at)
{
    return &follower->passed[(at ^ at >> 9) % PASSED_MAX];
}

// Whether one does so for the first time.
static bool is_new(struct follower *follower, uint64_t at)
{
    uint32_t *passed = passed_by(follower, at);
    if (*passed == (uint32_t)at)
        return false;
    *passed = (uint32_t)at;
    return true;
}

static void keep_way(struct follower *follower, const struct way *way, uint64_t target)
{
    if (follower->way_count == WAYS_MAX || *passed_by(follower, target) == (uint32_t)target)
        return;
    follower->ways[follower->way_count] = *way;
    follower->ways[follower->way_count++].at = target;
}

// Registers of an operand, with the bits that rex adds.
static unsigned register_of(const struct hone_code *code)
{
    return code->reg | (code->rex & HONE_CODE_R ? 8u : 0);
}

static unsigned operand_register(const struct hone_code *code)
{
    return code->mod == 3 ? code->rm | (code->rex & HONE_CODE_B ? 8u : 0) : IN_MEMORY;
}

// The one that the opcode itself names.
static unsigned named_register(const struct hone_code *code)
{
    return (code->opcode & 7) | (code->rex & HONE_CODE_B ? 8u : 0);
}

// The address that an operand in memory means.
static struct value operand_address(const struct hone_code *code, const struct way *way)
{
    bool plain = !(code->rex & HONE_CODE_B) && code->mod != 3;
    if (plain && code->rm == RSP && code->sib == SIB_RSP && !(code->rex & HONE_CODE_X))
        return plus(way->sp, code->displacement);
    if (plain && code->rm == RBP && code->mod != 0)
        return plus(way->fp, code->displacement);
    return (struct value){LOST, 0};
}

// The value that a move or lea gives to a register.
static struct value moved(const struct hone_code *code, const struct way *way)
{
    const unsigned from = code->opcode == 0x89 ? register_of(code) : operand_register(code);
    if (code->opcode == 0x8d)
        return operand_address(code, way);
    if (from == RSP)
        return way->sp;
    if (from == RBP)
        return way->fp;
    return from == IN_MEMORY ? load(way, operand_address(code, way)) : (struct value){LOST, 0};
}

static void set(struct way *way, unsigned which, struct value value)
{
    if (which == RSP) {
        way->raised = value.kind != way->sp.kind || value.offset > way->sp.offset;
        way->sp = value;
    } else if (which == RBP) {
        way->fp = value;
    }
}

static void save(struct way *way, struct value address)
{
    way->saved[way->saved[0].at.kind != LOST] = (struct saved){address, way->fp};
}

// Whether a function may be called or return here, with sp then at a multiple of 16.
static bool is_aligned(struct way *way, struct value sp)
{
    const uint8_t now = (uint8_t)sp.offset & 15;
    if (sp.kind != SP_PLUS)
        return true;
    if (!way->called)
        way->call_sp = now;
    way->called = true;
    return way->call_sp == now;
}

// Whether a jump to what a register or memory holds leaves the function: the last thing it does is
// to call another one. Else it looks into a table of places in the function, and the first of them
// are right behind it.
static bool jumps_away(struct way *way, const struct hone_code *code)
{
    if (!way->called)
        return way->raised || (code->mod == 0 && code->rm == RBP); // as linkers' stubs do
    return is_aligned(way, plus(way->sp, 8));
}

// What arithmetic, moves and exchanges do to the two registers.
static void calculate(const struct hone_code *code, struct way *way)
{
    const struct value lost = {LOST, 0};
    const unsigned opcode = code->opcode;
    if (opcode < 0x40) {
        const unsigned operation = opcode >> 3, form = opcode & 7;
        if (operation == 7) // cmp
            return;
        if (form == 1)
            set(way, operand_register(code), lost);
        else if (form == 3)
            set(way, register_of(code), lost);
    } else if (opcode == 0x81 || opcode == 0x83) {
        const unsigned which = operand_register(code);
        struct value sum = lost;
        if (code->reg == 7)
            return;
        if (which == RSP && (code->reg == 0 || code->reg == 5))
            sum = plus(way->sp, code->reg ? -(int64_t)code->immediate : code->immediate);
        set(way, which, sum);
    } else if (opcode == 0x8b || opcode == 0x8d) {
        set(way, register_of(code), moved(code, way));
    } else if (opcode == 0x89) {
        if (code->mod != 3 && register_of(code) == RBP)
            save(way, operand_address(code, way));
        set(way, operand_register(code), moved(code, way));
    } else if (opcode == 0x87) {
        set(way, operand_register(code), lost);
        set(way, register_of(code), lost);
    } else if ((opcode > 0x90 && opcode < 0x98) || (opcode & ~7u) == 0xb8) {
        set(way, named_register(code), lost);
    } else if (opcode == 0xc7) {
        set(way, operand_register(code), lost);
    }
}

static void push(struct way *way, bool fp)
{
    set(way, RSP, plus(way->sp, -8));
    if (fp)
        save(way, way->sp);
}

static void pop(struct way *way, unsigned which)
{
    const struct value popped = load(way, way->sp);
    set(way, RSP, plus(way->sp, 8));
    set(way, which, popped);
}

static bool is_branch(unsigned opcode)
{
    return (opcode & ~15u) == 0x70 || (opcode & ~3u) == 0xe0 ||
           (opcode & ~15u) == (HONE_CODE_TWO | 0x80);
}

// Opcode ff has more meanings than one: 2 is a call, 4 a jump, 6 a push.
static enum outcome follow_ff(struct way *way, const struct hone_code *code)
{
    if (code->reg == 6)
        push(way, false);
    if (code->reg == 4)
        return jumps_away(way, code) ? RETURNS : ON;
    return code->reg == 3 || code->reg == 5 || (code->reg == 2 && !is_aligned(way, way->sp)) ? ENDS
                                                                                             : ON;
}

// One instruction; `way` is at the next one then.
static enum outcome follow(struct follower *follower, struct way *way, const struct hone_code *code)
{
    const unsigned opcode = code->opcode;
    way->at += code->size;
    const uint64_t target = way->at + (uint64_t)(int64_t)code->immediate;
    if (is_branch(opcode)) {
        keep_way(follower, way, target);
    } else if ((opcode & ~7u) == 0x50) {
        push(way, named_register(code) == RBP);
    } else if ((opcode & ~7u) == 0x58) {
        pop(way, named_register(code));
    } else {
        switch (opcode) {
        case 0x68:
        case 0x6a:
        case 0x9c:
            push(way, false);
            break;
        case 0x8f:
        case 0x9d:
            pop(way, IN_MEMORY);
            break;
        case 0xc9: // leave
            set(way, RSP, way->fp);
            pop(way, RBP);
            break;
        case 0xc3:
            return is_aligned(way, plus(way->sp, 8)) ? RETURNS : ENDS;
        case 0xe9:
        case 0xeb:
            way->at = target;
            break;
        case 0xe8:
            return is_aligned(way, way->sp) ? ON : ENDS;
        case 0xff:
            return follow_ff(way, code);
        case 0xc2: // a return that drops arguments
        case 0xc8: // enter
        case 0xca: // far returns, traps, hlt
        case 0xcb:
        case 0xcc:
        case 0xcf:
        case 0xf4:
        case HONE_CODE_TWO | 0x0b: // ud2, ud1, ud0
        case HONE_CODE_TWO | 0xb9:
        case HONE_CODE_TWO | 0xff:
            return ENDS;
        default:
            calculate(code, way);
        }
    }
    return ON;
}

// Where sp then points to the return address.
static bool tell(const struct way *way, struct hone_way_out *ret)
{
    struct hone_way_out out = {.by_fp = way->sp.kind == FP_PLUS, .cfa = way->sp.offset + 8};
    if (way->sp.kind != SP_PLUS && way->sp.kind != FP_PLUS)
        return false;
    if (way->fp.kind == (out.by_fp ? AT_FP_PLUS : AT_SP_PLUS) &&
        way->fp.offset <= way->sp.offset - 8)
        out.fp_at = way->fp.offset - out.cfa;
    else if (way->fp.kind != FP_PLUS || way->fp.offset != 0)
        return false;
    *ret = out;
    return true;
}

bool hone_arch_way_out(struct hone_memory *memory, uint64_t address, bool called,
                       const struct hone_code_range *range, unsigned *left,
                       struct hone_way_out *ret)
{
    struct follower follower; // most of it is written before it is read
    follower.memory = memory;
    follower.range = *range;
    follower.way_count = 0;
    __builtin_memset(follower.passed, 0, sizeof follower.passed);
    follower.window_size = 0;
    follower.window_at = 0;
    const struct way begin = {
        .at = address, .sp = {SP_PLUS, 0}, .fp = {FP_PLUS, 0}, .called = called};
    keep_way(&follower, &begin, address);
    while (follower.way_count > 0) {
        struct way way = follower.ways[--follower.way_count];
        struct hone_code code;
        enum outcome outcome = ON;
        while (outcome == ON && *left > 0 && is_new(&follower, way.at) &&
               read_code(&follower, way.at, &code)) {
            --*left;
            outcome = follow(&follower, &way, &code);
        }
        if (outcome == RETURNS && tell(&way, ret))
            return true;
    }
    return false;
}
