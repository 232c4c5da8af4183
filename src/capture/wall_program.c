// Which program a process is that is polled. Those with our library inside tell when they begin;
// one that runs with rights of its own has none inside, and takes the place of one that has told.
// So the file that a process runs is looked at: another one is another program.
#include "capture/wall_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Returns 0, or why not: -EACCES where its rights are beyond ours.
static int read_program(uint32_t pid, struct hone_wall_program *ret)
{
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%u/exe", pid);
    if (stat(path, &st))
        return -errno;
    *ret = (struct hone_wall_program){.device = st.st_dev, .file = st.st_ino};
    return 0;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// As the kernel shows names: their beginning.
static bool has_name(const char kernels[16], const char *path)
{
    return strncmp(kernels, last_part(path), 15) == 0;
}

// Where the file cannot be told, or might be the same by another path, it is taken for the same.
static bool is_another(uint32_t pid, const char *path)
{
    struct hone_wall_program is = {0};
    struct stat told;
    char exe[64], file[PATH_MAX], name[16] = "";
    if (!path[0])
        return false;
    int r = read_program(pid, &is);
    if (r == -EACCES)
        return hone_thread_name(pid, pid, name) && !has_name(name, path);
    (void)snprintf(exe, sizeof exe, "/proc/%u/exe", pid);
    ssize_t len = r ? -1 : readlink(exe, file, sizeof file - 1);
    if (len <= 0)
        return false;
    file[len] = '\0';
    bool by_loader = strncmp(last_part(file), "ld-", 3) == 0;
    char there[PATH_MAX + 64];
    (void)snprintf(there, sizeof there, "/proc/%u/root%s", pid, path);
    return !by_loader && strcmp(last_part(file), last_part(path)) != 0 && stat(there, &told) == 0 &&
           (told.st_dev != is.device || told.st_ino != is.file);
}

bool hone_wall_program_changed(struct hone_wall *wall, struct hone_wall_thread *first)
{
    struct hone_wall_program *known = &wall->processes[first->process].program, is = {0};
    int r = read_program(first->pid, &is);
    if (r && r != -EACCES)
        return false;
    struct hone_wall_program was = *known;
    bool knew = was.file, knows = r == 0;
    *known = is;
    if (knew && knows)
        return was.device != is.device || was.file != is.file;
    char name[16] = "";
    return knew != knows && hone_thread_name(first->pid, first->pid, name) &&
           strncmp(name, first->name, sizeof name) != 0;
}

// From now on the process is another one.
int hone_wall_program_replace(struct hone_wall *wall, uint32_t process)
{
    uint32_t pid = wall->processes[process].pid;
    hone_wall_poll_end(wall, process);
    int r = hone_wall_poll_watch(wall, pid, 0, false);
    const struct hone_wall_thread *first = r ? NULL : hone_wall_find(wall, pid);
    if (first && first->process != process)
        wall->processes[first->process].before = process + 1;
    return r;
}

// The session tells of what the process was before; or of something that it was unseen.
static void announce_before(struct hone_wall *wall, uint32_t process, uint64_t started_ns)
{
    uint32_t before = wall->processes[process].before;
    if (!wall->processes[process].announced)
        wall->processes[process].others_until_ns = started_ns;
    if (before && !wall->processes[before - 1].announced) {
        wall->processes[before - 1].announced = true;
        wall->processes[before - 1].announced_ns = started_ns;
    }
}

void hone_wall_announce(struct hone_wall *wall, pid_t pid, uint64_t started_ns, const char *path)
{
    if (!wall->polled || pid <= 0 || pid >= HONE_WALL_TIDS_MAX)
        return;
    if (!hone_wall_find(wall, (uint32_t)pid) && hone_wall_poll_watch(wall, (uint32_t)pid, 0, true))
        return;
    const struct hone_wall_thread *first = hone_wall_find(wall, (uint32_t)pid);
    if (!first)
        return;
    uint32_t process = first->process;
    if (is_another((uint32_t)pid, path)) { // which may tell nothing of itself
        announce_before(wall, process, started_ns);
        return;
    }
    if (wall->processes[process].announced) { // it has become another program
        if (hone_wall_program_replace(wall, process))
            return;
        process = wall->by_pid[pid] ? wall->by_pid[pid] - 1 : process;
    }
    wall->processes[process].announced = true;
    wall->processes[process].announced_ns = started_ns;
    uint32_t before = wall->processes[process].before;
    if (before)
        wall->processes[before - 1].others_from_ns = started_ns;
}
