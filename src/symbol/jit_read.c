// Perf maps, a line of text per function ("7f00 40 name": start and size in hexadecimal), and
// jitdump files. Formats: Linux, tools/perf/Documentation/jit-interface.txt and
// jitdump-specification.txt.
#include "elf/cursor.h"
#include "symbol/jit_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- Perf maps

static bool read_hex(const char **at, const char *end, uint64_t *ret)
{
    const char *begin = *at;
    uint64_t value = 0;
    if (end - begin > 2 && begin[0] == '0' && (begin[1] == 'x' || begin[1] == 'X'))
        begin += 2;
    const char *digit = begin;
    for (; digit < end && digit - begin <= 16; digit++) {
        char c = *digit;
        unsigned nibble;
        if (c >= '0' && c <= '9')
            nibble = (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            nibble = (unsigned)((c | 32) - 'a' + 10);
        else
            break;
        value = value << 4 | nibble;
    }
    if (digit == begin || digit - begin > 16 || digit == end || *digit != ' ')
        return false;
    while (digit < end && *digit == ' ')
        digit++;
    *at = digit;
    *ret = value;
    return true;
}

enum { NAME_MAX_BYTES = 4096 };

// Bytes of the character at the start of text, 1 to 4, or 0: no UTF-8.
static size_t character(const char *text, size_t len)
{
    unsigned char first = (unsigned char)text[0];
    size_t bytes = first < 0x80   ? 1
                   : first < 0xc2 ? 0
                   : first < 0xe0 ? 2
                   : first < 0xf0 ? 3
                   : first < 0xf5 ? 4
                                  : 0;
    if (bytes > len)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 0;
    return bytes;
}

// Names come from anywhere; in a profile they are UTF-8, and in a report text of one line.
static void clean_name(const char *from, size_t len, char *ret)
{
    size_t kept = 0;
    for (size_t i = 0; i < len;) {
        size_t bytes = character(from + i, len - i);
        if (kept + bytes >= NAME_MAX_BYTES)
            break;
        if (bytes > 1)
            memcpy(ret + kept, from + i, bytes);
        else if (bytes == 0)
            ret[kept] = '?';
        else
            ret[kept] = (unsigned char)from[i] < ' ' || from[i] == 127 ? ' ' : from[i];
        kept += bytes ? bytes : 1;
        i += bytes ? bytes : 1;
        if (kept == NAME_MAX_BYTES - 1)
            break;
    }
    while (kept && ret[kept - 1] == ' ')
        kept--;
    ret[kept] = '\0';
}

static int read_map_line(struct hone_jit *jit, const char *at, const char *end)
{
    char name[NAME_MAX_BYTES];
    uint64_t start, size, stop;
    if (!read_hex(&at, end, &start) || !read_hex(&at, end, &size) ||
        __builtin_add_overflow(start, size, &stop))
        return 0;
    clean_name(at, (size_t)(end - at), name);
    if (!name[0])
        return 0;
    return hone_jit_add(jit, &(struct hone_jit_code){.start = start, .end = stop, .name = name});
}

int hone_jit_read_map(struct hone_jit *jit, const void *bytes, size_t len)
{
    const char *at = bytes, *end = at + len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        // A line that is still being written may name half a function.
        if (!newline)
            break;
        int r = read_map_line(jit, at, newline);
        if (r)
            return r;
        at = newline + 1;
    }
    return 0;
}

// ---- Jitdump

enum {
    MAGIC = 0x4A695444, // "JiTD"
    FLAG_ARCH_TIMESTAMP = 1,
    RECORD_LOAD = 0,
    RECORD_MOVE = 1,
    RECORD_DEBUG_INFO = 2,
    RECORD_CLOSE = 3,
    PREFIX_BYTES = 16,
    LINES_MAX = 1 << 20, // of one function
    // V8 counts from where code would be in an ELF file that perf makes of it: behind the header.
    V8_SHIFT = 64,
    MOVE_STEPS = 100 << 20, // looking for what was moved, in one file: sound ones stay far below
};

// What precedes the load of the code that it is about.
struct pending {
    uint64_t address;
    struct hone_jit_line *lines; // arena
    uint32_t count;
};

struct dump {
    struct hone_jit *jit;
    struct hone_cursor at;
    bool timed;
    bool shifted; // V8's
    size_t first; // code of this file
    uint64_t move_steps;
    struct pending pending;
};

static int by_address(const void *left, const void *right)
{
    const struct hone_jit_line *a = left, *b = right;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

static int read_debug_info(struct dump *dump, struct hone_cursor *at)
{
    struct hone_jit *jit = dump->jit;
    uint64_t address = hone_read_u64(at), count = hone_read_u64(at);
    // Each entry has 16 bytes and a name's end.
    if (at->failed || count > hone_cursor_left(at) / 17 || count > LINES_MAX)
        return 0;
    struct hone_jit_line *lines = hone_arena_zalloc(&jit->arena, count + 1, sizeof *lines);
    if (!lines)
        return -ENOMEM;
    const char *file = "";
    uint32_t kept = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct hone_jit_line *line = &lines[kept];
        line->address = hone_read_u64(at);
        line->line = hone_read_u32(at);
        (void)hone_read_u32(at); // discriminator
        const char *name = hone_read_text(at);
        if (!name)
            break;
        if (strcmp(name, "\xff") != 0) { // that: as before
            char clean[NAME_MAX_BYTES];
            clean_name(name, strlen(name), clean);
            file = hone_symbol_intern_text(&jit->texts, &jit->arena, clean);
            if (!file)
                return -ENOMEM;
        }
        line->file = file;
        kept++;
    }
    if (kept)
        qsort(lines, kept, sizeof *lines, by_address);
    dump->pending = (struct pending){address, lines, kept};
    return 0;
}

static int read_load(struct dump *dump, struct hone_cursor *at, uint64_t time_ns)
{
    (void)hone_read_u32(at); // pid
    (void)hone_read_u32(at); // tid
    (void)hone_read_u64(at); // vma
    uint64_t address = hone_read_u64(at), size = hone_read_u64(at), end;
    (void)hone_read_u64(at); // index
    const char *text = hone_read_text(at);
    char name[NAME_MAX_BYTES];
    struct pending pending = dump->pending;
    dump->pending = (struct pending){0};
    if (!text || __builtin_add_overflow(address, size, &end))
        return 0;
    clean_name(text, strlen(text), name);
    if (!name[0])
        (void)strcpy(name, "[unnamed]");
    struct hone_jit_code code = {
        .start = address, .end = end, .time_ns = dump->timed ? time_ns : 0, .name = name};
    if (pending.count && pending.address == address) {
        code.lines = pending.lines;
        code.line_count = pending.count;
        // No line of sound code begins behind its end.
        dump->shifted |= pending.lines[pending.count - 1].address >= end;
    }
    return hone_jit_add(dump->jit, &code);
}

// The code goes on elsewhere under its name; where it was it is no more.
static int read_move(struct dump *dump, struct hone_cursor *at, uint64_t time_ns)
{
    struct hone_jit *jit = dump->jit;
    (void)hone_read_u64(at); // pid, tid
    (void)hone_read_u64(at); // vma
    uint64_t from = hone_read_u64(at), to = hone_read_u64(at), size = hone_read_u64(at);
    (void)hone_read_u64(at); // index
    uint64_t old_end, new_end;
    if (at->failed || __builtin_add_overflow(from, size, &old_end) ||
        __builtin_add_overflow(to, size, &new_end))
        return 0;
    const struct hone_jit_code *old = NULL;
    for (size_t i = jit->count; i-- > dump->first && !old && dump->move_steps++ < MOVE_STEPS;)
        if (jit->codes[i].start == from && jit->codes[i].name)
            old = &jit->codes[i];
    if (!old)
        return 0;
    struct hone_jit_code code = *old;
    code.start = to;
    code.end = new_end;
    code.time_ns = dump->timed ? time_ns : 0;
    code.lines = NULL;
    code.line_count = 0;
    if (old->line_count) {
        struct hone_jit_line *lines =
            hone_arena_zalloc(&jit->arena, old->line_count, sizeof *lines);
        if (!lines)
            return -ENOMEM;
        for (uint32_t i = 0; i < old->line_count; i++) {
            lines[i] = old->lines[i];
            lines[i].address += to - from;
        }
        code.lines = lines;
        code.line_count = old->line_count;
    }
    int r = hone_jit_add(
        jit, &(struct hone_jit_code){.start = from, .end = old_end, .time_ns = code.time_ns});
    return r ? r : hone_jit_add(jit, &code);
}

// Returns 1 at the end.
static int read_record(struct dump *dump)
{
    struct hone_cursor *at = &dump->at;
    uint32_t id = hone_read_u32(at), bytes = hone_read_u32(at);
    uint64_t time_ns = hone_read_u64(at);
    if (at->failed || bytes < PREFIX_BYTES)
        return 1;
    const unsigned char *body = hone_read_bytes(at, bytes - PREFIX_BYTES);
    if (!body) // still being written
        return 1;
    struct hone_cursor inside = hone_cursor(body, bytes - PREFIX_BYTES);
    switch (id) {
    case RECORD_LOAD:
        return read_load(dump, &inside, time_ns);
    case RECORD_MOVE:
        return read_move(dump, &inside, time_ns);
    case RECORD_DEBUG_INFO:
        return read_debug_info(dump, &inside);
    case RECORD_CLOSE:
        return 1;
    default: // unwind information, and what came later
        return 0;
    }
}

static void shift_lines(struct dump *dump)
{
    for (size_t i = dump->first; i < dump->jit->count; i++) {
        struct hone_jit_code *code = &dump->jit->codes[i];
        for (uint32_t line = 0; line < code->line_count; line++)
            ((struct hone_jit_line *)code->lines)[line].address -= V8_SHIFT;
    }
}

int hone_jit_read_dump(struct hone_jit *jit, const void *bytes, size_t len)
{
    struct dump dump = {.jit = jit, .at = hone_cursor(bytes, len), .first = jit->count};
    struct hone_cursor *at = &dump.at;
    uint32_t magic = hone_read_u32(at), version = hone_read_u32(at), header = hone_read_u32(at);
    (void)hone_read_u32(at); // machine
    (void)hone_read_u64(at); // padding, pid
    (void)hone_read_u64(at); // when it began
    uint64_t flags = hone_read_u64(at);
    if (at->failed || magic != MAGIC || version != 1 || header < 40)
        return -EBADMSG;
    (void)hone_read_bytes(at, header - 40);
    dump.timed = !(flags & FLAG_ARCH_TIMESTAMP); // else counts of the processor's own clock
    int r = 0;
    while (!r && hone_cursor_left(at))
        r = read_record(&dump);
    if (dump.shifted)
        shift_lines(&dump);
    return r < 0 ? r : 0;
}
