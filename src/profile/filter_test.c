// Each filter on one profile whose every stack is known, with a copy, since filters change it.
#include <stdio.h>

#include "profile/filter.h"

#include "base/base.h"
#include "base/starve.h"
#include "check.h"
#include "profile/profile.h"

#include <errno.h>

// main → work → (inlined: parse in read) → malloc, and main → idle; root on the right.
static struct hone_profile *program(void)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    uint32_t module = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.limit = 0x1000,
                                          .file = hone_profile_intern(p, "/bin/prog")});
    static const char *const names[] = {"main", "work", "read", "parse", "malloc(int)", "idle"};
    struct hone_profile_line lines[6];
    for (uint32_t i = 0; i < 6; i++)
        lines[i] = (struct hone_profile_line){
            .number = 10 + i,
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){
                       .name = hone_profile_intern(p, names[i]),
                       .file = hone_profile_intern(p, i < 3 ? "app.c" : "lib.c")})};
    const struct hone_profile_line inlined[] = {lines[3], lines[2]};
    uint32_t at[5];
    for (uint32_t i = 0; i < 5; i++) {
        static const uint32_t line_of[] = {0, 1, 2, 4, 5};
        bool is_inlined = i == 2;
        at[i] = hone_profile_add_location(
            p, &(struct hone_profile_location){.mapping = module,
                                               .address = 16 + i,
                                               .lines = is_inlined ? inlined : &lines[line_of[i]],
                                               .line_count = is_inlined ? 2 : 1});
    }
    uint32_t deep = hone_profile_add_stack(p, (uint32_t[]){at[3], at[2], at[1], at[0]}, 4);
    uint32_t flat = hone_profile_add_stack(p, (uint32_t[]){at[4], at[0]}, 2);
    struct hone_profile_label labels[] = {
        {.key = hone_profile_intern(p, "size"),
         .number = 2048,
         .unit = hone_profile_intern(p, "bytes")},
        {.key = hone_profile_intern(p, "state"), .text = hone_profile_intern(p, "running")},
    };
    (void)hone_profile_add_sample(p, deep, (int64_t[]){5}, labels, 2);
    (void)hone_profile_add_sample(p, deep, (int64_t[]){3}, NULL, 0);
    (void)hone_profile_add_sample(p, flat, (int64_t[]){1}, labels + 1, 1);
    return p;
}

// What is left, as text: each sample's value and its functions, leaf first.
static const char *left(const struct hone_profile *p)
{
    static char text[1024];
    size_t used = 0;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", i ? "; " : "",
                                 (long long)p->samples.values[0][i]);
        struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[i]);
        for (uint32_t k = 0; k < frames.count; k++) {
            struct hone_profile_line_span lines = hone_profile_lines_of(p, frames.at[k]);
            for (uint32_t n = 0; n < lines.count; n++)
                used +=
                    (size_t)snprintf(text + used, sizeof text - used, "%s%s", n ? "/" : " ",
                                     hone_profile_text(p, p->functions.name[lines.at[n].function]));
        }
    }
    text[used] = '\0';
    return text;
}

struct wanted {
    const char *what; // name of the filter and its expression
    const char *left;
    bool found;
};

static int filter(struct hone_profile *p, const char *what, struct hone_profile_filter_found *found)
{
    char name[32];
    size_t len = strcspn(what, "=");
    (void)snprintf(name, sizeof name, "%.*s", (int)len, what);
    const char *text = what + len + 1;
    struct hone_pattern *pattern = NULL;
    struct hone_label_filter *labels = NULL;
    bool is_label = strncmp(name, "label_focus", 11) == 0 || strcmp(name, "label_ignore") == 0;
    int r = is_label ? hone_label_filter_new(text, &labels, NULL)
                     : hone_pattern_new(text, &pattern, NULL);
#define FOR(part) .part = strcmp(name, #part) == 0 ? pattern : NULL
    struct hone_profile_filter by = {
        FOR(focus),
        FOR(ignore),
        FOR(hide),
        FOR(show),
        FOR(show_from),
        FOR(label_show),
        FOR(label_hide),
        FOR(prune_from),
        .label_focus = strcmp(name, "label_focus") == 0 ? labels : NULL,
        .label_ignore = strcmp(name, "label_ignore") == 0 ? labels : NULL};
#undef FOR
    if (!r)
        r = hone_profile_filter(p, &by, found, NULL);
    hone_pattern_free(pattern);
    hone_label_filter_free(labels);
    return r;
}

#define DEEP "malloc(int) parse/read work main"
#define FLAT "idle main"

static const struct wanted rows[] = {
    {"focus=idle", "1 " FLAT, true},
    {"focus=lib.c", "5 " DEEP "; 3 " DEEP "; 1 " FLAT, true},
    {"focus=nothing", "", false},
    {"ignore=work", "1 " FLAT, true},
    {"ignore=nothing", "5 " DEEP "; 3 " DEEP "; 1 " FLAT, false},
    {"hide=parse|main", "5 malloc(int) read work; 3 malloc(int) read work; 1 idle", true},
    {"hide=prog", "", true}, // the whole module
    {"show=parse|main", "5 parse main; 3 parse main; 1 main", true},
    {"show=idle", "1 idle", true},
    {"show_from=read", "5 malloc(int) parse/read; 3 malloc(int) parse/read", true},
    {"show_from=parse", "5 malloc(int) parse; 3 malloc(int) parse", true},
    {"prune_from=^read$", "5 read work main; 3 read work main; 1 " FLAT, true},
    {"prune_from=^malloc$", "5 " DEEP "; 3 " DEEP "; 1 " FLAT, true},
    {"label_focus=running", "5 " DEEP "; 1 " FLAT, true},
    {"label_focus=state:run,size", "", false}, // each expression must match a text
    {"label_focus=state=x,running", "5 " DEEP "; 1 " FLAT, true},
    {"label_focus=2kb", "5 " DEEP, true},
    {"label_focus=size=1kb:2kb", "5 " DEEP, true},
    {"label_focus=3kb:", "", false},
    {"label_ignore=:2mb", "3 " DEEP "; 1 " FLAT, true},
    {"label_ignore=state=running", "3 " DEEP, true},
};

TEST(each_filter_keeps_what_it_says)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = program();
        struct hone_profile_filter_found found;
        CHECK_EQ(filter(p, rows[i].what, &found), 0);
        cr_assert(strcmp(left(p), rows[i].left) == 0, "%s leaves '%s'", rows[i].what, left(p));
        bool all = found.focus && found.ignore && found.hide && found.show && found.show_from &&
                   found.label_focus && found.label_ignore;
        cr_assert(all == rows[i].found, "%s: found is %d", rows[i].what, all);
        CHECK_EQ(hone_profile_validate(p, NULL), 0);
    }
}

TEST(labels_are_shown_and_hidden_by_key)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = program();
    struct hone_profile_filter_found found;
    CHECK_EQ(filter(p, "label_hide=size", &found), 0);
    CHECK(found.label_hide);
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[0]);
    CHECK_EQ(labels.count, 1);
    CHECK_STR(hone_profile_text(p, labels.at[0].key), "state");
    CHECK_EQ(filter(p, "label_show=nothing", &found), 0);
    CHECK(!found.label_show);
    CHECK_EQ(hone_profile_labels_of(p, p->samples.label_set[0]).count, 0);
}

TEST(a_range_that_is_none_is_refused)
{
    struct hone_label_filter *filter_of = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_label_filter_new("99999999999999999999kb", &filter_of, &err), -EINVAL);
    CHECK_EQ(hone_label_filter_new("a(", &filter_of, &err), -EINVAL);
    CHECK_STR(err.message, "error parsing regexp: missing closing ): `a(`");
    CHECK_EQ(hone_label_filter_new("5:a", &filter_of, &err), 0); // an expression
    CHECK(!hone_label_filter_range(filter_of));
    hone_label_filter_free(filter_of);
}

TEST(frames_that_the_profile_wants_dropped_go_with_what_they_call)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = program();
    p->drop_frames = hone_profile_intern(p, "read|malloc");
    CHECK_EQ(hone_profile_drop_frames(p, NULL), 0);
    CHECK_STR(left(p), "5 work main; 3 work main; 1 " FLAT);
}

TEST(kept_frames_stay)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = program();
    p->drop_frames = hone_profile_intern(p, "read|malloc");
    p->keep_frames = hone_profile_intern(p, "re.d");
    CHECK_EQ(hone_profile_drop_frames(p, NULL), 0);
    CHECK_STR(left(p), "5 parse/read work main; 3 parse/read work main; 1 " FLAT);
}

// Waits in the kernel, below and without a function of the program; and one that runs there.
static struct hone_profile *kernel(void)
{
    struct hone_profile *p = program();
    uint32_t mapping = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.start = 0xffff800000000000u,
                                          .limit = 0xffffffffff600000u,
                                          .file = hone_profile_intern(p, "[kernel.kallsyms]")});
    static const char *const names[] = {"ep_poll", "do_syscall_64"};
    uint32_t at[2];
    for (uint32_t i = 0; i < 2; i++) {
        const struct hone_profile_line line = {
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){.name = hone_profile_intern(p, names[i])})};
        at[i] = hone_profile_add_location(
            p, &(struct hone_profile_location){.mapping = mapping,
                                               .address = 0xffffffff81000000u + i,
                                               .lines = &line,
                                               .line_count = 1});
    }
    const struct hone_profile_label wait = {.key = hone_profile_intern(p, "wait"),
                                            .text = hone_profile_intern(p, "epoll")};
    uint32_t idle = p->frames.location[p->stacks.first_frame[2]];
    uint32_t below = hone_profile_add_stack(p, (uint32_t[]){at[0], at[1], idle, at[1]}, 4);
    uint32_t whole = hone_profile_add_stack(p, (uint32_t[]){at[0], at[1]}, 2);
    uint32_t both = hone_profile_add_stack(p, (uint32_t[]){at[1], idle}, 2);
    p->samples.count = 0;
    (void)hone_profile_add_sample(p, below, (int64_t[]){1}, &wait, 1);
    (void)hone_profile_add_sample(p, whole, (int64_t[]){2}, &wait, 1);
    (void)hone_profile_add_sample(p, both, (int64_t[]){4}, &wait, 1);
    (void)hone_profile_add_sample(p, both, (int64_t[]){8}, NULL, 0);
    return p;
}

TEST(the_kernel_goes_from_below_those_who_wait_only)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = kernel();
    CHECK_EQ(hone_profile_drop_kernel(p, NULL), 0);
    CHECK_STR(left(p), "1 idle do_syscall_64; 2 ep_poll do_syscall_64; 4 do_syscall_64 idle; "
                       "8 do_syscall_64 idle");
    CHECK_EQ(hone_profile_validate(p, NULL), 0);
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *without = program();
    CHECK_EQ(hone_profile_drop_kernel(without, NULL), 0);
    CHECK_STR(left(without), "5 " DEEP "; 3 " DEEP "; 1 " FLAT);
}

TEST(inlined_functions_are_counted_to_their_callers)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = program();
    hone_profile_drop_inlined(p);
    CHECK_STR(left(p), "5 malloc(int) read work main; 3 malloc(int) read work main; 1 " FLAT);
}

static int add_label_frames(struct hone_profile *p, bool *ret_root_found, bool *ret_leaf_found)
{
    const struct hone_str roots[] = {HONE_STR("state"), HONE_STR("none")};
    const struct hone_str leaves[] = {HONE_STR("size")};
    return hone_profile_label_frames(p, roots, 2, leaves, 1, "minimum", ret_root_found,
                                     ret_leaf_found, NULL);
}

TEST(labels_become_frames)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = program();
    bool root_found;
    bool leaf_found;
    CHECK_EQ(add_label_frames(p, &root_found, &leaf_found), 0);
    CHECK(root_found && leaf_found);
    CHECK_STR(left(p), "5 2kB " DEEP "  running; 3  " DEEP "  ; 1  " FLAT "  running");
    CHECK_EQ(hone_profile_validate(p, NULL), 0);
}

TEST(a_copy_is_filtered_and_the_original_stays)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = program();
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *copy = hone_profile_clone(p);
    struct hone_profile_filter_found found;
    CHECK_EQ(filter(copy, "focus=idle", &found), 0);
    bool root_found;
    bool leaf_found;
    CHECK_EQ(add_label_frames(copy, &root_found, &leaf_found), 0);
    CHECK(root_found && !leaf_found); // the sample that has a size is gone
    CHECK_EQ(copy->samples.count, 1);
    CHECK_STR(left(p), "5 " DEEP "; 3 " DEEP "; 1 " FLAT);
    CHECK_EQ(hone_profile_validate(copy, NULL), 0);
}

// Everything once more with each allocation failing in turn.
static int all_of_it(const struct hone_profile *p)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *copy = hone_profile_clone(p);
    if (!copy)
        return -ENOMEM;
    copy->drop_frames = hone_profile_intern(copy, "malloc");
    struct hone_profile_filter_found found;
    int r = hone_profile_drop_frames(copy, NULL);
    for (size_t i = 0; !r && i < sizeof rows / sizeof rows[0]; i += 4)
        r = filter(copy, rows[i].what, &found);
    if (!r)
        r = hone_profile_drop_kernel(copy, NULL);
    bool root_found;
    bool leaf_found;
    return r ? r : add_label_frames(copy, &root_found, &leaf_found);
}

TEST(short_of_memory_nothing_leaks_or_crashes)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = kernel();
    int last = -ENOMEM;
    for (long after = 0; last; after++) {
        long before = hone_starve_blocks;
        hone_starve_after = after;
        last = all_of_it(p);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK(hone_starve_blocks <= before); // strdup() gives blocks that nobody counted
        CHECK(last == 0 || last == -ENOMEM);
        if (!starved)
            break;
        CHECK(after < 10000);
    }
}
