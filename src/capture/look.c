#include "capture/look.h"

#include "capture/frame_base.h"
#include "capture/held_file.h"

#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

int hone_look_init(struct hone_look *look, struct hone_collected *collected, uint32_t stack_max)
{
    *look = (struct hone_look){
        .collected = collected,
        .stack_max = stack_max,
        .copy = malloc(HONE_LOOK_COPY_BYTES),
        .addresses = calloc(stack_max, sizeof *look->addresses),
        .places = calloc(stack_max, sizeof *look->places),
    };
    return look->copy && look->addresses && look->places ? 0 : -ENOMEM;
}

void hone_look_done(struct hone_look *look)
{
    free(look->copy);
    free(look->addresses);
    free(look->places);
    *look = (struct hone_look){0};
}

void hone_look_process_done(struct hone_look_process *process)
{
    hone_remote_free(process->remote);
    free(process->modules);
    process->remote = NULL;
    process->modules = NULL;
}

int hone_look_open(struct hone_look_process *process)
{
    if (process->remote || process->refused)
        return process->refused;
    process->refused = hone_remote_open((pid_t)process->pid, &process->remote, NULL);
    if (process->refused)
        return process->refused;
    process->modules = calloc(HONE_MODULES_MAX, sizeof *process->modules);
    if (!process->modules) {
        hone_look_process_done(process);
        process->refused = -ENOMEM;
    }
    process->stale = false;
    return process->refused;
}

static uint32_t collected_module(struct hone_look *look, struct hone_look_process *process,
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
    uint32_t found = hone_collect_module(look->collected, record);
    hone_held_file(look->collected, found, (uint32_t)hone_remote_through(process->remote));
    process->modules[number] = found + 1;
    return found;
}

static uint32_t kernel_module(struct hone_look *look)
{
    if (look->kernel)
        return look->kernel - 1;
    alignas(
        8) static unsigned char bytes[sizeof(struct hone_record_module) + sizeof HONE_KERNEL_PATH];
    struct hone_record_module *record = (struct hone_record_module *)bytes;
    *record = (struct hone_record_module){
        .start = HONE_KERNEL_START,
        .end = HONE_KERNEL_END,
        .text_start = HONE_KERNEL_START,
        .text_end = HONE_KERNEL_END,
    };
    memcpy(record->path, HONE_KERNEL_PATH, sizeof HONE_KERNEL_PATH);
    look->kernel = hone_collect_module(look->collected, record) + 1;
    return look->kernel - 1;
}

// Begins the stack with the kernel's frames. Many more than anybody has seen, of a depth that the
// user limits, would leave no room for the program.
static uint32_t begin_in_kernel(struct hone_look *look, const struct hone_kernel_stack *kernel)
{
    if (!kernel || !kernel->count || kernel->count > look->stack_max / 2)
        return 0;
    memcpy(look->addresses, kernel->frames, kernel->count * sizeof kernel->frames[0]);
    look->kernels++;
    return kernel->count;
}

// The stack in look->addresses, of which the first so many are the kernel's.
static uint32_t intern(struct hone_look *look, struct hone_look_process *process, uint32_t kernels,
                       uint32_t count, enum hone_stack_end end)
{
    uint32_t owner = 0; // of generated code
    for (uint32_t i = 0; i < kernels; i++)
        look->places[i] = hone_collect_place(look->collected, (struct hone_collected_place){
                                                                  .module = kernel_module(look),
                                                                  .address = look->addresses[i],
                                                              });
    for (uint32_t i = kernels; i < count; i++) {
        uint64_t address = look->addresses[i];
        int number = hone_remote_module_of(process->remote, address);
        uint32_t module = collected_module(look, process, number);
        struct hone_collected_place place = {.address = address};
        if (module != HONE_NO_MODULE) {
            const struct hone_module *slot =
                hone_modules_at(hone_remote_modules(process->remote), (size_t)number);
            place =
                (struct hone_collected_place){.module = module, .address = address - slot->bias};
        } else {
            owner = owner ? owner : hone_collect_by_pid(look->collected, process->pid);
            place.process = owner;
        }
        look->places[i] = hone_collect_place(look->collected, place);
    }
    uint32_t stack = hone_collect_stack(look->collected, look->places, count, end);
    if (owner)
        hone_collect_generated(look->collected, owner - 1, stack);
    return stack;
}

// The last page of a stack may come soon.
size_t hone_look_copy(struct hone_look *look, uint32_t pid, uint64_t sp)
{
    struct iovec to = {look->copy, HONE_LOOK_COPY_BYTES};
    enum { PARTS = 17 };
    struct iovec from[PARTS];
    uint64_t at = sp, end = sp + HONE_LOOK_COPY_BYTES;
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
static void walk_blocked(struct hone_look *look, const struct hone_look_process *process,
                         const struct hone_blocked *blocked, size_t size, uint32_t kernels,
                         struct hone_walk *ret)
{
    struct hone_registers registers;
    uint64_t known = hone_blocked_registers(blocked, &registers);
    const struct hone_frame_stack stack = {hone_remote_through(process->remote), look->copy,
                                           blocked->sp, size};
    for (int turn = 0; turn < 2; turn++) {
        (void)hone_remote_walk(process->remote, &registers, known, look->copy, blocked->sp, size,
                               true, look->addresses + kernels, look->stack_max - kernels, ret);
        uint64_t fp;
        if (ret->end != HONE_WALK_UNKNOWN_REGISTER || !ret->end_fp_unknown || turn ||
            !hone_frame_base_find(process->remote, &stack, ret->end_address, ret->end_sp, &fp))
            return;
        registers.r[HONE_REGISTER_FP] = fp;
        known |= 1ull << HONE_REGISTER_FP;
        look->bases++;
    }
}

// Code in no module: it was mapped since, or the process is another program by now.
static void refresh(struct hone_look_process *process, uint64_t ip)
{
    if (!process->stale && hone_remote_module_of(process->remote, ip) >= 0)
        return;
    process->stale = false;
    (void)hone_remote_refresh(process->remote);
}

int hone_look_blocked(struct hone_look *look, struct hone_look_process *process,
                      const struct hone_look_since *since, const struct hone_blocked *blocked,
                      const struct hone_kernel_stack *kernel, uint32_t *ret_stack)
{
    int r = hone_look_open(process);
    if (r)
        return r;
    refresh(process, blocked->ip);
    size_t size = hone_look_copy(look, (uint32_t)hone_remote_through(process->remote), blocked->sp);
    if (since && hone_blocked_turns(process->pid, since->tid) != since->turns)
        return -EBUSY;
    struct hone_walk walk;
    uint32_t kernels = begin_in_kernel(look, kernel);
    walk_blocked(look, process, blocked, size, kernels, &walk);
    look->searched += walk.guessed;
    *ret_stack =
        intern(look, process, kernels, kernels + walk.count, (enum hone_stack_end)walk.end);
    return 0;
}

static void walk_copied(struct hone_look *look, const struct hone_look_process *process,
                        const struct hone_look_copy *copy, bool may_read, uint32_t kernels,
                        struct hone_walk *ret)
{
    (void)hone_remote_walk(process->remote, copy->registers, HONE_REMOTE_KNOWN_ALL, copy->stack,
                           copy->registers->r[HONE_REGISTER_SP], copy->bytes, may_read,
                           look->addresses + kernels, look->stack_max - kernels, ret);
}

static bool still_waits(const struct hone_look_process *process, const struct hone_look_copy *copy)
{
    struct hone_blocked now;
    return hone_blocked_read(process->pid, copy->waiting, &now) == 0 &&
           now.sp == copy->registers->r[HONE_REGISTER_SP] &&
           now.ip == copy->registers->r[HONE_REGISTER_IP];
}

int hone_look_copied(struct hone_look *look, struct hone_look_process *process,
                     struct hone_look_copy *copy, const struct hone_kernel_stack *kernel,
                     uint32_t *ret_stack)
{
    int r = hone_look_open(process);
    if (r)
        return r;
    refresh(process, copy->registers->r[HONE_REGISTER_IP]);
    struct hone_walk walk;
    uint32_t kernels = begin_in_kernel(look, kernel);
    walk_copied(look, process, copy, false, kernels, &walk);
    copy->lacks = walk.end == HONE_WALK_COPY_SHORT;
    if (copy->lacks && copy->waiting && still_waits(process, copy)) {
        walk_copied(look, process, copy, true, kernels, &walk);
        if (!still_waits(process, copy)) // what was read may be of another time
            walk_copied(look, process, copy, false, kernels, &walk);
    }
    look->searched += walk.guessed;
    *ret_stack =
        intern(look, process, kernels, kernels + walk.count, (enum hone_stack_end)walk.end);
    return 0;
}

uint32_t hone_look_addresses(struct hone_look *look, struct hone_look_process *process,
                             const uint64_t *addresses, uint32_t count, enum hone_stack_end end)
{
    if (count > look->stack_max) {
        count = look->stack_max;
        end = HONE_STACK_TOO_DEEP;
    }
    memcpy(look->addresses, addresses, count * sizeof *addresses);
    return intern(look, process, 0, count, end);
}
