// Which mapping an address lies in. The lists in old files have the marks of the programs that
// wrote them: one mapping in two pieces, the main program not first, a start that was moved without
// the rest. pprof puts that right by rules of thumb, and so do we, in the same order, since the
// address within a file, and with it each name, depends on them.
#include "profile/legacy.h"

#include "base/array.h"
#include "base/buffer.h"

#include <errno.h>

// Comparisons of addresses with mappings, a few seconds: 400 000 addresses in 10 000 mappings.
static const uint64_t WORK_MAX = 1ull << 32;

static const uint64_t MAIN_START = 0x400000; // of a program that is not position-independent

// --- the list ------------------------------------------------------------------------------------

static bool may_be_one(uint32_t a, uint32_t b)
{
    return !a || !b || a == b;
}

// Whether b is the second piece of a.
static bool continues(const struct hone_legacy_mapping *a, const struct hone_legacy_mapping *b)
{
    return may_be_one(a->file, b->file) && may_be_one(a->build_id, b->build_id) &&
           a->limit == b->start &&
           (!a->offset || !b->offset || a->offset + (a->limit - a->start) == b->offset);
}

static void join_pieces(struct hone_legacy *l)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->mapping_count; i++) {
        const struct hone_legacy_mapping *m = &l->mappings[i];
        struct hone_legacy_mapping *last = kept ? &l->mappings[kept - 1] : NULL;
        if (!last || !continues(last, m)) {
            l->mappings[kept++] = *m;
            continue;
        }
        last->limit = m->limit;
        if (m->file)
            last->file = m->file;
        if (m->build_id)
            last->build_id = m->build_id;
    }
    l->mapping_count = kept;
}

// ".so" at the end, or ".so." and ".so_" with a digit behind anywhere.
static bool is_library(struct hone_str file)
{
    if (hone_legacy_ends(file, ".so"))
        return true;
    for (size_t at; (at = hone_legacy_find(file, ".so")) != SIZE_MAX;) {
        hone_legacy_cut(&file, at + 3);
        if (file.len > 1 && (file.at[0] == '.' || file.at[0] == '_') && file.at[1] >= '0' &&
            file.at[1] <= '9')
            return true;
    }
    return false;
}

static void append_without(struct hone_buffer *out, struct hone_str text, const char *word)
{
    for (size_t at; (at = hone_legacy_find(text, word)) != SIZE_MAX;) {
        hone_buffer_add(out, text.at, at);
        hone_legacy_cut(&text, at + strlen(word));
    }
    hone_buffer_add(out, text.at, text.len);
}

// Puts what looks like the main program first.
static int main_first(struct hone_legacy *l)
{
    struct hone_buffer name = {0};
    for (uint32_t i = 0; i < l->mapping_count && !name.failed; i++) {
        name.len = 0;
        append_without(&name, hone_profile_str(l->profile, l->mappings[i].file), "(deleted)");
        struct hone_str file = hone_legacy_trim((struct hone_str){name.at, name.len});
        if (!file.len || file.at[0] == '[' || is_library(file))
            continue;
        struct hone_legacy_mapping first = l->mappings[0];
        l->mappings[0] = l->mappings[i];
        l->mappings[i] = first;
        break;
    }
    bool failed = name.failed;
    hone_buffer_done(&name);
    return failed ? hone_legacy_out_of_memory(l) : 0;
}

static void mend_first(struct hone_legacy *l)
{
    struct hone_legacy_mapping *m = l->mappings;
    if (l->mapping_count > 1 && m[0].limit == m[1].start &&
        hone_legacy_starts(hone_profile_str(l->profile, m[0].file), "/anon_hugepage")) {
        memmove(m, m + 1, (l->mapping_count - 1) * sizeof *m);
        l->mapping_count--;
    }
    if (l->mapping_count && m[0].start - m[0].offset == MAIN_START) {
        m[0].start = MAIN_START;
        m[0].offset = 0;
    }
}

// --- addresses -----------------------------------------------------------------------------------

int hone_legacy_add_unknown_mapping(struct hone_legacy *l)
{
    if (!hone_array_reserve(&l->mappings, &l->mapping_room, (uint64_t)l->mapping_count + 1,
                            sizeof *l->mappings))
        return hone_legacy_out_of_memory(l);
    l->mappings[l->mapping_count++] = (struct hone_legacy_mapping){.limit = UINT64_MAX};
    return 0;
}

struct search {
    uint64_t work;
    uint32_t made_up; // the mapping of those that lie in none; 0 while there is none
};

// The mapping around an address, plus one; 0 none.
static uint32_t find_around(struct hone_legacy *l, struct search *search, uint64_t address)
{
    search->work += l->mapping_count;
    for (uint32_t i = 0; i < l->mapping_count; i++)
        if (l->mappings[i].start <= address && address < l->mappings[i].limit)
            return i + 1;
    return 0;
}

// The mapping whose first piece, by its offset in the file, was lost and had the address.
static uint32_t find_lost_piece(struct hone_legacy *l, struct search *search, uint64_t address)
{
    search->work += l->mapping_count;
    for (uint32_t i = 0; i < l->mapping_count; i++) {
        struct hone_legacy_mapping *m = &l->mappings[i];
        if (m->offset && m->start - m->offset <= address && address < m->start) {
            m->start -= m->offset;
            m->offset = 0;
            return i + 1;
        }
    }
    return 0;
}

static int place_address(struct hone_legacy *l, struct search *search,
                         struct hone_legacy_place *place)
{
    place->placed = true;
    if (!place->address)
        return 0;
    place->mapping = find_around(l, search, place->address);
    if (!place->mapping)
        place->mapping = find_lost_piece(l, search, place->address);
    if (search->work > WORK_MAX)
        return hone_legacy_bad(l, "too many mappings (%u) for so many addresses (%u)",
                               l->mapping_count, l->place_count);
    if (place->mapping)
        return 0;
    if (!search->made_up) {
        int r = hone_legacy_add_unknown_mapping(l);
        if (r)
            return r;
        search->made_up = l->mapping_count;
    }
    place->mapping = search->made_up;
    return 0;
}

int hone_legacy_place_all(struct hone_legacy *l)
{
    join_pieces(l);
    int r = main_first(l);
    if (r)
        return r;
    mend_first(l);
    struct search search = {0};
    for (uint32_t i = 0; i < l->sample_count; i++) {
        const struct hone_legacy_sample *sample = &l->samples[i];
        for (uint32_t k = 0; !r && k < sample->frame_count; k++) {
            struct hone_legacy_place *place = &l->places[l->frames[sample->first_frame + k]];
            if (!place->placed)
                r = place_address(l, &search, place);
        }
        if (r)
            return r;
    }
    return 0;
}
