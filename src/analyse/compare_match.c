#include "analyse/compare_parts.h"

#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { BASE = 1, NEW = 2, BOTH = 3 }; // bits of a row's sides

// A function with so many samples on one side is missing on the other by chance once in e^8 = 3000
// times. One that was seen less often need not be gone, so nothing is looked for in its place.
static const double seen_enough = 8;

static bool is_seen_enough(const struct hone_compare_build *b, uint32_t row)
{
    struct hone_judge_sum sum = {0};
    for (uint32_t i = 0; i < b->run_count; i++) {
        sum.value += b->runs[i].sums[row].cum.value;
        sum.squares += b->runs[i].sums[row].cum.squares;
    }
    return sum.value > 0 && sum.value * sum.value >= seen_enough * sum.squares;
}

// --- what a name is at heart ---------------------------------------------------------------------

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// The length of a name without one trailing ".word" or ".word.7" of a compiler.
static size_t without_clone(struct hone_str name)
{
    static const char *const words[] = {".cold", ".isra",     ".constprop",  ".part",
                                        ".llvm", ".lto_priv", ".localalias", NULL};
    size_t len = name.len;
    while (len && is_digit(name.at[len - 1]))
        len--;
    if (len < name.len && len && name.at[len - 1] == '.')
        len--;
    else
        len = name.len;
    for (const char *const *word = words; *word; word++) {
        size_t size = strlen(*word);
        if (len > size && memcmp(name.at + len - size, *word, size) == 0)
            return len - size;
    }
    return name.len;
}

// The same without a Rust hash: "::h" and 16 hexadecimal digits.
static size_t without_hash(struct hone_str name)
{
    enum { HASH = 19 };
    if (name.len <= HASH || memcmp(name.at + name.len - HASH, "::h", 3) != 0)
        return name.len;
    for (size_t i = name.len - 16; i < name.len; i++)
        if (!is_digit(name.at[i]) && !(name.at[i] >= 'a' && name.at[i] <= 'f'))
            return name.len;
    return name.len - HASH;
}

// The same without parameters: the last pair of brackets at the end, perhaps with "const" behind.
static size_t without_parameters(struct hone_str name)
{
    size_t end = name.len;
    if (end > 6 && memcmp(name.at + end - 6, " const", 6) == 0)
        end -= 6;
    if (!end || name.at[end - 1] != ')')
        return name.len;
    int depth = 0;
    for (size_t at = end; at-- > 0;) {
        depth += name.at[at] == ')';
        depth -= name.at[at] == '(';
        if (depth == 0) // "operator()" and "(anonymous namespace)" are names, not parameters
            return at > 1 && name.at[at - 1] != ':' &&
                           !(at >= 8 && memcmp(name.at + at - 8, "operator", 8) == 0)
                       ? at
                       : name.len;
    }
    return name.len;
}

struct hone_str hone_compare_stem(struct hone_str name)
{
    for (size_t before = 0; before != name.len;) {
        before = name.len;
        name.len = without_clone(name);
        name.len = without_hash(name);
        name.len = without_parameters(name);
    }
    return name;
}

// --- by a key that both have ---------------------------------------------------------------------

struct keyed {
    struct hone_str key;
    uint32_t row;
};

static int compare_keyed(const void *left, const void *right)
{
    const struct keyed *a = left;
    const struct keyed *b = right;
    size_t shorter = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = memcmp(a->key.at, b->key.at, shorter);
    if (!order)
        order = (a->key.len > b->key.len) - (a->key.len < b->key.len);
    return order ? order : (a->row > b->row) - (a->row < b->row);
}

// The last two parts of a path, for sources are built in one directory today and in another
// tomorrow, and the line where the function begins.
static int place_key(const struct hone_compare_build *b, uint32_t row, struct hone_str *ret)
{
    const struct hone_compare_found *found = &b->found[row];
    uint32_t side = found->seen == BASE ? 0 : 1;
    struct hone_str file = found->file[side];
    *ret = (struct hone_str){0};
    if (!file.len || found->start_line[side] <= 0)
        return 0;
    size_t at = file.len;
    for (int parts = 0; at && parts < 2; at--)
        parts += file.at[at - 1] == '/';
    size_t from = at && file.at[at] == '/' ? at + 1 : at;
    char *text = hone_arena_format(b->text, "%.*s:%lld", (int)(file.len - from), file.at + from,
                                   (long long)found->start_line[side]);
    *ret = hone_str_of(text);
    return text ? 0 : -ENOMEM;
}

// Overloads have one stem: each side may have seen another one.
static int stem_key(const struct hone_compare_build *b, uint32_t row, struct hone_str *ret)
{
    *ret = is_seen_enough(b, row) ? hone_compare_stem(b->found[row].name) : (struct hone_str){0};
    return 0;
}

static void join(struct hone_compare_build *b, uint32_t old, uint32_t new,
                 enum hone_compare_match how)
{
    b->found[old].joined = new;
    b->found[new].match = how;
    b->found[old].match = how;
    for (uint32_t i = 0; i < b->run_count; i++) { // the base's runs have none of new, and so on
        struct hone_compare_sum *from = &b->runs[i].sums[old];
        struct hone_compare_sum *to = &b->runs[i].sums[new];
        if (b->runs[i].side == 0)
            *to = *from;
        *from = (struct hone_compare_sum){0};
    }
    b->found[new].file[0] = b->found[old].file[0];
    b->found[new].start_line[0] = b->found[old].start_line[0];
    b->found[new].seen = BOTH;
    b->found[old].seen = 0;
}

// Joins a row of the base and a row of the new side when no other of either has their key.
static int join_by(struct hone_compare_build *b,
                   int (*key_of)(const struct hone_compare_build *, uint32_t, struct hone_str *),
                   enum hone_compare_match how)
{
    HONE_CLEANUP(hone_freep)
    struct keyed *keyed = calloc((size_t)b->found_count + 1, sizeof *keyed);
    if (!keyed)
        return -ENOMEM;
    uint32_t count = 0;
    for (uint32_t row = 0; row < b->found_count; row++) {
        if (b->found[row].seen != BASE && b->found[row].seen != NEW)
            continue;
        keyed[count].row = row;
        int r = key_of(b, row, &keyed[count].key);
        if (r)
            return r;
        count += keyed[count].key.len > 0;
    }
    qsort(keyed, count, sizeof *keyed, compare_keyed);
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && hone_str_equal(keyed[end].key, keyed[i].key);)
            end++;
        if (end - i != 2)
            continue;
        uint32_t a = keyed[i].row;
        uint32_t c = keyed[i + 1].row;
        if (b->found[a].seen == BASE && b->found[c].seen == NEW)
            join(b, a, c, how);
        else if (b->found[a].seen == NEW && b->found[c].seen == BASE)
            join(b, c, a, how);
    }
    return 0;
}

// --- by what they call and who calls them
// ----------------------------------------------------------

enum {
    CANDIDATES_MAX = 128, // of a side, the largest
    LINKS_MAX = 1 << 18,  // callers and callees of them: 8 MiB
    CALLER = 0,
    CALLEE = 1,
};
static const double candidate_share = 0.001; // smaller ones have too few samples to be known by
static const double alike = 0.95;            // cosine of two lists of callers or callees

// How much of a candidate's time goes from or to a neighbour.
struct link {
    uint64_t key; // candidate, CALLER or CALLEE, neighbour
    double value;
};

struct links {
    struct hone_table table;
    struct link *at;
    uint32_t count;
    uint64_t seed;
};

static void links_done(struct links *links)
{
    hone_table_done(&links->table);
    free(links->at);
}

static uint64_t link_key(uint32_t candidate, uint32_t kind, uint32_t row)
{
    return (uint64_t)candidate << 33 | (uint64_t)kind << 32 | row;
}

static int add_link(struct links *links, uint64_t key, double value)
{
    uint64_t hash = hone_table_hash(&key, sizeof key, links->seed);
    struct hone_table_probe probe = hone_table_probe(&links->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&links->table, &probe)) != HONE_TABLE_END)
        if (links->at[at].key == key) {
            links->at[at].value += value;
            return 0;
        }
    if (links->count == LINKS_MAX)
        return 0;
    links->at[links->count] = (struct link){key, value};
    return hone_table_add(&links->table, hash, links->count++);
}

struct candidates {
    uint32_t count;
    uint32_t rows[2 * CANDIDATES_MAX];
    double flat[2 * CANDIDATES_MAX];
    double cum[2 * CANDIDATES_MAX];
    uint32_t *number; // by row: its place + 1
};

static void candidates_done(struct candidates *candidates)
{
    free(candidates->number);
}

struct sized {
    double cum;
    uint32_t row;
};

static int compare_sized(const void *left, const void *right)
{
    const struct sized *a = left;
    const struct sized *b = right;
    if (a->cum != b->cum)
        return a->cum > b->cum ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static int choose_candidates(const struct hone_compare_build *b, struct candidates *ret)
{
    ret->number = calloc((size_t)b->found_count + 1, sizeof *ret->number);
    HONE_CLEANUP(hone_freep)
    struct sized *sized = calloc((size_t)b->found_count + 1, sizeof *sized);
    if (!ret->number || !sized)
        return -ENOMEM;
    for (uint32_t side = 0; side < 2; side++) {
        double whole = 0;
        for (uint32_t i = 0; i < b->run_count; i++)
            whole += b->runs[i].side == side ? b->runs[i].weights.whole.value : 0;
        uint32_t count = 0;
        for (uint32_t row = 0; row < b->found_count; row++) {
            if (b->found[row].seen != (side ? NEW : BASE))
                continue;
            double cum = 0;
            for (uint32_t i = 0; i < b->run_count; i++)
                cum += b->runs[i].sums[row].cum.value;
            if (cum >= whole * candidate_share && is_seen_enough(b, row))
                sized[count++] = (struct sized){cum / whole, row};
        }
        qsort(sized, count, sizeof *sized, compare_sized);
        for (uint32_t i = 0; i < count && i < CANDIDATES_MAX; i++) {
            uint32_t row = sized[i].row;
            ret->rows[ret->count] = row;
            ret->cum[ret->count] = sized[i].cum;
            for (uint32_t k = 0; k < b->run_count; k++)
                ret->flat[ret->count] += b->runs[k].sums[row].flat.value / whole;
            ret->number[row] = ++ret->count;
        }
    }
    return 0;
}

// The next row on a stack: links what it finds with the row before it.
static int link_frame(const struct candidates *candidates, struct links *links, uint32_t *caller,
                      uint32_t row, double value)
{
    if (row == *caller)
        return 0;
    int r = 0;
    if (*caller != HONE_COMPARE_NO_ROW) {
        uint32_t above = candidates->number[*caller];
        uint32_t below = candidates->number[row];
        if (above)
            r = add_link(links, link_key(above - 1, CALLEE, row), value);
        if (below && !r)
            r = add_link(links, link_key(below - 1, CALLER, *caller), value);
    }
    *caller = row;
    return r;
}

static int link_run(const struct hone_compare_run *run, const struct candidates *candidates,
                    struct links *links)
{
    const struct hone_profile *p = run->profile;
    const struct hone_nodes *nodes = &run->nodes;
    int r = 0;
    for (uint32_t stack = 1; !r && stack < p->stacks.count; stack++) {
        double value = run->weights.stacks[stack].value;
        if (!(value > 0))
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        uint32_t caller = HONE_COMPARE_NO_ROW;
        for (uint32_t i = frames.count; !r && i-- > 0;)
            for (uint32_t at = nodes->first[frames.at[i]];
                 !r && at < nodes->first[frames.at[i] + 1]; at++)
                r = link_frame(candidates, links, &caller, nodes->at[at], value);
    }
    return r;
}

static int compare_links(const void *left, const void *right)
{
    uint64_t a = ((const struct link *)left)->key;
    uint64_t b = ((const struct link *)right)->key;
    return (a > b) - (a < b);
}

static const struct link *first_link(const struct links *links, uint64_t key)
{
    uint32_t low = 0;
    for (uint32_t high = links->count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (links->at[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return links->at + low;
}

// How much two candidates' callers (or callees) are the same, 0 to 1: the cosine of their lists.
// Two that have none at all are as alike as can be, and say nothing (ret_any). Neighbours that are
// candidates themselves may be renamed, too, so they do not count.
static double cosine(const struct links *links, const struct candidates *candidates, uint32_t a,
                     uint32_t b, uint32_t kind, bool *ret_any)
{
    const struct link *left = first_link(links, link_key(a, kind, 0));
    const struct link *left_end = first_link(links, link_key(a, kind, UINT32_MAX));
    const struct link *right = first_link(links, link_key(b, kind, 0));
    const struct link *right_end = first_link(links, link_key(b, kind, UINT32_MAX));
    double product = 0;
    double left_square = 0;
    double right_square = 0;
    while (left < left_end || right < right_end) {
        uint32_t l = left < left_end ? (uint32_t)left->key : UINT32_MAX;
        uint32_t r = right < right_end ? (uint32_t)right->key : UINT32_MAX;
        uint32_t row = l < r ? l : r;
        double x = l == row ? left++->value : 0;
        double y = r == row ? right++->value : 0;
        if (candidates->number[row])
            continue;
        product += x * y;
        left_square += x * x;
        right_square += y * y;
    }
    if (left_square == 0 && right_square == 0)
        return 1;
    *ret_any = true;
    return left_square > 0 && right_square > 0 ? product / sqrt(left_square * right_square) : 0;
}

// How well two candidates fit, 0 for not at all.
static double fit(const struct links *links, const struct candidates *c, uint32_t old, uint32_t new)
{
    double cum = c->cum[old] / c->cum[new];
    double flat_old = c->flat[old] + 0.1 * c->cum[old];
    double flat_new = c->flat[new] + 0.1 * c->cum[new];
    if (cum < 0.5 || cum > 2 || flat_old < flat_new / 2 || flat_old > flat_new * 2)
        return 0;
    bool callers = false;
    bool callees = false;
    double above = cosine(links, c, old, new, CALLER, &callers);
    if (above < alike || !callers)
        return 0;
    double below = cosine(links, c, old, new, CALLEE, &callees);
    // A leaf is known by its callers alone, which is little: it must be as large, too.
    if (below < alike || (!callees && (cum < 0.8 || cum > 1.25)))
        return 0;
    return above * below;
}

// Who fits a candidate best among those of the other side; nobody when two fit nearly as well.
static uint32_t best_of(const double *fits, uint32_t count, size_t step)
{
    uint32_t best = HONE_COMPARE_NO_ROW;
    double first = 0;
    double second = 0;
    for (uint32_t i = 0; i < count; i++) {
        double value = fits[i * step];
        if (value > first) {
            second = first;
            first = value;
            best = i;
        } else if (value > second) {
            second = value;
        }
    }
    return first > 0 && second < first * 0.98 ? best : HONE_COMPARE_NO_ROW;
}

static int join_alike(struct hone_compare_build *b, const struct candidates *c,
                      const struct links *links)
{
    uint32_t old_count = 0;
    while (old_count < c->count && b->found[c->rows[old_count]].seen == BASE)
        old_count++;
    uint32_t new_count = c->count - old_count;
    HONE_CLEANUP(hone_freep)
    double *fits = calloc((size_t)old_count * new_count + 1, sizeof *fits);
    if (!fits)
        return -ENOMEM;
    for (uint32_t i = 0; i < old_count; i++)
        for (uint32_t k = 0; k < new_count; k++)
            fits[(size_t)i * new_count + k] = fit(links, c, i, old_count + k);
    for (uint32_t i = 0; i < old_count; i++) {
        uint32_t k = best_of(&fits[(size_t)i * new_count], new_count, 1);
        if (k != HONE_COMPARE_NO_ROW && best_of(&fits[k], old_count, new_count) == i)
            join(b, c->rows[i], c->rows[old_count + k], HONE_COMPARE_SAME_CALLS);
    }
    return 0;
}

// Who called what is gone, for it may have been inlined there.
static void note_callers(struct hone_compare_build *b, const struct candidates *c,
                         const struct links *links)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct hone_compare_found *found = &b->found[c->rows[i]];
        if (found->seen != BASE)
            continue;
        double most = 0;
        const struct link *end = first_link(links, link_key(i, CALLER, UINT32_MAX));
        for (const struct link *at = first_link(links, link_key(i, CALLER, 0)); at < end; at++) {
            if (at->value > most) {
                most = at->value;
                found->caller = (uint32_t)at->key;
            }
        }
    }
}

static int join_by_calls(struct hone_compare_build *b)
{
    HONE_CLEANUP(candidates_done) struct candidates candidates = {0};
    HONE_CLEANUP(links_done) struct links links = {.seed = hone_table_seed()};
    int r = choose_candidates(b, &candidates);
    if (r || !candidates.count)
        return r;
    links.at = calloc(LINKS_MAX, sizeof *links.at);
    if (!links.at)
        return -ENOMEM;
    for (uint32_t i = 0; !r && i < b->run_count; i++)
        r = link_run(&b->runs[i], &candidates, &links);
    if (r)
        return r;
    qsort(links.at, links.count, sizeof *links.at, compare_links);
    r = join_alike(b, &candidates, &links);
    if (!r)
        note_callers(b, &candidates, &links);
    return r;
}

int hone_compare_join(struct hone_compare_build *b)
{
    int r = join_by(b, place_key, HONE_COMPARE_SAME_PLACE);
    if (!r)
        r = join_by(b, stem_key, HONE_COMPARE_SAME_STEM);
    return r ? r : join_by_calls(b);
}
