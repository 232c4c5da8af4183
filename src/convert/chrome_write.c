// Traces of Chrome ("trace event format"), out: for Perfetto, chrome://tracing and the others that
// show spans over time.
//
// A profile has no time, so the call tree of each thread is laid out from left to right: a span for
// each node, as long as its value, 1 of it as 1 ns. "otherData" says what was measured.
#include "convert/frames.h"
#include "convert/json_write.h"
#include "convert/readers.h"
#include "convert/threads.h"
#include "convert/trie.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

#define NONE 0u // node 0 is the root, so no child

struct tree {
    struct hone_trie trie; // the first frame of each path is a thread's number
    int64_t *total;        // by node
    int64_t *start;
    uint32_t *child; // the first
    uint32_t *next;  // the parent's next child
};

static void tree_done(struct tree *tree)
{
    hone_trie_done(&tree->trie);
    free(tree->total);
    free(tree->start);
    free(tree->child);
    free(tree->next);
}

// The node of each sample.
static int find_nodes(struct tree *tree, const struct hone_profile *p,
                      const struct hone_frames *frames, const struct hone_threads *threads,
                      uint32_t *nodes)
{
    HONE_CLEANUP(hone_run_done) struct hone_run run = {0};
    for (uint32_t i = 0; i < p->samples.count; i++) {
        uint32_t thread = threads->of_set[p->samples.label_set[i]];
        uint32_t node = hone_trie_child(&tree->trie, 0, thread);
        if (!node || hone_run_of(frames, p, p->samples.stack[i], &run))
            return -ENOMEM;
        for (uint32_t k = 0; k < run.count; k++) {
            node = hone_trie_child(&tree->trie, node, run.at[k]);
            if (!node)
                return -ENOMEM;
        }
        nodes[i] = node;
    }
    return 0;
}

static int measure(struct tree *tree, const uint32_t *nodes, const int64_t *values, uint32_t count,
                   struct hone_error *err)
{
    uint32_t size = tree->trie.count ? tree->trie.count : 1;
    tree->total = calloc(size, sizeof *tree->total);
    tree->start = calloc(size, sizeof *tree->start);
    tree->child = calloc(size, sizeof *tree->child);
    tree->next = calloc(size, sizeof *tree->next);
    if (!tree->total || !tree->start || !tree->child || !tree->next)
        return hone_error_set(err, -ENOMEM, "cannot write the trace");
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] < 0)
            return hone_error_set(err, -EINVAL,
                                  "a trace cannot show negative values, as of a "
                                  "difference");
        if (__builtin_add_overflow(tree->total[nodes[i]], values[i], &tree->total[nodes[i]]))
            return hone_error_set(err, -EOVERFLOW, "cannot write the trace");
    }
    for (uint32_t i = size; i-- > 1;) { // children before their parents
        uint32_t parent = tree->trie.at[i].parent;
        if (__builtin_add_overflow(tree->total[parent], tree->total[i], &tree->total[parent]))
            return hone_error_set(err, -EOVERFLOW, "cannot write the trace");
        tree->next[i] = tree->child[parent];
        tree->child[parent] = i;
    }
    return 0;
}

static void put_ids(struct hone_buffer *out, const struct hone_thread_track *track)
{
    hone_buffer_text(out, "\"pid\":");
    hone_json_put_integer(out, track->pid ? track->pid : 1);
    hone_buffer_text(out, ",\"tid\":");
    hone_json_put_integer(out, track->track);
}

static void put_name(struct hone_buffer *out, const struct hone_profile *p,
                     const struct hone_threads *threads, uint32_t thread, const char *kind,
                     uint32_t name)
{
    if (!name)
        return;
    hone_buffer_format(out, "{\"name\":\"%s\",\"ph\":\"M\",", kind);
    put_ids(out, &threads->at[thread]);
    hone_buffer_text(out, ",\"args\":{\"name\":");
    hone_json_put_text(out, hone_profile_str(p, name));
    hone_buffer_text(out, "}},\n");
}

static void put_span(struct hone_buffer *out, const struct tree *tree,
                     const struct hone_frames *frames, const struct hone_threads *threads,
                     uint32_t node, uint32_t thread, bool *first)
{
    if (!tree->total[node])
        return;
    hone_buffer_text(out, *first ? "{\"ph\":\"X\"," : ",\n{\"ph\":\"X\",");
    *first = false;
    put_ids(out, &threads->at[thread]);
    hone_buffer_text(out, ",\"ts\":");
    hone_json_put_thousandths(out, tree->start[node]);
    hone_buffer_text(out, ",\"dur\":");
    hone_json_put_thousandths(out, tree->total[node]);
    hone_buffer_text(out, ",\"name\":");
    hone_json_put_text(out, frames->frames[tree->trie.at[node].frame].name);
    hone_buffer_text(out, "}");
}

// Where a thread's spans begin: behind those of others with its numbers, as after an exec.
static int64_t begin_of(const struct hone_threads *threads, uint32_t thread, const int64_t *ends)
{
    const struct hone_thread_track *own = &threads->at[thread];
    int64_t begin = 0;
    for (uint32_t i = 0; i < threads->count; i++)
        if (threads->at[i].pid == own->pid && threads->at[i].track == own->track && ends[i] > begin)
            begin = ends[i];
    return begin;
}

// Depth first, with the way back through the parents.
static void put_thread(struct hone_buffer *out, const struct tree *tree,
                       const struct hone_frames *frames, const struct hone_threads *threads,
                       uint32_t root, int64_t *ends, bool *first)
{
    uint32_t thread = tree->trie.at[root].frame;
    uint32_t node = tree->child[root];
    int64_t now = begin_of(threads, thread, ends);
    if (__builtin_add_overflow(now, tree->total[root], &ends[thread])) // beyond what time there is
        now = 0;
    while (node != NONE && !out->failed) {
        tree->start[node] = now;
        put_span(out, tree, frames, threads, node, thread, first);
        if (tree->child[node]) {
            node = tree->child[node];
            continue;
        }
        now += tree->total[node];
        while (node != root && !tree->next[node]) {
            node = tree->trie.at[node].parent;
            if (node != root)
                now = tree->start[node] + tree->total[node];
        }
        node = node == root ? NONE : tree->next[node];
    }
}

static int put_trace(const struct hone_profile *p, uint32_t type, struct hone_buffer *out,
                     const struct hone_frames *frames, const struct hone_threads *threads,
                     struct hone_error *err)
{
    HONE_CLEANUP(tree_done) struct tree tree = {0};
    HONE_CLEANUP(hone_freep)
    uint32_t *nodes = calloc((size_t)p->samples.count + 1, sizeof *nodes);
    if (!nodes || find_nodes(&tree, p, frames, threads, nodes))
        return hone_error_set(err, -ENOMEM, "cannot write the trace");
    int r = measure(&tree, nodes, p->samples.values[type], p->samples.count, err);
    if (r)
        return r;
    hone_buffer_text(out, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"hone_type\":");
    hone_json_put_text(out, hone_profile_str(p, p->types[type].type));
    hone_buffer_text(out, ",\"hone_unit\":");
    hone_json_put_text(out, hone_profile_str(p, p->types[type].unit));
    hone_buffer_text(out, "},\"traceEvents\":[\n");
    for (uint32_t i = 0; i < threads->count; i++) {
        put_name(out, p, threads, i, "process_name", threads->at[i].process);
        put_name(out, p, threads, i, "thread_name", threads->at[i].thread);
    }
    bool first = true;
    HONE_CLEANUP(hone_freep) int64_t *ends = calloc((size_t)threads->count + 1, sizeof *ends);
    if (!ends)
        return hone_error_set(err, -ENOMEM, "cannot write the trace");
    for (uint32_t root = tree.child[0]; root != NONE; root = tree.next[root])
        put_thread(out, &tree, frames, threads, root, ends, &first);
    if (first && out->len >= 2 && out->at[out->len - 2] == ',') // names alone
        out->at[out->len - 2] = ' ';
    hone_buffer_text(out, "\n]}\n");
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot write the trace") : 0;
}

int hone_chrome_write(const struct hone_profile *p, struct hone_buffer *out, struct hone_error *err)
{
    uint32_t type;
    int r = hone_profile_select_type(p, NULL, &type, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_threads_done) struct hone_threads threads = {0};
    HONE_CLEANUP(hone_frames_done) struct hone_frames frames = {0};
    r = hone_frames_init(&frames, p, false);
    if (!r)
        r = hone_threads_init(&threads, p);
    return r ? hone_error_set(err, r, "cannot write the trace")
             : put_trace(p, type, out, &frames, &threads, err);
}
