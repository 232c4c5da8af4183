#include "capture/thread_sites.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

static int by_site(const void *a, const void *b)
{
    const struct hone_thread_life *one = a, *other = b;
    if (one->process != other->process)
        return one->process < other->process ? -1 : 1;
    if (one->creation != other->creation)
        return one->creation < other->creation ? -1 : 1;
    if (one->begun_ns != other->begun_ns)
        return one->begun_ns < other->begun_ns ? -1 : 1;
    return one->ended_ns < other->ended_ns ? -1 : one->ended_ns > other->ended_ns;
}

int hone_thread_lives_new(const struct hone_collected *collected, uint64_t end_ns,
                          struct hone_thread_lives *ret)
{
    struct hone_thread_lives lives = {
        .at = calloc((size_t)collected->thread_count + 1, sizeof *lives.at)};
    if (!lives.at)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->thread_count; i++) {
        const struct hone_collected_thread *thread = &collected->threads[i];
        bool first = thread->tid == collected->processes[thread->process].pid;
        if (!thread->met_ns || thread->met_ns >= end_ns || (first && !thread->creation))
            continue;
        lives.at[lives.count++] = (struct hone_thread_life){
            .process = thread->process,
            .creation = thread->creation,
            .begun_ns = thread->met_ns,
            .ended_ns = thread->left_ns < end_ns ? thread->left_ns : 0,
        };
    }
    qsort(lives.at, lives.count, sizeof *lives.at, by_site);
    *ret = lives;
    return 0;
}

void hone_thread_lives_done(struct hone_thread_lives *lives)
{
    free(lives->at);
    *lives = (struct hone_thread_lives){0};
}

static int by_time(const void *a, const void *b)
{
    const uint64_t *one = a, *other = b;
    return *one < *other ? -1 : *one > *other;
}

// Begins are in order already; one that ends as another begins makes room for it.
static int find_most(const struct hone_thread_lives *lives, struct hone_thread_site *site)
{
    HONE_CLEANUP(hone_freep) uint64_t *ends = calloc((size_t)site->ended + 1, sizeof *ends);
    if (!ends)
        return -ENOMEM;
    uint32_t count = 0, over = 0;
    for (uint32_t i = 0; i < site->created; i++)
        if (lives->at[site->first + i].ended_ns)
            ends[count++] = lives->at[site->first + i].ended_ns;
    qsort(ends, count, sizeof *ends, by_time);
    for (uint32_t i = 0; i < site->created; i++) {
        uint64_t now_ns = lives->at[site->first + i].begun_ns;
        while (over < count && ends[over] <= now_ns)
            over++;
        // Of a life that ended before it began, as clocks of different CPUs may tell.
        uint32_t there = i + 1 > over ? i + 1 - over : 0;
        if (there > site->most) {
            site->most = there;
            site->most_ns = now_ns;
        }
    }
    return 0;
}

int hone_thread_site_sum(const struct hone_thread_lives *lives, uint32_t first,
                         struct hone_thread_site *ret)
{
    const struct hone_thread_life *begin = &lives->at[first];
    struct hone_thread_site site = {
        .process = begin->process, .creation = begin->creation, .first = first};
    for (uint32_t i = first; i < lives->count; i++) {
        const struct hone_thread_life *life = &lives->at[i];
        if (life->process != begin->process || life->creation != begin->creation)
            break;
        site.created++;
        if (!life->ended_ns)
            continue;
        uint64_t lived_ns = life->ended_ns > life->begun_ns ? life->ended_ns - life->begun_ns : 0;
        if (!site.ended || lived_ns < site.shortest_ns)
            site.shortest_ns = lived_ns;
        if (lived_ns > site.longest_ns)
            site.longest_ns = lived_ns;
        site.lived_ns += lived_ns;
        site.ended++;
    }
    int r = find_most(lives, &site);
    if (!r)
        *ret = site;
    return r;
}
