#include "capture/waits.h"

#include "capture/restart.h"
#include "capture/wait_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

const char *hone_wait_name(enum hone_wait wait)
{
    static const char *const names[HONE_WAITS] = {
        [HONE_WAIT_NONE] = "on-cpu",
        [HONE_WAIT_RUNNABLE] = "runnable",
        [HONE_WAIT_UNKNOWN] = "unknown",
        [HONE_WAIT_LOCK] = "lock",
        [HONE_WAIT_SLEEP] = "sleep",
        [HONE_WAIT_POLL] = "poll",
        [HONE_WAIT_PIPE] = "pipe",
        [HONE_WAIT_SOCKET] = "socket",
        [HONE_WAIT_TERMINAL] = "terminal",
        [HONE_WAIT_DISK] = "disk",
        [HONE_WAIT_IO] = "io",
        [HONE_WAIT_CHILD] = "child",
        [HONE_WAIT_SIGNAL] = "signal",
        [HONE_WAIT_PAGE_FAULT] = "page-fault",
        [HONE_WAIT_STOPPED] = "stopped",
        [HONE_WAIT_OTHER] = "other",
    };
    return wait < HONE_WAITS ? names[wait] : "unknown";
}

static bool number(const char **at, int base, uint64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoull(*at, &end, base);
    if (errno || end == *at)
        return false;
    *at = end;
    return true;
}

int hone_blocked_parse(const char *text, struct hone_blocked *ret)
{
    if (strncmp(text, "running", 7) == 0)
        return -EBUSY;
    struct hone_blocked blocked = {.call = -1};
    const char *at = text;
    bool in_call = *at != '-';
    uint64_t call = 0;
    if (in_call) {
        if (!number(&at, 10, &call))
            return -EBADMSG;
        blocked.call = (int64_t)call;
        for (int i = 0; i < 6; i++)
            if (!number(&at, 16, &blocked.arguments[i]))
                return -EBADMSG;
    } else {
        at += strcspn(at, " \n");
    }
    if (!number(&at, 16, &blocked.sp) || !number(&at, 16, &blocked.ip))
        return -EBADMSG;
    *ret = blocked;
    return 0;
}

// One file of a thread's in /proc. Returns its length, or -errno; -ESRCH when the thread is gone.
static ssize_t read_file(uint32_t pid, uint32_t tid, const char *name, char *ret, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/%s", pid, tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t len = read(fd, ret, size - 1);
    int r = len < 0 ? -errno : -ESRCH;
    (void)close(fd);
    if (len <= 0)
        return r;
    ret[len] = '\0';
    return len;
}

int hone_blocked_read(uint32_t pid, uint32_t tid, struct hone_blocked *ret)
{
    char text[256];
    ssize_t len = read_file(pid, tid, "syscall", text, sizeof text);
    int r = len < 0 ? (int)len : hone_blocked_parse(text, ret);
    if (!r)
        hone_restart_ask(pid, tid, ret);
    return r;
}

char hone_blocked_state(uint32_t pid, uint32_t tid)
{
    char text[128];
    const char *behind_name =
        read_file(pid, tid, "stat", text, sizeof text) > 0 ? strrchr(text, ')') : NULL;
    return behind_name && behind_name[1] == ' ' ? behind_name[2] : 0;
}

uint64_t hone_blocked_turns(uint32_t pid, uint32_t tid)
{
    char text[128];
    unsigned long long turns;
    return read_file(pid, tid, "schedstat", text, sizeof text) > 0 &&
                   sscanf(text, "%*u %*u %llu", &turns) == 1
               ? turns
               : UINT64_MAX;
}

// --- what it waits for ---------------------------------------------------------------------------

// What the descriptor is open on. `call` tells which way a file is used.
static enum hone_wait_kind kind_of_file(uint32_t pid, uint64_t descriptor, int64_t call)
{
    char path[64], target[64];
    (void)snprintf(path, sizeof path, "/proc/%u/fd/%u", pid, (uint32_t)descriptor);
    ssize_t len = readlink(path, target, sizeof target - 1);
    if (len < 0)
        return HONE_KIND_IO;
    target[len] = '\0';
    bool writes = call == SYS_write || call == SYS_writev || call == SYS_pwrite64 ||
                  call == SYS_pwritev || call == SYS_pwritev2;
    bool reads = call == SYS_read || call == SYS_readv || call == SYS_pread64 ||
                 call == SYS_preadv || call == SYS_preadv2;
    if (strncmp(target, "pipe:", 5) == 0)
        return HONE_KIND_PIPE;
    if (strncmp(target, "socket:", 7) == 0)
        return writes ? HONE_KIND_SEND : reads ? HONE_KIND_RECEIVE : HONE_KIND_SOCKET;
    if (strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0 ||
        strcmp(target, "/dev/console") == 0)
        return HONE_KIND_TERMINAL;
    if (strcmp(target, "anon_inode:[eventfd]") == 0)
        return HONE_KIND_EVENTFD;
    if (strcmp(target, "anon_inode:[timerfd]") == 0)
        return HONE_KIND_TIMERFD;
    if (strncmp(target, "anon_inode:", 11) == 0 || strncmp(target, "/dev/", 5) == 0)
        return HONE_KIND_IO;
    if (target[0] != '/')
        return HONE_KIND_IO;
    return writes ? HONE_KIND_FILE_WRITE : reads ? HONE_KIND_FILE_READ : HONE_KIND_DISK;
}

enum { ABOUT_FILE = HONE_WAIT_KINDS }; // it depends on what the first argument is open on

// Calls that wait, as far as this machine has them. Kinds of waiting that a call's name tells.
static int kind_of_call(int64_t call)
{
    switch (call) {
    case SYS_futex:
#ifdef SYS_futex_wait
    case SYS_futex_wait:
#endif
#ifdef SYS_futex_waitv
    case SYS_futex_waitv:
#endif
        return HONE_KIND_FUTEX;
    case SYS_flock:
        return HONE_KIND_FILE_LOCK;
    case SYS_semop:
    case SYS_semtimedop:
        return HONE_KIND_IPC_SEMAPHORE;
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
        return HONE_KIND_SLEEP;
#ifdef SYS_poll
    case SYS_poll:
        return HONE_KIND_POLL;
    case SYS_select:
        return HONE_KIND_SELECT;
    case SYS_epoll_wait:
        return HONE_KIND_EPOLL;
#endif
    case SYS_ppoll:
        return HONE_KIND_POLL;
    case SYS_pselect6:
        return HONE_KIND_SELECT;
    case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
#endif
        return HONE_KIND_EPOLL;
    case SYS_read:
    case SYS_write:
    case SYS_readv:
    case SYS_writev:
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_preadv:
    case SYS_pwritev:
    case SYS_preadv2:
    case SYS_pwritev2:
    case SYS_ioctl:
    case SYS_splice:
    case SYS_tee:
    case SYS_vmsplice:
    case SYS_close:
        return ABOUT_FILE;
    case SYS_connect:
        return HONE_KIND_CONNECT;
    case SYS_accept:
    case SYS_accept4:
        return HONE_KIND_ACCEPT;
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
        return HONE_KIND_SEND;
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
        return HONE_KIND_RECEIVE;
    case SYS_shutdown:
        return HONE_KIND_SOCKET;
    case SYS_wait4:
    case SYS_waitid:
        return HONE_KIND_CHILD;
#ifdef SYS_vfork
    case SYS_vfork:
#endif
    case SYS_clone: // with CLONE_VFORK
#ifdef SYS_clone3
    case SYS_clone3:
#endif
        return HONE_KIND_VFORK;
#ifdef SYS_pause
    case SYS_pause:
#endif
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
        return HONE_KIND_SIGNAL;
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_sync:
    case SYS_syncfs:
    case SYS_sync_file_range:
    case SYS_msync:
        return HONE_KIND_FILE_SYNC;
#ifdef SYS_open
    case SYS_open:
    case SYS_stat:
    case SYS_lstat:
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_rename:
    case SYS_unlink:
    case SYS_readlink:
    case SYS_access:
    case SYS_getdents:
#endif
#ifdef SYS_newfstatat
    case SYS_newfstatat:
#endif
    case SYS_openat:
#ifdef SYS_openat2
    case SYS_openat2:
#endif
    case SYS_statx:
    case SYS_fallocate:
    case SYS_ftruncate:
    case SYS_truncate:
    case SYS_getdents64:
    case SYS_unlinkat:
    case SYS_mkdirat:
    case SYS_renameat2:
    case SYS_readlinkat:
    case SYS_faccessat:
    case SYS_copy_file_range:
    case SYS_execve:
    case SYS_execveat:
        return HONE_KIND_DISK;
    case SYS_sendfile: // from a file, which is read
        return HONE_KIND_FILE_READ;
    case SYS_io_getevents:
        return HONE_KIND_AIO;
#ifdef SYS_io_uring_enter
    case SYS_io_uring_enter:
        return HONE_KIND_IO_URING;
#endif
    case SYS_mq_timedreceive:
    case SYS_mq_timedsend:
    case SYS_msgrcv:
    case SYS_msgsnd:
        return HONE_KIND_QUEUE;
    default:
        return HONE_KIND_OTHER;
    }
}

enum hone_wait_kind hone_blocked_kind(uint32_t pid, const struct hone_blocked *blocked)
{
    if (blocked->stopped)
        return HONE_KIND_STOPPED;
    if (blocked->call < 0)
        return HONE_KIND_PAGE_FAULT;
    if (blocked->call == SYS_fcntl)
        return blocked->arguments[1] == F_SETLKW || blocked->arguments[1] == F_OFD_SETLKW
                   ? HONE_KIND_FILE_LOCK
                   : HONE_KIND_DISK;
        // poll() of nothing is how some programs sleep.
#ifdef SYS_poll
    if ((blocked->call == SYS_poll && !blocked->arguments[1]) ||
        (blocked->call == SYS_select && !blocked->arguments[0]))
        return HONE_KIND_SLEEP;
#endif
    if ((blocked->call == SYS_ppoll && !blocked->arguments[1]) ||
        (blocked->call == SYS_pselect6 && !blocked->arguments[0]))
        return HONE_KIND_SLEEP;
    int kind = kind_of_call(blocked->call);
    return kind == ABOUT_FILE ? kind_of_file(pid, blocked->arguments[0], blocked->call)
                              : (enum hone_wait_kind)kind;
}

enum hone_wait hone_blocked_wait(uint32_t pid, const struct hone_blocked *blocked)
{
    return hone_wait_of_kind(hone_blocked_kind(pid, blocked));
}
