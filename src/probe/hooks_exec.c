// exec: a perf event must not fire between here and the new program, which has no handler for it.
// So sampling pauses, and goes on when the exec fails. In a vfork child, which borrows our memory,
// nothing is paused: it has no event of its own, and the parent's must go on.
//
// (Its loader would also complain of a libhone.so that it cannot reach, so then it is not named.)
//
// The program's path is written down, so that the reader can tell that a process became something
// that cannot be profiled (a static program) instead of having gone silent.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/clock.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static void write_exec(const char *path)
{
    size_t len = strnlen(path, HONE_PROCESS_PATH - 1);
    struct hone_record_exec *record =
        hone_writer_claim(&hone_probe.writer, sizeof *record + len + 1);
    if (!record)
        return;
    record->time_ns = hone_now_ns();
    memcpy(record->path, path, len);
    record->path[len] = '\0';
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_EXEC);
}

static bool before_exec(const char *path)
{
    hone_signal_at_exec(true); // a vfork child has signal handlers of its own
    if (!hone_is_our_process())
        return false;
    if (hone_probe.engine && hone_probe.engine->pause)
        hone_probe.engine->pause(true);
    write_exec(path);
    hone_process_leave(HONE_PROCESS_EXECED);
    return true;
}

// Returns what exec returned, with its errno.
static int after_exec(bool paused, int result)
{
    int saved = errno;
    hone_signal_at_exec(false);
    if (!paused) {
        errno = saved;
        return result;
    }
    struct hone_process *process = hone_probe.writer.process;
    atomic_store_explicit(&process->ended_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&process->state, HONE_PROCESS_RUNNING, memory_order_release);
    if (hone_probe.engine && hone_probe.engine->pause)
        hone_probe.engine->pause(false);
    errno = saved;
    return result;
}

// Where our library cannot be found any more (in another root, as another user), the loader would
// complain of it on the new program's stderr: then it goes without us. The first preload is ours.
static bool library_is_lost(const char *preload)
{
    char path[HONE_PROCESS_PATH];
    size_t len = strcspn(preload, ": ");
    if (len >= sizeof path || len < sizeof "/libhone.so" - 1 ||
        memcmp(preload + len - (sizeof "/libhone.so" - 1), "/libhone.so",
               sizeof "/libhone.so" - 1) != 0)
        return false;
    memcpy(path, preload, len);
    path[len] = '\0';
    return hone_syscall3(SYS_faccessat, AT_FDCWD, path, R_OK) < 0;
}

enum { PRELOAD_NAME = sizeof "LD_PRELOAD=" - 1 };

// The place in the environment of a preload list that begins with a lost library; -1: none.
static long find_lost(char *const envp[])
{
    if (!hone_probe.writer.process || !envp)
        return -1;
    for (long i = 0; envp[i]; i++)
        if (strncmp(envp[i], "LD_PRELOAD=", PRELOAD_NAME) == 0)
            return library_is_lost(envp[i] + PRELOAD_NAME) ? i : -1;
    return -1;
}

// A copy of the environment without it, in room of the caller's: as many words, and the text.
static char *const *without_lost(char *const envp[], long lost, char **words, char *text)
{
    const char *list = envp[lost] + PRELOAD_NAME;
    const char *rest = list + strcspn(list, ": ");
    rest += strspn(rest, ": ");
    long to = 0;
    for (long i = 0; envp[i]; i++) {
        if (i != lost) {
            words[to++] = envp[i];
        } else if (*rest) { // the name, and what stands behind us
            memcpy(text, envp[lost], PRELOAD_NAME);
            memcpy(text + PRELOAD_NAME, rest, strlen(rest) + 1);
            words[to++] = text;
        }
    }
    words[to] = NULL;
    return words;
}

static size_t count_words(char *const envp[])
{
    size_t count = 0;
    while (envp[count])
        count++;
    return count;
}

// On the caller's stack, for this may run in a vfork child.
#define DROP_LOST_LIBRARY(envp)                                                                    \
    do {                                                                                           \
        long lost = find_lost(envp);                                                               \
        if (HONE_UNLIKELY(lost >= 0)) {                                                            \
            char **words = alloca((count_words(envp) + 1) * sizeof *words);                        \
            char *text = alloca(strlen((envp)[lost]) + 1);                                         \
            (envp) = without_lost(envp, lost, words, text);                                        \
        }                                                                                          \
    } while (0)

HONE_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    DROP_LOST_LIBRARY(envp);
    bool paused = before_exec(path);
    return after_exec(paused, hone_real()->execve(path, argv, envp));
}

HONE_EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

HONE_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    DROP_LOST_LIBRARY(envp);
    bool paused = before_exec(file);
    return after_exec(paused, hone_real()->execvpe(file, argv, envp));
}

HONE_EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

HONE_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    DROP_LOST_LIBRARY(envp);
    bool paused = before_exec("(a descriptor)");
    return after_exec(paused, hone_real()->fexecve(fd, argv, envp));
}

HONE_EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[],
                         int flags)
{
    DROP_LOST_LIBRARY(envp);
    bool paused = before_exec(path);
    return after_exec(paused, hone_real()->execveat(fd, path, argv, envp, flags));
}

// Counts the arguments up to NULL, itself included.
static size_t count_arguments(va_list arguments)
{
    size_t count = 2; // the first one, and NULL
    while (va_arg(arguments, const char *))
        count++;
    return count;
}

// The variable arguments as an array on the caller's stack: this may run in a vfork child, where
// nothing may be allocated.
#define COLLECT_ARGUMENTS(argv, first, arguments)                                                  \
    va_list counted;                                                                               \
    va_start(arguments, first);                                                                    \
    va_copy(counted, arguments);                                                                   \
    size_t count = count_arguments(counted);                                                       \
    va_end(counted);                                                                               \
    const char **argv = alloca(count * sizeof *argv);                                              \
    argv[0] = (first);                                                                             \
    for (size_t i = 1; i < count; i++)                                                             \
    argv[i] = va_arg(arguments, const char *)

HONE_EXPORT int execl(const char *path, const char *first, ...)
{
    va_list arguments;
    COLLECT_ARGUMENTS(argv, first, arguments);
    va_end(arguments);
    return execve(path, (char *const *)argv, environ);
}

HONE_EXPORT int execlp(const char *file, const char *first, ...)
{
    va_list arguments;
    COLLECT_ARGUMENTS(argv, first, arguments);
    va_end(arguments);
    return execvpe(file, (char *const *)argv, environ);
}

HONE_EXPORT int execle(const char *path, const char *first, ...)
{
    va_list arguments;
    COLLECT_ARGUMENTS(argv, first, arguments);
    char *const *envp = va_arg(arguments, char *const *);
    va_end(arguments);
    return execve(path, (char *const *)argv, envp);
}
