#include "capture/launch.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "capture/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { UNLOCKED_SECONDS = 60 }; // from making a folder to locking it: never so long

// The folder is locked by its owner, whose end ends the lock, wherever he lives: numbers of
// processes are given out again, and mean something else in a container that shares the memory.
static bool is_abandoned(const char *path, pid_t owner)
{
    HONE_CLEANUP(hone_fd_closep)
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || st.st_uid != geteuid() || flock(fd, LOCK_EX | LOCK_NB))
        return false;
    // One that was made just now is not locked yet.
    return (kill(owner, 0) && errno == ESRCH) || time(NULL) - st.st_mtime > UNLOCKED_SECONDS;
}

// A hone that was killed together with its keeper leaves its session behind.
static void sweep(const char *root)
{
    DIR *folder = opendir(root);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        int pid;
        char after, path[PATH_MAX];
        if (sscanf(entry->d_name, "hone.%d%c", &pid, &after) == 2 && after == '.' &&
            (size_t)snprintf(path, sizeof path, "%s/%s", root, entry->d_name) < sizeof path &&
            is_abandoned(path, pid))
            hone_keeper_remove(path);
    }
    (void)closedir(folder);
}

static int make_in(const char *root, struct hone_launch *launch, uint32_t chunk_count,
                   const struct hone_session_config *config)
{
    sweep(root);
    int n =
        snprintf(launch->folder, sizeof launch->folder, "%s/hone.%d.XXXXXX", root, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof launch->folder - 32)
        return -ENAMETOOLONG;
    if (!mkdtemp(launch->folder)) {
        launch->folder[0] = '\0';
        return -errno;
    }
    // Others may pass through but not list: a program that changes its user still finds the file,
    // for it knows the name, which nobody can guess.
    uint64_t name;
    int r = chmod(launch->folder, 0711) ? -errno : 0;
    launch->folder_fd = open(launch->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (launch->folder_fd >= 0)
        (void)flock(launch->folder_fd, LOCK_EX); // others hold it for a moment only
    if (!r && getrandom(&name, sizeof name, 0) != sizeof name)
        r = -EIO;
    if (!r) {
        (void)snprintf(launch->file, sizeof launch->file, "%.*s/%016" PRIx64,
                       (int)sizeof launch->file - 32, launch->folder, name);
        r = hone_session_create(launch->file, chunk_count, config, &launch->session);
    }
    if (r) {
        (void)rmdir(launch->folder);
        launch->folder[0] = '\0';
        if (launch->folder_fd >= 0)
            (void)close(hone_fd_take(&launch->folder_fd));
    }
    return r;
}

// Where libhone.so lies: beside the program when that was built and not installed, else where it
// was installed to, also when the whole tree was moved.
int hone_launch_library(char *ret, size_t size, struct hone_error *err)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len < 0)
        return hone_error_set(err, -errno, "cannot find libhone.so");
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    static const char *const places[] = {"libhone.so", "../" HONE_LIBDIR "/libhone.so",
                                         "../lib/libhone.so"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char path[2 * PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/%s", self, places[i]);
        char *real = realpath(path, NULL);
        if (!real)
            continue;
        bool fits = strlen(real) < size;
        if (fits)
            (void)snprintf(ret, size, "%s", real);
        free(real);
        if (fits)
            return 0;
    }
    (void)hone_error_set(err, -ENOENT, "cannot find libhone.so beside '%s'", self);
    hone_error_hint(err, "build it with 'make build', or install hone again");
    return -ENOENT;
}

static bool readable_by_all(const char *path)
{
    struct stat st;
    if (stat(path, &st) || !(st.st_mode & S_IROTH))
        return false;
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s", path);
    for (char *slash; (slash = strrchr(folder, '/')) && slash > folder;) {
        *slash = '\0';
        if (stat(folder, &st) || !(st.st_mode & S_IXOTH))
            return false;
    }
    return true;
}

// Puts a copy into the session's folder, if programs can be run from there.
static int copy_library(struct hone_launch *launch)
{
    struct statvfs fs;
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%.*s/libhone.so", (int)sizeof copy - 16, launch->folder);
    if (statvfs(launch->folder, &fs) || (fs.f_flag & ST_NOEXEC))
        return 0;
    struct hone_file_map bytes;
    int r = hone_file_map(launch->library, &bytes, NULL);
    if (r)
        return r;
    r = hone_file_write(copy, bytes.at, bytes.len, NULL);
    hone_file_unmap(&bytes);
    if (!r && chmod(copy, 0755))
        r = -errno;
    if (!r)
        memcpy(launch->library, copy, sizeof copy);
    return r;
}

// The first perf event on a machine makes the kernel rewrite its own code and wait until every
// processor has noticed: 1 to 10 ms, for whoever opens it. That is us, not the program, as long as
// this one is open.
static int open_first_event(void)
{
    struct perf_event_attr attr = {
        .size = sizeof attr,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_TASK_CLOCK,
        .disabled = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

int hone_launch_session(struct hone_launch *launch, uint32_t chunk_count,
                        const struct hone_session_config *config, struct hone_error *err)
{
    *launch = HONE_LAUNCH_NONE;
    int r = hone_launch_library(launch->library, sizeof launch->library, err);
    if (r)
        return r;
    const char *temporary = getenv("TMPDIR");
    const char *const roots[] = {"/dev/shm", temporary && temporary[0] == '/' ? temporary : "/tmp",
                                 "/var/tmp"};
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        r = make_in(roots[i], launch, chunk_count, config);
        for (uint32_t less = chunk_count / 2; (r == -ENOMEM || r == -EFBIG) && less >= 64;
             less /= 2)
            r = make_in(roots[i], launch, less, config); // a limit of address space, or of files
        if (!r)
            break;
    }
    if (r) {
        (void)hone_error_set(err, r, "cannot make the session's memory in /dev/shm, %s or /var/tmp",
                             roots[1]);
        hone_error_hint(err, r == -EFBIG
                                 ? "files may not grow that large here: see 'ulimit -f', which has "
                                   "to be 5 MB or more"
                                 : "free some 5 MB there, or name another place in $TMPDIR");
        return r;
    }
    // The loader splits its list at spaces and colons; and to a child that changes its user it
    // complains on stderr about what that user cannot read.
    if (strpbrk(launch->library, " :\t\n") || !readable_by_all(launch->library)) {
        r = copy_library(launch);
        if (r) {
            (void)hone_error_set(err, r, "cannot preload '%s'", launch->library);
            hone_launch_done(launch);
            return r;
        }
    }
    if (!(config->deadly & HONE_DEADLY_PERF))
        launch->event_fd = open_first_event(); // where it may not be, the program's may not either
    return 0;
}

// Programs with AddressSanitizer's runtime in a library end at once when another library is loaded
// before it, unless they are told not to look. Ours takes nothing that the sanitizer needs: it
// calls what comes next. What the user asks for comes last, and so counts.
static int permit_sanitizer(void)
{
    const char *before = getenv("ASAN_OPTIONS");
    char *options = NULL;
    if (asprintf(&options, "verify_asan_link_order=0%s%s", before && before[0] ? ":" : "",
                 before ? before : "") < 0)
        return -ENOMEM;
    int r = setenv("ASAN_OPTIONS", options, 1) ? -errno : 0;
    free(options);
    return r;
}

// These variables, keeping what the user preloads himself behind ours.
static int set_environment(const struct hone_launch *launch)
{
    const char *before = getenv("LD_PRELOAD");
    char *preload = NULL;
    int n = before && before[0] ? asprintf(&preload, "%s:%s", launch->library, before)
                                : asprintf(&preload, "%s", launch->library);
    if (n < 0)
        return -ENOMEM;
    int r =
        setenv("LD_PRELOAD", preload, 1) || setenv("HONE_SESSION", launch->file, 1) ? -errno : 0;
    free(preload);
    return r ? r : permit_sanitizer();
}

// After the program, which is to be our first child. A copy of the library has to stay: programs
// that go on may start others.
static void start_keeper(struct hone_launch *launch)
{
    bool copied = strncmp(launch->library, launch->folder, strlen(launch->folder)) == 0;
    if (launch->folder[0])
        hone_keeper_start(&launch->keeper, copied ? launch->file : launch->folder);
}

// The child's part: becomes the program, or tells its parent through `told` why it could not.
__attribute__((noreturn)) static void become(const struct hone_launch *launch, char *const argv[],
                                             const sigset_t *mask, int told, int gate)
{
    char opened;
    if (read(gate, &opened, 1) != 1) // our parent could not, or is dead
        _exit(127);
    int r = launch->file[0] ? set_environment(launch) : 0;
    if (!r) {
        (void)signal(SIGXFSZ, launch->file_size_signal);
        (void)signal(SIGPIPE, launch->pipe_signal);
        (void)signal(SIGCHLD, launch->child_signal);
        (void)sigprocmask(SIG_SETMASK, mask, NULL);
        (void)execvp(argv[0], argv);
        r = -errno;
    }
    (void)!write(told, &r, sizeof r);
    _exit(127);
}

int hone_launch_start(struct hone_launch *launch, char *const argv[], const sigset_t *mask,
                      struct hone_error *err)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC))
        return hone_error_set(err, -errno, "cannot start '%s'", argv[0]);
    HONE_CLEANUP(hone_fd_closep) int hear = pair[0];
    HONE_CLEANUP(hone_fd_closep) int tell = pair[1];
    if (pipe2(pair, O_CLOEXEC))
        return hone_error_set(err, -errno, "cannot start '%s'", argv[0]);
    HONE_CLEANUP(hone_fd_closep) int gate = pair[0];
    HONE_CLEANUP(hone_fd_closep) int opener = pair[1];
    pid_t pid = fork();
    if (pid < 0)
        return hone_error_set(err, -errno, "cannot start '%s'", argv[0]);
    if (pid == 0) {
        (void)close(opener);
        become(launch, argv, mask, tell, gate);
    }
    (void)close(hone_fd_take(&tell));
    int r = launch->prepare(launch->context, pid, err);
    if (r) {
        (void)close(hone_fd_take(&opener));
        (void)waitpid(pid, NULL, 0);
        return r;
    }
    (void)!write(opener, "", 1);
    int told = 0;
    ssize_t got;
    do
        got = read(hear, &told, sizeof told);
    while (got < 0 && errno == EINTR);
    if (got == sizeof told) {
        (void)waitpid(pid, NULL, 0);
        (void)hone_error_set(err, told, "cannot run '%s'", argv[0]);
        return told == -ENOENT ? HONE_TARGET_MISSING : HONE_TARGET_UNRUNNABLE;
    }
    launch->pid = pid;
    start_keeper(launch);
    launch->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (launch->pidfd < 0) {
        r = hone_error_set(err, -errno, "cannot watch '%s'", argv[0]);
        hone_error_hint(err, "Linux 5.3 or later is needed");
        return r;
    }
    return 0;
}

void hone_launch_done(struct hone_launch *launch)
{
    hone_session_close(&launch->session);
    if (launch->pidfd >= 0)
        (void)close(hone_fd_take(&launch->pidfd));
    if (launch->event_fd >= 0)
        (void)close(hone_fd_take(&launch->event_fd));
    if (launch->folder_fd >= 0)
        (void)close(hone_fd_take(&launch->folder_fd));
    hone_keeper_stop(&launch->keeper);
    if (!launch->folder[0])
        return;
    // Programs that go on may start others, to which the loader would complain if it were gone; the
    // next recording sweeps it away.
    if (launch->keep_library)
        (void)unlink(launch->file);
    else
        hone_keeper_remove(launch->folder);
    launch->folder[0] = '\0';
}
