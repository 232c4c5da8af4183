#include "capture/waits.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TEST(place_of_a_blocked_thread_is_read_from_the_kernel_s_line)
{
    struct hone_blocked blocked;
    CHECK_EQ(hone_blocked_parse(
                 "7 0x7ffc 0x1 0xffffffff 0x8 0x0 0x5 0x7ffd0ac6f958 0x7f1ac5f932ad\n", &blocked),
             0);
    CHECK_EQ(blocked.call, 7);
    CHECK_EQ(blocked.arguments[0], 0x7ffc);
    CHECK_EQ(blocked.arguments[2], 0xffffffff);
    CHECK_EQ(blocked.arguments[5], 5);
    CHECK_EQ(blocked.sp, 0x7ffd0ac6f958);
    CHECK_EQ(blocked.ip, 0x7f1ac5f932ad);
}

TEST(blocked_outside_of_a_system_call_has_a_place_too)
{
    struct hone_blocked blocked;
    CHECK_EQ(hone_blocked_parse("-1 0x7ffd0ac6f958 0x7f1ac5f932ad\n", &blocked), 0);
    CHECK_EQ(blocked.call, -1);
    CHECK_EQ(blocked.sp, 0x7ffd0ac6f958);
    CHECK_EQ(hone_blocked_wait((uint32_t)getpid(), &blocked), HONE_WAIT_PAGE_FAULT);
}

TEST(who_runs_is_not_blocked_and_nonsense_is_refused)
{
    struct hone_blocked blocked;
    CHECK_EQ(hone_blocked_parse("running\n", &blocked), -EBUSY);
    CHECK_EQ(hone_blocked_parse("", &blocked), -EBADMSG);
    CHECK_EQ(hone_blocked_parse("7 0x1 0x2\n", &blocked), -EBADMSG);
    CHECK_EQ(hone_blocked_parse("-1 0x1\n", &blocked), -EBADMSG);
    CHECK_EQ(hone_blocked_read(0x7fffffff, 0x7fffffff, &blocked), -ESRCH);
}

static enum hone_wait wait_in(int64_t call, uint64_t first, uint64_t second)
{
    const struct hone_blocked blocked = {.call = call, .arguments = {first, second}};
    return hone_blocked_wait((uint32_t)getpid(), &blocked);
}

TEST(reading_waits_for_what_the_descriptor_is)
{
    int ends[2], sockets[2], event = eventfd(0, 0), file = open("/proc/self/exe", O_RDONLY);
    CHECK(event >= 0 && file >= 0);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    CHECK_EQ(wait_in(SYS_read, (uint64_t)ends[0], 0), HONE_WAIT_PIPE);
    CHECK_EQ(wait_in(SYS_write, (uint64_t)ends[1], 0), HONE_WAIT_PIPE);
    CHECK_EQ(wait_in(SYS_readv, (uint64_t)sockets[0], 0), HONE_WAIT_SOCKET);
    CHECK_EQ(wait_in(SYS_read, (uint64_t)event, 0), HONE_WAIT_IO);
    CHECK_EQ(wait_in(SYS_pread64, (uint64_t)file, 0), HONE_WAIT_DISK);
    CHECK_EQ(wait_in(SYS_read, 9999, 0), HONE_WAIT_IO); // nobody can say
}

TEST(calls_wait_for_what_their_names_say)
{
    CHECK_EQ(wait_in(SYS_futex, 0, 0), HONE_WAIT_LOCK);
    CHECK_EQ(wait_in(SYS_flock, 0, 0), HONE_WAIT_LOCK);
    CHECK_EQ(wait_in(SYS_fcntl, 0, F_SETLKW), HONE_WAIT_LOCK);
    CHECK_EQ(wait_in(SYS_fcntl, 0, F_GETFL), HONE_WAIT_DISK);
    CHECK_EQ(wait_in(SYS_clock_nanosleep, 0, 0), HONE_WAIT_SLEEP);
    CHECK_EQ(wait_in(SYS_ppoll, 1, 3), HONE_WAIT_POLL);
    CHECK_EQ(wait_in(SYS_ppoll, 0, 0), HONE_WAIT_SLEEP); // of nothing: for time to pass
    CHECK_EQ(wait_in(SYS_pselect6, 0, 0), HONE_WAIT_SLEEP);
    CHECK_EQ(wait_in(SYS_pselect6, 4, 0), HONE_WAIT_POLL);
    CHECK_EQ(wait_in(SYS_wait4, 0, 0), HONE_WAIT_CHILD);
    CHECK_EQ(wait_in(SYS_accept4, 0, 0), HONE_WAIT_SOCKET);
    CHECK_EQ(wait_in(SYS_rt_sigsuspend, 0, 0), HONE_WAIT_SIGNAL);
    CHECK_EQ(wait_in(SYS_fsync, 0, 0), HONE_WAIT_DISK);
    CHECK_EQ(wait_in(SYS_getpid, 0, 0), HONE_WAIT_OTHER);
}

TEST(each_state_has_a_name_of_its_own)
{
    for (int wait = 0; wait < HONE_WAITS; wait++)
        for (int other = 0; other < wait; other++)
            CHECK(strcmp(hone_wait_name((enum hone_wait)wait),
                         hone_wait_name((enum hone_wait)other)) != 0);
}

TEST(child_that_sleeps_is_found_where_it_sleeps)
{
    pid_t child = fork();
    if (child == 0) {
        struct timespec rest = {60, 0};
        (void)nanosleep(&rest, NULL);
        _exit(0);
    }
    struct hone_blocked blocked = {0};
    int r = -EBUSY;
    for (int turn = 0; turn < 2000 && (r == -EBUSY || blocked.call < 0); turn++) {
        (void)usleep(1000);
        r = hone_blocked_read((uint32_t)child, (uint32_t)child, &blocked);
    }
    enum hone_wait wait = hone_blocked_wait((uint32_t)child, &blocked);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    CHECK_EQ(r, 0);
    CHECK_EQ(wait, HONE_WAIT_SLEEP);
    CHECK(blocked.sp && blocked.ip);
}
