// Waits for locks, of gperftools' and Google's servers and of Go (?debug=1):
//
//     --- contentionz 1 ---                      or: --- mutex:
//     cycles/second = 3201000000
//     sampling period = 100
//     19490304 27 @ 0xbccc97 0xc61202            cycles, how often
#include "profile/legacy.h"

struct scale {
    int64_t period;
    int64_t cycles_per_second;
};

static bool is_head(struct hone_str line)
{
    return hone_legacy_starts(line, "--- contentionz ") || hone_legacy_starts(line, "--- mutex:") ||
           hone_legacy_starts(line, "--- contention:");
}

bool hone_legacy_is_contention(struct hone_legacy *l)
{
    return hone_legacy_next_line(&l->lines) && is_head(l->lines.line);
}

static int read_attribute(struct hone_legacy *l, struct hone_str name, struct hone_str text,
                          struct scale *scale)
{
    int64_t number;
    if (hone_str_equal(name, HONE_STR("discarded samples")))
        return 0;
    bool cycles = hone_str_equal(name, HONE_STR("cycles/second"));
    bool period = hone_str_equal(name, HONE_STR("sampling period"));
    if (!cycles && !period && !hone_str_equal(name, HONE_STR("ms since reset")))
        return hone_legacy_foreign(l, "unknown attribute"); // "format" and "resolution" are Java's
    if (!hone_legacy_number(text, &number))
        return hone_legacy_foreign(l, "no number");
    if (cycles)
        scale->cycles_per_second = number;
    else if (period)
        scale->period = number;
    else if (__builtin_mul_overflow(number, INT64_C(1000000), &l->profile->duration_ns))
        return hone_legacy_bad(l, "time is too large");
    return 0;
}

// Stops at the first line that is neither an attribute nor nothing.
static int read_attributes(struct hone_legacy *l, struct scale *scale)
{
    int r = 0;
    while (!r && hone_legacy_next_line(&l->lines)) {
        struct hone_str name = hone_legacy_trim(l->lines.line);
        if (hone_legacy_says_nothing(name))
            continue;
        const char *equals = memchr(name.at, '=', name.len);
        if (hone_legacy_starts(name, "---") || !equals)
            break;
        struct hone_str text = name;
        hone_legacy_cut(&text, (size_t)(equals - name.at) + 1);
        name.len = (size_t)(equals - name.at);
        r = read_attribute(l, hone_legacy_trim(name), hone_legacy_trim(text), scale);
    }
    return r;
}

// The first two numbers that stand before " @". Without a blank between them the second is the last
// digit.
static bool find_numbers(struct hone_str line, struct hone_str number[2],
                         struct hone_str *addresses)
{
    while (line.len) {
        if (!hone_legacy_cut_digits(&line, &number[0])) {
            hone_legacy_cut(&line, 1);
            continue;
        }
        struct hone_str rest = line;
        (void)hone_legacy_cut_spaces(&rest);
        bool two = hone_legacy_cut_digits(&rest, &number[1]) && hone_legacy_cut_text(&rest, " @");
        if (!two && number[0].len > 1) {
            rest = line;
            number[0].len--;
            number[1] = (struct hone_str){number[0].at + number[0].len, 1};
            two = hone_legacy_cut_text(&rest, " @");
        }
        if (two) {
            *addresses = hone_legacy_cut_addresses(&rest);
            return true;
        }
    }
    return false;
}

// Cycles between sampled waits become the nanoseconds of all.
static bool scale_values(const struct scale *scale, int64_t *delay, int64_t *count)
{
    if (scale->period <= 0)
        return true;
    if (scale->cycles_per_second > 0) {
        double per_ns = (double)scale->cycles_per_second / 1e9;
        double scaled = (double)*delay * (double)scale->period / per_ns;
        if (!(scaled < 0x1p63))
            return false;
        *delay = (int64_t)scaled;
    }
    return !__builtin_mul_overflow(*count, scale->period, count);
}

static int read_sample(struct hone_legacy *l, const struct scale *scale, struct hone_str line)
{
    struct hone_str number[2];
    struct hone_str addresses;
    struct hone_legacy_sample sample = {0};
    if (!find_numbers(line, number, &addresses))
        return hone_legacy_foreign(l, "no sample");
    if (!hone_legacy_decimal(number[0], &sample.values[1]) ||
        !hone_legacy_decimal(number[1], &sample.values[0]) ||
        !scale_values(scale, &sample.values[1], &sample.values[0]))
        return hone_legacy_bad(l, "number of more than 63 bits");
    int r = hone_legacy_add_frames(l, addresses, HONE_LEGACY_RETURNS);
    return r ? r : hone_legacy_add_sample(l, &sample);
}

int hone_legacy_read_contention(struct hone_legacy *l)
{
    struct scale scale = {.period = 1};
    if (!hone_legacy_next_line(&l->lines) || !is_head(l->lines.line))
        return HONE_LEGACY_FOREIGN;
    (void)hone_profile_add_type(l->profile, "contentions", "count");
    (void)hone_profile_add_type(l->profile, "delay", "nanoseconds");
    int r = read_attributes(l, &scale);
    if (r)
        return r;
    hone_profile_set_period(l->profile, "contentions", "count", scale.period);
    do { // the line at hand ended the attributes
        struct hone_str line = hone_legacy_trim(l->lines.line);
        if (hone_legacy_starts(line, "---"))
            break;
        if (!hone_legacy_says_nothing(line))
            r = read_sample(l, &scale, line);
    } while (!r && hone_legacy_next_line(&l->lines));
    if (!r)
        r = hone_legacy_read_maps_section(l);
    return r ? r : hone_legacy_place_all(l);
}
