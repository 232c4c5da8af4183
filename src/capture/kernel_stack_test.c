#include "capture/kernel_stack.h"

#include "check.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BASE 0xffffffff81000000u
#define MODULE 0xffffffffc0a81000u

// As a kernel tells it; the data symbol ends a function, too.
static const char kallsyms[] = "0000000000000000 D cpu_number\n"
                               "ffffffff81000000 T _stext\n"
                               "ffffffff81001000 T ep_poll\n"
                               "ffffffff81002000 t dup\n"
                               "ffffffff81003000 t dup\n"
                               "ffffffff81004000 T schedule_work\n"
                               "ffffffff81005000 t __schedule\n"
                               "ffffffff81006000 T schedule\n"
                               "ffffffff81006000 T schedule_alias\n"
                               "ffffffff81007000 T schedule_timeout_killable\n"
                               "ffffffff81008000 t io_schedule.part.0\n"
                               "ffffffff81009000 D table\n"
                               "ffffffff8100a000 T do_nanosleep\n"
                               "ffffffff8100b000 T __sched_text_end\n"
                               "ffffffff8100b000 T schedule_page\n"
                               "ffffffffc0a81000 t ep_poll\t[other]\n"
                               "no line\n";

static const char *write_names(const char *text)
{
    static char path[64];
    (void)snprintf(path, sizeof path, "/tmp/hone_kernel_stack_test.%d", (int)getpid());
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    (void)fputs(text, file);
    (void)fclose(file);
    return path;
}

static struct hone_kernel_names *read_names(const char *text, int wanted)
{
    const char *path = write_names(text);
    struct hone_kernel_names *names = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_kernel_names_open(path, &names, &err), wanted);
    CHECK_EQ(err.message[0] != '\0', wanted != 0);
    (void)unlink(path);
    return names;
}

TEST(the_chain_of_a_sample_is_the_kernel_s_where_its_mark_says)
{
    const uint64_t chain[] = {(uint64_t)PERF_CONTEXT_KERNEL, BASE + 0x10, BASE + 0x20, 0x1234,
                              (uint64_t)PERF_CONTEXT_USER,   BASE + 0x30, 0x401000};
    uint64_t frames[8];
    CHECK_EQ(hone_kernel_stack_of_chain(chain, 7, frames, 8), 2);
    CHECK_EQ(frames[0], BASE + 0x10); // it was interrupted there
    CHECK_EQ(frames[1], BASE + 0x1f);
    CHECK_EQ(hone_kernel_stack_of_chain(chain, 7, frames, 1), 1);
    CHECK_EQ(hone_kernel_stack_of_chain(chain, 0, frames, 8), 0);
}

TEST(the_innermost_frame_of_a_wait_is_what_is_waited_in)
{
    struct hone_kernel_names *names = read_names(kallsyms, 0);
    struct hone_kernel_stack stack;
    // A program that the kernel has no name for, the tracepoint, the switch, who asked for it.
    const uint64_t chain[] = {(uint64_t)PERF_CONTEXT_KERNEL,
                              0xffffffffc1000010u,
                              BASE + 0x10,
                              BASE + 0x5010,
                              BASE + 0x6010,
                              BASE + 0x7010,
                              BASE + 0x8010,
                              BASE + 0x1010,
                              BASE + 0x6020,
                              BASE + 0x2010};
    hone_kernel_stack_of_wait(names, chain, 10, &stack);
    CHECK_EQ(stack.count, 3);
    CHECK_EQ(stack.frames[0], BASE + 0x100f);
    CHECK_EQ(stack.frames[1], BASE + 0x601f); // further out it is one like any other
    CHECK_EQ(stack.frames[2], BASE + 0x200f);
    // What is called "schedule…" and is no part of it.
    const uint64_t work[] = {(uint64_t)PERF_CONTEXT_KERNEL, BASE + 0x5010, BASE + 0x4010};
    hone_kernel_stack_of_wait(names, work, 3, &stack);
    CHECK_EQ(stack.count, 1);
    CHECK_EQ(stack.frames[0], BASE + 0x400f);
    // A return address at a function's end belongs to that one, not to the next.
    const uint64_t end[] = {(uint64_t)PERF_CONTEXT_KERNEL, BASE, BASE + 0x6000, BASE + 0x9000,
                            BASE + 0xa000};
    hone_kernel_stack_of_wait(names, end, 5, &stack);
    CHECK_EQ(stack.count, 1);
    CHECK_EQ(stack.frames[0], BASE + 0x9fff);
    hone_kernel_names_close(names);
}

TEST(a_chain_that_does_not_reach_the_switch_tells_nothing)
{
    struct hone_kernel_names *names = read_names(kallsyms, 0);
    struct hone_kernel_stack stack;
    const uint64_t chain[] = {(uint64_t)PERF_CONTEXT_KERNEL, 0xffffffffc1000010u, BASE + 0x1010};
    hone_kernel_stack_of_wait(names, chain, 3, &stack);
    CHECK_EQ(stack.count, 0);
    hone_kernel_stack_of_wait(names, NULL, 0, &stack);
    CHECK_EQ(stack.count, 0);
    hone_kernel_names_close(names);
}

TEST(names_and_offsets_become_addresses_when_they_are_asked_for)
{
    struct hone_kernel_names *names = read_names(kallsyms, 0);
    struct hone_kernel_stack stack;
    static const char text[] = "[<0>] do_nanosleep+0x5c/0x100\n"
                               "[<0>] ep_poll+0x10/0x20 [other]\n"
                               "[<0>] dup+0x1/0x2\n"
                               "[<0>] schedule_timeout_killable+0x10/0x20\n"
                               "[<0>] unheard_of+0x1/0x2\n"
                               "[<0>] 0xffffffffc0001234\n"
                               "[<0>] ep_poll+0x1/\n"
                               "[<0>] ep_poll+0x0/0x1\n"
                               "[<0>] ep_poll+\n"
                               "[<0>] ep_poll+0x/0x1\n"
                               "\n"
                               "[<0>] 0x12";
    hone_kernel_stack_parse(names, text, &stack);
    CHECK_EQ(stack.count, 6);
    CHECK_EQ(stack.frames[0], 1);
    struct hone_kernel_stack again;
    hone_kernel_stack_parse(names, text, &again);
    CHECK_EQ(memcmp(again.frames, stack.frames, 6 * sizeof stack.frames[0]), 0);
    write_names(kallsyms);
    static const uint64_t wanted[] = {BASE + 0xa05b,     MODULE + 0xf,        BASE + 0x2000,
                                      HONE_KERNEL_START, 0xffffffffc0001233u, BASE + 0x1000};
    for (int i = 0; i < 6; i++)
        CHECK_EQ(hone_kernel_names_find(names, stack.frames[i]), wanted[i]);
    CHECK_EQ(hone_kernel_names_find(names, 0), HONE_KERNEL_START);
    CHECK_EQ(hone_kernel_names_find(names, 99), HONE_KERNEL_START);
    char deep[HONE_KERNEL_FRAMES_MAX * 32 + 64] = "";
    for (int i = 0; i < HONE_KERNEL_FRAMES_MAX + 1; i++)
        (void)strcat(deep, "[<0>] dup+0x1/0x2\n");
    hone_kernel_stack_parse(names, deep, &stack);
    CHECK_EQ(stack.count, HONE_KERNEL_FRAMES_MAX);
    hone_kernel_names_close(names);
    (void)unlink(write_names(""));
}

TEST(addresses_that_are_hidden_are_told)
{
    CHECK(!read_names("0000000000000000 T _stext\n0000000000000000 t __schedule\n", -EACCES));
    CHECK(!read_names("", -EACCES));
    struct hone_kernel_names *names = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_kernel_names_open("/nowhere", &names, &err), -ENOENT);
    CHECK(strstr(err.message, "/nowhere") != NULL);
}
