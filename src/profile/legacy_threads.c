// Dumps of threads as gperftools' and Google's servers give them:
//
//     --- threadz 1 ---
//
//     --- Thread 7f794ab90940 (name: main/14748) stack: ---
//       PC: 0x00bc8f1c 0x0040be31           any text; addresses are what counts, leaf first
//     --- Thread 7f794a1a0940 (name: worker/14750) stack: ---
//       [same as previous thread]
//     --- Memory map: ---
#include "profile/legacy.h"

static bool is_dump_head(struct hone_str line)
{
    size_t at;
    while ((at = hone_legacy_find(line, "--- threadz ")) != SIZE_MAX) {
        struct hone_str digits;
        hone_legacy_cut(&line, at + strlen("--- threadz "));
        struct hone_str rest = line;
        if (hone_legacy_cut_digits(&rest, &digits) && hone_legacy_starts(rest, " ---"))
            return true;
    }
    return false;
}

// Whether "/N) stack: ---" is somewhere in the text.
static bool has_thread_end(struct hone_str text)
{
    static const char end[] = ") stack: ---";
    size_t at;
    for (struct hone_str rest = text; (at = hone_legacy_find(rest, end)) != SIZE_MAX;) {
        size_t digits = at;
        while (digits && rest.at[digits - 1] >= '0' && rest.at[digits - 1] <= '9')
            digits--;
        if (digits < at && digits && rest.at[digits - 1] == '/')
            return true;
        hone_legacy_cut(&rest, at + strlen(end));
    }
    return false;
}

static bool is_thread_head(struct hone_str line)
{
    size_t at;
    while ((at = hone_legacy_find(line, "--- Thread ")) != SIZE_MAX) {
        struct hone_str digits;
        hone_legacy_cut(&line, at + strlen("--- Thread "));
        struct hone_str rest = line;
        if (hone_legacy_cut_hex(&rest, &digits) && hone_legacy_cut_text(&rest, " (name: "))
            return has_thread_end(rest);
    }
    return false;
}

bool hone_legacy_is_threads(struct hone_legacy *l)
{
    return hone_legacy_first_line(&l->lines) &&
           (is_dump_head(l->lines.line) || is_thread_head(l->lines.line));
}

// Adds the frames of one thread; *ret is the line behind, without blanks around it, or the last one
// of the file.
static int read_frames(struct hone_legacy *l, struct hone_str *ret)
{
    bool same = false;
    *ret = (struct hone_str){0};
    while (hone_legacy_next_line(&l->lines)) {
        *ret = hone_legacy_trim(l->lines.line);
        if (hone_legacy_starts(*ret, "---"))
            break;
        if (hone_legacy_find(*ret, "same as previous thread") != SIZE_MAX) {
            same = true;
            continue;
        }
        int r = hone_legacy_add_frames(l, *ret, HONE_LEGACY_LEAF_FIRST);
        if (r)
            return r;
    }
    if (same)
        l->frame_count = l->open_frame;
    return 0;
}

static int read_thread(struct hone_legacy *l, struct hone_str *line)
{
    int r = read_frames(l, line);
    if (r)
        return r;
    if (l->frame_count != l->open_frame)
        return hone_legacy_add_sample(l, &(struct hone_legacy_sample){.values = {1}});
    if (l->sample_count)
        l->samples[l->sample_count - 1].values[0]++;
    return 0;
}

int hone_legacy_read_threads(struct hone_legacy *l)
{
    if (!hone_legacy_first_line(&l->lines))
        return HONE_LEGACY_FOREIGN;
    struct hone_str line = l->lines.line;
    if (is_dump_head(line)) {
        while (hone_legacy_next_line(&l->lines) && !hone_legacy_is_maps_head(l->lines.line) &&
               !hone_legacy_starts(l->lines.line, "-"))
            continue;
        line = l->lines.line;
    } else if (!is_thread_head(line)) {
        return HONE_LEGACY_FOREIGN;
    }
    hone_profile_set_period(l->profile, "thread", "count", 1);
    (void)hone_profile_add_type(l->profile, "thread", "count");
    int r = 0;
    while (!r && !hone_legacy_is_maps_head(line)) {
        if (hone_legacy_starts(line, "---- no stack trace for"))
            break;
        if (!is_thread_head(line))
            return hone_legacy_foreign(l, "neither a thread nor the memory map at the end");
        r = read_thread(l, &line);
    }
    if (!r)
        r = hone_legacy_read_maps_section(l);
    if (!r)
        r = hone_legacy_place_all(l);
    if (!r)
        hone_legacy_drop_double_leaves(l);
    return r;
}
