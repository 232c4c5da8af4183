// Samples: modules that a process has by now, the stack by copied registers and memory.
#include "capture/outside_parts.h"

#include "capture/kernel_stack.h"
#include "unwind/perf_registers.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KERNEL_MODULE = HONE_MODULES_MAX };

_Static_assert((int)HONE_WALK_UNKNOWN_REGISTER == (int)HONE_STACK_UNKNOWN_REGISTER &&
                   (int)HONE_WALK_END_COUNT == (int)HONE_STACK_ENDS,
               "ends of walks are kept as they are");

static struct hone_record_stack *stack_record(const struct hone_outside *outside)
{
    return (struct hone_record_stack *)outside->stack;
}

static void tell_module(struct hone_outside *outside, const struct hone_outside_process *process,
                        uint32_t index, const struct hone_module *module)
{
    // 8-byte aligned, with room for any path.
    uint64_t room[(sizeof(struct hone_record_module) + PATH_MAX) / sizeof(uint64_t)] = {0};
    struct hone_record_module *record = (struct hone_record_module *)room;
    record->record.small = index;
    record->start = module->start;
    record->end = module->end;
    record->text_start = module->text_start;
    record->text_end = module->text_end;
    record->text_offset = module->text_offset;
    record->bias = module->bias;
    record->build_id_bytes = module->build_id_size;
    memcpy(record->build_id, module->build_id, module->build_id_size);
    (void)snprintf(record->path, PATH_MAX, "%s", module->path);
    hone_collect_events.module(outside->collected, process->number, record);
}

// What has been mapped and unmapped since the process's last sample.
static void tell_modules(struct hone_outside *outside, struct hone_outside_process *process)
{
    const struct hone_modules *modules = hone_remote_modules(process->remote);
    if (process->modules && process->changes == modules->changes)
        return;
    if (!process->modules)
        process->modules = calloc(HONE_MODULES_MAX, 1);
    if (!process->modules) {
        outside->status = -ENOMEM;
        return;
    }
    process->changes = modules->changes;
    for (uint32_t i = 0; i < hone_modules_count(modules); i++) {
        const struct hone_module *module = hone_modules_at(modules, i);
        bool gone = hone_module_retired(module);
        if (gone && process->modules[i] == MODULE_TOLD) {
            const struct hone_record_module_gone record = {.record.small = i};
            hone_collect_events.module_gone(outside->collected, process->number, &record);
            process->modules[i] = MODULE_GONE;
        } else if (!gone && process->modules[i] != MODULE_TOLD) {
            tell_module(outside, process, i, module);
            process->modules[i] = MODULE_TOLD;
        }
    }
}

static void tell_kernel(struct hone_outside *outside, struct hone_outside_process *process)
{
    if (process->kernel_told)
        return;
    process->kernel_told = true;
    const struct hone_module kernel = {
        .start = HONE_KERNEL_START,
        .end = HONE_KERNEL_END,
        .text_start = HONE_KERNEL_START,
        .text_end = HONE_KERNEL_END,
        .path = HONE_KERNEL_PATH,
    };
    tell_module(outside, process, KERNEL_MODULE, &kernel);
}

// The next copies of the thread's stack shall have what this one lacks.
static void have_more_copied(struct hone_outside_thread *thread, const struct hone_remote *remote,
                             uint64_t sp, const struct hone_perf_record *record, uint32_t asked)
{
    if (record->stack_is_full || thread->touched_sp == sp)
        return;
    thread->touched_sp = sp;
    hone_remote_touch(remote, sp, asked);
}

static enum hone_stack_end add_user_frames(struct hone_outside *outside,
                                           struct hone_outside_process *process,
                                           struct hone_outside_thread *thread,
                                           const struct hone_perf_record *record)
{
    struct hone_record_stack *stack = stack_record(outside);
    uint32_t room = outside->options.stack_max - stack->count;
    if (record->abi == PERF_SAMPLE_REGS_ABI_NONE) // the kernel's own thread
        return HONE_STACK_COMPLETE;
    if (!room)
        return HONE_STACK_TOO_DEEP;
    if (record->abi != PERF_SAMPLE_REGS_ABI_64 || !process->remote)
        return HONE_STACK_NO_RULE;
    // In exec the registers are those of the program before, whose stack is gone.
    if (stack->count && (record->stack_bytes == 0 ||
                         hone_modules_count(hone_remote_modules(process->remote)) == 0)) {
        stack->addresses[stack->count++] = HONE_PLACE_BEFORE;
        return HONE_STACK_COMPLETE;
    }
    uint64_t sampled[HONE_PERF_REGISTERS_MAX];
    memcpy(sampled, record->registers, hone_perf_register_count * sizeof sampled[0]);
    struct hone_registers registers;
    (void)hone_perf_registers(sampled, hone_perf_register_mask, &registers);
    struct hone_walk walk;
    stack->count += (uint32_t)hone_remote_walk(
        process->remote, &registers, HONE_REMOTE_KNOWN_ALL, record->stack,
        registers.r[HONE_REGISTER_SP], record->stack_bytes, false,
        &stack_record(outside)->addresses[stack->count], room, &walk);
    if (walk.end == HONE_WALK_COPY_SHORT)
        have_more_copied(thread, process->remote, registers.r[HONE_REGISTER_SP], record,
                         outside->perf.stack_bytes);
    process->facts.frames += walk.count;
    process->facts.frame_misses += walk.misses;
    process->facts.frame_pointer += walk.frame_pointers;
    process->facts.searched += walk.guessed;
    return (enum hone_stack_end)walk.end;
}

void hone_outside_on_sample(struct hone_outside *outside, const struct hone_perf_record *record)
{
    if (!record->pid)
        return; // idle
    struct hone_outside_process *process = hone_outside_process_of(outside, record->pid);
    if (!process && outside->all)
        process = hone_outside_adopt(outside, record->pid);
    if (!process || process->is_ours)
        return;
    struct hone_outside_thread *thread = hone_outside_thread_of(outside, record->tid);
    if (!thread || &outside->processes[thread->process] != process)
        thread = hone_outside_new_thread(outside, process, record->tid);
    if (!thread)
        return;
    hone_outside_tell_thread(outside, thread);
    if (process->remote)
        tell_modules(outside, process);
    struct hone_record_stack *stack = stack_record(outside);
    stack->count = hone_kernel_stack_of_chain(record->chain, record->chain_count, stack->addresses,
                                              outside->options.stack_max);
    if (stack->count)
        tell_kernel(outside, process);
    stack->end = (uint32_t)add_user_frames(outside, process, thread, record);
    hone_collect_events.stack(outside->collected, process->number, stack);
    const struct hone_record_cpu cpu = {
        .record.small = thread->index,
        .time_ns = record->time_ns,
        .cpu_ns = outside->options.period_ns,
    };
    hone_collect_events.cpu(outside->collected, process->number, &cpu);
    thread->samples++;
    outside->facts.samples++;
    process->facts.samples++;
    process->facts.stacks++;
    process->facts.truncated += stack->end != HONE_STACK_COMPLETE;
}
