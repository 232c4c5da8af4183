// The rules at one address: the instructions of an entry's CIE, then its own, up to that address.
#include "unwind/cfi.h"
#include "unwind/cfi_pointer.h"
#include "unwind/cursor.h"

enum {
    // The upper two bits are the opcode, the lower six its operand.
    CFA_ADVANCE = 0x40,
    CFA_OFFSET = 0x80,
    CFA_RESTORE = 0xc0,
    // The upper two bits are zero.
    CFA_NOP = 0x00,
    CFA_SET_LOC = 0x01,
    CFA_ADVANCE1 = 0x02,
    CFA_ADVANCE2 = 0x03,
    CFA_ADVANCE4 = 0x04,
    CFA_OFFSET_EXTENDED = 0x05,
    CFA_RESTORE_EXTENDED = 0x06,
    CFA_UNDEFINED = 0x07,
    CFA_SAME_VALUE = 0x08,
    CFA_REGISTER = 0x09,
    CFA_REMEMBER_STATE = 0x0a,
    CFA_RESTORE_STATE = 0x0b,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_REGISTER = 0x0d,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    CFA_OFFSET_EXTENDED_SF = 0x11,
    CFA_DEF_CFA_SF = 0x12,
    CFA_DEF_CFA_OFFSET_SF = 0x13,
    CFA_VAL_OFFSET = 0x14,
    CFA_VAL_OFFSET_SF = 0x15,
    CFA_VAL_EXPRESSION = 0x16,
    CFA_NEGATE_SIGNED = 0x2d, // aarch64: the return address is signed from here on, or no more
    CFA_GNU_ARGS_SIZE = 0x2e,
    CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,

    REMEMBER_MAX = 4, // compilers nest one deep, hand-written code of Debian's libraries two
};

struct machine {
    const struct hone_cfi *cfi;
    const struct hone_fde *fde;
    hone_cfi_each *each; // called for each stretch, or NULL
    void *each_context;
    uint64_t pc; // stop before the stretch after this address

    uint64_t location; // where the rules `now` begin to hold
    uint64_t until;    // where they cease to
    struct hone_rules now;
    struct hone_rules initial; // what the CIE says
    struct hone_rules remembered[REMEMBER_MAX];
    unsigned remembered_count;
};

static void set_rule(struct machine *machine, uint64_t column, enum hone_rule_kind kind,
                     int64_t value)
{
    if (column < HONE_REGISTER_COUNT) // others (vector registers) are none of our business
        machine->now.registers[column] = hone_rule_make(kind, value);
}

static void restore_rule(struct machine *machine, uint64_t column)
{
    if (column < HONE_REGISTER_COUNT)
        machine->now.registers[column] = machine->initial.registers[column];
}

static int64_t scaled(const struct machine *machine, uint64_t factor)
{
    return (int64_t)(factor * (uint64_t)machine->fde->data_align);
}

// A block of DWARF operations, kept as its place in the view.
static int64_t read_block(struct machine *machine, struct hone_cursor *cursor)
{
    int64_t at = cursor->at - machine->cfi->frames.at;
    hone_cursor_skip(cursor, hone_cursor_uleb(cursor));
    return at;
}

static void set_cfa_register(struct machine *machine, struct hone_cursor *cursor, uint64_t column)
{
    machine->now.cfa_is_expression = false;
    machine->now.cfa_register = (uint8_t)column;
    cursor->broken |= column >= HONE_REGISTER_IP;
}

// aarch64: a function may keep the return address in another register (glibc's rawmemchr: x15).
static void place_return(struct hone_rules *rules, const struct hone_fde *fde)
{
    if (HONE_CALL_PUSHES || fde->return_column == HONE_REGISTER_RETURN)
        return;
    const uint8_t column = fde->return_column;
    hone_rule rule = rules->registers[column];
    rules->registers[HONE_REGISTER_RETURN] =
        hone_rule_kind(rule) == HONE_RULE_SAME ? hone_rule_make(HONE_RULE_REGISTER, column) : rule;
}

enum step { STEP_ON, STEP_REACHED };

static enum step advance(struct machine *machine, uint64_t to)
{
    uint64_t until = to < machine->fde->end ? to : machine->fde->end;
    if (machine->each && until > machine->location) {
        struct hone_rules rules = machine->now;
        place_return(&rules, machine->fde);
        machine->each(machine->each_context, machine->location, until, &rules);
    }
    if (to > machine->pc) {
        machine->until = until;
        return STEP_REACHED;
    }
    machine->location = to;
    return STEP_ON;
}

static void remember(struct machine *machine, struct hone_cursor *cursor)
{
    if (machine->remembered_count == REMEMBER_MAX)
        cursor->broken = true;
    else
        machine->remembered[machine->remembered_count++] = machine->now;
}

static void restore(struct machine *machine, struct hone_cursor *cursor)
{
    if (machine->remembered_count == 0)
        cursor->broken = true;
    else
        machine->now = machine->remembered[--machine->remembered_count];
}

// An instruction that changes the rules and not the location.
static void change(struct machine *machine, struct hone_cursor *cursor, uint8_t op)
{
    uint64_t column;
    switch (op) {
    case CFA_NOP:
        break;
    case CFA_OFFSET_EXTENDED:
        column = hone_cursor_uleb(cursor);
        set_rule(machine, column, HONE_RULE_OFFSET, scaled(machine, hone_cursor_uleb(cursor)));
        break;
    case CFA_OFFSET_EXTENDED_SF:
        column = hone_cursor_uleb(cursor);
        set_rule(machine, column, HONE_RULE_OFFSET,
                 scaled(machine, (uint64_t)hone_cursor_sleb(cursor)));
        break;
    case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
        column = hone_cursor_uleb(cursor);
        set_rule(machine, column, HONE_RULE_OFFSET, -scaled(machine, hone_cursor_uleb(cursor)));
        break;
    case CFA_VAL_OFFSET:
        column = hone_cursor_uleb(cursor);
        set_rule(machine, column, HONE_RULE_VAL_OFFSET, scaled(machine, hone_cursor_uleb(cursor)));
        break;
    case CFA_VAL_OFFSET_SF:
        column = hone_cursor_uleb(cursor);
        set_rule(machine, column, HONE_RULE_VAL_OFFSET,
                 scaled(machine, (uint64_t)hone_cursor_sleb(cursor)));
        break;
    case CFA_RESTORE_EXTENDED:
        restore_rule(machine, hone_cursor_uleb(cursor));
        break;
    case CFA_UNDEFINED:
        set_rule(machine, hone_cursor_uleb(cursor), HONE_RULE_UNDEFINED, 0);
        break;
    case CFA_SAME_VALUE:
        set_rule(machine, hone_cursor_uleb(cursor), HONE_RULE_SAME, 0);
        break;
    case CFA_REGISTER: {
        column = hone_cursor_uleb(cursor);
        uint64_t other = hone_cursor_uleb(cursor);
        cursor->broken |= other >= HONE_REGISTER_COUNT && column < HONE_REGISTER_COUNT;
        set_rule(machine, column, HONE_RULE_REGISTER, (int64_t)(other % HONE_REGISTER_COUNT));
        break;
    }
    case CFA_EXPRESSION:
        column = hone_cursor_uleb(cursor);
        set_rule(machine, column, HONE_RULE_EXPRESSION, read_block(machine, cursor));
        break;
    case CFA_VAL_EXPRESSION:
        column = hone_cursor_uleb(cursor);
        set_rule(machine, column, HONE_RULE_VAL_EXPRESSION, read_block(machine, cursor));
        break;
    case CFA_REMEMBER_STATE:
        remember(machine, cursor);
        break;
    case CFA_RESTORE_STATE:
        restore(machine, cursor);
        break;
    case CFA_DEF_CFA:
        set_cfa_register(machine, cursor, hone_cursor_uleb(cursor));
        machine->now.cfa_offset = (int64_t)hone_cursor_uleb(cursor);
        break;
    case CFA_DEF_CFA_SF:
        set_cfa_register(machine, cursor, hone_cursor_uleb(cursor));
        machine->now.cfa_offset = scaled(machine, (uint64_t)hone_cursor_sleb(cursor));
        break;
    case CFA_DEF_CFA_REGISTER:
        // After an expression the offset is the one before it: so libgcrypt's SHA-512 means it.
        set_cfa_register(machine, cursor, hone_cursor_uleb(cursor));
        break;
    case CFA_DEF_CFA_OFFSET:
        cursor->broken |= machine->now.cfa_is_expression;
        machine->now.cfa_offset = (int64_t)hone_cursor_uleb(cursor);
        break;
    case CFA_DEF_CFA_OFFSET_SF:
        cursor->broken |= machine->now.cfa_is_expression;
        machine->now.cfa_offset = scaled(machine, (uint64_t)hone_cursor_sleb(cursor));
        break;
    case CFA_DEF_CFA_EXPRESSION:
        machine->now.cfa_is_expression = true;
        machine->now.cfa_expression = read_block(machine, cursor);
        break;
    case CFA_NEGATE_SIGNED: // signatures are taken off where there are any
        cursor->broken |= !HONE_RETURNS_SIGNED;
        break;
    case CFA_GNU_ARGS_SIZE: // for landing pads only
        (void)hone_cursor_uleb(cursor);
        break;
    default:
        cursor->broken = true;
    }
}

static int run(struct machine *machine, const uint8_t *code, const uint8_t *end)
{
    struct hone_cursor cursor = {code, end, false};
    const uint64_t unit = machine->fde->code_align;
    while (cursor.at < cursor.end) {
        uint8_t op = hone_cursor_u8(&cursor);
        uint64_t to = machine->location;
        switch (op & 0xc0) {
        case CFA_ADVANCE:
            to += (op & 0x3fu) * unit;
            break;
        case CFA_OFFSET:
            set_rule(machine, op & 0x3f, HONE_RULE_OFFSET,
                     scaled(machine, hone_cursor_uleb(&cursor)));
            continue;
        case CFA_RESTORE:
            restore_rule(machine, op & 0x3f);
            continue;
        default:
            switch (op) {
            case CFA_ADVANCE1:
                to += hone_cursor_fixed(&cursor, 1) * unit;
                break;
            case CFA_ADVANCE2:
                to += hone_cursor_fixed(&cursor, 2) * unit;
                break;
            case CFA_ADVANCE4:
                to += hone_cursor_fixed(&cursor, 4) * unit;
                break;
            case CFA_SET_LOC:
                to = hone_cfi_pointer(machine->cfi, &machine->cfi->frames, &cursor,
                                      machine->fde->pointer_encoding);
                break;
            default:
                change(machine, &cursor, op);
                if (cursor.broken)
                    return HONE_CFI_BAD;
                continue;
            }
        }
        if (cursor.broken || to < machine->location)
            return HONE_CFI_BAD;
        if (advance(machine, to) == STEP_REACHED)
            return 0;
    }
    if (cursor.broken)
        return HONE_CFI_BAD;
    (void)advance(machine, UINT64_MAX); // the last rules hold to the end
    return 0;
}

static int start(struct machine *machine, const struct hone_cfi *cfi, const struct hone_fde *fde,
                 uint64_t pc)
{
    machine->cfi = cfi;
    machine->fde = fde;
    machine->each = NULL;
    machine->remembered_count = 0;
    machine->now = (struct hone_rules){.cfa_register = HONE_REGISTER_IP}; // none yet
    machine->initial = machine->now; // a CIE may ask for it back
    machine->pc = UINT64_MAX;
    machine->location = machine->until = fde->start;
    int r = run(machine, fde->cie_code, fde->cie_code_end);
    machine->initial = machine->now;
    machine->pc = pc;
    machine->location = fde->start;
    return r;
}

int hone_cfi_rules(const struct hone_cfi *cfi, const struct hone_fde *fde, uint64_t pc,
                   struct hone_rules *ret, uint64_t *ret_until)
{
    struct machine machine;
    int r = start(&machine, cfi, fde, pc);
    if (!r)
        r = run(&machine, fde->code, fde->code_end);
    if (r)
        return r;
    if (!machine.now.cfa_is_expression && machine.now.cfa_register == HONE_REGISTER_IP)
        return HONE_CFI_BAD;
    *ret = machine.now;
    place_return(ret, fde);
    *ret_until = machine.until;
    return 0;
}

int hone_cfi_each_row(const struct hone_cfi *cfi, const struct hone_fde *fde, hone_cfi_each *each,
                      void *context)
{
    struct machine machine;
    int r = start(&machine, cfi, fde, fde->end);
    machine.each = each;
    machine.each_context = context;
    return r ? r : run(&machine, fde->code, fde->code_end);
}
