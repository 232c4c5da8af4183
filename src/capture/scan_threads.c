#include "capture/scan_threads.h"

#include "base/array.h"
#include "capture/dump_parts.h"
#include "capture/living.h"
#include "capture/waits.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ROUNDS = 64,          // of looking for threads that began meanwhile
    LOOK_NS = 200 * 1000, // between two looks at one that does not stop yet
};

// Calls that return EINTR when their thread was stopped and goes on, see signal(7), unless they are
// begun anew; those of sockets with a time limit do so, too.
static bool ends_early(int64_t call)
{
    static const int64_t calls[] = {
#ifdef SYS_epoll_wait
        SYS_epoll_wait,
#endif
        SYS_epoll_pwait, SYS_epoll_pwait2, SYS_rt_sigtimedwait, SYS_semtimedop,     SYS_semop,
        SYS_msgrcv,      SYS_msgsnd,       SYS_io_getevents,    SYS_io_uring_enter,
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i] == call)
            return true;
    return false;
}

static bool is_known(const struct hone_scan_threads *threads, pid_t tid)
{
    for (uint32_t i = 0; i < threads->count; i++)
        if (threads->at[i].tid == tid)
            return true;
    return false;
}

// Waits until the thread stands, and learns of a signal that it was about to get. Of the first
// thread we may be the parent: its end is not for us to take.
static int wait_for_stop(struct hone_scan_thread *thread, pid_t pid, uint64_t until_ns)
{
    const struct timespec look = {.tv_nsec = LOOK_NS};
    int ends = thread->tid == pid ? 0 : WEXITED;
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)thread->tid, &info, WSTOPPED | ends | WNOHANG | __WALL))
            return errno == ECHILD ? -ESRCH : -errno;
        if (info.si_pid && (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED)) {
            if (info.si_status >> 8 != PTRACE_EVENT_STOP)
                thread->signal = info.si_status & 0xff;
            return 0;
        }
        if (info.si_pid || hone_thread_has_ended(pid, thread->tid))
            return -ESRCH;
        if (hone_now_ns() > until_ns)
            return -ETIME;
        (void)nanosleep(&look, NULL);
    }
}

int hone_scan_stop_thread(struct hone_scan_thread *thread, pid_t pid, uint64_t until_ns)
{
    if (ptrace(PTRACE_SEIZE, thread->tid, 0, 0))
        return hone_thread_has_ended(pid, thread->tid) ? -ESRCH : -errno;
    thread->stopped = true;
    if (ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0))
        return -errno;
    return wait_for_stop(thread, pid, until_ns);
}

void hone_scan_let_go(const struct hone_scan_thread *thread, pid_t pid)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr): so ptrace() takes a signal
    if (!thread->stopped || !ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(long)thread->signal))
        return;
    // One that has ended waits for us to take note; the first thread is its parent's.
    siginfo_t info;
    if (thread->tid != pid)
        (void)waitid(P_PID, (id_t)thread->tid, &info, WEXITED | WNOHANG | __WALL);
}

// Returns 0; -ESRCH: it has ended meanwhile; or why it cannot be stopped.
static int stop_one(struct hone_scan_threads *threads, pid_t tid, uint64_t until_ns)
{
    struct hone_blocked blocked;
    if (!hone_array_reserve(&threads->at, &threads->room, (uint64_t)threads->count + 1,
                            sizeof *threads->at))
        return -ENOMEM;
    struct hone_scan_thread thread = {.tid = tid};
    struct hone_registers registers;
    if (!hone_dump_can_stop &&
        hone_blocked_read((uint32_t)threads->pid, (uint32_t)tid, &blocked) == 0 &&
        (ends_early(blocked.call) ||
         hone_blocked_wait((uint32_t)threads->pid, &blocked) == HONE_WAIT_SOCKET)) {
        thread.sp = blocked.sp;
        thread.call = blocked.call;
        _Static_assert(sizeof blocked.arguments <= sizeof thread.words, "they have room");
        memcpy(thread.words, blocked.arguments, sizeof blocked.arguments);
        thread.word_count = sizeof blocked.arguments / sizeof blocked.arguments[0];
        threads->left++;
        threads->at[threads->count++] = thread;
        return 0;
    }
    struct hone_scan_thread *kept = &threads->at[threads->count];
    *kept = thread;
    int r = hone_scan_stop_thread(kept, threads->pid, until_ns);
    if (!kept->stopped)
        return r;
    threads->count++;
    if (!r)
        r = hone_scan_registers(kept);
    // Which has a call that the stop has ended begin anew, with all of its time limit: a program
    // that ends does not notice.
    if (!r && hone_dump_can_stop)
        r = hone_dump_registers(tid, &registers);
    if (r == -ESRCH) // its end
        kept->sp = 0;
    return r == -ESRCH ? 0 : r;
}

// Returns how many threads were not known yet, or a negative errno.
static int stop_new(struct hone_scan_threads *threads, uint64_t until_ns)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)threads->pid);
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? -ESRCH : -errno;
    int found = 0, r = 0;
    for (struct dirent *entry; !r && (entry = readdir(folder));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid <= 0 || is_known(threads, tid) || hone_thread_has_ended(threads->pid, tid))
            continue;
        found++;
        r = stop_one(threads, tid, until_ns);
        r = r == -ESRCH ? 0 : r;
    }
    (void)closedir(folder);
    return r ? r : found;
}

int hone_scan_stop(pid_t pid, uint64_t until_ns, struct hone_scan_threads *ret)
{
    *ret = (struct hone_scan_threads){.pid = pid};
    int found = 1;
    for (int round = 0; found > 0 && round < ROUNDS; round++)
        found = stop_new(ret, until_ns);
    return found > 0 ? -ETIME : found;
}

bool hone_scan_stood(const struct hone_scan_threads *threads)
{
    for (uint32_t i = 0; i < threads->count; i++) {
        const struct hone_scan_thread *thread = &threads->at[i];
        struct hone_blocked blocked;
        if (!thread->stopped &&
            (hone_blocked_read((uint32_t)threads->pid, (uint32_t)thread->tid, &blocked) ||
             blocked.call != thread->call || blocked.sp != thread->sp))
            return false;
    }
    return true;
}

void hone_scan_resume(struct hone_scan_threads *threads)
{
    for (uint32_t i = 0; i < threads->count; i++)
        hone_scan_let_go(&threads->at[i], threads->pid);
    free(threads->at);
    *threads = (struct hone_scan_threads){0};
}
