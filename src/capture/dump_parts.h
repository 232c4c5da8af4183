// What the files of a dump share: dump.c lists and goes through the threads, dump_task.c reads what
// /proc says of one, dump_running.c looks at those that run, dump_stuck.c at who is left.
#ifndef HONE_CAPTURE_DUMP_PARTS_H
#define HONE_CAPTURE_DUMP_PARTS_H

#include "capture/dump.h"
#include "capture/look.h"

enum { HONE_DUMP_CPUS = 1024 };

// The clock by which the kernel notes when a thread ran last is each CPU's own: what to add to make
// it monotonic. A CPU that may not be used has none.
struct hone_dump_clocks {
    int64_t ahead_ns[HONE_DUMP_CPUS];
    uint8_t known[HONE_DUMP_CPUS]; // 0: not asked yet, 1: known, 2: cannot be
};

struct hone_dump_state {
    struct hone_dump_options options;
    struct hone_look look;
    struct hone_look_process *looks; // by process
    uint32_t look_room;
    struct hone_dump_clocks clocks;
    uint32_t next;     // thread that is looked at next
    uint32_t *running; // threads that ran when they were looked at
    uint32_t running_count, running_room;
    bool relisted; // those that began meanwhile are listed, too
};

// --- dump_task.c ---------------------------------------------------------------------------------

// /proc/PID/task/TID/stat.
struct hone_task_stat {
    char name[16];
    char state;
    uint32_t cpu;         // that it ran on last
    uint64_t start_ticks; // when it began, since the machine did
};

// Returns 0, or -ESRCH when it is gone.
int hone_task_stat(uint32_t pid, uint32_t tid, struct hone_task_stat *ret);
int hone_task_stat_parse(const char *text, struct hone_task_stat *ret);

// When it was on a CPU last, monotonic; 0: not known.
uint64_t hone_task_ran_ns(struct hone_dump_clocks *clocks, uint32_t pid, uint32_t tid,
                          uint32_t cpu);

// --- dump_running.c ------------------------------------------------------------------------------

// Looks at dump->state->running: fills their stacks in, or says why not. Those that have begun to
// wait by then are left in the list, all others leave it. Returns 0 or -ENOMEM.
int hone_dump_running(struct hone_dump *dump);

// --- dump_stuck.c --------------------------------------------------------------------------------

// Tells which processes are asleep, when all threads were looked at.
void hone_dump_find_stuck(struct hone_dump *dump);

// --- arch/ ---------------------------------------------------------------------------------------

// Whether a thread can be stopped without the program noticing.
extern const bool hone_dump_can_stop;

// The registers of a thread that stands still under our ptrace. A system call that our stop has
// ended, and that would tell the program so (EINTR), is taken up again. Returns 0 or -errno.
int hone_dump_registers(pid_t tid, struct hone_registers *ret);

#endif
