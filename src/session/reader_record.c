#include "session/reader_record.h"

#include <string.h>

static bool has_end(const char *text, const char *limit)
{
    return text < limit && memchr(text, '\0', (size_t)(limit - text));
}

bool hone_record_tell(const struct hone_record_copy *record,
                      const struct hone_reader_events *events, void *context, uint32_t number)
{
    const void *copy = record->data;
    uint32_t len = record->len;
    const char *limit = (const char *)copy + len;
    switch (record->kind) {
    case HONE_RECORD_MODULE: {
        const struct hone_record_module *module = copy;
        if (len < sizeof *module || !has_end(module->path, limit) ||
            module->build_id_bytes > sizeof module->build_id || module->start >= module->end)
            break;
        if (events->module)
            events->module(context, number, module);
        return true;
    }
    case HONE_RECORD_MODULE_GONE:
        if (len < sizeof(struct hone_record_module_gone))
            break;
        if (events->module_gone)
            events->module_gone(context, number, copy);
        return true;
    case HONE_RECORD_THREAD:
        if (len < sizeof(struct hone_record_thread))
            break;
        if (events->thread)
            events->thread(context, number, copy);
        return true;
    case HONE_RECORD_THREAD_END:
        if (len < sizeof(struct hone_record_thread_end) ||
            ((const struct hone_record_thread_end *)copy)->cpu_ns > record->most_ns)
            break;
        if (events->thread_end)
            events->thread_end(context, number, copy);
        return true;
    case HONE_RECORD_STACK: {
        const struct hone_record_stack *stack = copy;
        if (len < sizeof *stack || stack->count > HONE_STACK_MAX ||
            stack->count * sizeof stack->addresses[0] > len - sizeof *stack)
            break;
        if (events->stack)
            events->stack(context, number, stack);
        return true;
    }
    case HONE_RECORD_CPU:
    case HONE_RECORD_CPU_DRAWN:
        if (len < sizeof(struct hone_record_cpu) ||
            ((const struct hone_record_cpu *)copy)->cpu_ns > record->most_ns)
            break;
        if (record->kind == HONE_RECORD_CPU && events->cpu)
            events->cpu(context, number, copy);
        else if (record->kind == HONE_RECORD_CPU_DRAWN && events->cpu_drawn)
            events->cpu_drawn(context, number, copy);
        return true;
    case HONE_RECORD_HEAP_ALLOC:
        if (len < sizeof(struct hone_record_heap_alloc))
            break;
        if (events->heap_alloc)
            events->heap_alloc(context, number, copy);
        return true;
    case HONE_RECORD_HEAP_FREE:
        if (len < sizeof(struct hone_record_heap_free))
            break;
        if (events->heap_free)
            events->heap_free(context, number, copy);
        return true;
    case HONE_RECORD_HEAP_KEPT:
        if (len < sizeof(struct hone_record_heap_kept))
            break;
        if (events->heap_kept)
            events->heap_kept(context, number, copy);
        return true;
    case HONE_RECORD_LOCK_HELD: {
        const struct hone_record_lock_held *held = copy;
        if (len < sizeof *held || held->kind >= HONE_LOCK_KINDS || !held->weight)
            break;
        if (events->lock_held)
            events->lock_held(context, number, held);
        return true;
    }
    case HONE_RECORD_WAIT: {
        const struct hone_record_wait *wait = copy;
        if (len < sizeof *wait || wait->kind >= HONE_LOCK_KINDS || !wait->rate_ns)
            break;
        if (events->wait)
            events->wait(context, number, wait);
        return true;
    }
    case HONE_RECORD_LOCK_USE: {
        const struct hone_record_lock_use *use = copy;
        if (len < sizeof *use || use->kind >= HONE_LOCK_KINDS || !use->weight)
            break;
        if (events->lock_use)
            events->lock_use(context, number, use);
        return true;
    }
    case HONE_RECORD_LOCK_KNOWN: {
        const struct hone_record_lock_known *lock = copy;
        if (len < sizeof *lock || lock->record.small >= HONE_LOCK_KINDS ||
            !has_end(lock->name, limit))
            break;
        if (events->lock_known)
            events->lock_known(context, number, lock);
        return true;
    }
    case HONE_RECORD_LOCK_BLOCK: {
        const struct hone_record_lock_block *lock = copy;
        if (len < sizeof *lock || lock->record.small >= HONE_LOCK_KINDS)
            break;
        if (events->lock_block)
            events->lock_block(context, number, lock);
        return true;
    }
    case HONE_RECORD_LOCK_ORDER: {
        const struct hone_record_lock_order *order = copy;
        if (len < sizeof *order || order->held_kind >= HONE_LOCK_KINDS ||
            order->taken_kind >= HONE_LOCK_KINDS)
            break;
        if (events->lock_order)
            events->lock_order(context, number, order);
        return true;
    }
    case HONE_RECORD_EXEC: {
        const struct hone_record_exec *exec = copy;
        if (len < sizeof *exec || !has_end(exec->path, limit))
            break;
        if (events->exec)
            events->exec(context, number, exec);
        return true;
    }
    default:
        break;
    }
    return false;
}
