// odd KIND [MILLISECONDS]: stacks of unusual kinds.
//
// tiny      works in `on_tiny` on a stack of two pages of its own, while an alternate stack is
//           there
// tinyalt   works in `on_tiny` inside a handler, on an alternate stack of three signal frames and
//           1 KiB, the smallest where ours fits; a page that nobody may touch lies below
// wild      works with the stack pointer in memory that is not there (x86-64)
// garbage   works with a frame pointer that points nowhere, in code without unwind rules (x86-64)
// jump      setjmp() and longjmp() out of 12 calls, without pause, below `jump`
// tail      functions that end in a jump to each other, below `tail`
// vdso      asks the vDSO for the time, without pause, in `ask`
// jit       generated code without rules, with a frame pointer, calls `from_jit` (x86-64)
// bare      the same with a frame pointer of 0: its callers cannot be found (x86-64)
// paths     works at the end of 2^20 different paths of calls, in `branch` and its like
//
// Right answer: `FUNCTION NANOSECONDS`; or `skipped 0` on machines that a kind is not for.
#include "burn.h"

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

enum { PAGE = 4096 };

static long long work_ns, used_ns;

// Memory of `bytes`, rounded up to pages, with a page below that nobody may touch.
static char *guarded_stack(size_t bytes)
{
    size_t size = (bytes + PAGE - 1) / PAGE * PAGE;
    char *memory =
        mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, PAGE, PROT_NONE))
        exit(1);
    return memory + PAGE;
}

static void use_alternate(char *stack, size_t bytes)
{
    stack_t other = {.ss_sp = stack, .ss_size = bytes};
    if (sigaltstack(&other, NULL))
        exit(1);
}

OWN_NAME static void on_tiny(void)
{
    long long before = thread_cpu_ns();
    burn_ns(work_ns);
    used_ns = thread_cpu_ns() - before;
}

static ucontext_t main_context, tiny_context;

static const char *tiny(void)
{
    enum { TINY = 1024, LARGE = 1 << 16 };
    use_alternate(guarded_stack(LARGE), LARGE);
    (void)thread_cpu_ns(); // the loader looks the function up now, which needs more room
    getcontext(&tiny_context);
    // The red zone and clock_gettime() need some 300 bytes.
    char *low = guarded_stack(TINY);
    tiny_context.uc_stack.ss_sp = low;
    tiny_context.uc_stack.ss_size = TINY;
    tiny_context.uc_link = &main_context;
    makecontext(&tiny_context, on_tiny, 0);
    // Nothing of the rest of the page may be used either.
    swapcontext(&main_context, &tiny_context);
    return "on_tiny";
}

static void on_signal(int signal)
{
    (void)signal;
    on_tiny();
}

static const char *tinyalt(void)
{
    size_t frame = getauxval(AT_MINSIGSTKSZ);
    size_t bytes = 3 * (frame ? frame : 4096) + 1024;
    size_t pages = (bytes + PAGE - 1) / PAGE * PAGE;
    // So that its lower end touches the forbidden page.
    char *low =
        mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(low, PAGE, PROT_NONE);
    use_alternate(low + PAGE, bytes);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    return "on_tiny";
}

#if defined(__x86_64__)
OWN_NAME static void rounds_elsewhere(uint64_t sp, uint64_t fp, uint64_t rounds)
{
    __asm__ volatile("mov %%rsp, %%r12\n mov %%rbp, %%r13\n mov %0, %%rsp\n mov %1, %%rbp\n"
                     "1: dec %2\n jnz 1b\n"
                     "mov %%r12, %%rsp\n mov %%r13, %%rbp\n"
                     : "+r"(sp), "+r"(fp), "+r"(rounds)
                     :
                     : "r12", "r13", "cc", "memory");
}

static const char *wild(bool only_fp)
{
    use_alternate(guarded_stack(1 << 16), 1 << 16);
    char *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long long before = thread_cpu_ns();
    uint64_t sp = (uint64_t)(uintptr_t)__builtin_frame_address(0) - 2048;
    do {
        rounds_elsewhere(only_fp ? sp : (uint64_t)(uintptr_t)nowhere + 2048,
                         (uint64_t)(uintptr_t)nowhere + 64, 200000);
        used_ns = thread_cpu_ns() - before;
    } while (used_ns < work_ns);
    return "rounds_elsewhere";
}

OWN_NAME static void from_jit(void)
{
    burn_ns(20 * MS);
}

static const char *generated(bool with_frame)
{
    static const unsigned char framed[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    static const unsigned char bare[] = {0x55, 0x31, 0xed, 0xff, 0xd7, 0x5d, 0xc3};
    unsigned char *code =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, with_frame ? framed : bare, with_frame ? sizeof framed : sizeof bare);
    mprotect(code, PAGE, PROT_READ | PROT_EXEC);
    void (*run)(void (*)(void));
    memcpy(&run, &code, sizeof run);
    long long before = thread_cpu_ns();
    do {
        run(from_jit);
        used_ns = thread_cpu_ns() - before;
    } while (used_ns < work_ns);
    return "from_jit";
}
#endif

static jmp_buf back;

OWN_NAME static int leap(int left)
{
    if (left == 0) {
        spin(30);
        longjmp(back, 1);
    }
    return leap(left - 1) + 1;
}

OWN_NAME static const char *jump(void)
{
    long long before = thread_cpu_ns();
    do {
        for (int i = 0; i < 100; i++)
            if (!setjmp(back))
                leap(12);
        used_ns = thread_cpu_ns() - before;
    } while (used_ns < work_ns);
    return "jump";
}

// Real jumps, also in a build that turns calls at the end into calls.
__attribute__((noinline, noclone, used, optimize("optimize-sibling-calls"))) static long
hop(long left, long sum);

__attribute__((noinline, noclone, used, optimize("optimize-sibling-calls"))) static long
skip(long left, long sum)
{
    return hop(left - 1, sum ^ left);
}

__attribute__((noinline, noclone, used, optimize("optimize-sibling-calls"))) static long
hop(long left, long sum)
{
    return left ? skip(left, sum + 1) : sum;
}

OWN_NAME static const char *tail(void)
{
    long long before = thread_cpu_ns();
    do {
        volatile long sum = hop(100000, 1);
        (void)sum;
        used_ns = thread_cpu_ns() - before;
    } while (used_ns < work_ns);
    return "tail";
}

OWN_NAME static void ask(void)
{
    struct timespec now;
    for (int i = 0; i < 10000; i++)
        clock_gettime(CLOCK_MONOTONIC, &now);
}

static const char *vdso(void)
{
    long long before = thread_cpu_ns();
    do {
        ask();
        used_ns = thread_cpu_ns() - before;
    } while (used_ns < work_ns);
    return "ask";
}

OWN_NAME static int twig(void)
{
    spin(3000);
    return 1;
}

static int other_branch(int left, uint32_t path);

OWN_NAME static int branch(int left, uint32_t path)
{
    if (!left)
        return twig() + 1;
    return (path & 1 ? branch(left - 1, path >> 1) : other_branch(left - 1, path >> 1)) + 1;
}

OWN_NAME static int other_branch(int left, uint32_t path)
{
    if (!left)
        return twig() + 2;
    return (path & 1 ? branch(left - 1, path >> 1) : other_branch(left - 1, path >> 1)) + 2;
}

static const char *paths(void)
{
    uint64_t state = 0x9e3779b97f4a7c15ULL;
    long long before = thread_cpu_ns();
    do {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        branch(20, (uint32_t)(state >> 40));
        used_ns = thread_cpu_ns() - before;
    } while (used_ns < work_ns);
    return "branch";
}

static const char *run(const char *kind)
{
    if (!strcmp(kind, "tiny"))
        return tiny();
    if (!strcmp(kind, "tinyalt"))
        return tinyalt();
    if (!strcmp(kind, "jump"))
        return jump();
    if (!strcmp(kind, "tail"))
        return tail();
    if (!strcmp(kind, "vdso"))
        return vdso();
    if (!strcmp(kind, "paths"))
        return paths();
#if defined(__x86_64__)
    if (!strcmp(kind, "wild") || !strcmp(kind, "garbage"))
        return wild(kind[0] == 'g');
    if (!strcmp(kind, "jit") || !strcmp(kind, "bare"))
        return generated(kind[0] == 'j');
#endif
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return misused(
            "odd tiny|tinyalt|wild|garbage|jump|tail|vdso|jit|bare|paths [MILLISECONDS]");
    work_ns = argument(argc, argv, 2, 1000) * MS;
    const char *name = run(argv[1]);
    printf("%s %lld\n", name ? name : "skipped", name ? used_ns : 0);
    return 0;
}
