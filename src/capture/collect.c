#include "capture/collect.h"

#include "base/array.h"
#include "base/file.h"
#include "core/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NUMBER_FACTOR 0xa0761d6478bd642fu

// What numbers mean that processes chose: a table of those that came, for one that was overwritten
// may name any.
struct numbers {
    struct hone_table table;
    struct number {
        uint32_t number, at;
    } * items;
    uint32_t count, room;
};

// What is known of a process only while it lives.
struct live {
    bool used;
    uint32_t process; // in collected->processes
    struct live_module {
        uint32_t module;
        uint32_t index; // the process's number for it
        uint64_t start, end, bias;
        bool gone;
    } * modules;
    uint32_t module_count, module_room;
    struct numbers threads; // the process's index: in collected->threads
    struct numbers stacks;  // the process's id: in collected->stacks
    uint32_t last_module;   // a hint: neighbouring frames are of one module
    struct hone_heap_blocks blocks;
};

struct hone_collect_state {
    int status;
    struct live *live; // by the reader's number
    uint32_t live_room;
    struct hone_table modules, places, stacks, samples, wall;
    struct numbers pids; // the last process that had it, in collected->processes
    uint64_t seed;       // of hashes of what processes chose
    uint32_t module_room, place_room, frame_room, stack_room, thread_room, process_room,
        sample_room, wall_room;
    uint32_t *scratch; // places of one stack
};

// Room for `need` items in an array, doubling.
static bool reserve(struct hone_collect_state *state, void *array, uint32_t *room, uint64_t need,
                    size_t size)
{
    if (hone_array_reserve(array, room, need, size))
        return true;
    state->status = -ENOMEM;
    return false;
}

static struct number *find_number(const struct hone_collect_state *state,
                                  const struct numbers *numbers, uint32_t number)
{
    struct hone_table_probe probe =
        hone_table_probe(&numbers->table, hone_hash_fold(number ^ state->seed, NUMBER_FACTOR));
    uint32_t at;
    while ((at = hone_table_next(&numbers->table, &probe)) != HONE_TABLE_END)
        if (numbers->items[at].number == number)
            return &numbers->items[at];
    return NULL;
}

// From now on the number means that.
static bool set_number(struct hone_collect_state *state, struct numbers *numbers, uint32_t number,
                       uint32_t meaning)
{
    struct number *known = find_number(state, numbers, number);
    if (known) {
        known->at = meaning;
        return true;
    }
    if (!reserve(state, &numbers->items, &numbers->room, (uint64_t)numbers->count + 1,
                 sizeof *numbers->items))
        return false;
    if (hone_table_add(&numbers->table, hone_hash_fold(number ^ state->seed, NUMBER_FACTOR),
                       numbers->count)) {
        state->status = -ENOMEM;
        return false;
    }
    numbers->items[numbers->count++] = (struct number){number, meaning};
    return true;
}

static void numbers_done(struct numbers *numbers)
{
    hone_table_done(&numbers->table);
    free(numbers->items);
    *numbers = (struct numbers){0};
}

int hone_collect_init(struct hone_collected *collected)
{
    *collected = (struct hone_collected){.state = calloc(1, sizeof *collected->state)};
    if (!collected->state)
        return -ENOMEM;
    collected->state->seed = hone_table_seed();
    collected->state->scratch = calloc(HONE_STACK_MAX, sizeof *collected->state->scratch);
    if (!collected->state->scratch ||
        !reserve(collected->state, &collected->modules, &collected->state->module_room, 1,
                 sizeof *collected->modules)) {
        hone_collect_done(collected);
        return -ENOMEM;
    }
    struct stat st;
    if (stat("/proc/self/ns/pid", &st) == 0)
        collected->pid_namespace = st.st_ino;
    collected->modules[HONE_NO_MODULE].path = "";
    collected->module_count = 1;
    return 0;
}

bool hone_collect_same_pids(const struct hone_collected *collected,
                            const struct hone_collected_process *process)
{
    return process->facts.pid_namespace == collected->pid_namespace;
}

static void live_done(struct live *live)
{
    free(live->modules);
    numbers_done(&live->threads);
    numbers_done(&live->stacks);
    hone_heap_blocks_done(&live->blocks);
    *live = (struct live){0};
}

void hone_collect_done(struct hone_collected *collected)
{
    struct hone_collect_state *state = collected->state;
    if (state) {
        for (uint32_t i = 0; i < state->live_room; i++)
            live_done(&state->live[i]);
        free(state->live);
        free(state->scratch);
        hone_table_done(&state->modules);
        hone_table_done(&state->places);
        hone_table_done(&state->stacks);
        hone_table_done(&state->samples);
        hone_table_done(&state->wall);
        numbers_done(&state->pids);
        free(state);
    }
    for (uint32_t i = 0; i < collected->process_count; i++)
        if (collected->processes[i].generated)
            hone_generated_done(collected->processes[i].generated);
    free(collected->modules);
    free(collected->places);
    free(collected->frames);
    free(collected->stacks);
    free(collected->threads);
    free(collected->processes);
    free(collected->samples);
    free(collected->wall);
    hone_heap_rows_done(&collected->heap);
    hone_heap_sites_done(&collected->heap_sites);
    hone_arena_done(&collected->arena);
    *collected = (struct hone_collected){0};
}

int hone_collect_status(const struct hone_collected *collected)
{
    return collected->state->status;
}

static struct live *live_of(struct hone_collected *collected, uint32_t process)
{
    struct hone_collect_state *state = collected->state;
    return process < state->live_room && state->live[process].used ? &state->live[process] : NULL;
}

// --- processes -----------------------------------------------------------------------------------

// The process is the last one that had its pid; the one before it is told.
static void enter_pid(struct hone_collected *collected, uint32_t at)
{
    struct hone_collected_process *process = &collected->processes[at];
    const struct number *last =
        find_number(collected->state, &collected->state->pids, process->pid);
    process->before = last ? last->at + 1 : 0;
    (void)set_number(collected->state, &collected->state->pids, process->pid, at);
}

uint32_t hone_collect_before(const struct hone_collected *collected, uint32_t process)
{
    uint64_t pid_namespace = collected->processes[process].facts.pid_namespace;
    uint32_t before = collected->processes[process].before;
    while (before && collected->processes[before - 1].facts.pid_namespace != pid_namespace)
        before = collected->processes[before - 1].before;
    return before;
}

static void on_process(void *context, uint32_t number, const struct hone_process_facts *facts)
{
    struct hone_collected *collected = context;
    struct hone_collect_state *state = collected->state;
    if (!reserve(state, &state->live, &state->live_room, (uint64_t)number + 1,
                 sizeof *state->live) ||
        !reserve(state, &collected->processes, &state->process_room,
                 (uint64_t)collected->process_count + 1, sizeof *collected->processes))
        return;
    struct hone_collected_process *process = &collected->processes[collected->process_count];
    *process =
        (struct hone_collected_process){.number = number, .pid = facts->pid, .facts = *facts};
    const char *slash = strrchr(facts->path, '/');
    (void)snprintf(process->name, sizeof process->name, "%.*s", (int)sizeof process->name - 1,
                   facts->name[0] ? facts->name
                   : slash        ? slash + 1
                                  : facts->path);
    enter_pid(collected, collected->process_count);
    state->live[number] = (struct live){.used = true, .process = collected->process_count++};
}

void hone_collect_facts(struct hone_collected *collected, uint32_t process,
                        const struct hone_process_facts *facts)
{
    if (!facts->broken)
        collected->processes[process].facts = *facts;
}

static void on_process_end(void *context, uint32_t number, const struct hone_process_facts *facts)
{
    struct hone_collected *collected = context;
    struct live *live = live_of(collected, number);
    if (!live)
        return;
    hone_collect_facts(collected, live->process, facts);
    collected->processes[live->process].ended = true;
    if (facts->state != HONE_PROCESS_EXECED) // the exec failed
        collected->processes[live->process].became[0] = '\0';
    live_done(live);
}

static void on_exec(void *context, uint32_t number, const struct hone_record_exec *exec)
{
    struct hone_collected *collected = context;
    struct live *live = live_of(collected, number);
    if (!live)
        return;
    struct hone_collected_process *process = &collected->processes[live->process];
    (void)snprintf(process->became, sizeof process->became, "%s", exec->path);
}

// --- modules -------------------------------------------------------------------------------------

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
        if (strcmp(module->path, record->path) == 0 &&
            module->build_id_bytes == record->build_id_bytes &&
            memcmp(module->build_id, record->build_id, module->build_id_bytes) == 0)
            return at;
    }
    const char *path = hone_arena_copy(&collected->arena, record->path, path_len + 1);
    if (!path ||
        !reserve(state, &collected->modules, &state->module_room,
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
                                             .bias = record->bias};
    memcpy(module->build_id, record->build_id, sizeof module->build_id);
    return collected->module_count++;
}

static void on_module(void *context, uint32_t number, const struct hone_record_module *record)
{
    struct hone_collected *collected = context;
    struct live *live = live_of(collected, number);
    if (!live)
        return;
    struct live_module module = {.module = hone_collect_module(collected, record),
                                 .index = record->record.small,
                                 .start = record->start,
                                 .end = record->end,
                                 .bias = record->bias};
    for (uint32_t i = live->module_count; i-- > 0;) {
        if (live->modules[i].index == module.index) { // it came back
            live->modules[i] = module;
            return;
        }
    }
    if (reserve(collected->state, &live->modules, &live->module_room,
                (uint64_t)live->module_count + 1, sizeof *live->modules))
        live->modules[live->module_count++] = module;
}

static void on_module_gone(void *context, uint32_t number,
                           const struct hone_record_module_gone *record)
{
    struct live *live = live_of(context, number);
    for (uint32_t i = 0; live && i < live->module_count; i++)
        if (live->modules[i].index == record->record.small)
            live->modules[i].gone = true;
}

// The module that holds an address; a live one before one that is gone, the newest first.
static const struct live_module *find_module(struct live *live, uint64_t address)
{
    if (live->last_module < live->module_count) {
        const struct live_module *hint = &live->modules[live->last_module];
        if (!hint->gone && address >= hint->start && address < hint->end)
            return hint;
    }
    const struct live_module *gone = NULL;
    for (uint32_t i = live->module_count; i-- > 0;) {
        const struct live_module *module = &live->modules[i];
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

// --- stacks and samples --------------------------------------------------------------------------

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
    if (!reserve(state, &collected->places, &state->place_room,
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

static uint32_t intern_place(struct hone_collected *collected, struct live *live, uint64_t address)
{
    const struct live_module *module = find_module(live, address);
    struct hone_collected_place place = {.process = live->process + 1, .address = address};
    if (module && is_code(&collected->modules[module->module], address - module->bias))
        place = (struct hone_collected_place){.module = module->module,
                                              .address = address - module->bias};
    return hone_collect_place(collected, place);
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
    if (!reserve(state, &collected->stacks, &state->stack_room,
                 (uint64_t)collected->stack_count + 1, sizeof *collected->stacks) ||
        !reserve(state, &collected->frames, &state->frame_room,
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
                       hone_collect_same_pids(collected, process) ? process->pid : 0, process->pid,
                       process->facts.pid_namespace, leaf->process ? leaf->address : 0);
}

static void on_stack(void *context, uint32_t number, const struct hone_record_stack *record)
{
    struct hone_collected *collected = context;
    struct hone_collect_state *state = collected->state;
    struct live *live = live_of(collected, number);
    uint32_t id = record->record.small;
    if (!live)
        return;
    for (uint32_t i = 0; i < record->count; i++)
        state->scratch[i] = intern_place(collected, live, record->addresses[i]);
    enum hone_stack_end end = record->end < HONE_STACK_ENDS ? record->end : HONE_STACK_BAD_RULE;
    uint32_t at = hone_collect_stack(collected, state->scratch, record->count, end);
    if (state->status || !set_number(state, &live->stacks, id, at))
        return;
    hone_collect_generated(collected, live->process, at);
}

static void add_sample(struct hone_collected *collected, uint32_t thread, uint32_t stack,
                       uint64_t samples, uint64_t cpu_ns, uint64_t time_ns)
{
    struct hone_collect_state *state = collected->state;
    uint64_t hash = hone_hash_fold(((uint64_t)thread << 32 | stack) ^ 0x9e3779b97f4a7c15u,
                                   0xe7037ed1a0b428dbu ^ time_ns);
    struct hone_table_probe probe = hone_table_probe(&state->samples, hash);
    uint32_t at;
    while ((at = hone_table_next(&state->samples, &probe)) != HONE_TABLE_END) {
        struct hone_collected_sample *sample = &collected->samples[at];
        if (sample->thread == thread && sample->stack == stack && sample->time_ns == time_ns) {
            sample->samples += samples;
            sample->cpu_ns += cpu_ns;
            return;
        }
    }
    if (!reserve(state, &collected->samples, &state->sample_room,
                 (uint64_t)collected->sample_count + 1, sizeof *collected->samples) ||
        hone_table_add(&state->samples, hash, collected->sample_count)) {
        state->status = -ENOMEM;
        return;
    }
    collected->samples[collected->sample_count++] =
        (struct hone_collected_sample){thread, stack, samples, cpu_ns, time_ns};
}

// Where generated code is named by time, each sample keeps its own. A recording of days does not:
// then what was there last has to do.
enum { TIMED_SAMPLES = 4 << 20 };

static uint64_t time_that_counts(const struct hone_collected *collected, const struct live *live,
                                 uint32_t stack, uint64_t time_ns)
{
    const struct hone_generated *generated = collected->processes[live->process].generated;
    bool timed = collected->stacks[stack].generated && generated &&
                 hone_generated_timed(generated) && collected->sample_count < TIMED_SAMPLES;
    return timed ? time_ns : 0;
}

// What a process's numbers for its thread and stack mean here. False, and counted, when it never
// told.
static bool find_stack(struct hone_collected *collected, const struct live *live, uint32_t index,
                       uint64_t id, uint32_t *ret_thread, uint32_t *ret_stack)
{
    const struct hone_collect_state *state = collected->state;
    const struct number *thread = find_number(state, &live->threads, index);
    const struct number *stack =
        id > UINT32_MAX ? NULL : find_number(state, &live->stacks, (uint32_t)id);
    if (!stack || !thread) {
        collected->unknown_stacks++;
        return false;
    }
    *ret_stack = stack->at;
    *ret_thread = thread->at;
    return true;
}

static void on_cpu(void *context, uint32_t number, const struct hone_record_cpu *record)
{
    struct hone_collected *collected = context;
    struct live *live = live_of(collected, number);
    uint32_t thread, stack;
    if (!live || !find_stack(collected, live, record->record.small, record->stack, &thread, &stack))
        return;
    add_sample(collected, thread, stack, 1, record->cpu_ns,
               time_that_counts(collected, live, stack, record->time_ns));
}

static void on_heap_alloc(void *context, uint32_t number,
                          const struct hone_record_heap_alloc *record)
{
    struct hone_collected *collected = context;
    struct live *live = live_of(collected, number);
    struct hone_collected_heap row = {.size = record->size, .rate = record->rate};
    uint32_t at;
    if (!live ||
        !find_stack(collected, live, record->record.small, record->stack, &row.thread, &row.stack))
        return;
    int r = hone_heap_rows_add(&collected->heap, &row, &at);
    if (!r && record->block) {
        r = hone_heap_blocks_add(&live->blocks, record->block, at);
        if (!r)
            collected->heap.at[at].live++;
    }
    if (r == -ENOMEM)
        collected->state->status = r;
}

static void on_heap_free(void *context, uint32_t number, const struct hone_record_heap_free *record)
{
    struct hone_collected *collected = context;
    struct live *live = live_of(collected, number);
    uint32_t row;
    if (live && hone_heap_blocks_take(&live->blocks, record->block, &row))
        collected->heap.at[row].live--;
}

static void on_heap_site(void *context, uint32_t number, const struct hone_process_facts *facts,
                         const struct hone_heap_site *site)
{
    struct hone_collected *collected = context;
    struct live *live = live_of(collected, number);
    uint32_t id = atomic_load_explicit(&site->stack, memory_order_relaxed);
    if (!live)
        return;
    const struct number *stack = find_number(collected->state, &live->stacks, id);
    if (!stack) {
        collected->unknown_stacks++;
        return;
    }
    if (hone_heap_sites_add(&collected->heap_sites, live->process, stack->at, site,
                            facts->heap_fall))
        collected->state->status = -ENOMEM;
}

void hone_collect_wall(struct hone_collected *collected, const struct hone_collected_wall *wall)
{
    struct hone_collect_state *state = collected->state;
    uint64_t hash =
        hone_hash_fold(((uint64_t)wall->thread << 32 | wall->stack) ^ 0x9e3779b97f4a7c15u,
                       0xe7037ed1a0b428dbu + wall->wait);
    struct hone_table_probe probe = hone_table_probe(&state->wall, hash);
    uint32_t at;
    while ((at = hone_table_next(&state->wall, &probe)) != HONE_TABLE_END) {
        struct hone_collected_wall *known = &collected->wall[at];
        if (known->thread == wall->thread && known->stack == wall->stack &&
            known->wait == wall->wait) {
            known->samples += wall->samples;
            known->ns += wall->ns;
            return;
        }
    }
    if (!reserve(state, &collected->wall, &state->wall_room, (uint64_t)collected->wall_count + 1,
                 sizeof *collected->wall) ||
        hone_table_add(&state->wall, hash, collected->wall_count)) {
        state->status = -ENOMEM;
        return;
    }
    collected->wall[collected->wall_count++] = *wall;
}

// --- from outside --------------------------------------------------------------------------------

uint32_t hone_collect_by_pid(const struct hone_collected *collected, uint32_t pid)
{
    const struct number *last = find_number(collected->state, &collected->state->pids, pid);
    uint32_t process = last ? last->at + 1 : 0;
    while (process && collected->processes[process - 1].ended)
        process = collected->processes[process - 1].before;
    return process;
}

uint32_t hone_collect_process(struct hone_collected *collected, uint32_t pid, const char *name)
{
    struct hone_collect_state *state = collected->state;
    if (!reserve(state, &collected->processes, &state->process_room,
                 (uint64_t)collected->process_count + 1, sizeof *collected->processes))
        return 0;
    struct hone_collected_process *process = &collected->processes[collected->process_count];
    *process = (struct hone_collected_process){
        .number = UINT32_MAX, .pid = pid, .facts = {.pid = pid}, .unsampled = true};
    (void)snprintf(process->name, sizeof process->name, "%s", name);
    enter_pid(collected, collected->process_count);
    return collected->process_count++;
}

uint32_t hone_collect_thread(struct hone_collected *collected, uint32_t process, uint32_t tid,
                             const char *name)
{
    struct hone_collect_state *state = collected->state;
    if (!reserve(state, &collected->threads, &state->thread_room,
                 (uint64_t)collected->thread_count + 1, sizeof *collected->threads))
        return 0;
    struct hone_collected_thread *thread = &collected->threads[collected->thread_count];
    *thread = (struct hone_collected_thread){.process = process, .tid = tid};
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);
    return collected->thread_count++;
}

// --- threads -------------------------------------------------------------------------------------

// The name that the thread has now: the kernel keeps it, so the thread itself need not be asked.
static void read_thread_name(uint32_t pid, uint32_t tid, char name[16])
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/comm", pid, tid);
    char *text = NULL;
    size_t len = 0;
    if (hone_file_read(path, 64, &text, &len, NULL) == 0 && len > 0) {
        if (text[len - 1] == '\n')
            text[len - 1] = '\0';
        (void)snprintf(name, 16, "%s", text);
    }
    free(text);
}

static void on_thread(void *context, uint32_t number, const struct hone_record_thread *record)
{
    struct hone_collected *collected = context;
    struct hone_collect_state *state = collected->state;
    struct live *live = live_of(collected, number);
    uint32_t index = record->record.small;
    if (!live ||
        !reserve(state, &collected->threads, &state->thread_room,
                 (uint64_t)collected->thread_count + 1, sizeof *collected->threads) ||
        !set_number(state, &live->threads, index, collected->thread_count))
        return;
    struct hone_collected_thread *thread = &collected->threads[collected->thread_count++];
    *thread = (struct hone_collected_thread){
        .process = live->process, .tid = (uint32_t)record->tid, .met_ns = record->time_ns};
    const struct hone_collected_process *process = &collected->processes[live->process];
    if (hone_collect_same_pids(collected, process))
        read_thread_name(process->pid, thread->tid, thread->name);
    if (record->routine)
        thread->routine = intern_place(collected, live, record->routine) + 1;
}

void hone_collect_thread_name(struct hone_collected *collected, uint32_t number, uint32_t thread,
                              const char *name)
{
    const struct live *live = live_of(collected, number);
    const struct number *known =
        live ? find_number(collected->state, &live->threads, thread) : NULL;
    if (known)
        (void)snprintf(collected->threads[known->at].name, 16, "%s", name);
}

static void on_thread_end(void *context, uint32_t number,
                          const struct hone_record_thread_end *record)
{
    struct hone_collected *collected = context;
    const struct live *live = live_of(collected, number);
    const struct number *known =
        live ? find_number(collected->state, &live->threads, record->record.small) : NULL;
    if (!known)
        return;
    struct hone_collected_thread *thread = &collected->threads[known->at];
    thread->end_ns = record->cpu_ns;
    thread->left_ns = record->time_ns;
}

const struct hone_reader_events hone_collect_events = {
    .process = on_process,
    .process_end = on_process_end,
    .module = on_module,
    .module_gone = on_module_gone,
    .thread = on_thread,
    .thread_end = on_thread_end,
    .stack = on_stack,
    .cpu = on_cpu,
    .heap_alloc = on_heap_alloc,
    .heap_free = on_heap_free,
    .heap_site = on_heap_site,
    .exec = on_exec,
};

// --- the end -------------------------------------------------------------------------------------

// A thread that ended before its first sample: its time is charged to the function that it ran,
// under a name that says what is not known.
static void add_never_sampled(struct hone_collected *collected, uint32_t thread)
{
    struct hone_collect_state *state = collected->state;
    uint32_t frames[2] = {hone_collect_place(
        collected, (struct hone_collected_place){.address = HONE_PLACE_NEVER_SAMPLED})};
    uint32_t count = 1;
    if (collected->threads[thread].routine)
        frames[count++] = collected->threads[thread].routine - 1;
    uint32_t stack = hone_collect_stack(collected, frames, count, HONE_STACK_COMPLETE);
    if (!state->status)
        add_sample(collected, thread, stack, 0, collected->threads[thread].end_ns, 0);
    collected->never_sampled_ns += collected->threads[thread].end_ns;
}

// What a process used before its probe began: not what the process used as another program before.
static uint64_t used_before(const struct hone_collected *collected, uint32_t i)
{
    const struct hone_process_facts *facts = &collected->processes[i].facts;
    if (facts->forked)
        return facts->cpu_before_ns; // its clock begins at the fork
    uint32_t before = hone_collect_before(collected, i);
    uint64_t earlier_ns = before ? collected->processes[before - 1].facts.cpu_total_ns : 0;
    return facts->cpu_before_ns > earlier_ns ? facts->cpu_before_ns - earlier_ns : 0;
}

// Fork, exec and loader, on each process's first thread.
static void add_starts(struct hone_collected *collected)
{
    struct hone_collect_state *state = collected->state;
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; !state->status && i < collected->thread_count; i++) {
        uint32_t process = collected->threads[i].process;
        uint64_t cpu_ns = process == last ? 0 : used_before(collected, process);
        if (collected->threads[i].tid != collected->processes[process].pid || !cpu_ns)
            continue;
        bool forked = collected->processes[process].facts.forked;
        uint32_t place = hone_collect_place(
            collected,
            (struct hone_collected_place){.address = forked ? HONE_PLACE_FORK : HONE_PLACE_BEFORE});
        uint32_t stack = hone_collect_stack(collected, &place, 1, HONE_STACK_COMPLETE);
        add_sample(collected, i, stack, 0, cpu_ns, 0);
        collected->before_ns += cpu_ns;
        last = process;
    }
}

// What lies beyond a thread's samples is the rest of its last period, and what the clocks differ
// by. More than that was used when nothing sampled it: in a sandbox, after the program closed our
// descriptor, or with the signal kept out.
enum { NOT_SAMPLED_PERIODS = 20, NOT_SAMPLED_PARTS = 100 };

static bool is_beyond(const struct hone_process_facts *facts, uint64_t rest_ns, uint64_t used_ns,
                      uint64_t threads)
{
    return facts->period_ns && rest_ns > facts->period_ns * (NOT_SAMPLED_PERIODS + threads) +
                                             used_ns / NOT_SAMPLED_PARTS;
}

static void add_not_sampled(struct hone_collected *collected, uint32_t thread, uint64_t cpu_ns)
{
    uint32_t place = hone_collect_place(
        collected, (struct hone_collected_place){.address = HONE_PLACE_NOT_SAMPLED});
    uint32_t stack = hone_collect_stack(collected, &place, 1, HONE_STACK_COMPLETE);
    if (collected->state->status)
        return;
    add_sample(collected, thread, stack, 0, cpu_ns, 0);
    collected->processes[collected->threads[thread].process].not_sampled_ns += cpu_ns;
    collected->not_sampled_ns += cpu_ns;
}

// What the account of one process's threads lacks of the whole.
struct account {
    uint32_t first; // thread with samples, plus one
    uint32_t threads;
    uint64_t told_ns;
};

// Threads that told nothing at their end, or did not come to it: the process's own clock tells.
static void add_rest_of_processes(struct hone_collected *collected, const struct account *accounts)
{
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        const struct account *account = &accounts[i];
        uint64_t total_ns = process->facts.cpu_total_ns;
        if (process->seen_cpu_ns > total_ns)
            total_ns = process->seen_cpu_ns;
        uint64_t told_ns = process->facts.cpu_before_ns + account->told_ns;
        if (account->first && total_ns > told_ns &&
            is_beyond(&process->facts, total_ns - told_ns, total_ns, account->threads))
            add_not_sampled(collected, account->first - 1, total_ns - told_ns);
    }
}

// Makes each thread's samples add up to what it used, and the threads to their process.
static void settle_accounts(struct hone_collected *collected, uint64_t *sums,
                            struct account *accounts)
{
    uint32_t sampled = collected->sample_count;
    for (uint32_t i = 0; i < sampled; i++)
        sums[collected->samples[i].thread] += collected->samples[i].cpu_ns;
    for (uint32_t i = 0; i < collected->thread_count; i++) {
        const struct hone_collected_thread *thread = &collected->threads[i];
        struct account *account = &accounts[thread->process];
        if (!account->first && sums[i])
            account->first = i + 1;
        account->threads++;
        account->told_ns += thread->end_ns > sums[i] ? thread->end_ns : sums[i];
        if (sums[i] && thread->end_ns > sums[i] &&
            is_beyond(&collected->processes[thread->process].facts, thread->end_ns - sums[i],
                      thread->end_ns, 0)) {
            add_not_sampled(collected, i, thread->end_ns - sums[i]);
            sums[i] = 0; // its samples are right as they are
        }
    }
    for (uint32_t i = 0; i < sampled; i++) {
        struct hone_collected_sample *sample = &collected->samples[i];
        uint64_t end_ns = collected->threads[sample->thread].end_ns;
        if (end_ns && sums[sample->thread])
            sample->cpu_ns =
                (uint64_t)((double)sample->cpu_ns * (double)end_ns / (double)sums[sample->thread] +
                           0.5);
    }
}

int hone_collect_finish(struct hone_collected *collected)
{
    uint32_t sampled = collected->sample_count;
    uint64_t *sums = calloc((size_t)collected->thread_count + 1, sizeof *sums);
    bool *seen = calloc((size_t)collected->thread_count + 1, sizeof *seen);
    struct account *accounts = calloc((size_t)collected->process_count + 1, sizeof *accounts);
    if (sums && seen && accounts) {
        for (uint32_t i = 0; i < sampled; i++)
            seen[collected->samples[i].thread] |= collected->samples[i].cpu_ns != 0;
        settle_accounts(collected, sums, accounts);
        for (uint32_t i = 0; sampled && i < collected->thread_count; i++)
            if (!seen[i] && collected->threads[i].end_ns)
                add_never_sampled(collected, i);
        add_rest_of_processes(collected, accounts);
    } else {
        collected->state->status = -ENOMEM;
    }
    free(sums);
    free(seen);
    free(accounts);
    if (sampled)
        add_starts(collected);
    return hone_collect_status(collected);
}
