#include "view/drawing.h"

#include "base/base.h"
#include "base/pattern.h"
#include "check.h"
#include "profile/fixture.h"
#include "profile/profile.h"
#include "view/short_name.h"

#include <errno.h>
#include <string.h>

static void check_short(const char *name, const char *expected)
{
    struct hone_arena arena = {0};
    struct hone_str text = hone_short_name(&arena, hone_str_of(name));
    CHECK(hone_str_equal(text, hone_str_of(expected)));
    hone_arena_done(&arena);
}

TEST(names_are_cut_to_what_people_call_them)
{
    check_short("main", "main");
    check_short("github.com/user/repo/v3/pkg.(*Type).Method", "pkg.(*Type).Method");
    check_short("a/pkg/v2.Function", "pkg.Function");
    check_short("path/v1/x.y", "x.y");
    check_short("trailing/slash/", "slash/");
    check_short("java.util.HashMap.get(Ljava/lang/Object;)", "HashMap.get");
    check_short("com.example.Main.<init>", "Main.<init>");
    check_short("ns::inner::Class::method<int, A<b>>::x", "Class::method<int, A<b>>");
    check_short("(anonymous namespace)::ns::Class::run", "Class::run");
    check_short("lower::case::only", "lower::case::only");
    check_short("ns::_Hidden::~Thing()", "_Hidden::~Thing");
    check_short("", "");
}

static void check_has(const struct hone_buffer *out, const char *text)
{
    if (!memmem(out->at, out->len, text, strlen(text)))
        cr_assert_fail("'%s' is not in\n%.*s", text, (int)out->len, out->at);
}

TEST(names_of_any_kind_keep_the_graph_well_formed)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    struct hone_profile_line line = {
        .function = hone_profile_add_function(
            p, &(struct hone_profile_function){.name = hone_profile_intern(p, "a\"b\\c\nd")})};
    uint32_t location = hone_profile_add_location(
        p, &(struct hone_profile_location){.address = 1, .lines = &line, .line_count = 1});
    uint32_t stack = hone_profile_add_stack(p, &location, 1);
    (void)hone_profile_add_sample(p, stack, (int64_t[]){5}, NULL, 0);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    CHECK_EQ(hone_view_dot(p, NULL, &out, NULL), 0);
    check_has(&out, "N1 [label=\"a\\\"b\\\\c\\ld\\n5ns (100%)\" id=\"node1\"");
    hone_profile_free(p);
}

TEST(a_picture_of_an_unknown_type_is_refused_with_the_choices)
{
    struct hone_profile *p = hone_fixture_small();
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    struct hone_error err = {0};
    CHECK_EQ(hone_view_dot(p, &(struct hone_text_options){.type = "space"}, &out, &err), -EINVAL);
    CHECK_EQ(hone_view_callgrind(p, &(struct hone_text_options){.type = "9"}, &out, &err), -EINVAL);
    CHECK_EQ(out.len, 0);
    hone_profile_free(p);
}

TEST(a_page_tells_what_is_missing)
{
    struct hone_profile *p = hone_fixture_small();
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *sort = NULL;
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *nothing = NULL;
    CHECK_EQ(hone_pattern_new("^sort$", &sort, NULL), 0);
    CHECK_EQ(hone_pattern_new("nothing", &nothing, NULL), 0);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    const struct hone_text_options options = {.pattern = sort, .source_path = "/nowhere"};
    CHECK_EQ(hone_view_weblist(p, &options, &out, NULL), 0);
    check_has(&out, "<h2>sort</h2>");
    check_has(&out, "src/sorter.c: not here, nor under /nowhere");
    check_has(&out, "<span class=\"number\">     10</span>          .       30ms");
    check_has(&out, "no machine code of");
    CHECK_EQ(hone_view_weblist(p, &(struct hone_text_options){.pattern = nothing}, &out, NULL),
             -ENOENT);
    hone_profile_free(p);
}
