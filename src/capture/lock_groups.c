#include "capture/lock_groups.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

double hone_lock_delay_ns(const struct hone_collected_lock *lock)
{
    double held_ns = lock->delay_ns[HONE_LOCK_ALONE].value + lock->delay_ns[HONE_LOCK_SHARED].value;
    double waited_ns = lock->taken[HONE_LOCK_ALONE].waited_ns.value +
                       lock->taken[HONE_LOCK_SHARED].waited_ns.value;
    return lock->held_records ? held_ns : waited_ns;
}

static double acquisitions(const struct hone_collected_lock *lock)
{
    return lock->taken[HONE_LOCK_ALONE].acquired.value +
           lock->taken[HONE_LOCK_SHARED].acquired.value;
}

// --- sums ----------------------------------------------------------------------------------------

static void add_sum(struct hone_lock_sum *to, const struct hone_lock_sum *from)
{
    to->value += from->value;
    to->variance += from->variance;
}

static int add_taken(struct hone_lock_taken *to, const struct hone_lock_taken *from)
{
    add_sum(&to->acquired, &from->acquired);
    add_sum(&to->contended, &from->contended);
    add_sum(&to->waits, &from->waits);
    add_sum(&to->waited_ns, &from->waited_ns);
    add_sum(&to->held_ns, &from->held_ns);
    to->timed_out += from->timed_out;
    to->draws += from->draws;
    int r = hone_lock_times_merge(&to->drawn_waits, &from->drawn_waits);
    if (!r)
        r = hone_lock_times_merge(&to->told_waits, &from->told_waits);
    return r ? r : hone_lock_times_merge(&to->holds, &from->holds);
}

static int add_lock(struct hone_lock_group *group, const struct hone_collected_lock *lock)
{
    struct hone_collected_lock *sum = &group->sum;
    int r = 0;
    for (int mode = 0; !r && mode < HONE_LOCK_MODES; mode++) {
        r = add_taken(&sum->taken[mode], &lock->taken[mode]);
        add_sum(&sum->releases[mode], &lock->releases[mode]);
        add_sum(&sum->delay_ns[mode], &lock->delay_ns[mode]);
    }
    sum->held_records += lock->held_records;
    sum->queues += lock->queues;
    sum->waiters += lock->waiters;
    add_sum(&sum->hold_of_waiters_ns, &lock->hold_of_waiters_ns);
    sum->hold_waiters += lock->hold_waiters;
    if (lock->waiters_most > sum->waiters_most)
        sum->waiters_most = lock->waiters_most;
    sum->several = sum->several || lock->several ||
                   (sum->thread && lock->thread && sum->thread != lock->thread);
    if (!sum->thread)
        sum->thread = lock->thread;
    group->count++;
    return r ? r : hone_lock_times_merge(&sum->contended_holds, &lock->contended_holds);
}

static void sum_done(struct hone_collected_lock *sum)
{
    for (int mode = 0; mode < HONE_LOCK_MODES; mode++) {
        hone_lock_times_done(&sum->taken[mode].drawn_waits);
        hone_lock_times_done(&sum->taken[mode].told_waits);
        hone_lock_times_done(&sum->taken[mode].holds);
    }
    hone_lock_times_done(&sum->contended_holds);
}

// --- which belong together -----------------------------------------------------------------------

struct item {
    const struct hone_collected_lock *lock;
    const char *name;
    uint32_t number;
};

static int by_name(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    if (a->lock->process != b->lock->process)
        return a->lock->process < b->lock->process ? -1 : 1;
    if (a->lock->kind != b->lock->kind)
        return a->lock->kind < b->lock->kind ? -1 : 1;
    int order = strcmp(a->name, b->name);
    return order ? order : a->number < b->number ? -1 : 1;
}

static bool is_same(const struct item *a, const struct item *b)
{
    return a->lock->process == b->lock->process && a->lock->kind == b->lock->kind &&
           strcmp(a->name, b->name) == 0;
}

// Largest first, and by the number of their lock where they are equal.
static int by_delay(const void *left, const void *right)
{
    const struct hone_lock_group *a = left, *b = right;
    double x = hone_lock_delay_ns(&a->sum), y = hone_lock_delay_ns(&b->sum);
    if (x != y)
        return x > y ? -1 : 1;
    x = acquisitions(&a->sum);
    y = acquisitions(&b->sum);
    if (x != y)
        return x > y ? -1 : 1;
    return (a->lock > b->lock) - (a->lock < b->lock);
}

static int gather(struct hone_lock_groups *groups, const struct hone_collected_lock *locks,
                  const struct item *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bool first = i == 0 || !is_same(&items[i - 1], &items[i]);
        struct hone_lock_group *group = &groups->at[groups->count - !first];
        if (first) {
            groups->count++;
            group->lock = items[i].number;
            group->sum.process = items[i].lock->process;
            group->sum.kind = items[i].lock->kind;
        }
        int r = add_lock(group, items[i].lock);
        if (r)
            return r;
        if (hone_lock_delay_ns(items[i].lock) > hone_lock_delay_ns(&locks[group->lock]))
            group->lock = items[i].number;
    }
    return 0;
}

// --- their places --------------------------------------------------------------------------------

struct share {
    uint32_t group, stack;
    double ns;
};

static int by_group_and_stack(const void *left, const void *right)
{
    const struct share *a = left, *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return (a->stack > b->stack) - (a->stack < b->stack);
}

// Of each group the stack that has most, told through `at`.
static void choose(struct hone_lock_groups *groups, struct share *shares, uint32_t count, size_t at)
{
    if (count)
        qsort(shares, count, sizeof *shares, by_group_and_stack);
    for (uint32_t i = 0, next; i < count; i = next) {
        double ns = 0;
        for (next = i; next < count && shares[next].group == shares[i].group &&
                       shares[next].stack == shares[i].stack;
             next++)
            ns += shares[next].ns;
        struct hone_lock_place *place =
            (struct hone_lock_place *)((char *)&groups->at[shares[i].group] + at);
        place->all_ns += ns;
        if (shares[i].stack && ns > place->ns) {
            place->ns = ns;
            place->stack = shares[i].stack;
        }
    }
}

static int find_places(struct hone_lock_groups *groups, const struct hone_locks *locks)
{
    uint32_t most = locks->hold_count > locks->wait_count ? locks->hold_count : locks->wait_count;
    HONE_CLEANUP(hone_freep) struct share *shares = calloc((size_t)most + 1, sizeof *shares);
    if (!shares)
        return -ENOMEM;
    for (uint32_t i = 0; i < locks->hold_count; i++)
        shares[i] = (struct share){groups->of[locks->holds[i].lock], locks->holds[i].stack,
                                   locks->holds[i].delay_ns.value};
    choose(groups, shares, locks->hold_count, offsetof(struct hone_lock_group, holder));
    for (uint32_t i = 0; i < locks->wait_count; i++)
        shares[i] = (struct share){groups->of[locks->waits[i].lock], locks->waits[i].stack,
                                   locks->waits[i].waited_ns.value};
    choose(groups, shares, locks->wait_count, offsetof(struct hone_lock_group, waiter));
    // Where no wait was told by who waited, who held it knows where the longest did.
    uint32_t count = 0;
    for (uint32_t i = 0; i < locks->hold_count; i++) {
        uint32_t group = groups->of[locks->holds[i].lock];
        if (groups->at[group].waiter.all_ns <= 0)
            shares[count++] =
                (struct share){group, locks->holds[i].waiter, locks->holds[i].delay_ns.value};
    }
    choose(groups, shares, count, offsetof(struct hone_lock_group, waiter));
    return 0;
}

// --- neighbours ----------------------------------------------------------------------------------

static int by_address(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    if (a->lock->process != b->lock->process)
        return a->lock->process < b->lock->process ? -1 : 1;
    if (a->lock->address != b->lock->address)
        return a->lock->address < b->lock->address ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

// Two locks whose first words lie on one line of the cache, both taken often enough to be drawn
// several times, by different threads: each acquisition of one takes the line from the other.
static bool share_a_line(const struct hone_collected_lock *a, const struct hone_collected_lock *b,
                         uint32_t line_bytes)
{
    enum { DRAWS = 20 };
    return a->process == b->process && a->address != b->address &&
           a->address / line_bytes == b->address / line_bytes &&
           a->taken[0].draws + a->taken[1].draws >= DRAWS &&
           b->taken[0].draws + b->taken[1].draws >= DRAWS &&
           (a->several || b->several || a->thread != b->thread);
}

static void find_neighbours(struct hone_lock_groups *groups, struct item *items, uint32_t count,
                            uint32_t line_bytes)
{
    if (!line_bytes || !count)
        return;
    qsort(items, count, sizeof *items, by_address);
    for (uint32_t i = 1; i < count; i++) {
        uint32_t a = groups->of[items[i - 1].number], b = groups->of[items[i].number];
        if (!share_a_line(items[i - 1].lock, items[i].lock, line_bytes))
            continue;
        if (!groups->at[a].beside)
            groups->at[a].beside = b + 1;
        if (!groups->at[b].beside)
            groups->at[b].beside = a + 1;
    }
}

int hone_lock_groups_init(struct hone_lock_groups *groups, const struct hone_locks *locks,
                          const struct hone_lock_names *names, uint32_t line_bytes)
{
    HONE_CLEANUP(hone_freep) struct item *items = calloc((size_t)locks->count + 1, sizeof *items);
    HONE_CLEANUP(hone_freep)
    uint32_t *places = calloc((size_t)locks->count + 1, sizeof *places);
    groups->at = calloc((size_t)locks->count + 1, sizeof *groups->at);
    groups->of = calloc((size_t)locks->count + 1, sizeof *groups->of);
    if (!items || !places || !groups->at || !groups->of)
        return -ENOMEM;
    for (uint32_t i = 0; i < locks->count; i++)
        items[i] = (struct item){&locks->at[i], names->at[i].text, i};
    if (locks->count)
        qsort(items, locks->count, sizeof *items, by_name);
    int r = gather(groups, locks->at, items, locks->count);
    if (r)
        return r;
    // The order is what numbers them; a lock finds its group by name again.
    qsort(groups->at, groups->count, sizeof *groups->at, by_delay);
    for (uint32_t i = 0; i < groups->count; i++)
        places[groups->at[i].lock] = i;
    for (uint32_t i = 0, next; i < locks->count; i = next) {
        uint32_t group = 0;
        for (next = i; next < locks->count && is_same(&items[i], &items[next]); next++)
            if (groups->at[places[items[next].number]].lock == items[next].number)
                group = places[items[next].number];
        for (uint32_t member = i; member < next; member++)
            groups->of[items[member].number] = group;
    }
    r = find_places(groups, locks);
    if (!r)
        find_neighbours(groups, items, locks->count, line_bytes);
    return r;
}

void hone_lock_groups_done(struct hone_lock_groups *groups)
{
    for (uint32_t i = 0; i < groups->count; i++)
        sum_done(&groups->at[i].sum);
    free(groups->at);
    free(groups->of);
    *groups = (struct hone_lock_groups){0};
}
