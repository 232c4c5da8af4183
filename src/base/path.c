#include "base/path.h"

#include <stdbool.h>

static bool is_parent(const char *at, size_t len)
{
    return len == 2 && at[0] == '.' && at[1] == '.';
}

static bool is_part_to_go(const char *at, size_t len)
{
    return len == 0 || (len == 1 && at[0] == '.') || is_parent(at, len);
}

static bool is_clean(struct hone_str text)
{
    if (!text.len)
        return true; // no path stays none, unlike "."
    bool rooted = text.at[0] == '/';
    if (text.len == 1)
        return true;
    for (size_t from = rooted; from <= text.len;) {
        const char *slash = memchr(text.at + from, '/', text.len - from);
        size_t len = slash ? (size_t)(slash - text.at) - from : text.len - from;
        if (is_part_to_go(text.at + from, len))
            return false;
        from += len + 1;
    }
    return true;
}

struct hone_str hone_path_clean(struct hone_arena *arena, struct hone_str text)
{
    if (is_clean(text))
        return text;
    char *out = hone_arena_alloc(arena, text.len + 2);
    if (!out)
        return (struct hone_str){0};
    bool rooted = text.at[0] == '/';
    size_t len = rooted;
    if (rooted)
        out[0] = '/';
    size_t floor = len; // what ".." cannot take away
    for (size_t from = rooted; from <= text.len;) {
        const char *slash = memchr(text.at + from, '/', text.len - from);
        size_t part = slash ? (size_t)(slash - text.at) - from : text.len - from;
        const char *at = text.at + from;
        from += part + 1;
        bool up = is_parent(at, part);
        if (is_part_to_go(at, part) && !up)
            continue;
        if (up && len > floor) {
            while (len > floor && out[len - 1] != '/')
                len--;
            len -= len > floor; // the slash before it
            continue;
        }
        if (up && rooted)
            continue;
        if (len > rooted)
            out[len++] = '/';
        memcpy(out + len, at, part);
        len += part;
        if (up)
            floor = len;
    }
    if (!len)
        out[len++] = '.';
    out[len] = '\0';
    return (struct hone_str){out, len};
}
