#include "core/clock.h"
#include "core/hash.h"
#include "core/kernel.h"
#include "core/syscall.h"

#include "check.h"

#include <errno.h>
#include <unistd.h>

TEST(system_call_returns_the_kernels_answer)
{
    CHECK_EQ(hone_syscall0(SYS_getpid), getpid());
}

TEST(system_call_reports_failure_without_errno)
{
    errno = 0;
    CHECK_EQ(hone_syscall1(SYS_close, -1), -EBADF);
    CHECK_EQ(errno, 0);
}

TEST(thread_cpu_clock_advances_with_work)
{
    uint64_t before = hone_thread_cpu_ns();
    while (hone_thread_cpu_ns() - before < 1000000)
        ;
    CHECK(hone_now_ns() > 0);
}

TEST(hash_tells_order_length_and_seed_apart)
{
    uint64_t a[3] = {1, 2, 0}, b[3] = {2, 1, 0};
    CHECK(hone_hash_words(a, 2, 0) != hone_hash_words(b, 2, 0));
    CHECK(hone_hash_words(a, 2, 0) != hone_hash_words(a, 3, 0));
    CHECK(hone_hash_words(a, 2, 0) != hone_hash_words(a, 2, 1));
}

TEST(releases_of_kernels_are_told_apart)
{
    CHECK(hone_release_is_from("5.19.0", 5, 19));
    CHECK(hone_release_is_from("6.1.0-13-amd64", 5, 19));
    CHECK(hone_release_is_from("5.100-rc1", 5, 19));
    CHECK(hone_release_is_from("10.0", 5, 19));
    CHECK(!hone_release_is_from("5.15.0-91-generic", 5, 19));
    CHECK(!hone_release_is_from("5.2", 5, 19));
    CHECK(!hone_release_is_from("4.19.5", 5, 19));
    CHECK(!hone_release_is_from("", 5, 19));
}
