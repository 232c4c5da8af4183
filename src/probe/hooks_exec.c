// exec: a perf event must not fire between here and the new program, which has no handler for it.
// So sampling pauses, and goes on when the exec fails. In a vfork child, which borrows our memory,
// nothing is paused: it has no event of its own, and the parent's must go on.
//
// The new program shall load us, too: where a wrapper put another library in our place we go back
// in front, and where we could not be found any more we take ourselves off the list.
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
#include <stdlib.h>
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

// --- the preload list ----------------------------------------------------------------------------

enum { PRELOAD_NAME = sizeof "LD_PRELOAD=" - 1, SESSION_NAME = sizeof "HONE_SESSION=" - 1 };

static const char library_name[] = "/libhone.so";
static char own_library[HONE_PROCESS_PATH]; // as we were preloaded; empty: not known

// The first of a list, where that is ours.
static bool copy_own(const char *list, char path[HONE_PROCESS_PATH])
{
    size_t len = strcspn(list, ": "), name = sizeof library_name - 1;
    if (len >= HONE_PROCESS_PATH || len < name ||
        memcmp(list + len - name, library_name, name) != 0)
        return false;
    memcpy(path, list, len);
    path[len] = '\0';
    return true;
}

__attribute__((constructor)) static void remember_library(void)
{
    const char *list = secure_getenv("LD_PRELOAD");
    if (list)
        (void)copy_own(list, own_library);
}

static bool is_lost(const char *library)
{
    return hone_syscall3(SYS_faccessat, AT_FDCWD, library, R_OK) < 0;
}

// What becomes of the preload list at place `at` of an environment: ours in front if so, and
// `rest`.
struct preload {
    long at; // -1: it stays as it is
    bool ours;
    const char *rest;
};

// Where our library cannot be found any more (in another root, as another user), the loader would
// complain of it on the new program's stderr: then it goes without us. A wrapper that puts another
// library in our place (LD_PRELOAD=x program), but keeps the session, wanted that one to be there,
// not us to be gone: we go back in front. The first preload is ours.
static struct preload preload_of(char *const envp[])
{
    struct preload found = {.at = -1};
    if (!hone_probe.writer.process || !envp)
        return found;
    bool session = false;
    for (long i = 0; envp[i]; i++) {
        session |= strncmp(envp[i], "HONE_SESSION=", SESSION_NAME) == 0;
        if (found.at < 0 && strncmp(envp[i], "LD_PRELOAD=", PRELOAD_NAME) == 0)
            found.at = i;
    }
    if (found.at < 0)
        return found;
    char library[HONE_PROCESS_PATH];
    found.rest = envp[found.at] + PRELOAD_NAME;
    if (copy_own(found.rest, library)) {
        found.rest += strcspn(found.rest, ": ");
        found.rest += strspn(found.rest, ": ");
        if (!is_lost(library))
            found.at = -1;
    } else {
        found.ours = session && own_library[0] && found.rest[0] &&
                     !strstr(found.rest, library_name) && !is_lost(own_library);
        if (!found.ours)
            found.at = -1;
    }
    return found;
}

static char *append(char *to, const char *text)
{
    size_t len = strlen(text);
    memcpy(to, text, len + 1);
    return to + len;
}

// A copy of the environment with that, in room of the caller's: as many words, and the text.
static char *const *with_preload(char *const envp[], const struct preload *preload, char **words,
                                 char *text)
{
    long to = 0;
    for (long i = 0; envp[i]; i++) {
        if (i != preload->at) {
            words[to++] = envp[i];
        } else if (preload->ours || *preload->rest) {
            char *end = append(text, "LD_PRELOAD=");
            if (preload->ours)
                end = append(append(end, own_library), ":");
            (void)append(end, preload->rest);
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
#define MEND_PRELOAD(envp)                                                                         \
    do {                                                                                           \
        struct preload preload = preload_of(envp);                                                 \
        if (HONE_UNLIKELY(preload.at >= 0)) {                                                      \
            char **words = alloca((count_words(envp) + 1) * sizeof *words);                        \
            char *text = alloca(PRELOAD_NAME + sizeof own_library + strlen(preload.rest) + 2);     \
            (envp) = with_preload(envp, &preload, words, text);                                    \
        }                                                                                          \
    } while (0)

// --- the hooks -----------------------------------------------------------------------------------

HONE_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    MEND_PRELOAD(envp);
    bool paused = before_exec(path);
    return after_exec(paused, hone_real()->execve(path, argv, envp));
}

HONE_EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

HONE_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    MEND_PRELOAD(envp);
    bool paused = before_exec(file);
    return after_exec(paused, hone_real()->execvpe(file, argv, envp));
}

HONE_EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

HONE_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    MEND_PRELOAD(envp);
    bool paused = before_exec("(a descriptor)");
    return after_exec(paused, hone_real()->fexecve(fd, argv, envp));
}

HONE_EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[],
                         int flags)
{
    MEND_PRELOAD(envp);
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
