#include "capture/wall.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "capture/wall_parts.h"
#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    // Records are read up to this long ago: what happened on another CPU may be written late.
    SETTLE_NS = 50000,
    // How often the kernel's count of waiting for CPUs is read of a thread that runs: after such a
    // part
    // of its life, but not more often than at each tick.
    DELAY_PARTS = 8,
    DELAY_LEAST_NS = 5000000,
    DELAY_MOST_NS = 100000000,
    LAST_LOOKS_NS = 500000000, // at the end of the recording, at most
    // Where nothing came for a while that could not wait, it is looked half as often: just so that
    // what lasts HONE_WALL_LONG_TICKS is seen, and the program in the kernel calls for the rest.
    CALM_AFTER_NS = 100000000,
    CALM_PERIOD_NS = 10000000, // at most: who asks for less is seldom disturbed anyway
    // Where waits of few threads are too many for long already, the program in the kernel, which
    // comes by with each of them, also finds those that last. Only when all of that ends, and no
    // one comes by any more, what lasts is found too late: for such a part of what there was.
    STORM_PARTS = 50,
    STORM_PAUSE_NS = 100000000, // at most
    CALL_NS = 1000000,          // until who is called is awake
    LATE_LEAST_NS = 10000000,   // what is called for earlier does not last
    LATE_NS = 2000000,          // a tick comes, at most, where there is a CPU
    HURRY_NS = 2000000,         // who is called lets what it is called for come to an end
    KNOWN_NS = 1000000,         // a copy of a stack belongs to a block that begins so soon after it
};

const char *hone_wall_engine_name(enum hone_wall_engine engine)
{
    return engine == HONE_WALL_BY_SWITCHES ? "switches"
           : engine == HONE_WALL_BY_DRAWS  ? "ebpf"
                                           : "polling";
}

const char *hone_wall_engine_text(enum hone_wall_engine engine)
{
    switch (engine) {
    case HONE_WALL_BY_SWITCHES:
        return "switches: the scheduler tells of every wait, stacks are looked at; those of waits "
               "shorter than two looks are apart are seen by chance, in proportion";
    case HONE_WALL_BY_DRAWS:
        return "ebpf: the scheduler tells of every wait, the kernel copies the stack when it "
               "begins";
    case HONE_WALL_BY_POLLING:
        break;
    }
    return "polling: the kernel's sums of each thread are exact, what was waited for between two "
           "looks is divided among the places seen in both; how often is not more than said, "
           "for being preempted counts, too";
}

// --- reading -------------------------------------------------------------------------------------

// How long the thread was on a CPU and waited for one, since it began.
bool hone_wall_read_counts(const struct hone_wall_thread *thread, struct hone_wall_counts *ret)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/schedstat", thread->pid, thread->tid);
    char *text = NULL;
    size_t len = 0;
    unsigned long long run, delay;
    bool ok = hone_file_read(path, 128, &text, &len, NULL) == 0 &&
              sscanf(text, "%llu %llu", &run, &delay) == 2;
    free(text);
    if (ok)
        *ret = (struct hone_wall_counts){run, delay};
    return ok;
}

static void update_counts(struct hone_wall_thread *thread, uint64_t now_ns)
{
    struct hone_wall_counts counts;
    if (hone_wall_read_counts(thread, &counts))
        (void)hone_wall_counted(thread, &counts);
    thread->counted_at_ns = now_ns;
}

static void keep_counts(struct hone_wall_thread *thread, uint64_t now_ns)
{
    uint64_t wait_ns = now_ns > thread->born_ns ? (now_ns - thread->born_ns) / DELAY_PARTS : 0;
    if (wait_ns < DELAY_LEAST_NS)
        wait_ns = DELAY_LEAST_NS;
    if (wait_ns > DELAY_MOST_NS)
        wait_ns = DELAY_MOST_NS;
    if (thread->blocks != thread->counted_blocks && now_ns - thread->counted_at_ns >= wait_ns)
        update_counts(thread, now_ns);
}

static void look(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t tick_ns)
{
    enum hone_wait_kind kind;
    uint32_t stack;
    int r = hone_wall_look(wall, thread, &kind, &stack);
    if (r == -EBUSY || r == -ESRCH) {
        wall->facts.gone++;
        return;
    }
    if (r) {
        hone_wall_refuse(wall, thread);
        return;
    }
    thread->seen = true;
    thread->kind = kind;
    thread->stack = stack;
    thread->looked_ns = tick_ns;
    thread->read_ns = hone_now_ns();
    wall->facts.reads++;
}

// Whose stack need not be read, for the kernel has copied it. That its process is known before it
// ends is all that matters.
static bool is_known(struct hone_wall *wall, const struct hone_wall_thread *thread)
{
    if (!wall->draws || thread->draw.one_in != 1 ||
        thread->draw.time_ns + KNOWN_NS < thread->since_ns)
        return false;
    struct hone_wall_process *process = &wall->processes[thread->process];
    process->look.pid = process->pid;
    (void)hone_look_open(&process->look);
    return true;
}

// Reads the stacks of those that are blocked anew, from a random one on, while there is time.
static void look_through(struct hone_wall *wall, uint64_t tick_ns, uint64_t budget_ns)
{
    uint64_t end_ns = hone_now_ns() + budget_ns;
    uint32_t count = wall->queue_count, kept = 0;
    uint32_t first = count ? (uint32_t)(wall->random % count) : 0;
    bool late = false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *slot = &wall->queue[(first + i) % count];
        struct hone_wall_thread *thread = &wall->threads[*slot];
        if (thread->state != HONE_WALL_ENDED && !late)
            keep_counts(thread, tick_ns);
        thread->queued = thread->state == HONE_WALL_BLOCKED && !thread->seen && !thread->refused;
        if (!thread->queued)
            continue;
        if (is_known(wall, thread)) {
            thread->queued = false;
            continue;
        }
        late = late || hone_now_ns() > end_ns;
        wall->facts.postponed += late;
        if (!late) {
            look(wall, thread, tick_ns);
            thread->queued = !thread->seen && !thread->refused;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        if (wall->threads[wall->queue[i]].queued)
            wall->queue[kept++] = wall->queue[i];
    wall->queue_count = kept;
    wall->late = late;
}

void hone_wall_read_switches(struct hone_wall *wall, uint64_t until_ns)
{
    wall->facts.lost += hone_switches_read(wall->switches, until_ns, hone_wall_event, wall);
}

static void read_events(struct hone_wall *wall, uint64_t until_ns)
{
    if (wall->draws)
        hone_wall_read_draws(wall, until_ns);
    hone_wall_read_switches(wall, until_ns);
    if (wall->summed)
        hone_wall_ask(wall, until_ns);
    hone_wall_watch_ended(wall);
}

// Of everybody, somebody always comes or goes.
static bool is_calm(const struct hone_wall *wall, uint64_t now_ns)
{
    return wall->draws && !wall->late && !wall->everybody && wall->period_ns > LATE_NS &&
           wall->period_ns <= CALM_PERIOD_NS && now_ns - wall->busy_ns >= CALM_AFTER_NS;
}

// How long the storm is that is going on; 0: none is.
static uint64_t storm_ns(const struct hone_wall *wall, uint64_t now_ns)
{
    if (!wall->draws || wall->one_in <= 1 || wall->alive > HONE_DRAWS_LISTED)
        return 0;
    uint64_t lull_ns = hone_draws_lull_ns(wall->draws);
    uint64_t since_ns = lull_ns > wall->storm_ns ? lull_ns : wall->storm_ns;
    return now_ns > since_ns ? now_ns - since_ns : 0;
}

static void be_calm(struct hone_wall *wall, uint64_t late_ns)
{
    struct hone_draws_list list = {.late_ns = late_ns};
    for (uint32_t i = 0; late_ns && i < wall->thread_count && list.count < HONE_DRAWS_LISTED; i++)
        if (wall->threads[i].state != HONE_WALL_ENDED)
            list.tids[list.count++] = wall->threads[i].tid;
    hone_draws_be_calm(wall->draws, late_ns ? &list : NULL);
}

// Between half a period and one and a half, so that nothing in the program keeps step with us.
static void plan(struct hone_wall *wall, uint64_t now_ns)
{
    wall->random = wall->random * 6364136223846793005u + 1442695040888963407u;
    uint64_t wait_ns = wall->period_ns / 2 + (wall->random >> 33) % (wall->period_ns + 1);
    // What lasts is seen for certain by then, and of what does not all is drawn, or a part.
    const uint64_t lasts_ns = HONE_WALL_LONG_TICKS * wall->period_ns - LATE_NS;
    bool calm = is_calm(wall, now_ns);
    uint64_t pause_ns = calm ? storm_ns(wall, now_ns) / STORM_PARTS : 0;
    pause_ns = pause_ns < STORM_PAUSE_NS ? pause_ns : STORM_PAUSE_NS;
    const uint64_t late_ns = lasts_ns - HURRY_NS - HONE_DRAWS_SEARCH_NS - CALL_NS;
    bool storm = pause_ns > lasts_ns && late_ns >= LATE_LEAST_NS && late_ns < lasts_ns;
    if (calm && (!wall->calm || storm != wall->storm))
        be_calm(wall, storm ? late_ns : 0);
    wall->calm = calm;
    wall->storm = storm;
    if (calm)
        wait_ns = storm ? pause_ns : lasts_ns;
    wall->due_ns += wait_ns;
    if (wall->due_ns <= now_ns || calm) // we are late: others had the CPU
        wall->due_ns = now_ns + wait_ns;
}

// Something cannot wait: from now on it is looked often.
static void be_called(struct hone_wall *wall, uint64_t now_ns)
{
    wall->calm = false;
    wall->busy_ns = now_ns;
    if (wall->due_ns > now_ns + HURRY_NS)
        wall->due_ns = now_ns + HURRY_NS;
}

bool hone_wall_is_in_storm(const struct hone_wall *wall)
{
    return wall->storm;
}

int hone_wall_descriptor(const struct hone_wall *wall)
{
    return wall->draws ? hone_draws_descriptor(wall->draws) : -1;
}

uint64_t hone_wall_due_ns(const struct hone_wall *wall)
{
    return wall->due_ns;
}

void hone_wall_tick(struct hone_wall *wall)
{
    uint64_t now_ns = hone_now_ns();
    if (wall->draws && hone_draws_called(wall->draws))
        be_called(wall, now_ns);
    if (now_ns < wall->due_ns)
        return;
    if (!wall->polled) {
        read_events(wall, now_ns - SETTLE_NS);
        look_through(wall, now_ns - SETTLE_NS, wall->period_ns / HONE_WALL_READ_SHARE);
    } else {
        hone_wall_poll_tick(wall, now_ns);
    }
    wall->facts.ticks++;
    plan(wall, hone_now_ns());
}

// --- its life ------------------------------------------------------------------------------------

static void *map_numbers(void)
{
    void *at = mmap(NULL, HONE_WALL_TIDS_MAX * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

// What cannot be had is done without; the profile says why.
static void open_kernel(struct hone_wall *wall)
{
    struct hone_error why = {0};
    if (geteuid() != 0)
        (void)hone_error_set(&why, 0, "only root may see where a thread is in it");
    else
        (void)hone_kernel_names_open("/proc/kallsyms", &wall->kernel, &why);
    if (!wall->kernel)
        (void)snprintf(wall->facts.no_kernel, sizeof wall->facts.no_kernel, "%.90s", why.message);
}

static void open_draws(struct hone_wall *wall, const struct hone_wall_options *options)
{
    const struct hone_draws_options draws = {
        .memory_bytes = options->memory_bytes,
        .kernel = wall->kernel != NULL,
        .tell_ns = wall->period_ns / 2,
        .long_ns = HONE_WALL_LONG_TICKS * wall->period_ns,
        .sure_ns = wall->period_ns / 2,
    };
    struct hone_error why = {0};
    wall->one_in = 1;
    wall->drawn_ns = wall->part_ns = hone_now_ns();
    if (hone_draws_open(&draws, &wall->draws, &why))
        (void)snprintf(wall->facts.undrawn, sizeof wall->facts.undrawn, "%.90s", why.message);
    else
        wall->facts.one_in = 1;
}

int hone_wall_open(struct hone_collected *collected, const struct hone_wall_options *options,
                   struct hone_wall **ret, struct hone_error *err)
{
    bool poll = options->engine == HONE_WALL_BY_POLLING;
    struct hone_wall *wall = calloc(1, sizeof *wall);
    if (!wall)
        return hone_error_set(err, -ENOMEM, "cannot record the wall clock");
    wall->collected = collected;
    wall->period_ns = 1000000000 / options->hz;
    wall->polled = poll;
    wall->by_tid = map_numbers();
    wall->by_pid = map_numbers();
    wall->random = hone_table_seed();
    bool ready = !hone_look_init(&wall->look, collected, options->stack_max);
    open_kernel(wall);
    if (options->engine == HONE_WALL_BY_DRAWS)
        open_draws(wall, options);
    int r = ready && wall->by_tid && wall->by_pid
                ? (poll ? 0 : hone_switches_open(wall->draws, &wall->switches, err))
                : hone_error_set(err, -ENOMEM, "cannot record the wall clock");
    if (r) {
        hone_wall_close(wall);
        return r;
    }
    wall->summed = wall->switches && hone_switches_are_summed(wall->switches);
    wall->facts.taken = true;
    wall->facts.hz = options->hz;
    wall->facts.started_ns = hone_now_ns();
    wall->busy_ns = wall->due_ns = wall->facts.started_ns;
    plan(wall, wall->due_ns);
    *ret = wall;
    return 0;
}

void hone_wall_close(struct hone_wall *wall)
{
    if (!wall)
        return;
    hone_switches_close(wall->switches);
    hone_draws_close(wall->draws);
    hone_kernel_names_close(wall->kernel);
    hone_wall_poll_close(wall);
    for (uint32_t i = 0; i < wall->process_count; i++)
        hone_look_process_done(&wall->processes[i].look);
    if (wall->by_tid)
        (void)munmap(wall->by_tid, HONE_WALL_TIDS_MAX * sizeof(uint32_t));
    if (wall->by_pid)
        (void)munmap(wall->by_pid, HONE_WALL_TIDS_MAX * sizeof(uint32_t));
    hone_table_done(&wall->seen_table);
    free(wall->threads);
    free(wall->processes);
    free(wall->awake);
    free(wall->queue);
    free(wall->seen);
    hone_look_done(&wall->look);
    free(wall);
}

void hone_wall_stop(struct hone_wall *wall)
{
    wall->facts.ended_ns = hone_now_ns();
    if (wall->polled) {
        wall->facts.engine = HONE_WALL_BY_POLLING;
        hone_wall_poll_stop(wall);
        return;
    }
    // Whoever waits since before the last tick and could not be read for lack of time, is now.
    read_events(wall, hone_now_ns() - SETTLE_NS);
    look_through(wall, hone_now_ns() - SETTLE_NS, LAST_LOOKS_NS);
    uint64_t now_ns = hone_now_ns();
    wall->facts.ended_ns = now_ns;
    read_events(wall, now_ns);
    wall->facts.engine = wall->draws ? HONE_WALL_BY_DRAWS : HONE_WALL_BY_SWITCHES;
    for (uint32_t i = 0; i < wall->thread_count; i++) {
        struct hone_wall_thread *thread = &wall->threads[i];
        if (thread->state == HONE_WALL_ENDED)
            continue;
        if (thread->since_ns > thread->counted_at_ns)
            update_counts(thread, now_ns);
        // That it ended may be among what was lost: it did so after all that is known of it.
        bool gone = wall->facts.lost && !hone_blocked_state(thread->pid, thread->tid);
        hone_wall_enter(wall, thread, HONE_WALL_ENDED, gone ? thread->since_ns : now_ns);
    }
    hone_switches_close(hone_take(wall->switches)); // whoever goes on is not watched any more
    if (wall->draws)
        (void)hone_wall_count_losses(wall);
    hone_draws_close(hone_take(wall->draws));
}
