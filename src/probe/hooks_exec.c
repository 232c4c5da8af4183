// exec: a perf event must not fire between here and the new program, which has no handler for it.
// So sampling pauses, and goes on when the exec fails. In a vfork child, which borrows our memory,
// nothing is paused: it has no event of its own, and the parent's must go on.
//
// The new program shall load us, too: where a wrapper put another library in our place or made an
// environment of its own we put ourselves back, and where we could not be found any more we take
// ourselves off the list.
//
// The program's path is written down, so that the reader can tell that a process became something
// that cannot be profiled (a static program) instead of having gone silent.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/clock.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

// The calling thread is in one of our hooks already, which has told of it.
static __thread bool told;
// It spawns: what the child blocks was settled before it was made, which shares this variable.
static __thread bool spawns;

static bool before_exec(const char *path)
{
    hone_signal_at_exec(true); // a vfork child has signal handlers of its own
    if (!hone_is_our_process()) {
        if (!spawns)
            hone_mask_at_exec(true); // and a mask
        return false;
    }
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (engine)
        engine->pause(true);
    hone_mask_at_exec(true); // when no more of ours can come, which would wait for the new program
    write_exec(path);
    hone_process_leave(HONE_PROCESS_EXECED);
    told = true;
    return true;
}

// Returns what exec returned, with its errno.
static int after_exec(bool paused, int result)
{
    int saved = errno;
    hone_signal_at_exec(false);
    if (!spawns)
        hone_mask_at_exec(false);
    if (!paused) {
        errno = saved;
        return result;
    }
    told = false;
    struct hone_process *process = hone_probe.writer.process;
    atomic_store_explicit(&process->ended_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&process->state, HONE_PROCESS_RUNNING, memory_order_release);
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (engine)
        engine->pause(false);
    errno = saved;
    return result;
}

// --- the environment -----------------------------------------------------------------------------

enum { PRELOAD_NAME = sizeof "LD_PRELOAD=" - 1, SESSION_NAME = sizeof "HONE_SESSION=" - 1 };

static const char library_name[] = "/libhone.so";
static char own_library[HONE_PROCESS_PATH]; // as we were preloaded; empty: not known
static char own_session[HONE_PROCESS_PATH]; // as we were told; empty: not known

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

// The program may write over its environment later.
__attribute__((constructor)) static void remember_environment(void)
{
    const char *list = secure_getenv("LD_PRELOAD"), *session = secure_getenv("HONE_SESSION");
    if (list)
        (void)copy_own(list, own_library);
    if (session && strlen(session) < sizeof own_session)
        memcpy(own_session, session, strlen(session) + 1);
}

static bool is_lost(const char *file)
{
    return hone_syscall3(SYS_faccessat, AT_FDCWD, file, R_OK) < 0;
}

// What is to be executed: a path, below that folder, or the descriptor itself and "".
struct program {
    int folder;
    const char *path;
};

// The loader would take nothing from the environment; who cleans it for such a program knows why.
// What is searched for in $PATH is not looked at: there the loader's word has to do.
static bool gains_rights(struct program program)
{
    struct statx st;
    return hone_syscall5(SYS_statx, program.folder, program.path, AT_EMPTY_PATH, STATX_MODE, &st) ==
               0 &&
           (st.stx_mode & (S_ISUID | S_ISGID));
}

// What becomes of an environment: the preload list at place `list` (-1: there is none) is `rest`
// with ours in front if so; the session is added at the end if so.
struct mending {
    bool needed, ours, session;
    long list, count;
    const char *rest;
};

// Where our library cannot be found any more (in another root, as another user), the loader would
// complain of it on the new program's stderr: then it goes without us. A wrapper that puts another
// library in our place (LD_PRELOAD=x program) wanted that one to be there, and who starts a program
// in an environment of his own (env -i) knows nothing of us: neither wanted us to be gone, so we
// are put back. Who empties the list, or takes that variable alone away, did. The first preload is
// ours.
static struct mending mending_of(struct program program, char *const envp[])
{
    struct mending found = {.list = -1, .rest = ""};
    // In a sandbox, what we would have to ask the kernel may end the program.
    if (!hone_probe.writer.process || hone_probe.locked_in)
        return found;
    bool session = false;
    for (; envp && envp[found.count]; found.count++) {
        const char *word = envp[found.count];
        session |= strncmp(word, "HONE_SESSION=", SESSION_NAME) == 0;
        if (found.list < 0 && strncmp(word, "LD_PRELOAD=", PRELOAD_NAME) == 0)
            found.list = found.count;
    }
    if (found.list >= 0)
        found.rest = envp[found.list] + PRELOAD_NAME;
    char library[HONE_PROCESS_PATH];
    if (copy_own(found.rest, library)) {
        found.rest += strcspn(found.rest, ": ");
        found.rest += strspn(found.rest, ": ");
        found.needed = is_lost(library);
        return found;
    }
    bool wanted = found.list >= 0 ? found.rest[0] && !strstr(found.rest, library_name) : !session;
    if (!wanted || !own_library[0] || !own_session[0] || is_lost(own_library) ||
        is_lost(own_session) || gains_rights(program) ||
        atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed))
        return found;
    found.needed = found.ours = true;
    found.session = !session;
    return found;
}

static char *append(char *to, const char *text)
{
    size_t len = strlen(text);
    memcpy(to, text, len + 1);
    return to + len;
}

// A copy of the environment with that, in room of the caller's: words for two more and the end, and
// the text of those.
static char *const *mend(char *const envp[], const struct mending *mending, char **words,
                         char *text)
{
    long to = 0;
    for (long i = 0; i < mending->count; i++)
        if (i != mending->list)
            words[to++] = envp[i];
        else if (mending->ours || mending->rest[0])
            words[to++] = text;
    if (mending->list < 0)
        words[to++] = text;
    text = append(text, "LD_PRELOAD=");
    if (mending->ours)
        text = append(append(text, own_library), mending->rest[0] ? ":" : "");
    text = append(text, mending->rest) + 1;
    if (mending->session) {
        words[to++] = text;
        (void)append(append(text, "HONE_SESSION="), own_session);
    }
    words[to] = NULL;
    return words;
}

// On the caller's stack, for this may run in a vfork child.
#define MEND(folder_, path_, envp)                                                                 \
    do {                                                                                           \
        struct mending mending = mending_of((struct program){folder_, path_}, envp);               \
        if (HONE_UNLIKELY(mending.needed)) {                                                       \
            char **words = alloca((size_t)(mending.count + 3) * sizeof *words);                    \
            char *text = alloca(PRELOAD_NAME + sizeof own_library + strlen(mending.rest) + 2 +     \
                                SESSION_NAME + sizeof own_session);                                \
            (envp) = mend(envp, &mending, words, text);                                            \
        }                                                                                          \
    } while (0)

// --- the hooks -----------------------------------------------------------------------------------

HONE_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    MEND(AT_FDCWD, path, envp);
    bool paused = before_exec(path);
    return after_exec(paused, hone_real()->execve(path, argv, envp));
}

int (*hone_exec_of_libc)(const char *, char *const[], char *const[]);

int hone_exec_inside(const char *path, char *const argv[], char *const envp[])
{
    return told ? hone_exec_of_libc(path, argv, envp) : execve(path, argv, envp);
}

HONE_EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

HONE_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    MEND(AT_FDCWD, file, envp);
    bool paused = before_exec(file);
    return after_exec(paused, hone_real()->execvpe(file, argv, envp));
}

HONE_EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

HONE_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    MEND(fd, "", envp);
    bool paused = before_exec("(a descriptor)");
    return after_exec(paused, hone_real()->fexecve(fd, argv, envp));
}

HONE_EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[],
                         int flags)
{
    MEND(fd, path, envp);
    bool paused = before_exec(path);
    long r = hone_syscall5(SYS_execveat, fd, path, argv, envp, flags); // not every libc has it
    errno = (int)-r;
    return after_exec(paused, -1);
}

// These make a new process at once, so nothing of this one has to pause: libc keeps every signal
// out of it until it is the new program, and gives it the mask that the caller has really.

static void before_spawn(void)
{
    hone_mask_at_spawn(true);
    spawns = true;
}

static int after_spawn(int result)
{
    spawns = false;
    hone_mask_at_spawn(false);
    return result;
}

HONE_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                            const posix_spawnattr_t *attributes, char *const argv[],
                            char *const envp[])
{
    MEND(AT_FDCWD, path, envp);
    before_spawn();
    return after_spawn(hone_real()->posix_spawn(pid, path, actions, attributes, argv, envp));
}

HONE_EXPORT int posix_spawnp(pid_t *pid, const char *file,
                             const posix_spawn_file_actions_t *actions,
                             const posix_spawnattr_t *attributes, char *const argv[],
                             char *const envp[])
{
    MEND(AT_FDCWD, file, envp);
    before_spawn();
    return after_spawn(hone_real()->posix_spawnp(pid, file, actions, attributes, argv, envp));
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
