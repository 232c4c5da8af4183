#include "pprof/symbolize.h"

#include "base/cleanup.h"
#include "profile/profile.h"
#include "symbol/demangle.h"

#include <errno.h>
#include <string.h>

// Takes nested stretches from open to close out of a name, in place. A name in which they do not
// fit together keeps what it has from there on.
static void remove_matching(char *name, char open, char close)
{
    char *first = NULL;
    unsigned depth = 0;
    for (char *at = name; *at; at++) {
        if (*at == open && depth++ == 0) {
            first = at;
        } else if (*at == close) {
            if (!depth)
                return;
            if (--depth)
                continue;
            memmove(first, at + 1, strlen(at + 1) + 1);
            at = first - 1;
        }
    }
}

// Whether somebody else demangled this: types of Java and methods of Go look like it, too.
static bool looks_demangled(const char *name)
{
    if (strstr(name, ".<") || strstr(name, "])."))
        return false;
    return strpbrk(name, "<>[]") || strstr(name, "::");
}

// Template arguments go, operators with '<' and '>' in their names stay.
static void remove_templates(char *name)
{
    static const char word[] = "operator";
    char *to = name;
    unsigned depth = 0;
    for (const char *at = name; *at; at++) {
        bool is_operator = !depth && strncmp(at, word, sizeof word - 1) == 0 &&
                           (at == name || strchr(": ", at[-1]));
        if (is_operator) {
            size_t len = sizeof word - 1;
            len += strspn(at + len, "<>=-");
            memmove(to, at, len);
            to += len;
            at += len - 1;
        } else if (*at == '<') {
            depth++;
        } else if (*at == '>' && depth) {
            depth--;
        } else if (!depth) {
            *to++ = *at;
        }
    }
    *to = '\0';
}

static bool is_mangled(const char *name)
{
    return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || name[1] == '_');
}

// NULL when memory is out.
static const char *name_of(struct hone_arena *arena, const char *symbol,
                           enum hone_pprof_demangling how)
{
    if (is_mangled(symbol)) {
        const char *full = hone_demangle_full(arena, symbol);
        if (full && how == HONE_PPROF_FULL)
            return full;
        const char *name = full ? hone_demangle(arena, symbol) : NULL;
        char *copy = name ? hone_arena_copy(arena, name, strlen(name) + 1) : NULL;
        if (full && !copy)
            return NULL;
        if (copy && how == HONE_PPROF_SHORT)
            remove_templates(copy);
        if (copy)
            return copy;
    }
    if (how == HONE_PPROF_FULL || !looks_demangled(symbol))
        return symbol;
    char *copy = hone_arena_copy(arena, symbol, strlen(symbol) + 1);
    if (!copy)
        return NULL;
    remove_matching(copy, '(', ')');
    if (how == HONE_PPROF_SHORT)
        remove_matching(copy, '<', '>');
    return copy;
}

int hone_pprof_demangle(struct hone_profile *p, enum hone_pprof_demangling how, bool force,
                        struct hone_error *err)
{
    struct hone_arena arena = {0};
    int r = 0;
    for (uint32_t i = 1; !r && i < p->functions.count; i++) {
        uint32_t *name = &p->functions.name[i];
        uint32_t system_name = p->functions.system_name[i];
        if (force && *name && system_name)
            *name = system_name;
        if (*name && *name != system_name)
            continue;
        const char *symbol = hone_profile_text(p, system_name);
        const char *better = name_of(&arena, symbol, how);
        if (!better)
            r = -ENOMEM;
        else if (better != symbol)
            *name = hone_profile_intern(p, better);
        else
            *name = system_name;
    }
    r = r ? r : hone_profile_status(p);
    hone_arena_done(&arena);
    return r ? hone_error_set(err, r, "cannot demangle names") : 0;
}
