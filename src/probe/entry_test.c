// The first instructions of functions, given away and run from their copy.
#include "probe/entries.h"

#include "check.h"

#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, FUNCTION_AT = 0, COPY_AT = 1024, OTHER_AT = 2048 };

static uint8_t *page(void)
{
    void *memory =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

struct code {
    uint8_t bytes[48];
    uint64_t size;
    uint64_t at, copied; // what is expected; copied 0: it is left alone
};

static bool plan(const struct code *code, uint8_t *at, struct hone_entry_plan *ret)
{
    memcpy(at + FUNCTION_AT, code->bytes, sizeof code->bytes);
    return hone_arch_entry_plan(at + FUNCTION_AT, (uintptr_t)at + FUNCTION_AT, code->size,
                                at + COPY_AT, (uintptr_t)at + COPY_AT, ret) &&
           !hone_arch_entry_is_entered(at, (uintptr_t)at, code->size, (uintptr_t)at, ret,
                                       HONE_ENTRY_ITSELF);
}

#if defined(__x86_64__)
TEST(beginnings_are_copied_whole_or_not_at_all)
{
    static const struct code codes[] = {
        // push %rbp; mov %rsp,%rbp; pop %rbp; ret
        {{0x55, 0x48, 0x89, 0xe5, 0x5d, 0xc3}, 6, 0, 5},
        // endbr64; push %r14; push %r13; push %r12; ret
        {{0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0xc3}, 11, 4, 10},
        // test %rdi,%rdi; je +3; nop; nop; nop; ret
        {{0x48, 0x85, 0xff, 0x74, 0x03, 0x90, 0x90, 0x90, 0xc3}, 9, 0, 5},
        // mov %fs:0x28,%rax; ret
        {{0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0xc3}, 10, 0, 9},
        // mov 0x1234(%rip),%rax; ret
        {{0x48, 0x8b, 0x05, 0x34, 0x12, 0, 0, 0xc3}, 8, 0, 7},
        // jmp +0x100
        {{0xe9, 0, 1, 0, 0}, 5, 0, 5},
        // too short: xor %eax,%eax; ret
        {{0x31, 0xc0, 0xc3}, 3, 0, 0},
        // a call: sub $8,%rsp; call +0; ret
        {{0x48, 0x83, 0xec, 0x08, 0xe8, 0, 0, 0, 0, 0xc3}, 10, 0, 0},
        // a loop to the third byte: xor %eax,%eax; inc %eax; cmp $3,%eax; jne -7; ret
        {{0x31, 0xc0, 0xff, 0xc0, 0x83, 0xf8, 0x03, 0x75, 0xf9, 0xc3}, 10, 0, 0},
        // a loop to the beginning: inc %eax; cmp $3,%eax; jne -7; ret
        {{0xff, 0xc0, 0x83, 0xf8, 0x03, 0x75, 0xf9, 0xc3}, 8, 0, 0},
        // a jump by a register: push %rbp; mov %rsp,%rbp; nop; jmp *%rax
        {{0x55, 0x48, 0x89, 0xe5, 0x90, 0xff, 0xe0}, 7, 0, 0},
        // and one by a table: jmp *(%rdi,%rax,8)
        {{0x55, 0x48, 0x89, 0xe5, 0x90, 0xff, 0x24, 0xc7}, 8, 0, 0},
        // the same behind the end of the frame, which goes on elsewhere: push %rbp; mov
        // %rsp,%rbp; xor %esi,%esi; pop %rbp; jmp *%rax
        {{0x55, 0x48, 0x89, 0xe5, 0x31, 0xf6, 0x5d, 0xff, 0xe0}, 9, 0, 6},
        // and of another register: pop %rbx; jmp *%rax
        {{0x55, 0x48, 0x89, 0xe5, 0x31, 0xf6, 0x5b, 0xff, 0xe0}, 9, 0, 0},
        // what is no instruction
        {{0x55, 0x06, 0x06, 0x06, 0x06, 0x06, 0xc3}, 7, 0, 0},
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(codes); i++) {
        struct hone_entry_plan found;
        bool done = plan(&codes[i], page(), &found);
        CHECK_EQ(done, codes[i].copied != 0);
        if (done)
            CHECK_EQ(found.at, codes[i].at);
        if (done)
            CHECK_EQ(found.copied, codes[i].copied);
    }
}

TEST(a_copy_does_what_the_function_does)
{
    // test %rdi,%rdi; je 1f; mov 0x7ed(%rip),%rax (OTHER_AT); add %rdi,%rax; ret; 1: mov $7,%eax;
    // ret
    static const struct code code = {{0x48, 0x85, 0xff, 0x74, 0x0b, 0x48, 0x8b, 0x05,
                                      0xf4, 0x07, 0,    0,    0x48, 0x01, 0xf8, 0xc3,
                                      0xb8, 7,    0,    0,    0,    0xc3},
                                     22,
                                     0,
                                     5};
    uint8_t *at = page();
    const uint64_t word = 1000;
    memcpy(at + OTHER_AT, &word, sizeof word);
    struct hone_entry_plan found;
    CHECK(plan(&code, at, &found));
    uint64_t (*copy)(uint64_t);
    *(void **)&copy = at + COPY_AT;
    memset(at + found.at, 0xcc, found.length); // nobody comes here
    CHECK_EQ(copy(5), 1005);
    CHECK_EQ(copy(0), 7);
}

// A branch from `at` to `to`, by opcodes with a distance of 32 bits.
static void put_branch(uint8_t *code, uint64_t at, uint8_t first, uint8_t second, uint64_t to)
{
    code[at] = first;
    code[at + 1] = second;
    uint64_t distance_at = at + (first == 0x0f ? 2 : 1);
    int32_t distance = (int32_t)(to - distance_at - 4);
    memcpy(code + distance_at, &distance, sizeof distance);
}

TEST(code_without_names_is_searched_for_branches)
{
    enum { SIZE = 8192, FUNCTION = 4096 };
    const uint64_t address = 0x10000;
    for (uint64_t at = 2; at < SIZE - 6; at = at * 9 / 8 + 1) {
        uint8_t code[SIZE];
        memset(code, 0x90, sizeof code);
        struct hone_entry_target targets[] = {
            {address + 16, 5, false}, {address + FUNCTION, 11, false}, {address + 5000, 5, false}};
        put_branch(code, at, 0xe8, 0, FUNCTION); // a call of the whole function
        hone_arch_code_find_entered(code, address, sizeof code, 0, targets, 3);
        CHECK(!targets[0].entered && !targets[1].entered && !targets[2].entered);
        put_branch(code, at, 0x0f, 0x84, FUNCTION + 10); // a branch between
        hone_arch_code_find_entered(code, address, sizeof code, 0, targets, 3);
        CHECK(!targets[0].entered && targets[1].entered && !targets[2].entered);
        targets[1].entered = false;
        put_branch(code, at, 0x0f, 0x84, FUNCTION + 11); // and one just behind
        hone_arch_code_find_entered(code, address, sizeof code, 0, targets, 3);
        CHECK(!targets[1].entered);
    }
}

TEST(what_only_looks_like_a_branch_is_none)
{
    const uint64_t address = 0x10000;
    uint8_t code[512];
    memset(code, 0x90, sizeof code);
    struct hone_entry_target target = {address + 300, 11, false};
    put_branch(code, 200, 0xe9, 0, 304);
    code[199] = 0x48; // mov $…, %rax, of eight bytes
    code[198] = 0xb8, code[197] = 0x48;
    hone_arch_code_find_entered(code, address, sizeof code, 0, &target, 1);
    CHECK(!target.entered);
    code[198] = code[197] = code[199] = 0x90;
    hone_arch_code_find_entered(code, address, sizeof code, 0, &target, 1);
    CHECK(target.entered);
}
#else
TEST(no_function_is_changed)
{
    struct code code = {.size = 48};
    struct hone_entry_plan found;
    CHECK(!plan(&code, page(), &found));
}
#endif
