// The first screen on a heap, from profiles that are made by hand: sums, errors, names, and what it
// says where something is not known.
#include "view/heap.h"

#include "analyse/growth.h"
#include "analyse/heap_facts.h"
#include "analyse/heap_summary.h"
#include "analyse/leaks.h"
#include "analyse/pressure.h"
#include "base/base.h"
#include "base/starve.h"
#include "check.h"
#include "profile/profile.h"
#include "view/leaks.h"

#include <errno.h>
#include <math.h>

static uint32_t place(struct hone_profile *p, const char *name, const char *file)
{
    struct hone_profile_line line = {
        .function = hone_profile_add_function(
            p, &(struct hone_profile_function){.name = hone_profile_intern(p, name)})};
    uint32_t mapping = 0;
    if (file)
        mapping = hone_profile_add_mapping(
            p, &(struct hone_profile_mapping){
                   .start = 0x1000, .limit = 0x2000, .file = hone_profile_intern(p, file)});
    return hone_profile_add_location(
        p, &(struct hone_profile_location){.mapping = mapping,
                                           .address = 0x1000 + hone_profile_intern(p, name),
                                           .lines = &line,
                                           .line_count = 1});
}

static struct hone_profile *heap_profile(int64_t period)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "alloc_objects", "count");
    (void)hone_profile_add_type(p, "alloc_space", "bytes");
    (void)hone_profile_add_type(p, "inuse_objects", "count");
    (void)hone_profile_add_type(p, "inuse_space", "bytes");
    hone_profile_set_period(p, "space", "bytes", period);
    return p;
}

// Blocks of one size at leaf ← caller; size 0: no label.
static void blocks(struct hone_profile *p, const char *leaf, const char *caller, int64_t made,
                   int64_t live, int64_t size, bool labelled)
{
    uint32_t frames[] = {place(p, leaf, NULL), place(p, caller, NULL)};
    int64_t values[] = {made, made * size, live, live * size};
    struct hone_profile_label label = {.key = hone_profile_intern(p, "bytes"),
                                       .number = size,
                                       .unit = hone_profile_intern(p, "bytes")};
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, frames, 2), values, &label,
                                  labelled);
}

static struct hone_heap_summary *summary_of(const struct hone_profile *p, uint32_t places)
{
    struct hone_heap_summary *summary = NULL;
    CHECK_EQ(hone_heap_summary_new(p, places, &summary, NULL), 0);
    return summary;
}

TEST(sums_and_largest_places)
{
    struct hone_profile *p = heap_profile(1);
    blocks(p, "parse", "main", 10, 4, 100, false);
    blocks(p, "parse", "load", 30, 1, 100, false);
    blocks(p, "copy", "main", 5, 5, 1000, false);
    struct hone_heap_summary *s = summary_of(p, 1);
    CHECK_EQ((long)s->allocated.objects.value, 45);
    CHECK_EQ((long)s->allocated.bytes.value, 9000);
    CHECK_EQ((long)s->live.objects.value, 10);
    CHECK_EQ((long)s->live.bytes.value, 5500);
    CHECK(!s->sampled && s->allocated.bytes.error == 0);
    CHECK_EQ(s->live_count, 1);
    CHECK(hone_str_equal(s->live_places[0].name, HONE_STR("copy")));
    CHECK(hone_str_equal(s->allocated_places[0].name, HONE_STR("copy")));
    hone_heap_summary_free(s);
    s = summary_of(p, 5);
    CHECK_EQ(s->allocated_count, 2);
    CHECK(hone_str_equal(s->allocated_places[1].name, HONE_STR("parse")));
    CHECK(hone_str_equal(s->allocated_places[1].caller, HONE_STR("load")));
    CHECK_EQ(lround(100 * s->allocated_places[1].caller_share), 75);
    CHECK(hone_str_equal(s->live_places[1].caller, HONE_STR("main")));
    CHECK(!s->classes_known);
    hone_heap_summary_free(s);
    hone_profile_free(p);
}

// n blocks that were sampled with p = 1 - exp(-s / period) stand for n / p; the variance of that
// sum is estimated by n (1 - p) / p².
TEST(errors_are_those_of_the_draws)
{
    enum { PERIOD = 4096, SIZE = 1024, TAKEN = 50 };
    double chance = 1 - exp(-(double)SIZE / PERIOD);
    int64_t stand_for = llround(TAKEN / chance);
    struct hone_profile *p = heap_profile(PERIOD);
    blocks(p, "parse", "main", stand_for, 0, SIZE, true);
    struct hone_heap_summary *s = summary_of(p, 5);
    double expected = sqrt(TAKEN * (1 - chance)) / chance;
    CHECK(s->sampled);
    CHECK(fabs(s->allocated.objects.error / expected - 1) < 0.01);
    CHECK(fabs(s->allocated.bytes.error / (expected * SIZE) - 1) < 0.01);
    CHECK(!s->live.seen);
    CHECK(fabs(hone_heap_summary_unseen(s) / (2.9957 * PERIOD) - 1) < 0.001);
    CHECK(s->classes_known);
    CHECK_EQ((long)s->classes[6].objects.value, (long)stand_for); // up to 1024
    CHECK(!s->classes[5].seen && !s->classes[7].seen);
    hone_heap_summary_free(s);
    hone_profile_free(p);
}

TEST(a_profile_of_time_is_refused)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    int64_t value = 1;
    uint32_t frame = place(p, "main", NULL);
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, &frame, 1), &value, NULL, 0);
    struct hone_error err = {0};
    struct hone_heap_summary *s = NULL;
    CHECK_EQ(hone_heap_summary_new(p, 5, &s, &err), -EINVAL);
    CHECK(strstr(err.message, "inuse_space") != NULL);
    hone_profile_free(p);
}

// --- pressure ------------------------------------------------------------------------------------

static void cpu(struct hone_profile *p, int64_t ns, const char *const *names)
{
    uint32_t frames[8], count = 0;
    for (; names[count]; count++) {
        const char *name = names[count];
        bool kernel = name[0] == '!', library = name[0] == '@', ours = name[0] == '%';
        frames[count] = place(p, name + (kernel || library || ours),
                              kernel    ? "[kernel.kallsyms]"
                              : ours    ? "/usr/lib/libhone.so"
                              : library ? "/usr/lib/libjemalloc.so.2"
                                        : "/bin/program");
    }
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, frames, count),
                                  (int64_t[]){ns / 1000000, ns}, NULL, 0);
}

#define STACK(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct hone_profile *cpu_profile(void)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    hone_profile_set_period(p, "cpu", "nanoseconds", 1000000);
    return p;
}

TEST(a_stack_counts_once_for_what_it_is_innermost)
{
    struct hone_profile *p = cpu_profile();
    cpu(p, 10000000, STACK("_int_malloc", "malloc", "main"));
    cpu(p, 20000000, STACK("operator new(unsigned long)", "main"));
    cpu(p, 5000000, STACK("@anything", "main"));
    cpu(p, 3000000, STACK("je_malloc", "main"));
    cpu(p, 7000000, STACK("__munmap", "_int_free", "free", "main"));
    cpu(p, 11000000, STACK("!clear_page_erms", "!exc_page_fault", "memset", "main"));
    cpu(p, 13000000, STACK("!do_madvise", "!__x64_sys_madvise", "madvise", "free", "main"));
    cpu(p, 31000000, STACK("mi_open", "main")); // somebody's own function
    cpu(p, 17000000, STACK("%hone_heap_allocated", "%malloc", "main"));
    cpu(p, 19000000, STACK("%free", "main"));
    cpu(p, 4000000, STACK("libc.so.6+0x1234", "%free", "main"));
    cpu(p, 100000000, STACK("malloc_report", "free_list", "main"));
    struct hone_pressure found;
    CHECK_EQ(hone_pressure_of(p, &found, NULL), 0);
    CHECK_EQ((long)found.values[HONE_PRESSURE_ALLOCATOR], 42000000);
    CHECK_EQ((long)found.values[HONE_PRESSURE_KERNEL], 20000000);
    CHECK_EQ((long)found.values[HONE_PRESSURE_FAULTS], 11000000);
    CHECK_EQ((long)found.values[HONE_PRESSURE_RECORDER], 36000000);
    CHECK_EQ((long)found.total, 204000000);
    CHECK(found.faults_known);
    CHECK_NEAR(found.share, 73.0 / 204, 1e-9);
    CHECK(found.low < found.share && found.high > found.share);
    CHECK(found.low > 0.25 && found.high < 0.47);
    hone_profile_free(p);
}

TEST(a_program_that_computes_pays_nothing)
{
    struct hone_profile *p = cpu_profile();
    cpu(p, 1000000000, STACK("compute", "main"));
    struct hone_pressure found;
    CHECK_EQ(hone_pressure_of(p, &found, NULL), 0);
    CHECK(found.share == 0 && !found.faults_known && found.samples > 999);
    hone_profile_free(p);
}

// --- session.json --------------------------------------------------------------------------------

static int facts_of(struct hone_heap_facts *facts, const char *json)
{
    return hone_heap_facts_read(facts, json, json ? strlen(json) : 0, NULL);
}

TEST(what_is_missing_is_unknown)
{
    static const char *const texts[] = {
        NULL,
        "{}",
        "{\"heap\": null}",
        "{\"heap\": 7}",
        "{\"heap\": {\"processes\": 3}}",
        "{\"heap\": {\"peak_bytes\": \"many\", \"sizes\": [{}, {}], \"processes\": [4]}}",
        "{\"heap\": {\"allocators\": [1, {}], \"lifetimes\": [[null, -1]]}}",
        "{\"heap\": {\"not_covered\": [{}]}}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct hone_heap_facts facts;
        CHECK_EQ(facts_of(&facts, texts[i]), 0);
        CHECK(isnan(facts.peak_bytes) && isnan(facts.temporary_objects) && isnan(facts.lost));
        CHECK(!facts.sizes.count && !facts.lives.count && !facts.allocators.count);
        hone_heap_facts_done(&facts);
    }
    struct hone_heap_facts facts;
    CHECK_EQ(facts_of(&facts, "{\"heap\": "), -EINVAL);
    hone_heap_facts_done(&facts);
}

static const char session[] =
    "{\"command\": [\"server\", \"-x\"], \"duration_ns\": 2000000000, \"heap\": {"
    "\"peak_bytes\": 5000000, \"peak_time_ms\": 1200,"
    "\"temporary\": {\"objects\": 30, \"bytes\": 3000}, \"waste\": {\"bytes\": 450},"
    "\"fragmentation\": {\"resident_bytes\": 8000000, \"live_bytes\": 2000000, \"time_ms\": 9},"
    "\"sizes\": [{\"up_to_bytes\": 16, \"objects\": 5}, {\"up_to_bytes\": 32, \"objects\": 40},"
    "{\"up_to_bytes\": null, \"objects\": 0}], \"reallocated\": 7,"
    "\"lifetimes\": [{\"below_ns\": 1000, \"objects\": 45}],"
    "\"not_covered\": [{\"pid\": 3, \"process\": \"child\", \"reason\": \"it is static\"}],"
    "\"processes\": [{\"allocator\": \"/lib/libc.so.6\", \"allocations_before_probe\": 3,"
    "\"bytes_before_probe\": 70000, \"samples_lost\": 2, \"frees_lost\": 1},"
    "{\"allocator\": \"/lib/libc.so.6\"}]}}";

TEST(what_is_there_is_read)
{
    struct hone_heap_facts facts;
    CHECK_EQ(facts_of(&facts, session), 0);
    CHECK(hone_str_equal(facts.command, HONE_STR("server -x")));
    CHECK_EQ((long)facts.peak_bytes, 5000000);
    CHECK_EQ(facts.sizes.count, 3);
    CHECK(isinf(facts.sizes.limit[2]));
    CHECK_EQ(facts.allocators.count, 1);
    CHECK_EQ(facts.not_covered.count, 1);
    CHECK_EQ((long)facts.lost, 3);
    CHECK_EQ((long)facts.early_objects, 3);
    hone_heap_facts_done(&facts);
}

// --- the screen ----------------------------------------------------------------------------------

static void shows(const struct hone_heap_view *view, const char *const *words)
{
    struct hone_buffer out = {0};
    CHECK_EQ(hone_text_heap(view, &out, NULL), 0);
    hone_buffer_add(&out, "", 1);
    for (; *words; words++)
        CHECK(strstr(out.at, *words) != NULL);
    for (const char *line = out.at; *line;) {
        size_t len = strcspn(line, "\n"), columns = 0;
        for (size_t i = 0; i < len; i++)
            columns += ((unsigned char)line[i] & 0xc0) != 0x80;
        cr_assert(columns <= 80, "%.*s", (int)len, line);
        line += len + (line[len] != 0);
    }
    hone_buffer_done(&out);
    CHECK_EQ(hone_json_heap(view, &out, NULL), 0);
    CHECK(!out.failed);
    hone_buffer_done(&out);
}

TEST(the_screen_tells_what_is_known)
{
    struct hone_profile *p = heap_profile(1), *time = cpu_profile();
    blocks(p, "parse", "main", 40, 4, 100, false);
    blocks(p, "std::vector<int, std::allocator<int> >::_M_realloc_insert<int const&>(int const&)",
           "std::map<std::string, std::vector<int> >::operator[](std::string const&)", 5, 5, 1000,
           false);
    cpu(time, 100000000, STACK("malloc", "main"));
    struct hone_heap_summary *summary = summary_of(p, 5);
    struct hone_heap_facts facts;
    struct hone_pressure pressure;
    CHECK_EQ(facts_of(&facts, session), 0);
    CHECK_EQ(hone_pressure_of(time, &pressure, NULL), 0);
    shows(&(struct hone_heap_view){.profile = p,
                                   .summary = summary,
                                   .peak = summary,
                                   .facts = &facts,
                                   .pressure = &pressure,
                                   .directory = "x",
                                   .width = 80},
          (const char *const[]){"Heap of server -x",
                                "Exact",
                                "allocated",
                                "8.79kB",
                                "5.27kB",
                                "peak",
                                "4.77MB",
                                "1.20s",
                                "temporary",
                                "66.7%",
                                "parse ← main",
                                "Blocks by size",
                                "Blocks by life",
                                "CPU time for memory 100.0%",
                                "/lib/libc.so.6",
                                "child: it is static",
                                "75.0%",
                                "reallocated",
                                "3 blocks",
                                "3 records",
                                NULL});
    hone_heap_facts_done(&facts);
    hone_heap_summary_free(summary);
    hone_profile_free(time);
    hone_profile_free(p);
}

TEST(lives_say_where_they_are_estimated)
{
    static const char estimated[] =
        "{\"heap\": {\"lifetimes_timed\": 123000000000, \"lifetimes\": ["
        "{\"below_ns\": 1000, \"objects\": 600000000000, \"objects_error_95\": 3000000000},"
        "{\"below_ns\": 8000, \"objects\": 3000000, \"objects_error_95\": 300000},"
        "{\"below_ns\": 64000, \"objects\": 4000000, \"objects_error_95\": 400000},"
        "{\"below_ns\": null, \"objects\": 399993000000, \"objects_error_95\": 40000000000}]}}";
    struct hone_profile *p = heap_profile(1);
    blocks(p, "parse", "main", 40, 4, 100, false);
    struct hone_heap_summary *summary = summary_of(p, 5);
    struct hone_heap_facts facts;
    CHECK_EQ(facts_of(&facts, estimated), 0);
    const struct hone_heap_view view = {
        .profile = p, .summary = summary, .facts = &facts, .width = 80};
    shows(&view, (const char *const[]){
                     "estimated: 123000000000 of 1000000000000 freed were timed; ± is",
                     "600000000000 ±0.5%", "399993000000 ±10%", "7000000 ±7.1% in rows", NULL});
    struct hone_buffer out = {0};
    CHECK_EQ(hone_json_heap(&view, &out, NULL), 0);
    hone_buffer_add(&out, "", 1);
    CHECK(strstr(out.at, "\"lifetimes_timed\": 123000000000") != NULL);
    CHECK(strstr(out.at, "\"objects\": 3000000, \"objects_error_95\": 300000") != NULL);
    hone_buffer_done(&out);

    facts.lives_timed = 1e12; // each one
    for (int i = 0; i < 4; i++)
        facts.lives.error[i] = 0;
    CHECK_EQ(hone_text_heap(&view, &out, NULL), 0);
    hone_buffer_add(&out, "", 1);
    CHECK(strstr(out.at, "600000000000   60.0% ") != NULL);
    CHECK(!strstr(out.at, "timed") && !strstr(out.at, "±"));
    hone_buffer_done(&out);
    hone_heap_facts_done(&facts);
    hone_heap_summary_free(summary);
    hone_profile_free(p);
}

TEST(what_processes_left_at_different_times_may_be_more_than_the_peak)
{
    struct hone_profile *p = heap_profile(1);
    blocks(p, "parse", "main", 40, 40, 100, false); // 4000 bytes live
    struct hone_heap_summary *summary = summary_of(p, 5);
    for (int peak = 3000; peak <= 4000; peak += 1000) {
        char json[128];
        (void)snprintf(json, sizeof json,
                       "{\"heap\": {\"peak_bytes\": %d, \"peak_processes\": 2, "
                       "\"peak_together\": 1}}",
                       peak);
        struct hone_heap_facts facts;
        CHECK_EQ(facts_of(&facts, json), 0);
        struct hone_heap_view view = {
            .profile = p, .summary = summary, .facts = &facts, .width = 80};
        struct hone_buffer out = {0};
        CHECK_EQ(hone_text_heap(&view, &out, NULL), 0);
        hone_buffer_add(&out, "", 1);
        CHECK_EQ(strstr(out.at, "of each process when it ended") != NULL, peak < 4000);
        hone_buffer_done(&out);
        hone_heap_facts_done(&facts);
    }
    hone_heap_summary_free(summary);
    hone_profile_free(p);
}

TEST(a_sampled_one_says_what_it_did_not_see)
{
    struct hone_profile *p = heap_profile(524288);
    blocks(p, "parse", "main", 524, 0, 1000, true);
    struct hone_heap_summary *summary = summary_of(p, 5);
    struct hone_heap_facts facts;
    CHECK_EQ(facts_of(&facts, NULL), 0);
    shows(&(struct hone_heap_view){.profile = p, .summary = summary, .facts = &facts, .width = 80},
          (const char *const[]){"one block for every 512kB", "±196%", "less than 1.50MB",
                                "up to       1kB", NULL});
    hone_heap_facts_done(&facts);
    hone_heap_summary_free(summary);
    hone_profile_free(p);
}

TEST(what_is_not_covered_is_not_nothing)
{
    struct hone_profile *p = heap_profile(1);
    struct hone_heap_summary *summary = summary_of(p, 5);
    struct hone_heap_facts facts;
    hone_profile_comment(p, "not covered: the heap of process 3 child: it is static");
    CHECK_EQ(facts_of(&facts, NULL), 0);
    shows(&(struct hone_heap_view){.profile = p, .summary = summary, .facts = &facts},
          (const char *const[]){"Not known: ", "allocated              -  not known\n", NULL});
    hone_heap_facts_done(&facts);
    hone_heap_summary_free(summary);
    hone_profile_free(p);
}

// Blocks count with all that was asked for, pages only when they were touched.
TEST(fragmentation_is_never_less_than_none)
{
    static const struct {
        const char *json, *shown;
        double fragmentation;
    } cases[] = {
        {"{\"heap\": {\"fragmentation\": {\"resident_bytes\": 8000, \"live_bytes\": 2000}}}",
         "\"fragmentation\": 0.75", 0.75},
        {"{\"heap\": {\"fragmentation\": {\"resident_bytes\": 8000, \"live_bytes\": 8000}}}",
         "\"fragmentation\": 0,", 0},
        {"{\"heap\": {\"fragmentation\": {\"resident_bytes\": 8000, \"live_bytes\": 9000}}}",
         "\"fragmentation\": null", NAN},
        {"{\"heap\": {\"fragmentation\": {\"resident_bytes\": 0, \"live_bytes\": 0}}}",
         "\"fragmentation\": null", NAN},
        {"{\"heap\": {\"fragmentation\": null}}", "\"fragmentation\": null", NAN},
    };
    struct hone_profile *p = heap_profile(1);
    blocks(p, "parse", "main", 40, 4, 100, false);
    struct hone_heap_summary *summary = summary_of(p, 5);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hone_heap_facts facts;
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
        CHECK_EQ(facts_of(&facts, cases[i].json), 0);
        const struct hone_heap_view view = {.profile = p, .summary = summary, .facts = &facts};
        CHECK_EQ(hone_text_heap(&view, &out, NULL), 0);
        hone_buffer_add(&out, "", 1);
        CHECK_EQ(strstr(out.at, "fragmentation") != NULL, !isnan(cases[i].fragmentation));
        out.len = 0;
        CHECK_EQ(hone_json_heap(&view, &out, NULL), 0);
        hone_buffer_add(&out, "", 1);
        CHECK(strstr(out.at, cases[i].shown) != NULL);
        hone_heap_facts_done(&facts);
    }
    hone_heap_summary_free(summary);
    hone_profile_free(p);
}

// --- leaks and growth ----------------------------------------------------------------------------

static void shows_leaks(const struct hone_leaks_shown *shown, uint32_t width, const char *words,
                        const char *json)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    CHECK_EQ(hone_text_leaks(shown, &(struct hone_leaks_options){.width = width}, &out, NULL), 0);
    hone_buffer_add(&out, "", 1);
    cr_assert(strstr(out.at, words), "%s", out.at);
    for (const char *line = out.at; width && *line;) {
        size_t len = strcspn(line, "\n");
        cr_assert(len <= width, "%.*s", (int)len, line);
        line += len + (line[len] != 0);
    }
    out.len = 0;
    CHECK_EQ(hone_json_leaks(shown, NULL, &out, NULL), 0);
    hone_buffer_add(&out, "", 1);
    cr_assert(strstr(out.at, json), "%s", out.at);
}

TEST(notes_on_leaks_are_wrapped)
{
    struct hone_profile *p = hone_profile_new();
    struct hone_leaks leaks = {0};
    hone_profile_comment(p, "# a fact");
    hone_profile_comment(p, "not covered: leaks of process 4711 server: a signal ended it before "
                            "its memory could be looked through, so nothing is known of it");
    const struct hone_leaks_shown shown = {.profile = p, .leaks = &leaks};
    shows_leaks(&shown, 80, "\nNote: not covered: leaks of process 4711 server: a signal ended",
                "4711");
    shows_leaks(&shown, 80, "\n  ", "of it\"");
    shows_leaks(&shown, 0, "looked through, so nothing is known of it\n", "4711");
    hone_profile_free(p);
}

TEST(growth_of_several_processes_is_told_apart)
{
    struct hone_profile *p = hone_profile_new();
    uint32_t frame = place(p, "leak", NULL);
    struct hone_growth_site site = {
        .stack = hone_profile_add_stack(p, &frame, 1),
        .processes = 3,
        .bytes = 1048576,
        .is = {.verdict = HONE_GROWTH_FAST, .rate = 5e6, .low = 4e6, .high = 6e6},
    };
    struct hone_growths growths = {
        .all = {.verdict = HONE_GROWTH_SEVERAL, .low = -INFINITY, .high = INFINITY, .time_s = 60},
        .sites = &site,
        .count = 1,
        .judged = 40,
        .processes = 500,
    };
    const struct hone_leaks_shown shown = {.growth_profile = p, .growths = &growths};
    shows_leaks(&shown, 80, "1 of 40 sites grow; each of 500 processes is judged on its own\n",
                "\"verdict\": \"several processes\", \"bytes_per_second\": null");
    shows_leaks(&shown, 80, "5.00 MB/s (4.00 to 6.00), fast: 1MB live in 3 processes\n",
                "\"processes\": 500");
    growths.all = (struct hone_growth){.verdict = HONE_GROWTH_STEADY, .rate = 1e6, .time_s = 60};
    growths.processes = site.processes = 1;
    shows_leaks(&shown, 80, "1 of 40 sites grow; the whole heap by\n  1.00 MB/s (", "\"steady\"");
    shows_leaks(&shown, 80, "fast: 1MB live\n", "\"processes\": 1");
    growths.all.low = -INFINITY;
    shows_leaks(&shown, 80, "the whole heap: not known", "\"low\": null");
    hone_profile_free(p);
}

// --- memory --------------------------------------------------------------------------------------

static int all_of_it(const struct hone_profile *heap, const struct hone_profile *time)
{
    HONE_CLEANUP(hone_heap_summary_freep) struct hone_heap_summary *summary = NULL;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    struct hone_heap_facts facts;
    struct hone_pressure pressure;
    struct hone_error err = {0};
    int r = hone_heap_facts_read(&facts, session, sizeof session - 1, &err);
    if (!r)
        r = hone_heap_summary_new(heap, 5, &summary, &err);
    if (!r)
        r = hone_pressure_of(time, &pressure, &err);
    const struct hone_heap_view view = {
        .profile = heap, .summary = summary, .facts = &facts, .pressure = &pressure};
    if (!r)
        r = hone_text_heap(&view, &out, &err);
    if (!r)
        r = hone_json_heap(&view, &out, &err);
    hone_heap_facts_done(&facts);
    return r;
}

TEST(running_out_of_memory_is_an_error_and_nothing_leaks)
{
    struct hone_profile *p = heap_profile(524288), *time = cpu_profile();
    blocks(p, "parse", "main", 524, 100, 1000, true);
    cpu(time, 100000000, STACK("malloc", "main"));
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        hone_starve_after = after;
        int r = all_of_it(p, time);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(hone_starve_blocks, before);
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        if (!starved)
            break;
    }
    hone_profile_free(time);
    hone_profile_free(p);
}
