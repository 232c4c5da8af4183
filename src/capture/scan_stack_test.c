#include "capture/scan_threads.h"

#include "check.h"

enum { POINTER = 0x7623f6c0, FROM = 0x76000000, SP = 0x7623e000, START = 0x76200000 };

#define START_OF(...)                                                                              \
    hone_scan_stack_start((const uint64_t[]){__VA_ARGS__},                                         \
                          sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), POINTER,     \
                          FROM, SP)

TEST(a_stack_begins_where_the_thread_s_account_says)
{
    CHECK_EQ(START_OF(POINTER, 1, POINTER, START, 0x40000, 0), START); // glibc's
    CHECK_EQ(START_OF(POINTER, 0, 0x40000, POINTER - 0x20, POINTER - 0x20 - START),
             START); // musl's
}

TEST(what_cannot_be_the_stack_is_not_taken_for_it)
{
    CHECK_EQ(START_OF(POINTER, 1, POINTER, 2), FROM);
    CHECK_EQ(START_OF(START, 0x3f000), FROM);               // ends below the account
    CHECK_EQ(START_OF(START, 0x400000), FROM);              // and far behind it
    CHECK_EQ(START_OF(SP + 8, POINTER), FROM);              // begins above the stack pointer
    CHECK_EQ(START_OF(POINTER - 0x20, POINTER), FROM);      // no length
    CHECK_EQ(START_OF(START - 0x1000000, 0x1040000), FROM); // begins in other memory
    CHECK_EQ(START_OF(~(uint64_t)0, ~(uint64_t)0), FROM);
    CHECK_EQ(START_OF(START), FROM);
    CHECK_EQ(hone_scan_stack_start((const uint64_t[]){POINTER, 1}, 2, POINTER, FROM, POINTER),
             FROM);
}
