#include "analyse/compare.h"

#include <math.h>

// What a row surely gained at least, and may have gained at most, as parts of the whole.
static double gain(const struct hone_judge_row *row, double change)
{
    if (row->value[0] > 0)
        return row->value[0] * change;
    return row->value[1] * change / (1 + change); // of nothing: what it has, as far as it is sure
}

static enum hone_compare_gate gate_rows(const struct hone_compare *compare, double limit,
                                        const struct hone_compare_row **ret_row)
{
    const struct hone_compare_row *most = NULL;
    double sure = -INFINITY;
    double possible = -INFINITY;
    for (uint32_t i = 0; i < compare->row_count; i++) {
        const struct hone_judge_row *row = &compare->rows[i].is;
        if (row->tested && gain(row, row->low) > sure) {
            sure = gain(row, row->low);
            most = &compare->rows[i];
        }
        // Nothing holds a row that nobody saw before; its share does.
        double high = row->value[0] > 0 ? gain(row, row->high) : row->value[1] * 2;
        possible = fmax(possible, high);
    }
    *ret_row = most;
    return sure > limit        ? HONE_COMPARE_ABOVE
           : possible <= limit ? HONE_COMPARE_BELOW
                               : HONE_COMPARE_UNSURE;
}

enum hone_compare_gate hone_compare_gate(const struct hone_compare *compare, double limit,
                                         const struct hone_compare_row **ret_row)
{
    *ret_row = NULL;
    if (compare->per == HONE_COMPARE_SHARE)
        return gate_rows(compare, limit, ret_row);
    const struct hone_judge_row *whole = &compare->judge.whole;
    return whole->low > limit     ? HONE_COMPARE_ABOVE
           : whole->high <= limit ? HONE_COMPARE_BELOW
                                  : HONE_COMPARE_UNSURE;
}

struct hone_compare_need hone_compare_need(const struct hone_compare *compare, double change)
{
    static const double nine_in_ten = 1.2816; // standard deviations
    const struct hone_judge *judge = &compare->judge;
    double margin = fabs(log((1 + judge->whole.change) / (1 + change)));
    double reach = judge->whole_point + nine_in_ten;
    double allowed = (margin / reach) * (margin / reach);
    if (!(allowed > 0))
        return (struct hone_compare_need){.samples = INFINITY};
    double times = judge->whole_variance / allowed;
    double fewer = fmin(compare->side[0].runs, compare->side[1].runs);
    if (judge->df > 0)
        return (struct hone_compare_need){.runs = ceil(fewer * fmax(times, 1))};
    return (struct hone_compare_need){.samples =
                                          2 / allowed}; // either side has half of the variance
}
