// Reading the stack of a thread that is blocked. Its place comes from the kernel (stack pointer,
// instruction, system call), the stack from process_vm_readv(). That it stayed blocked is known
// later, from the scheduler's records, or else what was read does not count.
#include "capture/frame_base.h"
#include "capture/wall_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

void hone_wall_process_done(struct hone_wall_process *process)
{
    hone_remote_free(process->remote);
    free(process->modules);
    process->remote = NULL;
    process->modules = NULL;
}

static int open_remote(struct hone_wall_process *process)
{
    if (process->remote || process->refused)
        return process->refused;
    process->refused = hone_remote_open((pid_t)process->pid, &process->remote, NULL);
    if (process->refused)
        return process->refused;
    process->modules = calloc(HONE_MODULES_MAX, sizeof *process->modules);
    if (!process->modules) {
        hone_wall_process_done(process);
        process->refused = -ENOMEM;
    }
    process->stale = false;
    return process->refused;
}

static uint32_t collected_module(struct hone_wall *wall, struct hone_wall_process *process,
                                 int number)
{
    if (number < 0)
        return HONE_NO_MODULE;
    if (process->modules[number])
        return process->modules[number] - 1;
    const struct hone_module *module =
        hone_modules_at(hone_remote_modules(process->remote), (size_t)number);
    if (!module || !module->path)
        return HONE_NO_MODULE;
    alignas(8) static unsigned char bytes[sizeof(struct hone_record_module) + PATH_MAX];
    struct hone_record_module *record = (struct hone_record_module *)bytes;
    *record = (struct hone_record_module){
        .start = module->start,
        .end = module->end,
        .text_start = module->text_start,
        .text_end = module->text_end,
        .text_offset = module->text_offset,
        .bias = module->bias,
        .build_id_bytes = module->build_id_size,
    };
    memcpy(record->build_id, module->build_id, module->build_id_size);
    size_t len = strnlen(module->path, PATH_MAX - 1);
    memcpy(record->path, module->path, len);
    record->path[len] = '\0';
    uint32_t found = hone_collect_module(wall->collected, record);
    process->modules[number] = found + 1;
    return found;
}

static uint32_t intern(struct hone_wall *wall, struct hone_wall_process *process,
                       const struct hone_walk *walk)
{
    uint32_t owner = 0; // of generated code
    for (uint32_t i = 0; i < walk->count; i++) {
        uint64_t address = wall->addresses[i];
        int number = hone_remote_module_of(process->remote, address);
        uint32_t module = collected_module(wall, process, number);
        struct hone_collected_place place = {.address = address};
        if (module != HONE_NO_MODULE) {
            const struct hone_module *slot =
                hone_modules_at(hone_remote_modules(process->remote), (size_t)number);
            place =
                (struct hone_collected_place){.module = module, .address = address - slot->bias};
        } else {
            owner = owner ? owner : hone_collect_by_pid(wall->collected, process->pid);
            place.process = owner;
        }
        wall->places[i] = hone_collect_place(wall->collected, place);
    }
    uint32_t stack = hone_collect_stack(wall->collected, wall->places, walk->count,
                                        (enum hone_stack_end)walk->end);
    if (owner)
        hone_collect_generated(wall->collected, owner - 1, stack);
    return stack;
}

// From the stack pointer up, as much as is there: the last page of a stack may come soon.
static size_t copy_stack(struct hone_wall *wall, uint32_t pid, uint64_t sp)
{
    struct iovec to = {wall->copy, HONE_WALL_COPY_BYTES};
    enum { PARTS = 17 };
    struct iovec from[PARTS];
    uint64_t at = sp, end = sp + HONE_WALL_COPY_BYTES;
    unsigned long count = 0;
    while (at < end && count < PARTS) { // a part that is not there ends the copy, whole pages only
        uint64_t next = (at & ~(uint64_t)4095) + 4096;
        if (next > end)
            next = end;
        from[count++] = (struct iovec){(void *)(uintptr_t)at, (size_t)(next - at)};
        at = next;
    }
    ssize_t got = process_vm_readv((pid_t)pid, &to, 1, from, count, 0);
    return got > 0 ? (size_t)got : 0;
}

// The walk tells when it needs the frame pointer: it is looked for, and the walk begins anew.
static void walk_stack(struct hone_wall *wall, const struct hone_wall_process *process,
                       const struct hone_blocked *blocked, size_t size, struct hone_walk *ret)
{
    struct hone_registers registers;
    uint64_t known = hone_blocked_registers(blocked, &registers);
    const struct hone_frame_stack stack = {(pid_t)process->pid, wall->copy, blocked->sp, size};
    for (int turn = 0; turn < 2; turn++) {
        (void)hone_remote_walk(process->remote, &registers, known, wall->copy, blocked->sp, size,
                               true, wall->addresses, wall->stack_max, ret);
        uint64_t fp;
        if (ret->end != HONE_WALK_UNKNOWN_REGISTER || !ret->end_fp_unknown || turn ||
            !hone_frame_base_find(process->remote, &stack, ret->end_address, ret->end_sp, &fp))
            return;
        registers.r[HONE_REGISTER_FP] = fp;
        known |= 1ull << HONE_REGISTER_FP;
        wall->facts.bases++;
    }
}

int hone_wall_look(struct hone_wall *wall, struct hone_wall_process *process, uint32_t tid,
                   enum hone_wait *ret_wait, uint32_t *ret_stack)
{
    struct hone_blocked blocked;
    int r = hone_blocked_read(process->pid, tid, &blocked);
    if (!r)
        r = open_remote(process);
    if (r)
        return r;
    // Code in no module: it was mapped since, or the process is another program by now.
    if (process->stale || hone_remote_module_of(process->remote, blocked.ip) < 0) {
        process->stale = false;
        (void)hone_remote_refresh(process->remote);
    }
    size_t size = copy_stack(wall, process->pid, blocked.sp);
    struct hone_walk walk;
    walk_stack(wall, process, &blocked, size, &walk);
    wall->facts.searched += walk.guessed;
    *ret_wait = hone_blocked_wait(process->pid, &blocked);
    *ret_stack = intern(wall, process, &walk);
    return 0;
}
