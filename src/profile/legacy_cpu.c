// CPU profiles of gperftools and, with names behind the samples, of Java's agents. All numbers have
// the width and the byte order of the machine that wrote them:
//
//     0  3  0 (1: Java)  period in microseconds  0
//     count  depth  address …                      one per stack, leaf first
//     0  1  0                                      the end; text follows
#include "profile/legacy.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>

enum { HEADER_WORDS = 5, HEADER_VERSION = 3 };

struct layout {
    unsigned width;
    bool big; // most significant byte first
};

static const struct layout layouts[] = {{4, false}, {4, true}, {8, false}, {8, true}};

static uint64_t word_at(const unsigned char *at, struct layout layout)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < layout.width; i++)
        value |= (uint64_t)at[i] << 8 * (layout.big ? layout.width - 1 - i : i);
    return value;
}

struct header {
    struct layout layout;
    bool java;
    uint64_t period_us;
};

static bool read_header(const struct hone_legacy *l, struct header *ret)
{
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        struct layout layout = layouts[i];
        if (l->len < (size_t)HEADER_WORDS * layout.width)
            continue;
        uint64_t word[HEADER_WORDS];
        for (unsigned k = 0; k < HEADER_WORDS; k++)
            word[k] = word_at(l->bytes + (size_t)k * layout.width, layout);
        if (word[0] || word[1] != HEADER_VERSION || word[2] > 1 || !word[3] || word[4])
            continue;
        *ret = (struct header){layout, word[2] == 1, word[3]};
        return true;
    }
    return false;
}

bool hone_legacy_is_cpu(struct hone_legacy *l)
{
    struct header header;
    return read_header(l, &header);
}

// --- samples -------------------------------------------------------------------------------------

// Returns 1 at the mark of the end.
static int read_sample(struct hone_legacy *l, const struct header *header,
                       const unsigned char **cursor)
{
    const unsigned width = header->layout.width;
    const unsigned char *at = *cursor;
    size_t words = (size_t)(l->bytes + l->len - at) / width;
    if (words < 2)
        return hone_legacy_bad_byte(l, at, "file cut short in a sample");
    uint64_t count = word_at(at, header->layout);
    uint64_t depth = word_at(at + width, header->layout);
    if (depth > words - 2)
        return hone_legacy_bad_byte(l, at, "file cut short in a stack of %llu frames",
                                    (unsigned long long)depth);
    at += (size_t)2 * width;
    *cursor = at + depth * width;
    if (!count && depth == 1 && !word_at(at, header->layout))
        return 1;
    if (depth > HONE_PROFILE_DEPTH_MAX)
        return hone_legacy_bad_byte(l, at, "more than %d frames in a stack",
                                    HONE_PROFILE_DEPTH_MAX);
    struct hone_legacy_sample sample = {.values = {(int64_t)count}};
    if (count > INT64_MAX ||
        __builtin_mul_overflow(sample.values[0], l->profile->period, &sample.values[1]))
        return hone_legacy_bad_byte(l, at, "count of %llu is too large", (unsigned long long)count);
    for (uint64_t i = 0; i < depth; i++) {
        // All but the leaf are return addresses; one less lies in the call. Java has no addresses.
        uint64_t address = word_at(at + i * width, header->layout) - (i && !header->java);
        int r = hone_legacy_add_frame(l, address);
        if (r)
            return r;
    }
    return hone_legacy_add_sample(l, &sample);
}

static int read_samples(struct hone_legacy *l, const struct header *header)
{
    const unsigned char *at = l->bytes + (size_t)HEADER_WORDS * header->layout.width;
    const unsigned char *end = l->bytes + l->len;
    int r = 0;
    while (!r && at != end) // a program that was killed wrote no mark of the end
        r = read_sample(l, header, &at);
    l->lines = hone_legacy_lines(at, (size_t)(end - at));
    return r < 0 ? r : 0;
}

// --- frames of the signal handler ----------------------------------------------------------------

static int compare_places(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

// The place that nearly all samples (all but one of 32) have behind their leaf, or UINT32_MAX.
// seconds has room for one per sample.
static uint32_t common_second(const struct hone_legacy *l, uint32_t *seconds)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->sample_count; i++)
        if (l->samples[i].frame_count > 1)
            seconds[count++] = l->frames[l->samples[i].first_frame + 1];
    uint32_t wanted = l->sample_count - l->sample_count / 32;
    if (!count || count < wanted)
        return UINT32_MAX;
    qsort(seconds, count, sizeof *seconds, compare_places);
    for (uint32_t i = 0; i + wanted <= count; i++)
        if (seconds[i] == seconds[i + wanted - 1])
            return seconds[i];
    return UINT32_MAX;
}

// Two frames at most, those that the signal put on each stack between leaf and rest.
static int drop_handler(struct hone_legacy *l)
{
    HONE_CLEANUP(hone_freep)
    uint32_t *seconds = calloc((size_t)l->sample_count + 1, sizeof *seconds);
    if (!seconds)
        return hone_legacy_out_of_memory(l);
    for (int i = 0; i < 2; i++) {
        uint32_t handler = common_second(l, seconds);
        if (handler == UINT32_MAX)
            return 0;
        for (uint32_t k = 0; k < l->sample_count; k++) {
            struct hone_legacy_sample *sample = &l->samples[k];
            if (sample->frame_count > 1 && l->frames[sample->first_frame + 1] == handler)
                hone_legacy_drop_second_frame(l, sample);
        }
    }
    return 0;
}

// --- the whole -----------------------------------------------------------------------------------

int hone_legacy_read_cpu(struct hone_legacy *l)
{
    struct header header;
    if (!read_header(l, &header))
        return HONE_LEGACY_FOREIGN;
    if (header.period_us > INT64_MAX / 1000)
        return hone_legacy_bad_byte(l, l->bytes, "period of %llu microseconds is too large",
                                    (unsigned long long)header.period_us);
    hone_profile_set_period(l->profile, "cpu", "nanoseconds", (int64_t)header.period_us * 1000);
    (void)hone_profile_add_type(l->profile, "samples", "count");
    (void)hone_profile_add_type(l->profile, "cpu", "nanoseconds");

    int r = read_samples(l, &header);
    if (r)
        return r;
    if (header.java)
        return hone_legacy_read_java_names(l);
    r = drop_handler(l);
    if (!r)
        r = hone_legacy_read_maps(l);
    if (!r)
        r = hone_legacy_place_all(l);
    if (!r)
        hone_legacy_drop_double_leaves(l);
    return r;
}
