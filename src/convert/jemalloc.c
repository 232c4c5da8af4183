// jemalloc's heap profiles: stacks as addresses, with what is in use and what was allocated, for
// all threads (t*) and for each.
//
//     heap_v2/524288
//       t*: 28106: 56637512 [30000: 60000000]
//     @ 0x5f86da8 0x5f5a1dc
//       t*: 13: 6688 [20: 10000]
//       t3: 13: 6688 [20: 10000]
//
//     MAPPED_LIBRARIES:
//     00400000-00410000 r-xp 00000000 fe:01 1234   /usr/bin/program
//
// One in so many bytes was sampled (the number in the first line), so that an allocation of s bytes
// had the chance 1 - e^(-s/rate). Numbers are scaled up by it as jeprof does: by the mean size of
// each stack's allocations.
#include "convert/build.h"
#include "convert/lines.h"
#include "convert/maps.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>
#include <math.h>

struct counts {
    int64_t objects;
    int64_t bytes;
};

struct reader {
    struct hone_profile *profile;
    struct hone_lines lines;
    struct hone_maps maps;
    struct hone_stack stack;
    uint64_t rate;
    bool has_stack;
};

static void reader_done(struct reader *r)
{
    hone_profile_free(r->profile);
    hone_maps_done(&r->maps);
    hone_stack_done(&r->stack);
}

unsigned hone_jemalloc_detect(const void *bytes, size_t len)
{
    struct hone_str text = {bytes, len};
    uint64_t rate;
    return hone_str_take(&text, HONE_STR("heap_v2/")) && hone_str_decimal(&text, &rate)
               ? HONE_CONVERT_CERTAIN
               : HONE_CONVERT_NO;
}

static struct counts scale(struct counts counts, uint64_t rate)
{
    if (rate <= 1 || counts.objects <= 0 || counts.bytes <= 0)
        return counts;
    double mean = (double)counts.bytes / (double)counts.objects;
    double factor = 1 / (1 - exp(-mean / (double)rate));
    return (struct counts){(int64_t)((double)counts.objects * factor),
                           (int64_t)((double)counts.bytes * factor)};
}

static bool take_count(struct hone_str *text, const char *after, int64_t *ret)
{
    uint64_t value;
    *text = hone_str_trim(*text);
    if (!hone_str_decimal(text, &value) || value > (uint64_t)1 << 60)
        return false;
    *ret = (int64_t)value;
    return hone_str_take(text, hone_str_of(after));
}

// "13: 6688 [20: 10000]"
static bool parse_counts(struct hone_str text, struct counts *live, struct counts *all)
{
    if (!take_count(&text, ":", &live->objects) || !take_count(&text, "", &live->bytes))
        return false;
    text = hone_str_trim(text);
    return hone_str_take(&text, HONE_STR("[")) && take_count(&text, ":", &all->objects) &&
           take_count(&text, "]", &all->bytes);
}

static int read_stack(struct reader *r, struct hone_str line)
{
    r->stack.count = 0;
    r->has_stack = true;
    while (hone_str_trim(line).len) {
        struct hone_str word = hone_str_word(&line);
        uint64_t address;
        if (!hone_str_hex(&word, &address) || word.len)
            return hone_lines_bad(&r->lines, "expected addresses after '@'");
        // Where a call returns to: the call is before.
        address -= address ? 1 : 0;
        uint32_t location = hone_profile_add_location(
            r->profile,
            &(struct hone_profile_location){
                .mapping = hone_maps_find(&r->maps, r->profile, address), .address = address});
        if (!hone_stack_push(&r->stack, location))
            return -ENOMEM;
    }
    return 0;
}

static int read_counts(struct reader *r, struct hone_str line)
{
    struct counts live;
    struct counts all;
    size_t colon = hone_str_find(line, ':');
    if (colon == line.len || !parse_counts(hone_str_skip(line, colon + 1), &live, &all))
        return hone_lines_bad(&r->lines, "expected 'tN: COUNT: BYTES [COUNT: BYTES]'");
    if (!r->has_stack || !hone_str_starts(line, HONE_STR("t*:")))
        return 0; // the sum of all, or one thread's part
    // Without prof_accum, jemalloc does not count what was allocated and prints 0.
    all = scale(all, r->rate);
    live = scale(live, r->rate);
    int64_t values[] = {all.objects, all.bytes, live.objects, live.bytes};
    uint32_t stack = hone_stack_add(r->profile, &r->stack);
    (void)hone_profile_add_sample(r->profile, stack, values, NULL, 0);
    return 0;
}

static int read_first(struct reader *r)
{
    struct hone_str line;
    if (!hone_lines_next(&r->lines, &line) || !hone_str_take(&line, HONE_STR("heap_v2/")) ||
        !hone_str_decimal(&line, &r->rate) || line.len)
        return hone_lines_bad(&r->lines, "expected 'heap_v2/' and the bytes between two samples");
    return 0;
}

static bool is_libraries(struct hone_str line)
{
    return hone_str_starts(line, HONE_STR("MAPPED_LIBRARIES:"));
}

// The libraries come last, and locations need them first.
static bool find_libraries(struct reader *r)
{
    struct hone_lines lines = r->lines;
    struct hone_str line;
    bool behind = false;
    while (hone_lines_next(&lines, &line)) {
        if (behind && !hone_maps_add(&r->maps, line))
            return false;
        behind |= is_libraries(line);
    }
    hone_maps_put(&r->maps, r->profile);
    return true;
}

static int read_line(struct reader *r, struct hone_str line)
{
    line = hone_str_trim(line);
    if (!line.len)
        return 0;
    if (hone_str_take(&line, HONE_STR("@")))
        return read_stack(r, line);
    return read_counts(r, line);
}

int hone_jemalloc_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                       struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {
        .profile = hone_profile_new(),
        .lines = {.at = bytes, .end = (const char *)bytes + len, .name = name, .err = err},
    };
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    int result = read_first(&r);
    if (result)
        return result;
    if (!find_libraries(&r))
        return hone_build_out_of_memory(name, err);
    (void)hone_profile_add_type(r.profile, "alloc_objects", "count");
    (void)hone_profile_add_type(r.profile, "alloc_space", "bytes");
    (void)hone_profile_add_type(r.profile, "inuse_objects", "count");
    (void)hone_profile_add_type(r.profile, "inuse_space", "bytes");
    hone_profile_set_period(r.profile, "space", "bytes",
                            r.rate < INT64_MAX ? (int64_t)r.rate : INT64_MAX);
    struct hone_str line;
    while (!result && !hone_profile_status(r.profile) && hone_lines_next(&r.lines, &line)) {
        if (is_libraries(line))
            break;
        result = read_line(&r, line);
    }
    if (result)
        return result == -ENOMEM ? hone_build_out_of_memory(name, err) : result;
    return hone_build_finish(&r.profile, name, ret, err);
}
