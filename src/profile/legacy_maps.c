// The list of mappings at the end of most files: lines of /proc/PID/maps, shorter ones
//
//     400000-480000 /path/to/binary (@1000) abc123          (offset and build id may be missing)
//
// or with the prefix of a log file before them. "build=/path" on a line of its own makes $build
// stand for the path in later lines. What is neither is passed over. Every program wrote its own
// kind of list and pprof reads nearly everything as one, down to "ab" (0xa to 0xb); what counts
// here is to read the same.
#include "profile/legacy.h"

#include "base/arena.h"
#include "base/array.h"
#include "base/buffer.h"
#include "base/cleanup.h"

#include <errno.h>

enum {
    WORDS_MAX = 1 << 14,      // that stand for something
    EXPANDED_MAX = 1 << 20,   // bytes of a line with words replaced: they could double each time
    NAMED_BYTES_MAX = 1 << 24 // of all words and what they stand for
};

// "$name" and its meaning.
struct word {
    struct hone_str name;
    struct hone_str meaning;
};

struct words {
    struct word *at;
    uint32_t count;
    uint32_t room;
    struct hone_arena text;
};

static void words_done(struct words *words)
{
    free(words->at);
    hone_arena_done(&words->text);
}

// --- one line ------------------------------------------------------------------------------------

struct entry {
    struct hone_str start;
    struct hone_str end;
    struct hone_str permissions;
    struct hone_str file;
    struct hone_str offset;
    struct hone_str build_id;
};

static bool cut_prefixed_hex(struct hone_str *text, struct hone_str *ret)
{
    struct hone_str rest = *text;
    if (hone_legacy_cut_text(&rest, "0x") && hone_legacy_cut_hex(&rest, ret)) {
        *text = rest;
        return true;
    }
    return hone_legacy_cut_hex(text, ret);
}

static bool is_permission(char c)
{
    return c == '-' || c == 'r' || c == 'w' || c == 'x' || c == 'p';
}

// The next thing behind blanks, if the cutter likes it.
static bool cut_next(struct hone_str *text, bool (*cut)(struct hone_str *, struct hone_str *),
                     struct hone_str *ret)
{
    struct hone_str rest = *text;
    if (!hone_legacy_cut_blank(&rest) || !cut(&rest, ret))
        return false;
    *text = rest;
    return true;
}

static bool cut_permissions(struct hone_str *text, struct hone_str *ret)
{
    struct hone_str run = {text->at, 0};
    while (run.len < text->len && is_permission(text->at[run.len]))
        run.len++;
    hone_legacy_cut(text, run.len);
    *ret = run;
    return run.len > 0;
}

static bool cut_device(struct hone_str *text, struct hone_str *ret)
{
    return hone_legacy_cut_hex(text, ret) && hone_legacy_cut_text(text, ":") &&
           hone_legacy_cut_hex(text, ret);
}

static bool cut_at_offset(struct hone_str *text, struct hone_str *ret)
{
    struct hone_str offset;
    if (!hone_legacy_cut_text(text, "(@") || !hone_legacy_cut_hex(text, &offset) ||
        !hone_legacy_cut_text(text, ")"))
        return false;
    *ret = offset;
    return true;
}

// What stands behind the addresses in /proc/PID/maps. The offset may be missing.
static bool cut_process_maps(struct hone_str text, struct entry *entry)
{
    struct hone_str ignored;
    (void)hone_legacy_cut_text(&text, ":");
    (void)cut_next(&text, cut_permissions, &entry->permissions);
    struct hone_str rest = text;
    if (!cut_next(&rest, hone_legacy_cut_hex, &entry->offset) ||
        !cut_next(&rest, cut_device, &ignored) ||
        !cut_next(&rest, hone_legacy_cut_digits, &ignored)) {
        rest = text;
        entry->offset = (struct hone_str){0};
        if (!cut_next(&rest, cut_device, &ignored) ||
            !cut_next(&rest, hone_legacy_cut_digits, &ignored))
            return false;
    }
    (void)cut_next(&rest, hone_legacy_cut_word, &entry->file);
    return true;
}

static void cut_brief_maps(struct hone_str text, struct entry *entry)
{
    (void)hone_legacy_cut_text(&text, ":");
    (void)cut_next(&text, cut_permissions, &entry->permissions);
    (void)cut_next(&text, hone_legacy_cut_word, &entry->file);
    (void)cut_next(&text, cut_at_offset, &entry->offset);
    (void)cut_next(&text, hone_legacy_cut_hex, &entry->build_id);
}

// The two addresses with what may stand between them. The separator may be missing: then the
// second is the last digit of the first, or what follows a "0x" within.
static bool split_range(struct hone_str text, bool apart, struct entry *entry,
                        struct hone_str *rest)
{
    (void)hone_legacy_cut_blank(&text);
    if (!cut_prefixed_hex(&text, &entry->start))
        return false;
    if (!apart) {
        if (entry->start.len < 2)
            return false;
        entry->start.len--;
        text.at--;
        text.len++;
    } else {
        (void)hone_legacy_cut_text(&text, "-");
        (void)hone_legacy_cut_blank(&text);
    }
    *rest = text;
    return cut_prefixed_hex(rest, &entry->end);
}

static bool parse_entry(struct hone_str line, struct entry *ret)
{
    for (int kind = 0; kind < 2; kind++) {
        for (int apart = 1; apart >= 0; apart--) {
            struct entry entry = {0};
            struct hone_str rest;
            if (!split_range(line, apart, &entry, &rest))
                continue;
            if (kind == 0 && !cut_process_maps(rest, &entry))
                continue;
            if (kind == 1)
                cut_brief_maps(rest, &entry);
            *ret = entry;
            return true;
        }
    }
    return false;
}

// Returns 0 when the line was an entry, 1 when it is none, -ENOMEM or -EBADMSG.
static int add_entry(struct hone_legacy *l, struct hone_str line)
{
    struct entry entry;
    struct hone_legacy_mapping mapping = {0};
    if (!parse_entry(line, &entry))
        return 1;
    if (entry.permissions.len && !memchr(entry.permissions.at, 'x', entry.permissions.len))
        return 0; // no code in it
    if (!hone_legacy_hex(entry.start, &mapping.start) ||
        !hone_legacy_hex(entry.end, &mapping.limit) ||
        (entry.offset.len && !hone_legacy_hex(entry.offset, &mapping.offset)))
        return 1;
    if (l->mapping_count == HONE_LEGACY_MAPPINGS_MAX)
        return hone_legacy_bad(l, "more than %d mappings", HONE_LEGACY_MAPPINGS_MAX);
    mapping.file = hone_profile_intern_str(l->profile, entry.file);
    mapping.build_id = hone_profile_intern_str(l->profile, entry.build_id);
    if (!hone_array_reserve(&l->mappings, &l->mapping_room, (uint64_t)l->mapping_count + 1,
                            sizeof *l->mappings))
        return hone_legacy_out_of_memory(l);
    l->mappings[l->mapping_count++] = mapping;
    return 0;
}

// --- what lines are read as ----------------------------------------------------------------------

// Cuts what glog puts before each line, up to "file.cc:123] ".
static struct hone_str without_log_prefix(struct hone_str line)
{
    size_t at = 0;
    while (at < line.len && line.at[at] != '[' && line.at[at] != ']')
        at++;
    size_t digits = at;
    while (digits && line.at[digits - 1] >= '0' && line.at[digits - 1] <= '9')
        digits--;
    if (at + 1 < line.len && line.at[at] == ']' && hone_legacy_blank(line.at[at + 1]) &&
        digits < at && digits > 1 && line.at[digits - 1] == ':')
        hone_legacy_cut(&line, at + 2);
    return line;
}

static int add_word(struct hone_legacy *l, struct words *words, struct hone_str line)
{
    const char *equals = memchr(line.at, '=', line.len);
    if (!equals)
        return 0;
    struct hone_str name = hone_legacy_trim((struct hone_str){line.at, (size_t)(equals - line.at)});
    struct hone_str meaning = line;
    hone_legacy_cut(&meaning, (size_t)(equals - line.at) + 1);
    meaning = hone_legacy_trim(meaning);
    if (words->count == WORDS_MAX || words->text.total_bytes > NAMED_BYTES_MAX)
        return hone_legacy_bad(l, "too many or too long assignments");
    char *copy = hone_arena_alloc(&words->text, name.len + meaning.len + 1);
    if (!copy || !hone_array_reserve(&words->at, &words->room, (uint64_t)words->count + 1,
                                     sizeof *words->at))
        return hone_legacy_out_of_memory(l);
    if (name.len)
        memcpy(copy, name.at, name.len);
    if (meaning.len)
        memcpy(copy + name.len, meaning.at, meaning.len);
    words->at[words->count++] = (struct word){{copy, name.len}, {copy + name.len, meaning.len}};
    return 0;
}

// Replaces words; of two that fit, the one that was there first wins.
static int expand(struct hone_legacy *l, const struct words *words, struct hone_str line,
                  struct hone_buffer *out)
{
    out->len = 0;
    while (line.len) {
        const char *dollar = memchr(line.at, '$', line.len);
        size_t plain = dollar ? (size_t)(dollar - line.at) : line.len;
        hone_buffer_add(out, line.at, plain);
        hone_legacy_cut(&line, plain);
        if (!dollar)
            break;
        hone_legacy_cut(&line, 1);
        uint32_t i = 0;
        while (i < words->count && !hone_str_starts(line, words->at[i].name))
            i++;
        if (i == words->count) {
            hone_buffer_add(out, "$", 1);
            continue;
        }
        hone_buffer_add(out, words->at[i].meaning.at, words->at[i].meaning.len);
        hone_legacy_cut(&line, words->at[i].name.len);
        if (out->len > EXPANDED_MAX)
            return hone_legacy_bad(l, "more than %d bytes after replacement", EXPANDED_MAX);
    }
    return out->failed ? hone_legacy_out_of_memory(l) : 0;
}

int hone_legacy_read_maps(struct hone_legacy *l)
{
    HONE_CLEANUP(words_done) struct words words = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer expanded = {0};
    int r = 0;
    while (r >= 0 && hone_legacy_next_line(&l->lines)) {
        struct hone_str line = without_log_prefix(l->lines.line);
        if (words.count && line.len && memchr(line.at, '$', line.len)) {
            r = expand(l, &words, line, &expanded);
            if (r)
                return r;
            line = (struct hone_str){expanded.at, expanded.len};
        }
        if (!line.len)
            continue;
        r = add_entry(l, line);
        if (r > 0)
            r = add_word(l, &words, line);
    }
    return r < 0 ? r : 0;
}

bool hone_legacy_is_maps_head(struct hone_str line)
{
    return hone_legacy_find(line, "--- Memory map: ---") != SIZE_MAX ||
           hone_legacy_find(line, "MAPPED_LIBRARIES:") != SIZE_MAX;
}

int hone_legacy_read_maps_section(struct hone_legacy *l)
{
    while (!hone_legacy_is_maps_head(l->lines.line) && hone_legacy_next_line(&l->lines))
        continue;
    return hone_legacy_read_maps(l);
}
