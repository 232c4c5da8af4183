// The wall clock where perf events are not permitted: each thread is asked, again and again, how
// often it ran, how long, and how long it waited for a CPU (/proc/PID/task/TID/schedstat). That is
// exact, whenever it is asked. One that has not run since it was seen blocked is blocked at the
// same place. Of one that has, what it was blocked in between two looks is divided among the places
// of both looks: a change lies anywhere between them.
//
// A look costs some 20 µs. So whoever is found idle is looked at ever more rarely, in proportion to
// how long it has been idle, and at random times.
#include "capture/wall_parts.h"

#include "capture/children.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    // A look comes after this part of the time that a thread has been idle, but not before
    IDLE_SHARE = 8,
    // so long for each thread that there is, and not later than twice that or a second: 5000 idle
    // threads are looked at 200 times a second and fewer.
    IDLE_NS = 5000000,
    IDLE_LEAST_NS = 1000000000,
    // How often folders of threads are looked at, and read although their size has not changed; the
    // latter for each thread of a process, for reading 5000 names takes the kernel 50 ms.
    LIST_NS = 20000000,
    LIST_ANYWAY_NS = 1000000000,
    LIST_EACH_NS = 2000000,
    // Threads that are asked for the programs they started; the first one comes first.
    PARENTS_MAX = 16,
    LAG_NS = 10000000, // a tick of the slowest kernels
};

struct counts {
    uint64_t run_ns, delay_ns, times;
};

// Opening the file costs five times as much as reading it, so it stays open while there is room.
static int open_counts(struct hone_wall *wall, struct hone_wall_thread *thread, int *ret)
{
    if (thread->counts_fd) {
        *ret = thread->counts_fd - 1;
        return 0;
    }
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/schedstat", thread->pid, thread->tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (wall->counts_open < wall->counts_most) {
        wall->counts_open++;
        thread->counts_fd = fd + 1;
    }
    *ret = fd;
    return 0;
}

static void close_counts(struct hone_wall *wall, struct hone_wall_thread *thread)
{
    if (!thread->counts_fd)
        return;
    (void)close(thread->counts_fd - 1);
    thread->counts_fd = 0;
    wall->counts_open--;
}

static int read_counts(struct hone_wall *wall, struct hone_wall_thread *thread, struct counts *ret)
{
    char text[128];
    int fd = -1;
    int r = open_counts(wall, thread, &fd);
    if (r)
        return r;
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    r = len < 0 ? -errno : 0;
    if (!thread->counts_fd)
        (void)close(fd);
    if (len <= 0)
        return r ? r : -ESRCH;
    text[len] = '\0';
    char *at = text;
    ret->run_ns = strtoull(at, &at, 10);
    ret->delay_ns = strtoull(at, &at, 10);
    ret->times = strtoull(at, &at, 10);
    return *at == '\n' ? 0 : -EBADMSG;
}

void hone_wall_poll_open(struct hone_wall *wall)
{
    enum { OTHERS = 256 }; // descriptors that we need besides
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 2 * OTHERS)
        wall->counts_most = (uint32_t)(limit.rlim_cur < 65536 ? limit.rlim_cur : 65536) - OTHERS;
}

void hone_wall_poll_close(struct hone_wall *wall)
{
    for (uint32_t i = 0; i < wall->thread_count; i++)
        close_counts(wall, &wall->threads[i]);
    free(wall->due);
}

// Blocked time between two looks, of which either may have seen the thread blocked, and how often
// it was put on a CPU meanwhile: the end of a block, or of being preempted.
static void divide(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t ns,
                   uint64_t times, bool now, enum hone_wait_kind kind, uint32_t stack)
{
    uint32_t number = (uint32_t)(thread - wall->threads);
    if (!thread->seen && !now) {
        thread->short_ns += ns; // in what, nobody saw
        thread->shorts += times;
        return;
    }
    thread->long_ns += ns;
    thread->longs += times;
    double before = !now ? 1 : thread->seen ? 0.5 : 0;
    uint64_t before_ns = (uint64_t)((double)ns * before);
    if (before_ns)
        hone_wall_seen(wall, &(struct hone_wall_seen){.thread = number,
                                                      .stack = thread->stack,
                                                      .kind = thread->kind,
                                                      .long_ns = before_ns,
                                                      .longs = (double)times * before});
    if (ns - before_ns)
        hone_wall_seen(wall, &(struct hone_wall_seen){.thread = number,
                                                      .stack = stack,
                                                      .kind = kind,
                                                      .long_ns = ns - before_ns,
                                                      .longs = (double)times * (1 - before)});
}

static uint64_t random_of(struct hone_wall *wall, uint64_t below)
{
    wall->random = wall->random * 6364136223846793005u + 1442695040888963407u;
    return below ? (wall->random >> 33) % below : 0;
}

static void plan(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t now_ns)
{
    uint64_t idle_ns = now_ns - thread->since_ns;
    uint64_t *due_ns = &wall->due[thread - wall->threads];
    *due_ns = now_ns; // at the next tick, which is random itself
    if (!idle_ns)
        return;
    uint64_t least_ns = wall->alive * (uint64_t)IDLE_NS, most_ns = 2 * least_ns;
    if (most_ns < IDLE_LEAST_NS)
        most_ns = IDLE_LEAST_NS;
    uint64_t wait_ns = idle_ns / IDLE_SHARE;
    if (wait_ns < least_ns)
        wait_ns = least_ns;
    if (wait_ns > most_ns)
        wait_ns = most_ns;
    if (wait_ns > wall->period_ns)
        *due_ns += wait_ns / 2 + random_of(wall, wait_ns + 1);
}

static void end(struct hone_wall *wall, struct hone_wall_thread *thread)
{
    // When it ended is known to the session, or else not better than by the last look.
    thread->state = HONE_WALL_ENDED;
    thread->ended_ns = thread->checked_ns;
    wall->due[thread - wall->threads] = UINT64_MAX;
    close_counts(wall, thread);
    hone_wall_forget(wall, thread);
}

static void check(struct hone_wall *wall, struct hone_wall_thread *thread)
{
    struct counts before, after;
    int r = read_counts(wall, thread, &before);
    if (r) {
        end(wall, thread);
        return;
    }
    uint64_t now_ns = hone_now_ns();
    bool moved = before.times != thread->times || !thread->seen;
    bool blocked = thread->seen;
    enum hone_wait_kind kind = thread->kind;
    uint32_t stack = thread->stack;
    if (moved) {
        blocked = false;
        r = thread->refused ? -EACCES : hone_wall_look(wall, thread, &kind, &stack);
        if (!r) {
            wall->facts.reads++;
            blocked = read_counts(wall, thread, &after) == 0 && after.times == before.times;
            wall->facts.torn += !blocked;
        } else if (r != -EBUSY && r != -ESRCH) {
            hone_wall_refuse(wall, thread);
        }
    }
    uint64_t run_ns = before.run_ns - thread->run_read_ns;
    uint64_t delay_ns = before.delay_ns - thread->counted.delay_ns;
    uint64_t passed_ns = now_ns - thread->checked_ns;
    if (run_ns > passed_ns)
        run_ns = passed_ns;
    if (delay_ns > passed_ns - run_ns)
        delay_ns = passed_ns - run_ns;
    uint64_t rest_ns = passed_ns - run_ns - delay_ns;
    thread->run_ns += run_ns;
    thread->preempted_ns += delay_ns;
    // Of one that runs the kernel's count is that of the last tick: what is missing from it waits
    // for the next look.
    uint64_t later_ns = blocked ? 0 : rest_ns < LAG_NS ? rest_ns : LAG_NS;
    if (rest_ns - later_ns) {
        uint64_t ended = before.times > thread->times_told ? before.times - thread->times_told : 0;
        divide(wall, thread, rest_ns - later_ns, ended, blocked, kind, stack);
        thread->times_told += ended;
    }
    thread->run_read_ns = before.run_ns;
    thread->counted.delay_ns = before.delay_ns;
    if (moved)
        thread->since_ns = now_ns;
    thread->times = before.times;
    thread->checked_ns = now_ns - later_ns;
    thread->seen = blocked;
    thread->kind = kind;
    thread->stack = stack;
    plan(wall, thread, now_ns);
}

// --- who is there --------------------------------------------------------------------------------

static void poll_thread(struct hone_wall *wall, uint32_t pid, uint32_t tid, uint64_t began_ns,
                        bool new)
{
    struct hone_wall_thread *thread = hone_wall_meet(wall, pid, tid, began_ns);
    if (!thread || !hone_wall_reserve(wall, &wall->due, &wall->due_room, wall->thread_count,
                                      sizeof *wall->due))
        return;
    thread->checked_ns = thread->born_ns;
    thread->times_told = 1; // when it began
    struct counts counts;
    if (!new &&read_counts(wall, thread, &counts) == 0) { // what it did before is not ours
        thread->run_read_ns = counts.run_ns;
        thread->counted.delay_ns = counts.delay_ns;
        thread->times_told = counts.times;
    }
    thread->met_late = new && !began_ns;
    if (pid == tid)
        (void)hone_wall_program_changed(wall, thread);
}

// Programs that a thread started, whether or not they tell of themselves.
static bool meet_child(void *context, uint32_t pid, uint32_t parent)
{
    (void)parent;
    struct hone_wall *wall = context;
    if (pid < HONE_WALL_TIDS_MAX && !hone_wall_find(wall, pid))
        (void)hone_wall_poll_watch(wall, pid, 0, true);
    return false; // that asked for its children
}

static void list(struct hone_wall *wall, uint32_t process_number, uint64_t began_ns, bool new)
{
    uint32_t pid = wall->processes[process_number].pid;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *folder = opendir(path);
    if (!folder)
        return;
    uint32_t asked = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        unsigned long tid = strtoul(entry->d_name, NULL, 10);
        if (!tid || tid >= HONE_WALL_TIDS_MAX)
            continue;
        poll_thread(wall, pid, (uint32_t)tid, tid == pid ? began_ns : 0, new);
        if (asked++ < PARENTS_MAX)
            hone_children_of_thread(pid, (uint32_t)tid, meet_child, wall);
    }
    (void)closedir(folder);
}

int hone_wall_poll_watch(struct hone_wall *wall, uint32_t pid, uint64_t began_ns, bool new)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/schedstat", pid, pid);
    if (access(path, R_OK))
        return -errno;
    poll_thread(wall, pid, pid, began_ns, new);
    const struct hone_wall_thread *first = hone_wall_find(wall, pid);
    if (!first)
        return wall->status ? wall->status : -ESRCH;
    list(wall, first->process, began_ns, new);
    return 0;
}

// The folder of a process's threads has as many links as threads, and two.
static void look_for_new(struct hone_wall *wall, uint64_t now_ns)
{
    for (uint32_t i = 0; i < wall->process_count; i++) {
        struct hone_wall_process *process = &wall->processes[i];
        if (!process->alive)
            continue;
        char path[64];
        struct stat st;
        (void)snprintf(path, sizeof path, "/proc/%u/task", process->pid);
        bool changed = stat(path, &st) == 0 && st.st_nlink != process->links;
        uint64_t anyway_ns = process->alive * (uint64_t)LIST_EACH_NS;
        if (anyway_ns < LIST_ANYWAY_NS)
            anyway_ns = LIST_ANYWAY_NS;
        if (!changed && now_ns - process->listed_ns < anyway_ns)
            continue;
        process->links = st.st_nlink;
        process->listed_ns = now_ns;
        process->look.stale = true; // it may have mapped code
        list(wall, i, 0, true);
    }
    wall->listed_ns = now_ns;
}

void hone_wall_poll_tick(struct hone_wall *wall, uint64_t now_ns)
{
    if (now_ns - wall->listed_ns >= LIST_NS)
        look_for_new(wall, now_ns);
    uint64_t end_ns = hone_now_ns() + wall->period_ns / HONE_WALL_READ_SHARE;
    uint32_t count = wall->thread_count;
    uint32_t first = (uint32_t)random_of(wall, count);
    for (uint32_t i = 0; i < count && !wall->status; i++) {
        uint32_t number = (first + i) % count;
        if (now_ns < wall->due[number])
            continue;
        if (hone_now_ns() > end_ns) {
            wall->facts.postponed++;
            continue;
        }
        struct hone_wall_thread *thread = &wall->threads[number];
        if (thread->tid == thread->pid && hone_wall_program_changed(wall, thread))
            (void)hone_wall_program_replace(wall, thread->process);
        else
            check(wall, thread);
    }
}

void hone_wall_poll_end(struct hone_wall *wall, uint32_t process)
{
    for (uint32_t i = 0; i < wall->thread_count; i++) {
        struct hone_wall_thread *thread = &wall->threads[i];
        if (thread->state == HONE_WALL_ENDED ||
            (process != UINT32_MAX && thread->process != process))
            continue;
        check(wall, thread);
        if (thread->state == HONE_WALL_ENDED)
            continue;
        if (thread->seen) { // the block that it is in counts, too
            thread->longs++;
            hone_wall_seen(
                wall, &(struct hone_wall_seen){
                          .thread = i, .stack = thread->stack, .kind = thread->kind, .longs = 1});
        }
        end(wall, thread);
    }
}

void hone_wall_poll_stop(struct hone_wall *wall)
{
    hone_wall_poll_end(wall, UINT32_MAX);
}
