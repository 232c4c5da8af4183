// What /proc says of one thread.
#include "capture/dump_parts.h"

#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 1024 };

// The beginning of a file of the thread. Returns its length or a negative errno.
static ssize_t read_file(uint32_t pid, uint32_t tid, const char *file, char text[TEXT_BYTES])
{
    char path[80];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/%s", pid, tid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t len = read(fd, text, TEXT_BYTES - 1);
    if (len < 0)
        len = -errno;
    (void)close(fd);
    if (len >= 0)
        text[len] = '\0';
    return len;
}

// "1234 (name) S 1 …": the name may hold anything, also brackets.
int hone_task_stat_parse(const char *text, struct hone_task_stat *ret)
{
    enum { START = 22, CPU = 39 }; // counted from 1, as proc(5) does
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open || close[1] != ' ' || !close[2])
        return -EBADMSG;
    struct hone_task_stat stat = {.state = close[2]};
    (void)snprintf(stat.name, sizeof stat.name, "%.*s", (int)(close - open - 1), open + 1);
    const char *at = close + 3;
    for (int field = 4; field <= CPU; field++) {
        char *end;
        if (*at != ' ')
            return -EBADMSG;
        unsigned long long value = strtoull(at + 1, &end, 10);
        if (field == START)
            stat.start_ticks = value;
        if (field == CPU)
            stat.cpu = (uint32_t)value;
        at = end;
    }
    *ret = stat;
    return 0;
}

int hone_task_stat(uint32_t pid, uint32_t tid, struct hone_task_stat *ret)
{
    char text[TEXT_BYTES];
    ssize_t len = read_file(pid, tid, "stat", text);
    if (len <= 0)
        return len ? (int)len : -ESRCH;
    return hone_task_stat_parse(text, ret);
}

// --- when it ran last ----------------------------------------------------------------------------

// In the CPU's own time; 0: not known. Milliseconds with six digits behind the point.
static uint64_t exec_start(const char *text)
{
    const char *at = strstr(text, "se.exec_start");
    uint64_t ms, ns;
    char digits[8] = "";
    at = at ? strchr(at, ':') : NULL;
    if (!at || sscanf(at, ": %" SCNu64 ".%6[0-9]", &ms, digits) != 2 || strlen(digits) != 6)
        return 0;
    ns = strtoull(digits, NULL, 10);
    return ms * 1000000 + ns;
}

static void ask_clock(struct hone_dump_clocks *clocks, uint32_t cpu)
{
    clocks->known[cpu] = 2;
    cpu_set_t before, only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    if (sched_getaffinity(0, sizeof before, &before))
        return;
    if (sched_setaffinity(0, sizeof only, &only) == 0) {
        char text[TEXT_BYTES];
        (void)sched_yield(); // whereupon the kernel takes note of the time
        uint64_t now_ns = hone_now_ns(), own_ns = 0;
        if (read_file((uint32_t)getpid(), (uint32_t)gettid(), "sched", text) > 0)
            own_ns = exec_start(text);
        if (own_ns) {
            clocks->ahead_ns[cpu] = (int64_t)(now_ns - own_ns);
            clocks->known[cpu] = 1;
        }
    }
    (void)sched_setaffinity(0, sizeof before, &before);
}

uint64_t hone_task_ran_ns(struct hone_dump_clocks *clocks, uint32_t pid, uint32_t tid, uint32_t cpu)
{
    char text[TEXT_BYTES];
    if (cpu >= HONE_DUMP_CPUS || read_file(pid, tid, "sched", text) <= 0)
        return 0;
    uint64_t own_ns = exec_start(text);
    if (!own_ns)
        return 0;
    if (!clocks->known[cpu])
        ask_clock(clocks, cpu);
    int64_t ran_ns = (int64_t)own_ns + clocks->ahead_ns[cpu];
    return clocks->known[cpu] == 1 && ran_ns > 0 ? (uint64_t)ran_ns : 0;
}
