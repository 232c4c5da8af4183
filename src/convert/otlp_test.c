// OTLP's profiles: what they become, the corpus of the fuzzer as an ordinary test and once more
// with every allocation failing in turn.
#include <stdio.h>

#include "convert/otlp_fuzz.h"

#include "base/base.h"
#include "base/starve.h"
#include "check.h"
#include "corpus.h"

static void check_outcome(const struct corpus_file *input)
{
    int r = hone_otlp_check(input->bytes, input->len, false);
    bool bad = strncmp(input->name, "bad_", 4) == 0;
    cr_assert(r == (bad ? -EBADMSG : 0), "%s: reading returned %d", input->name, r);
}

TEST(corpus_is_read_unless_its_name_says_bad)
{
    CHECK(corpus_each(CORPUS, check_outcome) >= 25);
}

static int read_checked(const struct corpus_file *input)
{
    return hone_otlp_check(input->bytes, input->len, true);
}

static void check_short_of_memory(const struct corpus_file *input)
{
    corpus_starve(input, strncmp(input->name, "bad_", 4) == 0, read_checked);
}

TEST(running_out_of_memory_anywhere_is_an_error_and_nothing_leaks)
{
    CHECK(corpus_each(CORPUS, check_short_of_memory) >= 25);
}

// --- what becomes of one file --------------------------------------------------------------------

static struct hone_profile *read_file(const char *name)
{
    struct corpus_file input;
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    corpus_read(CORPUS, name, &input);
    CHECK(hone_otlp_detect(input.bytes, input.len) >= HONE_CONVERT_LIKELY);
    CHECK_EQ(hone_pprof_detect(input.bytes, input.len) > HONE_CONVERT_POSSIBLE, 0);
    int r = hone_otlp_read(input.bytes, input.len, name, &p, &err);
    cr_assert(r == 0, "%s", err.message);
    free(input.bytes);
    return p;
}

// The text or number of a sample's label as a text; NULL when there is none of that key.
static const char *label_of(const struct hone_profile *p, uint32_t sample, const char *key)
{
    static char number[32];
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[sample]);
    for (uint32_t i = 0; i < labels.count; i++) {
        if (strcmp(hone_profile_text(p, labels.at[i].key), key))
            continue;
        if (labels.at[i].text)
            return hone_profile_text(p, labels.at[i].text);
        (void)snprintf(number, sizeof number, "%lld", (long long)labels.at[i].number);
        return number;
    }
    return NULL;
}

static bool has_comment(const struct hone_profile *p, const char *text)
{
    for (uint32_t i = 0; i < p->comment_count; i++)
        if (strcmp(hone_profile_text(p, p->comments[i]), text) == 0)
            return true;
    return false;
}

TEST(profiles_of_a_file_become_sample_types_of_the_same_samples)
{
    struct hone_profile *p = read_file("agent");
    CHECK_EQ(p->type_count, 2);
    CHECK_STR(hone_profile_text(p, p->types[0].type), "cpu");
    CHECK_STR(hone_profile_text(p, p->types[1].unit), "count");
    CHECK_STR(hone_profile_text(p, p->default_type), "cpu"); // the first of the file
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(p->samples.values[0][1], 20000005);
    CHECK_EQ(p->samples.values[1][1], 2);
    CHECK_EQ(p->time_ns, 1700000000000000000);
    CHECK_EQ(p->duration_ns, 1000000000);
    CHECK_EQ(p->period, 10000000);
    CHECK(has_comment(p, "first"));
    CHECK(has_comment(p, "missing in OTLP: attributes that its writer dropped (5)"));
    CHECK(has_comment(p, "left out of OTLP: attributes of mappings and locations (1)"));
    hone_profile_free(p);
}

TEST(attributes_and_links_become_labels)
{
    struct hone_profile *p = read_file("agent");
    CHECK_STR(label_of(p, 0, "thread.name"), "worker");
    CHECK_STR(label_of(p, 0, "size"), "4096");
    CHECK_STR(label_of(p, 0, "service.name"), "shop");
    CHECK_STR(label_of(p, 0, "process.pid"), "77");
    CHECK_STR(label_of(p, 0, "trace_id"), "000102030405060708090a0b0c0d0e0f");
    CHECK_STR(label_of(p, 0, "span_id"), "0001020304050607");
    CHECK_STR(label_of(p, 1, "nested.x"), "1.5");
    CHECK_STR(label_of(p, 1, "nested.y"), "01ff");
    CHECK(!label_of(p, 1, "trace_id"));
    hone_profile_free(p);
    p = read_file("own_labels_win");
    CHECK_STR(label_of(p, 0, "thread.name"), "worker");
    hone_profile_free(p);
    p = read_file("two_resources");
    CHECK_EQ(p->samples.count, 2);
    CHECK_STR(label_of(p, 1, "container.id"), "c2");
    hone_profile_free(p);
}

TEST(places_keep_lines_mappings_and_build_ids)
{
    struct hone_profile *p = read_file("agent");
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[0]);
    CHECK_EQ(frames.count, 2);
    uint32_t leaf = frames.at[0];
    CHECK_EQ(p->locations.address[leaf], 0x400123);
    CHECK(p->locations.folded[leaf]);
    struct hone_profile_line_span lines = hone_profile_lines_of(p, leaf);
    CHECK_EQ(lines.count, 2);
    CHECK_STR(hone_profile_text(p, p->functions.name[lines.at[0].function]), "work");
    CHECK_EQ(lines.at[0].number, 7);
    CHECK_EQ(lines.at[0].column, 3);
    const struct hone_profile_mapping *m = &p->mappings.at[p->locations.mapping[leaf]];
    CHECK_STR(hone_profile_text(p, m->build_id), "abcdef0123");
    CHECK_EQ(m->offset, 0x1000);
    hone_profile_free(p);
}

TEST(samples_with_times_only_count_their_times)
{
    struct hone_profile *p = read_file("timestamps");
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(p->samples.values[0][0], 4);
    CHECK_EQ(p->samples.values[0][1], 11);
    CHECK(has_comment(p, "left out of OTLP: the times of samples (6)"));
    hone_profile_free(p);
}

TEST(samples_as_numbered_before_1_10_are_told_by_their_attributes)
{
    struct hone_profile *p = read_file("before_1_10");
    CHECK_EQ(p->samples.values[0][0], 11);
    CHECK_STR(label_of(p, 0, "thread.name"), "worker");
    CHECK_STR(label_of(p, 0, "span_id"), "0001020304050607");
    hone_profile_free(p);
}

TEST(sums_stop_at_the_largest_number)
{
    struct hone_profile *p = read_file("overflow");
    CHECK(p->samples.values[0][0] == INT64_MAX);
    CHECK(p->samples.values[0][1] == INT64_MIN);
    hone_profile_free(p);
}

// --- JSON ----------------------------------------------------------------------------------------

static struct hone_profile *read_document(const char *name)
{
    struct corpus_file input;
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    corpus_read(CORPUS, name, &input);
    CHECK_EQ(hone_otlp_json_detect(input.bytes, input.len), HONE_CONVERT_CERTAIN);
    int r = hone_otlp_json_read(input.bytes, input.len, name, &p, &err);
    cr_assert(r == 0, "%s", err.message);
    free(input.bytes);
    return p;
}

TEST(documents_say_what_messages_say)
{
    struct hone_profile *p = read_document("json");
    CHECK_EQ(p->samples.count, 3);
    CHECK_EQ(p->samples.values[0][0], 10);
    CHECK_EQ(p->samples.values[0][1], 3);
    CHECK_EQ(p->samples.values[0][2], 1); // at one time
    CHECK_EQ(p->mappings.at[1].limit, UINT64_MAX);
    CHECK_STR(hone_profile_text(p, p->mappings.at[1].build_id), "abcd");
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[0]);
    struct hone_profile_line_span lines = hone_profile_lines_of(p, frames.at[0]);
    CHECK_EQ(lines.count, 2);
    CHECK_EQ(lines.at[0].number, 12);
    CHECK_EQ(lines.at[0].column, 3);
    CHECK_STR(hone_profile_text(p, p->functions.name[lines.at[1].function]),
              "main \xc3\xa9\xf0\x9f\x98\x80");
    CHECK_STR(label_of(p, 0, "thread"), "one");
    CHECK_STR(label_of(p, 0, "service.name"), "shop");
    CHECK_STR(label_of(p, 0, "trace_id"), "5b8efff798038103d269b633813fc60c");
    CHECK_STR(label_of(p, 0, "span_id"), "eee19b7ec3c1b174");
    CHECK_STR(label_of(p, 1, "v"), "1.5");
    CHECK_STR(label_of(p, 1, "n"), "nan");
    CHECK_STR(label_of(p, 1, "b"), "0001ff");
    CHECK(!label_of(p, 1, "trace_id"));
    CHECK(has_comment(p, "left out of OTLP: original payload of 5 bytes"));
    CHECK(has_comment(p, "missing in OTLP: attributes that its writer dropped (2)"));
    hone_profile_free(p);
}

TEST(documents_and_messages_lead_to_each_other)
{
    static const char *const names[] = {"json", "json_dictionary_first"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct hone_profile *p = read_document(names[i]);
        struct hone_profile *q = NULL;
        struct hone_buffer first = {0};
        struct hone_buffer second = {0};
        struct hone_buffer message = {0};
        CHECK_EQ(hone_otlp_json_write(p, &first, NULL), 0);
        CHECK_EQ(hone_otlp_write(p, &message, NULL), 0);
        CHECK_EQ(hone_otlp_read(message.at, message.len, "message", &q, NULL), 0);
        CHECK_EQ(hone_otlp_json_write(q, &second, NULL), 0);
        CHECK(first.len == second.len && memcmp(first.at, second.at, first.len) == 0);
        hone_profile_free(p);
        hone_profile_free(q);
        hone_buffer_done(&first);
        hone_buffer_done(&second);
        hone_buffer_done(&message);
    }
}

TEST(what_is_wrong_in_a_document_is_told_by_its_place)
{
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"{\"dictionary\":{\"stringTable\":[\"\"]},\n\"resourceProfiles\":[{\"scopeProfiles\":[\n"
         "{\"profiles\":[{\"sampleType\":\n{\"typeStrindex\": 5}}]}]}]}",
         "string 5, where there are 1 at line 4, column 18"},
        {"{\"dictionary\":{\"stringTable\":[\"\"],\n\"linkTable\":[{\"traceId\":\"0g\"}]}}",
         "line 2, column 29: expected digits in hex"},
        {"{\"dictionary\":{\"mappingTable\":[{},\n{\"memoryStart\":\"99999999999999999999\"}]}}",
         "line 2, column 16: '99999999999999999999' is not a number of 64 bits"},
        {"{\"resourceProfiles\":[]}", "no dictionary, so no profiles, at line 1, column 21"},
        {"{\"resourceProfiles\":[],\"dictionary\":{}}\n{\"resourceProfiles\":[]}",
         "line 2, column 1: a second document"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hone_profile *p = NULL;
        struct hone_error err = {0};
        CHECK_EQ(hone_otlp_json_read(cases[i].text, strlen(cases[i].text), "x", &p, &err),
                 -EBADMSG);
        cr_assert(strstr(err.message, cases[i].words), "'%s' does not say '%s'", err.message,
                  cases[i].words);
    }
}

TEST(traces_are_not_profiles)
{
    struct corpus_file input;
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    corpus_read(CORPUS, "bad_traces", &input);
    CHECK(hone_otlp_detect(input.bytes, input.len) <= HONE_CONVERT_POSSIBLE);
    CHECK_EQ(hone_otlp_read(input.bytes, input.len, "t", &p, &err), -EBADMSG);
    CHECK_STR(err.message, "cannot read 't': no dictionary, so no profiles, at byte 0");
    free(input.bytes);
}

// --- out and in again ----------------------------------------------------------------------------

TEST(what_pprof_says_comes_back)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    (void)hone_profile_add_type(p, "wall", "nanoseconds");
    hone_profile_set_default_type(p, "cpu");
    hone_profile_set_period(p, "cpu", "nanoseconds", 1000000);
    hone_profile_set_doc_url(p, "https://example.org/cpu");
    hone_profile_add_comment(p, "# one");
    hone_profile_add_comment(p, "");
    p->drop_frames = hone_profile_intern(p, "free");
    p->keep_frames = hone_profile_intern(p, "keep");
    p->time_ns = 1700000000000000001;
    p->duration_ns = 12345;
    uint32_t m = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.start = 0x1000,
                                          .limit = 0x9000,
                                          .offset = 0x100,
                                          .file = hone_profile_intern(p, "/srv/app/bin"),
                                          .build_id = hone_profile_intern(p, "abc/def"),
                                          .flags = HONE_PROFILE_HAS_FUNCTIONS |
                                                   HONE_PROFILE_HAS_INLINE_FRAMES});
    struct hone_profile_line lines[2] = {{.number = 5, .column = 9}, {.number = -1}};
    for (int i = 0; i < 2; i++)
        lines[i].function = hone_profile_add_function(
            p, &(struct hone_profile_function){.name = hone_profile_intern(p, i ? "g" : "f"),
                                               .system_name = hone_profile_intern(p, "_Z1f"),
                                               .file = hone_profile_intern(p, "f.c"),
                                               .start_line = 3});
    uint32_t location = hone_profile_add_location(
        p, &(struct hone_profile_location){
               .mapping = m, .address = 0x1234, .lines = lines, .line_count = 2, .folded = true});
    uint32_t stack = hone_profile_add_stack(p, (uint32_t[]){location, location}, 2);
    const struct hone_profile_label labels[] = {
        {.key = hone_profile_intern(p, "thread"), .text = hone_profile_intern(p, "a")},
        {.key = hone_profile_intern(p, "thread"), .text = hone_profile_intern(p, "b")},
        {.key = hone_profile_intern(p, "bytes"),
         .number = -7,
         .unit = hone_profile_intern(p, "By")},
        {.key = hone_profile_intern(p, "zero")},
        {.key = hone_profile_intern(p, "trace_id"),
         .text = hone_profile_intern(p, "000102030405060708090a0b0c0d0e0f")},
        {.key = hone_profile_intern(p, "span_id"),
         .text = hone_profile_intern(p, "0001020304050607")},
    };
    (void)hone_profile_add_sample(p, stack, (int64_t[]){1, 0, -5}, labels, 6);
    (void)hone_profile_add_sample(p, 0, (int64_t[]){0, 0, 0}, NULL, 0);

    struct hone_buffer otlp = {0};
    struct hone_profile *q = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_otlp_write(p, &otlp, &err), 0);
    int r = hone_otlp_read(otlp.at, otlp.len, "again", &q, &err);
    cr_assert(r == 0, "%s", err.message);
    // Merging alone gives both the same order of strings.
    struct hone_buffer bytes[2] = {{0}, {0}};
    struct hone_profile *sides[2] = {p, q};
    for (int i = 0; i < 2; i++) {
        struct hone_profile *merged = NULL;
        CHECK_EQ(
            hone_profile_merge((const struct hone_profile *const *)&sides[i], 1, &merged, &err), 0);
        CHECK_EQ(hone_profile_encode(merged, &bytes[i], &err), 0);
        hone_profile_free(merged);
    }
    CHECK_EQ(q->samples.count, 2);
    CHECK_EQ(q->comment_count, 2);
    CHECK_EQ(bytes[0].len, bytes[1].len);
    CHECK(memcmp(bytes[0].at, bytes[1].at, bytes[0].len) == 0);
    hone_buffer_done(&bytes[0]);
    hone_buffer_done(&bytes[1]);
    hone_buffer_done(&otlp);
    hone_profile_free(p);
    hone_profile_free(q);
}
