// The machine code of functions (code.h), line by line.
#include "view/code.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    CODE_COLUMN = 34, // before an instruction: two values and its address
    CODE_WIDTH = 40,  // of instructions with a place behind them, as pprof has it
    CODE_NARROW = 26, // the same where lines are short
};

static uint32_t code_width(const struct hone_code *d)
{
    uint32_t width = d->report.options->width;
    return width && width < 100 ? CODE_NARROW : CODE_WIDTH;
}

// Where the instruction comes from: ";sorter.c:12", with the function where it was inlined, if
// there is room for both.
static struct hone_str place_text(const struct hone_code *d,
                                  const struct hone_code_routine *routine,
                                  const struct hone_instruction *instruction,
                                  struct hone_buffer *scratch)
{
    scratch->len = 0;
    uint32_t width = d->report.options->width;
    uint32_t taken = CODE_COLUMN + code_width(d);
    uint32_t room = !width ? UINT32_MAX : width > taken ? width - taken : 0;
    struct hone_symbol_frames frames;
    if (hone_symbol_lookup(routine->module, instruction->vaddr, &frames) || !frames.at->line)
        return HONE_STR("");
    struct hone_str file = hone_report_base_name(hone_str_of(frames.at->function->file));
    struct hone_str name = hone_str_of(frames.count > 1 ? frames.at->function->name : "");
    hone_buffer_format(scratch, ";%s%s%.*s:%u", name.at, name.len ? " " : "", (int)file.len,
                       file.at, frames.at->line);
    if (!scratch->failed && name.len &&
        hone_report_columns((struct hone_str){scratch->at, scratch->len}) > room) {
        scratch->len = 0;
        hone_buffer_format(scratch, ";%.*s:%u", (int)file.len, file.at, frames.at->line);
    }
    return scratch->failed ? HONE_STR("") : (struct hone_str){scratch->at, scratch->len};
}

static void put_instruction(struct hone_code *d, const struct hone_instruction *instruction,
                            struct hone_str code, struct hone_str place, int64_t flat, int64_t cum)
{
    const struct hone_report *report = &d->report;
    struct hone_buffer *out = report->out;
    uint32_t room = code_width(d);
    bool beside = code.len < room;
    if (place.len && !beside) { // a long instruction: its place goes before it
        hone_buffer_format(out, "%*s", (int)(CODE_COLUMN + room), "");
        hone_report_name(report, place, CODE_COLUMN + room, 0);
        hone_buffer_text(out, "\n");
    }
    hone_buffer_format(out, "%10s %10s %10" PRIx64 ": ",
                       hone_report_value_or_dot(report, flat).text,
                       hone_report_value_or_dot(report, cum).text, instruction->vaddr);
    hone_report_name(report, code, CODE_COLUMN, 0);
    if (place.len && beside) {
        hone_buffer_format(out, "%*s", (int)(room - code.len), "");
        hone_report_name(report, place, CODE_COLUMN + room, 0);
    }
    hone_buffer_text(out, "\n");
}

struct scratch {
    struct hone_buffer code;
    struct hone_buffer place[2]; // of this instruction and of the last one with a place
};

static void scratch_done(struct scratch *scratch)
{
    hone_buffer_done(&scratch->code);
    hone_buffer_done(&scratch->place[0]);
    hone_buffer_done(&scratch->place[1]);
}

static int put_code(struct hone_code *d, uint32_t number, struct hone_error *err)
{
    const struct hone_code_routine *routine = &d->routines[number];
    HONE_CLEANUP(hone_code_reader_done) struct hone_code_reader reader = {0};
    int r = hone_code_reader_init(&reader, d, number, err);
    if (r)
        return r;
    HONE_CLEANUP(scratch_done) struct scratch scratch = {0};
    struct hone_instruction instruction;
    struct hone_str last = {0};
    unsigned turn = 0;
    int64_t flat;
    int64_t cum;
    while (hone_code_next(&reader, &instruction, &flat, &cum) && !d->report.out->failed) {
        struct hone_str place = place_text(d, routine, &instruction, &scratch.place[turn]);
        bool same = hone_str_equal(place, last); // said once for a run of instructions
        struct hone_str text = hone_code_text(routine, &instruction, &scratch.code);
        put_instruction(d, &instruction, text, same ? (struct hone_str){0} : place, flat, cum);
        if (same)
            continue;
        last = place;
        turn = !turn;
    }
    return 0;
}

static int put_routine(struct hone_code *d, uint32_t number, struct hone_error *err)
{
    const struct hone_report *report = &d->report;
    hone_buffer_text(report->out, "ROUTINE ======================== ");
    hone_report_name(report, d->routines[number].name, 33, 0);
    hone_buffer_format(
        report->out, "\n%10s %10s (flat, cum) %s of Total\n",
        hone_report_value(report, d->together.flat[number + 1]).text,
        hone_report_value(report, d->together.cum[number + 1].sum).text,
        hone_measure_percentage(d->together.cum[number + 1].sum, report->total).text);
    return put_code(d, number, err);
}

// Everything that matches lies where no code is.
static int no_code(const struct hone_code *d, struct hone_error *err)
{
    static const char prefix[] = " Error: ";
    size_t skip = sizeof prefix - 1;
    if (d->errors.failed || d->errors.len < skip)
        return hone_error_set(err, -ENOMEM, "cannot read the machine code");
    size_t line = strcspn(d->errors.at + skip, "\n");
    (void)hone_error_set(err, 0, "%.*s", (int)line, d->errors.at + skip);
    return -ENOENT;
}

int hone_text_disasm(const struct hone_profile *profile, const struct hone_text_options *options,
                     struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(hone_code_done) struct hone_code d = {0};
    int r = hone_report_init(&d.report, profile, options, out, err);
    if (r)
        return r;
    if (hone_report_is_empty(&d.report)) {
        hone_report_head(&d.report);
        hone_report_empty(&d.report);
        return hone_report_finish(&d.report, err);
    }
    bool any = false;
    r = hone_code_find(&d, &any);
    if (r)
        return hone_error_set(err, r, "cannot read the machine code");
    if (!any)
        return hone_report_no_match(&d.report, err);
    if (!d.routine_count)
        return no_code(&d, err);
    hone_buffer_format(out, "Total: %s\n", hone_report_value(&d.report, d.report.total).text);
    for (uint32_t i = 0; !r && i < d.routine_count; i++)
        r = put_routine(&d, i, err);
    for (size_t at = 0; !r && at < d.errors.len;) {
        size_t len = strcspn(d.errors.at + at, "\n");
        d.errors.at[at + len] = '\0';
        hone_report_sentence(&d.report, d.errors.at + at);
        at += len + 1;
    }
    return r ? r : hone_report_finish(&d.report, err);
}
