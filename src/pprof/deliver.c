// A report's last steps: to standard output, into a file, or before somebody's eyes.
#include "pprof/driver.h"

#include "base/cleanup.h"
#include "pprof/tell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NUMBERS_MAX = 10000, WORDS_MAX = 16 };

static int write_all(int fd, const struct hone_buffer *bytes)
{
    const char *at = bytes->at;
    size_t left = bytes->len;
    while (left) {
        ssize_t wrote = write(fd, at, left);
        if (wrote >= 0) {
            at += wrote;
            left -= (size_t)wrote;
        } else if (errno == EAGAIN) { // somebody left the terminal non-blocking
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            (void)poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

// --- files ---------------------------------------------------------------------------------------

// As Go writes reasons: in lower case.
static int system_error(struct hone_error *err, const char *verb, const char *path, int r)
{
    char reason[128];
    (void)snprintf(reason, sizeof reason, "%s", strerror(-r));
    if (reason[0] >= 'A' && reason[0] <= 'Z')
        reason[0] = (char)(reason[0] + 'a' - 'A');
    (void)hone_error_set(err, 0, "%s %s: %s", verb, path, reason);
    return r;
}

static int write_file(const char *path, const struct hone_buffer *bytes, struct hone_error *err)
{
    hone_pprof_tell("Generating report in %s", path);
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return system_error(err, "open", path, -errno);
    int r = write_all(fd, bytes);
    if (!r && close(hone_fd_take(&fd)))
        r = -errno;
    return r ? system_error(err, "write", path, r) : 0;
}

// A new file "PREFIX001.ENDING" or the next number that is free.
static int new_file(struct hone_arena *arena, const char *prefix, const char *ending,
                    const char **ret_path, struct hone_error *err)
{
    for (int i = 1; i < NUMBERS_MAX; i++) {
        const char *path = hone_arena_format(arena, "%s%03d.%s", prefix, i, ending);
        int fd = path ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : -1;
        if (fd >= 0) {
            *ret_path = path;
            return fd;
        }
        if (!path || errno != EEXIST)
            return system_error(err, "open", path ? path : prefix, path ? -errno : -ENOMEM);
    }
    return hone_error_set(err, -EEXIST, "could not create file of the form %s%03d.%s", prefix, 1,
                          ending);
}

// --- terminals -----------------------------------------------------------------------------------

static bool is_smart_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDIN_FILENO) && term && *term && strcasecmp(term, "dumb") != 0;
}

// What is no text is kept off a terminal.
static int write_away(const char *ending, const struct hone_buffer *report, struct hone_error *err)
{
    struct hone_arena arena = {0};
    const char *path = NULL;
    HONE_CLEANUP(hone_fd_closep) int fd = new_file(&arena, "profile", ending, &path, err);
    int r = fd < 0 ? fd : 0;
    if (!r) {
        hone_pprof_tell("Generating report in %s", path);
        r = write_all(fd, report);
        if (r)
            (void)system_error(err, "write", path, r);
    }
    hone_arena_done(&arena);
    return r;
}

// --- viewers -------------------------------------------------------------------------------------

// Starts a command with the file for its last word. Returns its process id or -errno.
static pid_t start(const char *command, const char *file)
{
    char words[256];
    char *arguments[WORDS_MAX + 2];
    size_t count = 0;
    if (snprintf(words, sizeof words, "%s", command) >= (int)sizeof words)
        return -ENAMETOOLONG;
    char *rest = words;
    for (char *word; count < WORDS_MAX && (word = strsep(&rest, " ")) != NULL;)
        arguments[count++] = word;
    arguments[count++] = (char *)file;
    arguments[count] = NULL;
    extern char **environ;
    pid_t pid;
    int r = posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ);
    return r ? -r : pid;
}

// The first that can be started.
static pid_t start_any(const struct hone_pprof_command *command, const char *file)
{
    const char *browser = getenv("BROWSER");
    const char *display = getenv("DISPLAY");
    const char *const browsers[] = {browser && *browser ? browser : "chrome",
                                    "chrome",
                                    "google-chrome",
                                    "chromium",
                                    "firefox",
                                    "sensible-browser",
                                    display && *display ? "xdg-open" : NULL,
                                    NULL};
    pid_t pid = -ENOENT;
    for (const char *const *at = command->browser ? browsers : command->viewers; *at && pid < 0;
         at++)
        pid = start(*at, file);
    return pid;
}

// A viewer may be no more than a knock at the door of one that runs already: the file stays for a
// second at least.
static int show(const struct hone_pprof_command *command, const struct hone_buffer *report,
                bool interactive, struct hone_error *err)
{
    const char *directory = getenv("TMPDIR");
    struct hone_arena arena = {0};
    const char *path = NULL;
    const char *prefix =
        hone_arena_format(&arena, "%s/pprof", directory && *directory ? directory : "/tmp");
    HONE_CLEANUP(hone_fd_closep)
    int fd = prefix ? new_file(&arena, prefix, command->view, &path, err) : -ENOMEM;
    int r = fd < 0 ? fd : write_all(fd, report);
    if (!r) {
        pid_t pid = start_any(command, path);
        int status = 0;
        if (pid < 0) {
            r = hone_error_set(err, pid, "cannot start a program that shows '%s'", path);
        } else {
            (void)sleep(1);
            if (!interactive && waitpid(pid, &status, 0) == pid && status)
                r = hone_error_set(err, -EIO, "exit status %d", WEXITSTATUS(status));
        }
        if (path && (!interactive || r))
            (void)unlink(path);
    }
    hone_arena_done(&arena);
    return r;
}

int hone_pprof_deliver(const struct hone_pprof_command *command,
                       const struct hone_pprof_config *config, const struct hone_buffer *report,
                       bool interactive, struct hone_error *err)
{
    if (*config->output)
        return write_file(config->output, report, err);
    if (command->view)
        return show(command, report, interactive, err);
    if (command->file && (interactive || (isatty(STDOUT_FILENO) && is_smart_terminal())))
        return write_away(command->file, report, err);
    int r = write_all(STDOUT_FILENO, report);
    return r && r != -EPIPE ? hone_error_set(err, r, "cannot write to standard output") : 0;
}
