#include "capture/pid_space.h"

#include "base/file.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PROCESSES_SCANNED = 8192,
    THREADS_SCANNED = 512, // some 10 ms
};

// The last number of the line "NSpid:" is the one that it knows itself.
uint32_t hone_pid_inner(uint32_t pid, uint32_t tid)
{
    char path[64], *text = NULL;
    size_t len;
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/status", pid, tid);
    if (hone_file_read(path, 65536, &text, &len, NULL))
        return 0;
    char *line = strstr(text, "\nNSpid:"), *end = line ? strchr(line + 1, '\n') : NULL;
    uint32_t inner = 0;
    if (end) {
        *end = '\0';
        char *last = strrchr(line, '\t');
        inner = last ? (uint32_t)strtoul(last + 1, NULL, 10) : 0;
    }
    free(text);
    return inner;
}

static bool is_process(uint32_t pid, uint32_t inner_pid, uint64_t pid_namespace)
{
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%u/ns/pid", pid);
    return stat(path, &st) == 0 && st.st_ino == pid_namespace &&
           hone_pid_inner(pid, pid) == inner_pid;
}

uint32_t hone_pid_outer(uint32_t inner_pid, uint64_t pid_namespace)
{
    DIR *processes = opendir("/proc");
    uint32_t found = 0, scanned = 0;
    for (struct dirent *entry;
         processes && !found && scanned < PROCESSES_SCANNED && (entry = readdir(processes));) {
        uint32_t pid = (uint32_t)strtoul(entry->d_name, NULL, 10);
        if (!pid)
            continue;
        scanned++;
        if (is_process(pid, inner_pid, pid_namespace))
            found = pid;
    }
    if (processes)
        (void)closedir(processes);
    return found;
}

uint32_t hone_tid_outer(uint32_t pid, uint32_t inner_tid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *threads = opendir(path);
    uint32_t found = 0, scanned = 0;
    for (struct dirent *entry;
         threads && !found && scanned < THREADS_SCANNED && (entry = readdir(threads));) {
        uint32_t tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
        if (tid <= pid) // its own first thread
            continue;
        scanned++;
        if (hone_pid_inner(pid, tid) == inner_tid)
            found = tid;
    }
    if (threads)
        (void)closedir(threads);
    return found;
}
