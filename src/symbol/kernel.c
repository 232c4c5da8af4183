#include "symbol/kernel.h"

#include "base/base.h"
#include "elf/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 4096,
    SYMBOLS_MAX = 8 << 20, // a kernel has some 200 000
};

struct line {
    uint64_t start;
    const char *name; // in the text
    size_t name_len;
    const char *module; // NULL: the kernel itself
    size_t module_len;
    char kind;
};

struct extent {
    const char *name;
    size_t len;
    uint64_t start, end;
};

struct reading {
    struct line *lines; // heap
    size_t count, room;
    struct extent *modules; // heap
    size_t module_count, module_room;
    bool addressed; // one address is not zero
};

static void reading_done(struct reading *reading)
{
    free(reading->lines);
    free(reading->modules);
}

static bool grow(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;
    size_t wanted = *room ? *room * 2 : 1024;
    void *grown = reallocarray(*(void **)array, wanted, size);
    if (!grown)
        return false;
    *(void **)array = grown;
    *room = wanted;
    return true;
}

// ---- Text

struct text {
    const char *at, *end;
};

static struct text next_word(struct text *line)
{
    while (line->at < line->end && (*line->at == ' ' || *line->at == '\t'))
        line->at++;
    struct text word = {line->at, line->at};
    while (word.end < line->end && *word.end != ' ' && *word.end != '\t')
        word.end++;
    line->at = word.end;
    return word;
}

static struct text next_line(struct text *text)
{
    const char *newline = memchr(text->at, '\n', (size_t)(text->end - text->at));
    struct text line = {text->at, newline ? newline : text->end};
    text->at = newline ? newline + 1 : text->end;
    return line;
}

static bool number(struct text word, unsigned base, uint64_t *ret)
{
    uint64_t value = 0;
    if (word.end - word.at > 2 && word.at[0] == '0' && word.at[1] == 'x') {
        word.at += 2;
        base = 16;
    }
    if (word.at == word.end || word.end - word.at > 20)
        return false;
    for (; word.at < word.end; word.at++) {
        char c = *word.at;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 99;
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

// "ffffffffc0a81000 t nft_do_chain	[nf_tables]"
static int read_symbol(struct reading *reading, struct text at)
{
    struct line line = {0};
    struct text address = next_word(&at), kind = next_word(&at), name = next_word(&at);
    struct text module = next_word(&at);
    if (!number(address, 16, &line.start) || kind.end - kind.at != 1 || name.at == name.end)
        return 0;
    line.kind = *kind.at;
    line.name = name.at;
    line.name_len = (size_t)(name.end - name.at);
    if (module.end - module.at > 2 && module.at[0] == '[' && module.end[-1] == ']') {
        line.module = module.at + 1;
        line.module_len = (size_t)(module.end - module.at) - 2;
    }
    if (reading->count >= SYMBOLS_MAX)
        return 0;
    if (!grow(&reading->lines, reading->count, &reading->room, sizeof *reading->lines))
        return -ENOMEM;
    reading->lines[reading->count++] = line;
    reading->addressed |= line.start != 0;
    return 0;
}

// "nf_tables 323584 2 nft_ct, Live 0xffffffffc0a80000"
static int read_module(struct reading *reading, struct text at)
{
    struct text name = next_word(&at), size = next_word(&at), word = {0}, last = {0};
    for (word = next_word(&at); word.at < word.end; word = next_word(&at))
        if (word.end - word.at > 2 && word.at[1] == 'x')
            last = word;
    struct extent extent = {name.at, (size_t)(name.end - name.at), 0, 0};
    uint64_t bytes;
    if (!last.at || !number(size, 10, &bytes) || !number(last, 16, &extent.start) ||
        __builtin_add_overflow(extent.start, bytes, &extent.end))
        return 0;
    if (!grow(&reading->modules, reading->module_count, &reading->module_room,
              sizeof *reading->modules))
        return -ENOMEM;
    reading->modules[reading->module_count++] = extent;
    return 0;
}

static int each_line(struct reading *reading, const char *at, size_t len,
                     int (*read)(struct reading *reading, struct text line))
{
    struct text text = {at, len ? at + len : at}; // without bytes there may be no place either
    int r = 0;
    while (text.at < text.end && !r)
        r = read(reading, next_line(&text));
    return r;
}

// ---- Functions

static bool is_code(const struct line *line)
{
    return strchr("tTwW", line->kind) != NULL;
}

static size_t underscores(const struct line *line)
{
    size_t count = 0;
    while (count < line->name_len && line->name[count] == '_')
        count++;
    return count;
}

// Among names of one address: code, global, fewer underscores, shorter, alphabetical.
static int by_start(const void *left, const void *right)
{
    const struct line *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (is_code(a) != is_code(b))
        return is_code(a) ? -1 : 1;
    if ((a->kind == 'T') != (b->kind == 'T'))
        return a->kind == 'T' ? -1 : 1;
    if (underscores(a) != underscores(b))
        return underscores(a) < underscores(b) ? -1 : 1;
    if (a->name_len != b->name_len)
        return a->name_len < b->name_len ? -1 : 1;
    return memcmp(a->name, b->name, a->name_len);
}

// Where the function's surroundings end, if nothing else begins before.
static uint64_t limit_of(const struct reading *reading, const struct line *line)
{
    for (size_t i = 0; line->module && i < reading->module_count; i++) {
        const struct extent *extent = &reading->modules[i];
        if (extent->len == line->module_len &&
            memcmp(extent->name, line->module, extent->len) == 0 && line->start >= extent->start &&
            line->start < extent->end)
            return extent->end;
    }
    uint64_t page = line->start & ~(uint64_t)(PAGE - 1);
    return page > UINT64_MAX - PAGE ? UINT64_MAX : page + PAGE;
}

// Of one symbol and the next one that begins elsewhere.
static uint64_t end_of(const struct reading *reading, size_t i, size_t next)
{
    const struct line *line = &reading->lines[i];
    const struct line *after = next < reading->count ? &reading->lines[next] : NULL;
    bool same = after && line->module_len == after->module_len &&
                (!line->module || memcmp(line->module, after->module, line->module_len) == 0);
    if (same)
        return after->start;
    uint64_t limit = limit_of(reading, line);
    return after && after->start < limit ? after->start : limit;
}

// With its module, if it has one. Formatting all of them would take longer than reading them.
static char *name_of(struct hone_arena *arena, const struct line *line)
{
    if (line->module)
        return hone_arena_format(arena, "%.*s [%.*s]", (int)line->name_len, line->name,
                                 (int)line->module_len, line->module);
    char *name = hone_arena_alloc(arena, line->name_len + 1);
    if (name) {
        memcpy(name, line->name, line->name_len);
        name[line->name_len] = '\0';
    }
    return name;
}

static int make_functions(struct hone_arena *arena, struct reading *reading,
                          struct hone_elf_functions *ret)
{
    struct hone_elf_function *at = hone_arena_zalloc(arena, reading->count + 1, sizeof *at);
    if (!at)
        return -ENOMEM;
    size_t kept = 0;
    for (size_t i = 0, next; i < reading->count; i = next) {
        const struct line *line = &reading->lines[i];
        next = i + 1;
        while (next < reading->count && reading->lines[next].start == line->start)
            next++;
        if (!is_code(line) || !line->start)
            continue;
        char *name = name_of(arena, line);
        if (!name)
            return -ENOMEM;
        uint64_t end = end_of(reading, i, next);
        if (end > line->start)
            at[kept++] = (struct hone_elf_function){
                .start = line->start, .end = end, .entry = line->start, .name = name};
    }
    *ret = (struct hone_elf_functions){.at = at, .count = kept, .full = true};
    return 0;
}

int hone_kernel_read(struct hone_arena *arena, const char *kallsyms, size_t kallsyms_len,
                     const char *modules, size_t modules_len, struct hone_elf_functions *ret)
{
    HONE_CLEANUP(reading_done) struct reading reading = {0};
    int r = each_line(&reading, kallsyms, kallsyms_len, read_symbol);
    if (!r)
        r = each_line(&reading, modules, modules_len, read_module);
    if (r)
        return r;
    if (reading.count && !reading.addressed)
        return HONE_KERNEL_HIDDEN;
    if (reading.count)
        qsort(reading.lines, reading.count, sizeof *reading.lines, by_start);
    return make_functions(arena, &reading, ret);
}

// ---- Build id

enum { NOTE_BUILD_ID = 3 };

size_t hone_kernel_build_id(const void *notes, size_t len, unsigned char ret[HONE_ELF_BUILD_ID_MAX])
{
    struct hone_cursor at = hone_cursor(notes, len);
    while (hone_cursor_left(&at)) {
        uint32_t name_len = hone_read_u32(&at), bytes_len = hone_read_u32(&at);
        uint32_t type = hone_read_u32(&at);
        const unsigned char *name = hone_read_bytes(&at, ((uint64_t)name_len + 3) & ~(uint64_t)3);
        const unsigned char *bytes = hone_read_bytes(&at, ((uint64_t)bytes_len + 3) & ~(uint64_t)3);
        if (at.failed)
            break;
        if (type == NOTE_BUILD_ID && name_len == 4 && memcmp(name, "GNU", 4) == 0 && bytes_len &&
            bytes_len <= HONE_ELF_BUILD_ID_MAX) {
            memcpy(ret, bytes, bytes_len);
            return bytes_len;
        }
    }
    return 0;
}
