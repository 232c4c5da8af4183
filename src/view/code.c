#include "view/code.h"

#include "base/cleanup.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { ROUTINE_BYTES_MAX = 16 << 20 };

void hone_code_done(struct hone_code *code)
{
    hone_symbolizer_free(code->symbolizer);
    free(code->modules);
    free(code->weights);
    free(code->routines);
    free(code->places);
    free(code->used);
    free(code->wanted_elsewhere);
    free(code->told);
    hone_tally_done(&code->each);
    hone_tally_done(&code->together);
    hone_buffer_done(&code->errors);
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

static int module_of(struct hone_code *d, uint32_t mapping, struct hone_symbol_module **ret)
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
static bool vaddr_of(struct hone_code *d, uint32_t location, uint64_t *ret)
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

static bool is_wanted(const struct hone_code *d, uint32_t location)
{
    const struct hone_profile *p = d->report.profile;
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    struct hone_pattern *pattern = d->report.options->pattern;
    for (uint32_t i = 0; i < lines.count; i++) {
        uint32_t function = lines.at[i].function;
        if (hone_pattern_matches(pattern, hone_profile_str(p, p->functions.name[function])) ||
            (d->by_file &&
             (hone_pattern_matches(pattern,
                                   hone_profile_str(p, p->functions.system_name[function])) ||
              hone_pattern_matches(pattern, hone_profile_str(p, p->functions.file[function])))))
            return true;
    }
    return false;
}

// Says once for each mapping why what was asked for has no code.
static void explain(struct hone_code *d, uint32_t location)
{
    const struct hone_profile *p = d->report.profile;
    uint32_t mapping = p->locations.mapping[location];
    struct hone_buffer *out = &d->errors;
    if (d->told[mapping])
        return;
    d->told[mapping] = true;
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    struct hone_brief name =
        hone_brief_of(hone_profile_str(p, p->functions.name[lines.at[lines.count - 1].function]));
    const char *path = hone_profile_text(p, p->mappings.at[mapping].file);
    struct hone_brief file = hone_brief_of(hone_str_of(path));
    if (!mapping || !*path) {
        hone_buffer_format(out, " Error: no machine code of '%s': it lies in no file\n", name.text);
        return;
    }
    if (strncmp(path, "[kernel", 7) == 0) {
        hone_buffer_format(out, " Error: no machine code of '%s': it is the kernel's\n", name.text);
        return;
    }
    const struct hone_symbol_facts *facts = hone_symbol_facts(d->modules[mapping]);
    if (facts->reason == HONE_SYMBOL_CHANGED)
        hone_buffer_format(
            out,
            " Error: '%s' is not the file that ran: the profile's build id is %s; record "
            "again\n",
            file.text, hone_brief_of(hone_profile_str(p, p->mappings.at[mapping].build_id)).text);
    else if (!hone_symbol_module_elf(d->modules[mapping]))
        hone_buffer_format(out, " Error: no machine code of '%s': %s\n", name.text,
                           *facts->detail ? facts->detail : hone_symbol_reason_text(facts->reason));
    else
        hone_buffer_format(out, " Error: no machine code of '%s': '%s' does not tell where it is\n",
                           name.text, file.text);
}

static int find_routine(struct hone_code *d, uint32_t location)
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
        d->wanted_elsewhere[location] = true;
        explain(d, location);
        return 0;
    }
    for (uint32_t i = d->routine_count; i-- > 0;) // its neighbours were likely the last ones
        if (d->routines[i].module == module && d->routines[i].start == extent.start)
            return 0;
    if ((d->routine_count & (d->routine_count - 1)) == 0) {
        size_t room = d->routine_count ? (size_t)d->routine_count * 2 : 1;
        struct hone_code_routine *grown = reallocarray(d->routines, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        d->routines = grown;
    }
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    struct hone_str recorded =
        hone_profile_str(p, p->functions.name[lines.at[lines.count - 1].function]);
    d->routines[d->routine_count++] = (struct hone_code_routine){
        module, extent.start, extent.end, *extent.name ? hone_str_of(extent.name) : recorded};
    return 0;
}

// --- what each instruction took ------------------------------------------------------------------

static int compare_routines(const void *left, const void *right)
{
    const struct hone_code_routine *a = left;
    const struct hone_code_routine *b = right;
    int order =
        memcmp(a->name.at, b->name.at, a->name.len < b->name.len ? a->name.len : b->name.len);
    if (!order)
        order = (a->name.len > b->name.len) - (a->name.len < b->name.len);
    return order ? order : (a->start > b->start) - (a->start < b->start);
}

static int compare_places(const void *left, const void *right)
{
    const struct hone_code_place *a = left;
    const struct hone_code_place *b = right;
    if (a->routine != b->routine)
        return a->routine < b->routine ? -1 : 1;
    return (a->vaddr > b->vaddr) - (a->vaddr < b->vaddr);
}

static uint32_t routine_at(const struct hone_code *d, const struct hone_symbol_module *module,
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

static int tally(struct hone_code *d, const struct numbering *numbering, const uint32_t *number,
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

static int attribute(struct hone_code *d)
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
        d->places[d->place_count++] = (struct hone_code_place){routine, vaddr, i};
    }
    qsort(d->places, d->place_count, sizeof *d->places, compare_places);
    int r = tally(d, &numbering, numbering.number, d->routine_count + 1, &d->together);
    return r ? r : tally(d, &numbering, numbering.first, count, &d->each);
}

// What no sample has, such as after a filter, is of no interest.
static int find_used(struct hone_code *d)
{
    const struct hone_profile *p = d->report.profile;
    HONE_CLEANUP(hone_freep) bool *stacks = calloc(p->stacks.count, sizeof *stacks);
    d->used = calloc(p->locations.count, sizeof *d->used);
    if (!stacks || !d->used)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->samples.count; i++)
        stacks[p->samples.stack[i]] |= p->samples.values[d->report.type][i] != 0;
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        for (uint32_t i = 0; stacks[stack] && i < frames.count; i++)
            d->used[frames.at[i]] = true;
    }
    return 0;
}

static int prepare(struct hone_code *d)
{
    const struct hone_profile *p = d->report.profile;
    int64_t total;
    d->weights = hone_tally_weights(p, d->report.type, &total);
    d->modules = calloc(p->mappings.count, sizeof(struct hone_symbol_module *));
    d->told = calloc(p->mappings.count, sizeof *d->told);
    d->wanted_elsewhere = calloc(p->locations.count, sizeof *d->wanted_elsewhere);
    int r = d->weights && d->modules && d->told && d->wanted_elsewhere ? find_used(d) : -ENOMEM;
    if (!r)
        r = hone_symbolizer_new(NULL, &d->symbolizer, NULL);
    return r;
}

static int find_routines(struct hone_code *d, bool *ret_any)
{
    int r = 0;
    *ret_any = false;
    for (uint32_t i = 1; !r && i < d->report.profile->locations.count; i++) {
        if (!d->used[i] || !is_wanted(d, i))
            continue;
        *ret_any = true;
        r = find_routine(d, i);
    }
    if (!r && d->routine_count)
        qsort(d->routines, d->routine_count, sizeof *d->routines, compare_routines);
    return r ? r : attribute(d);
}

int hone_code_find(struct hone_code *code, bool *ret_any)
{
    int r = prepare(code);
    return r ? r : find_routines(code, ret_any);
}

// --- reading -------------------------------------------------------------------------------------

struct hone_str hone_code_text(const struct hone_code_routine *routine,
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

int hone_code_reader_init(struct hone_code_reader *reader, const struct hone_code *code,
                          uint32_t routine, struct hone_error *err)
{
    const struct hone_code_routine *at = &code->routines[routine];
    const struct hone_elf *elf = hone_symbol_module_elf(at->module);
    uint64_t bytes = at->end - at->start;
    uint32_t from = 0;
    for (uint32_t to = code->place_count; from < to;) { // its first place
        uint32_t middle = from + (to - from) / 2;
        if (code->places[middle].routine < routine)
            from = middle + 1;
        else
            to = middle;
    }
    *reader = (struct hone_code_reader){
        .code = code,
        .bytes = hone_elf_code(elf, at->start,
                               bytes < ROUTINE_BYTES_MAX ? (size_t)bytes : ROUTINE_BYTES_MAX),
        .routine = routine,
        .next = from,
    };
    return hone_disassembler_new(hone_elf_facts(elf)->machine, code->report.options->intel,
                                 &reader->disassembler, err);
}

void hone_code_reader_done(struct hone_code_reader *reader)
{
    hone_disassembler_free(reader->disassembler);
}

bool hone_code_next(struct hone_code_reader *reader, struct hone_instruction *ret,
                    int64_t *ret_flat, int64_t *ret_cum)
{
    const struct hone_code *code = reader->code;
    if (!hone_disassemble(reader->disassembler, &reader->bytes, ret))
        return false;
    *ret_flat = *ret_cum = 0;
    for (; reader->next < code->place_count; reader->next++) {
        const struct hone_code_place *place = &code->places[reader->next];
        if (place->routine != reader->routine || place->vaddr >= ret->vaddr + ret->size)
            break;
        *ret_flat = hone_tally_add(*ret_flat, code->each.flat[place->location]);
        *ret_cum = hone_tally_add(*ret_cum, code->each.cum[place->location].sum);
    }
    return true;
}
