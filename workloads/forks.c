// forks KIND [MILLISECONDS]: one child of each kind that uses CPU time in `child_work`, while the
// parent uses a third as much in `parent_work`.
//
// fork, vfork (then exec), clone, spawn (posix_spawn), daemon (double fork; the parent does not
// wait for the grandchild, which says that it is done through a pipe), thread (fork from a second
// thread)
//
// forks storm HOW NUMBER: NUMBER children in a row that do nothing, HOW is fork, vfork, clone,
// spawn. forks chain NUMBER: replaces itself by exec NUMBER times.
//
// Right answer: lines `child_work NANOSECONDS` and `parent_work NANOSECONDS`; storm and chain print
// `done NUMBER`. Each child ends with status 0: none dies of a profiler's signal.
#include "burn.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static long long work_ns;

OWN_NAME static void child_work(void)
{
    burn_ns(work_ns);
}

OWN_NAME static void parent_work(void)
{
    burn_ns(work_ns / 3);
}

static void say(const char *name, long long ns)
{
    char line[80];
    int length = snprintf(line, sizeof line, "%s %lld\n", name, ns);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(1);
}

static _Noreturn void be_child(void)
{
    long long before = thread_cpu_ns();
    child_work();
    say("child_work", thread_cpu_ns() - before);
    _exit(0);
}

static void be_parent(void)
{
    long long before = thread_cpu_ns();
    parent_work();
    say("parent_work", thread_cpu_ns() - before);
}

// Ends the program when a child did not end well: that is what the tests look for.
static void wait_for(pid_t child)
{
    int status;
    pid_t waited;
    while ((waited = waitpid(child, &status, 0)) < 0 && errno == EINTR)
        continue;
    if (waited != child || status != 0) {
        fprintf(stderr, "forks: child %d ended with wait status 0x%x\n", (int)child, status);
        exit(1);
    }
}

static pid_t start_again(bool by_spawn, char **argv)
{
    pid_t child = -1;
    if (by_spawn) {
        if (posix_spawn(&child, argv[0], NULL, NULL, argv, environ))
            return -1;
    } else {
        child = vfork();
        if (child == 0) {
            execv(argv[0], argv);
            _exit(127);
        }
    }
    return child;
}

static void *fork_here(void *ret)
{
    *(pid_t *)ret = fork();
    if (*(pid_t *)ret == 0)
        be_child();
    return NULL;
}

static pid_t fork_from_thread(void)
{
    pid_t child = -1;
    pthread_t thread;
    pthread_create(&thread, NULL, fork_here, &child);
    pthread_join(thread, NULL);
    return child;
}

// The grandchild belongs to init when it works; the pipe tells when it has ended.
static int daemonise(void)
{
    int ends[2];
    if (pipe(ends))
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        setsid();
        if (fork() == 0)
            be_child();
        _exit(0);
    }
    close(ends[1]);
    wait_for(child);
    return ends[0];
}

static int do_nothing(void *unused)
{
    (void)unused;
    return 0;
}

static int cloned(void *unused)
{
    (void)unused;
    be_child();
}

// The flags that programs of sandboxes and containers give: none of them shares memory.
OWN_NAME static pid_t start_cloned(void)
{
    static _Alignas(16) char stack[1 << 20];
    static pid_t told;
    return clone(cloned, stack + sizeof stack, CLONE_FS | CLONE_PARENT_SETTID | SIGCHLD, NULL,
                 &told);
}

// By a function of its own for each child: what vfork shares with the parent ends with the call.
OWN_NAME static pid_t start_idle(const char *how)
{
    static _Alignas(16) char stack[65536];
    char *const nothing[] = {"/bin/true", NULL};
    pid_t child = -1;
    if (!strcmp(how, "fork")) {
        child = fork();
        if (child == 0)
            _exit(0);
    } else if (!strcmp(how, "vfork")) {
        child = vfork();
        if (child == 0)
            _exit(0);
    } else if (!strcmp(how, "clone")) {
        child = clone(do_nothing, stack + sizeof stack, SIGCHLD, NULL);
    } else if (!strcmp(how, "spawn")) {
        if (posix_spawn(&child, nothing[0], NULL, NULL, nothing, environ))
            child = -1;
    }
    return child;
}

static int storm(const char *how, long number)
{
    for (long i = 0; i < number; i++) {
        pid_t child = start_idle(how);
        if (child < 0)
            return misused("forks storm fork|vfork|clone|spawn NUMBER");
        wait_for(child);
    }
    printf("done %ld\n", number);
    return 0;
}

static int chain(long number, long done, char *program)
{
    if (done == number) {
        printf("done %ld\n", number);
        return 0;
    }
    // Some work, so that signals are on their way when the program is replaced.
    burn_ns(MS / 2);
    char total[32], count[32];
    snprintf(total, sizeof total, "%ld", number);
    snprintf(count, sizeof count, "%ld", done + 1);
    execl(program, program, "chain", total, count, (char *)NULL);
    perror("forks: cannot exec");
    return 1;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    if (!strcmp(kind, "storm"))
        return storm(argc > 2 ? argv[2] : "", (long)argument(argc, argv, 3, 100));
    if (!strcmp(kind, "chain"))
        return chain((long)argument(argc, argv, 2, 100), (long)argument(argc, argv, 3, 0), argv[0]);

    work_ns = argument(argc, argv, 2, 600) * MS;
    if (!strcmp(kind, "child"))
        be_child();

    char time[32];
    snprintf(time, sizeof time, "%lld", work_ns / MS);
    char *again[] = {argv[0], "child", time, NULL};
    pid_t child = -1;
    int grandchild_ends = -1;

    if (!strcmp(kind, "fork")) {
        child = fork();
        if (child == 0)
            be_child();
    } else if (!strcmp(kind, "vfork")) {
        child = start_again(false, again);
    } else if (!strcmp(kind, "clone")) {
        child = start_cloned();
    } else if (!strcmp(kind, "spawn")) {
        child = start_again(true, again);
    } else if (!strcmp(kind, "thread")) {
        child = fork_from_thread();
    } else if (!strcmp(kind, "daemon")) {
        grandchild_ends = daemonise();
    } else {
        return misused("forks fork|vfork|clone|spawn|daemon|thread [MILLISECONDS]");
    }

    be_parent();
    if (grandchild_ends >= 0) {
        char byte;
        while (read(grandchild_ends, &byte, 1) < 0 && errno == EINTR)
            continue;
        return 0;
    }
    wait_for(child);
    return 0;
}
