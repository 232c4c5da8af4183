// heaptrack's files, as `heaptrack` leaves them (packed by zstd or gzip): strings, places in code,
// a tree of stacks, and then every allocation and every deallocation in turn. Numbers are
// hexadecimal.
//
//     v 10400 3                 version of the program and of the format (1 to 3)
//     s 4 main                  a string; before version 3 without its length
//     i 401136 1 2 3 c          a place: address, module, function, file, line; then those that it
//                               was inlined into
//     t 1 0                     a node of the tree: place, parent
//     a 20 1                    a kind of allocation: bytes, node
//     + 0        - 0            one of that kind is allocated, freed
//
// What was in use at the end leaked, as heaptrack sees it. A second pass over the events finds what
// was in use when most was.
#include "convert/build.h"
#include "convert/lines.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>

enum {
    VERSION_MAX = 3,
    INLINED_MAX = 1 << 10,
};

struct node {
    uint32_t place;
    uint32_t parent; // number of a node; 0 none
};

struct kind {
    uint64_t bytes;
    uint32_t node;
    uint64_t allocated; // events
    uint64_t freed;
    uint64_t temporary; // freed as the next event
    uint64_t peak;      // in use when most was in use
};

struct reader {
    struct hone_profile *profile;
    struct hone_lines lines;
    uint64_t version;
    uint32_t *strings; // of the file, from 1, to the profile's
    uint32_t string_count;
    uint32_t string_room;
    uint32_t *places; // from 1, to locations
    uint32_t place_count;
    uint32_t place_room;
    struct node *nodes; // from 1
    uint32_t node_count;
    uint32_t node_room;
    struct kind *kinds; // from 0
    uint32_t kind_count;
    uint32_t kind_room;
    struct hone_stack stack;
    int64_t in_use; // bytes
    int64_t most;
    uint64_t events;      // so far
    uint64_t most_events; // when most was in use
    uint64_t last;        // kind of the allocation just before; UINT64_MAX none
    uint64_t time_ms;
    bool attached;
};

static void reader_done(struct reader *r)
{
    hone_profile_free(r->profile);
    free(r->strings);
    free(r->places);
    free(r->nodes);
    free(r->kinds);
    hone_stack_done(&r->stack);
}

// The next number of a line and the blank behind it.
static bool take(struct hone_str *line, uint64_t *ret)
{
    if (!hone_str_hex(line, ret))
        return false;
    (void)hone_str_take(line, HONE_STR(" "));
    return true;
}

static int read_version(struct reader *r, struct hone_str line)
{
    uint64_t program;
    if (!take(&line, &program))
        return hone_lines_bad(&r->lines, "expected a version");
    if (!take(&line, &r->version))
        r->version = program == 0x10200 ? 1 : 0;
    if (r->version >= 1 && r->version <= VERSION_MAX)
        return 0;
    return hone_lines_bad(&r->lines, "version %llu of the format, and only 1 to %d are known",
                          (unsigned long long)r->version, VERSION_MAX);
}

static int read_string(struct reader *r, struct hone_str line)
{
    uint64_t len = line.len;
    if (r->version >= 3 && (!take(&line, &len) || len > line.len))
        return hone_lines_bad(&r->lines, "expected a length and a text");
    if (!hone_array_reserve(&r->strings, &r->string_room, (uint64_t)r->string_count + 1,
                            sizeof *r->strings))
        return -ENOMEM;
    r->strings[r->string_count++] =
        hone_profile_intern_str(r->profile, (struct hone_str){line.at, len});
    return 0;
}

// A string's number; 0 is none.
static bool take_string(struct reader *r, struct hone_str *line, uint32_t *ret)
{
    uint64_t number;
    if (!take(line, &number) || number > r->string_count)
        return false;
    *ret = number ? r->strings[number - 1] : 0;
    return true;
}

static int read_place(struct reader *r, struct hone_str line)
{
    struct hone_profile *p = r->profile;
    uint64_t address;
    uint32_t module;
    if (!take(&line, &address) || !take_string(r, &line, &module))
        return hone_lines_bad(&r->lines, "expected an address and a module");
    HONE_CLEANUP(hone_freep) struct hone_profile_line *lines = NULL;
    uint32_t room = 0;
    uint32_t count = 0;
    while (line.len && count < INLINED_MAX) {
        struct hone_profile_function function = {0};
        uint64_t number = 0;
        // A function that only the symbol table knows stands alone.
        if (!take_string(r, &line, &function.name) ||
            (line.len && (!take_string(r, &line, &function.file) || !take(&line, &number))))
            return hone_lines_bad(&r->lines, "expected function, file and line");
        if (!function.name)
            continue;
        if (!hone_array_reserve(&lines, &room, (uint64_t)count + 1, sizeof *lines))
            return -ENOMEM;
        lines[count++] = (struct hone_profile_line){
            .function = hone_profile_add_function(p, &function),
            .number = number < INT32_MAX ? (int64_t)number : 0,
        };
    }
    if (!hone_array_reserve(&r->places, &r->place_room, (uint64_t)r->place_count + 1,
                            sizeof *r->places))
        return -ENOMEM;
    r->places[r->place_count++] = hone_profile_add_location(
        p,
        &(struct hone_profile_location){.mapping = hone_module_add(p, hone_profile_str(p, module)),
                                        .address = address,
                                        .lines = lines,
                                        .line_count = count});
    return 0;
}

static int read_node(struct reader *r, struct hone_str line)
{
    uint64_t place;
    uint64_t parent;
    if (!take(&line, &place) || !take(&line, &parent) || !place || place > r->place_count ||
        parent > r->node_count)
        return hone_lines_bad(&r->lines, "expected a place and a parent that came before");
    if (!hone_array_reserve(&r->nodes, &r->node_room, (uint64_t)r->node_count + 1,
                            sizeof *r->nodes))
        return -ENOMEM;
    r->nodes[r->node_count++] = (struct node){(uint32_t)place, (uint32_t)parent};
    return 0;
}

static int read_kind(struct reader *r, struct hone_str line)
{
    uint64_t bytes;
    uint64_t node;
    if (!take(&line, &bytes) || !take(&line, &node) || node > r->node_count ||
        bytes > (uint64_t)1 << 60)
        return hone_lines_bad(&r->lines, "expected bytes and a node of the tree that came before");
    if (!hone_array_reserve(&r->kinds, &r->kind_room, (uint64_t)r->kind_count + 1,
                            sizeof *r->kinds))
        return -ENOMEM;
    r->kinds[r->kind_count++] = (struct kind){.bytes = bytes, .node = (uint32_t)node};
    return 0;
}

static struct kind *take_kind(struct reader *r, struct hone_str line, uint64_t *ret_number)
{
    if (!take(&line, ret_number) || *ret_number >= r->kind_count) {
        (void)hone_lines_bad(&r->lines, "expected a kind of allocation that came before");
        return NULL;
    }
    return &r->kinds[*ret_number];
}

static int read_event(struct reader *r, struct hone_str line, bool allocated)
{
    uint64_t number;
    struct kind *kind = take_kind(r, line, &number);
    if (!kind)
        return -EBADMSG;
    r->events++;
    int64_t change = allocated ? (int64_t)kind->bytes : -(int64_t)kind->bytes;
    if (__builtin_add_overflow(r->in_use, change, &r->in_use))
        return hone_lines_bad(&r->lines, "more bytes in use than 64 bits can count");
    if (allocated) {
        kind->allocated++;
        r->last = number;
        if (r->in_use > r->most) {
            r->most = r->in_use;
            r->most_events = r->events;
        }
    } else {
        kind->freed++;
        kind->temporary += r->last == number;
        r->last = UINT64_MAX;
    }
    return 0;
}

static int read_line(struct reader *r, struct hone_str line)
{
    if (!line.len)
        return 0;
    char what = line.at[0];
    line = hone_str_skip(line, line.len < 2 ? line.len : 2);
    if (!r->version && what != 'v' && what != '#')
        return hone_lines_bad(&r->lines, "expected the version, a line that begins with v");
    switch (what) {
    case 'v':
        return read_version(r, line);
    case 's':
        return read_string(r, line);
    case 'i':
        return read_place(r, line);
    case 't':
        return read_node(r, line);
    case 'a':
        return read_kind(r, line);
    case '+':
    case '-':
        return read_event(r, line, what == '+');
    case 'c':
        (void)take(&line, &r->time_ms);
        return 0;
    case 'A':
        r->attached = true;
        return 0;
    case 'X':
        hone_command_comment(r->profile, line);
        return 0;
    case 'x':
    case 'm':
        return hone_lines_bad(&r->lines, "a raw file: 'heaptrack --interpret FILE' makes what can "
                                         "be read");
    case '#':
    case 'I': // the machine's memory
    case 'R': // resident memory
    case 'S': // leaks that are not to be shown
        return 0;
    default:
        return hone_lines_bad(&r->lines, "unknown kind of line '%c'", what);
    }
}

// What was in use when most was: all events up to then once more.
static void find_peak(struct reader *r, struct hone_lines lines)
{
    struct hone_str line;
    uint64_t number;
    for (uint64_t event = 0; event < r->most_events && hone_lines_next(&lines, &line);) {
        if (line.len < 3 || (line.at[0] != '+' && line.at[0] != '-'))
            continue;
        bool allocated = line.at[0] == '+';
        struct kind *kind = take_kind(r, hone_str_skip(line, 2), &number);
        event++;
        if (kind)
            kind->peak += allocated ? 1 : UINT64_MAX;
    }
}

static int64_t times(uint64_t count, uint64_t bytes)
{
    int64_t product;
    return __builtin_mul_overflow((int64_t)count, (int64_t)bytes, &product) ? INT64_MAX : product;
}

static int add_samples(struct reader *r)
{
    struct hone_profile *p = r->profile;
    for (uint32_t i = 0; i < r->kind_count && !hone_profile_status(p); i++) {
        const struct kind *kind = &r->kinds[i];
        if (!kind->allocated && !kind->freed)
            continue;
        r->stack.count = 0;
        for (uint32_t node = kind->node; node; node = r->nodes[node - 1].parent)
            if (!hone_stack_push(&r->stack, r->places[r->nodes[node - 1].place - 1]))
                return -ENOMEM;
        uint64_t live = kind->allocated - kind->freed; // may be negative: frees of what came before
        int64_t values[] = {
            (int64_t)kind->allocated, times(kind->allocated, kind->bytes), (int64_t)kind->temporary,
            (int64_t)kind->peak,      times(kind->peak, kind->bytes),      (int64_t)live,
            times(live, kind->bytes),
        };
        uint32_t stack = hone_stack_add(p, &r->stack);
        (void)hone_profile_add_sample(p, stack, values, NULL, 0);
    }
    return 0;
}

static void add_types(struct hone_profile *p)
{
    static const char *const types[][2] = {
        {"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"temporary_objects", "count"},
        {"peak_objects", "count"},  {"peak_space", "bytes"},  {"inuse_objects", "count"},
        {"inuse_space", "bytes"},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        (void)hone_profile_add_type(p, types[i][0], types[i][1]);
    hone_profile_set_period(p, "space", "bytes", 1);
}

int hone_heaptrack_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                        struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {
        .profile = hone_profile_new(),
        .lines = {.at = bytes, .end = (const char *)bytes + len, .name = name, .err = err},
        .last = UINT64_MAX,
    };
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    add_types(r.profile);
    struct hone_lines start = r.lines;
    struct hone_str line;
    int result = 0;
    while (!result && !hone_profile_status(r.profile) && hone_lines_next(&r.lines, &line))
        result = read_line(&r, line);
    if (!result && !r.version && !hone_profile_status(r.profile))
        return hone_lines_bad(&r.lines, "no version");
    if (!result) {
        find_peak(&r, start);
        result = add_samples(&r);
    }
    if (result)
        return result == -ENOMEM ? hone_build_out_of_memory(name, err) : result;
    if (r.attached)
        hone_profile_add_comment(r.profile, "attached: what was allocated before is not known");
    r.profile->duration_ns =
        r.time_ms < INT64_MAX / 1000000 ? (int64_t)r.time_ms * 1000000 : INT64_MAX;
    return hone_build_finish(&r.profile, name, ret, err);
}

unsigned hone_heaptrack_detect(const void *bytes, size_t len)
{
    struct hone_lines lines = {.at = bytes, .end = (const char *)bytes + len};
    struct hone_str line;
    uint64_t number;
    while (lines.number < 16 && hone_lines_next(&lines, &line)) {
        if (line.len && line.at[0] == '#')
            continue;
        if (!hone_str_take(&line, HONE_STR("v ")) || !hone_str_hex(&line, &number))
            return HONE_CONVERT_NO;
        return !line.len || line.at[0] == ' ' ? HONE_CONVERT_LIKELY : HONE_CONVERT_NO;
    }
    return HONE_CONVERT_NO;
}
