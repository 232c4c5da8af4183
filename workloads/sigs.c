// sigs KIND [MILLISECONDS]: programs that use the signals a profiler would like to have.
//
// prof     setitimer(ITIMER_PROF) at 100 Hz and its own SIGPROF handler
// alarm    a 5 ms SIGALRM while it works
// trap     its own SIGTRAP handler; executes int3 and raises SIGTRAP, 2000 times
// trapdie  no handler: dies of SIGTRAP, as an assertion would
// segv     its own SIGSEGV handler with 2000 real faults
// altstack works inside a handler that runs on an alternate signal stack, in `on_other_stack`
// steal    installs its own handler with signal() for SIGPROF, SIGALRM, SIGTRAP and SIGVTALRM after
//          start, works, and counts what it did not send itself
//
// raw      resets every signal by the system call itself, works, and sets them back
// mask     blocks SIGTRAP by a set that is also where the old one goes, and raises it: pending, until
//          it is let through, and then once
//
// Right answer: prints `sent N received N` with both equal (timers: received above 0); a profiler
// neither steals a signal from the program nor shows it one of its own. steal prints `strangers 0`.
#include "burn.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t received;
static long long work_ns;
static sigjmp_buf after_fault;

OWN_NAME static void work(void)
{
    burn_ns(work_ns);
}

static void count(int signal)
{
    (void)signal;
    received++;
}

static void count_and_go_on(int signal)
{
    (void)signal;
    received++;
    siglongjmp(after_fault, 1);
}

OWN_NAME static void on_other_stack(int signal)
{
    (void)signal;
    received++;
    burn_ns(work_ns);
}

static void handle(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    if (sigaction(signal, &action, NULL))
        exit(1);
}

static int timer(int which, int signal, long period_us)
{
    handle(signal, count, SA_RESTART);
    struct itimerval every = {{0, period_us}, {0, period_us}};
    setitimer(which, &every, NULL);
    work();
    every = (struct itimerval){0};
    setitimer(which, &every, NULL);
    printf("received %s\n", received > 0 ? "some" : "none");
    return received > 0 ? 0 : 1;
}

static int trap(void)
{
    handle(SIGTRAP, count, 0);
    long sent = 0;
    for (; sent < 2000; sent++) {
        if (sent % 2)
            raise(SIGTRAP);
        else
#if defined(__x86_64__)
            __asm__ volatile("int3");
#else
            raise(SIGTRAP);
#endif
        spin(SPIN_SLICE / 2);
    }
    printf("sent %ld received %d\n", sent, (int)received);
    return sent == received ? 0 : 1;
}

static int segv(void)
{
    handle(SIGSEGV, count_and_go_on, SA_NODEFER);
    volatile char *forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile long sent = 0;
    while (sent < 2000) {
        sent++;
        if (!sigsetjmp(after_fault, 1))
            forbidden[0] = 1;
        spin(SPIN_SLICE / 2);
    }
    printf("sent %ld received %d\n", sent, (int)received);
    return sent == received ? 0 : 1;
}

static int altstack(void)
{
    stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&other, NULL);
    handle(SIGUSR1, on_other_stack, SA_ONSTACK);
    raise(SIGUSR1);
    printf("sent 1 received %d\n", (int)received);
    return received == 1 ? 0 : 1;
}

static int steal(void)
{
    work();
    const int wanted[] = {SIGPROF, SIGALRM, SIGTRAP, SIGVTALRM};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        signal(wanted[i], count);
    work();
    printf("strangers %d\n", (int)received);
    return received ? 1 : 0;
}

// As a child of a browser does before it becomes something else.
static int raw(void)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } old[32], none = {.handler = SIG_DFL};
    for (int signal = 1; signal < 32; signal++) {
        syscall(SYS_rt_sigaction, signal, NULL, &old[signal], sizeof none.mask);
        syscall(SYS_rt_sigaction, signal, &none, NULL, sizeof none.mask);
    }
    work();
    uint64_t all = ~(uint64_t)0, before;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof all);
    work();
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
    printf("strangers %d\n", (int)received);
    return 0;
}

static int mask(void)
{
    handle(SIGTRAP, count, 0);
    sigset_t set, seen;
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    sigset_t *volatile same = &set; // what gcc warns of, and programs do
    sigprocmask(SIG_BLOCK, &set, same);
    int before = sigismember(&set, SIGTRAP);
    sigprocmask(SIG_BLOCK, NULL, &seen);
    raise(SIGTRAP);
    work();
    sigset_t waiting;
    sigpending(&waiting);
    printf("before %d blocked %d pending %d received %d", before, sigismember(&seen, SIGTRAP),
           sigismember(&waiting, SIGTRAP), (int)received);
    sigprocmask(SIG_UNBLOCK, &seen, NULL);
    sigpending(&waiting);
    printf(", then pending %d received %d\n", sigismember(&waiting, SIGTRAP), (int)received);
    return 0;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    work_ns = argument(argc, argv, 2, 500) * MS;
    if (!strcmp(kind, "prof"))
        return timer(ITIMER_PROF, SIGPROF, 10000);
    if (!strcmp(kind, "alarm"))
        return timer(ITIMER_REAL, SIGALRM, 5000);
    if (!strcmp(kind, "trap"))
        return trap();
    if (!strcmp(kind, "segv"))
        return segv();
    if (!strcmp(kind, "altstack"))
        return altstack();
    if (!strcmp(kind, "steal"))
        return steal();
    if (!strcmp(kind, "raw"))
        return raw();
    if (!strcmp(kind, "mask"))
        return mask();
    if (!strcmp(kind, "trapdie")) {
        work();
        raise(SIGTRAP);
    }
    return misused("sigs prof|alarm|trap|trapdie|segv|altstack|steal|raw|mask [MILLISECONDS]");
}
