// The end of the wall clock: the account of each thread is divided among the stacks that it was
// seen at. Blocked time among the stacks of its blocks, time on the CPU among its CPU samples; what
// nobody saw keeps a name that says so. So each thread's rows add up to its lifetime.
#include "capture/wall_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    MET_LATE_NS = 1000000000,
    // Two perf events tell of the same start, each by its own look at the clock.
    MET_NS = 1000000,
};

// A thread of the session by its number, newest last.
struct met {
    uint32_t tid;
    uint32_t thread; // in collected
    uint64_t met_ns;
};

static int by_tid(const void *a, const void *b)
{
    const struct met *left = a, *right = b;
    if (left->tid != right->tid)
        return left->tid < right->tid ? -1 : 1;
    return left->met_ns < right->met_ns ? -1 : left->met_ns > right->met_ns;
}

struct finish {
    struct hone_wall *wall;
    struct hone_collected *collected;
    struct met *met;
    uint32_t met_count;
    uint32_t *foreign; // threads of collected with numbers of another pid namespace
    uint32_t foreign_count;
    uint32_t session_threads; // collected threads that the session tells of
    uint32_t *first_sample;   // by collected thread: in samples, of thread_count + 1
    uint32_t *samples;        // of collected, by thread
    uint32_t *first_seen;     // by thread of the wall clock: in seen
    uint32_t *seen;           // of the wall clock, by thread
    uint32_t *processes;      // by process of the wall clock: that of collected, plus one
    uint32_t *first_thread;   // by process of the wall clock
    uint8_t *matched;         // by collected thread
};

static void finish_done(struct finish *finish)
{
    free(finish->met);
    free(finish->foreign);
    free(finish->first_sample);
    free(finish->samples);
    free(finish->first_seen);
    free(finish->seen);
    free(finish->processes);
    free(finish->first_thread);
    free(finish->matched);
}

// Orders things by their thread: a list of their numbers, and where each thread's begin.
#define ORDER(count, threads, thread_of, ret_first, ret_list)                                      \
    do {                                                                                           \
        for (uint32_t i = 0; i < (count); i++)                                                     \
            (ret_first)[(thread_of) + 1]++;                                                        \
        for (uint32_t i = 0; i < (threads); i++)                                                   \
            (ret_first)[i + 1] += (ret_first)[i];                                                  \
        for (uint32_t i = 0; i < (count); i++)                                                     \
            (ret_list)[(ret_first)[thread_of]++] = i;                                              \
        for (uint32_t i = (threads); i > 0; i--)                                                   \
            (ret_first)[i] = (ret_first)[i - 1];                                                   \
        (ret_first)[0] = 0;                                                                        \
    } while (0)

static int prepare(struct finish *finish)
{
    struct hone_wall *wall = finish->wall;
    struct hone_collected *collected = finish->collected;
    uint32_t threads = finish->session_threads;
    finish->met = calloc((size_t)threads + 1, sizeof *finish->met);
    finish->foreign = calloc((size_t)threads + 1, sizeof *finish->foreign);
    finish->first_sample = calloc((size_t)threads + 2, sizeof(uint32_t));
    finish->samples = calloc((size_t)collected->sample_count + 1, sizeof(uint32_t));
    finish->first_seen = calloc((size_t)wall->thread_count + 2, sizeof(uint32_t));
    finish->seen = calloc((size_t)wall->seen_count + 1, sizeof(uint32_t));
    finish->processes = calloc((size_t)wall->process_count + 1, sizeof(uint32_t));
    finish->first_thread = calloc((size_t)wall->process_count + 1, sizeof(uint32_t));
    finish->matched = calloc((size_t)threads + 1, 1);
    if (!finish->met || !finish->foreign || !finish->first_sample || !finish->samples ||
        !finish->first_seen || !finish->seen || !finish->processes || !finish->first_thread ||
        !finish->matched)
        return -ENOMEM;
    for (uint32_t i = wall->thread_count; i > 0; i--)
        finish->first_thread[wall->threads[i - 1].process] = i - 1;
    ORDER(collected->sample_count, threads, collected->samples[i].thread, finish->first_sample,
          finish->samples);
    ORDER(wall->seen_count, wall->thread_count, wall->seen[i].thread, finish->first_seen,
          finish->seen);
    for (uint32_t i = 0; i < threads; i++) {
        const struct hone_collected_thread *thread = &collected->threads[i];
        if (!hone_collect_same_tid(collected, thread))
            finish->foreign[finish->foreign_count++] = i;
        else
            finish->met[finish->met_count++] = (struct met){thread->tid, i, thread->met_ns};
    }
    qsort(finish->met, finish->met_count, sizeof *finish->met, by_tid);
    return 0;
}

// How long before the account of a thread begins it may have begun.
static uint64_t slack_ns(const struct hone_wall_thread *thread)
{
    return thread->met_late || thread->unborn ? MET_LATE_NS : MET_NS;
}

// Whether something of the process that the session met then belongs to this thread, or began with
// it. One number is several programs in turn, and each may be short: a child that becomes another
// one at once has told of itself less than MET_NS before.
static bool is_of(const struct finish *finish, const struct hone_wall_thread *thread,
                  const struct hone_collected_process *process, uint64_t met_ns)
{
    const struct hone_wall_process *own = &finish->wall->processes[thread->process];
    if (finish->wall->polled && own->announced)
        return process->facts.started_ns == own->announced_ns;
    uint64_t from_ns = own->others_from_ns ? own->others_from_ns : UINT64_MAX;
    if (process->facts.started_ns <= own->others_until_ns || process->facts.started_ns >= from_ns)
        return false;
    if (met_ns + slack_ns(thread) < thread->born_ns || met_ns > thread->ended_ns)
        return false;
    if (process->facts.engine != HONE_ENGINE_PERF_OUTSIDE &&
        process->facts.engine != HONE_ENGINE_PERF_OUTSIDE_USER)
        // A thread tells after it has begun.
        return met_ns >= thread->born_ns || thread->met_late || thread->unborn;
    // By perf events, it may be met as what it is next, just before that begins here.
    uint64_t to_end_ns = thread->ended_ns - met_ns;
    uint64_t to_start_ns =
        met_ns > thread->born_ns ? met_ns - thread->born_ns : thread->born_ns - met_ns;
    return !thread->replaced || to_end_ns > MET_NS || to_start_ns < to_end_ns;
}

// The session's thread that was met while this one lived. A number has one owner at a time. Who
// polls has met it later than it was born: up to that long before.
static uint32_t session_thread(const struct finish *finish, const struct hone_wall_thread *thread)
{
    const struct hone_collected *collected = finish->collected;
    struct met wanted = {.tid = thread->tid};
    uint32_t low = 0, high = finish->met_count; // the first that is not before
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (by_tid(&finish->met[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t found = UINT32_MAX;
    for (; low < finish->met_count && finish->met[low].tid == thread->tid; low++) {
        const struct met *met = &finish->met[low];
        const struct hone_collected_thread *candidate = &collected->threads[met->thread];
        if (finish->matched[met->thread] ||
            !is_of(finish, thread, &collected->processes[candidate->process], met->met_ns))
            continue;
        found = met->thread;
        if (!thread->met_late && !thread->unborn)
            break;
    }
    return found;
}

// The kernel keeps 15 bytes of a name.
static bool is_called(const struct hone_wall_thread *thread, const char *name)
{
    return name[0] && strncmp(thread->name, name, sizeof thread->name - 1) == 0;
}

// Whether a thread whose number here nobody knows may be this one, by what it belongs to and by its
// name: threads of one process, and processes, are told apart by when they began.
static bool may_be(const struct finish *finish, const struct hone_wall_thread *thread,
                   const struct hone_collected_thread *candidate)
{
    const struct hone_collected_process *process =
        &finish->collected->processes[candidate->process];
    uint32_t known = finish->processes[thread->process];
    bool first = thread->tid == thread->pid;
    if (first != (candidate->told_tid == process->facts.pid))
        return false;
    if (process->translated || known)
        return !first && process->pid == thread->pid && (!known || known - 1 == candidate->process);
    return first && (is_called(thread, process->name) || is_called(thread, candidate->name));
}

// The session's thread of another pid namespace that this one is, by all that is known: it had
// ended before anybody could ask for its number here. From now on it goes by that.
static uint32_t foreign_thread(struct finish *finish, const struct hone_wall_thread *thread)
{
    struct hone_collected *collected = finish->collected;
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < finish->foreign_count; i++) {
        uint32_t at = finish->foreign[i];
        const struct hone_collected_thread *candidate = &collected->threads[at];
        if (!finish->matched[at] && may_be(finish, thread, candidate) &&
            is_of(finish, thread, &collected->processes[candidate->process], candidate->met_ns) &&
            (found == UINT32_MAX || candidate->met_ns < collected->threads[found].met_ns))
            found = at;
    }
    if (found == UINT32_MAX)
        return found;
    struct hone_collected_thread *own = &collected->threads[found];
    own->tid = thread->tid;
    own->translated = true;
    collected->processes[own->process].pid = thread->pid;
    collected->processes[own->process].translated = true;
    return found;
}

// The process of the session that the thread belongs to although the session does not know the
// thread; else one that is made for it.
static uint32_t process_for(struct finish *finish, const struct hone_wall_thread *thread)
{
    struct hone_collected *collected = finish->collected;
    uint32_t *known = &finish->processes[thread->process];
    if (*known)
        return *known - 1;
    const struct hone_wall_thread *first =
        &finish->wall->threads[finish->first_thread[thread->process]];
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        if (process->pid == thread->pid && hone_collect_same_pids(collected, process) &&
            is_of(finish, first, process, process->facts.started_ns)) {
            *known = i + 1;
            return i;
        }
    }
    *known = hone_collect_process(collected, thread->pid, thread->name) + 1;
    return *known - 1;
}

static uint32_t own_stack(struct finish *finish, uint32_t thread, uint64_t place)
{
    struct hone_collected *collected = finish->collected;
    uint32_t frames[2] = {
        hone_collect_place(collected, (struct hone_collected_place){.address = place})};
    uint32_t count = 1;
    if (collected->threads[thread].routine)
        frames[count++] = collected->threads[thread].routine - 1;
    return hone_collect_stack(collected, frames, count, HONE_STACK_COMPLETE);
}

static void add(struct finish *finish, uint32_t thread, uint32_t stack, enum hone_wait_kind kind,
                uint64_t samples, double ns, double blocks)
{
    uint64_t rounded = ns > 0 ? (uint64_t)(ns + 0.5) : 0;
    if (!rounded)
        return;
    finish->wall->facts.state_ns[hone_wait_of_kind(kind)] += rounded;
    hone_collect_wall(finish->collected, &(struct hone_collected_wall){
                                             .thread = thread,
                                             .stack = stack,
                                             .kind = kind,
                                             .samples = samples,
                                             .ns = rounded,
                                             .blocks = blocks,
                                         });
}

static void add_running(struct finish *finish, uint32_t thread, uint64_t run_ns)
{
    const struct hone_collected *collected = finish->collected;
    uint64_t sum = 0;
    bool sampled = thread < finish->session_threads; // not one that was made just now
    uint32_t first = sampled ? finish->first_sample[thread] : 0;
    uint32_t end = sampled ? finish->first_sample[thread + 1] : 0;
    for (uint32_t i = first; i < end; i++)
        sum += collected->samples[finish->samples[i]].cpu_ns;
    if (!sum) {
        add(finish, thread, own_stack(finish, thread, HONE_PLACE_NEVER_SAMPLED), HONE_KIND_NONE, 0,
            (double)run_ns, 0);
        return;
    }
    for (uint32_t i = first; i < end; i++) {
        const struct hone_collected_sample *sample = &collected->samples[finish->samples[i]];
        add(finish, thread, sample->stack, HONE_KIND_NONE, sample->samples,
            (double)sample->cpu_ns * (double)run_ns / (double)sum, 0);
    }
}

static double part_of(double whole, double seen)
{
    return seen > 0 ? whole / seen : 0;
}

// What is left of the time of a thread's blocks without what it waited for a CPU at their ends: of
// those that lasted, of those drawn for certain, and of the rest.
struct shares {
    double of_long, of_sure, of_rest;
};

static double share_left(double ns, double taken_ns)
{
    return ns > 0 ? 1 - taken_ns / ns : 0;
}

// A thread waits for a CPU once in each block, however long that was: so each class has a part by
// its number of blocks, as far as that fits in. Within a class it is by time: of those of the rest
// that were not drawn nothing else is known.
static struct shares share_out(double taken_ns, double longs, double long_ns, double sures,
                               double sure_ns, double rests, double rest_ns)
{
    double each_ns = longs + sures + rests > 0 ? taken_ns / (longs + sures + rests) : 0;
    double of_long = each_ns * longs < long_ns ? each_ns * longs : long_ns;
    double of_sure = each_ns * sures < sure_ns ? each_ns * sures : sure_ns;
    double of_rest = taken_ns - of_long - of_sure;
    if (of_rest > rest_ns) {
        double more_ns = of_rest - rest_ns, room_ns = long_ns - of_long + sure_ns - of_sure;
        double part = room_ns > more_ns ? more_ns / room_ns : 1;
        of_rest = rest_ns;
        of_long += (long_ns - of_long) * part;
        of_sure += (sure_ns - of_sure) * part;
    }
    return (struct shares){share_left(long_ns, of_long), share_left(sure_ns, of_sure),
                           share_left(rest_ns, of_rest)};
}

// Blocked time, less what the thread waited for a CPU at the end of its blocks.
static void add_blocked(struct finish *finish, uint32_t index, uint32_t thread, double taken_ns)
{
    const struct hone_wall *wall = finish->wall;
    const struct hone_wall_thread *account = &wall->threads[index];
    uint32_t first = finish->first_seen[index], behind = finish->first_seen[index + 1];
    struct hone_wall_facts *facts = &finish->wall->facts;
    struct hone_wall_seen sum = {0};
    for (uint32_t i = first; i < behind; i++) {
        const struct hone_wall_seen *seen = &wall->seen[finish->seen[i]];
        sum.long_ns += seen->long_ns;
        sum.short_ns += seen->short_ns;
        sum.sure_ns += seen->sure_ns;
        sum.longs += seen->longs;
        sum.shorts += seen->shorts;
        sum.sures += seen->sures;
    }
    // What is left of the short ones is for those to stand for that were seen by chance.
    double rest_ns = (double)account->short_ns - (double)sum.sure_ns;
    double rest = (double)account->shorts - sum.sures;
    rest_ns = rest_ns > 0 ? rest_ns : 0;
    rest = rest > 0 ? rest : 0;
    const struct shares left = share_out(taken_ns, (double)account->longs, (double)account->long_ns,
                                         sum.sures, (double)sum.sure_ns, rest, rest_ns);
    double long_factor = part_of((double)account->long_ns, (double)sum.long_ns);
    double short_factor = part_of(rest_ns, (double)sum.short_ns);
    double longs_factor = part_of((double)account->longs, sum.longs);
    double shorts_factor = part_of(rest, sum.shorts);
    for (uint32_t i = first; i < behind; i++) {
        const struct hone_wall_seen *seen = &wall->seen[finish->seen[i]];
        double ns = (double)seen->long_ns * long_factor * left.of_long +
                    (double)seen->short_ns * short_factor * left.of_rest +
                    (double)seen->sure_ns * left.of_sure;
        add(finish, thread, seen->stack, seen->kind, seen->samples, ns,
            seen->longs * longs_factor + seen->shorts * shorts_factor + seen->sures);
        enum hone_stack_end end = finish->collected->stacks[seen->stack].end;
        facts->ends[end] += seen->samples;
        facts->seen_ns += (uint64_t)ns;
        if (end != HONE_STACK_COMPLETE)
            facts->truncated_ns += (uint64_t)ns;
    }
    double unseen = (sum.long_ns ? 0 : (double)account->long_ns * left.of_long) +
                    (sum.short_ns ? 0 : rest_ns * left.of_rest);
    double unseen_blocks =
        (sum.longs > 0 ? 0 : (double)account->longs) + (sum.shorts > 0 ? 0 : rest);
    if (unseen > 0)
        add(finish, thread, own_stack(finish, thread, HONE_PLACE_NEVER_SAMPLED), HONE_KIND_UNKNOWN,
            0, unseen, unseen_blocks);
    facts->blocks += account->longs + account->shorts;
}

// From the last look to the end that the thread told: it used the CPU as long as it says, and the
// rest of the time it was where it was last seen.
static void extend(struct finish *finish, struct hone_wall_thread *account, uint32_t thread)
{
    const struct hone_collected_thread *told = &finish->collected->threads[thread];
    if (!finish->wall->polled || told->left_ns <= account->ended_ns ||
        told->left_ns > finish->wall->facts.ended_ns)
        return;
    uint64_t gap_ns = told->left_ns - account->ended_ns;
    uint64_t run_ns = told->end_ns > account->run_ns ? told->end_ns - account->run_ns : 0;
    if (run_ns > gap_ns)
        run_ns = gap_ns;
    account->ended_ns = told->left_ns;
    account->run_ns += run_ns;
    if (account->seen)
        add(finish, thread, account->stack, account->kind, 0, (double)(gap_ns - run_ns), 0);
    else
        account->short_ns += gap_ns - run_ns;
}

struct parts {
    uint64_t run_ns, runnable_ns, blocked_ns;
};

// A thread's life by the scheduler's records, in the kernel's own terms. The records tell of
// waiting for a CPU only where that is no wake-up; a switch is nobody's work, where the kernel
// counts it as the work of who comes; and what a hypervisor took is work, where the kernel leaves
// it out: that is no wait of the thread's, so it is left as it is.
static struct parts parts_of(const struct hone_wall *wall, const struct hone_wall_thread *account,
                             uint64_t blocked_ns)
{
    struct parts parts = {account->run_ns, account->preempted_ns, blocked_ns};
    if (wall->polled)
        return parts;
    uint64_t all_ns = parts.run_ns + parts.runnable_ns + parts.blocked_ns;
    uint64_t run_ns = account->counted.run_ns - account->counted_first.run_ns;
    uint64_t delay_ns = account->counted.delay_ns - account->counted_first.delay_ns;
    if (run_ns > parts.run_ns)
        parts.run_ns = run_ns < all_ns ? run_ns : all_ns;
    if (delay_ns > parts.runnable_ns || account->counted_at_end)
        parts.runnable_ns = delay_ns;
    if (parts.runnable_ns > all_ns - parts.run_ns)
        parts.runnable_ns = all_ns - parts.run_ns;
    parts.blocked_ns = all_ns - parts.run_ns - parts.runnable_ns;
    if (parts.blocked_ns > blocked_ns) { // of which there is no more than that
        parts.runnable_ns += parts.blocked_ns - blocked_ns;
        parts.blocked_ns = blocked_ns;
    }
    return parts;
}

static void add_thread(struct finish *finish, uint32_t index)
{
    struct hone_wall_thread *account = &finish->wall->threads[index];
    uint32_t thread = session_thread(finish, account);
    if (thread == UINT32_MAX)
        thread = foreign_thread(finish, account);
    if (thread == UINT32_MAX)
        thread = hone_collect_thread(finish->collected, process_for(finish, account), account->tid,
                                     account->name);
    else {
        finish->matched[thread] = 1;
        finish->processes[account->process] = finish->collected->threads[thread].process + 1;
    }
    // Who polls learns late that a thread has begun or ended; the thread itself may have told.
    uint64_t met_ns = finish->collected->threads[thread].met_ns;
    if (finish->wall->polled && account->met_late && met_ns && met_ns < account->born_ns) {
        account->short_ns += account->born_ns - met_ns;
        account->born_ns = met_ns;
    }
    extend(finish, account, thread);
    if (account->uncovered) { // what the kernel counts is left: the rest is anything
        account->short_ns += account->run_ns + account->preempted_ns;
        account->run_ns = account->preempted_ns = 0;
    }
    uint64_t blocked_ns = account->long_ns + account->short_ns;
    struct parts parts = parts_of(finish->wall, account, blocked_ns);
    finish->wall->facts.lifetime_ns += account->ended_ns - account->born_ns;
    if (parts.run_ns)
        add_running(finish, thread, parts.run_ns);
    if (parts.runnable_ns)
        add(finish, thread, own_stack(finish, thread, HONE_PLACE_RUNNABLE), HONE_KIND_RUNNABLE, 0,
            (double)parts.runnable_ns, 0);
    if (blocked_ns)
        add_blocked(finish, index, thread, (double)blocked_ns - (double)parts.blocked_ns);
}

// Threads with CPU samples that nobody watched: of them nothing but that is known.
static void add_unwatched(struct finish *finish)
{
    for (uint32_t i = 0; i < finish->session_threads; i++) {
        if (finish->matched[i] || finish->first_sample[i] == finish->first_sample[i + 1])
            continue;
        finish->wall->facts.unmatched++;
        for (uint32_t at = finish->first_sample[i]; at < finish->first_sample[i + 1]; at++) {
            const struct hone_collected_sample *sample =
                &finish->collected->samples[finish->samples[at]];
            add(finish, i, sample->stack, HONE_KIND_NONE, sample->samples, (double)sample->cpu_ns,
                0);
        }
    }
}

// Of places in the kernel that were told by their names, which nobody looked up so far.
static void find_kernel_places(struct hone_wall *wall)
{
    struct hone_collected *collected = wall->collected;
    for (uint32_t i = 0; wall->look.kernel && wall->kernel && i < collected->place_count; i++) {
        struct hone_collected_place *place = &collected->places[i];
        if (place->module == wall->look.kernel - 1 && place->address < HONE_KERNEL_START)
            place->address = hone_kernel_names_find(wall->kernel, place->address);
    }
}

int hone_wall_finish(struct hone_wall *wall)
{
    HONE_CLEANUP(finish_done)
    struct finish finish = {.wall = wall,
                            .collected = wall->collected,
                            .session_threads = wall->collected->thread_count};
    int r = prepare(&finish);
    if (r)
        return r;
    for (uint32_t i = 0; i < wall->thread_count; i++)
        add_thread(&finish, i);
    add_unwatched(&finish);
    find_kernel_places(wall);
    wall->facts.bases = wall->look.bases;
    wall->facts.searched = wall->look.searched;
    wall->facts.kernels = wall->look.kernels;
    wall->collected->wall_facts = wall->facts;
    return wall->status ? wall->status : hone_collect_status(wall->collected);
}
