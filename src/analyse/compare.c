#include "analyse/compare.h"

#include "analyse/compare_parts.h"
#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static void build_done(struct hone_compare_build *b)
{
    for (uint32_t i = 0; b->runs && i < b->run_count; i++) {
        hone_nodes_done(&b->runs[i].nodes);
        hone_weights_done(&b->runs[i].weights);
        free(b->runs[i].sums);
    }
    free(b->runs);
    free(b->found);
    hone_table_done(&b->names);
}

// --- what is compared ----------------------------------------------------------------------------

// The same type and unit in every profile: the first one's, by its name.
static int choose_type(struct hone_compare *compare, struct hone_compare_build *b,
                       struct hone_error *err)
{
    for (uint32_t i = 0; i < b->run_count; i++) {
        const struct hone_profile *p = b->runs[i].profile;
        const char *wanted = i ? compare->type.at : b->options->type;
        int r = hone_profile_select_type(p, wanted, &b->runs[i].type, err);
        if (r)
            return r;
        struct hone_str type = hone_profile_str(p, p->types[b->runs[i].type].type);
        struct hone_str unit = hone_profile_str(p, p->types[b->runs[i].type].unit);
        if (!i) {
            compare->type = type;
            compare->unit = unit;
        } else if (!hone_str_equal(type, compare->type) || !hone_str_equal(unit, compare->unit)) {
            return hone_error_set(
                err, -EINVAL, "cannot compare %.*s in %.*s with %.*s in %.*s (profile %u)",
                (int)compare->type.len, compare->type.at, (int)compare->unit.len, compare->unit.at,
                (int)type.len, type.at, (int)unit.len, unit.at, i + 1);
        }
    }
    return 0;
}

static const char *side_name(uint32_t side)
{
    return side ? "new" : "base";
}

static int describe_sides(struct hone_compare *compare, const struct hone_compare_build *b,
                          struct hone_error *err)
{
    bool untimed[2] = {false, false};
    for (uint32_t i = 0; i < b->run_count; i++) {
        const struct hone_compare_run *run = &b->runs[i];
        struct hone_compare_side *side = &compare->side[run->side];
        side->runs++;
        if (run->weights.whole.value > 0)
            side->samples +=
                run->weights.whole.value * run->weights.whole.value / run->weights.whole.squares;
        side->taken += run->weights.taken;
        side->negative += run->weights.negative;
        side->counted = run->weights.counted > side->counted ? run->weights.counted : side->counted;
        untimed[run->side] |= run->profile->duration_ns <= 0;
        side->seconds += (double)run->profile->duration_ns / 1e9;
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct hone_compare_side *side = &compare->side[i];
        if (!(side->samples > 0)) {
            (void)hone_error_set(err, 0, "the %s side has no samples of type '%.*s'", side_name(i),
                                 (int)compare->type.len, compare->type.at);
            hone_error_hint(err, "'hone info' says what a profile holds");
            return -ENODATA;
        }
        if (untimed[i])
            side->seconds = 0;
        if (untimed[i] && compare->per == HONE_COMPARE_SECOND)
            return hone_error_set(err, -EINVAL,
                                  "a profile of the %s side does not say how long it was recorded, "
                                  "so nothing can be compared by the second",
                                  side_name(i));
    }
    return 0;
}

// --- judging -------------------------------------------------------------------------------------

// The numbers of the rows that count, and their sums side by side.
struct table {
    uint32_t count;
    uint32_t *found; // by row
    struct hone_judge_sum *whole;
    struct hone_judge_sum *rows;
    struct hone_judge_sum *disjoint; // NULL: rows are
    double *exposure;
};

static void table_done(struct table *table)
{
    free(table->found);
    free(table->whole);
    free(table->rows);
    free(table->disjoint);
    free(table->exposure);
}

static const struct hone_judge_sum *wanted(const struct hone_compare_build *b, uint32_t run,
                                           uint32_t row)
{
    const struct hone_compare_sum *sum = &b->runs[run].sums[row];
    return b->options->by_cum ? &sum->cum : &sum->flat;
}

static int fill_table(const struct hone_compare_build *b, struct table *table)
{
    size_t runs = b->run_count;
    table->found = calloc((size_t)b->found_count + 1, sizeof *table->found);
    if (!table->found)
        return -ENOMEM;
    for (uint32_t row = 0; row < b->found_count; row++)
        for (uint32_t run = 0; run < runs; run++)
            if (wanted(b, run, row)->value > 0) {
                table->found[table->count++] = row;
                break;
            }
    table->whole = calloc(runs + 1, sizeof *table->whole);
    table->exposure = calloc(runs + 1, sizeof *table->exposure);
    table->rows = calloc((size_t)table->count * runs + 1, sizeof *table->rows);
    if (b->options->by_cum)
        table->disjoint = calloc((size_t)table->count * runs + 1, sizeof *table->disjoint);
    if (!table->whole || !table->exposure || !table->rows ||
        (b->options->by_cum && !table->disjoint))
        return -ENOMEM;
    for (uint32_t run = 0; run < runs; run++) {
        table->whole[run] = b->runs[run].weights.whole;
        table->exposure[run] = (double)b->runs[run].profile->duration_ns / 1e9;
        for (uint32_t row = 0; row < table->count; row++) {
            table->rows[row * runs + run] = *wanted(b, run, table->found[row]);
            if (table->disjoint)
                table->disjoint[row * runs + run] = b->runs[run].sums[table->found[row]].flat;
        }
    }
    return 0;
}

static struct hone_compare_row make_row(const struct hone_compare_build *b, const uint32_t *became,
                                        uint32_t row)
{
    const struct hone_compare_found *found = &b->found[row];
    struct hone_compare_row made = {.name = found->name, .match = found->match};
    if (became[row] != HONE_COMPARE_NO_ROW)
        made.was = b->found[became[row]].name;
    double values[2] = {0, 0};
    for (uint32_t side = 0; side < 2; side++)
        made.file[side] = found->file[side];
    for (uint32_t run = 0; run < b->run_count; run++) {
        uint32_t side = b->runs[run].side;
        const struct hone_compare_sum *sum = &b->runs[run].sums[row];
        const struct hone_judge_sum *value = wanted(b, run, row);
        values[side] += value->value;
        made.inlined[side] += b->options->by_cum ? sum->cum_inlined : sum->flat_inlined;
        if (value->value > 0)
            made.samples[side] += value->value * value->value / value->squares;
    }
    for (uint32_t side = 0; side < 2; side++)
        made.inlined[side] = values[side] > 0 ? made.inlined[side] / values[side] : 0;
    return made;
}

// Names of both sides, for those that were joined: by the row that took the other in.
static uint32_t *find_joined(const struct hone_compare_build *b)
{
    uint32_t *became = malloc(((size_t)b->found_count + 1) * sizeof *became);
    for (uint32_t row = 0; became && row < b->found_count; row++)
        became[row] = HONE_COMPARE_NO_ROW;
    for (uint32_t row = 0; became && row < b->found_count; row++)
        if (b->found[row].joined != row)
            became[b->found[row].joined] = row;
    return became;
}

// A function that is gone while its caller has about as much more itself may have been inlined
// there. Its own name would tell, had the compiler left it; where it did not, this is a guess.
static void guess_inlined(struct hone_compare *compare, const struct hone_compare_build *b,
                          const uint32_t *found, const uint32_t *place)
{
    for (uint32_t i = 0; i < compare->row_count && !compare->by_cum; i++) {
        struct hone_compare_row *row = &compare->rows[i];
        uint32_t caller = b->found[found[i]].caller;
        if (row->is.value[1] > 0 || row->is.verdict != HONE_VERDICT_LESS ||
            caller == HONE_COMPARE_NO_ROW || !place[caller])
            continue;
        const struct hone_compare_row *into = &compare->rows[place[caller] - 1];
        double gained = into->is.value[1] - into->is.value[0];
        if (into->is.verdict == HONE_VERDICT_MORE && gained > row->is.value[0] / 2 &&
            gained < row->is.value[0] * 2)
            row->perhaps_in = into->name;
    }
}

static double change_of(const struct hone_compare_row *row)
{
    return fabs(row->is.value[1] - row->is.value[0]);
}

static double larger_of(const struct hone_compare_row *row)
{
    return fmax(row->is.value[0], row->is.value[1]);
}

static int compare_rows(const void *left, const void *right)
{
    const struct hone_compare_row *a = left;
    const struct hone_compare_row *b = right;
    bool a_told = a->is.verdict != HONE_VERDICT_UNKNOWN;
    bool b_told = b->is.verdict != HONE_VERDICT_UNKNOWN;
    if (a_told != b_told)
        return a_told ? -1 : 1;
    // What differs by how much it does, what may not by how much there is of it.
    double x = a_told ? change_of(a) : larger_of(a);
    double y = a_told ? change_of(b) : larger_of(b);
    if (x != y)
        return x > y ? -1 : 1;
    size_t shorter = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = memcmp(a->name.at, b->name.at, shorter);
    return order ? order : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

static int judge_table(struct hone_compare *compare, const struct hone_compare_build *b,
                       const struct table *table)
{
    struct hone_judge_sides sides = {
        .runs = {compare->side[0].runs, compare->side[1].runs},
        .row_count = table->count,
        .whole = table->whole,
        .rows = table->rows,
        .disjoint = table->disjoint ? table->disjoint : table->rows,
        .exposure = compare->per == HONE_COMPARE_SECOND ? table->exposure : NULL,
        .share = compare->per == HONE_COMPARE_SHARE,
        .error = b->options->error > 0 ? b->options->error : 0.05,
    };
    int r = hone_judge(&sides, &compare->judge);
    HONE_CLEANUP(hone_freep) uint32_t *became = find_joined(b);
    HONE_CLEANUP(hone_freep) uint32_t *place = calloc((size_t)b->found_count + 1, sizeof *place);
    compare->rows = calloc((size_t)table->count + 1, sizeof *compare->rows);
    if (r || !became || !place || !compare->rows)
        return -ENOMEM;
    for (uint32_t i = 0; i < table->count; i++) {
        compare->rows[i] = make_row(b, became, table->found[i]);
        compare->rows[i].is = compare->judge.rows[i];
        place[table->found[i]] = i + 1;
        for (uint32_t side = 0; side < 2; side++)
            compare->side[side].functions_only += compare->rows[i].is.value[1 - side] <= 0;
    }
    compare->row_count = table->count;
    guess_inlined(compare, b, table->found, place);
    free(compare->judge.rows);
    compare->judge.rows = NULL;
    qsort(compare->rows, compare->row_count, sizeof *compare->rows, compare_rows);
    return 0;
}

static int fill(struct hone_compare *compare, struct hone_compare_build *b, struct hone_error *err)
{
    HONE_CLEANUP(table_done) struct table table = {0};
    int r = choose_type(compare, b, err);
    if (r)
        return r;
    r = hone_compare_rows(b);
    if (!r)
        r = describe_sides(compare, b, err);
    if (!r && b->options->group == HONE_GRAPH_FUNCTION && !b->options->names_only)
        r = hone_compare_join(b);
    if (!r)
        r = fill_table(b, &table);
    if (!r)
        r = judge_table(compare, b, &table);
    return r == -ENOMEM ? hone_error_set(err, r, "cannot compare the profiles") : r;
}

int hone_compare_new(const struct hone_compare_input sides[2],
                     const struct hone_compare_options *options, struct hone_compare **ret,
                     struct hone_error *err)
{
    static const struct hone_compare_options defaults;
    HONE_CLEANUP(hone_compare_freep) struct hone_compare *compare = calloc(1, sizeof *compare);
    HONE_CLEANUP(build_done)
    struct hone_compare_build build = {
        .options = options ? options : &defaults,
        .run_count = sides[0].count + sides[1].count,
    };
    build.runs = calloc((size_t)build.run_count + 1, sizeof *build.runs);
    if (!compare || !build.runs)
        return hone_error_set(err, -ENOMEM, "cannot compare the profiles");
    if (!sides[0].count || !sides[1].count)
        return hone_error_set(err, -EINVAL, "the %s side has no profile",
                              side_name(sides[0].count > 0));
    build.text = &compare->text;
    compare->per = build.options->per;
    compare->by_cum = build.options->by_cum;
    for (uint32_t i = 0; i < build.run_count; i++) {
        uint32_t side = i >= sides[0].count;
        build.runs[i].side = side;
        build.runs[i].profile = sides[side].at[i - (side ? sides[0].count : 0)];
    }
    int r = fill(compare, &build, err);
    if (r)
        return r;
    *ret = hone_take(compare);
    return 0;
}

void hone_compare_free(struct hone_compare *compare)
{
    if (!compare)
        return;
    free(compare->judge.rows);
    free(compare->rows);
    hone_arena_done(&compare->text);
    free(compare);
}

void hone_compare_freep(struct hone_compare **compare)
{
    hone_compare_free(*compare);
}
