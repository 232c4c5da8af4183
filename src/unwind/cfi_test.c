#include "unwind/cfi.h"
#include "unwind/expression.h"
#include "unwind/row.h"

#include "check.h"

#include <stdlib.h>

enum { BASE = 0x10000, CODE = 0x400000 };

// Call frame information written byte by byte.
static struct {
    uint8_t bytes[4096];
    size_t size;
} out;

static void put(uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        out.bytes[out.size++] = (uint8_t)(value >> (8 * i));
}

static void put_bytes(const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out.bytes[out.size++] = ((const uint8_t *)bytes)[i];
}

static void patch(size_t at, uint64_t value)
{
    for (unsigned i = 0; i < 4; i++)
        out.bytes[at + i] = (uint8_t)(value >> (8 * i));
}

// CFA = rsp + 8, return address at CFA - 8, as every compiler begins.
static const uint8_t usual[] = {0x0c, 7, 8, 0x90, 1};

static size_t put_cie(const char *augmentation, const uint8_t *data, size_t data_size)
{
    size_t at = out.size;
    put(0, 4);
    put(0, 4);
    put(1, 1);
    put_bytes(augmentation, strlen(augmentation) + 1);
    put(1, 1);    // code alignment
    put(0x78, 1); // data alignment: -8
    put(16, 1);
    if (augmentation[0] == 'z') {
        put(data_size, 1);
        put_bytes(data, data_size);
    }
    put_bytes(usual, sizeof usual);
    patch(at, out.size - at - 4);
    return at;
}

// An entry with pcrel sdata4 pointers.
static size_t put_fde(size_t cie, uint64_t start, uint64_t size, const void *code, size_t code_size)
{
    size_t at = out.size;
    put(0, 4);
    put(out.size - cie, 4);
    put(start - (BASE + out.size), 4);
    put(size, 4);
    put(0, 1);
    put_bytes(code, code_size);
    patch(at, out.size - at - 4);
    return at;
}

static struct hone_cfi without_table(void)
{
    put(0, 4);
    return (struct hone_cfi){.frames = {out.bytes, BASE, out.size}, .eh_frame = BASE};
}

// The rules at CODE + offset after `code`.
static int rules_after(const void *code, size_t size, uint64_t offset, struct hone_rules *ret)
{
    out.size = 0;
    size_t cie = put_cie("zR", (const uint8_t[]){0x1b}, 1);
    put_fde(cie, CODE, 0x1000, code, size);
    struct hone_cfi cfi = without_table();
    struct hone_fde fde;
    uint64_t until;
    int r = hone_cfi_find(&cfi, CODE + offset, &fde);
    return r ? r : hone_cfi_rules(&cfi, &fde, CODE + offset, ret, &until);
}

#define RULES(offset, ret, ...)                                                                    \
    rules_after((const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__}, offset, ret)

#define CHECK_RULE(rules, column, kind, value)                                                     \
    do {                                                                                           \
        CHECK_EQ(hone_rule_kind((rules).registers[column]), kind);                                 \
        CHECK_EQ(hone_rule_value((rules).registers[column]), value);                               \
    } while (0)

TEST(rules_change_only_from_their_location_on)
{
    struct hone_rules rules;
    // push %rbp at 0, mov %rsp,%rbp at 1, pop %rbp at 0x300
    const uint8_t code[] = {0x41, 0x0e, 16,   0x86, 2,    0x43, 0x0d, 6,
                            0x03, 0xfc, 0x02, 0xc6, 0x0c, 7,    8};
    CHECK_EQ(rules_after(code, sizeof code, 0, &rules), 0);
    CHECK_EQ(rules.cfa_offset, 8);
    CHECK_EQ(rules_after(code, sizeof code, 1, &rules), 0);
    CHECK_EQ(rules.cfa_offset, 16);
    CHECK_RULE(rules, 6, HONE_RULE_OFFSET, -16);
    CHECK_EQ(rules_after(code, sizeof code, 0x2ff, &rules), 0);
    CHECK_EQ(rules.cfa_register, 6);
    CHECK_EQ(rules_after(code, sizeof code, 0x300, &rules), 0);
    CHECK_EQ(rules.cfa_register, 7);
    CHECK_RULE(rules, 6, HONE_RULE_SAME, 0);
    CHECK_RULE(rules, 16, HONE_RULE_OFFSET, -8);
}

TEST(every_kind_of_rule_is_understood)
{
    struct hone_rules rules;
    CHECK_EQ(RULES(0, &rules, 0x05, 3, 2, 0x11, 12, 0x7f, 0x14, 13, 1, 0x15, 14, 0x7e, 0x09, 15, 8,
                   0x07, 0, 0x12, 6, 0x7e, 0x2e, 32, 0x2f, 1, 3, 0x05, 40, 2),
             0);
    CHECK_RULE(rules, 3, HONE_RULE_OFFSET, -16);
    CHECK_RULE(rules, 12, HONE_RULE_OFFSET, 8);
    CHECK_RULE(rules, 13, HONE_RULE_VAL_OFFSET, -8);
    CHECK_RULE(rules, 14, HONE_RULE_VAL_OFFSET, 16);
    CHECK_RULE(rules, 15, HONE_RULE_REGISTER, 8);
    CHECK_RULE(rules, 0, HONE_RULE_UNDEFINED, 0);
    CHECK_RULE(rules, 1, HONE_RULE_OFFSET, 24);
    CHECK_EQ(rules.cfa_register, 6);
    CHECK_EQ(rules.cfa_offset, 16);
    CHECK_EQ(RULES(0, &rules, 0x83, 2, 0x08, 3, 0x13, 0x7d), 0);
    CHECK_RULE(rules, 3, HONE_RULE_SAME, 0);
    CHECK_EQ(rules.cfa_offset, 24);
}

TEST(remembered_rules_come_back_with_the_cfa)
{
    struct hone_rules rules;
    CHECK_EQ(RULES(9, &rules, 0x0e, 32, 0x0a, 0x41, 0x0c, 6, 64, 0x86, 2, 0x41, 0x0b), 0);
    CHECK_EQ(rules.cfa_register, 7);
    CHECK_EQ(rules.cfa_offset, 32);
    CHECK_RULE(rules, 6, HONE_RULE_SAME, 0);
}

TEST(register_after_an_expression_takes_the_offset_before_it)
{
    struct hone_rules rules;
    CHECK_EQ(RULES(0, &rules, 0x0e, 56, 0x0f, 2, 0x77, 8, 0x0d, 7), 0);
    CHECK(!rules.cfa_is_expression);
    CHECK_EQ(rules.cfa_register, 7);
    CHECK_EQ(rules.cfa_offset, 56);
}

TEST(nonsense_is_refused)
{
    struct hone_rules rules;
    CHECK_EQ(RULES(0, &rules, 0x0b), HONE_CFI_BAD);                         // nothing there
    CHECK_EQ(RULES(0, &rules, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a), HONE_CFI_BAD); // too many
    CHECK_EQ(RULES(0, &rules, 0x3f), HONE_CFI_BAD);                         // no such opcode
    CHECK_EQ(RULES(0, &rules, 0x0e), HONE_CFI_BAD);                         // no operand
    CHECK_EQ(RULES(0, &rules, 0x0c, 99, 8), HONE_CFI_BAD);                  // no such register
    CHECK_EQ(RULES(0, &rules, 0x0f, 0x80, 0x80, 0x80, 0x80, 0x7f), HONE_CFI_BAD); // endless block
    CHECK_EQ(RULES(0, &rules, 0x09, 3, 77), HONE_CFI_BAD);
}

TEST(address_outside_every_entry_has_no_rules)
{
    struct hone_rules rules;
    CHECK_EQ(RULES((uint64_t)-1, &rules, 0), HONE_CFI_NONE);
    CHECK_EQ(RULES(0x1000, &rules, 0), HONE_CFI_NONE);
    CHECK_EQ(RULES(0xfff, &rules, 0), 0);
}

// Two functions, the second with an empty entry at its start too, behind a table.
static struct hone_cfi with_table(uint8_t table_encoding, size_t entries)
{
    out.size = 0;
    size_t cie = put_cie("zR", (const uint8_t[]){0x1b}, 1);
    size_t first = put_fde(cie, CODE, 0x10, NULL, 0);
    size_t second = put_fde(cie, CODE + 0x20, 0x10, (const uint8_t[]){0x0e, 48}, 2);
    size_t empty = put_fde(cie, CODE + 0x20, 0, NULL, 0);
    put(0, 4);
    size_t hdr = out.size;
    put_bytes((const uint8_t[]){1, 0x1b, 0x03, table_encoding}, 4);
    put(0 - (uint64_t)out.size, 4);
    put(entries, 4);
    const size_t at[] = {first, second, empty};
    const uint64_t starts[] = {CODE, CODE + 0x20, CODE + 0x20};
    for (size_t i = 0; i < 3; i++) {
        put(starts[i] - (BASE + hdr), 4);
        put(at[i] - hdr, 4);
    }
    struct hone_cfi cfi = {.frames = {out.bytes, BASE, out.size},
                           .hdr = {out.bytes + hdr, BASE + hdr, out.size - hdr}};
    cfi.eh_frame = hone_cfi_eh_frame(&cfi.hdr);
    CHECK_EQ(cfi.eh_frame, BASE);
    return cfi;
}

TEST(table_leads_to_the_entry_past_empty_ones)
{
    struct hone_cfi cfi = with_table(0x3b, 3);
    struct hone_fde fde;
    CHECK_EQ(hone_cfi_find(&cfi, CODE + 0xf, &fde), 0);
    CHECK_EQ(fde.start, CODE);
    CHECK_EQ(hone_cfi_find(&cfi, CODE + 0x10, &fde), HONE_CFI_NONE);
    CHECK_EQ(hone_cfi_find(&cfi, CODE + 0x20, &fde), 0);
    CHECK_EQ(fde.start, CODE + 0x20);
    CHECK_EQ(fde.end, CODE + 0x30);
    CHECK_EQ(hone_cfi_find(&cfi, CODE + 0x30, &fde), HONE_CFI_NONE);
    CHECK_EQ(hone_cfi_find(&cfi, CODE - 1, &fde), HONE_CFI_NONE);
}

TEST(header_without_a_usable_table_means_reading_every_entry)
{
    struct hone_cfi cfi = with_table(0xff, 0);
    struct hone_fde fde;
    CHECK_EQ(hone_cfi_find(&cfi, CODE + 0x25, &fde), 0);
    CHECK_EQ(fde.start, CODE + 0x20);
}

TEST(table_longer_than_its_module_is_refused)
{
    struct hone_cfi cfi = with_table(0x3b, 1u << 30);
    struct hone_fde fde;
    CHECK_EQ(hone_cfi_find(&cfi, CODE, &fde), HONE_CFI_BAD);
}

TEST(pointers_of_every_encoding_are_read)
{
    // absptr, udata4, sdata8, and through a pointer (pcrel | indirect | sdata4)
    static const uint8_t encodings[] = {0x00, 0x03, 0x0c, 0x9b};
    for (size_t i = 0; i < sizeof encodings; i++) {
        out.size = 0;
        put(CODE, 8); // what the last one points to
        size_t begin = out.size;
        // With a personality (pcrel, through a pointer), a place for language data, and "S".
        const uint8_t data[] = {0x9b, 1, 2, 3, 4, 0x1b, encodings[i]};
        size_t cie = put_cie("zPLRS", data, sizeof data);
        size_t at = out.size;
        unsigned size = encodings[i] == 0x00 || encodings[i] == 0x0c ? 8 : 4;
        put(0, 4);
        put(out.size - cie, 4);
        put(encodings[i] == 0x9b ? 0 - (uint64_t)out.size : CODE, size);
        put(0x40, size);
        put(0, 1);
        patch(at, out.size - at - 4);
        struct hone_cfi cfi = without_table();
        cfi.eh_frame = BASE + begin;
        struct hone_fde fde;
        CHECK_EQ(hone_cfi_find(&cfi, CODE + 0x3f, &fde), 0);
        CHECK_EQ(fde.start, CODE);
        CHECK_EQ(fde.end, CODE + 0x40);
        CHECK(fde.signal_frame);
    }
}

TEST(entries_with_64_bit_lengths_are_read)
{
    out.size = 0;
    size_t cie = put_cie("zR", (const uint8_t[]){0x1b}, 1);
    put(UINT32_MAX, 4);
    size_t length = out.size;
    put(0, 8);
    size_t begin = out.size;
    put(out.size - cie, 4);
    put(CODE - (BASE + out.size), 4);
    put(0x40, 4);
    put(0, 1);
    patch(length, out.size - begin);
    struct hone_cfi cfi = without_table();
    struct hone_fde fde;
    CHECK_EQ(hone_cfi_find(&cfi, CODE + 0x3f, &fde), 0);
    CHECK_EQ(fde.end, CODE + 0x40);
}

TEST(rows_say_what_rules_say_or_leave_it_to_them)
{
    if (HONE_ELF_MACHINE != EM_X86_64)
        cr_skip_test("the bytes here are of x86-64; rows_check tells of others\n");
    struct hone_rules rules;
    const struct hone_cfi cfi = {.frames = {out.bytes, BASE, sizeof out.bytes}};
    CHECK_EQ(RULES(0, &rules, 0x0e, 64, 0x86, 2), 0);
    uint64_t row = hone_row_pack(&cfi, &rules, false);
    CHECK_EQ(hone_row_kind(row), HONE_ROW_SP);
    CHECK_EQ(hone_row_offset(row), 64);
    CHECK_EQ(hone_row_fp_at(row), -16);
    CHECK_EQ(hone_row_kind(hone_row_pack(&cfi, &rules, true)), HONE_ROW_GENERAL);

    CHECK_EQ(RULES(0, &rules, 0x0f, 3, 0x76, 0x78, 0x06), 0); // gcc's realigned stack
    row = hone_row_pack(&cfi, &rules, false);
    CHECK_EQ(hone_row_kind(row), HONE_ROW_FP_DEREF);
    CHECK_EQ(hone_row_offset(row), -8);
    CHECK_EQ(RULES(0, &rules, 0x0f, 6, 0x77, 0xb0, 0x02, 0x06, 0x23, 8), 0); // OpenSSL's
    row = hone_row_pack(&cfi, &rules, false);
    CHECK_EQ(hone_row_kind(row), HONE_ROW_SP_DEREF);
    CHECK_EQ(hone_row_offset(row), 304);
    CHECK_EQ(hone_row_extra(row), 1);
    CHECK_EQ(RULES(0, &rules, 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22),
             0);
    row = hone_row_pack(&cfi, &rules, false);
    CHECK_EQ(hone_row_kind(row), HONE_ROW_PLT);
    CHECK_EQ(hone_row_extra(row), 11);
    CHECK_EQ(RULES(0, &rules, 0x07, 16), 0);
    CHECK_EQ(hone_row_kind(hone_row_pack(&cfi, &rules, false)), HONE_ROW_OUTERMOST);
    CHECK_EQ(RULES(0, &rules, 0x0d, 10), 0);
    CHECK_EQ(hone_row_kind(hone_row_pack(&cfi, &rules, false)), HONE_ROW_GENERAL);
}

static bool nothing_there(struct hone_memory *memory, uint64_t address, uint64_t *ret)
{
    (void)memory;
    (void)address;
    (void)ret;
    return false;
}

static enum hone_step evaluate(const uint8_t *code, size_t size, uint64_t *ret)
{
    struct hone_memory memory = {.outside = nothing_there};
    struct hone_frame frame = {.known = 1u << 7 | 1u << 6};
    frame.r[7] = 1000;
    uint8_t block[300] = {(uint8_t)size};
    memcpy(block + 1, code, size);
    return hone_expression(block, block + 1 + size, &frame, NULL, &memory, ret);
}

#define EVALUATE(ret, ...)                                                                         \
    evaluate((const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__}, ret)

TEST(expressions_calculate)
{
    uint64_t value = 0;
    CHECK_EQ(EVALUATE(&value, 0x77, 0x7c, 0x34, 0x1c), HONE_STEP_ON); // rsp - 4 - 4
    CHECK_EQ(value, 992);
    CHECK_EQ(EVALUATE(&value, 0x32, 0x33, 0x34, 0x17, 0x1c, 0x1e), HONE_STEP_ON); // 4 * (2 - 3)
    CHECK_EQ((int64_t)value, -4);
    CHECK_EQ(EVALUATE(&value, 0x09, 0xf8, 0x32, 0x26), HONE_STEP_ON); // -8 >> 2
    CHECK_EQ((int64_t)value, -2);
    CHECK_EQ(EVALUATE(&value, 0x35, 0x31, 0x28, 1, 0, 0x30, 0x12, 0x22), HONE_STEP_ON); // 5 + 5
    CHECK_EQ(value, 10);
}

TEST(expressions_fail_without_harm)
{
    uint64_t value = 77;
    CHECK_EQ(EVALUATE(&value, 0x22), HONE_STEP_BAD_RULE);             // nothing to add
    CHECK_EQ(EVALUATE(&value, 0x31, 0x30, 0x1b), HONE_STEP_BAD_RULE); // division by zero
    CHECK_EQ(EVALUATE(&value, 0x31, 0x30, 0x1d), HONE_STEP_BAD_RULE);
    CHECK_EQ(EVALUATE(&value, 0x2f, 0xfd, 0xff), HONE_STEP_BAD_RULE); // for ever
    CHECK_EQ(EVALUATE(&value, 0x2f, 0xf0, 0xff), HONE_STEP_BAD_RULE); // out of the block
    CHECK_EQ(EVALUATE(&value, 0x31, 0x12, 0x2f, 0xfc, 0xff), HONE_STEP_BAD_RULE); // ever deeper
    CHECK_EQ(EVALUATE(&value, 0x30, 0x06), HONE_STEP_UNREADABLE);
    CHECK_EQ(EVALUATE(&value, 0x73, 0), HONE_STEP_UNKNOWN); // rbx is not known
    CHECK_EQ(EVALUATE(&value, 0xee), HONE_STEP_BAD_RULE);
    CHECK_EQ(EVALUATE(&value, 0x0e, 1), HONE_STEP_BAD_RULE);
    CHECK_EQ(value, 77);
}
