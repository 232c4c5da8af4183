#include "capture/standstill_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 8192, MAPS_BYTES_MAX = 64 << 20 };

// A file of /proc that is small. Returns its length, or -ESRCH.
static int read_small(const char *path, char text[TEXT_BYTES])
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, TEXT_BYTES - 1);
    if (len <= 0)
        return -ESRCH;
    text[len] = '\0';
    return (int)len;
}

static const char *value_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? at + strlen(key) + strspn(at + strlen(key), " \t") : NULL;
}

static uint64_t number_of(const char *text, const char *key, int base)
{
    const char *at = value_of(text, key);
    return at ? strtoull(at, NULL, base) : 0;
}

int hone_standstill_status(pid_t pid, uint32_t tid, struct hone_standstill_status *ret)
{
    char path[64], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%u/status", (int)pid, tid);
    if (read_small(path, text) < 0)
        return -ESRCH;
    *ret = (struct hone_standstill_status){.inner = tid};
    // The name is the first line, with what is odd in it escaped: it cannot pose as another one.
    const char *name = value_of(text, "Name:"), *state = value_of(text, "\nState:");
    if (name)
        (void)snprintf(ret->name, sizeof ret->name, "%.*s", (int)strcspn(name, "\n"), name);
    ret->state = '?';
    if (state)
        ret->state = *state;
    // "NSpid: OUTER … INNER": the last one is the process's own.
    const char *spaces = value_of(text, "\nNSpid:");
    for (char *end; spaces && *spaces && *spaces != '\n'; spaces = end) {
        unsigned long number = strtoul(spaces, &end, 10);
        if (end == spaces)
            break;
        ret->inner = (uint32_t)number;
    }
    ret->switches = number_of(text, "\nvoluntary_ctxt_switches:", 10) +
                    number_of(text, "\nnonvoluntary_ctxt_switches:", 10);
    ret->caught = number_of(text, "\nSigCgt:", 16);
    return 0;
}

int hone_standstill_process(pid_t pid, bool *ret_forked)
{
    enum { FORKED_NO_EXEC = 0x40 }; // PF_FORKNOEXEC of the kernel
    char path[64], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_small(path, text) < 0)
        return -ESRCH;
    const char *at = strrchr(text, ')'); // a name may hold anything but ends here
    unsigned flags;
    if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
        return -ESRCH;
    *ret_forked = flags & FORKED_NO_EXEC;
    return 0;
}

pid_t hone_standstill_elsewhere(const struct hone_standstill *stand, uint32_t inner)
{
    // Only where its numbers are ours can a number be looked for.
    if (!stand->count || stand->threads[0].inner != stand->threads[0].tid)
        return 0;
    char path[64], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%u/status", inner);
    if (read_small(path, text) < 0)
        return 0;
    pid_t pid = (pid_t)number_of(text, "\nTgid:", 10);
    return pid == stand->pid ? 0 : pid;
}

// --- what is mapped ------------------------------------------------------------------------------

void hone_standstill_areas_done(struct hone_standstill_areas *areas)
{
    free(areas->text);
    free(areas->at);
    *areas = (struct hone_standstill_areas){0};
}

static bool parse_area(char *line, struct hone_standstill_area *ret)
{
    char permissions[5];
    int path_at = 0;
    *ret = (struct hone_standstill_area){0};
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %*s %n", &ret->start, &ret->end,
               permissions, &path_at) != 3 ||
        !path_at)
        return false;
    ret->shared = permissions[3] == 's';
    ret->path = line + path_at;
    return true;
}

static int parse_areas(struct hone_standstill_areas *areas)
{
    char *rest = areas->text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (!hone_array_reserve(&areas->at, &areas->room, areas->count + 1ull, sizeof *areas->at))
            return -ENOMEM;
        areas->count += parse_area(line, &areas->at[areas->count]);
    }
    return 0;
}

int hone_standstill_areas(pid_t pid, struct hone_standstill_areas *ret)
{
    char path[64];
    size_t len = 0;
    *ret = (struct hone_standstill_areas){0};
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    int r = hone_file_read(path, MAPS_BYTES_MAX, &ret->text, &len, NULL);
    if (!r && !len)
        r = -ESRCH;
    if (!r)
        r = parse_areas(ret);
    if (r)
        hone_standstill_areas_done(ret);
    return r;
}

const struct hone_standstill_area *hone_standstill_area(const struct hone_standstill_areas *areas,
                                                        uint64_t address)
{
    uint32_t low = 0, high = areas->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (areas->at[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < areas->count && areas->at[low].start <= address ? &areas->at[low] : NULL;
}

// --- for how long --------------------------------------------------------------------------------

// "se.exec_start : 53806529.530296", in ms: when the thread last ran, by the clock of its CPU.
static bool last_ran(const char *path, uint64_t *ret_ns)
{
    char text[TEXT_BYTES];
    const char *at = read_small(path, text) < 0 ? NULL : strstr(text, "se.exec_start");
    at = at ? strchr(at, ':') : NULL;
    if (!at)
        return false;
    char *end;
    uint64_t ms = strtoull(at + 1, &end, 10);
    if (*end != '.')
        return false;
    *ret_ns = ms * 1000000 + strtoull(end + 1, NULL, 10);
    return true;
}

static int cpu_of(pid_t pid, uint32_t tid)
{
    enum { FIELD = 37 }; // "processor", counted from the state
    char path[64], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%u/stat", (int)pid, tid);
    const char *at = read_small(path, text) < 0 ? NULL : strrchr(text, ')');
    for (int i = 0; at && i < FIELD; i++)
        at = strchr(at + 1, ' ');
    return at ? (int)strtol(at, NULL, 10) : -1;
}

// The clock of a CPU stands still while interrupts and other guests have it, so it is asked on that
// CPU: what has passed by it is not more than what has passed.
static bool now_on(int cpu, uint64_t *ret_ns)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return false;
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        return false;
    (void)sched_yield(); // which brings our own account up to date
    return last_ran("/proc/thread-self/sched", ret_ns);
}

void hone_standstill_ages(struct hone_standstill *stand)
{
    cpu_set_t before;
    int last_cpu = -1;
    bool known = false;
    uint64_t now_ns = 0;
    if (sched_getaffinity(0, sizeof before, &before))
        return;
    for (uint32_t i = 0; i < stand->count; i++) {
        struct hone_standstill_thread *thread = &stand->threads[i];
        char path[64];
        uint64_t then_ns;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%u/sched", (int)stand->pid, thread->tid);
        if (!thread->waits_for_lock || !last_ran(path, &then_ns))
            continue;
        int cpu = cpu_of(stand->pid, thread->tid);
        if (cpu != last_cpu)
            known = now_on(cpu, &now_ns);
        last_cpu = cpu;
        if (known && now_ns > then_ns && now_ns - then_ns > thread->waited_ns)
            thread->waited_ns = now_ns - then_ns;
    }
    (void)sched_setaffinity(0, sizeof before, &before);
}
