// Walks at every single instruction of real code, by the processor's trap flag, and compares each
// walk with a second opinion: calls are noticed as they happen (the instruction was a call, the
// stack grew by its return address) and kept until the stack shrinks past them.
#include "unwind/unwind.h"

#include "check.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 512, TRAP_FLAG = 0x100, STEPPED_BYTES = 2048 };

static struct hone_modules modules;
static struct hone_unwinder unwinder;
static struct hone_trail trail;
static struct hone_stack stacks[2];

struct call {
    uint64_t slot, return_address;
};

static struct {
    volatile sig_atomic_t stop;
    bool active; // control has come back to stepped()
    uint64_t steps, differences, incomplete, first_difference, reused;
    uint64_t last_ip, last_sp;
    struct call calls[DEPTH_MAX];
    size_t call_count;
    void *callers[DEPTH_MAX]; // of stepped(), outermost last, as glibc sees them
    int caller_count;
    char picture[8192];
} run;

static void stepped(void (*body)(void));

// Whether the instruction at `ip` is a call: by its opcode, behind any prefixes.
static bool is_call(uint64_t ip)
{
    const uint8_t *code = (const uint8_t *)ip;
    while (*code == 0xf2 || *code == 0x3e || (*code & 0xf0) == 0x40 || *code == 0x66)
        code++;
    return *code == 0xe8 || (*code == 0xff && (code[1] >> 3 & 7) == 2);
}

static void notice_call(uint64_t ip, uint64_t sp)
{
    while (run.call_count && run.calls[run.call_count - 1].slot < sp)
        run.call_count--;
    if (sp == run.last_sp - 8 && is_call(run.last_ip)) {
        uint64_t return_address = *(const uint64_t *)sp;
        if (return_address - run.last_ip <= 12 && ip != return_address)
            run.calls[run.call_count++] = (struct call){sp, return_address};
    }
}

static void draw(const char *title, const uint64_t *addresses, size_t count)
{
    size_t used = strlen(run.picture);
    used += (size_t)snprintf(run.picture + used, sizeof run.picture - used, "%s\n", title);
    for (size_t i = 0; i < count && used < sizeof run.picture; i++) {
        bool stale;
        const struct hone_module *module = hone_modules_find(&modules, addresses[i], &stale);
        used += (size_t)snprintf(run.picture + used, sizeof run.picture - used, "  %#lx %s\n",
                                 addresses[i] - (module ? module->bias : 0),
                                 module ? module->path : "?");
    }
}

static void compare(const struct hone_registers *registers)
{
    static uint64_t expected[DEPTH_MAX], walked[DEPTH_MAX], again[DEPTH_MAX];
    size_t count = 0;
    expected[count++] = registers->r[HONE_REGISTER_IP];
    for (size_t i = run.call_count; i-- > 0;)
        expected[count++] = run.calls[i].return_address - 1;
    for (int i = 0; i < run.caller_count; i++)
        expected[count++] = (uint64_t)run.callers[i] - 1;

    struct hone_walk walk, rewalk;
    size_t known = run.steps % 16 ? HONE_ARRAY_LENGTH(stacks) : 0; // 0: all loads are probed
    hone_unwind_walk(&unwinder, registers, stacks, known, walked, DEPTH_MAX, &walk);
    hone_unwind_rewalk(&unwinder, &trail, registers, stacks, known, again, DEPTH_MAX, &rewalk);
    run.reused += rewalk.reused;
    if (walk.end != HONE_WALK_COMPLETE)
        run.incomplete++;
    bool same = walk.count == count && memcmp(walked, expected, 8 * count) == 0;
    bool same_again = rewalk.count == walk.count && rewalk.end == walk.end &&
                      memcmp(walked, again, 8 * walk.count) == 0;
    if ((same && same_again) || run.differences++)
        return;
    run.first_difference = run.steps;
    draw(hone_walk_end_name(walk.end), walked, walk.count);
    draw("expected", expected, count);
    if (!same_again)
        draw("again", again, rewalk.count);
}

static void on_trap(int signal, siginfo_t *info, void *ucontext)
{
    (void)signal;
    ucontext_t *context = ucontext;
    if (info->si_code <= 0) { // raised: begin
        context->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
        return;
    }
    if (run.stop) {
        context->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
        return;
    }
    struct hone_registers registers;
    hone_registers_from_ucontext(&registers, ucontext);
    uint64_t ip = registers.r[HONE_REGISTER_IP], sp = registers.r[HONE_REGISTER_SP];
    if (!run.active)
        run.active = ip - (uint64_t)stepped < STEPPED_BYTES;
    else
        notice_call(ip, sp);
    run.last_ip = ip;
    run.last_sp = sp;
    if (run.active) {
        run.steps++;
        compare(&registers);
    }
}

__attribute__((noinline)) static void stepped(void (*body)(void))
{
    void *frames[DEPTH_MAX];
    int count = backtrace(frames, DEPTH_MAX);
    int own = 0; // frames of this function, and of what sanitizers put between
    while (own < count && frames[own] != __builtin_return_address(0))
        own++;
    run.caller_count = count - own;
    memcpy(run.callers, frames + own, (size_t)run.caller_count * sizeof frames[0]);
    raise(SIGTRAP);
    body();
    run.stop = 1;
    __asm__ volatile("nop");
}

static void setup(void)
{
    static alignas(64) uint8_t cache[HONE_UNWIND_CACHE_BYTES];
    static uint8_t alternate[256 << 10];
    hone_modules_refresh(&modules);
    hone_unwind_init(&unwinder, &modules, cache, sizeof cache);
    pthread_attr_t attributes;
    void *low;
    size_t size;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
    stacks[0] = (struct hone_stack){(uint64_t)low, (uint64_t)low + size};
    stacks[1] = (struct hone_stack){(uint64_t)alternate, (uint64_t)alternate + sizeof alternate};

    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK_EQ(sigaction(SIGTRAP, &action, NULL), 0);
}

// Steps through `body`; how many walks may differ from the second opinion, which knows nothing of
// jumps that unwind the stack, and how many of them may be cut short.
static void check_every_instruction(void (*body)(void), uint64_t allowed, uint64_t cut_short)
{
    setup();
    stepped(body);
    fprintf(stderr, "%lu instructions, %lu differ, %lu incomplete, %.1f frames reused\n", run.steps,
            run.differences, run.incomplete, (double)run.reused / (double)run.steps);
    if (run.differences > allowed)
        fprintf(stderr, "at %lu: %s", run.first_difference, run.picture);
    CHECK(run.steps > 500);
    CHECK(run.differences <= allowed);
    CHECK(run.incomplete <= cut_short);
}

static void format(void)
{
    char text[400];
    snprintf(text, sizeof text, "%d %s %g %a %.30f %ls %lld", 1, "two", 3e100, 4.5, 1 / 7.0,
             L"wide", 123456789ll);
    (void)strtod("1.2345678901234567890e-17", NULL);
}

TEST(every_instruction_of_formatting_and_lazy_binding)
{
    check_every_instruction(format, 0, 0);
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void sort_and_match(void)
{
    int values[60];
    for (int i = 0; i < 60; i++)
        values[i] = i * 7919 % 61;
    qsort(values, 60, sizeof values[0], by_value);
    regex_t regex;
    regcomp(&regex, "^(a|b)*[0-9]+(.*)x$", REG_EXTENDED);
    regmatch_t match[4];
    (void)regexec(&regex, "abba12 x", 4, match, 0);
    regfree(&regex);
    void *blocks[40];
    for (size_t i = 0; i < 40; i++)
        blocks[i] = malloc(i * i * 100);
    for (size_t i = 0; i < 40; i++)
        free(blocks[i]);
}

TEST(every_instruction_of_sorting_matching_and_allocating)
{
    check_every_instruction(sort_and_match, 0, 0);
}

static void clocks(void)
{
    struct timespec now;
    for (int clock = 0; clock < 8; clock++)
        clock_gettime(clock, &now);
    (void)time(NULL);
    char text[100];
    time_t day = 1000000000;
    strftime(text, sizeof text, "%c", localtime(&day));
}

TEST(every_instruction_of_the_vdso)
{
    check_every_instruction(clocks, 0, 0);
}

static volatile size_t three = 3;

// Realigned and of variable size: the CFA lies where a saved register says.
__attribute__((noinline)) static void realigned(void)
{
    alignas(64) volatile char aligned[64];
    volatile char *variable = __builtin_alloca(three * 16);
    for (size_t i = 0; i < three; i++)
        variable[i] = aligned[i] = (char)i;
    char text[40];
    snprintf(text, sizeof text, "%p %p", (void *)aligned, (void *)variable);
}

static int recurse(int depth)
{
    volatile char frame[100];
    frame[depth] = (char)depth;
    return depth ? recurse(depth - 1) + frame[depth] : 0;
}

static void stack_shapes(void)
{
    for (int i = 0; i < 5; i++)
        realigned();
    (void)recurse(90);
}

TEST(every_instruction_of_realigned_and_deep_stacks)
{
    check_every_instruction(stack_shapes, 0, 0);
}

static void load_and_unload(void)
{
    void *library = dlopen("libm.so.6", RTLD_NOW);
    double (*function)(double, double) = NULL;
    if (library)
        *(void **)&function = dlsym(library, "pow");
    if (function)
        (void)function(1.5, 2.5);
    if (library)
        dlclose(library);
}

TEST(every_instruction_of_loading_and_unloading_a_library)
{
    check_every_instruction(load_and_unload, 0, 0);
}

// Their hot loops are written by hand, with stacks to match.
static int (*hash_update[3])(void *, const void *, size_t);
static int (*hash_begin[3])(void *);

static void hash(void)
{
    static uint8_t data[300];
    alignas(64) uint8_t state[512];
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(hash_begin); i++) {
        hash_begin[i](state);
        hash_update[i](state, data, sizeof data);
    }
}

TEST(every_instruction_of_hand_written_hashing)
{
    void *library = dlopen("libcrypto.so.3", RTLD_NOW);
    if (!library)
        cr_skip_test("no libcrypto here");
    static const char *const names[][2] = {{"SHA1_Init", "SHA1_Update"},
                                           {"SHA256_Init", "SHA256_Update"},
                                           {"SHA512_Init", "SHA512_Update"}};
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(names); i++) {
        *(void **)&hash_begin[i] = dlsym(library, names[i][0]);
        *(void **)&hash_update[i] = dlsym(library, names[i][1]);
        CHECK(hash_begin[i] && hash_update[i]);
    }
    check_every_instruction(hash, 0, 0);
}

static jmp_buf back;

__attribute__((noinline)) static void jump(int value)
{
    longjmp(back, value);
}

static void jumps(void)
{
    for (volatile int i = 1; i < 20; i++)
        if (setjmp(back) == 0)
            jump(i);
}

// The last nine instructions of longjmp() are described as if it had arrived, and rightly so.
TEST(every_instruction_of_jumps_out_of_frames)
{
    check_every_instruction(jumps, 19 * 9, 0);
}

// walk_step_test_library.c, built three times
int hone_test_work_o1(int *values, int count, int (*compare)(int, int));
int hone_test_work_o2(int *values, int count, int (*compare)(int, int));
int hone_test_work_os(int *values, int count, int (*compare)(int, int));

__attribute__((noinline)) static int compare_values(int a, int b)
{
    char text[20];
    snprintf(text, sizeof text, "%d", a);
    return a - b;
}

static void work_without_rules(void)
{
    int values[20];
    for (int i = 0; i < 20; i++)
        values[i] = i * 7919 % 23;
    (void)hone_test_work_o1(values, 20, compare_values);
    (void)hone_test_work_o2(values, 20, compare_values);
    (void)hone_test_work_os(values, 20, compare_values);
}

TEST(every_instruction_of_code_without_rules)
{
    check_every_instruction(work_without_rules, 0, 0);
}

// The sanitizer has a hand in throwing, so the numbers are its own.
#if defined(HONE_WITH_CPP) && !defined(__SANITIZE_ADDRESS__)
void hone_test_throw(void); // walk_step_test_throw.cpp

// Before it arrives at a landing pad, libgcc writes what the pad expects over what it saved itself:
// for 56 instructions of some 14 000 its stack does not hold together. Our walks must end. Where it
// arrives, what stands before the pad is another path's end, whose rules would cut two more short.
TEST(every_instruction_of_throwing_an_exception)
{
    check_every_instruction(hone_test_throw, 5 * 56, 5 * 17);
}
#endif
