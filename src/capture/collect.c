#include "capture/collect_parts.h"

#include "base/array.h"
#include "capture/pid_space.h"
#include "core/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool hone_collect_reserve(struct hone_collect_state *state, void *array, uint32_t *room,
                          uint64_t need, size_t size)
{
    if (hone_array_reserve(array, room, need, size))
        return true;
    state->status = -ENOMEM;
    return false;
}

bool hone_collect_grow(struct hone_collect_state *state, void *array, uint32_t *room, uint64_t need,
                       size_t size)
{
    if (hone_array_grow(array, room, need, size))
        return true;
    state->status = -ENOMEM;
    return false;
}

int hone_collect_init(struct hone_collected *collected)
{
    *collected = (struct hone_collected){.state = calloc(1, sizeof *collected->state)};
    if (!collected->state)
        return -ENOMEM;
    collected->state->seed = hone_table_seed();
    hone_locks_init(&collected->locks);
    collected->state->scratch = calloc(HONE_STACK_MAX, sizeof *collected->state->scratch);
    collected->state->last = calloc(1, sizeof *collected->state->last);
    if (!collected->state->scratch || !collected->state->last ||
        !hone_collect_reserve(collected->state, &collected->modules, &collected->state->module_room,
                              1, sizeof *collected->modules)) {
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
    return process->translated || process->facts.pid_namespace == collected->pid_namespace;
}

bool hone_collect_same_tid(const struct hone_collected *collected,
                           const struct hone_collected_thread *thread)
{
    return thread->translated ||
           collected->processes[thread->process].facts.pid_namespace == collected->pid_namespace;
}

// The pid namespace of process->pid.
static uint64_t space_of(const struct hone_collected *collected,
                         const struct hone_collected_process *process)
{
    return process->translated ? collected->pid_namespace : process->facts.pid_namespace;
}

static void live_done(struct hone_live *live)
{
    free(live->modules);
    hone_numbers_done(&live->threads);
    hone_numbers_done(&live->stacks);
    hone_heap_blocks_done(&live->blocks);
    hone_numbers_done(&live->looks);
    free(live->look);
    *live = (struct hone_live){0};
}

void hone_collect_done(struct hone_collected *collected)
{
    struct hone_collect_state *state = collected->state;
    if (state) {
        for (uint32_t i = 0; i < state->live_room; i++)
            live_done(&state->live[i]);
        free(state->live);
        free(state->scratch);
        free(state->last);
        free(state->named);
        free(state->drawn);
        hone_table_done(&state->modules);
        hone_table_done(&state->places);
        hone_table_done(&state->stacks);
        hone_table_done(&state->samples);
        hone_table_done(&state->wall);
        hone_numbers_done(&state->pids);
        free(state);
    }
    for (uint32_t i = 0; i < collected->process_count; i++) {
        if (collected->processes[i].generated)
            hone_generated_done(collected->processes[i].generated);
        hone_scan_result_free(collected->processes[i].scan);
    }
    for (uint32_t i = 0; i < collected->module_count; i++)
        if (collected->modules[i].held_fd)
            (void)close(collected->modules[i].held_fd - 1);
    free(collected->modules);
    free(collected->places);
    free(collected->frames);
    free(collected->stacks);
    free(collected->threads);
    free(collected->processes);
    free(collected->samples);
    free(collected->wall);
    free(collected->leaks);
    hone_collected_waits_done(&collected->waits);
    hone_heap_rows_done(&collected->heap);
    hone_heap_sites_done(&collected->heap_sites);
    hone_heap_series_done(&collected->heap_series);
    hone_locks_done(&collected->locks);
    hone_orders_done(&collected->orders);
    hone_arena_done(&collected->arena);
    *collected = (struct hone_collected){0};
}

int hone_collect_status(const struct hone_collected *collected)
{
    return collected->state->status;
}

struct hone_live *hone_live_of(struct hone_collected *collected, uint32_t process)
{
    struct hone_collect_state *state = collected->state;
    return process < state->live_room && state->live[process].used ? &state->live[process] : NULL;
}

// --- processes -----------------------------------------------------------------------------------

// The process is the last one that had its pid; the one before it is told.
// By when they began: of a process and the program that it became, both may be new to the reader,
// who meets them in no order.
static void enter_pid(struct hone_collected *collected, uint32_t at)
{
    struct hone_collected_process *process = &collected->processes[at];
    const struct hone_number *last =
        hone_numbers_find(collected->state, &collected->state->pids, process->pid);
    uint64_t started_ns = process->facts.started_ns;
    uint32_t before = last ? last->at + 1 : 0, later = 0;
    while (before && started_ns && collected->processes[before - 1].facts.started_ns > started_ns) {
        later = before;
        before = collected->processes[before - 1].before;
    }
    process->before = before;
    if (later)
        collected->processes[later - 1].before = at + 1;
    else
        (void)hone_numbers_set(collected->state, &collected->state->pids, process->pid, at);
}

uint32_t hone_collect_before(const struct hone_collected *collected, uint32_t process)
{
    uint64_t pid_namespace = space_of(collected, &collected->processes[process]);
    uint32_t before = collected->processes[process].before;
    while (before && space_of(collected, &collected->processes[before - 1]) != pid_namespace)
        before = collected->processes[before - 1].before;
    return before;
}

bool hone_collect_is_replaced(const struct hone_collected *collected, uint32_t process)
{
    const struct hone_number *last = hone_numbers_find(collected->state, &collected->state->pids,
                                                       collected->processes[process].pid);
    uint64_t pid_namespace = space_of(collected, &collected->processes[process]);
    for (uint32_t at = last ? last->at : process; at != process;) {
        if (space_of(collected, &collected->processes[at]) == pid_namespace)
            return true;
        if (!collected->processes[at].before)
            return false;
        at = collected->processes[at].before - 1;
    }
    return false;
}

static void name_process(struct hone_collected_process *process)
{
    const struct hone_process_facts *facts = &process->facts;
    const char *slash = strrchr(facts->path, '/');
    (void)snprintf(process->name, sizeof process->name, "%.*s", (int)sizeof process->name - 1,
                   facts->name[0] ? facts->name
                   : slash        ? slash + 1
                                  : facts->path);
}

// A process of another pid namespace goes by the number that it has here, as long as it lives.
static void translate_pid(const struct hone_collected *collected,
                          struct hone_collected_process *process)
{
    const struct hone_process_facts *facts = &process->facts;
    if (!facts->pid_namespace || facts->pid_namespace == collected->pid_namespace)
        return;
    uint32_t outer = hone_pid_outer(facts->pid, facts->pid_namespace);
    process->translated = outer != 0;
    if (outer)
        process->pid = outer;
}

static void on_process(void *context, uint32_t number, const struct hone_process_facts *facts)
{
    struct hone_collected *collected = context;
    struct hone_collect_state *state = collected->state;
    if (!hone_collect_reserve(state, &state->live, &state->live_room, (uint64_t)number + 1,
                              sizeof *state->live) ||
        !hone_collect_reserve(state, &collected->processes, &state->process_room,
                              (uint64_t)collected->process_count + 1, sizeof *collected->processes))
        return;
    struct hone_collected_process *process = &collected->processes[collected->process_count];
    *process =
        (struct hone_collected_process){.number = number, .pid = facts->pid, .facts = *facts};
    name_process(process);
    translate_pid(collected, process);
    enter_pid(collected, collected->process_count);
    state->live[number] = (struct hone_live){.used = true, .process = collected->process_count++};
}

void hone_collect_facts(struct hone_collected *collected, uint32_t process,
                        const struct hone_process_facts *facts)
{
    if (facts->broken)
        return;
    collected->processes[process].facts = *facts;
    // It may have been found before it had written down what it is.
    if (!collected->processes[process].name[0])
        name_process(&collected->processes[process]);
}

void hone_collect_program(struct hone_collected *collected, uint32_t number,
                          const struct hone_process_facts *facts)
{
    const struct hone_live *live = hone_live_of(collected, number);
    if (!live)
        return;
    collected->processes[live->process].facts = *facts;
    name_process(&collected->processes[live->process]);
}

static void on_process_end(void *context, uint32_t number, const struct hone_process_facts *facts)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    if (!live)
        return;
    hone_collect_facts(collected, live->process, facts);
    collected->processes[live->process].ended = true;
    if (facts->state != HONE_PROCESS_EXECED) // the exec failed
        collected->processes[live->process].became[0] = '\0';
    hone_collect_leaks(collected, live, &collected->processes[live->process], facts);
    live_done(live);
}

static void on_exec(void *context, uint32_t number, const struct hone_record_exec *exec)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    if (!live)
        return;
    struct hone_collected_process *process = &collected->processes[live->process];
    (void)snprintf(process->became, sizeof process->became, "%s", exec->path);
}

// --- from outside --------------------------------------------------------------------------------

uint32_t hone_collect_by_pid(const struct hone_collected *collected, uint32_t pid)
{
    const struct hone_number *last =
        hone_numbers_find(collected->state, &collected->state->pids, pid);
    uint32_t process = last ? last->at + 1 : 0;
    while (process && collected->processes[process - 1].ended)
        process = collected->processes[process - 1].before;
    return process;
}

uint32_t hone_collect_process(struct hone_collected *collected, uint32_t pid, const char *name)
{
    struct hone_collect_state *state = collected->state;
    if (!hone_collect_reserve(state, &collected->processes, &state->process_room,
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
    if (!hone_collect_reserve(state, &collected->threads, &state->thread_room,
                              (uint64_t)collected->thread_count + 1, sizeof *collected->threads))
        return 0;
    struct hone_collected_thread *thread = &collected->threads[collected->thread_count];
    *thread = (struct hone_collected_thread){.process = process, .tid = tid, .told_tid = tid};
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);
    return collected->thread_count++;
}

// --- threads -------------------------------------------------------------------------------------

// Numbers here and there mostly go up in step: the distance of the thread that was translated last
// is tried first. A look through all threads of a process takes a while, so there are not many.
static void translate_tid(struct hone_collected *collected, struct hone_collected_thread *thread)
{
    struct hone_collected_process *process = &collected->processes[thread->process];
    if (!process->translated)
        return;
    if (!process->tid_distance)
        process->tid_distance = process->pid - process->facts.pid;
    enum { LOOK_NS = 100000000 };
    bool look = collected->now_ns >= process->tids_looked_due_ns;
    uint32_t tid = process->pid, guess = thread->told_tid + process->tid_distance;
    if (thread->told_tid != process->facts.pid)
        tid = hone_pid_inner(process->pid, guess) == thread->told_tid ? guess
              : look ? hone_tid_outer(process->pid, thread->told_tid)
                     : 0;
    if (tid != guess && look)
        process->tids_looked_due_ns = collected->now_ns + LOOK_NS;
    if (!tid)
        return;
    process->tid_distance = tid - thread->told_tid;
    thread->tid = tid;
    thread->translated = true;
}

// The thread of that record: a new one, or one of which a sample told before it told of itself.
static struct hone_collected_thread *meet_thread(struct hone_collected *collected,
                                                 struct hone_live *live,
                                                 const struct hone_record_thread *record)
{
    struct hone_collect_state *state = collected->state;
    uint32_t index = record->record.small;
    const struct hone_number *known = hone_numbers_find(state, &live->threads, index);
    if (known && collected->threads[known->at].told_tid == record->tid &&
        !collected->threads[known->at].routine && record->routine)
        return &collected->threads[known->at];
    if (!hone_collect_reserve(state, &collected->threads, &state->thread_room,
                              (uint64_t)collected->thread_count + 1, sizeof *collected->threads) ||
        !hone_numbers_set(state, &live->threads, index, collected->thread_count))
        return NULL;
    struct hone_collected_thread *thread = &collected->threads[collected->thread_count++];
    *thread = (struct hone_collected_thread){
        .process = live->process,
        .tid = (uint32_t)record->tid,
        .told_tid = (uint32_t)record->tid,
        .met_ns = record->time_ns,
    };
    translate_tid(collected, thread);
    hone_collect_name(collected, collected->thread_count - 1);
    return thread;
}

static void on_thread(void *context, uint32_t number, const struct hone_record_thread *record)
{
    struct hone_collected *collected = context;
    struct hone_collect_state *state = collected->state;
    struct hone_live *live = hone_live_of(collected, number);
    struct hone_collected_thread *thread = live ? meet_thread(collected, live, record) : NULL;
    if (!thread)
        return;
    if (record->routine)
        thread->routine = hone_collect_intern(collected, live, record->routine) + 1;
    const struct hone_number *creation =
        record->creation && record->creation <= UINT32_MAX
            ? hone_numbers_find(state, &live->stacks, (uint32_t)record->creation)
            : NULL;
    const struct hone_number *creator =
        record->creator && record->creator <= UINT32_MAX
            ? hone_numbers_find(state, &live->threads, (uint32_t)record->creator - 1)
            : NULL;
    if (creation)
        thread->creation = creation->at + 1;
    if (creator)
        thread->creator = creator->at + 1;
}

void hone_collect_thread_name(struct hone_collected *collected, uint32_t number, uint32_t thread,
                              const char *name)
{
    const struct hone_live *live = hone_live_of(collected, number);
    const struct hone_number *known =
        live ? hone_numbers_find(collected->state, &live->threads, thread) : NULL;
    if (known)
        (void)snprintf(collected->threads[known->at].name, 16, "%s", name);
}

static void on_thread_end(void *context, uint32_t number,
                          const struct hone_record_thread_end *record)
{
    struct hone_collected *collected = context;
    const struct hone_live *live = hone_live_of(collected, number);
    const struct hone_number *known =
        live ? hone_numbers_find(collected->state, &live->threads, record->record.small) : NULL;
    if (!known)
        return;
    struct hone_collected_thread *thread = &collected->threads[known->at];
    thread->end_ns = record->cpu_ns;
    thread->left_ns = record->time_ns;
    if (record->name[0])
        (void)snprintf(thread->name, sizeof thread->name, "%.*s", (int)sizeof record->name - 1,
                       record->name);
}

const struct hone_reader_events hone_collect_events = {
    .process = on_process,
    .process_end = on_process_end,
    .module = hone_collect_on_module,
    .module_gone = hone_collect_on_module_gone,
    .thread = on_thread,
    .thread_end = on_thread_end,
    .stack = hone_collect_on_stack,
    .cpu = hone_collect_on_cpu,
    .cpu_drawn = hone_collect_on_cpu_drawn,
    .heap_alloc = hone_collect_on_heap_alloc,
    .heap_free = hone_collect_on_heap_free,
    .heap_kept = hone_collect_on_heap_kept,
    .heap_site = hone_collect_on_heap_site,
    .mark = hone_collect_on_mark,
    .lock_held = hone_collect_on_lock_held,
    .wait = hone_collect_on_wait,
    .lock_use = hone_collect_on_lock_use,
    .lock_known = hone_collect_on_lock_known,
    .lock_block = hone_collect_on_lock_block,
    .lock_order = hone_collect_on_lock_order,
    .exec = on_exec,
};
