#include "analyse/lock_order_fuzz.h"

#include "base/buffer.h"
#include "base/starve.h"

#include "check.h"
#include "corpus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// Orders by the names of locks, one letter each: "AB" is B taken while A is held. The set of an
// order is all that is held; stacks are numbered by the letters, so "the same places" are the same
// locks unless a test says otherwise.
struct edge {
    const char *locks; // held, taken; "r" behind a lock: for reading, as in "ArBr"
    const char *set;   // all that is held; NULL: only that one
    int tid;
    bool several;
};

static struct hone_lock_order order;

static void put_edge(struct hone_buffer *out, const struct edge *edge)
{
    const char *at = edge->locks;
    char held = *at++;
    bool held_reading = *at == 'r';
    at += held_reading;
    char taken = *at++;
    hone_buffer_format(out,
                       "{\"pid\": 7, \"process\": \"p\", \"tid\": %d, \"thread\": \"t\", "
                       "\"several_threads\": %s, "
                       "\"held\": {\"address\": \"%c\", \"name\": \"%c\"}, "
                       "\"taken\": {\"address\": \"%c\", \"name\": \"%c\"}, "
                       "\"held_reading\": %s, \"taken_reading\": %s, "
                       "\"held_stack\": %d, \"taken_stack\": %d, \"set\": [",
                       edge->tid, edge->several ? "true" : "false", held, held, taken, taken,
                       held_reading ? "true" : "false", *at == 'r' ? "true" : "false",
                       (held - 'A') % 4, (taken - 'A') % 4);
    const char *first = edge->set ? edge->set : (char[]){held, 0};
    for (const char *lock = first; *lock; lock++)
        if (*lock != 'r')
            hone_buffer_format(out, "%s{\"address\": \"%c\", \"reading\": %s}",
                               lock == first ? "" : ", ", *lock, lock[1] == 'r' ? "true" : "false");
    hone_buffer_text(out, "]}");
}

static int parse(const struct edge *edges, size_t count)
{
    struct hone_buffer out = {0};
    hone_buffer_text(&out, "{\"lock_order\": {\"seen\": 9, \"lost\": 0, \"left_out\": 0, "
                           "\"stacks\": [[{\"function\": \"f\", \"file\": \"f.c\", \"line\": 3}], "
                           "[], [], []], \"edges\": [");
    for (size_t i = 0; i < count; i++) {
        hone_buffer_text(&out, i ? ", " : "");
        put_edge(&out, &edges[i]);
    }
    hone_buffer_text(&out, "]}}");
    int r = hone_lock_order_parse(out.at, out.len, "x", &order, NULL);
    hone_buffer_done(&out);
    return r;
}

#define RINGS(...)                                                                                 \
    (parse((const struct edge[]){__VA_ARGS__},                                                     \
           sizeof((const struct edge[]){__VA_ARGS__}) / sizeof(struct edge))                       \
         ? -1                                                                                      \
         : (int)order.ring_count)

TEST(two_orders_of_two_locks)
{
    CHECK_EQ(RINGS({"AB", NULL, 1, false}, {"BA", NULL, 2, false}), 1);
    CHECK_EQ(order.rings[0].count, 2);
    CHECK_EQ(order.rings[0].more, 0);
    CHECK_STR(order.edges[order.rings[0].edges[0]].held, "A");
    CHECK_STR(order.stacks[0].at[0].function, "f");
    CHECK(order.recorded);
    hone_lock_order_done(&order);
}

TEST(one_order_is_none)
{
    CHECK_EQ(RINGS({"AB", NULL, 1, false}, {"BC", NULL, 2, false}, {"AC", NULL, 2, false}), 0);
    hone_lock_order_done(&order);
}

TEST(rings_of_three_and_four)
{
    CHECK_EQ(RINGS({"AB", NULL, 1, false}, {"BC", NULL, 2, false}, {"CA", NULL, 3, false}), 1);
    CHECK_EQ(order.rings[0].count, 3);
    hone_lock_order_done(&order);
    CHECK_EQ(RINGS({"AB", NULL, 1, false}, {"BC", NULL, 2, false}, {"CD", NULL, 3, false},
                   {"DA", NULL, 4, false}),
             1);
    CHECK_EQ(order.rings[0].count, 4);
    hone_lock_order_done(&order);
}

TEST(a_thread_does_not_wait_for_itself)
{
    CHECK_EQ(RINGS({"AB", NULL, 1, false}, {"BA", NULL, 1, false}), 0);
    hone_lock_order_done(&order);
    CHECK_EQ(RINGS({"AB", NULL, 1, true}, {"BA", NULL, 1, false}), 1);
    hone_lock_order_done(&order);
}

TEST(a_common_outer_lock_lets_one_in_at_a_time)
{
    CHECK_EQ(RINGS({"GA", "G", 1, false}, {"AB", "GA", 1, false}, {"GB", "GA", 1, false},
                   {"GB", "G", 2, false}, {"BA", "GB", 2, false}, {"GA", "GB", 2, false}),
             0);
    hone_lock_order_done(&order);
    // But not where one of them was seen without it.
    CHECK_EQ(RINGS({"AB", "GA", 1, false}, {"GB", "GA", 1, false}, {"BA", "B", 2, false},
                   {"GB", "G", 2, false}),
             1);
    hone_lock_order_done(&order);
    // Nor where all hold it for reading.
    CHECK_EQ(RINGS({"AB", "GrA", 1, false}, {"BA", "GrB", 2, false}), 1);
    hone_lock_order_done(&order);
}

TEST(readers_do_not_wait_for_each_other)
{
    CHECK_EQ(RINGS({"ArBr", NULL, 1, false}, {"BrAr", NULL, 2, false}), 0);
    hone_lock_order_done(&order);
    CHECK_EQ(RINGS({"ABr", NULL, 1, false}, {"BAr", NULL, 2, false}), 1);
    hone_lock_order_done(&order);
    // One of the two has nobody to wait for.
    CHECK_EQ(RINGS({"ArB", NULL, 1, false}, {"BAr", NULL, 2, false}), 0);
    hone_lock_order_done(&order);
}

TEST(rings_at_the_same_places_are_one_finding)
{
    // E and F lie where A and B do.
    CHECK_EQ(RINGS({"AB", NULL, 1, false}, {"BA", NULL, 2, false}, {"EF", NULL, 1, false},
                   {"FE", NULL, 2, false}),
             1);
    CHECK_EQ(order.rings[0].more, 1);
    hone_lock_order_done(&order);
}

TEST(a_recording_that_knows_nothing_of_it_says_so)
{
    CHECK_EQ(hone_lock_order_parse("{\"lock_order\": null}", 20, "x", &order, NULL), 0);
    CHECK(!order.recorded);
    hone_lock_order_done(&order);
    struct hone_error err = {0};
    CHECK_EQ(hone_lock_order_parse("{\"lock", 6, "x", &order, &err), -EBADMSG);
    CHECK(err.message[0]);
}

TEST(what_cannot_be_is_left_out)
{
    static const char text[] =
        "{\"lock_order\": {\"stacks\": [3, [{}]], \"seen\": -4, \"edges\": [{}, 5, "
        "{\"held_stack\": 2, \"taken_stack\": 0}, {\"held_stack\": -1, \"held\": []}]}}";
    CHECK_EQ(hone_lock_order_parse(text, strlen(text), "x", &order, NULL), 0);
    CHECK_EQ(order.seen, 0);
    CHECK_EQ(order.ring_count, 0);
    hone_lock_order_done(&order);
}

TEST(many_orders_are_searched_in_bounded_time)
{
    // Each lock is taken under each other one.
    static struct edge edges[26 * 25];
    static char names[26 * 25][3];
    size_t count = 0;
    for (char held = 'A'; held <= 'Z'; held++)
        for (char taken = 'A'; taken <= 'Z'; taken++) {
            if (held == taken)
                continue;
            names[count][0] = held;
            names[count][1] = taken;
            edges[count] = (struct edge){names[count], NULL, 1 + held, true};
            count++;
        }
    CHECK_EQ(parse(edges, count), 0);
    CHECK(order.given_up);
    CHECK(order.ring_count > 0);
    CHECK_EQ(order.rings[0].count, 2);
    hone_lock_order_done(&order);
}

TEST(memory_that_runs_out_is_told_and_nothing_is_left)
{
    const struct edge edges[] = {{"AB", NULL, 1, false}, {"BA", NULL, 2, false}};
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        hone_starve_after = after;
        int r = parse(edges, 2);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK(r == 0 || r == -ENOMEM || r == -EBADMSG); // jansson's memory is not ours to fail
        hone_lock_order_done(&order);
        CHECK_EQ(hone_starve_blocks, before);
        if (!starved)
            break;
    }
}

// --- hostile files -------------------------------------------------------------------------------

static void check_outcome(const struct corpus_file *input)
{
    int r = hone_lock_order_check(input->bytes, input->len);
    int wanted = strncmp(input->name, "bad_", 4) == 0 ? -EBADMSG : 0;
    cr_assert(r == wanted, "%s: %d", input->name, r);
}

static int read_checked(const struct corpus_file *input)
{
    return hone_lock_order_check(input->bytes, input->len);
}

static void check_short_of_memory(const struct corpus_file *input)
{
    corpus_starve(input, strncmp(input->name, "bad_", 4) == 0, read_checked);
}

TEST(corpus_is_read_unless_its_name_says_bad)
{
    CHECK(corpus_each(CORPUS, check_outcome) >= 8);
}

TEST(corpus_is_read_without_memory)
{
    CHECK(corpus_each(CORPUS, check_short_of_memory) >= 8);
}

static void put_many(struct hone_buffer *out, const char *before, const char *each, size_t count,
                     const char *after)
{
    out->len = 0;
    hone_buffer_text(out, before);
    for (size_t i = 0; i < count; i++) {
        hone_buffer_text(out, i ? "," : "");
        hone_buffer_text(out, each);
    }
    hone_buffer_text(out, after);
}

TEST(more_than_a_recording_keeps_is_refused_in_one_line)
{
    static const struct {
        const char *before, *each, *after;
        size_t most; // 0: any number
    } cases[] = {
        {"{\"lock_order\": {\"edges\": [", "{}", "]}}", 1 << 14},
        {"{\"lock_order\": {\"stacks\": [", "[]", "]}}", 1 << 15},
        {"{\"lock_order\": {\"stacks\": [[", "{}", "]]}}", 256},
        {"{\"lock_order\": {\"edges\": [{\"set\": [", "{}", "]}]}}", 1024},
        {"[", "{}", "]", (8 << 20) / 2},
    };
    struct hone_buffer out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hone_error err = {0};
        put_many(&out, cases[i].before, cases[i].each, cases[i].most + 1, cases[i].after);
        CHECK_EQ(hone_lock_order_parse(out.at, out.len, "s.json", &order, &err), -EBADMSG);
        CHECK_STR(err.message, "cannot read 's.json': it has more than a recording keeps");
        if (cases[i].most > 1 << 20)
            continue;
        put_many(&out, cases[i].before, cases[i].each, cases[i].most, cases[i].after);
        CHECK_EQ(hone_lock_order_parse(out.at, out.len, "s.json", &order, &err), 0);
        hone_lock_order_done(&order);
    }
    hone_buffer_done(&out);
}

TEST(large_sets_are_compared_in_bounded_time)
{
    // Each order's set is 1000 locks, and there are rings over rings.
    struct hone_buffer out = {0}, set = {0};
    for (int i = 0; i < 1000; i++)
        hone_buffer_format(&set, "{\"address\": \"%d\"},", 100 + i);
    hone_buffer_add(&set, "", 1);
    hone_buffer_text(&out, "{\"lock_order\": {\"stacks\": [");
    for (int i = 0; i < 1000; i++)
        hone_buffer_text(&out, i ? ",[]" : "[]");
    hone_buffer_text(&out, "], \"edges\": [");
    for (int i = 0; i < 900; i++)
        hone_buffer_format(&out,
                           "%s{\"tid\": %d, \"held\": {\"address\": \"%d\"}, \"taken\": "
                           "{\"address\": \"%d\"}, \"held_stack\": %d, \"taken_stack\": %d, "
                           "\"set\": [%s{\"address\": \"own %d\"}]}",
                           i ? "," : "", i, i / 30, i % 30, i, i, i % 2 ? set.at : "", i);
    hone_buffer_text(&out, "]}}");
    CHECK_EQ(hone_lock_order_parse(out.at, out.len, "s.json", &order, NULL), 0);
    CHECK(order.given_up);
    hone_lock_order_done(&order);
    hone_buffer_done(&out);
    hone_buffer_done(&set);
}
