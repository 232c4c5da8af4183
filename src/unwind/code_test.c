// How long instructions are, and how code says that it returns. ways_check and walk_step_test ask
// real code; here is what that has little of.
#include "unwind/arch/arch.h"
#include "unwind/arch/code_x86_64.h"
#include "unwind/unwind.h"

#include "check.h"
#include "corpus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

TEST(instructions_are_as_long_as_disassemblers_say)
{
    static const struct {
        size_t size;
        uint8_t bytes[HONE_CODE_BYTES_MAX];
    } known[] = {
        {1, {0x90}},
        {2, {0xf3, 0xc3}},                                      // repz ret
        {4, {0xf3, 0x0f, 0x1e, 0xfa}},                          // endbr64
        {5, {0xb8, 1, 2, 3, 4}},                                // mov $…, %eax
        {10, {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}},             // movabs $…, %rax
        {4, {0x66, 0xb8, 1, 2}},                                // mov $…, %ax
        {9, {0xa1, 1, 2, 3, 4, 5, 6, 7, 8}},                    // movabs …, %eax
        {6, {0x67, 0xa1, 1, 2, 3, 4}},                          // addr32
        {9, {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}},           // nopw 0(%rax,%rax,1)
        {8, {0x66, 0x66, 0x48, 0xe8, 1, 2, 3, 4}},              // the call of __tls_get_addr()
        {3, {0xf6, 0xc1, 1}},                                   // test $1, %cl
        {2, {0xf6, 0xd1}},                                      // not %cl
        {6, {0xf7, 0xc1, 1, 2, 3, 4}},                          // test $…, %ecx
        {5, {0x66, 0xf7, 0xc1, 1, 2}},                          // test $…, %cx
        {7, {0x48, 0x8b, 0x05, 1, 2, 3, 4}},                    // mov …(%rip), %rax
        {8, {0x48, 0x8b, 0x04, 0x25, 1, 2, 3, 4}},              // mov …, %rax
        {4, {0x48, 0x8b, 0x04, 0x24}},                          // mov (%rsp), %rax
        {7, {0x8b, 0x84, 0x24, 1, 2, 3, 4}},                    // mov …(%rsp), %eax
        {12, {0x48, 0x81, 0x84, 0x24, 1, 2, 3, 4, 1, 2, 3, 4}}, // addq $…, …(%rsp)
        {4, {0xc8, 1, 2, 3}},                                   // enter
        {3, {0xc5, 0xf8, 0x77}},                                // vzeroupper
        {4, {0xc5, 0xf9, 0x6f, 0x07}},                          // vmovdqa (%rdi), %xmm0
        {6, {0xc4, 0xe3, 0x7d, 0x39, 0xc1, 1}},                 // vextracti128 $1, …
        {6, {0x62, 0xf1, 0x7c, 0x48, 0x10, 0x07}},              // vmovups (%rdi), %zmm0
        {7, {0x62, 0xf3, 0x7d, 0x48, 0x3f, 0xc1, 4}},           // vpcmpub $4, …
        {6, {0x66, 0x0f, 0x3a, 0x63, 0xc1, 0x0c}},              // pcmpistri $12, …
        {5, {0x66, 0x0f, 0x38, 0x17, 0xc1}},                    // ptest
        {6, {0x0f, 0x84, 1, 2, 3, 4}},                          // je
        {0, {0x62, 0xf4, 0x7c, 0x18, 0xff, 0xf0}},              // push2, of APX
        {0, {0x06}},                                            // none in 64 bits
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(known); i++) {
        struct hone_code code = {0};
        const size_t size = known[i].size;
        CHECK_EQ(hone_code_read(known[i].bytes, HONE_CODE_BYTES_MAX, &code), size > 0);
        CHECK_EQ(code.size, size);
        CHECK(!hone_code_read(known[i].bytes, size - (size > 0), &code)); // cut short
    }
}

static struct hone_way_out told;

// From the beginning of some code, or from behind a call just before it.
static bool tells(const uint8_t *code, size_t size, bool called)
{
    struct hone_memory memory = {0};
    const struct hone_code_range range = {(uint64_t)code, (uint64_t)code + size};
    unsigned left = 100;
    return hone_arch_way_out(&memory, (uint64_t)code, called, &range, &left, &told);
}

#define TELLS(called, ...)                                                                         \
    tells((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), called)

TEST(code_tells_what_it_takes_off_the_stack)
{
    // add $8, %rsp; pop %rbx; pop %rbp; ret
    CHECK(!TELLS(true, 0x48, 0x83, 0xc4, 16, 0x5b, 0x5d, 0xc3)); // no function calls so
    CHECK(TELLS(false, 0x48, 0x83, 0xc4, 8, 0x5b, 0x5d, 0xc3));
    CHECK(!told.by_fp);
    CHECK_EQ(told.cfa, 32);
    CHECK_EQ(told.fp_at, -16);
    // leave; ret
    CHECK(TELLS(true, 0xc9, 0xc3));
    CHECK(told.by_fp);
    CHECK_EQ(told.cfa, 16);
    CHECK_EQ(told.fp_at, -16);
    // push %rbp; mov %rsp, %rbp; pop %rbp; ret: all is as it was
    CHECK(TELLS(false, 0x55, 0x48, 0x89, 0xe5, 0x5d, 0xc3));
    CHECK(!told.by_fp);
    CHECK_EQ(told.cfa, 8);
    CHECK_EQ(told.fp_at, 0);
    // sub %rax, %rsp; lea -8(%rbp), %rsp; pop %rbx; pop %rbp; ret
    CHECK(TELLS(true, 0x48, 0x29, 0xc4, 0x48, 0x8d, 0x65, 0xf8, 0x5b, 0x5d, 0xc3));
    CHECK(told.by_fp);
    CHECK_EQ(told.cfa, 16);
    CHECK_EQ(told.fp_at, -16);
}

TEST(code_that_parts_is_followed_where_it_returns)
{
    // je +2; jmp to itself; add $8, %rsp; ret
    CHECK(TELLS(true, 0x74, 2, 0xeb, 0xfe, 0x48, 0x83, 0xc4, 8, 0xc3));
    CHECK_EQ(told.cfa, 16);
    // je +7; call; ud2; pop %rax; ret
    CHECK(TELLS(true, 0x74, 7, 0xe8, 0, 0, 0, 0, 0x0f, 0x0b, 0x58, 0xc3));
    CHECK_EQ(told.cfa, 16);
    // jmp *%rax, to one of a table, behind it: pop %rax; ret
    CHECK(TELLS(true, 0xff, 0xe0, 0x58, 0xc3));
    CHECK_EQ(told.cfa, 16);
    // pop %rax; jmp *%rax: to another function
    CHECK(TELLS(false, 0x58, 0xff, 0xe0, 0x58, 0xc3));
    CHECK_EQ(told.cfa, 16);
}

TEST(next_function_behind_a_call_that_does_not_return_tells_nothing)
{
    // call; push %rbx; call; pop %rbx; ret
    CHECK(!TELLS(true, 0xe8, 0, 0, 0, 0, 0x53, 0xe8, 0, 0, 0, 0, 0x5b, 0xc3));
    // nop; ret
    CHECK(!TELLS(true, 0x90, 0xc3));
    // hlt
    CHECK(!TELLS(true, 0xf4));
    // ud2, ud1, ud0, each in front of pop %rax; ret
    CHECK(!TELLS(true, 0x0f, 0x0b, 0x58, 0xc3));
    CHECK(!TELLS(true, 0x0f, 0xb9, 0xc0, 0x58, 0xc3));
    CHECK(!TELLS(true, 0x0f, 0xff, 0xc0, 0x58, 0xc3));
}

TEST(stack_pointers_that_code_does_not_tell_are_not_guessed)
{
    // pop %rax; ret $8, which drops arguments
    CHECK(!TELLS(true, 0x58, 0xc2, 8, 0));
    // lea 8(%rsp), %rsp; ret, and with %r12 added
    CHECK(TELLS(true, 0x48, 0x8d, 0x64, 0x24, 8, 0xc3));
    CHECK_EQ(told.cfa, 16);
    CHECK(!TELLS(true, 0x4a, 0x8d, 0x64, 0x24, 8, 0xc3));
}

static void check_input(const struct corpus_file *file)
{
    CHECK_EQ(LLVMFuzzerTestOneInput((const uint8_t *)file->bytes, file->len), 0);
}

TEST(corpus_does_no_harm)
{
    CHECK(corpus_each(HONE_CORPUS, check_input) >= 3);
}

TEST(random_bytes_do_no_harm)
{
    uint64_t state = 88172645463325252u;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t input[200];
        for (size_t i = 0; i < sizeof input; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            input[i] = (uint8_t)(state >> 32);
        }
        CHECK_EQ(LLVMFuzzerTestOneInput(input, state % sizeof input), 0);
    }
}
