// The functions that our hooks stand in front of. Found once, at the first call of any hook, which
// may come before our own start: libraries' constructors call them too.
#ifndef HONE_PROBE_REAL_H
#define HONE_PROBE_REAL_H

#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <threads.h>
#include <time.h>

struct hone_real {
    int (*sigaction)(int, const struct sigaction *, struct sigaction *);
    void (*(*signal)(int, void (*)(int)))(int);
    void (*(*bsd_signal)(int, void (*)(int)))(int);
    void (*(*ssignal)(int, void (*)(int)))(int);
    void (*(*sysv_signal)(int, void (*)(int)))(int);
    void (*(*own_sysv_signal)(int, void (*)(int)))(int); // __sysv_signal()
    int (*siginterrupt)(int, int);
    void (*(*sigset)(int, void (*)(int)))(int);
    int (*sigignore)(int);
    int (*sighold)(int);
    int (*sigrelse)(int);
    int (*sigaltstack)(const stack_t *, stack_t *);
    int (*raise)(int);
    int (*sigprocmask)(int, const sigset_t *, sigset_t *);
    int (*sigpending)(sigset_t *);
    int (*pthread_sigmask)(int, const sigset_t *, sigset_t *);
    int (*sigtimedwait)(const sigset_t *, siginfo_t *, const struct timespec *);
    int (*signalfd)(int, const sigset_t *, int);
    long (*ptrace)(int, ...);
    int (*sigsuspend)(const sigset_t *);
    int (*ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
    int (*pselect)(int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *);
    int (*epoll_pwait)(int, struct epoll_event *, int, int, const sigset_t *);
    int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int (*pthread_attr_getsigmask_np)(const pthread_attr_t *, sigset_t *); // glibc 2.32 and later
    int (*thrd_create)(thrd_t *, thrd_start_t, void *);
    int (*timer_create)(clockid_t, const struct sigevent *, timer_t *);
    int (*mq_notify)(mqd_t, const struct sigevent *);
    void *(*dlopen)(const char *, int);
    int (*dlclose)(void *);
    int (*close)(int);
    int (*dup2)(int, int);
    int (*dup3)(int, int, int);
    void (*closefrom)(int);
    int (*clone)(int (*)(void *), void *, int, void *, ...);
    int (*execve)(const char *, char *const[], char *const[]);
    int (*execvpe)(const char *, char *const[], char *const[]);
    int (*fexecve)(int, char *const[], char *const[]);
    // glibc's name for what pthread_atfork() is elsewhere: there that is no part of the library.
    int (*register_atfork)(void (*)(void), void (*)(void), void (*)(void), void *);
    int (*pthread_atfork)(void (*)(void), void (*)(void), void (*)(void));
    int (*execveat)(int, const char *, char *const[], char *const[], int);
    int (*posix_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                       const posix_spawnattr_t *, char *const[], char *const[]);
    int (*posix_spawnp)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                        const posix_spawnattr_t *, char *const[], char *const[]);
};

// The same, for who puts what is to be called in the place of one. At start.
struct hone_real *hone_real_to_change(void);

// Never NULL; a function that libc does not have is NULL in it.
const struct hone_real *hone_real(void);

// Libraries differ in what some functions do. Asked at run time, for ours runs with either.
bool hone_real_is_glibc(void);

#endif
