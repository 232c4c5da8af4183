// Compares our reading of call frame information with elfutils': for every address of an ELF file
// where a rule changes, how the CFA and each register are found, by the full rules and by the
// packed row. Prints for each file how many stretches agree, and the first that do not.
//
//   rows_check_MACHINE FILE…      "[vdso]" is this process's vDSO
#include "unwind/cfi.h"
#include "unwind/cursor.h"
#include "unwind/module_rules.h"
#include "unwind/row.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SHOWN_MAX = 5, OPS_MAX = 64 };

struct check {
    const char *path;
    Dwarf_CFI *theirs;
    struct hone_cfi ours;
    const struct hone_fde *fde;
    uint64_t entries, stretches, different, refused, kinds[16];
};

static void differ(struct check *check, uint64_t pc, const char *what)
{
    if (check->different++ < SHOWN_MAX)
        printf("%s: %#" PRIx64 ": %s\n", check->path, pc, what);
}

// Decodes an expression of ours into elfutils' form. The number of operations; 0: cannot.
static size_t decode(struct hone_cursor cursor, Dwarf_Op ops[OPS_MAX])
{
    uint64_t length = hone_cursor_uleb(&cursor);
    cursor.end = cursor.at + length;
    size_t count = 0;
    while (cursor.at < cursor.end && count < OPS_MAX && !cursor.broken) {
        Dwarf_Op *op = &ops[count++];
        *op = (Dwarf_Op){.atom = hone_cursor_u8(&cursor)};
        switch (op->atom) {
        case DW_OP_const1u:
        case DW_OP_pick:
        case DW_OP_deref_size:
            op->number = hone_cursor_fixed(&cursor, 1);
            break;
        case DW_OP_const1s:
            op->number = (Dwarf_Word)(int8_t)hone_cursor_fixed(&cursor, 1);
            break;
        case DW_OP_const2u:
            op->number = hone_cursor_fixed(&cursor, 2);
            break;
        case DW_OP_const2s:
        case DW_OP_bra:
        case DW_OP_skip:
            op->number = (Dwarf_Word)(int16_t)hone_cursor_fixed(&cursor, 2);
            break;
        case DW_OP_const4u:
            op->number = hone_cursor_fixed(&cursor, 4);
            break;
        case DW_OP_const4s:
            op->number = (Dwarf_Word)(int32_t)hone_cursor_fixed(&cursor, 4);
            break;
        case DW_OP_constu:
        case DW_OP_plus_uconst:
            op->number = hone_cursor_uleb(&cursor);
            break;
        case DW_OP_consts:
            op->number = (Dwarf_Word)hone_cursor_sleb(&cursor);
            break;
        default:
            if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
                op->number = (Dwarf_Word)hone_cursor_sleb(&cursor);
        }
    }
    return cursor.broken ? 0 : count;
}

static bool same_ops(const Dwarf_Op *a, size_t a_count, const Dwarf_Op *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (a[i].atom != b[i].atom || a[i].number != b[i].number)
            return false;
    return true;
}

static bool same_block(const struct check *check, int64_t at, const Dwarf_Op *theirs, size_t count)
{
    Dwarf_Op ops[OPS_MAX];
    const struct hone_view *view = &check->ours.frames;
    struct hone_cursor cursor = {view->at + at, view->at + view->size, false};
    return same_ops(ops, decode(cursor, ops), theirs, count);
}

static bool is_register_plus(const Dwarf_Op *ops, size_t count, unsigned column, int64_t offset)
{
    return count == 1 && ops[0].atom == DW_OP_bregx && ops[0].number == column &&
           (int64_t)ops[0].number2 == offset;
}

static bool same_cfa(const struct check *check, const struct hone_rules *rules, const Dwarf_Op *ops,
                     size_t count)
{
    if (rules->cfa_is_expression)
        return same_block(check, rules->cfa_expression, ops, count);
    return is_register_plus(ops, count, rules->cfa_register, rules->cfa_offset);
}

// Their form of "CFA + offset", as a place or (with stack_value) as a value.
static bool is_cfa_plus(const Dwarf_Op *ops, size_t count, int64_t offset, bool value)
{
    if (value) {
        if (count == 0 || ops[count - 1].atom != DW_OP_stack_value)
            return false;
        count--;
    }
    if (count == 0 || ops[0].atom != DW_OP_call_frame_cfa)
        return false;
    return offset
               ? count == 2 && ops[1].atom == DW_OP_plus_uconst && (int64_t)ops[1].number == offset
               : count == 1;
}

static bool same_register(const struct check *check, unsigned column, hone_rule rule,
                          const Dwarf_Op *memory, const Dwarf_Op *ops, size_t count)
{
    const bool undefined = count == 0 && ops == memory;
    const bool same = count == 0 && ops == NULL;
    int64_t value = hone_rule_value(rule);
    switch (hone_rule_kind(rule)) {
    case HONE_RULE_SAME:
        if (column == HONE_REGISTER_SP) // we take the CFA, they write it down
            return same || is_cfa_plus(ops, count, 0, true);
        // What calls may destroy is "undefined" to them until a rule says otherwise.
        return same || (undefined && (HONE_REGISTERS_CLOBBERED >> column & 1)) ||
               column == HONE_REGISTER_IP; // a column of its own where calls set a register
    case HONE_RULE_UNDEFINED:
        return undefined;
    case HONE_RULE_OFFSET:
        return is_cfa_plus(ops, count, value, false);
    case HONE_RULE_VAL_OFFSET:
        return is_cfa_plus(ops, count, value, true);
    case HONE_RULE_REGISTER:
        return count == 1 && ops[0].atom == DW_OP_regx && (int64_t)ops[0].number == value;
    case HONE_RULE_VAL_EXPRESSION:
        if (count == 0 || ops[--count].atom != DW_OP_stack_value)
            return false;
        __attribute__((fallthrough));
    case HONE_RULE_EXPRESSION:
        return count > 0 && ops[0].atom == DW_OP_call_frame_cfa &&
               same_block(check, value, ops + 1, count - 1);
    }
    return false;
}

// Whether a row says the same as elfutils about the CFA and the frame pointer.
static bool same_row(uint64_t row, const Dwarf_Op *cfa, size_t cfa_count, const Dwarf_Op *fp_memory,
                     const Dwarf_Op *fp, size_t fp_count, bool outermost)
{
    enum hone_row_kind kind = hone_row_kind(row);
    if (kind == HONE_ROW_GENERAL)
        return true; // the full rules are used, and have been compared
    if (kind == HONE_ROW_OUTERMOST || outermost)
        return kind == HONE_ROW_OUTERMOST && outermost;
    int64_t fp_at = hone_row_fp_at(row);
    if (fp_at ? !is_cfa_plus(fp, fp_count, fp_at, false)
              : fp_count != 0 || (fp != NULL && fp != fp_memory))
        return false;

    const int64_t offset = hone_row_offset(row);
    const Dwarf_Word extra = hone_row_extra(row);
    const unsigned base =
        kind == HONE_ROW_FP || kind == HONE_ROW_FP_DEREF ? HONE_REGISTER_FP : HONE_REGISTER_SP;
    if (kind == HONE_ROW_SP || kind == HONE_ROW_FP)
        return is_register_plus(cfa, cfa_count, base, offset);
    Dwarf_Op wanted[9] = {{.atom = (uint8_t)(DW_OP_breg0 + base), .number = (Dwarf_Word)offset}};
    size_t count = 1;
    if (kind == HONE_ROW_FP_DEREF || kind == HONE_ROW_SP_DEREF) {
        wanted[count++] = (Dwarf_Op){.atom = DW_OP_deref};
        if (extra)
            wanted[count++] = (Dwarf_Op){.atom = DW_OP_plus_uconst, .number = 8 * extra};
    } else if (kind == HONE_ROW_PLT) {
        const uint8_t atoms[] = {
            DW_OP_breg16, DW_OP_lit15, DW_OP_and, (uint8_t)(DW_OP_lit0 + extra),
            DW_OP_ge,     DW_OP_lit3,  DW_OP_shl, DW_OP_plus};
        for (size_t i = 0; i < sizeof atoms; i++)
            wanted[count++] = (Dwarf_Op){.atom = atoms[i]};
    }
    return same_ops(wanted, count, cfa, cfa_count);
}

// The same for the return address.
static bool same_return_of_row(uint64_t row, const Dwarf_Op *ops, size_t count, bool outermost)
{
    enum hone_row_kind kind = hone_row_kind(row);
    if (kind == HONE_ROW_GENERAL || outermost)
        return true;
    int64_t below = (int64_t)hone_row_return_below(row);
    return below ? is_cfa_plus(ops, count, -below, false) : count == 0 && ops == NULL;
}

static void check_stretch(void *context, uint64_t from, uint64_t until,
                          const struct hone_rules *rules)
{
    struct check *check = context;
    check->stretches++;

    struct hone_fde fde;
    struct hone_rules found;
    uint64_t found_until;
    if (hone_cfi_find(&check->ours, from, &fde) != 0) {
        differ(check, from, "the table does not lead to the entry that covers it");
        return;
    }
    if (hone_cfi_rules(&check->ours, &fde, from, &found, &found_until) != 0) {
        differ(check, from, "no rules");
        return;
    }
    const bool moved = fde.return_column != HONE_REGISTER_RETURN;
    if (fde.code == check->fde->code &&
        (memcmp(&found.registers, &rules->registers, sizeof found.registers) != 0 ||
         found_until != until)) {
        differ(check, from, "rules looked up are not those met in passing");
        return;
    }

    Dwarf_Frame *frame;
    if (dwarf_cfi_addrframe(check->theirs, from, &frame) != 0) {
        differ(check, from, dwarf_errmsg(-1));
        return;
    }
    Dwarf_Op *cfa;
    size_t cfa_count;
    if (dwarf_frame_cfa(frame, &cfa, &cfa_count) != 0 || cfa_count == 0) {
        // They know no CFA when a register follows an expression (libgcrypt has two such places).
        // libgcc, which exceptions use, takes the offset of before, and so do we: it is right.
        check->refused++;
        free(frame);
        return;
    }
    Dwarf_Addr their_from, their_until;
    bool their_signal;
    int column = dwarf_frame_info(frame, &their_from, &their_until, &their_signal);
    if (column != fde.return_column)
        differ(check, from, "another return address column");
    else if (their_signal != fde.signal_frame)
        differ(check, from, "signal frame or not");
    else if (their_from > from || their_until < found_until)
        differ(check, from, "another stretch");

    Dwarf_Op *ops, memory[3], *fp = NULL, fp_memory[3];
    size_t count, fp_count = 0;
    bool outermost = false, same_return = false;
    uint64_t row = hone_row_pack(&check->ours, &found, fde.signal_frame);
    if (dwarf_frame_cfa(frame, &cfa, &cfa_count) != 0 || !same_cfa(check, &found, cfa, cfa_count))
        differ(check, from, "another CFA");
    for (unsigned i = 0; i < HONE_REGISTER_COUNT; i++) {
        if (moved && i == HONE_REGISTER_RETURN) { // we say from where, they say in which column
            same_return =
                found.registers[i] == hone_rule_make(HONE_RULE_REGISTER, fde.return_column);
            continue;
        }
        if (dwarf_frame_register(frame, (int)i, memory, &ops, &count) != 0 ||
            !same_register(check, i, found.registers[i], memory, ops, count))
            differ(check, from,
                   i == HONE_REGISTER_RETURN ? "another return address"
                                             : "another rule for a register");
        if (i == HONE_REGISTER_RETURN) {
            outermost = count == 0 && ops == memory;
            same_return = same_return_of_row(row, ops, count, outermost);
        }
    }
    (void)dwarf_frame_register(frame, HONE_REGISTER_FP, fp_memory, &fp, &fp_count);
    check->kinds[hone_row_kind(row)]++;
    if (!same_return || !same_row(row, cfa, cfa_count, fp_memory, fp, fp_count, outermost))
        differ(check, from, "another row");
    free(frame);
}

static int vdso_file(void)
{
    const uint8_t *at = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
    int fd = memfd_create("vdso", MFD_CLOEXEC);
    if (!at || fd < 0 || write(fd, at, 2 * 4096) != 2 * 4096)
        return -1;
    return fd;
}

// The end of .eh_frame: ld.so's has no terminator.
static uint64_t entries_end(Elf *elf)
{
    size_t names;
    elf_getshdrstrndx(elf, &names);
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;) {
        GElf_Shdr header;
        const char *name =
            gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
        if (name && strcmp(name, ".eh_frame") == 0)
            return header.sh_addr + header.sh_size;
    }
    return UINT64_MAX;
}

static int check_file(const char *path)
{
    struct check check = {.path = path};
    int fd = strcmp(path, "[vdso]") == 0 ? vdso_file() : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        perror(path);
        return 1;
    }
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    GElf_Ehdr header;
    if (!elf || !gelf_getehdr(elf, &header) || header.e_machine != HONE_ELF_MACHINE) {
        printf("%s: not an ELF file of this machine\n", path);
        return 1;
    }
    size_t count;
    elf_getphdrnum(elf, &count);
    check.theirs = dwarf_getcfi_elf(elf);

    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    struct hone_module module = {.path = name};
    struct hone_module_headers headers = {0, elf64_getphdr(elf), count};
    if (hone_module_rules_map(&module, &headers) != 0 || !module.cfi.eh_frame || !check.theirs) {
        printf("%s: no rules\n", path);
        return 1;
    }
    check.ours = module.cfi;

    const uint64_t end = entries_end(elf);
    uint64_t next = check.ours.eh_frame;
    while (next && next < end) {
        struct hone_fde fde;
        uint64_t at = next;
        int r = hone_cfi_read(&check.ours, at, &fde, &next);
        if (r == HONE_CFI_BAD)
            differ(&check, at, "broken entry");
        if (r)
            continue;
        check.entries++;
        check.fde = &fde;
        if (hone_cfi_each_row(&check.ours, &fde, check_stretch, &check) != 0)
            differ(&check, fde.start, "broken instructions");
    }
    printf("%s: %" PRIu64 " entries, %" PRIu64 " stretches, %" PRIu64 " differ, %" PRIu64
           " refused by elfutils; rows: sp %" PRIu64 ", fp %" PRIu64 ", *fp %" PRIu64
           ", *sp %" PRIu64 ", plt %" PRIu64 ", outermost %" PRIu64 ", general %" PRIu64 "\n",
           path, check.entries, check.stretches, check.different, check.refused,
           check.kinds[HONE_ROW_SP], check.kinds[HONE_ROW_FP], check.kinds[HONE_ROW_FP_DEREF],
           check.kinds[HONE_ROW_SP_DEREF], check.kinds[HONE_ROW_PLT],
           check.kinds[HONE_ROW_OUTERMOST], check.kinds[HONE_ROW_GENERAL]);
    elf_end(elf);
    close(fd);
    return check.different != 0 || check.stretches == 0 || check.refused > check.stretches / 1000;
}

int main(int argc, char **argv)
{
    elf_version(EV_CURRENT);
    int failed = argc < 2;
    for (int i = 1; i < argc; i++)
        failed |= check_file(argv[i]);
    return failed;
}
