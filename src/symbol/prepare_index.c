// Many addresses at once out of an index, from low to high, so that neighbours share its pages and
// cache lines. Threads find the frames, each with a reader of its own; the calling one also puts
// their functions into the module's tables, run by run as they are found.
#include "symbol/module.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUN = 128,     // addresses that a thread takes at a time
    FEW = 8 * RUN, // below, starting threads takes longer
};

struct found {
    const struct hone_symbol_index_frame *frames;
    size_t count;
    int outcome; // of hone_symbol_index_lookup()
};

struct finding {
    const uint64_t *vaddrs; // sorted
    struct found *found;    // by address
    size_t count;
    _Atomic size_t next; // run; relaxed: it orders nothing but itself
    _Atomic bool *ready; // by run: its frames are found

    // The calling thread's.
    struct hone_symbol_module *module;
    size_t answered; // runs
    int status;

    struct hone_symbol_index *readers[HONE_CREW_MAX];
    struct hone_arena arenas[HONE_CREW_MAX];
};

static void finding_done(struct finding *finding)
{
    for (size_t i = 0; i < HONE_CREW_MAX; i++) {
        hone_symbol_index_close(finding->readers[i]);
        hone_arena_done(&finding->arenas[i]);
    }
    free(finding->found);
    free(finding->ready);
}

static struct found find(struct hone_symbol_index *index, struct hone_arena *arena, uint64_t vaddr)
{
    struct hone_symbol_index_frames frames;
    int r = hone_symbol_index_lookup(index, vaddr, &frames);
    if (r)
        return (struct found){.outcome = r};
    size_t bytes = frames.count * sizeof *frames.at;
    struct hone_symbol_index_frame *kept = hone_arena_alloc(arena, bytes);
    if (!kept)
        return (struct found){.outcome = -ENOMEM};
    memcpy(kept, frames.at, bytes);
    return (struct found){kept, frames.count, 0};
}

static size_t end_of(const struct finding *finding, size_t run)
{
    size_t end = (run + 1) * RUN;
    return end < finding->count ? end : finding->count;
}

// What is ready, in order.
static void answer(struct finding *finding)
{
    // Acquire: the frames that were found. Pairs with the release in work().
    while (finding->answered * RUN < finding->count && !finding->status &&
           atomic_load_explicit(&finding->ready[finding->answered], memory_order_acquire)) {
        size_t run = finding->answered++;
        for (size_t at = run * RUN; at < end_of(finding, run) && !finding->status; at++) {
            const struct found *found = &finding->found[at];
            const struct hone_symbol_index_frames frames = {found->frames, found->count};
            finding->status = hone_symbol_answer_indexed(finding->module, finding->vaddrs[at],
                                                         found->outcome, &frames);
        }
    }
}

static void work(void *context, unsigned number)
{
    struct finding *finding = context;
    for (;;) {
        size_t run = atomic_fetch_add_explicit(&finding->next, 1, memory_order_relaxed);
        if (run * RUN >= finding->count)
            return;
        for (size_t at = run * RUN; at < end_of(finding, run); at++)
            finding->found[at] =
                find(finding->readers[number], &finding->arenas[number], finding->vaddrs[at]);
        atomic_store_explicit(&finding->ready[run], true, memory_order_release);
        if (number == 0)
            answer(finding);
    }
}

// Most addresses have a function of their own, and some inlined into it.
static bool reserve(struct hone_symbol_module *module, size_t count)
{
    return hone_symbol_knowns_reserve(&module->known, count) &&
           hone_symbol_pool_reserve(&module->symbolizer->functions, count) &&
           hone_symbol_pool_reserve(&module->symbolizer->texts, count);
}

static int find_all(struct hone_symbol_module *module, const uint64_t *sorted, size_t count)
{
    HONE_CLEANUP(finding_done)
    struct finding finding = {.vaddrs = sorted, .count = count, .module = module};
    unsigned threads = hone_crew_size(), readers = 0;
    const struct hone_file_map *bytes = &module->index_bytes;
    size_t len;
    const unsigned char *build_id = hone_symbol_module_id(module, &len);
    finding.found = calloc(count, sizeof *finding.found);
    finding.ready = calloc(count / RUN + 1, sizeof *finding.ready);
    if (!finding.found || !finding.ready || !reserve(module, count))
        return -ENOMEM;
    while (readers < threads &&
           !hone_symbol_index_open(bytes->at, bytes->len, build_id, len, &finding.readers[readers]))
        readers++;
    if (!readers)
        return 0;
    hone_crew_run(readers, work, &finding);
    answer(&finding);
    // A damaged index: hone_symbol_lookup() will see to that.
    return finding.status == -EBADMSG ? 0 : finding.status;
}

static int by_value(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

int hone_symbol_prepare_index(struct hone_symbol_module *module, const uint64_t *vaddrs,
                              size_t count)
{
    HONE_CLEANUP(hone_freep) uint64_t *sorted = calloc(count + 1, sizeof *sorted);
    if (!sorted || !hone_symbol_cache_reserve(&module->cache, count))
        return -ENOMEM;
    memcpy(sorted, vaddrs, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    if (count >= FEW)
        return find_all(module, sorted, count);
    int r = 0;
    for (size_t i = 0; i < count && r >= 0; i++) {
        struct hone_symbol_frames frames;
        r = hone_symbol_lookup(module, sorted[i], &frames);
    }
    return r < 0 ? r : 0;
}
