#include "convert/threads.h"

#include "base/array.h"
#include "base/table.h"

#include <errno.h>

static struct hone_thread_track track_of(const struct hone_profile *p, uint32_t set)
{
    struct hone_thread_track track = {0};
    struct hone_profile_label_span labels = hone_profile_labels_of(p, set);
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        struct hone_str key = hone_profile_str(p, label->key);
        if (hone_str_equal(key, HONE_STR("process")))
            track.process = label->text;
        else if (hone_str_equal(key, HONE_STR("thread")) && label->text)
            track.thread = label->text;
        else if (hone_str_equal(key, HONE_STR("pid")))
            track.pid = label->number;
        else if (hone_str_equal(key, HONE_STR("tid")) || hone_str_equal(key, HONE_STR("thread")))
            track.tid = label->number;
    }
    return track;
}

static bool same(const struct hone_thread_track *a, const struct hone_thread_track *b)
{
    return a->process == b->process && a->thread == b->thread && a->pid == b->pid &&
           a->tid == b->tid;
}

static int find(struct hone_threads *threads, struct hone_table *table,
                const struct hone_thread_track *track, uint32_t *ret)
{
    uint64_t words[] = {(uint64_t)track->process << 32 | track->thread, (uint64_t)track->pid,
                        (uint64_t)track->tid};
    uint64_t hash = hone_hash_words(words, 3, hone_table_seed());
    struct hone_table_probe probe = hone_table_probe(table, hash);
    while ((*ret = hone_table_next(table, &probe)) != HONE_TABLE_END)
        if (same(&threads->at[*ret], track))
            return 0;
    *ret = threads->count;
    if (!hone_array_reserve(&threads->at, &threads->room, (uint64_t)threads->count + 1,
                            sizeof *threads->at) ||
        hone_table_add(table, hash, threads->count))
        return -ENOMEM;
    threads->at[threads->count++] = *track;
    return 0;
}

// Numbers for threads without one, above all that there are.
static void number_tracks(struct hone_threads *threads)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < threads->count; i++)
        if (threads->at[i].tid > most && threads->at[i].tid < INT64_MAX - UINT32_MAX)
            most = threads->at[i].tid;
    for (uint32_t i = 0; i < threads->count; i++) {
        struct hone_thread_track *track = &threads->at[i];
        track->track = track->tid ? track->tid : ++most;
    }
}

int hone_threads_init(struct hone_threads *threads, const struct hone_profile *p)
{
    *threads = (struct hone_threads){0};
    threads->of_set = calloc(p->label_sets.count, sizeof *threads->of_set);
    if (!threads->of_set)
        return -ENOMEM;
    memset(threads->of_set, 0xff, p->label_sets.count * sizeof *threads->of_set);
    struct hone_table table = {0};
    int r = 0;
    for (uint32_t i = 0; !r && i < p->samples.count; i++) {
        uint32_t set = p->samples.label_set[i];
        if (threads->of_set[set] != UINT32_MAX)
            continue;
        struct hone_thread_track track = track_of(p, set);
        r = find(threads, &table, &track, &threads->of_set[set]);
    }
    hone_table_done(&table);
    number_tracks(threads);
    return r;
}

void hone_threads_done(struct hone_threads *threads)
{
    free(threads->at);
    free(threads->of_set);
}
