// What go tool pprof 1.19 prints behind "Fetching profile over HTTP from" for these sources, and
// the few in which we differ.
#include "fetch/url.h"

#include "check.h"
#include "fetch/fetch.h"

static struct hone_arena arena;

static const char *text_of(const char *source, int64_t seconds, struct hone_url *url)
{
    return hone_url_of_source(&arena, source, seconds, 0, url) == 0 ? url->text : "(file)";
}

TEST(sources_mean_what_they_mean_to_pprof)
{
    static const char *const rows[][2] = {
        {"localhost:1", "http://localhost:1/debug/pprof/profile"},
        {"localhost:1/", "http://localhost:1/debug/pprof/profile"},
        {"127.0.0.1:1/debug/pprof/heap", "http://127.0.0.1:1/debug/pprof/heap"},
        {"http://127.0.0.1:1", "http://127.0.0.1:1/debug/pprof/profile"},
        {"http://127.0.0.1:1?seconds=5", "http://127.0.0.1:1/debug/pprof/profile?seconds=5"},
        {"http://127.0.0.1:1/x?b=2&a=1&seconds=7&seconds=8",
         "http://127.0.0.1:1/x?a=1&b=2&seconds=7&seconds=8"},
        {"http://127.0.0.1:1/x?a=1;b=2&c", "http://127.0.0.1:1/x?c="},
        {"http://127.0.0.1:1/x?", "http://127.0.0.1:1/x?"},
        {"http://127.0.0.1:1/a%2fb c?q=a%20b+c%zz&d=%e4", "http://127.0.0.1:1/a/b%20c?d=%E4"},
        {"http://127.0.0.1:1/a%2fb?q=a%20b+c", "http://127.0.0.1:1/a%2fb?q=a+b+c"},
        {"http://127.0.0.1:1/\xc3\xa4[b]!", "http://127.0.0.1:1/%C3%A4%5Bb%5D%21"},
        {"http://u:p%40ss@127.0.0.1:1/", "http://u:p%40ss@127.0.0.1:1/debug/pprof/profile"},
        {"http://u@127.0.0.1:1/#frag x", "http://u@127.0.0.1:1/debug/pprof/profile#frag%20x"},
        {"https+insecure://127.0.0.1:1", "https+insecure://127.0.0.1:1/debug/pprof/profile"},
        {"HTTP://127.0.0.1:1/X", "http://127.0.0.1:1/X"},
        {"[::1]:1/x", "http://[::1]:1/x"},
        {"http://[::1]:1", "http://[::1]:1/debug/pprof/profile"},
        {"http://:1/x", "http://:1/x"},
        {"ftp://127.0.0.1/x", "ftp://127.0.0.1/x"},
        {"file://127.0.0.1/x", "file://127.0.0.1/x"},
        {":1", "http://:1/debug/pprof/profile"},
        {"1:2", "http://1:2/debug/pprof/profile"},
        {"a_b:1/x", "http://a_b:1/x"},
        {"x=1:2", "http://x=1:2/debug/pprof/profile"},
        {"a:1?seconds=3", "http://a:1/debug/pprof/profile?seconds=3"},
        {"http://127.0.0.1:1/a//b/../c", "http://127.0.0.1:1/a//b/../c"},
        {"http://127.0.0.1:1/<x>\"", "http://127.0.0.1:1/%3Cx%3E%22"},
        {"http://127.0.0.1:1/a?seconds=-3", "http://127.0.0.1:1/a?seconds=-3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hone_url url;
        CHECK_STR(text_of(rows[i][0], 0, &url), rows[i][1]);
    }
}

TEST(names_of_files_are_no_servers)
{
    static const char *const files[] = {
        "cpu.prof", "dir/a:1", "a:b", "C:1.prof", "mailto:x", "http:foo", "file:///etc",
        "/a//b:1/c", "./host:80", "*", "", "?a", "-", "http://127.0.0.1:1/%zz", "a\nb:1",
        // Of these Go makes servers that nobody has.
        "http:///x", "http://a b:1/", "http://127.0.0.1:1x/", "//127.0.0.1:1/x", "http://h%41:1/"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct hone_url url;
        CHECK_STR(text_of(files[i], 0, &url), "(file)");
        CHECK(!hone_fetch_is_remote(files[i]));
    }
    CHECK(hone_fetch_is_remote("host:80") && !hone_fetch_is_remote(NULL));
}

TEST(the_duration_goes_into_the_query_and_sets_the_time_limit)
{
    struct hone_url url;
    CHECK_STR(text_of("a:1/x?seconds=5&b=1", 90, &url), "http://a:1/x?b=1&seconds=90");
    CHECK_EQ(url.seconds, 90);
    CHECK_EQ(url.timeout_s, 135);
    CHECK_STR(text_of("a:1/x?seconds=9", 0, &url), "http://a:1/x?seconds=9");
    CHECK_EQ(url.seconds, 9);
    CHECK_EQ(url.timeout_s, 13);
    static const char *const none[] = {"a:1/x", "a:1/x?seconds=-3", "a:1/x?seconds=x",
                                       "a:1/x?seconds=99999999999", "a:1/x?seconds="};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        (void)text_of(none[i], 0, &url);
        CHECK_EQ(url.seconds, 0);
        CHECK_EQ(url.timeout_s, 60);
    }
    CHECK_EQ(hone_url_of_source(&arena, "a:1/x?seconds=9", 0, 3, &url), 0);
    CHECK_EQ(url.timeout_s, 3);
}

TEST(requests_go_to_http_or_https_and_show_no_password)
{
    struct hone_url url;
    (void)text_of("https+insecure://u:secret@host/x#y", 0, &url);
    CHECK_STR(url.request, "https://u:secret@host/x");
    CHECK_STR(url.shown, "https+insecure://u:xxxxx@host/x#y");
    CHECK(url.insecure && !url.local);
    (void)text_of("http://:1/x", 0, &url);
    CHECK_STR(url.request, "http://localhost:1/x");
    CHECK(url.local && !url.insecure);
    static const char *const local[] = {"localhost:1", "127.1.2.3:1", "http://[::1]/"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        (void)text_of(local[i], 0, &url);
        CHECK(url.local);
    }
}

TEST(the_page_of_names_lies_beside_the_profile)
{
    static const char *const rows[][2] = {
        {"http://h:1/debug/pprof/profile?seconds=5", "http://h:1/debug/pprof/symbol"},
        {"http://h:1/a/debug/pprof/heap", "http://h:1/a/debug/pprof/symbol"},
        {"http://h:1/pprof/growth", "http://h:1/pprof/symbol"},
        {"http://h:1/profilez?x=1#y", "http://h:1/symbolz"},
        {"https+insecure://u:p@h/debug/pprof/heap", "https://u:p@h/debug/pprof/symbol"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hone_url url;
        CHECK_EQ(hone_url_of_symbols(&arena, rows[i][0], &url), 0);
        CHECK_STR(url.request, rows[i][1]);
    }
    struct hone_url url;
    CHECK_EQ(hone_url_of_symbols(&arena, "cpu.prof", &url), HONE_URL_NONE);
}

TEST(endless_queries_are_refused)
{
    static char source[70000] = "h:1/x?";
    struct hone_url url;
    for (size_t i = 6; i + 1 < sizeof source; i++)
        source[i] = i % 2 ? 'a' : '&';
    CHECK_EQ(hone_url_of_source(&arena, source, 0, 0, &url), HONE_URL_NONE);
    source[5000] = '\0';
    CHECK_EQ(hone_url_of_source(&arena, source, 0, 0, &url), HONE_URL_NONE);
    source[1000] = '\0';
    CHECK_EQ(hone_url_of_source(&arena, source, 0, 0, &url), 0);
}
