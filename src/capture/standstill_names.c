// Names for what is read of a process: functions, variables, places in memory.
#include "capture/standstill_parts.h"

#include "base/array.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct hone_module *slot_of(const struct hone_standstill_reader *reader, int number)
{
    return number < 0 ? NULL : hone_modules_at(hone_remote_modules(reader->remote), (size_t)number);
}

// NULL: no names are to be had, or memory is out.
static struct hone_symbol_module *symbols_of(struct hone_standstill_reader *reader, int number)
{
    const struct hone_module *slot = slot_of(reader, number);
    if (!slot || !slot->path)
        return NULL;
    if (!reader->modules[number] && !reader->status)
        reader->status =
            hone_symbolizer_module(reader->stand->symbolizer, slot->path, slot->build_id,
                                   slot->build_id_size, &reader->modules[number]);
    return reader->modules[number];
}

static const char *keep(struct hone_standstill_reader *reader, const char *text)
{
    char *kept = hone_arena_copy(&reader->stand->arena, text, strlen(text) + 1);
    if (!kept)
        reader->status = -ENOMEM;
    return kept ? kept : "";
}

// The remote's own paths go with it.
static const char *path_of(struct hone_standstill_reader *reader, int number)
{
    const struct hone_module *slot = slot_of(reader, number);
    if (!slot || !slot->path)
        return "";
    if (!reader->paths[number])
        reader->paths[number] = keep(reader, slot->path);
    return reader->paths[number];
}

void hone_standstill_frames(struct hone_standstill_reader *reader, uint64_t address,
                            struct hone_standstill_stack *ret)
{
    int number = hone_remote_module_of(reader->remote, address);
    const struct hone_module *slot = slot_of(reader, number);
    struct hone_symbol_module *module = symbols_of(reader, number);
    struct hone_symbol_frames found = {0};
    if (module) {
        int r = hone_symbol_lookup(module, address - slot->bias, &found);
        if (r < 0)
            reader->status = r;
        if (r)
            found.count = 0;
    }
    size_t count = found.count ? found.count : 1;
    if (!hone_array_reserve(&ret->at, &ret->room, ret->count + count, sizeof *ret->at)) {
        reader->status = -ENOMEM;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct hone_standstill_frame *frame = &ret->at[ret->count++];
        *frame = (struct hone_standstill_frame){
            .function = "", .file = "", .module = path_of(reader, number), .address = address};
        if (!found.count)
            continue;
        frame->function = found.at[i].function->name;
        frame->file = found.at[i].function->file;
        frame->line = found.at[i].line;
    }
}

// They become the arena's: until then their number is not known.
void hone_standstill_settle(struct hone_standstill_reader *reader,
                            struct hone_standstill_stack *stack)
{
    struct hone_standstill_frame *heap = stack->at;
    size_t bytes = stack->count * sizeof *heap;
    stack->at = hone_arena_alloc(&reader->stand->arena, bytes ? bytes : 1);
    if (stack->at && bytes)
        memcpy(stack->at, heap, bytes);
    free(heap);
    if (stack->at)
        return;
    stack->count = 0;
    reader->status = -ENOMEM;
}

// The module whose data the address lies in; -1: none.
static int module_around(const struct hone_standstill_reader *reader, uint64_t address)
{
    const struct hone_modules *modules = hone_remote_modules(reader->remote);
    for (size_t i = 0; i < hone_modules_count(modules); i++) {
        const struct hone_module *slot = hone_modules_at(modules, i);
        if (slot && !hone_module_retired(slot) && slot->start <= address && address < slot->end)
            return (int)i;
    }
    return -1;
}

// "accounts", "accounts+0x28"; "": it has no name.
const char *hone_standstill_variable(struct hone_standstill_reader *reader, uint64_t address)
{
    int number = module_around(reader, address);
    const struct hone_module *slot = slot_of(reader, number);
    struct hone_symbol_module *module = symbols_of(reader, number);
    struct hone_symbol_variable variable;
    if (!module || hone_symbol_variable(module, address - slot->bias, &variable))
        return "";
    uint64_t offset = address - slot->bias - variable.start;
    if (!offset)
        return variable.name;
    char *text = hone_arena_format(&reader->stand->arena, "%s+0x%" PRIx64, variable.name, offset);
    if (!text)
        reader->status = -ENOMEM;
    return text ? text : "";
}

const char *hone_standstill_where(struct hone_standstill_reader *reader, uint64_t address)
{
    char text[512];
    int number = module_around(reader, address);
    const struct hone_module *slot = slot_of(reader, number);
    const struct hone_standstill_area *area = hone_standstill_area(&reader->areas, address);
    if (slot) {
        (void)snprintf(text, sizeof text, "in %s", slot->path);
        return keep(reader, text);
    }
    if (!area)
        return "";
    if (strcmp(area->path, "[heap]") == 0)
        return "on the heap";
    for (uint32_t i = 0; i < reader->stand->count; i++) {
        const struct hone_standstill_thread *thread = &reader->stand->threads[i];
        if (!thread->still || thread->blocked.sp < area->start || thread->blocked.sp >= area->end ||
            address < thread->blocked.sp)
            continue;
        (void)snprintf(text, sizeof text, "on the stack of thread %u", thread->tid);
        return keep(reader, text);
    }
    if (area->shared) {
        (void)snprintf(text, sizeof text, "in shared memory %s", area->path);
        return keep(reader, text);
    }
    return "in memory that the program mapped or allocated";
}
