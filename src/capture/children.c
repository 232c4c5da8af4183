#include "capture/children.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEEP = 16 }; // generations

static void of_process(uint32_t pid, hone_child_met *met, void *context, int deep);

static void of_thread(uint32_t pid, uint32_t tid, hone_child_met *met, void *context, int deep)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/children", pid, tid);
    FILE *file = fopen(path, "re");
    unsigned child;
    while (file && fscanf(file, "%u", &child) == 1)
        if (met(context, child, pid) && deep < DEEP)
            of_process(child, met, context, deep + 1);
    if (file)
        (void)fclose(file);
}

static void of_process(uint32_t pid, hone_child_met *met, void *context, int deep)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        unsigned long tid = strtoul(entry->d_name, NULL, 10);
        if (tid)
            of_thread(pid, (uint32_t)tid, met, context, deep);
    }
    (void)closedir(folder);
}

void hone_children_of_thread(uint32_t pid, uint32_t tid, hone_child_met *met, void *context)
{
    of_thread(pid, tid, met, context, 1);
}

void hone_children_of(uint32_t pid, hone_child_met *met, void *context)
{
    of_process(pid, met, context, 1);
}
