#include "unwind/unwind.h"

#include "check.h"

#include HONE_TEST_MACHINE

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { DEPTH_MAX = 8192 };

void hone_test_call_back(void (*function)(void)); // walk_test_library.c
void hone_test_call_back_without_rules(void (*function)(void));
void hone_test_call_back_framed(void (*function)(void));
void hone_test_call_back_over(void (*function)(void), uint64_t word);
_Noreturn void hone_test_call_back_for_good(void (*function)(void));
void hone_test_call_back_busy(void (*function)(void), uint64_t value);

static struct hone_modules modules;
static struct hone_unwinder unwinder;
static struct hone_stack stacks[2];
static size_t stack_count;
static uint64_t addresses[DEPTH_MAX];
static struct hone_walk walk;

static void setup(void)
{
    static alignas(64) uint8_t cache[HONE_UNWIND_CACHE_BYTES];
    hone_modules_refresh(&modules);
    hone_unwind_init(&unwinder, &modules, cache, sizeof cache);
    pthread_attr_t attributes;
    void *low;
    size_t size;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
    stacks[0] = (struct hone_stack){(uint64_t)low, (uint64_t)low + size};
    stack_count = 1;
}

__attribute__((noinline)) static void walk_here(void)
{
    struct hone_registers registers;
    hone_registers_here(&registers);
    hone_unwind_walk(&unwinder, &registers, stacks, stack_count, addresses, DEPTH_MAX, &walk);
    __asm__ volatile("");
}

// How often the walk passes through the function, or the code page, at `code`.
static size_t frames_in(uint64_t code)
{
    size_t count = 0;
    for (size_t i = 0; i < walk.count; i++) {
        bool stale;
        const struct hone_module *module = hone_modules_find(&modules, addresses[i], &stale);
        struct hone_fde fde;
        if (!module)
            count += (addresses[i] & ~4095ull) == code;
        else if (hone_cfi_find(&module->cfi, addresses[i] - module->bias, &fde) == 0)
            count += fde.start + module->bias == code;
    }
    return count;
}

static bool passes(const char *path_part)
{
    for (size_t i = 0; i < walk.count; i++) {
        bool stale;
        const struct hone_module *module = hone_modules_find(&modules, addresses[i], &stale);
        if (module && strstr(module->path, path_part))
            return true;
    }
    return false;
}

TEST(walk_reaches_the_start_of_the_program)
{
    setup();
    for (volatile int i = 0; i < 2; i++) {
        walk_here();
        CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
        CHECK(walk.count > 5);
        CHECK_EQ(walk.misses, i == 0 ? walk.count : 0);
    }
    CHECK_EQ(frames_in((uint64_t)walk_here), 1);
    CHECK(!walk.slow && !walk.guessed && !walk.frame_pointers);
}

TEST(walk_without_known_stacks_finds_the_same)
{
    setup();
    walk_here();
    static uint64_t before[DEPTH_MAX];
    size_t count = walk.count;
    memcpy(before, addresses, sizeof before);
    stack_count = 0;
    walk_here();
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK_EQ(walk.count, count);
    CHECK(memcmp(before + 2, addresses + 2, (count - 2) * 8) == 0);
}

__attribute__((noinline)) static int recurse(int depth)
{
    volatile int here = depth;
    if (depth == 1)
        walk_here();
    else
        (void)recurse(depth - 1);
    return here;
}

TEST(recursion_200_deep_is_walked_whole)
{
    setup();
    (void)recurse(200);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK_EQ(frames_in((uint64_t)recurse), 200);
}

TEST(deeper_than_asked_for_is_cut_and_says_so)
{
    setup();
    (void)recurse(5000);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK(walk.count > 5000);
    struct hone_registers registers;
    hone_registers_here(&registers);
    size_t whole = hone_unwind_walk(&unwinder, &registers, stacks, 1, addresses, 512, &walk);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK_EQ(hone_unwind_walk(&unwinder, &registers, stacks, 1, addresses, whole, &walk), whole);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK_EQ(hone_unwind_walk(&unwinder, &registers, stacks, 1, addresses, whole - 1, &walk),
             whole - 1);
    CHECK_EQ(walk.end, HONE_WALK_TOO_DEEP);
}

static void *in_thread(void *unused)
{
    setup();
    walk_here();
    return unused;
}

TEST(walk_reaches_the_start_of_a_thread)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, in_thread, NULL), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK_EQ(walk.count, 4);
}

TEST(walk_works_in_the_child_of_a_fork)
{
    setup();
    pid_t child = fork();
    if (child == 0) {
        hone_modules_after_fork(&modules);
        walk_here();
        _exit(walk.end == HONE_WALK_COMPLETE && walk.count > 5 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
}

static void on_signal(int signal, siginfo_t *info, void *ucontext)
{
    (void)signal;
    (void)info;
    struct hone_registers registers;
    hone_registers_from_ucontext(&registers, ucontext);
    hone_unwind_walk(&unwinder, &registers, stacks, stack_count, addresses, DEPTH_MAX, &walk);
}

static void on_outer_signal(int signal)
{
    (void)signal;
    walk_here();
    __asm__ volatile(""); // the call above is not the last thing, so it leaves its frame
}

static void handle(int signal, void (*action)(int, siginfo_t *, void *), int flags)
{
    struct sigaction how = {.sa_sigaction = action, .sa_flags = SA_SIGINFO | flags};
    CHECK_EQ(sigaction(signal, &how, NULL), 0);
}

static void use_alternate_stack(void)
{
    static uint8_t alternate[64 << 10];
    stacks[1] = (struct hone_stack){(uint64_t)alternate, (uint64_t)alternate + sizeof alternate};
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    struct sigaction how = {.sa_handler = on_outer_signal, .sa_flags = SA_ONSTACK};
    CHECK_EQ(sigaction(SIGUSR1, &how, NULL), 0);
}

__attribute__((noinline)) static void interrupted(void)
{
    raise(SIGUSR1);
    __asm__ volatile("");
}

TEST(walk_crosses_from_the_alternate_stack_to_the_interrupted_one)
{
    setup();
    use_alternate_stack();
    for (stack_count = 0; stack_count <= 2; stack_count++) { // none, one or both are known
        interrupted();
        CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
        CHECK(walk.slow);
        CHECK_EQ(frames_in((uint64_t)on_outer_signal), 1);
        CHECK_EQ(frames_in((uint64_t)interrupted), 1);
    }
}

TEST(call_through_null_shows_who_called)
{
    setup();
    // As the handler of the fault would find it.
    struct hone_registers registers;
    hone_registers_here(&registers);
    uint64_t stack[64] = {0};
    hone_unwind_walk(&unwinder, &registers, stacks, 1, addresses, DEPTH_MAX, &walk);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    call_into(&registers, 0, stack);
    hone_unwind_walk(&unwinder, &registers, stacks, 1, addresses, DEPTH_MAX, &walk);
    CHECK(walk.guessed);
    CHECK_EQ(addresses[0], 0);
    CHECK_EQ(addresses[1], stack[0] - 1);
}

static void *code_page(const uint8_t *code, size_t size)
{
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    memcpy(page, code, size);
    __builtin___clear_cache(page, (char *)page + size);
    return page;
}

TEST(code_without_rules_is_walked_by_its_frame_pointer_and_marked)
{
    setup();
    void *page = code_page(code_with_frame_pointer, sizeof code_with_frame_pointer);
    void (*call)(void (*)(void));
    memcpy(&call, &page, sizeof call);
    call(walk_here);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK(walk.frame_pointers);
    CHECK_EQ(frames_in((uint64_t)page), 1);
}

TEST(code_with_neither_rules_nor_frame_pointer_ends_the_walk)
{
    setup();
    void *page = code_page(code_without_frame_pointer, sizeof code_without_frame_pointer);
    void (*call)(void (*)(void));
    memcpy(&call, &page, sizeof call);
    call(walk_here);
    CHECK_EQ(walk.end, HONE_WALK_NO_RULE);
    CHECK_EQ(frames_in((uint64_t)page), 1);
    CHECK_STR(hone_walk_end_name(walk.end), "no rule");
}

TEST(module_without_an_index_is_walked_by_reading_all_its_entries)
{
    setup();
    hone_test_call_back(walk_here);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK(passes("noindex"));
    CHECK(!walk.frame_pointers);
    bool stale;
    const struct hone_module *module =
        hone_modules_find(&modules, (uint64_t)hone_test_call_back, &stale);
    CHECK(module != NULL);
}

// Of the function that called the library that called walk_here().
static uint64_t walked_return(void)
{
    return addresses[2] + 1;
}

static bool is_ours(uint64_t address)
{
    bool stale;
    return hone_modules_find(&modules, address, &stale) ==
           hone_modules_find(&modules, (uint64_t)walk_here, &stale);
}

TEST(caller_of_a_library_without_rules_is_told_by_its_code)
{
    if (!HONE_CALL_PUSHES)
        cr_skip_test("return addresses are found by frame pointers here\n");
    setup();
    for (unsigned round = 0; round < 2; round++) { // and is found again when it is known
        hone_test_call_back_without_rules(walk_here);
        CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
        CHECK(!walk.guessed && passes("norules"));
        CHECK(is_ours(walked_return()));
    }
}

__attribute__((noinline)) static void call_back_over(uint64_t word)
{
    hone_test_call_back_over(walk_here, word);
    __asm__ volatile("");
}

__attribute__((noinline)) static void call_back_over_once_more(uint64_t word)
{
    volatile char room[200];
    room[0] = 0;
    hone_test_call_back_over(walk_here, word);
    room[1] = room[0];
}

// Which look the same as its own return address: a call to this function has left them.
TEST(return_addresses_that_older_calls_left_are_not_taken_for_callers)
{
    if (!HONE_CALL_PUSHES)
        cr_skip_test("return addresses are found by frame pointers here\n");
    setup();
    call_back_over(0);
    const uint64_t older = walked_return();
    CHECK(is_ours(older));
    call_back_over_once_more(older);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK_EQ(frames_in((uint64_t)call_back_over), 0);
    CHECK_EQ(frames_in((uint64_t)call_back_over_once_more), 1);
    CHECK_EQ(frames_in((uint64_t)walk_here), 1);
}

static jmp_buf out_of_there;

static void walk_and_leave(void)
{
    walk_here();
    longjmp(out_of_there, 1);
}

TEST(caller_of_code_without_rules_that_does_not_return_is_searched_for)
{
    if (!HONE_CALL_PUSHES)
        cr_skip_test("return addresses are found by frame pointers here\n");
    setup();
    if (setjmp(out_of_there) == 0)
        hone_test_call_back_for_good(walk_and_leave);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK(walk.guessed && passes("norules"));
    CHECK(is_ours(addresses[3])); // walk_here(), walk_and_leave(), the library
}

__attribute__((noinline)) static void walk_twice(void)
{
    static struct hone_trail trail;
    struct hone_registers registers;
    hone_registers_here(&registers);
    for (unsigned round = 0; round < 2; round++)
        hone_unwind_rewalk(&unwinder, &trail, &registers, stacks, 1, addresses, DEPTH_MAX, &walk);
}

// As a program does that is built so, of hundreds of megabytes.
TEST(code_without_rules_that_keeps_frame_pointers_is_walked_once)
{
    setup();
    hone_test_call_back_framed(walk_twice);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK(passes("framed"));
#if defined(__x86_64__)
    CHECK(walk.reused >= walk.count - 1);
#endif
}

static ucontext_t fiber, home;

TEST(fiber_on_a_stack_of_its_own_is_walked_whole)
{
    setup();
    getcontext(&fiber);
    fiber.uc_stack.ss_size = 64 << 10;
    fiber.uc_stack.ss_sp = malloc(fiber.uc_stack.ss_size);
    fiber.uc_link = &home;
    makecontext(&fiber, walk_here, 0);
    swapcontext(&home, &fiber);
    free(fiber.uc_stack.ss_sp);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK_EQ(walk.count, 2);
}

static uint64_t state = 88172645463325252u;

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

// An address of code, of a stack, of nothing, or no address at all.
static uint64_t draw_address(void)
{
    const struct hone_module *module =
        hone_modules_at(&modules, draw() % hone_modules_count(&modules));
    switch (draw() % 6) {
    case 0:
        return draw();
    case 1:
        return draw() % 65536;
    case 2:
        return stacks[0].high - draw() % 20000;
    case 3:
        return (stacks[0].high - draw() % 20000) & ~7ull;
    case 4:
        return stacks[0].low - 4096 + draw() % 8192;
    default:
        return module->text_start + draw() % (module->text_end - module->text_start);
    }
}

TEST(no_registers_and_no_stack_make_a_walk_crash_or_change_errno)
{
    setup();
    static uint64_t garbage[4096];
    static struct hone_trail trail;
    stacks[1] = (struct hone_stack){(uint64_t)garbage, (uint64_t)(garbage + 4096)};
    unsigned ends[HONE_WALK_END_COUNT] = {0};
    errno = 55;
    for (unsigned round = 0; round < 40000; round++) {
        if (round % 500 == 0)
            for (size_t i = 0; i < 4096; i++)
                garbage[i] = draw() % 4 ? draw_address() : (uint64_t)(garbage + draw() % 4096);
        struct hone_registers registers;
        for (unsigned i = 0; i < HONE_REGISTER_COUNT; i++)
            registers.r[i] = draw_address();
        if (draw() % 2) {
            registers.r[HONE_REGISTER_SP] = (uint64_t)(garbage + draw() % 4096);
            registers.r[HONE_REGISTER_FP] = (uint64_t)(garbage + draw() % 4096);
        }
        size_t known = draw() % 3;
        hone_unwind_walk(&unwinder, &registers, stacks, known, addresses, 512, &walk);
        CHECK(walk.count >= 1 && walk.count <= 512);
        CHECK(walk.end < HONE_WALK_END_COUNT);
        ends[walk.end]++;
        size_t count = hone_unwind_rewalk(&unwinder, &trail, &registers, stacks, known,
                                          addresses + 1024, 512, &walk);
        CHECK(count <= 512);
    }
    CHECK_EQ(errno, 55);
    CHECK(ends[HONE_WALK_UNREADABLE] > 0 && ends[HONE_WALK_BAD_FRAME] > 0 &&
          ends[HONE_WALK_NO_RULE] > 0);
}

static volatile unsigned profiled, incomplete;

static void on_profile(int signal, siginfo_t *info, void *ucontext)
{
    static struct hone_trail trail;
    static uint64_t again[DEPTH_MAX];
    on_signal(signal, info, ucontext);
    profiled++;
    incomplete += walk.end != HONE_WALK_COMPLETE;
    struct hone_registers registers;
    struct hone_walk rewalk;
    hone_registers_from_ucontext(&registers, ucontext);
    hone_unwind_rewalk(&unwinder, &trail, &registers, stacks, stack_count, again, 512, &rewalk);
    incomplete += rewalk.count != walk.count || memcmp(again, addresses, 8 * walk.count) != 0;
}

// Half of the time the table is not told, as when libc loads modules for itself.
TEST(walks_stay_whole_while_modules_come_and_go)
{
    setup();
    handle(SIGPROF, on_profile, SA_RESTART);
    struct itimerval every = {{0, 1000}, {0, 1000}};
    CHECK_EQ(setitimer(ITIMER_PROF, &every, NULL), 0);
    for (int i = 0; i < 400 || profiled < 30; i++) {
        void *library = dlopen(HONE_TEST_LIBRARY, RTLD_NOW);
        if (i % 2)
            hone_modules_refresh(&modules);
        dlclose(library);
        if (i % 4 > 1)
            hone_modules_refresh(&modules);
    }
    every = (struct itimerval){0};
    setitimer(ITIMER_PROF, &every, NULL);
    CHECK_EQ(incomplete, 0);
}

TEST(trail_saves_walking_what_was_walked_before)
{
    setup();
    static struct hone_trail trail;
    struct hone_registers registers;
    hone_registers_here(&registers);
    size_t count =
        hone_unwind_rewalk(&unwinder, &trail, &registers, stacks, 1, addresses, 512, &walk);
    CHECK_EQ(walk.reused, 0);
    CHECK_EQ(hone_unwind_rewalk(&unwinder, &trail, &registers, stacks, 1, addresses, 512, &walk),
             count);
    CHECK_EQ(walk.reused, count - 1);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    // A module came or went: nothing of before counts.
    atomic_fetch_add(&modules.generation, 2);
    hone_unwind_rewalk(&unwinder, &trail, &registers, stacks, 1, addresses, 512, &walk);
    CHECK_EQ(walk.reused, 0);
}

// Where a walk finds every row it may miss one: that of the place in the test that it is made at.
TEST(row_is_not_found_again_when_its_key_would_be)
{
    setup();
    walk_here();
    walk_here();
    CHECK(walk.misses <= 1);
    atomic_fetch_add(&modules.generation, 1 << 16);
    walk_here();
    CHECK(walk.misses > 1);
    walk_here();
    CHECK(walk.misses <= 1);

    static struct hone_trail trail;
    struct hone_registers registers;
    hone_registers_here(&registers);
    for (int i = 0; i < 2; i++) {
        atomic_fetch_add(&modules.generation, 1 << 16);
        hone_unwind_rewalk(&unwinder, &trail, &registers, stacks, 1, addresses, 512, &walk);
        CHECK(walk.misses > 1);
    }
}

TEST(walk_during_a_dlclose_trusts_no_row_of_what_may_go)
{
    setup();
    void *library = dlopen(HONE_TEST_LIBRARY, RTLD_NOW);
    CHECK(library != NULL);
    void (*call)(void (*)(void));
    *(void **)&call = dlsym(library, "hone_test_call_back");
    call(walk_here);
    call(walk_here);
    CHECK(walk.misses <= 1);
    const uint32_t count = walk.count;
    hone_modules_begin_close(&modules);
    for (int i = 0; i < 2; i++) {
        call(walk_here);
        CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
        CHECK_EQ(walk.count, count);
        CHECK(walk.misses > 1);
    }
    hone_modules_end_close(&modules); // and nothing has gone
    call(walk_here);
    CHECK(walk.misses <= 1);
    CHECK_EQ(walk.count, count);
    dlclose(library);
}

// Walks again after one word of this function's frame was changed: the saved frame pointer (0) or
// the return address (1). What a new walk says must be what the trail leads to.
__attribute__((noinline)) static void check_changed(struct hone_trail *trail, size_t which,
                                                    uint64_t change)
{
    static uint64_t again[DEPTH_MAX];
    struct hone_registers registers;
    struct hone_walk rewalk;
    volatile uint64_t *frame = __builtin_frame_address(0);
    hone_registers_here(&registers);
    hone_unwind_rewalk(&unwinder, trail, &registers, stacks, 1, again, 512, &rewalk);
    uint64_t before = frame[which];
    frame[which] = before + change;
    hone_unwind_walk(&unwinder, &registers, stacks, 1, addresses, 512, &walk);
    hone_unwind_rewalk(&unwinder, trail, &registers, stacks, 1, again, 512, &rewalk);
    frame[which] = before;
    CHECK_EQ(rewalk.count, walk.count);
    CHECK_EQ(rewalk.end, walk.end);
    CHECK(memcmp(again, addresses, 8 * walk.count) == 0);
}

TEST(trail_is_left_where_a_return_address_or_saved_register_changed)
{
    setup();
    static struct hone_trail trail;
    check_changed(&trail, 1, 1);
    check_changed(&trail, 0, 16);
    check_changed(&trail, 0, 1 << 12);
    check_changed(&trail, 1, 1 << 12);
}

#if defined(__x86_64__)
#define HONE_FRAME_POINTER_IS_READ true
#else
#define HONE_FRAME_POINTER_IS_READ false
#endif

// Of the caller of at_caller(): taken there, and looked at again.
static struct hone_trail imprint_trail;
static struct hone_imprint imprint;
static bool imprint_taken, imprint_holds, imprint_is_due;

__attribute__((noinline)) static void at_caller(void)
{
    struct hone_registers registers;
    const uint64_t *frame = __builtin_frame_address(0);
    struct hone_caller caller = {frame[1] - 1, (uint64_t)__builtin_dwarf_cfa(), frame[0], 1};
    hone_registers_here(&registers);
    imprint_holds = hone_imprint_holds(&imprint, &caller, stacks[0].high);
    hone_unwind_rewalk_from(&unwinder, &imprint_trail, &registers, &caller, stacks, 1, addresses,
                            512, &walk);
    if (imprint_is_due)
        imprint_taken = hone_imprint_take(&imprint, &imprint_trail, &caller, &walk);
}

// Comes there with one word of its own frame changed: the saved frame pointer (0) or the return
// address (1).
__attribute__((noinline)) static void come_changed(size_t which, uint64_t change)
{
    volatile uint64_t *frame = __builtin_frame_address(0);
    uint64_t before = frame[which];
    frame[which] = before + change;
    at_caller();
    frame[which] = before;
}

TEST(imprint_holds_while_nothing_changed_that_the_walk_read)
{
    setup();
    static const struct {
        size_t which;
        uint64_t change;
        bool holds;
    } comings[] = {{0, 0, false},  {0, 0, true},  {1, 1, false}, {0, 16, false},
                   {1, 16, false}, {0, 8, false}, {0, 0, true}};
    for (volatile size_t i = 0; i < HONE_ARRAY_LENGTH(comings); i++) {
        imprint_is_due = i == 0;
        come_changed(comings[i].which, comings[i].change);
        // Where callers are found without the frame pointer it does not matter.
        if (HONE_FRAME_POINTER_IS_READ || comings[i].which == 1 || !comings[i].change)
            CHECK_EQ(imprint_holds, comings[i].holds);
    }
    CHECK(imprint_taken);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
}

// Not inlined, and not jumped to.
__attribute__((noinline)) static void come_framed(void)
{
    at_caller();
    __asm__ volatile("");
}

// What a function without a frame pointer has in its register is no part of the stack, wherever
// those that it calls save it.
TEST(other_use_of_the_frame_pointer_changes_no_walk)
{
    setup();
    for (volatile uint64_t i = 0; i < 3; i++) {
        imprint_is_due = i == 0;
        hone_test_call_back_busy(come_framed, 17 + i);
        CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
        CHECK_EQ(frames_in((uint64_t)hone_test_call_back_busy), 1);
        CHECK(imprint_taken);
        CHECK_EQ(imprint_holds, i > 0);
        CHECK_EQ(walk.reused, i > 0 ? walk.count - 2 : 0);
    }
}

// Its frame is found by the frame pointer, as its size is not known beforehand.
__attribute__((noinline)) static void with_room(struct hone_trail *trail, size_t size)
{
    volatile char *room = __builtin_alloca(size);
    room[0] = 0;
    check_changed(trail, 0, 0 - 512ull);
    room[0]++;
}

TEST(caller_below_its_callee_ends_the_walk)
{
    setup();
    static struct hone_trail trail;
    with_room(&trail, 32);
    CHECK_EQ(walk.end, HONE_WALK_BAD_FRAME);
}

__attribute__((unused)) static void *with_alternate_stack_above(void *alternate)
{
    setup();
    stack_t stack = {.ss_sp = alternate, .ss_size = 64 << 10};
    struct sigaction how = {.sa_handler = on_outer_signal, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGUSR1, &how, NULL) != 0)
        return (void *)"no alternate stack";
    stacks[1] = (struct hone_stack){(uint64_t)alternate, (uint64_t)alternate + stack.ss_size};
    for (stack_count = 0; stack_count <= 2; stack_count++) {
        interrupted();
        if (walk.end != HONE_WALK_COMPLETE || frames_in((uint64_t)interrupted) != 1)
            return (void *)"the interrupted stack was not reached";
    }
    return NULL;
}

#ifndef __SANITIZE_ADDRESS__ // which unmaps whatever alternate stack a thread ends with
TEST(walk_crosses_to_an_interrupted_stack_at_lower_addresses)
{
    alignas(16) uint8_t alternate[64 << 10]; // on the first thread's stack, which is the highest
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, with_alternate_stack_above, alternate), 0);
    void *complaint = NULL;
    pthread_join(thread, &complaint);
    if (complaint)
        cr_assert(false, "%s", (const char *)complaint);
}
#endif
