// Go's profiles of goroutines and started threads with ?debug=1:
//
//     goroutine profile: total 12
//     3 @ 0x43b5b6 0x406e5b
//     #    0x43b5b5    main.f+0x15    /x/main.go:7       a comment, as all after '#'
#include "profile/legacy.h"

// The word before " profile: total N".
static bool read_header(struct hone_str line, struct hone_str *ret)
{
    struct hone_str digits;
    return hone_legacy_cut_word(&line, ret) && hone_legacy_cut_text(&line, " profile: total ") &&
           hone_legacy_cut_digits(&line, &digits) && !line.len;
}

bool hone_legacy_is_count(struct hone_legacy *l)
{
    struct hone_str type;
    return hone_legacy_first_line(&l->lines) && read_header(l->lines.line, &type);
}

static int read_sample(struct hone_legacy *l, struct hone_str line)
{
    struct hone_str count;
    struct hone_str addresses = line;
    struct hone_legacy_sample sample = {0};
    // No address at all is what Go itself writes of threads whose start it does not know.
    if (!hone_legacy_cut_digits(&addresses, &count) || !hone_legacy_cut_text(&addresses, " @"))
        return hone_legacy_bad(l, "no sample");
    if (!hone_legacy_number(count, &sample.values[0]))
        return hone_legacy_bad(l, "number of more than 63 bits");
    for (struct hone_str rest = addresses; rest.len;) {
        struct hone_str digits;
        if (!hone_legacy_cut_text(&rest, " 0x") || !hone_legacy_cut_hex(&rest, &digits))
            return hone_legacy_bad(l, "no address");
        for (size_t i = 0; i < digits.len; i++)
            if (digits.at[i] >= 'A' && digits.at[i] <= 'F')
                return hone_legacy_bad(l, "no address");
    }
    int r = hone_legacy_add_frames(l, addresses, HONE_LEGACY_RETURNS);
    return r ? r : hone_legacy_add_sample(l, &sample);
}

int hone_legacy_read_count(struct hone_legacy *l)
{
    struct hone_str type;
    if (!hone_legacy_first_line(&l->lines) || !read_header(l->lines.line, &type))
        return HONE_LEGACY_FOREIGN;
    struct hone_profile *p = l->profile;
    uint32_t added = hone_profile_add_type(p, NULL, "count");
    p->types[added].type = hone_profile_intern_str(p, type);
    p->period_type = p->types[added];
    p->period = 1;
    int r = 0;
    while (!r && hone_legacy_next_line(&l->lines)) {
        if (hone_legacy_says_nothing(l->lines.line))
            continue;
        if (hone_legacy_starts(l->lines.line, "---"))
            break;
        r = read_sample(l, l->lines.line);
    }
    if (!r)
        r = hone_legacy_read_maps_section(l);
    return r ? r : hone_legacy_place_all(l);
}
