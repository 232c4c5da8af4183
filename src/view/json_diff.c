#include "analyse/compare.h"
#include "base/utf8.h"
#include "view/diff.h"
#include "view/diff_rows.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <math.h>

struct writer {
    struct hone_buffer *out;
    struct hone_arena arena;
    bool failed;
};

static void put_key(struct writer *w, const char *key)
{
    hone_buffer_format(w->out, "\"%s\": ", key);
}

static void put_text(struct writer *w, const char *key, struct hone_str text)
{
    put_key(w, key);
    hone_flame_json(w->out, hone_utf8_clean(&w->arena, text, SIZE_MAX, &w->failed));
}

// JSON has no infinity: what has no number is null.
static void put_number(struct writer *w, const char *key, double number)
{
    put_key(w, key);
    if (isfinite(number))
        hone_buffer_format(w->out, "%.10g", number);
    else
        hone_buffer_text(w->out, "null");
}

static void comma(struct writer *w)
{
    hone_buffer_text(w->out, ", ");
}

static const char *const verdicts[] = {
    [HONE_VERDICT_UNKNOWN] = "cannot tell",
    [HONE_VERDICT_MORE] = "more",
    [HONE_VERDICT_LESS] = "less",
};

static void put_judged(struct writer *w, const struct hone_judge_row *row)
{
    put_number(w, "base", row->value[0]);
    comma(w);
    put_number(w, "new", row->value[1]);
    comma(w);
    put_number(w, "change", row->change);
    comma(w);
    put_number(w, "low", row->low);
    comma(w);
    put_number(w, "high", row->high);
    comma(w);
    put_number(w, "p", row->chance);
    hone_buffer_format(w->out, ", \"tested\": %s", row->tested ? "true" : "false");
    comma(w);
    put_text(w, "verdict", hone_str_of(verdicts[row->verdict]));
}

static void put_row(struct writer *w, const struct hone_compare_row *row)
{
    static const char *const matches[] = {
        [HONE_COMPARE_SAME_PLACE] = "same place",
        [HONE_COMPARE_SAME_STEM] = "same stem",
        [HONE_COMPARE_SAME_CALLS] = "same calls",
    };
    hone_buffer_text(w->out, "    {");
    put_text(w, "name", row->name);
    comma(w);
    put_judged(w, &row->is);
    comma(w);
    put_number(w, "base_samples", row->samples[0]);
    comma(w);
    put_number(w, "new_samples", row->samples[1]);
    if (row->was.len) {
        comma(w);
        put_text(w, "was", row->was);
        comma(w);
        put_text(w, "matched_by", hone_str_of(matches[row->match]));
    }
    enum hone_diff_inlining inlining = hone_diff_inlining(row);
    if (inlining != HONE_DIFF_INLINED_AS_BEFORE) {
        comma(w);
        put_text(w, "inlined",
                 inlining == HONE_DIFF_INLINED_NOW ? HONE_STR("now") : HONE_STR("no longer"));
    }
    if (hone_diff_moved(row)) {
        comma(w);
        put_text(w, "base_file", row->file[0]);
        comma(w);
        put_text(w, "new_file", row->file[1]);
    }
    if (row->perhaps_in.len) {
        comma(w);
        put_text(w, "perhaps_inlined_into", row->perhaps_in);
    }
    hone_buffer_text(w->out, "}");
}

static void put_filters(struct writer *w, const char *const *filters)
{
    if (!filters || !*filters)
        return;
    hone_buffer_text(w->out, "  \"filters\": [");
    for (const char *const *at = filters; *at; at++) {
        hone_buffer_text(w->out, at == filters ? "" : ", ");
        hone_flame_json(w->out, hone_utf8_clean(&w->arena, hone_str_of(*at), SIZE_MAX, &w->failed));
    }
    hone_buffer_text(w->out, "],\n");
}

static void put_side(struct writer *w, const char *key, const struct hone_compare_side *side)
{
    static const char *const counted[] = {
        [HONE_COMPARE_BY_SAMPLES] = "samples",
        [HONE_COMPARE_BY_PERIOD] = "period",
        [HONE_COMPARE_BY_STACKS] = "stacks",
    };
    hone_buffer_format(w->out, "  \"%s\": {\"runs\": %u", key, side->runs);
    comma(w);
    put_number(w, "samples", side->taken);
    comma(w);
    put_number(w, "equal_samples", side->samples);
    comma(w);
    put_text(w, "counted_by", hone_str_of(counted[side->counted]));
    comma(w);
    put_number(w, "seconds", side->seconds > 0 ? side->seconds : INFINITY);
    hone_buffer_format(w->out, ", \"left_out_negative\": %llu},\n",
                       (unsigned long long)side->negative);
}

static void put_gate(struct writer *w, const struct hone_compare *compare, double limit)
{
    static const char *const results[] = {
        [HONE_COMPARE_BELOW] = "pass",
        [HONE_COMPARE_ABOVE] = "fail",
        [HONE_COMPARE_UNSURE] = "cannot tell",
    };
    const struct hone_compare_row *row;
    enum hone_compare_gate gate = hone_compare_gate(compare, limit, &row);
    hone_buffer_text(w->out, "  \"gate\": {");
    put_number(w, "limit", limit);
    comma(w);
    put_text(w, "result", hone_str_of(results[gate]));
    if (row) {
        comma(w);
        put_text(w, "row", row->name);
    } else {
        struct hone_compare_need need = hone_compare_need(compare, limit);
        comma(w);
        put_number(w, "samples_needed", need.runs > 0 ? INFINITY : ceil(need.samples));
        comma(w);
        put_number(w, "runs_needed", need.runs > 0 ? need.runs : INFINITY);
    }
    hone_buffer_text(w->out, "},\n");
}

int hone_json_diff(const struct hone_compare *compare, const struct hone_diff_options *options,
                   struct hone_buffer *out, struct hone_error *err)
{
    static const struct hone_diff_options defaults;
    static const char *const per[] = {
        [HONE_COMPARE_RUN] = "run",
        [HONE_COMPARE_SECOND] = "second",
        [HONE_COMPARE_SHARE] = "share",
    };
    if (!options)
        options = &defaults;
    struct writer w = {.out = out};
    hone_buffer_text(out, "{\n  ");
    put_text(&w, "type", compare->type);
    comma(&w);
    put_text(&w, "unit", compare->unit);
    comma(&w);
    put_text(&w, "normalize", hone_str_of(per[compare->per]));
    comma(&w);
    put_text(&w, "values", compare->by_cum ? HONE_STR("cum") : HONE_STR("flat"));
    hone_buffer_text(out, ",\n");
    put_filters(&w, options->filters);
    put_side(&w, "base", &compare->side[0]);
    put_side(&w, "new", &compare->side[1]);
    if (compare->per != HONE_COMPARE_SHARE) {
        hone_buffer_text(out, "  \"whole\": {");
        put_judged(&w, &compare->judge.whole);
        comma(&w);
        put_number(&w, "run_spread", compare->judge.df > 0 ? compare->judge.run_spread : INFINITY);
        hone_buffer_text(out, "},\n");
    }
    if (options->limit)
        put_gate(&w, compare, *options->limit);
    struct hone_diff_shown shown = hone_diff_choose(compare, options);
    hone_buffer_format(out,
                       "  \"confidence\": 0.95, \"correction\": \"Holm\", \"row_count\": %u, "
                       "\"tested\": %u, \"different\": %u,\n  \"rows\": [",
                       compare->row_count, compare->judge.tested, shown.told);
    bool any = false;
    for (uint32_t i = 0; i < shown.end; i++) {
        if (!hone_diff_wants(options, &compare->rows[i]))
            continue;
        hone_buffer_text(out, any ? ",\n" : "\n");
        put_row(&w, &compare->rows[i]);
        any = true;
    }
    hone_buffer_text(out, any ? "\n  ]\n}\n" : "]\n}\n");
    hone_arena_done(&w.arena);
    return w.failed || out->failed ? hone_error_set(err, -ENOMEM, "cannot write the comparison")
                                   : 0;
}
