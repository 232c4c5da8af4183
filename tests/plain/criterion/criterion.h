// A stand-in for Criterion's header where Criterion itself cannot run: under the thread sanitizer,
// which takes the addresses that Criterion's processes want for their shared memory. It knows as much
// as tests/check.h needs: each test runs in a forked process, which ends with status 1 at the first
// thing that is not so.
#ifndef HONE_TESTS_PLAIN_CRITERION_H
#define HONE_TESTS_PLAIN_CRITERION_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct plain_test {
    const char *suite;
    const char *name;
    int timeout; // seconds
    void (*run)(void);
    struct plain_test *next;
};

enum {
    PLAIN_SKIPPED = 77,
};

// Weak: the one list and the one main of an executable with tests in several files.
__attribute__((weak)) struct plain_test *plain_tests;

#define Test(suite_, name_, ...)                                                                   \
    static void plain_run_##name_(void);                                                           \
    static struct plain_test plain_test_##name_ = {                                                \
        .suite = #suite_, .name = #name_, .run = plain_run_##name_, __VA_ARGS__};                  \
    __attribute__((constructor)) static void plain_register_##name_(void)                          \
    {                                                                                              \
        plain_test_##name_.next = plain_tests;                                                     \
        plain_tests = &plain_test_##name_;                                                         \
    }                                                                                              \
    static void plain_run_##name_(void)

#define cr_assert(condition, ...)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                  \
            (void)fprintf(stderr, "" __VA_ARGS__);                                                 \
            (void)fputc('\n', stderr);                                                             \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define cr_assert_fail(...) cr_assert(false, __VA_ARGS__)
#define cr_skip_test(...)                                                                          \
    do {                                                                                           \
        (void)fprintf(stderr, "[SKIP] " __VA_ARGS__);                                              \
        _exit(PLAIN_SKIPPED);                                                                      \
    } while (0)

__attribute__((weak)) int main(void)
{
    int tested = 0, passed = 0;
    for (struct plain_test *test = plain_tests; test; test = test->next, tested++) {
        pid_t child = fork();
        if (child == 0) {
            (void)alarm((unsigned)test->timeout);
            test->run();
            exit(0); // with the sanitizer's last words
        }
        int status = 1;
        bool ended = child > 0 && waitpid(child, &status, 0) == child;
        if (ended && WIFEXITED(status) && WEXITSTATUS(status) == PLAIN_SKIPPED) {
            tested--;
            continue;
        }
        bool good = ended && status == 0;
        passed += good;
        if (!good)
            (void)fprintf(stderr, "[FAIL] %s::%s: wait status %d\n", test->suite, test->name, status);
    }
    (void)fprintf(stderr, "Synthesis: Tested: %d | Passing: %d\n", tested, passed);
    return passed == tested ? 0 : 1;
}

#endif
