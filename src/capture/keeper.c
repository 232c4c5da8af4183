#include "capture/keeper.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void hone_keeper_remove(const char *path)
{
    if (unlink(path) == 0)
        return;
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    (void)closedir(folder);
    (void)rmdir(path);
}

// Of a session of its own, so that what ends our whole group does not end it. It holds nothing of
// ours: who waits for the end of our output, or wants to unmount a folder, does not wait for it.
__attribute__((noreturn)) static void keep(int wait_fd, const char *path)
{
    (void)setsid();
    (void)prctl(PR_SET_NAME, "hone-keeper");
    (void)dup2(wait_fd, 0);
    (void)close_range(1, ~0u, 0);
    (void)!chdir("/");
    char nothing;
    while (read(0, &nothing, 1) < 0 && errno == EINTR)
        continue;
    hone_keeper_remove(path);
    _exit(0);
}

void hone_keeper_start(struct hone_keeper *keeper, const char *path)
{
    int pair[2];
    *keeper = (struct hone_keeper){.fd = -1};
    if (pipe2(pair, O_CLOEXEC))
        return;
    // Blocked before the fork and for good in the child: whoever asks us to end does not mean it.
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    keeper->pid = fork();
    if (keeper->pid == 0)
        keep(pair[0], path);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)close(pair[0]);
    if (keeper->pid > 0)
        keeper->fd = pair[1];
    else
        (void)close(pair[1]);
}

void hone_keeper_stop(struct hone_keeper *keeper)
{
    if (keeper->fd < 0)
        return;
    (void)close(hone_fd_take(&keeper->fd));
    while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}
