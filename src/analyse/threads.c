#include "analyse/threads.h"

#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool find_type(const struct hone_profile *profile, uint32_t *ret)
{
    for (uint32_t i = 0; i < profile->type_count; i++) {
        const char *type = hone_profile_text(profile, profile->types[i].type);
        if (strcmp(type, "threads") == 0 || strcmp(type, "goroutine") == 0 ||
            strcmp(type, "goroutines") == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

// --- rows ----------------------------------------------------------------------------------------

static void take_number(struct hone_thread_row *row, const char *key, int64_t number)
{
    if (strcmp(key, "pid") == 0)
        row->pid = number;
    else if (strcmp(key, "tid") == 0)
        row->tid = number;
    else if (strcmp(key, "creator") == 0)
        row->creator = number;
    else if (strcmp(key, "waits") == 0)
        row->waits_ns = number;
}

static void take_text(struct hone_thread_row *row, const char *key, const char *text)
{
    const struct {
        const char *key;
        const char **at;
    } places[] = {
        {"process", &row->process},       {"thread", &row->thread},
        {"state", &row->state},           {"wait", &row->wait},
        {"created by", &row->created_by}, {"created at", &row->created_at},
        {"no stack", &row->no_stack},     {"may be stuck", &row->stuck},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strcmp(places[i].key, key) == 0)
            *places[i].at = text;
}

static struct hone_thread_row read_row(const struct hone_profile *profile, uint32_t sample,
                                       uint32_t type)
{
    struct hone_thread_row row = {
        .stack = profile->samples.stack[sample],
        .count = profile->samples.values[type][sample],
        .waits_ns = -1,
        .process = "",
        .thread = "",
        .state = "",
        .wait = "",
        .created_by = "",
        .created_at = "",
        .no_stack = "",
        .stuck = "",
    };
    struct hone_profile_label_span labels =
        hone_profile_labels_of(profile, profile->samples.label_set[sample]);
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        const char *key = hone_profile_text(profile, label->key);
        if (label->text)
            take_text(&row, key, hone_profile_text(profile, label->text));
        else
            take_number(&row, key, label->number);
    }
    return row;
}

// --- groups --------------------------------------------------------------------------------------

static int compare_groups(const struct hone_thread_row *one, const struct hone_thread_row *other)
{
    if (one->stack != other->stack)
        return one->stack < other->stack ? -1 : 1;
    int r = strcmp(one->process, other->process);
    if (!r)
        r = strcmp(one->state, other->state);
    if (!r)
        r = strcmp(one->wait, other->wait);
    if (!r)
        r = strcmp(one->created_by, other->created_by);
    return r ? r : strcmp(one->created_at, other->created_at);
}

static int by_group(const void *a, const void *b)
{
    const struct hone_thread_row *one = a, *other = b;
    int r = compare_groups(one, other);
    if (r)
        return r;
    if (one->pid != other->pid)
        return one->pid < other->pid ? -1 : 1;
    return one->tid < other->tid ? -1 : one->tid > other->tid;
}

static int by_size(const void *a, const void *b)
{
    const struct hone_thread_group *one = a, *other = b;
    if (one->count != other->count)
        return one->count > other->count ? -1 : 1;
    if (one->longest_ns != other->longest_ns)
        return one->longest_ns > other->longest_ns ? -1 : 1;
    return one->first < other->first ? -1 : one->first > other->first;
}

static void make_groups(struct hone_thread_list *threads)
{
    if (threads->count)
        qsort(threads->rows, threads->count, sizeof *threads->rows, by_group);
    for (uint32_t i = 0; i < threads->count; i++) {
        const struct hone_thread_row *row = &threads->rows[i];
        if (!i || compare_groups(row - 1, row))
            threads->groups[threads->group_count++] =
                (struct hone_thread_group){.first = i, .shortest_ns = -1, .longest_ns = -1};
        struct hone_thread_group *group = &threads->groups[threads->group_count - 1];
        group->rows++;
        group->count += row->count;
        if (row->waits_ns < 0)
            continue;
        if (group->shortest_ns < 0 || row->waits_ns < group->shortest_ns)
            group->shortest_ns = row->waits_ns;
        if (row->waits_ns > group->longest_ns)
            group->longest_ns = row->waits_ns;
    }
    if (threads->group_count)
        qsort(threads->groups, threads->group_count, sizeof *threads->groups, by_size);
}

// --- sums ----------------------------------------------------------------------------------------

static void count_state(struct hone_thread_list *threads, const struct hone_thread_row *row)
{
    const char *name = row->wait[0] ? row->wait : row->state;
    uint32_t i = 0;
    while (i < threads->state_count && strcmp(threads->states[i].name, name) != 0)
        i++;
    if (i == threads->state_count) {
        if (i == HONE_THREAD_STATES_MAX)
            return; // of a file that is not ours
        threads->states[threads->state_count++] = (struct hone_thread_state){.name = name};
    }
    threads->states[i].count += row->count;
}

static int by_frequency(const void *a, const void *b)
{
    const struct hone_thread_state *one = a, *other = b;
    if (one->count != other->count)
        return one->count > other->count ? -1 : 1;
    return strcmp(one->name, other->name);
}

static int by_number(const void *a, const void *b)
{
    const int64_t *one = a, *other = b;
    return *one < *other ? -1 : *one > *other;
}

static int count_processes(struct hone_thread_list *threads)
{
    HONE_CLEANUP(hone_freep) int64_t *pids = calloc((size_t)threads->count + 1, sizeof *pids);
    if (!pids)
        return -ENOMEM;
    for (uint32_t i = 0; i < threads->count; i++)
        pids[i] = threads->rows[i].pid;
    qsort(pids, threads->count, sizeof *pids, by_number);
    for (uint32_t i = 0; i < threads->count; i++)
        threads->processes += !i || pids[i] != pids[i - 1];
    return 0;
}

void hone_thread_list_done(struct hone_thread_list *threads)
{
    free(threads->rows);
    free(threads->groups);
    *threads = (struct hone_thread_list){0};
}

int hone_thread_list_new(const struct hone_profile *profile, struct hone_thread_list *ret,
                         struct hone_error *err)
{
    HONE_CLEANUP(hone_thread_list_done) struct hone_thread_list threads = {0};
    uint32_t type;
    if (!find_type(profile, &type))
        return hone_error_set(err, -EINVAL, "it is no profile of threads");
    threads.rows = calloc((size_t)profile->samples.count + 1, sizeof *threads.rows);
    threads.groups = calloc((size_t)profile->samples.count + 1, sizeof *threads.groups);
    if (!threads.rows || !threads.groups)
        return hone_error_set(err, -ENOMEM, "cannot show threads");
    for (uint32_t i = 0; i < profile->samples.count; i++) {
        struct hone_thread_row row = read_row(profile, i, type);
        if (row.count <= 0)
            continue;
        threads.rows[threads.count++] = row;
        threads.total += row.count;
        count_state(&threads, &row);
    }
    make_groups(&threads);
    qsort(threads.states, threads.state_count, sizeof *threads.states, by_frequency);
    if (count_processes(&threads))
        return hone_error_set(err, -ENOMEM, "cannot show threads");
    *ret = threads;
    threads = (struct hone_thread_list){0};
    return 0;
}
