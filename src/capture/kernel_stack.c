#include "capture/kernel_stack.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "base/table.h"
#include "core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 128 << 10,
    PLACES_MAX = 1 << 16, // that have numbers; a machine under all kinds of load has some hundred
    SCHEDULER_MAX = 64,   // functions of it that are left out; a kernel has some 20
};

struct range {
    uint64_t start, end;
};

struct hone_kernel_names {
    char path[64];
    bool named; // functions were looked for
    // Functions that /proc told of, by a hash of their names, and where they begin; 0: not found.
    // Two functions may have one name: the first has to do, for a name is all that becomes of an
    // address.
    struct function {
        uint64_t start, hash;
    } * functions;
    uint32_t function_count, function_room;
    struct hone_table function_table;
    // Places in them. Their numbers are those in this array, plus one.
    struct place {
        uint64_t offset;
        uint32_t function;
    } * places;
    uint32_t place_count, place_room;
    struct hone_table place_table;
    struct range switching; // __schedule, in which a thread leaves its CPU
    struct range scheduler[SCHEDULER_MAX];
    uint32_t scheduler_count;
    bool addressed; // one address is not zero
};

enum { DONE = 1 };

// --- names ---------------------------------------------------------------------------------------

// What asks the scheduler for another thread, and says nothing of what is waited for. The last ones
// are loops around that which whoever waits for an event may use.
static bool is_of_scheduler(struct hone_str name)
{
    static const char *const whole[] = {"__schedule", "schedule", "schedule_preempt_disabled",
                                        "schedule_rtlock"};
    static const char *const begins[] = {"schedule_timeout", "schedule_hrtimeout", "io_schedule",
                                         "preempt_schedule", "do_wait_intr",       "wait_woken"};
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(whole); i++)
        if (hone_str_equal(name, hone_str_of(whole[i])))
            return true;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(begins); i++)
        if (hone_str_starts(name, hone_str_of(begins[i])))
            return true;
    return false;
}

struct line {
    uint64_t start;
    struct hone_str name, module; // module: with its brackets, or empty
    char kind;
};

static struct hone_str word(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t'))
        ++*at;
    const char *start = *at;
    while (*at < end && **at != ' ' && **at != '\t')
        ++*at;
    return (struct hone_str){start, (size_t)(*at - start)};
}

static bool hexadecimal(struct hone_str text, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;
        if (digit > 15 || value >> 60)
            return false;
        value = value << 4 | digit;
    }
    *ret = value;
    return text.len > 0;
}

// "ffffffff8138de40 T schedule", "ffffffffc0a81000 t nft_do_chain	[nf_tables]"
static bool read_line(const char *at, const char *end, struct line *ret)
{
    struct hone_str address = word(&at, end), kind = word(&at, end);
    *ret = (struct line){.name = word(&at, end), .module = word(&at, end)};
    ret->kind = kind.len ? kind.at[0] : '\0';
    return kind.len == 1 && ret->name.len && hexadecimal(address, &ret->start);
}

static uint64_t hash_of(struct hone_str name, struct hone_str module)
{
    return hone_table_hash(module.at, module.len, hone_table_hash(name.at, name.len, 0));
}

static uint32_t find_function(const struct hone_kernel_names *names, uint64_t hash)
{
    struct hone_table_probe probe = hone_table_probe(&names->function_table, hash);
    uint32_t at;
    while ((at = hone_table_next(&names->function_table, &probe)) != HONE_TABLE_END)
        if (names->functions[at].hash == hash)
            break;
    return at;
}

static int take_start(struct hone_kernel_names *names, const struct line *line)
{
    if (line->start < HONE_KERNEL_START || !strchr("tTwW", line->kind))
        return 0;
    uint32_t at = find_function(names, hash_of(line->name, line->module));
    if (at != HONE_TABLE_END && !names->functions[at].start)
        names->functions[at].start = line->start;
    return 0;
}

// Ends the functions of the scheduler that end here: where another symbol begins.
static void close_ranges(struct hone_kernel_names *names, uint64_t start)
{
    for (uint32_t i = names->scheduler_count; i > 0 && !names->scheduler[i - 1].end; i--)
        if (start > names->scheduler[i - 1].start)
            names->scheduler[i - 1].end = start;
    if (!names->switching.end && names->switching.start && start > names->switching.start)
        names->switching.end = start;
}

// Returns DONE when all is known.
static int add_scheduler(struct hone_kernel_names *names, const struct line *line)
{
    close_ranges(names, line->start);
    names->addressed = names->addressed || line->start;
    if (line->start < HONE_KERNEL_START || !strchr("tTwW", line->kind))
        return 0;
    // Its functions lie together, with some that are none of its own before.
    if (hone_str_equal(line->name, HONE_STR("__sched_text_end")))
        return DONE;
    // Without what the compiler adds to a copy of its own: ".part.0", ".constprop.0".
    const char *copy = memchr(line->name.at, '.', line->name.len);
    struct hone_str plain = {line->name.at, copy ? (size_t)(copy - line->name.at) : line->name.len};
    struct range range = {line->start, 0};
    if (!names->switching.start && hone_str_equal(plain, HONE_STR("__schedule")))
        names->switching = range;
    if (names->scheduler_count < SCHEDULER_MAX && !line->module.len && is_of_scheduler(plain))
        names->scheduler[names->scheduler_count++] = range;
    return 0;
}

typedef int (*line_reader)(struct hone_kernel_names *names, const struct line *line);

// Each whole line of the text. Returns how much of it that was, in *ret_used.
static int each_line(struct hone_kernel_names *names, const char *text, size_t len,
                     line_reader reader, size_t *ret_used)
{
    const char *at = text, *end = text + len, *newline;
    int r = 0;
    while (!r && at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
        struct line line;
        if (read_line(at, newline, &line))
            r = reader(names, &line);
        at = newline + 1;
    }
    *ret_used = (size_t)(at - text);
    return r;
}

static int read_file(struct hone_kernel_names *names, line_reader reader)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(names->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    HONE_CLEANUP(hone_freep) char *text = malloc(CHUNK_BYTES);
    if (!text)
        return -ENOMEM;
    size_t kept = 0, used;
    int r = 0;
    for (ssize_t got; !r && kept < CHUNK_BYTES; kept -= used) {
        got = read(fd, text + kept, CHUNK_BYTES - kept);
        if (got <= 0)
            return got < 0 ? -errno : 0;
        kept += (size_t)got;
        r = each_line(names, text, kept, reader, &used);
        memmove(text, text + used, kept - used);
    }
    return r == DONE ? 0 : r;
}

int hone_kernel_names_open(const char *path, struct hone_kernel_names **ret, struct hone_error *err)
{
    struct hone_kernel_names *names = calloc(1, sizeof *names);
    if (!names)
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", path);
    (void)snprintf(names->path, sizeof names->path, "%s", path);
    int r = read_file(names, add_scheduler);
    if (!r && names->addressed) {
        *ret = names;
        return 0;
    }
    hone_kernel_names_close(names);
    if (r)
        return hone_error_set(err, r, "cannot read '%s'", path);
    (void)hone_error_set(err, 0, "kptr_restrict hides where its functions are");
    return -EACCES;
}

void hone_kernel_names_close(struct hone_kernel_names *names)
{
    if (!names)
        return;
    hone_table_done(&names->function_table);
    hone_table_done(&names->place_table);
    free(names->functions);
    free(names->places);
    free(names);
}

uint64_t hone_kernel_names_find(struct hone_kernel_names *names, uint64_t number)
{
    if (number >= HONE_KERNEL_START)
        return number;
    if (!names->named)
        (void)read_file(names, take_start); // of what is not found, there is no address
    names->named = true;
    if (!number || number > names->place_count)
        return HONE_KERNEL_START;
    const struct place *place = &names->places[number - 1];
    uint64_t start = names->functions[place->function].start;
    return start ? start + place->offset : HONE_KERNEL_START;
}

// HONE_TABLE_END: there is no room.
static uint32_t function_of(struct hone_kernel_names *names, uint64_t hash)
{
    uint32_t at = find_function(names, hash);
    if (at != HONE_TABLE_END)
        return at;
    at = names->function_count;
    if (at >= PLACES_MAX ||
        !hone_array_reserve(&names->functions, &names->function_room, (uint64_t)at + 1,
                            sizeof *names->functions) ||
        hone_table_add(&names->function_table, hash, at))
        return HONE_TABLE_END;
    names->functions[names->function_count++] = (struct function){.hash = hash};
    return at;
}

// 0: there is no room.
static uint64_t number_of(struct hone_kernel_names *names, uint64_t name_hash, uint64_t offset)
{
    uint32_t function = function_of(names, name_hash);
    if (function == HONE_TABLE_END)
        return 0;
    uint64_t hash = hone_hash_fold(name_hash, offset ^ 0x9e3779b97f4a7c15u);
    struct hone_table_probe probe = hone_table_probe(&names->place_table, hash);
    uint32_t at;
    while ((at = hone_table_next(&names->place_table, &probe)) != HONE_TABLE_END)
        if (names->places[at].function == function && names->places[at].offset == offset)
            return (uint64_t)at + 1;
    if (names->place_count >= PLACES_MAX ||
        !hone_array_reserve(&names->places, &names->place_room, (uint64_t)names->place_count + 1,
                            sizeof *names->places) ||
        hone_table_add(&names->place_table, hash, names->place_count))
        return 0;
    names->places[names->place_count] = (struct place){offset, function};
    return ++names->place_count;
}

// --- samples -------------------------------------------------------------------------------------

uint32_t hone_kernel_stack_of_chain(const uint64_t *chain, uint64_t count, uint64_t *ret,
                                    uint32_t room)
{
    bool kernel = false;
    uint32_t kept = 0;
    for (uint64_t i = 0; i < count && kept < room; i++) {
        uint64_t address;
        memcpy(&address, &chain[i], sizeof address);
        if (address >= (uint64_t)PERF_CONTEXT_MAX)
            kernel = address == (uint64_t)PERF_CONTEXT_KERNEL;
        else if (kernel && address >= HONE_KERNEL_START)
            ret[kept] = address - (kept > 0), kept++;
    }
    return kept;
}

static bool holds(const struct range *range, uint64_t address)
{
    return address >= range->start && address < range->end;
}

static bool in_scheduler(const struct hone_kernel_names *names, uint64_t address)
{
    for (uint32_t i = 0; i < names->scheduler_count; i++)
        if (holds(&names->scheduler[i], address))
            return true;
    return false;
}

void hone_kernel_stack_of_wait(const struct hone_kernel_names *names, const uint64_t *chain,
                               uint64_t count, struct hone_kernel_stack *ret)
{
    uint32_t all = hone_kernel_stack_of_chain(chain, count, ret->frames, HONE_KERNEL_FRAMES_MAX);
    uint32_t first = 0; // below it are the tracepoint, and the program that draws
    while (first < all && !holds(&names->switching, ret->frames[first]))
        first++;
    while (first < all && in_scheduler(names, ret->frames[first]))
        first++;
    ret->count = all - first;
    memmove(ret->frames, ret->frames + first, ret->count * sizeof ret->frames[0]);
}

// --- /proc ---------------------------------------------------------------------------------------

// "[<0>] do_nanosleep+0x5c/0x100", "[<0>] nfs_wait+0x10/0x90 [nfs]"; without a name "[<0>]
// 0xffffffffc0001234". 0: it is none, or of the scheduler.
static uint64_t read_frame(struct hone_kernel_names *names, const char *at, const char *end)
{
    (void)word(&at, end);
    struct hone_str place = word(&at, end), module = word(&at, end);
    uint64_t number;
    if (place.len > 2 && memcmp(place.at, "0x", 2) == 0)
        return hexadecimal((struct hone_str){place.at + 2, place.len - 2}, &number) &&
                       number > HONE_KERNEL_START
                   ? number - 1
                   : 0;
    const char *plus = memchr(place.at, '+', place.len);
    const char *slash = plus ? memchr(plus, '/', (size_t)(place.at + place.len - plus)) : NULL;
    if (!slash || slash - plus < 4 ||
        !hexadecimal((struct hone_str){plus + 3, (size_t)(slash - plus - 3)}, &number) || !number)
        return 0;
    struct hone_str name = {place.at, (size_t)(plus - place.at)};
    return is_of_scheduler(name) ? 0 : number_of(names, hash_of(name, module), number - 1);
}

void hone_kernel_stack_parse(struct hone_kernel_names *names, const char *text,
                             struct hone_kernel_stack *ret)
{
    ret->count = 0;
    for (const char *at = text; *at && ret->count < HONE_KERNEL_FRAMES_MAX;) {
        const char *end = at + strcspn(at, "\n");
        uint64_t frame = read_frame(names, at, end);
        if (frame)
            ret->frames[ret->count++] = frame;
        at = *end ? end + 1 : end;
    }
}

bool hone_kernel_stack_text(uint32_t pid, uint32_t tid, char ret[HONE_KERNEL_STACK_TEXT])
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/stack", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, ret, HONE_KERNEL_STACK_TEXT - 1);
    if (fd >= 0)
        (void)close(fd);
    if (len <= 0)
        return false;
    ret[len] = '\0';
    return true;
}

void hone_kernel_stack_read(struct hone_kernel_names *names, uint32_t pid, uint32_t tid,
                            struct hone_kernel_stack *ret)
{
    char text[HONE_KERNEL_STACK_TEXT];
    ret->count = 0;
    if (hone_kernel_stack_text(pid, tid, text))
        hone_kernel_stack_parse(names, text, ret);
}
