// Every view with every allocation failing in turn.
#include "view/text.h"

#include "base/base.h"
#include "base/pattern.h"
#include "base/starve.h"
#include "check.h"
#include "profile/fixture.h"
#include "profile/profile.h"
#include "view/drawing.h"

#include <errno.h>

static void check_view(hone_text_view view, const struct hone_profile *p,
                       const struct hone_text_options *options)
{
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        struct hone_buffer out = {0};
        struct hone_error err = {0};
        hone_starve_after = after;
        int r = view(p, options, &out, &err);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        hone_buffer_done(&out);
        CHECK_EQ(hone_starve_blocks, before);
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        CHECK_EQ(err.code, r);
        if (!starved)
            return;
    }
}

TEST(running_out_of_memory_in_any_view_is_an_error_and_nothing_leaks)
{
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
        .seed = 5, .samples = 60, .depth = 12, .functions = 30, .type = "cpu", .unit = "ns"});
    static const hone_text_view views[] = {
        hone_text_top,       hone_text_tree,  hone_text_traces,  hone_text_collapsed,
        hone_text_info,      hone_text_peek,  hone_text_list,    hone_view_dot,
        hone_view_callgrind, hone_text_calls, hone_text_hot_path};
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *all = NULL;
    CHECK_EQ(hone_pattern_new(".", &all, NULL), 0);
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        check_view(views[i], p, &(struct hone_text_options){.pattern = all});
        check_view(views[i], p,
                   &(struct hone_text_options){.group = HONE_TEXT_LINES, .pattern = all});
        check_view(views[i], p,
                   &(struct hone_text_options){.call_tree = true, .rows = 5, .pattern = all});
    }
    hone_profile_free(p);
}

static int take(void *context, struct hone_str text, struct hone_error *err)
{
    (void)context;
    (void)text;
    (void)err;
    return 0;
}

TEST(pieces_that_cannot_be_made_are_an_error)
{
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
        .seed = 5, .samples = 60, .depth = 12, .functions = 30, .type = "cpu", .unit = "ns"});
    const struct hone_text_sink sink = {.put = take};
    check_view(hone_text_traces, p, &(struct hone_text_options){.sink = &sink});
    hone_profile_free(p);
}
