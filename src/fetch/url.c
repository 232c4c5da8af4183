#include "fetch/url.h"

#include "base/buffer.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_PROFILE "/debug/pprof/profile"

enum {
    DEFAULT_TIMEOUT_S = 60,
    SOURCE_MAX = 65536, // longer than any server accepts
    PARAMETERS_MAX = 1024,
};

// A URL in its parts, which point into the source or into the arena.
struct parts {
    struct hone_str scheme; // lower case
    struct hone_str user;   // decoded
    struct hone_str password;
    bool has_user;
    bool has_password;
    struct hone_str host; // decoded, with its port
    struct hone_str path; // encoded
    struct hone_str query;
    bool has_bare_question;   // nothing behind it
    struct hone_str fragment; // decoded
};

// Of the parts of a URL, which characters stay as they are when it is written.
enum mode { MODE_HOST, MODE_PATH, MODE_USER, MODE_QUERY, MODE_FRAGMENT };

#define BROKEN 2 // not a URL

// --- percent signs -------------------------------------------------------------------------------

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static int hex_of(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_one_of(unsigned char c, const char *set)
{
    return c && strchr(set, c);
}

static bool stays(unsigned char c, enum mode mode)
{
    if (is_alnum(c) || is_one_of(c, "-_.~"))
        return true;
    switch (mode) {
    case MODE_HOST:
        return is_one_of(c, "!$&'()*+,;=:[]<>\"");
    case MODE_PATH:
        return is_one_of(c, "$&+,/:;=@");
    case MODE_USER:
        return is_one_of(c, "$&+,;=");
    case MODE_QUERY:
        return false;
    case MODE_FRAGMENT:
        return is_one_of(c, "$&+,/:;=?@!()*");
    }
    return false;
}

static void escape(struct hone_buffer *out, struct hone_str text, enum mode mode)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (stays(c, mode) || (mode == MODE_HOST && c >= 0x80))
            hone_buffer_add(out, &c, 1);
        else if (c == ' ' && mode == MODE_QUERY)
            hone_buffer_add(out, "+", 1);
        else
            hone_buffer_format(out, "%%%02X", c);
    }
}

// Returns 0, BROKEN or -ENOMEM.
static int unescape(struct hone_arena *arena, struct hone_str text, enum mode mode,
                    struct hone_str *ret)
{
    char *to = hone_arena_alloc(arena, text.len + 1);
    if (!to)
        return -ENOMEM;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_of((unsigned char)text.at[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_of((unsigned char)text.at[i + 2]) : -1;
            // A host's name has letters of other alphabets encoded, and nothing else.
            if (high < 0 || low < 0 || (mode == MODE_HOST && high < 8))
                return BROKEN;
            to[len++] = (char)(high << 4 | low);
            i += 2;
        } else if (mode == MODE_HOST && c < 0x80 && !stays(c, mode)) {
            return BROKEN;
        } else {
            to[len++] = c == '+' && mode == MODE_QUERY ? ' ' : (char)c;
        }
    }
    to[len] = '\0';
    *ret = (struct hone_str){to, len};
    return 0;
}

// --- taking apart --------------------------------------------------------------------------------

static struct hone_str until(struct hone_str text, size_t len)
{
    return (struct hone_str){text.at, len};
}

static struct hone_str from(struct hone_str text, size_t at)
{
    return (struct hone_str){text.at + at, text.len - at};
}

// The place of the first c, text.len when there is none.
static size_t find(struct hone_str text, char c)
{
    const char *at = text.len ? memchr(text.at, c, text.len) : NULL;
    return at ? (size_t)(at - text.at) : text.len;
}

static size_t find_last(struct hone_str text, char c)
{
    const char *at = text.len ? memrchr(text.at, c, text.len) : NULL;
    return at ? (size_t)(at - text.at) : text.len;
}

// What stands before the first colon, if that can be a scheme.
static int take_scheme(struct hone_arena *arena, struct hone_str *rest, struct hone_str *ret)
{
    size_t len = 0;
    while (len < rest->len && rest->at[len] != ':') {
        unsigned char c = (unsigned char)rest->at[len];
        bool letter = is_alnum(c) && !(c >= '0' && c <= '9');
        if (!letter && (len == 0 || (!is_alnum(c) && !is_one_of(c, "+-."))))
            return 0;
        len++;
    }
    if (len == rest->len)
        return 0;
    if (len == 0)
        return BROKEN;
    char *scheme = hone_arena_copy(arena, rest->at, len);
    if (!scheme)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++)
        if (scheme[i] >= 'A' && scheme[i] <= 'Z')
            scheme[i] |= 0x20;
    *ret = (struct hone_str){scheme, len};
    *rest = from(*rest, len + 1);
    return 0;
}

static bool is_port(struct hone_str text)
{
    if (!text.len)
        return true;
    if (text.at[0] != ':')
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
    return true;
}

static int take_host(struct hone_arena *arena, struct hone_str host, struct parts *url)
{
    size_t port;
    if (host.len && host.at[0] == '[') {
        port = find_last(host, ']');
        if (port == host.len)
            return BROKEN;
        port++;
    } else {
        port = find_last(host, ':');
    }
    if (!is_port(from(host, port)))
        return BROKEN;
    return unescape(arena, host, MODE_HOST, &url->host);
}

static int take_user(struct hone_arena *arena, struct hone_str user, struct parts *url)
{
    for (size_t i = 0; i < user.len; i++)
        if (!is_alnum((unsigned char)user.at[i]) &&
            !is_one_of((unsigned char)user.at[i], "-._:~!$&'()*+,;=%@"))
            return BROKEN;
    size_t colon = find(user, ':');
    url->has_user = true;
    url->has_password = colon < user.len;
    int r = unescape(arena, until(user, colon), MODE_USER, &url->user);
    if (!r && url->has_password)
        r = unescape(arena, from(user, colon + 1), MODE_USER, &url->password);
    return r;
}

static int take_authority(struct hone_arena *arena, struct hone_str authority, struct parts *url)
{
    size_t at = find_last(authority, '@');
    bool has_user = at < authority.len;
    int r = take_host(arena, has_user ? from(authority, at + 1) : authority, url);
    return !r && has_user ? take_user(arena, until(authority, at), url) : r;
}

// The path as it is written again: as it came, unless that has characters that must not be there.
static int take_path(struct hone_arena *arena, struct hone_str path, struct parts *url)
{
    struct hone_str plain;
    int r = unescape(arena, path, MODE_PATH, &plain);
    if (r)
        return r;
    bool valid = true;
    for (size_t i = 0; i < path.len; i++)
        valid &= stays((unsigned char)path.at[i], MODE_PATH) ||
                 is_one_of((unsigned char)path.at[i], "!'()*[]%");
    url->path = path;
    if (valid)
        return 0;
    struct hone_buffer out = {0};
    escape(&out, plain, MODE_PATH);
    char *copy = out.failed ? NULL : hone_arena_copy(arena, out.at, out.len);
    url->path = (struct hone_str){copy, out.len};
    hone_buffer_done(&out);
    return copy ? 0 : -ENOMEM;
}

// Returns 0, BROKEN or -ENOMEM. A URL without host comes with an empty one.
static int take_apart(struct hone_arena *arena, struct hone_str text, struct parts *ret)
{
    *ret = (struct parts){0};
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f)
            return BROKEN;
    size_t hash = find(text, '#');
    struct hone_str rest = until(text, hash);
    int r = take_scheme(arena, &rest, &ret->scheme);
    if (!r && hash + 1 < text.len)
        r = unescape(arena, from(text, hash + 1), MODE_FRAGMENT, &ret->fragment);
    if (r)
        return r;

    size_t question = find(rest, '?');
    ret->has_bare_question = question + 1 == rest.len;
    if (question < rest.len)
        ret->query = from(rest, question + 1);
    rest = until(rest, question);

    bool rooted = rest.len && rest.at[0] == '/';
    if (!rooted && ret->scheme.len)
        return 0; // "localhost:8080" looks like this
    if (!rooted && find(rest, ':') < find(rest, '/'))
        return BROKEN;
    if (hone_str_starts(rest, HONE_STR("//")) &&
        (ret->scheme.len || !hone_str_starts(rest, HONE_STR("///")))) {
        rest = from(rest, 2);
        size_t slash = find(rest, '/');
        r = take_authority(arena, until(rest, slash), ret);
        rest = from(rest, slash);
    }
    return r ? r : take_path(arena, rest, ret);
}

// --- the query -----------------------------------------------------------------------------------

struct parameter {
    struct hone_str key;
    struct hone_str value;
    size_t place;
};

struct parameters {
    struct parameter *at;
    size_t count;
};

static int by_key(const void *left, const void *right)
{
    const struct parameter *a = left;
    const struct parameter *b = right;
    size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = len ? memcmp(a->key.at, b->key.at, len) : 0;
    if (order)
        return order;
    if (a->key.len != b->key.len)
        return a->key.len < b->key.len ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static int add_parameter(struct hone_arena *arena, struct hone_str text, struct parameters *to)
{
    size_t equals = find(text, '=');
    struct parameter *parameter = &to->at[to->count];
    parameter->place = to->count;
    int r = unescape(arena, until(text, equals), MODE_QUERY, &parameter->key);
    if (!r && equals < text.len)
        r = unescape(arena, from(text, equals + 1), MODE_QUERY, &parameter->value);
    else
        parameter->value = HONE_STR("");
    if (!r)
        to->count++;
    return r == -ENOMEM ? r : 0; // what cannot be read is left out
}

static int read_parameters(struct hone_arena *arena, struct hone_str query, struct parameters *ret)
{
    size_t room = 2; // one more may be added
    for (size_t i = 0; i < query.len; i++)
        room += query.at[i] == '&';
    if (room > PARAMETERS_MAX)
        return BROKEN;
    ret->at = hone_arena_zalloc(arena, room, sizeof *ret->at);
    ret->count = 0;
    if (!ret->at)
        return -ENOMEM;
    while (query.len) {
        size_t end = find(query, '&');
        struct hone_str text = until(query, end);
        // Servers disagree on what a semicolon means; Go's take it for an error.
        int r = text.len && find(text, ';') == text.len ? add_parameter(arena, text, ret) : 0;
        if (r)
            return r;
        query = from(query, end + (end < query.len));
    }
    return 0;
}

// The duration: what the user asks for goes into the query, otherwise the query says it.
static int set_seconds(struct hone_arena *arena, struct parameters *parameters, int64_t *seconds)
{
    struct hone_str key = HONE_STR("seconds");
    if (*seconds <= 0) {
        *seconds = 0;
        for (size_t i = 0; i < parameters->count; i++) {
            if (!hone_str_equal(parameters->at[i].key, key))
                continue;
            char *end;
            const char *text = parameters->at[i].value.at;
            long value = strtol(text, &end, 10);
            bool number = *text && !*end && (is_alnum((unsigned char)*text) || *text == '+');
            *seconds = number && value > 0 && value <= INT32_MAX ? value : 0;
            return 0;
        }
        return 0;
    }
    size_t kept = 0;
    for (size_t i = 0; i < parameters->count; i++)
        if (!hone_str_equal(parameters->at[i].key, key))
            parameters->at[kept++] = parameters->at[i];
    const char *value = hone_arena_format(arena, "%lld", (long long)*seconds);
    if (!value)
        return -ENOMEM;
    parameters->at[kept++] = (struct parameter){key, hone_str_of(value), SIZE_MAX};
    parameters->count = kept;
    return 0;
}

static int write_query(struct hone_arena *arena, struct parameters *parameters,
                       struct hone_str *ret)
{
    qsort(parameters->at, parameters->count, sizeof *parameters->at, by_key);
    struct hone_buffer out = {0};
    for (size_t i = 0; i < parameters->count; i++) {
        if (i)
            hone_buffer_text(&out, "&");
        escape(&out, parameters->at[i].key, MODE_QUERY);
        hone_buffer_text(&out, "=");
        escape(&out, parameters->at[i].value, MODE_QUERY);
    }
    hone_buffer_add(&out, "", 1);
    char *copy = out.failed ? NULL : hone_arena_copy(arena, out.at, out.len);
    if (copy)
        *ret = (struct hone_str){copy, out.len - 1};
    hone_buffer_done(&out);
    return copy ? 0 : -ENOMEM;
}

// --- putting together ----------------------------------------------------------------------------

static const char *put_together(struct hone_arena *arena, const struct parts *url,
                                struct hone_str scheme, const char *instead_of_password)
{
    struct hone_buffer out = {0};
    hone_buffer_add(&out, scheme.at, scheme.len);
    hone_buffer_text(&out, "://");
    if (url->has_user) {
        escape(&out, url->user, MODE_USER);
        if (url->has_password)
            hone_buffer_text(&out, ":");
        if (url->has_password && instead_of_password)
            hone_buffer_text(&out, instead_of_password);
        else if (url->has_password)
            escape(&out, url->password, MODE_USER);
        hone_buffer_text(&out, "@");
    }
    escape(&out, url->host, MODE_HOST);
    if (url->path.len && url->path.at[0] != '/')
        hone_buffer_text(&out, "/");
    hone_buffer_add(&out, url->path.at, url->path.len);
    if (url->query.len || url->has_bare_question)
        hone_buffer_text(&out, "?");
    hone_buffer_add(&out, url->query.at, url->query.len);
    if (url->fragment.len) {
        hone_buffer_text(&out, "#");
        escape(&out, url->fragment, MODE_FRAGMENT);
    }
    hone_buffer_add(&out, "", 1);
    const char *copy = out.failed ? NULL : hone_arena_copy(arena, out.at, out.len);
    hone_buffer_done(&out);
    return copy;
}

static bool is_this_machine(struct hone_str host)
{
    struct hone_str name = until(host, find_last(host, ':'));
    if (host.len && host.at[0] == '[')
        return hone_str_starts(host, HONE_STR("[::1]"));
    return hone_str_equal(name, HONE_STR("localhost")) || hone_str_starts(name, HONE_STR("127."));
}

static int write_texts(struct hone_arena *arena, struct parts *url, struct hone_url *ret)
{
    *ret = (struct hone_url){.text = put_together(arena, url, url->scheme, NULL)};
    ret->shown = put_together(arena, url, url->scheme, "xxxxx");
    ret->insecure = hone_str_equal(url->scheme, HONE_STR("https+insecure"));
    struct parts request = *url;
    request.fragment = (struct hone_str){0};
    if (url->host.len && url->host.at[0] == ':') { // a port alone is one of this machine
        const char *host =
            hone_arena_format(arena, "localhost%.*s", (int)url->host.len, url->host.at);
        if (!host)
            return -ENOMEM;
        request.host = hone_str_of(host);
    }
    ret->local = is_this_machine(request.host);
    ret->request =
        put_together(arena, &request, ret->insecure ? HONE_STR("https") : url->scheme, NULL);
    return ret->text && ret->shown && ret->request ? 0 : -ENOMEM;
}

// Whether the parts name a server. "//host/path" does so for Go, but who writes that means a file.
static bool names_server(const struct parts *url)
{
    return url->host.len && url->scheme.len;
}

static int read_source(struct hone_arena *arena, const char *source, struct parts *ret)
{
    struct hone_str text = hone_str_of(source);
    if (text.len > SOURCE_MAX)
        return BROKEN;
    int r = take_apart(arena, text, ret);
    if (r == -ENOMEM || (r == 0 && (ret->host.len || !ret->scheme.len ||
                                    hone_str_equal(ret->scheme, HONE_STR("file")))))
        return r;
    if (strstr(source, "://"))
        return BROKEN; // for Go a server called "http" then, which cannot be meant
    const char *with_scheme = hone_arena_format(arena, "http://%s", source);
    if (!with_scheme)
        return -ENOMEM;
    return take_apart(arena, hone_str_of(with_scheme), ret);
}

int hone_url_of_source(struct hone_arena *arena, const char *source, int64_t seconds,
                       int64_t timeout_s, struct hone_url *ret)
{
    struct parts url;
    int r = read_source(arena, source, &url);
    if (r == BROKEN || (r == 0 && !names_server(&url)))
        return HONE_URL_NONE;
    if (r)
        return r;
    if (!url.path.len || hone_str_equal(url.path, HONE_STR("/")))
        url.path = HONE_STR(CPU_PROFILE);
    struct parameters parameters;
    r = read_parameters(arena, url.query, &parameters);
    if (!r)
        r = set_seconds(arena, &parameters, &seconds);
    if (!r)
        r = write_query(arena, &parameters, &url.query);
    if (!r)
        r = write_texts(arena, &url, ret);
    if (r)
        return r == BROKEN ? HONE_URL_NONE : r;
    ret->seconds = seconds;
    ret->timeout_s = timeout_s > 0 ? timeout_s
                     : seconds > 0 ? seconds + seconds / 2
                                   : DEFAULT_TIMEOUT_S;
    return 0;
}

// --- the page with the names of functions --------------------------------------------------------

static bool ends_with(struct hone_str text, const char *end)
{
    size_t len = strlen(end);
    return text.len >= len && memcmp(text.at + text.len - len, end, len) == 0;
}

static bool is_gperftools(struct hone_str path)
{
    static const char *const pages[] = {"/pprof/heap", "/pprof/growth", "/pprof/profile",
                                        "/pprof/pmuprofile", "/pprof/contention"};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (ends_with(path, pages[i]))
            return true;
    return false;
}

int hone_url_of_symbols(struct hone_arena *arena, const char *text, struct hone_url *ret)
{
    struct parts url;
    int r = read_source(arena, text, &url);
    if (r == BROKEN || (r == 0 && !names_server(&url)))
        return HONE_URL_NONE;
    if (r)
        return r;
    bool go = url.path.len && memmem(url.path.at, url.path.len, "/debug/pprof/", 13);
    const char *path = "/symbolz";
    if (go || is_gperftools(url.path)) {
        struct hone_str directory = until(url.path, find_last(url.path, '/'));
        path = hone_arena_format(arena, "%.*s/symbol", (int)directory.len, directory.at);
        if (!path)
            return -ENOMEM;
    }
    url.path = hone_str_of(path);
    url.query = url.fragment = (struct hone_str){0};
    url.has_bare_question = false;
    return write_texts(arena, &url, ret);
}
