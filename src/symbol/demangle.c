#include "symbol/demangle.h"

#include "base/base.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

// libiberty limits its recursion, and by that C++ names of more than 1024 bytes, unless told not
// to. Its C++ and Rust demanglers allocate nothing while they print, so output beyond our limit
// is ended by a jump out of its callback.
struct output {
    char bytes[HONE_DEMANGLE_OUTPUT_MAX];
    size_t len;
    jmp_buf too_long;
};

static void collect(const char *bytes, size_t len, void *opaque)
{
    struct output *output = opaque;
    if (len > sizeof output->bytes - output->len)
        longjmp(output->too_long, 1);
    memcpy(output->bytes + output->len, bytes, len);
    output->len += len;
}

enum {
    LIBIBERTY_INPUT_MAX = 1024,
    // Nested back references of D multiply: 32 of them expand at most 3^(32/3) times.
    D_BACK_REFERENCES_MAX = 32,
};

typedef int printer(const char *mangled, int options, demangle_callbackref callback, void *opaque);

static const char *print(struct hone_arena *arena, printer *function, const char *mangled,
                         int options)
{
    // Not on the stack: libiberty needs that for itself.
    static _Thread_local struct output output;
    output.len = 0;
    if (setjmp(output.too_long))
        return NULL;
    if (!function(mangled, options, collect, &output) || !output.len)
        return NULL;
    char *name = hone_arena_copy(arena, output.bytes, output.len + 1);
    if (name)
        name[output.len] = '\0';
    return name;
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

// Rust's first scheme looks like C++ and ends in a hash: _ZN4core3fmt5write17h0123456789abcdefE
static bool is_old_rust(const char *mangled, size_t len)
{
    return starts(mangled, "_ZN") && len > 23 && starts(mangled + len - 20, "17h") &&
           mangled[len - 1] == 'E';
}

static const char *demangle_d(struct hone_arena *arena, const char *mangled)
{
    unsigned references = 0;
    for (const char *at = mangled; *at; at++)
        references += *at == 'Q';
    if (references > D_BACK_REFERENCES_MAX)
        return NULL;
    HONE_CLEANUP(hone_freep) char *name = dlang_demangle(mangled, 0);
    return name ? hone_arena_copy(arena, name, strlen(name) + 1) : NULL;
}

// style: DMGL_PARAMS or 0.
static const char *demangle(struct hone_arena *arena, const char *mangled, size_t len, int style)
{
    if (mangled[0] != '_' || len > HONE_DEMANGLE_INPUT_MAX)
        return NULL;
    if (starts(mangled, "_R") || is_old_rust(mangled, len)) {
        const char *name = print(arena, rust_demangle_callback, mangled, 0);
        if (name)
            return name;
    }
    if (starts(mangled, "_Z")) {
        int limit = len > LIBIBERTY_INPUT_MAX ? DMGL_NO_RECURSE_LIMIT : 0;
        return print(arena, cplus_demangle_v3_callback, mangled, style | limit);
    }
    if (starts(mangled, "_D") && (mangled[2] == 'm' || (mangled[2] >= '1' && mangled[2] <= '9')))
        return demangle_d(arena, mangled);
    return NULL;
}

static bool is_number(const char *at, const char *end)
{
    if (at == end)
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
    }
    return true;
}

// The start of the last suffix that marks a copy, at or after begin; NULL when the text ends in
// none.
static const char *last_suffix(const char *begin, const char *end)
{
    static const char *const marks[] = {".part",     ".isra", ".constprop",  ".cold",
                                        ".lto_priv", ".llvm", ".localalias", ".clone"};
    const char *dot = memrchr(begin, '.', (size_t)(end - begin));
    if (!dot || dot == begin)
        return NULL;
    const char *mark = dot, *mark_end = end;
    if (is_number(dot + 1, end)) { // ".part.0"
        mark_end = dot;
        mark = memrchr(begin, '.', (size_t)(dot - begin));
        if (!mark || mark == begin)
            return NULL;
    }
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (strlen(marks[i]) == (size_t)(mark_end - mark) &&
            memcmp(mark, marks[i], (size_t)(mark_end - mark)) == 0)
            return mark;
    }
    return NULL;
}

size_t hone_symbol_base_len(const char *symbol)
{
    const char *end = symbol + strlen(symbol);
    for (const char *cut; (cut = last_suffix(symbol, end)) != NULL;)
        end = cut;
    return (size_t)(end - symbol);
}

const char *hone_demangle(struct hone_arena *arena, const char *symbol)
{
    // "name@plt" keeps its mark.
    size_t len = strlen(symbol);
    const char *mark = len > 4 && strcmp(symbol + len - 4, "@plt") == 0 ? "@plt" : "";
    size_t base_len = mark[0] ? len - 4 : hone_symbol_base_len(symbol);
    char *base = hone_arena_copy(arena, symbol, base_len + 1);
    if (!base)
        return NULL;
    base[base_len] = '\0';
    const char *name = demangle(arena, base, base_len, 0);
    if (!name)
        return mark[0] ? symbol : base;
    return mark[0] ? hone_arena_format(arena, "%s%s", name, mark) : name;
}

const char *hone_demangle_full(struct hone_arena *arena, const char *symbol)
{
    size_t base_len = hone_symbol_base_len(symbol);
    char *base = hone_arena_copy(arena, symbol, base_len + 1);
    if (!base)
        return NULL;
    base[base_len] = '\0';
    return demangle(arena, base, base_len, DMGL_PARAMS);
}
