// corners KIND [NUMBER]: what programs do that a profiler inside them is easily caught by.
//
// forks      one thread lists the loaded modules all the time, another forks NUMBER children
// lock       NUMBER children begin a thread and lock themselves in (seccomp) right after
// execveat   NUMBER children become true(1) by syscall(SYS_execveat)
// raw        a child that libc does not know of works in `child_work`, and ends past libc, too
// range      close_range() of numbers that no descriptor has
// ask        asks by a call that must fail whether there is seccomp, and works on in `after`
// close      closes all descriptors by a system call, and works on in `after`
// sigwait    all threads block signal NUMBER, one waits for it; it is sent to the process
// handler    the same, but one thread lets it through to a handler
//
// Right answer: prints `fine`; ask and close before that `before NANOSECONDS` and `after
// NANOSECONDS`, raw `child_work NANOSECONDS`.
#include "burn.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int fail(const char *what, long number)
{
    printf("%s: %ld\n", what, number);
    return 1;
}

OWN_NAME static void before(void)
{
    burn_ns(200 * MS);
}

OWN_NAME static void after(void)
{
    burn_ns(600 * MS);
}

OWN_NAME static void child_work(void)
{
    burn_ns(300 * MS);
}

static int look(struct dl_phdr_info *module, size_t size, void *context)
{
    (void)module, (void)size, (void)context;
    spin(2000);
    return 0;
}

static void *list(void *context)
{
    for (;;)
        dl_iterate_phdr(look, context);
    return NULL;
}

// Its wait status; -1: it hangs.
static int end_of(pid_t child)
{
    for (int i = 0; i < 1000; i++) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child)
            return status;
        usleep(i < 100 ? 200 : 5000);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return -1;
}

// Children in a row: each does that and ends well.
static int children(long number, void (*work)(void))
{
    for (long i = 0; i < number; i++) {
        pid_t child = fork();
        if (child == 0) {
            work();
            _exit(0);
        }
        int status = end_of(child);
        if (status)
            return fail("a child ended with", status);
    }
    return 0;
}

static void nothing(void)
{
}

static int forks(long number)
{
    pthread_t thread;
    pthread_create(&thread, NULL, list, NULL);
    return children(number, nothing);
}

static void *work_a_little(void *argument)
{
    spin(1000);
    return argument;
}

static void lock_in(void)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, allow};
    pthread_t thread;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    pthread_create(&thread, NULL, work_a_little, NULL);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(3);
    pthread_join(thread, NULL);
}

static void become(void)
{
    char *argv[] = {"true", NULL};
    spin(SPIN_SLICE * 2);
    syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, environ, 0);
    _exit(9);
}

static int raw(void)
{
    long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        char line[80];
        long long start = thread_cpu_ns();
        child_work();
        int length = snprintf(line, sizeof line, "child_work %lld\n", thread_cpu_ns() - start);
        syscall(SYS_exit_group, write(STDOUT_FILENO, line, (size_t)length) != length);
    }
    int status = end_of((pid_t)child);
    return status ? fail("the child ended with", status) : 0;
}

static int range(void)
{
    int own = fcntl(STDOUT_FILENO, F_DUPFD, 1100);
    for (unsigned first = 0x80000000u; first; first += 0x40000000u)
        if (close_range(first, ~0u, 0) || fcntl(own, F_GETFD) < 0)
            return fail("closed what is not in the range from", first);
    return 0;
}

static int ask_or_close(bool ask)
{
    long long start = thread_cpu_ns();
    before();
    long long middle = thread_cpu_ns();
    if (!ask)
        syscall(SYS_close_range, 3, ~0u, 0);
    else if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) == 0 || errno != EFAULT ||
             syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == 0 || errno != EFAULT)
        return fail("an answer that was not expected", errno);
    after();
    printf("before %lld\nafter %lld\n", middle - start, thread_cpu_ns() - middle);
    return 0;
}

static sigset_t all;
static int sent;
static volatile sig_atomic_t handled;
static pthread_barrier_t ready;

static void handler(int number)
{
    handled = number;
}

static void *wait_for_signal(void *result)
{
    pthread_barrier_wait(&ready);
    sigwait(&all, result);
    return NULL;
}

static void *let_through(void *result)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, sent);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    pthread_barrier_wait(&ready);
    for (int i = 0; i < 1000 && !handled; i++)
        usleep(5000);
    *(int *)result = handled;
    return NULL;
}

static int to_process(void *(*receive)(void *))
{
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    signal(sent, handler);
    pthread_barrier_init(&ready, NULL, 2);
    pthread_t thread;
    int result = 0;
    pthread_create(&thread, NULL, receive, &result);
    pthread_barrier_wait(&ready);
    usleep(100000);
    union sigval value = {.sival_int = 42};
    sigqueue(getpid(), sent, value);
    for (int i = 0; i < 1000 && pthread_tryjoin_np(thread, NULL); i++)
        usleep(5000);
    return result == sent ? 0 : fail("received", result);
}

static int run(const char *kind, long number)
{
    sent = (int)number;
    if (!strcmp(kind, "forks"))
        return forks(number);
    if (!strcmp(kind, "lock"))
        return children(number, lock_in);
    if (!strcmp(kind, "execveat"))
        return children(number, become);
    if (!strcmp(kind, "raw"))
        return raw();
    if (!strcmp(kind, "range"))
        return range();
    if (!strcmp(kind, "ask") || !strcmp(kind, "close"))
        return ask_or_close(kind[0] == 'a');
    if (!strcmp(kind, "sigwait"))
        return to_process(wait_for_signal);
    if (!strcmp(kind, "handler"))
        return to_process(let_through);
    return misused("corners forks|lock|execveat|raw|range|ask|close|sigwait|handler [NUMBER]");
}

int main(int argc, char **argv)
{
    int status = run(argc > 1 ? argv[1] : "", argument(argc, argv, 2, 200));
    if (!status)
        puts("fine");
    return status;
}
