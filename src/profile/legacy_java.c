// Heap and contention of Java's agents, whose frames are numbers with names at the end:
//
//     --- heapz 1 ---                            or: --- contentionz 1 ---
//     format = java
//     resolution = bytes
//     7048 1 @ 0x00000003 0x00000004             bytes (delay), how often
//     0x00000003 com.example.Main.run (Main.java:24)
#include "profile/legacy.h"

#include "base/table.h"

enum { HEAP_RATE = 524288 }; // at which the agent samples blocks

static bool is_heap_head(struct hone_str line)
{
    return hone_str_equal(hone_legacy_trim(line), HONE_STR("--- heapz 1 ---"));
}

static bool is_contention_head(struct hone_str line)
{
    return hone_str_equal(hone_legacy_trim(line), HONE_STR("--- contentionz 1 ---"));
}

bool hone_legacy_is_java(struct hone_legacy *l)
{
    return hone_legacy_next_whole_line(&l->lines) &&
           (is_heap_head(l->lines.line) || is_contention_head(l->lines.line));
}

// --- attributes ----------------------------------------------------------------------------------

static bool is_attribute_char(char c)
{
    return c == ' ' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

// The first "name = text" in a line.
static bool find_attribute(struct hone_str line, struct hone_str *name, struct hone_str *text)
{
    for (size_t at = 1; at + 1 < line.len; at++) {
        if (line.at[at] != '=' || !is_attribute_char(line.at[at - 1]) ||
            !is_attribute_char(line.at[at + 1]))
            continue;
        size_t start = at;
        while (start && is_attribute_char(line.at[start - 1]))
            start--;
        size_t end = at + 1;
        while (end < line.len && is_attribute_char(line.at[end]))
            end++;
        *name = hone_legacy_trim((struct hone_str){line.at + start, at - start});
        *text = hone_legacy_trim((struct hone_str){line.at + at + 1, end - at - 1});
        return true;
    }
    return false;
}

static void set_types(struct hone_profile *p, bool heap, struct hone_str unit)
{
    p->type_count = 0; // said twice, the last counts
    (void)hone_profile_add_type(p, heap ? "inuse_objects" : "contentions", "count");
    uint32_t type = hone_profile_add_type(p, heap ? "inuse_space" : "delay", NULL);
    p->types[type].unit = hone_profile_intern_str(p, unit);
}

static int read_attribute(struct hone_legacy *l, bool heap, struct hone_str name,
                          struct hone_str text)
{
    struct hone_profile *p = l->profile;
    int64_t number;
    if (hone_str_equal(name, HONE_STR("format")))
        return hone_str_equal(text, HONE_STR("java")) ? 0 : hone_legacy_foreign(l, "not of Java");
    if (hone_str_equal(name, HONE_STR("resolution"))) {
        set_types(p, heap, text);
        return 0;
    }
    bool period = !heap && hone_str_equal(name, HONE_STR("sampling period"));
    if (!period && (heap || !hone_str_equal(name, HONE_STR("ms since reset"))))
        return hone_legacy_foreign(l, "unknown attribute");
    if (!hone_legacy_number(text, &number))
        return hone_legacy_bad(l, "no number");
    if (period)
        hone_profile_set_period(p, "contentions", "count", number);
    else if (__builtin_mul_overflow(number, INT64_C(1000000), &p->duration_ns))
        return hone_legacy_bad(l, "time is too large");
    return 0;
}

static int read_attributes(struct hone_legacy *l, bool heap)
{
    for (;;) {
        struct hone_legacy_lines before = l->lines;
        struct hone_str name;
        struct hone_str text;
        if (!hone_legacy_next_whole_line(&l->lines))
            return 0;
        struct hone_str line = hone_legacy_trim(l->lines.line);
        if (!line.len)
            continue;
        if (!find_attribute(line, &name, &text)) {
            l->lines = before;
            return 0;
        }
        int r = read_attribute(l, heap, name, text);
        if (r)
            return r;
    }
}

// --- samples -------------------------------------------------------------------------------------

// The first two numbers of the line that stand before " @ ", with blanks between them.
static bool find_numbers(struct hone_str line, struct hone_str number[2],
                         struct hone_str *addresses)
{
    while (line.len) {
        if (!hone_legacy_cut_digits(&line, &number[0])) {
            hone_legacy_cut(&line, 1);
            continue;
        }
        struct hone_str rest = line;
        if (hone_legacy_cut_spaces(&rest) && hone_legacy_cut_digits(&rest, &number[1]) &&
            hone_legacy_cut_spaces(&rest) && hone_legacy_cut_text(&rest, "@") &&
            hone_legacy_cut_spaces(&rest)) {
            *addresses = hone_legacy_cut_addresses(&rest);
            return true;
        }
    }
    return false;
}

static int scale_heap(struct hone_legacy *l, struct hone_legacy_sample *sample)
{
    if (!sample->values[0])
        return hone_legacy_bad(l, "sample of no blocks");
    sample->has_block_bytes = true;
    sample->block_bytes = sample->values[1] / sample->values[0];
    if (!hone_legacy_unsample(&sample->values[0], &sample->values[1], HEAP_RATE))
        return hone_legacy_bad(l, "estimate of more than 63 bits");
    return 0;
}

static int scale_contention(struct hone_legacy *l, struct hone_legacy_sample *sample)
{
    int64_t period = l->profile->period ? l->profile->period : 1;
    if (__builtin_mul_overflow(sample->values[0], period, &sample->values[0]) ||
        __builtin_mul_overflow(sample->values[1], period, &sample->values[1]))
        return hone_legacy_bad(l, "number of more than 63 bits");
    return 0;
}

static int read_sample(struct hone_legacy *l, bool heap, const struct hone_str number[2],
                       struct hone_str addresses)
{
    struct hone_legacy_sample sample = {0};
    if (!hone_legacy_number(number[1], &sample.values[0]) ||
        !hone_legacy_number(number[0], &sample.values[1]))
        return hone_legacy_bad(l, "number of more than 63 bits");
    int r = heap ? scale_heap(l, &sample) : scale_contention(l, &sample);
    if (!r)
        r = hone_legacy_add_frames(l, addresses, HONE_LEGACY_NUMBERS);
    return r ? r : hone_legacy_add_sample(l, &sample);
}

static int read_samples(struct hone_legacy *l, bool heap)
{
    for (;;) {
        struct hone_legacy_lines before = l->lines;
        struct hone_str number[2];
        struct hone_str addresses;
        if (!hone_legacy_next_whole_line(&l->lines))
            return 0;
        struct hone_str line = hone_legacy_trim(l->lines.line);
        if (!line.len)
            continue;
        if (!find_numbers(line, number, &addresses)) {
            l->lines = before;
            return 0;
        }
        int r = read_sample(l, heap, number, addresses);
        if (r)
            return r;
    }
}

// --- names ---------------------------------------------------------------------------------------

struct method {
    struct hone_str name;
    struct hone_str file;
    int64_t line;
};

// The last '(' behind a blank that has more than so many characters before end; the name ends
// before that blank.
static bool find_bracket(struct hone_str text, size_t end, size_t inside, size_t *ret)
{
    for (size_t at = end; at-- > 1;) {
        if (text.at[at] == '(' && hone_legacy_blank(text.at[at - 1]) && end - at - 1 >= inside) {
            *ret = at;
            return true;
        }
    }
    return false;
}

// "name (file:12)"
static bool is_source(struct hone_str text, struct method *ret)
{
    if (!hone_legacy_ends(text, ")"))
        return false;
    size_t end = text.len - 1;
    size_t digits = end;
    while (digits && text.at[digits - 1] >= '0' && text.at[digits - 1] <= '9')
        digits--;
    bool negative = digits && text.at[digits - 1] == '-';
    size_t colon = digits - negative;
    size_t bracket;
    if (digits == end || !colon || text.at[colon - 1] != ':' ||
        !find_bracket(text, colon - 1, 1, &bracket))
        return false;
    *ret = (struct method){{text.at, bracket - 1}, {text.at + bracket + 1, colon - bracket - 2}, 0};
    if (negative ||
        !hone_legacy_decimal((struct hone_str){text.at + digits, end - digits}, &ret->line))
        ret->line = 0;
    return true;
}

// The last part of a path, as Go's filepath.Base() has it.
static struct hone_str base_of(struct hone_str path)
{
    if (!path.len)
        return HONE_STR(".");
    while (path.len && path.at[path.len - 1] == '/')
        path.len--;
    if (!path.len)
        return HONE_STR("/");
    const char *slash = memrchr(path.at, '/', path.len);
    if (slash)
        hone_legacy_cut(&path, (size_t)(slash - path.at) + 1);
    return path;
}

// "name (/path/to/library.so)"
static bool is_library(struct hone_str text, struct method *ret)
{
    size_t bracket;
    if (!hone_legacy_ends(text, ")") || !find_bracket(text, text.len - 1, 0, &bracket))
        return false;
    struct hone_str path = {text.at + bracket + 1, text.len - bracket - 2};
    *ret = (struct method){{text.at, bracket - 1}, base_of(path), 0};
    return true;
}

static struct method parse_method(struct hone_str text)
{
    struct method method;
    if (is_source(text, &method) || is_library(text, &method))
        return method;
    if (hone_legacy_find(text, "generated stub/JIT") != SIZE_MAX)
        return (struct method){.name = HONE_STR("STUB")};
    return (struct method){.name = text}; // what the agent calls "GC" or "VM"
}

// The function of this name; the file of the first one counts.
static uint32_t function_of(struct hone_legacy *l, struct hone_table *names,
                            const struct method *method)
{
    struct hone_profile *p = l->profile;
    uint32_t name = hone_profile_intern_str(p, method->name);
    uint64_t hash = hone_table_hash(&name, sizeof name, hone_table_seed());
    struct hone_table_probe probe = hone_table_probe(names, hash);
    uint32_t at;
    while ((at = hone_table_next(names, &probe)) != HONE_TABLE_END)
        if (p->functions.name[at] == name)
            return at;
    uint32_t function = hone_profile_add_function(
        p, &(struct hone_profile_function){.name = name,
                                           .system_name = name,
                                           .file = hone_profile_intern_str(p, method->file)});
    return function && hone_table_add(names, hash, function) ? 0 : function;
}

static int read_name(struct hone_legacy *l, struct hone_table *names, struct hone_str line)
{
    struct hone_str digits;
    uint64_t number;
    if (!hone_legacy_cut_text(&line, "0x") || !hone_legacy_cut_hex(&line, &digits) ||
        !hone_legacy_cut_blank(&line))
        return 0;
    if (!hone_legacy_hex(digits, &number))
        return hone_legacy_bad(l, "address of more than 64 bits");
    uint32_t place = hone_legacy_find_place(l, number);
    if (place == UINT32_MAX)
        return 0; // in no sample
    struct method method = parse_method(line);
    uint32_t function = function_of(l, names, &method);
    if (!function)
        return hone_legacy_out_of_memory(l);
    l->places[place].function = function;
    l->places[place].line = method.line;
    return 0;
}

int hone_legacy_read_java_names(struct hone_legacy *l)
{
    struct hone_table names = {0};
    int r = 0;
    while (!r && hone_legacy_next_line(&l->lines))
        r = read_name(l, &names, hone_legacy_trim(l->lines.line));
    hone_table_done(&names);
    // Numbers mean nothing elsewhere, and without them profiles of several runs merge. Those that
    // got no name are in no file either.
    for (uint32_t i = 0; !r && i < l->place_count; i++) {
        struct hone_legacy_place *place = &l->places[i];
        if (!place->function && place->address) {
            if (!l->mapping_count)
                r = hone_legacy_add_unknown_mapping(l);
            place->mapping = l->mapping_count;
        }
        place->address = 0;
    }
    return r;
}

// --- the whole -----------------------------------------------------------------------------------

int hone_legacy_read_java(struct hone_legacy *l)
{
    if (!hone_legacy_next_whole_line(&l->lines))
        return HONE_LEGACY_FOREIGN;
    bool heap = is_heap_head(l->lines.line);
    if (!heap && !is_contention_head(l->lines.line))
        return HONE_LEGACY_FOREIGN;
    int r = read_attributes(l, heap);
    if (!r)
        r = read_samples(l, heap);
    return r ? r : hone_legacy_read_java_names(l);
}
