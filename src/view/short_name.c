#include "view/short_name.h"

#include <stdbool.h>
#include <stdint.h>

// Each scan_ returns the place behind what it read, or NONE.
#define NONE SIZE_MAX

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_lower(c) || is_upper(c) || is_digit(c) || c == '_';
}

static char at(struct hone_str text, size_t place)
{
    return place < text.len ? text.at[place] : '\0';
}

static struct hone_str part(struct hone_str text, size_t from, size_t to)
{
    return (struct hone_str){text.at + from, to - from};
}

// --- Go ------------------------------------------------------------------------------------------

// "/v2" up to "/v9…" before a '.' or '/' says a module's version and goes away.
static struct hone_str without_version(struct hone_arena *arena, struct hone_str name)
{
    if (memchr(name.at, '\n', name.len)) // a pattern's '.' is no line end
        return name;
    for (size_t i = 0; i + 3 < name.len; i++) {
        if (name.at[i] != '/' || name.at[i + 1] != 'v')
            continue;
        size_t end = i + 2;
        while (is_digit(at(name, end)))
            end++;
        bool one = end == i + 3 && name.at[i + 2] >= '2';
        bool more = end > i + 3 && name.at[i + 2] >= '1';
        if ((!one && !more) || (at(name, end) != '.' && at(name, end) != '/'))
            continue;
        char *made = hone_arena_alloc(arena, name.len);
        if (!made)
            return (struct hone_str){0};
        memcpy(made, name.at, i);
        memcpy(made + i, name.at + end, name.len - end);
        return (struct hone_str){made, name.len - (end - i)};
    }
    return name;
}

// Behind the last '/' of a path of plain words; at least one byte must follow.
static bool shorten_go(struct hone_str name, struct hone_str *ret)
{
    size_t from = 0;
    size_t segment = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        if (c == '/' && i > segment) {
            segment = i + 1;
            if (segment < name.len && name.at[segment] != '\n')
                from = segment;
        } else if (!is_word(c) && c != '-' && c != '.') {
            break;
        }
    }
    if (!from)
        return false;
    const char *newline = memchr(name.at + from, '\n', name.len - from);
    *ret = part(name, from, newline ? (size_t)(newline - name.at) : name.len);
    return true;
}

// --- Java ----------------------------------------------------------------------------------------

static size_t scan_words_and_dollars(struct hone_str name, size_t i)
{
    while (i < name.len && (is_word(name.at[i]) || name.at[i] == '$'))
        i++;
    return i;
}

// Class.method behind lower-case packages, at the end or before arguments.
static bool shorten_java(struct hone_str name, struct hone_str *ret)
{
    size_t from = 0;
    while (is_lower(at(name, from))) {
        size_t end = from + 1;
        while (is_word(at(name, end)))
            end++;
        if (at(name, end) != '.')
            return false;
        from = end + 1;
    }
    if (!is_upper(at(name, from)))
        return false;
    size_t dot = scan_words_and_dollars(name, from + 1);
    if (at(name, dot) != '.')
        return false;
    size_t end = dot + 1;
    static const char made[] = "<init>";
    if (name.len - end >= sizeof made - 1 && memcmp(name.at + end, made, sizeof made - 1) == 0)
        end += sizeof made - 1;
    else if (is_lower(at(name, end)))
        end = scan_words_and_dollars(name, end + 1);
    else
        return false;
    if (end < name.len && name.at[end] != '(')
        return false;
    *ret = part(name, from, end);
    return true;
}

// --- C++ -----------------------------------------------------------------------------------------

// An identifier and "::".
static size_t scan_namespace(struct hone_str name, size_t i)
{
    if (!is_word(at(name, i)) || is_digit(at(name, i)))
        return NONE;
    while (is_word(at(name, i)))
        i++;
    return at(name, i) == ':' && at(name, i + 1) == ':' ? i + 2 : NONE;
}

// Class::method with template arguments: the class begins with a capital letter.
static size_t scan_method(struct hone_str name, size_t i)
{
    while (at(name, i) == '_')
        i++;
    if (!is_upper(at(name, i)))
        return NONE;
    while (is_word(at(name, i)))
        i++;
    if (at(name, i) != ':' || at(name, i + 1) != ':')
        return NONE;
    i += 2;
    i += at(name, i) == '~';
    if (!is_word(at(name, i)) || is_digit(at(name, i)))
        return NONE;
    while (is_word(at(name, i)))
        i++;
    if (at(name, i) != '<')
        return i;
    size_t end = i;
    for (size_t k = i + 1; k < name.len && name.at[k] != '\n'; k++)
        if (name.at[k] == '>')
            end = k + 1;
    return end;
}

// Behind as many namespaces as possible.
static bool shorten_cpp(struct hone_str name, struct hone_str *ret)
{
    bool found = false;
    for (size_t i = scan_namespace(name, 0); i != NONE; i = scan_namespace(name, i)) {
        size_t end = scan_method(name, i);
        if (end == NONE)
            continue;
        *ret = part(name, i, end);
        found = true;
    }
    return found;
}

struct hone_str hone_short_name(struct hone_arena *arena, struct hone_str name)
{
    static const char anonymous[] = "(anonymous namespace)::";
    size_t skip = sizeof anonymous - 1;
    if (name.len >= skip && memcmp(name.at, anonymous, skip) == 0)
        name = part(name, skip, name.len);
    name = without_version(arena, name);
    struct hone_str made = name;
    if (!name.at || shorten_go(name, &made) || shorten_java(name, &made))
        return made;
    (void)shorten_cpp(name, &made);
    return made;
}
