#include "capture/living.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

bool hone_thread_has_ended(pid_t pid, pid_t tid)
{
    char path[64], text[512];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    size_t len = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[len] = '\0';
    for (size_t i = len; i-- > 0;)
        if (text[i] == ')')
            return i + 2 >= len || text[i + 2] == 'Z' || text[i + 2] == 'X';
    return true;
}

pid_t hone_living_thread(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = hone_thread_has_ended(pid, pid) ? opendir(path) : NULL;
    pid_t living = pid;
    for (struct dirent *entry; folder && living == pid && (entry = readdir(folder));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid > 0 && !hone_thread_has_ended(pid, tid))
            living = tid;
    }
    if (folder)
        (void)closedir(folder);
    return living;
}
