// The screen on locks: what fits, what is told of the unknown, and that its JSON is some.
#include "view/locks.h"

#include "base/base.h"
#include "base/starve.h"
#include "check.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>

#define TIMES(key, median, p99, most)                                                              \
    "\"" key "\": {\"of\": \"waits\", \"observations\": 500, \"equal_draws\": 500, \"mean_ns\": "  \
    "1000, \"median_ns\": " median ", \"p99_ns\": " p99 ", \"max_ns\": " most "}"

static const char session[] =
    "{\"duration_ns\": 12000000000, \"command\": [\"./server\", \"--threads\", \"8\"],"
    "\"locks\": {\"file\": \"mutex.prof\", \"mutex_fraction\": 10, \"block_rate_ns\": 10000,"
    "\"contentions\": 123456, \"release_records\": 12345, \"wait_records\": 23456,"
    "\"releases_drawn_less\": 345, \"waits_drawn_less\": 21,"
    "\"acquisitions_drawn\": 3456, \"delay_ns\": {\"value\": 9000000000, \"error\": 1000000},"
    "\"losses\": {\"records_without_memory\": 3, \"waits_without_holder\": 2},"
    "\"time_error\": 0.03125, \"count\": 7,"
    "\"not_covered\": [{\"pid\": 7, \"process\": \"helper\", \"reason\": \"it is static\"}],"
    "\"list\": ["
    "{\"name\": \"std::vector<std::pair<int, std::string>>::a_long_name_of_a_lock::mutex+0x40\","
    "\"kind\": \"mutex\", \"locks\": 12, \"waiters_most\": 5, \"waiters_mean\": 1.5,"
    "\"delay_ns\": {\"value\": 8000000000, \"error\": 100000000}, \"release_records\": 5000,"
    "\"queued_share\": 0.1," TIMES(
        "contended_hold", "90000", "3000000",
        "9000000") ","
                   "\"holder\": {\"function\": \"flush\", \"share\": 0.81, "
                   "\"delay_ns\": 6000000000,"
                   "\"stack\": [\"pthread_mutex_unlock\", \"flush\", \"worker\", "
                   "\"start_thread\"]},"
                   "\"waiter\": {\"function\": \"submit\", \"share\": 0.97, "
                   "\"delay_ns\": 7000000000,"
                   "\"stack\": [\"submit\"]},"
                   "\"exclusive\": {\"drawn\": 900, \"acquisitions\": {\"value\": "
                   "900000, \"error\": 30000},"
                   "\"contended\": {\"share\": 0.31, \"low\": 0.28, \"high\": "
                   "0.34}," TIMES("wait", "120000", "2100000", "14000000") "," TIMES(
                       "hold", "9000", "100000",
                       "2000000") "}},"
                                  "{\"name\": \"table\", \"kind\": \"rwlock\","
                                  "\"delay_ns\": {\"value\": 1000000000, \"error\": 0}, "
                                  "\"release_records\": 50," TIMES(
                                      "contended_hold", "90000", "100000",
                                      "100000") ","
                                                "\"exclusive\": {\"drawn\": 100, "
                                                "\"acquisitions\": {\"value\": 1000, "
                                                "\"error\": 100}," TIMES(
                                                    "wait", "120000", "2100000",
                                                    "14000000") ", \"hold\": null},"
                                                                "\"shared\": "
                                                                "{\"drawn\": 300, "
                                                                "\"acquisitions\": "
                                                                "{\"value\": 3000, "
                                                                "\"error\": 100}}},"
                                                                "{\"name\": \"idle\", "
                                                                "\"kind\": \"mutex\", "
                                                                "\"delay_ns\": "
                                                                "{\"value\": 0, "
                                                                "\"error\": 0}}"
                                                                "]}}";

struct screen {
    struct hone_locks_facts facts;
    struct hone_lock_findings findings;
    struct hone_buffer out;
};

static void screen_done(struct screen *screen)
{
    hone_lock_findings_done(&screen->findings);
    hone_locks_facts_done(&screen->facts);
    hone_buffer_done(&screen->out);
}

static int show(const char *text, uint32_t rows, uint32_t width, bool json, struct screen *ret)
{
    int r = hone_locks_facts_read(&ret->facts, text, strlen(text), NULL);
    if (!r)
        r = hone_lock_findings_new(&ret->facts, &ret->findings, NULL);
    const struct hone_locks_view view = {.facts = &ret->facts,
                                         .findings = &ret->findings,
                                         .directory = "profiles/server",
                                         .rows = rows,
                                         .width = width};
    if (!r)
        r = json ? hone_json_locks(&view, &ret->out, NULL)
                 : hone_text_locks(&view, &ret->out, NULL);
    if (!r)
        hone_buffer_add(&ret->out, "", 1);
    return r || !ret->out.failed ? r : -ENOMEM;
}

static uint32_t widest(const char *text)
{
    uint32_t most = 0, columns = 0;
    for (; *text; text++) {
        columns += ((unsigned char)*text & 0xc0) != 0x80; // of a character, its first byte
        if (*text == '\n')
            columns = 0;
        most = columns > most ? columns : most;
    }
    return most;
}

TEST(screen_fits_into_eighty_columns)
{
    HONE_CLEANUP(screen_done) struct screen screen = {0};
    CHECK_EQ(show(session, 10, 80, false, &screen), 0);
    CHECK(widest(screen.out.at) <= 80);
    CHECK(strstr(screen.out.at, "8s ±2.5%") != NULL);
    CHECK(strstr(screen.out.at, "held in       flush  81%  ← worker") != NULL);
    CHECK(strstr(screen.out.at, "waited for in submit  97%") != NULL);
    CHECK(strstr(screen.out.at, "12 of that name, up to 5 waiting") != NULL);
    CHECK(strstr(screen.out.at, "Not covered: helper: it is static") != NULL);
    CHECK(strstr(screen.out.at, "Lost: 3 records") != NULL);
    CHECK(strstr(screen.out.at, "Of 2 waits the holder is not known") != NULL);
    CHECK(strstr(screen.out.at, "Fewer than that of locks that are wanted all the time") != NULL);
    // Holds of all acquisitions, and where those are not known, of some.
    CHECK(strstr(screen.out.at, "* of holds that others waited for") != NULL);
    CHECK(strstr(screen.out.at, "5 other locks seen") != NULL);
    CHECK(strstr(screen.out.at, "contended: 31.0% of all acquisitions wait") != NULL);
    CHECK(strstr(screen.out.at, "\nidle") == NULL);
}

TEST(rows_are_as_many_as_asked_for_and_so_are_their_findings)
{
    HONE_CLEANUP(screen_done) struct screen screen = {0};
    CHECK_EQ(show(session, 1, 80, false, &screen), 0);
    CHECK(strstr(screen.out.at, "table") == NULL);
    CHECK(strstr(screen.out.at, "6 other locks seen") != NULL);
    HONE_CLEANUP(screen_done) struct screen all = {0};
    CHECK_EQ(show(session, UINT32_MAX, 0, false, &all), 0);
    CHECK(strstr(all.out.at, "table  rwlock") != NULL);
    CHECK(strstr(all.out.at, "a_long_name_of_a_lock::mutex+0x40") != NULL); // not cut
}

// A lock of which so many holds were seen, and acquisitions drawn.
static void show_few(const char *holds, const char *limits, struct screen *ret)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"duration_ns\": 1e9, \"locks\": {\"file\": \"mutex.prof\", \"count\": 1, "
                   "\"list\": [{\"name\": \"few\", \"kind\": \"mutex\", \"delay_ns\": {\"value\": "
                   "37e6, \"error\": 0}, \"contended_hold\": {\"of\": \"releases\", "
                   "\"observations\": %s, \"equal_draws\": %s, \"mean_ns\": 2120, \"max_ns\": "
                   "2120}, \"exclusive\": {\"drawn\": 1, \"contended\": {\"share\": 1, %s}, "
                   "\"wait\": {\"of\": \"waits\", \"observations\": 1, \"equal_draws\": 1, "
                   "\"mean_ns\": 37000000, \"max_ns\": 37000000}}}]}}",
                   holds, holds, limits);
    CHECK_EQ(show(text, 10, 80, false, ret), 0);
}

TEST(few_holds_and_draws_are_no_longest_hold_and_no_single_share)
{
    HONE_CLEANUP(screen_done) struct screen few = {0};
    show_few("1", "\"low\": 0.2065, \"high\": 1", &few);
    CHECK(strstr(few.out.at, " 20-100% ") != NULL);
    CHECK(strstr(few.out.at, "2.12us") == NULL);
    CHECK(strstr(few.out.at, "* of holds") == NULL);
    HONE_CLEANUP(screen_done) struct screen many = {0};
    show_few("500", "\"low\": 0.95, \"high\": 1", &many);
    CHECK(strstr(many.out.at, " 100.0% ") != NULL);
    CHECK(strstr(many.out.at, "2.12us*") != NULL);
}

TEST(nothing_is_said_to_be_nothing)
{
    HONE_CLEANUP(screen_done) struct screen screen = {0};
    CHECK_EQ(
        show("{\"duration_ns\": 5, \"locks\": {\"file\": \"mutex.prof\"}}", 10, 80, false, &screen),
        0);
    CHECK(strstr(screen.out.at, "Nobody was seen to wait for a lock") != NULL);
    CHECK(strstr(screen.out.at, "such as Rust's locks, is in --types wall") != NULL);
    CHECK(strstr(screen.out.at, "nan") == NULL);
    CHECK(strstr(screen.out.at, "Findings") == NULL);
}

TEST(json_has_the_same_and_null_for_the_unknown)
{
    HONE_CLEANUP(screen_done) struct screen screen = {0};
    CHECK_EQ(show(session, 2, 0, true, &screen), 0);
    json_t *root = json_loads(screen.out.at, 0, NULL);
    CHECK(root != NULL);
    const json_t *locks = json_object_get(root, "locks");
    CHECK_EQ(json_array_size(locks), 2);
    const json_t *first = json_array_get(locks, 0), *second = json_array_get(locks, 1);
    CHECK_EQ(json_number_value(json_object_get(json_object_get(first, "delay_ns"), "value")), 8e9);
    CHECK(json_is_null(json_object_get(json_object_get(second, "exclusive"), "contended_share")));
    CHECK(json_is_null(json_object_get(second, "holder")));
    CHECK(json_is_object(json_object_get(second, "shared")));
    CHECK(!json_object_get(first, "shared"));
    const json_t *finding = json_array_get(json_object_get(root, "findings"), 0);
    CHECK_STR(json_string_value(json_object_get(finding, "finding")), "contended");
    json_decref(root);
}

TEST(running_out_of_memory_anywhere_is_said)
{
    for (int json = 0; json < 2; json++)
        for (long after = 0;; after++) {
            struct screen screen = {0};
            hone_starve_after = after;
            int r = show(session, 10, 80, json != 0, &screen);
            bool starved = hone_starve_after < 0;
            hone_starve_after = -1;
            CHECK_EQ(r, starved ? -ENOMEM : 0);
            screen_done(&screen);
            if (!starved)
                break;
        }
}
