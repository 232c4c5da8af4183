#include "elf/go_rules.h"

#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 0x401000, AT = 0x800000, LIST = 0x100, RECORDS = 0x140, STEPS = 0x200, SIZE = 0x240 };

// A table of two functions: one that makes a frame of 0x18 bytes at its fifth byte and takes it
// away at its twentieth, and the first one of a stack. As Go 1.18 and 1.20 write it.
static void make_table(uint8_t table[SIZE], uint32_t magic)
{
    memset(table, 0, SIZE);
    memcpy(table, &magic, 4);
    table[6] = 1;
    table[7] = 8;
    const uint64_t header[] = {2, 0, TEXT, 0, 0, 0, STEPS, LIST};
    memcpy(table + 8, header, sizeof header);
    const uint32_t list[] = {0, RECORDS - LIST, 0x20, RECORDS - LIST + 0x30, 0x40};
    memcpy(table + LIST, list, sizeof list);
    const uint32_t first[] = {0, 0, 0, 0, 1}, second[] = {0x20, 0, 0, 0, 0};
    memcpy(table + RECORDS, first, sizeof first);
    memcpy(table + RECORDS + 0x30, second, sizeof second);
    table[RECORDS + 0x30 + (magic == 0xfffffff0 ? 37 : 41)] = 1;
    // From -1: +1 for 5 bytes, +0x18 for 15, -0x18 for 12. Numbers fold their sign into bit 0.
    const uint8_t steps[] = {0, 2, 5, 0x30, 15, 0x2f, 12, 0};
    memcpy(table + STEPS, steps, sizeof steps);
}

static int64_t cfa_at(const struct hone_cfi *cfi, uint64_t pc)
{
    struct hone_fde fde;
    struct hone_rules rules;
    uint64_t until;
    CHECK_EQ(hone_cfi_find(cfi, pc, &fde), 0);
    CHECK_EQ(hone_cfi_rules(cfi, &fde, pc, &rules, &until), 0);
    CHECK_EQ(rules.cfa_register, HONE_REGISTER_SP);
    if (hone_rule_kind(rules.registers[HONE_REGISTER_IP]) == HONE_RULE_UNDEFINED)
        return -1;
    CHECK(rules.registers[HONE_REGISTER_IP] == hone_rule_make(HONE_RULE_OFFSET, -8));
    return rules.cfa_offset;
}

TEST(go_tables_become_rules)
{
    const uint32_t magics[] = {0xfffffff0, 0xfffffff1};
    for (int i = 0; i < 2; i++) {
        uint8_t table[SIZE];
        make_table(table, magics[i]);
        struct hone_cfi cfi = {0};
        CHECK_EQ(hone_elf_go_rules(table, SIZE, 0, AT, &cfi), 0);
        CHECK_EQ(cfa_at(&cfi, TEXT), 8);
        CHECK_EQ(cfa_at(&cfi, TEXT + 4), 8);
        CHECK_EQ(cfa_at(&cfi, TEXT + 5), 0x20);
        CHECK_EQ(cfa_at(&cfi, TEXT + 19), 0x20);
        CHECK_EQ(cfa_at(&cfi, TEXT + 20), 8);
        CHECK_EQ(cfa_at(&cfi, TEXT + 0x20), -1);
        struct hone_fde fde;
        CHECK_EQ(hone_cfi_find(&cfi, TEXT + 0x40, &fde), HONE_CFI_NONE);
        free((void *)cfi.frames.at);
    }
}

TEST(go_tables_of_other_versions_are_told_apart)
{
    uint8_t table[SIZE];
    struct hone_cfi cfi = {0};
    make_table(table, 0xfffffffb);
    CHECK_EQ(hone_elf_go_rules(table, SIZE, 0, AT, &cfi), -ENOTSUP);
    CHECK(cfi.eh_frame == 0);
}

TEST(damaged_go_tables_give_rules_or_none)
{
    uint64_t seed = 1;
    for (int turn = 0; turn < 3000; turn++) {
        uint8_t *table = malloc(SIZE);
        make_table(table, turn % 2 ? 0xfffffff0 : 0xfffffff1);
        for (int i = 0; i < 3; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            table[(seed >> 40) % SIZE] ^= (uint8_t)(seed >> 32);
        }
        struct hone_cfi cfi = {0};
        if (hone_elf_go_rules(table, SIZE, 0, AT, &cfi) == 0) {
            for (uint64_t pc = TEXT; pc < TEXT + 0x50; pc++) {
                struct hone_fde fde;
                struct hone_rules rules;
                uint64_t until;
                if (hone_cfi_find(&cfi, pc, &fde) == 0)
                    (void)hone_cfi_rules(&cfi, &fde, pc, &rules, &until);
            }
            free((void *)cfi.frames.at);
        }
        free(table);
    }
}
