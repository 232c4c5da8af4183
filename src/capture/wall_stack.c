// Reading the stack of a thread that is blocked. That it stayed blocked is known later, from the
// scheduler's records, or else what was read does not count.
#include "capture/wall_parts.h"

int hone_wall_look(struct hone_wall *wall, struct hone_wall_thread *thread,
                   enum hone_wait_kind *ret_kind, uint32_t *ret_stack)
{
    struct hone_wall_process *process = &wall->processes[thread->process];
    uint32_t tid = thread->tid;
    struct hone_blocked blocked;
    struct hone_kernel_stack kernel = {0};
    process->look.pid = process->pid;
    const struct hone_look_since since = {tid, hone_blocked_turns(process->pid, tid)};
    int r = hone_blocked_read(process->pid, tid, &blocked);
    if (!r && wall->kernel)
        hone_kernel_stack_read(wall->kernel, process->pid, tid, &kernel);
    if (!r)
        r = hone_look_blocked(&wall->look, &process->look, &since, &blocked, &kernel, ret_stack);
    if (!r) {
        char state = hone_blocked_state(process->pid, tid);
        blocked.stopped = state == 'T' || state == 't';
        hone_restart_recall(&thread->last_call, &blocked);
    }
    if (!r)
        *ret_kind = hone_blocked_kind(process->pid, &blocked);
    return r;
}
