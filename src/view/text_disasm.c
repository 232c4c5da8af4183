// The machine code of functions. Addresses of the profile become addresses in the files that ran;
// each matching one leads to the function that holds it, as the file's symbols have it, a routine.
// Then every address of the profile within a routine counts for the instruction that it lies in.
#include "view/text_report.h"

#include "analyse/tally.h"
#include "base/cleanup.h"
#include "symbol/disassemble.h"
#include "symbol/symbol.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    CODE_COLUMN = 34, // before an instruction: two values and its address
    CODE_WIDTH = 40,  // of instructions with a place behind them, as pprof has it
    CODE_NARROW = 26, // the same where lines are short
    ROUTINE_BYTES_MAX = 16 << 20,
};

struct routine {
    struct hone_symbol_module *module;
    uint64_t start;
    uint64_t end;
    struct hone_str name;
};

// A location of the profile within a routine.
struct place {
    uint32_t routine;
    uint64_t vaddr;
    uint32_t location;
};

struct disasm {
    struct hone_report report;
    struct hone_symbolizer *symbolizer;
    struct hone_symbol_module **modules; // by mapping; NULL until it was asked for
    int64_t *weights;                    // by stack
    struct routine *routines;            // by module and start, in the end by name
    uint32_t routine_count;
    struct place *places; // by routine and address
    uint32_t place_count;
    struct hone_tally each;     // by location
    struct hone_tally together; // by routine + 1
    bool *told;                 // by mapping: why it has no code
    struct hone_buffer errors;  // to be printed behind the code
};

static void disasm_done(struct disasm *d)
{
    hone_symbolizer_free(d->symbolizer);
    free(d->modules);
    free(d->weights);
    free(d->routines);
    free(d->places);
    free(d->told);
    hone_tally_done(&d->each);
    hone_tally_done(&d->together);
    hone_buffer_done(&d->errors);
}

// --- from the profile to the files ---------------------------------------------------------------

static size_t parse_build_id(const char *hex, unsigned char id[HONE_ELF_BUILD_ID_MAX])
{
    size_t len = 0;
    unsigned byte;
    int read;
    while (len < HONE_ELF_BUILD_ID_MAX && sscanf(hex, "%2x%n", &byte, &read) == 1 && read == 2) {
        id[len++] = (unsigned char)byte;
        hex += 2;
    }
    return *hex ? 0 : len;
}

static int module_of(struct disasm *d, uint32_t mapping, struct hone_symbol_module **ret)
{
    if (!d->modules[mapping]) {
        const struct hone_profile *p = d->report.profile;
        const struct hone_profile_mapping *m = &p->mappings.at[mapping];
        unsigned char id[HONE_ELF_BUILD_ID_MAX];
        size_t len = parse_build_id(hone_profile_text(p, m->build_id), id);
        int r = hone_symbolizer_module(d->symbolizer, hone_profile_text(p, m->file), id, len,
                                       &d->modules[mapping]);
        if (r)
            return r;
    }
    *ret = d->modules[mapping];
    return 0;
}

// The address in its file; false when the file is not there or has nothing there.
static bool vaddr_of(struct disasm *d, uint32_t location, uint64_t *ret)
{
    const struct hone_profile *p = d->report.profile;
    uint32_t mapping = p->locations.mapping[location];
    const struct hone_elf *elf =
        d->modules[mapping] ? hone_symbol_module_elf(d->modules[mapping]) : NULL;
    const struct hone_profile_mapping *m = &p->mappings.at[mapping];
    uint64_t address = p->locations.address[location];
    return elf && address >= m->start && address < m->limit &&
           hone_elf_offset_to_vaddr(elf, address - m->start + m->offset, ret);
}

static bool is_wanted(const struct disasm *d, uint32_t location)
{
    const struct hone_profile *p = d->report.profile;
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    for (uint32_t i = 0; i < lines.count; i++)
        if (hone_pattern_matches(d->report.options->pattern,
                                 hone_profile_str(p, p->functions.name[lines.at[i].function])))
            return true;
    return false;
}

// Says once for each mapping why what was asked for has no code.
static void explain(struct disasm *d, uint32_t location)
{
    const struct hone_profile *p = d->report.profile;
    uint32_t mapping = p->locations.mapping[location];
    struct hone_buffer *out = &d->errors;
    if (d->told[mapping])
        return;
    d->told[mapping] = true;
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    const char *name = hone_profile_text(p, p->functions.name[lines.at[lines.count - 1].function]);
    const char *file = hone_profile_text(p, p->mappings.at[mapping].file);
    if (!mapping || !*file) {
        hone_buffer_format(out, " Error: no machine code of '%s': it lies in no file\n", name);
        return;
    }
    if (strncmp(file, "[kernel", 7) == 0) {
        hone_buffer_format(out, " Error: no machine code of '%s': it is the kernel's\n", name);
        return;
    }
    const struct hone_symbol_facts *facts = hone_symbol_facts(d->modules[mapping]);
    if (facts->reason == HONE_SYMBOL_CHANGED)
        hone_buffer_format(
            out,
            " Error: '%s' is not the file that ran: the profile's build id is %s; record "
            "again\n",
            file, hone_profile_text(p, p->mappings.at[mapping].build_id));
    else if (!hone_symbol_module_elf(d->modules[mapping]))
        hone_buffer_format(out, " Error: no machine code of '%s': %s\n", name,
                           *facts->detail ? facts->detail : hone_symbol_reason_text(facts->reason));
    else
        hone_buffer_format(out, " Error: no machine code of '%s': '%s' does not tell where it is\n",
                           name, file);
}

static int find_routine(struct disasm *d, uint32_t location)
{
    const struct hone_profile *p = d->report.profile;
    struct hone_symbol_module *module;
    int r = module_of(d, p->locations.mapping[location], &module);
    if (r)
        return r;
    uint64_t vaddr;
    struct hone_symbol_extent extent;
    r = vaddr_of(d, location, &vaddr) ? hone_symbol_extent(module, vaddr, &extent)
                                      : HONE_SYMBOL_UNKNOWN;
    if (r < 0)
        return r;
    if (r) {
        explain(d, location);
        return 0;
    }
    for (uint32_t i = d->routine_count; i-- > 0;) // its neighbours were likely the last ones
        if (d->routines[i].module == module && d->routines[i].start == extent.start)
            return 0;
    if ((d->routine_count & (d->routine_count - 1)) == 0) {
        size_t room = d->routine_count ? (size_t)d->routine_count * 2 : 1;
        struct routine *grown = reallocarray(d->routines, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        d->routines = grown;
    }
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    struct hone_str recorded =
        hone_profile_str(p, p->functions.name[lines.at[lines.count - 1].function]);
    d->routines[d->routine_count++] = (struct routine){
        module, extent.start, extent.end, *extent.name ? hone_str_of(extent.name) : recorded};
    return 0;
}

// --- what each instruction took ------------------------------------------------------------------

static int compare_routines(const void *left, const void *right)
{
    const struct routine *a = left;
    const struct routine *b = right;
    int order =
        memcmp(a->name.at, b->name.at, a->name.len < b->name.len ? a->name.len : b->name.len);
    if (!order)
        order = (a->name.len > b->name.len) - (a->name.len < b->name.len);
    return order ? order : (a->start > b->start) - (a->start < b->start);
}

static int compare_places(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;
    if (a->routine != b->routine)
        return a->routine < b->routine ? -1 : 1;
    return (a->vaddr > b->vaddr) - (a->vaddr < b->vaddr);
}

static uint32_t routine_at(const struct disasm *d, const struct hone_symbol_module *module,
                           uint64_t vaddr)
{
    for (uint32_t i = 0; i < d->routine_count; i++)
        if (d->routines[i].module == module && vaddr >= d->routines[i].start &&
            vaddr < d->routines[i].end)
            return i;
    return UINT32_MAX;
}

// Each location as the node of a number.
struct numbering {
    uint32_t *first;
    uint32_t *number;
};

static int tally(struct disasm *d, const struct numbering *numbering, const uint32_t *number,
                 uint32_t count, struct hone_tally *ret)
{
    const struct hone_nodes nodes = {.count = count,
                                     .first = numbering->first,
                                     .at = (uint32_t *)number,
                                     .only = (uint32_t *)number};
    return hone_tally_init(ret, d->report.profile, d->weights, &nodes);
}

static void numbering_done(struct numbering *numbering)
{
    free(numbering->first);
    free(numbering->number);
}

static int attribute(struct disasm *d)
{
    const struct hone_profile *p = d->report.profile;
    uint32_t count = p->locations.count;
    HONE_CLEANUP(numbering_done)
    struct numbering numbering = {calloc((size_t)count + 1, sizeof(uint32_t)),
                                  calloc((size_t)count + 1, sizeof(uint32_t))};
    d->places = calloc((size_t)count + 1, sizeof *d->places);
    if (!numbering.first || !numbering.number || !d->places)
        return -ENOMEM;
    for (uint32_t i = 0; i <= count; i++)
        numbering.first[i] = i;
    for (uint32_t i = 1; i < count; i++) {
        uint64_t vaddr;
        if (!vaddr_of(d, i, &vaddr))
            continue;
        uint32_t routine = routine_at(d, d->modules[p->locations.mapping[i]], vaddr);
        if (routine == UINT32_MAX)
            continue;
        numbering.number[i] = routine + 1;
        d->places[d->place_count++] = (struct place){routine, vaddr, i};
    }
    qsort(d->places, d->place_count, sizeof *d->places, compare_places);
    int r = tally(d, &numbering, numbering.number, d->routine_count + 1, &d->together);
    return r ? r : tally(d, &numbering, numbering.first, count, &d->each);
}

// --- printing ------------------------------------------------------------------------------------

static struct hone_str instruction_text(const struct routine *routine,
                                        const struct hone_instruction *instruction,
                                        struct hone_buffer *scratch)
{
    scratch->len = 0;
    struct hone_symbol_extent to;
    bool outside = instruction->leaves &&
                   (instruction->target < routine->start || instruction->target >= routine->end);
    if (outside && hone_symbol_extent(routine->module, instruction->target, &to) == 0 && *to.name) {
        hone_buffer_format(scratch, "%-6s %s", instruction->name, to.name);
        if (instruction->target != to.start)
            hone_buffer_format(scratch, "+%#" PRIx64, instruction->target - to.start);
    } else {
        hone_buffer_format(scratch, *instruction->operands ? "%-6s %s" : "%s", instruction->name,
                           instruction->operands);
    }
    return scratch->failed ? HONE_STR("") : (struct hone_str){scratch->at, scratch->len};
}

static uint32_t code_width(const struct disasm *d)
{
    uint32_t width = d->report.options->width;
    return width && width < 100 ? CODE_NARROW : CODE_WIDTH;
}

// Where the instruction comes from: ";sorter.c:12", with the function where it was inlined, if
// there is room for both.
static struct hone_str place_text(const struct disasm *d, const struct routine *routine,
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

static void put_instruction(struct disasm *d, const struct hone_instruction *instruction,
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

static void put_code(struct disasm *d, uint32_t number, struct hone_disassembler *disassembler,
                     uint32_t *next)
{
    const struct routine *routine = &d->routines[number];
    const struct hone_elf *elf = hone_symbol_module_elf(routine->module);
    uint64_t bytes = routine->end - routine->start;
    struct hone_elf_bytes code = hone_elf_code(
        elf, routine->start, bytes < ROUTINE_BYTES_MAX ? (size_t)bytes : ROUTINE_BYTES_MAX);
    HONE_CLEANUP(scratch_done) struct scratch scratch = {0};
    struct hone_instruction instruction;
    struct hone_str last = {0};
    unsigned turn = 0;
    while (hone_disassemble(disassembler, &code, &instruction) && !d->report.out->failed) {
        int64_t flat = 0;
        int64_t cum = 0;
        for (; *next < d->place_count && d->places[*next].routine == number &&
               d->places[*next].vaddr < instruction.vaddr + instruction.size;
             ++*next) {
            flat = hone_tally_add(flat, d->each.flat[d->places[*next].location]);
            cum = hone_tally_add(cum, d->each.cum[d->places[*next].location].sum);
        }
        struct hone_str place = place_text(d, routine, &instruction, &scratch.place[turn]);
        bool same = hone_str_equal(place, last); // said once for a run of instructions
        struct hone_str text = instruction_text(routine, &instruction, &scratch.code);
        put_instruction(d, &instruction, text, same ? (struct hone_str){0} : place, flat, cum);
        if (same)
            continue;
        last = place;
        turn = !turn;
    }
}

static int put_routine(struct disasm *d, uint32_t number, uint32_t *next, struct hone_error *err)
{
    const struct hone_report *report = &d->report;
    const struct routine *routine = &d->routines[number];
    const struct hone_elf *elf = hone_symbol_module_elf(routine->module);
    HONE_CLEANUP(hone_disassembler_freep) struct hone_disassembler *disassembler = NULL;
    int r = hone_disassembler_new(hone_elf_facts(elf)->machine, report->options->intel,
                                  &disassembler, err);
    if (r)
        return r;
    hone_buffer_text(report->out, "ROUTINE ======================== ");
    hone_report_name(report, routine->name, 33, 0);
    hone_buffer_format(
        report->out, "\n%10s %10s (flat, cum) %s of Total\n",
        hone_report_value(report, d->together.flat[number + 1]).text,
        hone_report_value(report, d->together.cum[number + 1].sum).text,
        hone_measure_percentage(d->together.cum[number + 1].sum, report->total).text);
    put_code(d, number, disassembler, next);
    while (*next < d->place_count && d->places[*next].routine == number)
        ++*next;
    return 0;
}

static int prepare(struct disasm *d)
{
    const struct hone_profile *p = d->report.profile;
    d->weights = hone_tally_weights(p, d->report.type, &d->report.total);
    d->modules = calloc(p->mappings.count, sizeof(struct hone_symbol_module *));
    d->told = calloc(p->mappings.count, sizeof *d->told);
    int r = d->weights && d->modules && d->told ? 0 : -ENOMEM;
    if (!r)
        r = hone_symbolizer_new(NULL, &d->symbolizer, NULL);
    return r;
}

static int find_routines(struct disasm *d, bool *ret_any)
{
    int r = 0;
    *ret_any = false;
    for (uint32_t i = 1; !r && i < d->report.profile->locations.count; i++) {
        if (!is_wanted(d, i))
            continue;
        *ret_any = true;
        r = find_routine(d, i);
    }
    if (!r && d->routine_count)
        qsort(d->routines, d->routine_count, sizeof *d->routines, compare_routines);
    return r ? r : attribute(d);
}

// Everything that matches lies where no code is.
static int no_code(const struct disasm *d, struct hone_error *err)
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
    HONE_CLEANUP(disasm_done) struct disasm d = {0};
    int r = hone_report_init(&d.report, profile, options, out, err);
    if (r)
        return r;
    if (hone_report_is_empty(&d.report)) {
        hone_report_head(&d.report);
        hone_report_empty(&d.report);
        return hone_report_finish(&d.report, err);
    }
    bool any = false;
    r = prepare(&d);
    if (!r)
        r = find_routines(&d, &any);
    if (r)
        return hone_error_set(err, r, "cannot read the machine code");
    if (!any)
        return hone_report_no_match(&d.report, err);
    if (!d.routine_count)
        return no_code(&d, err);
    hone_buffer_format(out, "Total: %s\n", hone_report_value(&d.report, d.report.total).text);
    uint32_t next = 0;
    for (uint32_t i = 0; !r && i < d.routine_count; i++)
        r = put_routine(&d, i, &next, err);
    for (size_t at = 0; !r && at < d.errors.len;) {
        size_t len = strcspn(d.errors.at + at, "\n");
        d.errors.at[at + len] = '\0';
        hone_report_sentence(&d.report, d.errors.at + at);
        at += len + 1;
    }
    return r ? r : hone_report_finish(&d.report, err);
}
