// order_odd HOW: two threads, one after the other, that take two locks.
//
//   tried    one has tried for first, takes second, and first again: it has that already
//   (recursive) sandbox  both orders, in a sandbox: there nobody can see them
//
// Prints `done`.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define OWN_NAME __attribute__((noinline, noclone))

static pthread_mutex_t first, second;

OWN_NAME static void *tried_then_second(void *unused)
{
    (void)pthread_mutex_trylock(&first);
    (void)pthread_mutex_lock(&second);
    (void)pthread_mutex_lock(&first);
    (void)pthread_mutex_unlock(&first);
    (void)pthread_mutex_unlock(&second);
    (void)pthread_mutex_unlock(&first);
    return unused;
}

OWN_NAME static void *first_then_second(void *unused)
{
    (void)pthread_mutex_lock(&first);
    (void)pthread_mutex_lock(&second);
    (void)pthread_mutex_unlock(&second);
    (void)pthread_mutex_unlock(&first);
    return unused;
}

OWN_NAME static void *second_then_first(void *unused)
{
    (void)pthread_mutex_lock(&second);
    (void)pthread_mutex_lock(&first);
    (void)pthread_mutex_unlock(&first);
    (void)pthread_mutex_unlock(&second);
    return unused;
}

static int run(void *(*routine)(void *))
{
    pthread_t thread;
    return pthread_create(&thread, NULL, routine, NULL) || pthread_join(thread, NULL);
}

static int lock_in(void)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {1, allow};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int argc, char **argv)
{
    int tried = argc > 1 && strcmp(argv[1], "tried") == 0;
    pthread_mutexattr_t recursive;
    (void)pthread_mutexattr_init(&recursive);
    (void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    if (pthread_mutex_init(&first, &recursive) || pthread_mutex_init(&second, NULL))
        return 9;
    if (!tried && lock_in())
        return 8;
    if (run(tried ? tried_then_second : second_then_first) || run(first_then_second))
        return 7;
    (void)puts("done");
    return 0;
}
