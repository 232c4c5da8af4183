// Callgrind's files, in: https://valgrind.org/docs/manual/cl-format.html
//
//     events: Ir
//     fl=(1) sorter.c          the file and the function of the costs that follow
//     fn=(1) main
//     16 400                   line 16 cost 400 instructions itself
//     cfn=(2) sort             what is called
//     calls=1 20               once, a function that begins at line 20
//     +1 900                   from line 17, and that cost 900 with all it called
//
// Names have numbers, and a number alone stands for its name; positions may be relative to the
// last one.
#include "convert/callgrind_parts.h"
#include "convert/lines.h"
#include "convert/readers.h"

#include "base/arena.h"
#include "base/cleanup.h"

#include <errno.h>

enum {
    POSITIONS_MAX = 4,
    EVENTS_MAX = HONE_PROFILE_TYPES_MAX,
    LINES_LOOKED_AT = 64,
};

// The names that have numbers: objects, files and functions have numbers of their own.
struct names {
    struct hone_table table;
    struct numbered {
        uint64_t number;
        struct hone_str text;
        uint32_t value; // of functions: its place
    } * at;
    uint32_t count;
    uint32_t room;
};

struct reader {
    struct hone_callgrind callgrind;
    struct hone_lines lines;
    struct names objects;
    struct names files;
    struct names functions;
    struct hone_name_cache plain; // functions without a number: object, file and name as one text
    struct hone_arena texts;
    struct hone_table cost_table; // of costs, by location and function
    struct hone_table call_table;

    unsigned position_count;
    unsigned line_position; // which of them is the line; position_count when none is
    unsigned instr_position;
    uint64_t position[POSITIONS_MAX];

    struct hone_str object;
    struct hone_str file;      // of the function
    struct hone_str line_file; // where its code came from: another one for inlined code
    uint32_t function;
    struct hone_str called_object; // empty at: not said
    struct hone_str called_file;
    uint32_t called;
    bool after_calls;
};

static void names_done(struct names *names)
{
    hone_table_done(&names->table);
    free(names->at);
}

static void reader_done(struct reader *r)
{
    hone_profile_free(r->callgrind.profile);
    free(r->callgrind.functions);
    free(r->callgrind.costs);
    free(r->callgrind.cost_values);
    free(r->callgrind.calls);
    free(r->callgrind.call_values);
    names_done(&r->objects);
    names_done(&r->files);
    names_done(&r->functions);
    hone_name_cache_done(&r->plain);
    hone_arena_done(&r->texts);
    hone_table_done(&r->cost_table);
    hone_table_done(&r->call_table);
}

// --- names ---------------------------------------------------------------------------------------

static struct numbered *find_number(struct names *names, uint64_t number)
{
    uint64_t hash = hone_hash_words(&number, 1, hone_table_seed());
    struct hone_table_probe probe = hone_table_probe(&names->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&names->table, &probe)) != HONE_TABLE_END)
        if (names->at[at].number == number)
            return &names->at[at];
    if (!hone_array_reserve(&names->at, &names->room, (uint64_t)names->count + 1,
                            sizeof *names->at) ||
        hone_table_add(&names->table, hash, names->count))
        return NULL;
    struct numbered *entry = &names->at[names->count++];
    *entry = (struct numbered){.number = number};
    return entry;
}

// "(12) name", "(12)" or "name". *ret_entry is NULL where there is no number.
static int take_name(struct reader *r, struct names *names, struct hone_str text,
                     struct hone_str *ret, struct numbered **ret_entry)
{
    struct hone_str rest = text;
    uint64_t number;
    *ret_entry = NULL;
    *ret = text;
    if (!hone_str_take(&rest, HONE_STR("(")) || !hone_str_decimal(&rest, &number) ||
        !hone_str_take(&rest, HONE_STR(")")))
        return 0;
    struct numbered *entry = find_number(names, number);
    if (!entry)
        return -ENOMEM;
    rest = hone_str_trim(rest);
    if (rest.len)
        entry->text = rest;
    else if (!entry->text.at)
        return hone_lines_bad(&r->lines, "(%llu) has no name yet", (unsigned long long)number);
    *ret = entry->text;
    *ret_entry = entry;
    return 0;
}

// An object or a file; "???" is unknown.
static int take_place(struct reader *r, struct names *names, struct hone_str text,
                      struct hone_str *ret)
{
    struct numbered *entry;
    int result = take_name(r, names, text, ret, &entry);
    if (!result && hone_str_equal(*ret, HONE_STR("???")))
        *ret = HONE_STR("");
    return result;
}

static int add_function(struct reader *r, const struct hone_callgrind_function *function,
                        uint32_t *ret)
{
    struct hone_callgrind *c = &r->callgrind;
    if (!hone_array_reserve(&c->functions, &c->function_room, (uint64_t)c->function_count + 1,
                            sizeof *c->functions))
        return -ENOMEM;
    c->functions[c->function_count] = *function;
    *ret = c->function_count++;
    return 0;
}

// The function of an fn= or cfn= line in the given object and file.
static int take_function(struct reader *r, struct hone_str text, struct hone_str object,
                         struct hone_str file, bool own, uint32_t *ret)
{
    struct hone_callgrind *c = &r->callgrind;
    struct hone_callgrind_function function = {
        .file = file, .object = hone_module_add(c->profile, object), .placed = own};
    struct numbered *entry;
    int result = take_name(r, &r->functions, text, &function.name, &entry);
    if (result)
        return result;
    uint32_t *known = entry ? &entry->value : NULL;
    if (!known) {
        const char *key =
            hone_arena_format(&r->texts, "%.*s\n%.*s\n%.*s", (int)object.len, object.at,
                              (int)file.len, file.at, (int)function.name.len, function.name.at);
        known = key ? hone_name_cache_find(&r->plain, hone_str_of(key)) : NULL;
        if (!known)
            return -ENOMEM;
    }
    if (!*known) {
        result = add_function(r, &function, known);
    } else if (own && !c->functions[*known].placed) {
        c->functions[*known] = function;
    }
    *ret = *known;
    return result;
}

// --- positions and costs -------------------------------------------------------------------------

// Reads positions relative to those at hand; *ret has all of them.
static bool take_positions(struct reader *r, struct hone_str *line, uint64_t ret[POSITIONS_MAX])
{
    for (unsigned i = 0; i < r->position_count; i++) {
        struct hone_str word = hone_str_word(line);
        uint64_t number = 0;
        if (!word.len)
            return false;
        char sign = word.at[0];
        if (sign == '+' || sign == '-' || sign == '*')
            word = hone_str_skip(word, 1);
        bool hex = hone_str_starts(word, HONE_STR("0x"));
        if (sign != '*' && !(hex ? hone_str_hex(&word, &number) : hone_str_decimal(&word, &number)))
            return false;
        if (word.len)
            return false;
        ret[i] = sign == '+' || sign == '*' ? r->position[i] + number
                 : sign == '-'              ? r->position[i] - number
                                            : number;
    }
    return true;
}

// Costs that are left out at the end of a line are 0.
static bool take_costs(const struct reader *r, struct hone_str line, int64_t *ret)
{
    for (uint32_t i = 0; i < r->callgrind.event_count; i++) {
        struct hone_str word = hone_str_word(&line);
        uint64_t value = 0;
        bool hex = hone_str_starts(word, HONE_STR("0x"));
        if (word.len && (!(hex ? hone_str_hex(&word, &value) : hone_str_decimal(&word, &value)) ||
                         word.len || value > (uint64_t)1 << 60))
            return false;
        ret[i] = (int64_t)value;
    }
    return !hone_str_trim(line).len;
}

// The location of the position at hand.
static uint32_t location_at(struct reader *r)
{
    struct hone_profile *p = r->callgrind.profile;
    const struct hone_callgrind_function *function = &r->callgrind.functions[r->function];
    bool has_line = r->line_position < r->position_count;
    uint64_t number = has_line ? r->position[r->line_position] : 0;
    struct hone_profile_line line = {
        .function = hone_profile_add_function(
            p, &(struct hone_profile_function){.name = hone_profile_intern_str(p, function->name),
                                               .file = hone_profile_intern_str(p, r->line_file)}),
        .number = number < INT32_MAX ? (int64_t)number : 0,
    };
    bool has_address = !has_line && r->instr_position < r->position_count;
    return hone_profile_add_location(
        p,
        &(struct hone_profile_location){.mapping = function->object,
                                        .address = has_address ? r->position[r->instr_position] : 0,
                                        .lines = &line,
                                        .line_count = 1});
}

static void add_values(int64_t *to, const int64_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (__builtin_add_overflow(to[i], values[i], &to[i]))
            to[i] = INT64_MAX;
}

// Room for the values of one more.
static bool values_room(int64_t **at, uint64_t *room, uint64_t count, uint32_t events)
{
    uint64_t need = (count + 1) * events;
    if (need <= *room)
        return true;
    uint64_t larger = *room ? *room * 2 : 1024;
    while (larger < need)
        larger *= 2;
    int64_t *memory = reallocarray(*at, larger, sizeof **at);
    if (!memory)
        return false;
    memset(memory + *room, 0, (larger - *room) * sizeof **at);
    *at = memory;
    *room = larger;
    return true;
}

static uint64_t hash_of(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t words[] = {(uint64_t)a << 32 | b, c};
    return hone_hash_words(words, 2, 0); // numbers of ours, not a stranger's text
}

static bool add_cost(struct reader *r, const int64_t *values)
{
    struct hone_callgrind *c = &r->callgrind;
    struct hone_callgrind_cost cost = {r->function, location_at(r)};
    uint64_t hash = hash_of(cost.function, cost.location, 0);
    struct hone_table_probe probe = hone_table_probe(&r->cost_table, hash);
    uint32_t at;
    while ((at = hone_table_next(&r->cost_table, &probe)) != HONE_TABLE_END)
        if (c->costs[at].function == cost.function && c->costs[at].location == cost.location) {
            add_values(c->cost_values + (size_t)at * c->event_count, values, c->event_count);
            return true;
        }
    at = c->cost_count;
    if (!hone_array_reserve(&c->costs, &c->cost_room, (uint64_t)at + 1, sizeof *c->costs) ||
        !values_room(&c->cost_values, &c->cost_value_room, at, c->event_count) ||
        hone_table_add(&r->cost_table, hash, at))
        return false;
    c->costs[at] = cost;
    add_values(c->cost_values + (size_t)at * c->event_count, values, c->event_count);
    c->cost_count++;
    return true;
}

static bool add_call(struct reader *r, const int64_t *values)
{
    struct hone_callgrind *c = &r->callgrind;
    struct hone_callgrind_call call = {r->function, location_at(r), r->called};
    uint64_t hash = hash_of(call.caller, call.location, call.callee);
    struct hone_table_probe probe = hone_table_probe(&r->call_table, hash);
    uint32_t at;
    while ((at = hone_table_next(&r->call_table, &probe)) != HONE_TABLE_END)
        if (memcmp(&c->calls[at], &call, sizeof call) == 0) {
            add_values(c->call_values + (size_t)at * c->event_count, values, c->event_count);
            return true;
        }
    at = c->call_count;
    if (!hone_array_reserve(&c->calls, &c->call_room, (uint64_t)at + 1, sizeof *c->calls) ||
        !values_room(&c->call_values, &c->call_value_room, at, c->event_count) ||
        hone_table_add(&r->call_table, hash, at))
        return false;
    c->calls[at] = call;
    add_values(c->call_values + (size_t)at * c->event_count, values, c->event_count);
    c->call_count++;
    return true;
}

// --- lines ---------------------------------------------------------------------------------------

static int read_events(struct reader *r, struct hone_str line)
{
    struct hone_callgrind *c = &r->callgrind;
    uint32_t count = 0;
    for (struct hone_str word; (word = hone_str_word(&line)).len; count++) {
        if (count == EVENTS_MAX)
            return hone_lines_bad(&r->lines, "more than %d events", EVENTS_MAX);
        // "cpu(nanoseconds)", as pprof writes it.
        size_t open = hone_str_find(word, '(');
        bool has_unit = open && open + 2 < word.len && word.at[word.len - 1] == ')';
        struct hone_str unit = has_unit ? (struct hone_str){word.at + open + 1, word.len - open - 2}
                                        : HONE_STR("count");
        struct hone_profile *p = c->profile;
        uint32_t type =
            hone_profile_intern_str(p, has_unit ? (struct hone_str){word.at, open} : word);
        uint32_t unit_string = hone_profile_intern_str(p, unit);
        if (count < c->event_count) { // another part
            if (p->types[count].type != type || p->types[count].unit != unit_string)
                return hone_lines_bad(&r->lines, "other events than in the part before");
            continue;
        }
        if (c->cost_count || c->call_count)
            return hone_lines_bad(&r->lines, "more events than in the part before");
        (void)hone_profile_add_type(p, hone_profile_text(p, type),
                                    hone_profile_text(p, unit_string));
        if (!count)
            hone_profile_set_default_type(p, hone_profile_text(p, type));
        c->event_count = count + 1;
        if (hone_profile_status(p))
            return 0;
    }
    return count ? 0 : hone_lines_bad(&r->lines, "no events");
}

static int read_position_names(struct reader *r, struct hone_str line)
{
    r->position_count = 0;
    r->line_position = r->instr_position = POSITIONS_MAX;
    for (struct hone_str word; (word = hone_str_word(&line)).len;) {
        if (r->position_count == POSITIONS_MAX)
            return hone_lines_bad(&r->lines, "more than %d positions", POSITIONS_MAX);
        if (hone_str_equal(word, HONE_STR("line")))
            r->line_position = r->position_count;
        else if (hone_str_equal(word, HONE_STR("instr")))
            r->instr_position = r->position_count;
        r->position_count++;
    }
    return r->position_count ? 0 : hone_lines_bad(&r->lines, "no positions");
}

static int read_cost(struct reader *r, struct hone_str line)
{
    int64_t values[EVENTS_MAX];
    uint64_t position[POSITIONS_MAX];
    if (!r->callgrind.event_count)
        return hone_lines_bad(&r->lines, "costs before 'events:'");
    if (!take_positions(r, &line, position) || !take_costs(r, line, values))
        return hone_lines_bad(&r->lines, "expected a position and costs");
    if (!r->function)
        return hone_lines_bad(&r->lines, "costs before the first 'fn='");
    memcpy(r->position, position, sizeof position);
    bool added = r->after_calls ? add_call(r, values) : add_cost(r, values);
    r->after_calls = false;
    return added ? 0 : -ENOMEM;
}

// "calls=COUNT POSITIONS": where the callee begins, which nobody asks for. pprof's model has no
// place for the count.
static int read_calls(struct reader *r)
{
    if (!r->called || !r->function)
        return hone_lines_bad(&r->lines, "'calls=' without 'cfn='");
    r->after_calls = true;
    return 0;
}

static int read_specification(struct reader *r, struct hone_str key, struct hone_str text)
{
    int result;
    struct hone_str place;
    uint32_t function;
    if (hone_str_equal(key, HONE_STR("ob")))
        return take_place(r, &r->objects, text, &r->object);
    if (hone_str_equal(key, HONE_STR("fl"))) {
        result = take_place(r, &r->files, text, &r->file);
        r->line_file = r->file;
        return result;
    }
    if (hone_str_equal(key, HONE_STR("fi")) || hone_str_equal(key, HONE_STR("fe")))
        return take_place(r, &r->files, text, &r->line_file);
    if (hone_str_equal(key, HONE_STR("fn"))) {
        r->line_file = r->file;
        return take_function(r, text, r->object, r->file, true, &r->function);
    }
    if (hone_str_equal(key, HONE_STR("cob")))
        return take_place(r, &r->objects, text, &r->called_object);
    if (hone_str_equal(key, HONE_STR("cfl")) || hone_str_equal(key, HONE_STR("cfi")))
        return take_place(r, &r->files, text, &r->called_file);
    if (hone_str_equal(key, HONE_STR("cfn"))) {
        result = take_function(r, text, r->called_object.at ? r->called_object : r->object,
                               r->called_file.at ? r->called_file : r->file, false, &r->called);
        r->called_object = r->called_file = (struct hone_str){0};
        return result;
    }
    if (hone_str_equal(key, HONE_STR("calls")))
        return read_calls(r);
    // Jumps: their line and the one with its position cost nothing, but they may give names.
    if (hone_str_equal(key, HONE_STR("jfi")))
        return take_place(r, &r->files, text, &place);
    if (hone_str_equal(key, HONE_STR("jfn")))
        return take_function(r, text, r->object, r->file, false, &function);
    return 0;
}

static int read_header(struct reader *r, struct hone_str key, struct hone_str text)
{
    struct hone_profile *p = r->callgrind.profile;
    if (hone_str_equal(key, HONE_STR("events")))
        return read_events(r, text);
    if (hone_str_equal(key, HONE_STR("positions")))
        return read_position_names(r, text);
    if (hone_str_equal(key, HONE_STR("cmd")))
        hone_command_comment(p, text);
    return 0;
}

static int read_line(struct reader *r, struct hone_str line)
{
    line = hone_str_trim(line);
    if (!line.len || line.at[0] == '#')
        return 0;
    if (strchr("0123456789+-*", line.at[0]) && line.at[0])
        return read_cost(r, line);
    size_t equal = hone_str_find(line, '=');
    size_t colon = hone_str_find(line, ':');
    if (equal < colon)
        return read_specification(r, (struct hone_str){line.at, equal},
                                  hone_str_trim(hone_str_skip(line, equal + 1)));
    if (colon < line.len)
        return read_header(r, (struct hone_str){line.at, colon},
                           hone_str_trim(hone_str_skip(line, colon + 1)));
    return hone_lines_bad(&r->lines, "expected costs, 'name=' or 'name:'");
}

int hone_callgrind_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                        struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {
        .callgrind.profile = hone_profile_new(),
        .lines = {.at = bytes, .end = (const char *)bytes + len, .name = name, .err = err},
        .position_count = 1,
        .instr_position = POSITIONS_MAX,
        .object = HONE_STR(""),
        .file = HONE_STR(""),
    };
    if (!r.callgrind.profile)
        return hone_build_out_of_memory(name, err);
    uint32_t none;
    int result = add_function(&r, &(struct hone_callgrind_function){0}, &none);
    struct hone_str line;
    while (!result && !hone_profile_status(r.callgrind.profile) && hone_lines_next(&r.lines, &line))
        result = read_line(&r, line);
    if (!result && !hone_profile_status(r.callgrind.profile)) {
        if (!r.callgrind.event_count)
            return hone_lines_bad(&r.lines, "it ends without 'events:'");
        result = hone_callgrind_add_stacks(&r.callgrind);
    }
    if (result)
        return result == -ENOMEM ? hone_build_out_of_memory(name, err) : result;
    return hone_build_finish(&r.callgrind.profile, name, ret, err);
}

unsigned hone_callgrind_detect(const void *bytes, size_t len)
{
    struct hone_lines lines = {.at = bytes, .end = (const char *)bytes + len};
    struct hone_str line;
    if (!hone_bytes_are_text(bytes, len))
        return HONE_CONVERT_NO;
    bool events = false;
    while (lines.number < LINES_LOOKED_AT && hone_lines_next(&lines, &line)) {
        if (hone_str_equal(line, HONE_STR("# callgrind format")))
            return HONE_CONVERT_CERTAIN;
        events |= hone_str_starts(line, HONE_STR("events:"));
        if (events &&
            (hone_str_starts(line, HONE_STR("fn=")) || hone_str_starts(line, HONE_STR("fl=")) ||
             hone_str_starts(line, HONE_STR("ob="))))
            return HONE_CONVERT_LIKELY;
    }
    return HONE_CONVERT_NO;
}
