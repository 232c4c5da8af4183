// From addresses in processes to places in files: modules, and the stacks that run through them.
#include "capture/collect_parts.h"
#include "capture/held_file.h"

#include "core/hash.h"

#include <errno.h>
#include <string.h>

// --- modules -------------------------------------------------------------------------------------

static bool is_ours(const char *path)
{
    static const char name[] = "libhone.so";
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    size_t len = sizeof name - 1;
    return strncmp(file, name, len) == 0 && (!file[len] || file[len] == ' '); // (deleted)
}

uint32_t hone_collect_module(struct hone_collected *collected,
                             const struct hone_record_module *record)
{
    struct hone_collect_state *state = collected->state;
    size_t path_len = strlen(record->path);
    uint64_t hash = hone_table_hash(record->path, path_len, record->build_id_bytes);
    hash = hone_table_hash(record->build_id, record->build_id_bytes, hash);
    struct hone_table_probe probe = hone_table_probe(&state->modules, hash);
    uint32_t at;
    while ((at = hone_table_next(&state->modules, &probe)) != HONE_TABLE_END) {
        const struct hone_collected_module *module = &collected->modules[at];
        if (strcmp(module->path, record->path) == 0 && module->contents == record->contents &&
            module->build_id_bytes == record->build_id_bytes &&
            memcmp(module->build_id, record->build_id, module->build_id_bytes) == 0)
            return at;
    }
    const char *path = hone_arena_copy(&collected->arena, record->path, path_len + 1);
    if (!path ||
        !hone_collect_reserve(state, &collected->modules, &state->module_room,
                              (uint64_t)collected->module_count + 1, sizeof *collected->modules) ||
        hone_table_add(&state->modules, hash, collected->module_count)) {
        state->status = -ENOMEM;
        return HONE_NO_MODULE;
    }
    struct hone_collected_module *module = &collected->modules[collected->module_count];
    *module = (struct hone_collected_module){.path = path,
                                             .build_id_bytes = record->build_id_bytes,
                                             .start = record->start,
                                             .end = record->end,
                                             .text_start = record->text_start,
                                             .text_end = record->text_end,
                                             .text_offset = record->text_offset,
                                             .bias = record->bias,
                                             .contents = record->contents,
                                             .ours = is_ours(path)};
    memcpy(module->build_id, record->build_id, sizeof module->build_id);
    return collected->module_count++;
}

static void add_module(struct hone_collected *collected, struct hone_live *live,
                       const struct hone_live_module *module)
{
    if (hone_collect_reserve(collected->state, &live->modules, &live->module_room,
                             (uint64_t)live->module_count + 1, sizeof *live->modules))
        live->modules[live->module_count++] = *module;
}

void hone_collect_on_module(void *context, uint32_t number, const struct hone_record_module *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    if (!live)
        return;
    struct hone_live_module module = {.module = hone_collect_module(collected, record),
                                      .index = record->record.small,
                                      .turn = record->turn,
                                      .start = record->start,
                                      .end = record->end,
                                      .bias = record->bias};
    collected->state->last->count = 0;
    const struct hone_collected_process *process = &collected->processes[live->process];
    if (hone_collect_same_pids(collected, process))
        hone_held_file(collected, module.module, process->pid);
    for (uint32_t i = live->module_count; i-- > 0;) {
        if (live->modules[i].index == module.index) { // it came back, or this one comes late
            if (module.turn >= live->modules[i].turn)
                live->modules[i] = module;
            return;
        }
    }
    add_module(collected, live, &module);
}

void hone_collect_on_module_gone(void *context, uint32_t number,
                                 const struct hone_record_module_gone *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    if (!live)
        return;
    collected->state->last->count = 0;
    for (uint32_t i = 0; i < live->module_count; i++) {
        struct hone_live_module *module = &live->modules[i];
        if (module->index != record->record.small)
            continue;
        if (record->turn >= module->turn) {
            module->gone = true;
            module->turn = record->turn;
        }
        return;
    }
    // What it was comes late, and finds here that it is over.
    add_module(collected, live,
               &(struct hone_live_module){
                   .index = record->record.small, .turn = record->turn, .gone = true});
}

// The module that holds an address; a live one before one that is gone, the newest first.
static const struct hone_live_module *find_module(struct hone_live *live, uint64_t address)
{
    if (live->last_module < live->module_count) {
        const struct hone_live_module *hint = &live->modules[live->last_module];
        if (!hint->gone && address >= hint->start && address < hint->end)
            return hint;
    }
    const struct hone_live_module *gone = NULL;
    for (uint32_t i = live->module_count; i-- > 0;) {
        const struct hone_live_module *module = &live->modules[i];
        if (address < module->start || address >= module->end)
            continue;
        if (!module->gone) {
            live->last_module = i;
            return module;
        }
        if (!gone)
            gone = module;
    }
    return gone;
}

// --- places and stacks ---------------------------------------------------------------------------

uint32_t hone_collect_place(struct hone_collected *collected, struct hone_collected_place place)
{
    struct hone_collect_state *state = collected->state;
    uint64_t hash =
        hone_hash_fold(place.address ^ 0x9e3779b97f4a7c15u,
                       0xa0761d6478bd642fu + place.module + ((uint64_t)place.process << 32));
    struct hone_table_probe probe = hone_table_probe(&state->places, hash);
    uint32_t at;
    while ((at = hone_table_next(&state->places, &probe)) != HONE_TABLE_END)
        if (collected->places[at].address == place.address &&
            collected->places[at].module == place.module &&
            collected->places[at].process == place.process)
            return at;
    if (!hone_collect_grow(state, &collected->places, &state->place_room,
                           (uint64_t)collected->place_count + 1, sizeof *collected->places) ||
        hone_table_add(&state->places, hash, collected->place_count)) {
        state->status = -ENOMEM;
        return 0;
    }
    collected->places[collected->place_count] = place;
    return collected->place_count++;
}

// Another library may lie where one has just been, before we are told: what is no code of a module
// is not its.
static bool is_code(const struct hone_collected_module *module, uint64_t address)
{
    uint64_t at = address + module->bias;
    return at >= module->text_start && at < module->text_end;
}

uint32_t hone_collect_intern(struct hone_collected *collected, struct hone_live *live,
                             uint64_t address)
{
    const struct hone_live_module *module = find_module(live, address);
    struct hone_collected_place place = {.process = live->process + 1, .address = address};
    if (module && is_code(&collected->modules[module->module], address - module->bias))
        place = (struct hone_collected_place){.module = module->module,
                                              .address = address - module->bias};
    return hone_collect_place(collected, place);
}

void hone_collect_data(const struct hone_collected *collected, struct hone_live *live,
                       uint64_t address, uint32_t *ret_module, uint64_t *ret_vaddr)
{
    const struct hone_live_module *module = find_module(live, address);
    bool data = module && !module->gone &&
                !is_code(&collected->modules[module->module], address - module->bias);
    *ret_module = data ? module->module : HONE_NO_MODULE;
    *ret_vaddr = data ? address - module->bias : 0;
}

uint32_t hone_collect_stack(struct hone_collected *collected, const uint32_t *frames,
                            uint32_t count, enum hone_stack_end end)
{
    struct hone_collect_state *state = collected->state;
    uint64_t hash = hone_table_hash(frames, count * sizeof *frames, end);
    struct hone_table_probe probe = hone_table_probe(&state->stacks, hash);
    uint32_t at;
    while ((at = hone_table_next(&state->stacks, &probe)) != HONE_TABLE_END) {
        const struct hone_collected_stack *stack = &collected->stacks[at];
        if (stack->count == count && stack->end == end &&
            memcmp(collected->frames + stack->first, frames, count * sizeof *frames) == 0)
            return at;
    }
    if (!hone_collect_grow(state, &collected->stacks, &state->stack_room,
                           (uint64_t)collected->stack_count + 1, sizeof *collected->stacks) ||
        !hone_collect_grow(state, &collected->frames, &state->frame_room,
                           (uint64_t)collected->frame_count + count, sizeof *collected->frames) ||
        hone_table_add(&state->stacks, hash, collected->stack_count)) {
        state->status = -ENOMEM;
        return 0;
    }
    memcpy(collected->frames + collected->frame_count, frames, count * sizeof *frames);
    collected->stacks[collected->stack_count] =
        (struct hone_collected_stack){collected->frame_count, count, end, false};
    collected->frame_count += count;
    return collected->stack_count++;
}

void hone_collect_generated(struct hone_collected *collected, uint32_t number, uint32_t stack)
{
    if (collected->state->status)
        return;
    struct hone_collected_stack *seen = &collected->stacks[stack];
    bool generated = false;
    for (uint32_t i = 0; i < seen->count && !generated; i++)
        generated = collected->places[collected->frames[seen->first + i]].process != 0;
    seen->generated = generated;
    if (!generated)
        return;
    struct hone_collected_process *process = &collected->processes[number];
    if (!process->generated) {
        process->generated = hone_arena_new(&collected->arena, struct hone_generated);
        if (!process->generated)
            return;
        hone_generated_init(process->generated);
    }
    const struct hone_collected_place *leaf = &collected->places[collected->frames[seen->first]];
    hone_generated_see(process->generated,
                       process->facts.pid_namespace == collected->pid_namespace ? process->pid : 0,
                       process->facts.pid, process->facts.pid_namespace,
                       leaf->process ? leaf->address : 0);
}

// The places of a stack, outermost first. Most of its frames are those of the last stack that was
// told, at the same places as long as no module has come or gone.
static const uint32_t *places_of(struct hone_collected *collected, struct hone_live *live,
                                 uint32_t number, const struct hone_record_stack *record)
{
    struct hone_last_stack *last = collected->state->last;
    const uint64_t *outermost = record->addresses + record->count;
    uint32_t known = last->number == number ? last->count : 0, same = 0;
    known = known < record->count ? known : record->count;
    while (same < known && last->addresses[same] == outermost[-1 - (int64_t)same])
        same++;
    for (uint32_t i = record->count; i-- > same;) {
        last->addresses[i] = outermost[-1 - (int64_t)i];
        last->places[i] = hone_collect_intern(collected, live, last->addresses[i]);
    }
    last->number = number;
    last->count = record->count;
    return last->places;
}

void hone_collect_on_stack(void *context, uint32_t number, const struct hone_record_stack *record)
{
    struct hone_collected *collected = context;
    struct hone_collect_state *state = collected->state;
    struct hone_live *live = hone_live_of(collected, number);
    uint32_t id = record->record.small;
    if (!live)
        return;
    const uint32_t *places = places_of(collected, live, number, record);
    for (uint32_t i = 0; i < record->count; i++)
        state->scratch[i] = places[record->count - 1 - i];
    enum hone_stack_end end = record->end < HONE_STACK_ENDS ? record->end : HONE_STACK_BAD_RULE;
    uint32_t at = hone_collect_stack(collected, state->scratch, record->count, end);
    if (state->status || !hone_numbers_set(state, &live->stacks, id, at))
        return;
    hone_collect_generated(collected, live->process, at);
}
