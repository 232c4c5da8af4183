// What `perf script` prints: a line for each sample and below it the stack, leaf first.
//
//     sorter  4711/4712 [003] 81.255316:     250000 cycles:u:
//             55d0c1e4 compare (inlined)
//             55d0c1e4 sort+0x1f (/usr/bin/sorter)
//               sorter.c:12
//             7f1c9d1a __libc_start_call_main+0x7a (/usr/lib/libc.so.6)
//
// Which fields there are is the user's choice (-F), so each is known by its shape. Samples without
// a stack have the address at the end of their line.
#include "convert/build.h"
#include "convert/lines.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>

enum {
    WORDS_MAX = 64,        // of a sample's line
    LINES_LOOKED_AT = 400, // by detection
    IP_COLUMNS = 16,       // perf pads addresses to as many
    INLINED_MAX = 1 << 10, // functions at one address
    EVENTS_MAX = HONE_PROFILE_TYPES_MAX - 1,
};

// The line of a sample.
struct header {
    struct hone_str comm;
    struct hone_str event; // without its modifiers
    struct hone_str rest;  // behind the event
    uint64_t pid;          // 0 when the thread stands alone
    uint64_t tid;
    uint64_t period;
    uint64_t time_ns;
    bool has_tid;
    bool has_period;
    bool has_time;
    bool is_record; // of something else than a sample
};

// A line of a stack.
struct frame {
    struct hone_str text; // all of it
    struct hone_str name; // empty: unknown
    struct hone_str dso;
    struct hone_str file;
    uint64_t address;
    int64_t line;
    bool inlined;
};

struct event {
    struct hone_str name;
    uint32_t type; // of the profile
};

struct reader {
    struct hone_profile *profile;
    struct hone_lines lines;
    struct event events[EVENTS_MAX];
    uint32_t event_count;
    bool has_periods;
    struct hone_name_cache places; // frames as text, to locations
    struct hone_stack stack;
    struct frame *frames; // of the sample at hand
    uint32_t frame_room;
    uint32_t frame_count;
    struct header header;
    bool in_sample;
    uint64_t first_ns;
    uint64_t last_ns;
};

static void reader_done(struct reader *r)
{
    hone_profile_free(r->profile);
    hone_name_cache_done(&r->places);
    hone_stack_done(&r->stack);
    free(r->frames);
}

// --- lines of samples ----------------------------------------------------------------------------

static bool is_cpu(struct hone_str word)
{
    uint64_t cpu;
    return word.len > 2 && word.at[0] == '[' && word.at[word.len - 1] == ']' &&
           (word = (struct hone_str){word.at + 1, word.len - 2}, hone_str_decimal(&word, &cpu)) &&
           !word.len;
}

// "81.255316:" with as many digits as there are.
static bool is_time(struct hone_str word, uint64_t *ret_ns)
{
    uint64_t seconds;
    if (!hone_str_decimal(&word, &seconds) || !hone_str_take(&word, HONE_STR(".")))
        return false;
    uint64_t ns = 0;
    uint64_t unit = 1000000000;
    for (; word.len && word.at[0] >= '0' && word.at[0] <= '9'; word = hone_str_skip(word, 1)) {
        unit /= 10;
        ns += unit * (uint64_t)(word.at[0] - '0');
    }
    if (!hone_str_equal(word, HONE_STR(":")) || seconds > UINT64_MAX / 1000000000 - 1)
        return false;
    *ret_ns = seconds * 1000000000 + ns;
    return true;
}

// "4711" or "4711/4712".
static bool is_thread(struct hone_str word, uint64_t *ret_pid, uint64_t *ret_tid)
{
    uint64_t first;
    if (!hone_str_decimal(&word, &first))
        return false;
    *ret_pid = 0;
    *ret_tid = first;
    if (!word.len)
        return true;
    *ret_pid = first;
    return hone_str_take(&word, HONE_STR("/")) && hone_str_decimal(&word, ret_tid) && !word.len;
}

static bool is_number(struct hone_str word, uint64_t *ret)
{
    return hone_str_decimal(&word, ret) && !word.len;
}

// "cycles:u:" is cycles; "sched:sched_switch:" has no modifier.
static struct hone_str event_name(struct hone_str word)
{
    word.len--; // the colon
    size_t colon = word.len;
    while (colon && word.at[colon - 1] != ':')
        colon--;
    if (colon <= 1)
        return word;
    for (size_t i = colon; i < word.len; i++)
        if (!strchr("ukhGHpPSDIWeb", word.at[i]) || !word.at[i])
            return word;
    return (struct hone_str){word.at, colon - 1};
}

// Which of the words is the thread: the one before the CPU or the time, or else the first that
// looks like one. Returns count when there is none; *ret_anchored tells whether CPU or time were
// there.
static unsigned find_thread(const struct hone_str *words, unsigned count, bool *ret_anchored)
{
    uint64_t number;
    uint64_t pid;
    *ret_anchored = false;
    for (unsigned i = 1; i < count; i++)
        if (is_cpu(words[i]) || is_time(words[i], &number)) {
            *ret_anchored = true;
            return is_thread(words[i - 1], &pid, &number) ? i - 1 : count;
        }
    for (unsigned i = 1; i < count; i++)
        if (is_thread(words[i], &pid, &number))
            return i;
    return count;
}

static unsigned split(struct hone_str line, struct hone_str words[WORDS_MAX])
{
    unsigned count = 0;
    while (count < WORDS_MAX && (words[count] = hone_str_word(&line)).len)
        count++;
    return count;
}

// What stands behind the thread.
static void parse_fields(const struct hone_str *words, unsigned at, unsigned count,
                         struct hone_str line, struct header *header)
{
    uint64_t number;
    for (; at < count; at++) {
        struct hone_str word = words[at];
        const char *behind = word.at + word.len;
        header->rest = (struct hone_str){behind, (size_t)(line.at + line.len - behind)};
        if (is_time(word, &number)) {
            header->has_time = true;
            header->time_ns = number;
        } else if (hone_str_starts(word, HONE_STR("PERF_RECORD_"))) {
            header->is_record = true;
            return;
        } else if (is_number(word, &number) && at + 1 < count &&
                   words[at + 1].at[words[at + 1].len - 1] == ':') {
            header->has_period = true;
            header->period = number;
        } else if (word.len > 1 && word.at[word.len - 1] == ':') {
            header->event = event_name(word);
            return;
        } else if (!is_cpu(word) && header->has_time) {
            header->rest = (struct hone_str){word.at, (size_t)(line.at + line.len - word.at)};
            return; // no event printed
        }
    }
}

static bool parse_header(struct hone_str line, struct header *ret)
{
    struct hone_str words[WORDS_MAX];
    unsigned count = split(line, words);
    bool anchored;
    struct header header = {0};
    unsigned thread = find_thread(words, count, &anchored);
    unsigned next = thread + 1;
    if (thread < count) {
        header.has_tid = is_thread(words[thread], &header.pid, &header.tid);
    } else { // no thread printed: the name runs to the CPU, the time or the event
        for (thread = 1; thread < count; thread++)
            if (is_cpu(words[thread]) || is_time(words[thread], &header.time_ns) ||
                words[thread].at[words[thread].len - 1] == ':')
                break;
        next = thread;
    }
    if (thread >= count)
        return false;
    if (thread) {
        struct hone_str last = words[thread - 1];
        header.comm = (struct hone_str){words[0].at, (size_t)(last.at + last.len - words[0].at)};
    }
    parse_fields(words, next, count, line, &header);
    if (!header.event.len && !anchored)
        return false;
    *ret = header;
    return true;
}

// --- lines of stacks -----------------------------------------------------------------------------

// Cuts " (…)" off the end, in which parentheses may stand. False when there is none.
static bool cut_parentheses(struct hone_str *text, struct hone_str *ret)
{
    if (!text->len || text->at[text->len - 1] != ')')
        return false;
    size_t open = text->len;
    int depth = 0;
    do {
        open--;
        depth += text->at[open] == ')' ? 1 : text->at[open] == '(' ? -1 : 0;
    } while (open && depth);
    if (depth || (open && !hone_is_blank(text->at[open - 1])))
        return false;
    *ret = (struct hone_str){text->at + open + 1, text->len - open - 2};
    *text = hone_str_trim((struct hone_str){text->at, open});
    return true;
}

static struct hone_str without_offset(struct hone_str name)
{
    size_t at = name.len;
    while (at && hone_hex_digit(name.at[at - 1]) >= 0)
        at--;
    if (at < name.len && at > 3 && memcmp(name.at + at - 3, "+0x", 3) == 0)
        name.len = at - 3;
    return name;
}

// The address, if there is one: a name such as "add" would also do, but perf pads addresses.
static bool take_address(struct hone_str line, struct hone_str *text, uint64_t *ret)
{
    struct hone_str rest = *text;
    if (!hone_str_hex(&rest, ret) || (rest.len && !hone_is_blank(rest.at[0])))
        return false;
    size_t column = (size_t)(rest.at - line.at);
    struct hone_str next = hone_str_trim(rest);
    if (column < IP_COLUMNS && (!next.len || next.at[0] == '(') && (size_t)(rest.at - text->at) < 4)
        return false;
    *text = next;
    return true;
}

static bool parse_frame(struct hone_str line, struct frame *ret)
{
    struct hone_str text = hone_str_trim(line);
    struct frame frame = {.text = text};
    bool has_address = take_address(line, &text, &frame.address);
    bool has_dso = cut_parentheses(&text, &frame.dso);
    if (!has_address && !has_dso && !text.len)
        return false;
    frame.inlined = hone_str_equal(frame.dso, HONE_STR("inlined"));
    if (hone_str_equal(frame.dso, HONE_STR("[unknown]")))
        frame.dso.len = 0;
    frame.name = without_offset(text);
    if (hone_str_equal(frame.name, HONE_STR("[unknown]")))
        frame.name.len = 0;
    *ret = frame;
    return true;
}

// "  sorter.c:12" below a frame.
static bool parse_source(struct hone_str line, struct hone_str *ret_file, int64_t *ret_line)
{
    struct hone_str text = hone_str_trim(line);
    size_t colon = text.len;
    while (colon && text.at[colon - 1] != ':')
        colon--;
    uint64_t number;
    struct hone_str digits = hone_str_skip(text, colon);
    if (colon < 2 || line.at[0] == '\t' || !hone_str_decimal(&digits, &number) || digits.len ||
        number > INT32_MAX)
        return false;
    *ret_file = (struct hone_str){text.at, colon - 1};
    *ret_line = (int64_t)number;
    return true;
}

// --- from samples to the profile -----------------------------------------------------------------

// One location of count frames: inlined functions and the one that holds the code.
static uint32_t add_location(struct reader *r, const struct frame *frames, uint32_t count)
{
    struct hone_profile *p = r->profile;
    const struct frame *outer = &frames[count - 1];
    HONE_CLEANUP(hone_freep) struct hone_profile_line *lines = calloc(count, sizeof *lines);
    if (!lines)
        return 0;
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!frames[i].name.len && !frames[i].line)
            continue;
        lines[used++] = (struct hone_profile_line){
            .function =
                hone_profile_add_function(p,
                                          &(struct hone_profile_function){
                                              .name = hone_profile_intern_str(p, frames[i].name),
                                              .file = hone_profile_intern_str(p, frames[i].file)}),
            .number = frames[i].line,
        };
    }
    struct hone_str dso = outer->inlined ? (struct hone_str){0} : outer->dso;
    return hone_profile_add_location(
        p, &(struct hone_profile_location){.mapping = hone_module_add(p, dso),
                                           .address = outer->address,
                                           .lines = lines,
                                           .line_count = used});
}

static bool push_location(struct reader *r, const struct frame *frames, uint32_t count)
{
    if (count > 1 || frames[0].line) {
        uint32_t location = add_location(r, frames, count);
        return location && hone_stack_push(&r->stack, location);
    }
    uint32_t *number = hone_name_cache_find(&r->places, frames[0].text);
    if (!number)
        return false;
    if (!*number)
        *number = add_location(r, frames, 1);
    return *number && hone_stack_push(&r->stack, *number);
}

static bool push_frames(struct reader *r)
{
    r->stack.count = 0;
    for (uint32_t i = 0; i < r->frame_count;) {
        uint32_t from = i;
        while (r->frames[i].inlined && i + 1 < r->frame_count && i - from < INLINED_MAX &&
               r->frames[i + 1].address == r->frames[from].address)
            i++;
        i++;
        if (!push_location(r, &r->frames[from], i - from))
            return false;
    }
    return true;
}

static uint32_t find_event(const struct reader *r, struct hone_str name)
{
    uint32_t i = 0;
    while (i < r->event_count && !hone_str_equal(r->events[i].name, name))
        i++;
    return i;
}

static int64_t clamp(uint64_t value)
{
    return value < INT64_MAX ? (int64_t)value : INT64_MAX;
}

// Adds the sample at hand. Returns 0 or -ENOMEM; limits of the model show at the end.
static int finish_sample(struct reader *r)
{
    if (!r->in_sample)
        return 0;
    r->in_sample = false;
    struct hone_profile *p = r->profile;
    const struct header *header = &r->header;
    if (!push_frames(r))
        return hone_profile_status(p) ? 0 : -ENOMEM;
    int64_t values[HONE_PROFILE_TYPES_MAX] = {1};
    if (r->has_periods && header->event.len)
        values[r->events[find_event(r, header->event)].type] =
            header->has_period ? clamp(header->period) : 1;
    struct hone_profile_label labels[4];
    size_t count = 0;
    labels[count++] = (struct hone_profile_label){
        .key = hone_profile_intern(p, "thread"),
        .text = hone_profile_intern_str(p, header->comm),
    };
    if (header->pid)
        labels[count++] = (struct hone_profile_label){
            .key = hone_profile_intern(p, "pid"),
            .number = clamp(header->pid),
        };
    if (header->has_tid)
        labels[count++] = (struct hone_profile_label){
            .key = hone_profile_intern(p, "tid"),
            .number = clamp(header->tid),
        };
    if (r->event_count > 1 && header->event.len)
        labels[count++] = (struct hone_profile_label){
            .key = hone_profile_intern(p, "event"),
            .text = hone_profile_intern_str(p, header->event),
        };
    uint32_t stack = hone_stack_add(p, &r->stack);
    (void)hone_profile_add_sample(p, stack, values, labels, count);
    if (header->has_time) {
        if (!r->first_ns || header->time_ns < r->first_ns)
            r->first_ns = header->time_ns;
        if (header->time_ns > r->last_ns)
            r->last_ns = header->time_ns;
    }
    return 0;
}

enum line_kind { BLANK, HEADER, FRAME };

// What a line is. Frames begin with a tab, or with blanks where somebody has pasted them; without
// stacks perf aligns the names of programs to the right, so that samples begin with blanks too.
static enum line_kind kind_of(struct hone_str line, bool in_sample, struct header *header)
{
    if (!hone_str_trim(line).len || line.at[0] == '#')
        return BLANK;
    if (line.at[0] == '\t')
        return FRAME;
    if (!hone_is_blank(line.at[0]))
        return HEADER;
    if (!in_sample || (parse_header(line, header) && header->has_time && header->event.len))
        return HEADER;
    return FRAME;
}

static int add_frame(struct reader *r, struct hone_str line)
{
    struct hone_str file;
    int64_t number;
    struct frame *last = r->frame_count ? &r->frames[r->frame_count - 1] : NULL;
    if (last && !last->line && parse_source(line, &file, &number)) {
        last->file = file;
        last->line = number;
        return 0;
    }
    if (!hone_array_reserve(&r->frames, &r->frame_room, (uint64_t)r->frame_count + 1,
                            sizeof *r->frames))
        return -ENOMEM;
    if (!parse_frame(line, &r->frames[r->frame_count]))
        return hone_lines_bad(&r->lines, "expected 'ADDRESS SYMBOL (FILE)'");
    r->frame_count++;
    return 0;
}

static int begin_sample(struct reader *r, struct hone_str line)
{
    if (!parse_header(line, &r->header))
        return hone_lines_bad(&r->lines, "expected 'COMMAND PID [CPU] TIME: PERIOD EVENT:'");
    if (r->header.is_record)
        return 0;
    r->in_sample = true;
    r->frame_count = 0;
    struct hone_str rest = hone_str_trim(r->header.rest);
    struct hone_str word = hone_str_word(&rest);
    uint64_t address;
    bool has_address = hone_str_hex(&word, &address) && !word.len;
    return has_address ? add_frame(r, r->header.rest) : 0;
}

static int read_line(struct reader *r, struct hone_str line)
{
    struct header header;
    switch (kind_of(line, r->in_sample, &header)) {
    case BLANK:
        return finish_sample(r);
    case FRAME:
        return r->in_sample ? add_frame(r, line) : 0; // below a record that is no sample
    case HEADER:
        break;
    }
    int result = finish_sample(r);
    return result ? result : begin_sample(r, line);
}

// --- the whole file ------------------------------------------------------------------------------

// The events of all samples, for sample types come before samples.
static int find_events(struct reader *r)
{
    struct hone_lines lines = r->lines;
    struct hone_str line;
    bool in_sample = false;
    while (hone_lines_next(&lines, &line)) {
        struct header header = {0};
        enum line_kind kind = kind_of(line, in_sample, &header);
        in_sample = kind == HEADER || (in_sample && kind == FRAME);
        if (kind != HEADER || !parse_header(line, &header) || header.is_record)
            continue;
        r->has_periods |= header.has_period;
        if (!header.event.len || find_event(r, header.event) < r->event_count)
            continue;
        if (r->event_count == EVENTS_MAX)
            return hone_lines_bad(&lines, "more than %d events", EVENTS_MAX);
        r->events[r->event_count++].name = header.event;
    }
    return 0;
}

// Clocks count nanoseconds of CPU time.
static bool is_clock(struct hone_str event)
{
    return hone_str_equal(event, HONE_STR("cpu-clock")) ||
           hone_str_equal(event, HONE_STR("task-clock"));
}

static void add_types(struct reader *r)
{
    (void)hone_profile_add_type(r->profile, "samples", "count");
    for (uint32_t i = 0; r->has_periods && i < r->event_count; i++) {
        struct hone_str name = r->events[i].name;
        char text[256];
        size_t len = name.len < sizeof text - 1 ? name.len : sizeof text - 1;
        memcpy(text, name.at, len);
        text[len] = '\0';
        bool clock = is_clock(name);
        r->events[i].type = hone_profile_add_type(r->profile, clock ? "cpu" : text,
                                                  clock ? "nanoseconds" : "count");
        if (i == 0)
            hone_profile_set_default_type(r->profile, clock ? "cpu" : text);
    }
}

int hone_perf_script_read(const void *bytes, size_t len, const char *name,
                          struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {
        .profile = hone_profile_new(),
        .lines = {.at = bytes, .end = (const char *)bytes + len, .name = name, .err = err},
    };
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    int result = find_events(&r);
    if (result)
        return result;
    add_types(&r);
    struct hone_str line;
    while (!result && !hone_profile_status(r.profile) && hone_lines_next(&r.lines, &line))
        result = read_line(&r, line);
    if (!result)
        result = finish_sample(&r);
    if (result)
        return result == -ENOMEM ? hone_build_out_of_memory(name, err) : result;
    r.profile->duration_ns = clamp(r.last_ns - r.first_ns);
    return hone_build_finish(&r.profile, name, ret, err);
}

unsigned hone_perf_script_detect(const void *bytes, size_t len)
{
    if (!hone_bytes_are_text(bytes, len))
        return HONE_CONVERT_NO;
    struct hone_lines lines = {.at = bytes, .end = (const char *)bytes + len};
    struct hone_str line;
    bool in_sample = false;
    while (lines.number < LINES_LOOKED_AT && hone_lines_next(&lines, &line)) {
        struct header header = {0};
        struct frame frame;
        switch (kind_of(line, in_sample, &header)) {
        case BLANK:
            in_sample = false;
            continue;
        case FRAME:
            if (in_sample && parse_frame(line, &frame) && (frame.address || frame.dso.len))
                return HONE_CONVERT_LIKELY;
            continue;
        case HEADER:
            break;
        }
        if (!parse_header(line, &header))
            return HONE_CONVERT_NO;
        in_sample = !header.is_record;
        struct hone_str rest = hone_str_trim(header.rest);
        if (header.has_time && header.event.len && parse_frame(rest, &frame) && frame.address)
            return HONE_CONVERT_LIKELY;
    }
    return HONE_CONVERT_NO;
}
