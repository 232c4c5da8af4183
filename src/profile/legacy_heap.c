// Heap profiles of gperftools, tcmalloc and Go (?debug=1), and those of growth and fragmentation:
//
//     heap profile: 12: 4096 [ 30: 9999] @ heap_v2/524288
//     1: 128 [ 3: 512] @ 0x401234 0x405678
//
// blocks: bytes in use, in brackets those ever allocated. A program that samples says at what rate
// behind the slash.
#include "profile/legacy.h"

#include <errno.h>

// Cuts "N: N [ N: N]" with spaces where the formats have them; signed: the first two may be.
static bool cut_four(struct hone_str *text, bool negative, struct hone_str number[4])
{
    for (int i = 0; i < 4; i++) {
        struct hone_str start = *text;
        bool minus = negative && i < 2 && hone_legacy_cut_text(text, "-");
        if (!hone_legacy_cut_digits(text, &number[i]))
            return false;
        if (minus)
            number[i] = (struct hone_str){start.at, number[i].len + 1};
        if ((i == 0 || i == 2) && !hone_legacy_cut_text(text, ":"))
            return false;
        (void)hone_legacy_cut_spaces(text);
        if (i == 1) {
            if (!hone_legacy_cut_text(text, "["))
                return false;
            (void)hone_legacy_cut_spaces(text);
        }
    }
    return hone_legacy_cut_text(text, "]");
}

// --- the first line ------------------------------------------------------------------------------

struct header {
    int64_t period;
    bool unsample;
    bool allocated; // the numbers in brackets tell something new
};

static bool is_name(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool read_rate(struct hone_str text, int64_t *ret)
{
    struct hone_str digits;
    (void)hone_legacy_cut_text(&text, "/");
    *ret = 0;
    return !hone_legacy_cut_digits(&text, &digits) || hone_legacy_decimal(digits, ret);
}

static bool zero(struct hone_str number)
{
    return hone_str_equal(number, HONE_STR("0"));
}

// What stands behind the four numbers. Returns false when it is none of ours.
static bool read_kind(struct hone_str text, const struct hone_str number[4], struct header *ret)
{
    if (hone_legacy_starts(text, " @ growth") || hone_legacy_starts(text, " @ fragmentation")) {
        *ret = (struct header){.period = 1};
        return true;
    }
    (void)hone_legacy_cut_spaces(&text);
    if (!hone_legacy_cut_text(&text, "@"))
        return false;
    (void)hone_legacy_cut_spaces(&text);
    struct hone_str name = {text.at, 0};
    while (name.len < text.len && is_name(text.at[name.len]))
        name.len++;
    hone_legacy_cut(&text, name.len);
    *ret = (struct header){0};
    if (!hone_legacy_starts(name, "heap") || !read_rate(text, &ret->period))
        return false;
    ret->allocated = (!hone_str_equal(number[2], number[0]) && !zero(number[2])) ||
                     (!hone_str_equal(number[3], number[1]) && !zero(number[3]));
    if (hone_str_equal(name, HONE_STR("heapprofile"))) {
        ret->period = 1;
        return true;
    }
    ret->unsample = true;
    if (hone_str_equal(name, HONE_STR("heap"))) {
        ret->period /= 2; // Go writes twice its rate
        return true;
    }
    return hone_str_equal(name, HONE_STR("heap_v2")) || hone_str_equal(name, HONE_STR("heapz_v2"));
}

static bool read_header(struct hone_str line, struct header *ret)
{
    size_t at;
    while ((at = hone_legacy_find(line, "heap profile:")) != SIZE_MAX) {
        hone_legacy_cut(&line, at + strlen("heap profile:"));
        struct hone_str text = line;
        struct hone_str number[4];
        (void)hone_legacy_cut_spaces(&text);
        if (cut_four(&text, false, number))
            return read_kind(text, number, ret);
    }
    return false;
}

bool hone_legacy_is_heap(struct hone_legacy *l)
{
    struct header header;
    return hone_legacy_next_line(&l->lines) && read_header(l->lines.line, &header);
}

// --- samples -------------------------------------------------------------------------------------

// Finds the first place in the line where a sample begins.
static bool find_sample(struct hone_str line, struct hone_str number[4], struct hone_str *addresses)
{
    while (line.len) {
        struct hone_str text = line;
        struct hone_str digits;
        if (cut_four(&text, true, number) && hone_legacy_cut_text(&text, " @")) {
            *addresses = hone_legacy_cut_addresses(&text);
            return true;
        }
        if (!hone_legacy_cut_digits(&line, &digits))
            hone_legacy_cut(&line, 1);
    }
    return false;
}

// The value pair of a sample, and the size of its blocks.
static int read_pair(struct hone_legacy *l, const struct header *header,
                     const struct hone_str number[2], struct hone_legacy_sample *sample,
                     int64_t *values)
{
    int64_t count;
    int64_t bytes;
    if (!hone_legacy_decimal(number[0], &count) || !hone_legacy_decimal(number[1], &bytes))
        return hone_legacy_bad(l, "number of more than 63 bits");
    if (!count && bytes)
        return hone_legacy_bad(l, "%lld bytes in no blocks", (long long)bytes);
    if (count) {
        sample->block_bytes = count == -1 ? (int64_t) - (uint64_t)bytes : bytes / count;
        if (header->unsample && !hone_legacy_unsample(&count, &bytes, header->period))
            return hone_legacy_bad(l, "estimate of more than 63 bits");
    }
    values[0] = count;
    values[1] = bytes;
    return 0;
}

static int read_sample(struct hone_legacy *l, const struct header *header, struct hone_str line)
{
    struct hone_str number[4];
    struct hone_str addresses;
    if (!find_sample(line, number, &addresses))
        return hone_legacy_bad(l, "neither a sample nor the list of mappings");
    struct hone_legacy_sample sample = {.has_block_bytes = true};
    int64_t *values = sample.values;
    int r = 0;
    if (header->allocated) {
        r = read_pair(l, header, number + 2, &sample, values);
        values += 2;
    }
    if (!r)
        r = read_pair(l, header, number, &sample, values);
    if (!r)
        r = hone_legacy_add_frames(l, addresses, HONE_LEGACY_RETURNS);
    return r ? r : hone_legacy_add_sample(l, &sample);
}

int hone_legacy_read_heap(struct hone_legacy *l)
{
    struct header header;
    if (!hone_legacy_next_line(&l->lines) || !read_header(l->lines.line, &header))
        return HONE_LEGACY_FOREIGN;
    struct hone_profile *p = l->profile;
    hone_profile_set_period(p, "space", "bytes", header.period);
    if (header.allocated) {
        (void)hone_profile_add_type(p, "alloc_objects", "count");
        (void)hone_profile_add_type(p, "alloc_space", "bytes");
        (void)hone_profile_add_type(p, "inuse_objects", "count"); // the last is what views show
        (void)hone_profile_add_type(p, "inuse_space", "bytes");
    } else {
        (void)hone_profile_add_type(p, "objects", "count");
        (void)hone_profile_add_type(p, "space", "bytes");
    }
    int r = 0;
    while (!r && hone_legacy_next_line(&l->lines)) {
        struct hone_str line = hone_legacy_trim(l->lines.line);
        if (hone_legacy_says_nothing(line))
            continue;
        if (hone_legacy_is_maps_head(line))
            break;
        r = read_sample(l, &header, line);
    }
    if (!r)
        r = hone_legacy_read_maps_section(l);
    return r ? r : hone_legacy_place_all(l);
}
