// Line programs: a small machine whose output is rows "from this address on, this file and line".
#include "elf/dwarf_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct program {
    struct hone_dwarf_unit *unit;
    struct hone_dwarf_unit forms; // stands in for the unit: sizes of this program's header
    struct hone_dwarf_lines *lines;
    struct hone_cursor at;
    uint16_t version;
    uint8_t min_instruction;
    int8_t line_base;
    uint8_t line_range;
    uint8_t opcode_base;
    const unsigned char *opcode_lengths;
    struct advance {
        uint32_t address;
        int32_t line;
    } advances[256]; // of opcodes from opcode_base on: two divisions less for each row
    size_t row_capacity, sequence_count, sequence_capacity;
    size_t sequence_first; // row
    uint64_t low;          // address of the sequence's first row
    uint64_t address;
    struct hone_dwarf_row row; // all but its offset
    bool unsorted;             // the sequence goes back somewhere
};

// ---- Header

static bool read_old_names(struct program *program)
{
    struct hone_dwarf_lines *lines = program->lines;
    struct hone_arena *arena = &program->unit->file->dwarf->arena;
    struct hone_cursor *at = &program->at;
    lines->from_one = true;
    // Twice over the same bytes: count, then keep.
    struct hone_cursor again = *at;
    size_t directories = 0, files = 0;
    for (const char *name; (name = hone_read_text(at)) && name[0];)
        directories++;
    for (const char *name; (name = hone_read_text(at)) && name[0]; files++)
        for (int i = 0; i < 3; i++)
            (void)hone_read_uleb(at);
    if (at->failed)
        return false;
    lines->directories = hone_arena_zalloc(arena, directories + 1, sizeof *lines->directories);
    lines->files = hone_arena_zalloc(arena, files + 1, sizeof *lines->files);
    if (!lines->directories || !lines->files)
        return false;
    lines->directories[lines->directory_count++] = program->unit->directory;
    for (size_t i = 0; i < directories; i++)
        lines->directories[lines->directory_count++] = hone_read_text(&again);
    (void)hone_read_text(&again);
    lines->file_count = 1; // number 0 is none
    for (size_t i = 0; i < files; i++) {
        struct hone_dwarf_path *file = &lines->files[lines->file_count++];
        file->name = hone_read_text(&again);
        file->directory = hone_read_uleb(&again);
        (void)hone_read_uleb(&again);
        (void)hone_read_uleb(&again);
    }
    return true;
}

struct format {
    uint64_t content[256];
    uint16_t form[256];
    unsigned count;
};

static void read_format(struct hone_cursor *at, struct format *ret)
{
    ret->count = hone_read_u8(at);
    for (unsigned i = 0; i < ret->count; i++) {
        ret->content[i] = hone_read_uleb(at);
        uint64_t form = hone_read_uleb(at);
        ret->form[i] = form <= UINT16_MAX ? (uint16_t)form : 0;
    }
}

static struct hone_dwarf_path read_path(struct program *program, const struct format *format)
{
    struct hone_dwarf_path path = {0};
    for (unsigned i = 0; i < format->count && !program->at.failed; i++) {
        struct hone_dwarf_value value =
            hone_dwarf_read(&program->forms, &program->at, format->form[i], 0);
        if (program->at.failed)
            break;
        if (format->content[i] == DW_LNCT_path)
            path.name = hone_dwarf_text(&program->forms, value);
        else if (format->content[i] == DW_LNCT_directory_index)
            path.directory = value.number;
    }
    return path;
}

static bool read_names(struct program *program)
{
    struct hone_dwarf_lines *lines = program->lines;
    struct hone_arena *arena = &program->unit->file->dwarf->arena;
    struct format format;
    read_format(&program->at, &format);
    uint64_t count = hone_read_uleb(&program->at);
    // Each takes at least a byte, so a larger count is a lie.
    if (program->at.failed || count > hone_cursor_left(&program->at))
        return false;
    lines->directories = hone_arena_zalloc(arena, count + 1, sizeof *lines->directories);
    if (!lines->directories)
        return false;
    for (uint64_t i = 0; i < count && !program->at.failed; i++)
        lines->directories[lines->directory_count++] = read_path(program, &format).name;

    read_format(&program->at, &format);
    count = hone_read_uleb(&program->at);
    if (program->at.failed || count > hone_cursor_left(&program->at))
        return false;
    lines->files = hone_arena_zalloc(arena, count + 1, sizeof *lines->files);
    if (!lines->files)
        return false;
    for (uint64_t i = 0; i < count && !program->at.failed; i++)
        lines->files[lines->file_count++] = read_path(program, &format);
    return !program->at.failed;
}

// Leaves program->at at the first instruction.
static bool read_header(struct program *program)
{
    struct hone_dwarf_unit *unit = program->unit;
    struct hone_elf_bytes section = unit->file->line;
    struct hone_cursor at = hone_cursor_from(section.at, section.len, unit->stmt_list);
    program->forms = *unit;
    program->forms.offset_size = 4;
    uint64_t len = hone_read_u32(&at);
    if (len == 0xffffffff) {
        program->forms.offset_size = 8;
        len = hone_read_u64(&at);
    }
    const unsigned char *begin = hone_read_bytes(&at, len);
    if (!begin)
        return false;
    program->at = hone_cursor(begin, len);
    program->version = hone_read_u16(&program->at);
    if (program->version < 2 || program->version > 5)
        return false;
    if (program->version >= 5) {
        program->forms.address_size = hone_read_u8(&program->at);
        (void)hone_read_u8(&program->at);
    }
    uint64_t header_len = hone_read_sized(&program->at, program->forms.offset_size);
    struct hone_cursor code = program->at;
    (void)hone_read_bytes(&code, header_len);
    program->min_instruction = hone_read_u8(&program->at);
    if (program->version >= 4)
        (void)hone_read_u8(&program->at); // operations per instruction: 1 on our machines
    (void)hone_read_u8(&program->at);     // is_stmt: where a debugger stops, not what a line is
    program->line_base = (int8_t)hone_read_u8(&program->at);
    program->line_range = hone_read_u8(&program->at);
    program->opcode_base = hone_read_u8(&program->at);
    if (!program->opcode_base || !program->line_range)
        return false;
    program->opcode_lengths = hone_read_bytes(&program->at, program->opcode_base - 1U);
    if (program->at.failed || code.failed)
        return false;
    for (unsigned opcode = program->opcode_base; opcode < 256; opcode++) {
        unsigned adjusted = opcode - program->opcode_base;
        program->advances[opcode] = (struct advance){
            adjusted / program->line_range * program->min_instruction,
            program->line_base + (int)(adjusted % program->line_range),
        };
    }
    if (!(program->version >= 5 ? read_names(program) : read_old_names(program)))
        return false;
    program->at = code;
    return true;
}

// ---- Machine

static int add_row(struct program *program)
{
    struct hone_dwarf_lines *lines = program->lines;
    if (lines->row_count == program->sequence_first)
        program->low = program->address;
    // Sequences are functions or sections: below 4 GiB. What is not is damaged.
    uint64_t offset = program->address - program->low;
    program->row.offset = offset <= UINT32_MAX ? (uint32_t)offset : UINT32_MAX;
    if (lines->row_count > program->sequence_first) {
        struct hone_dwarf_row *last = &lines->rows[lines->row_count - 1];
        // Of several rows for one address the last one counts.
        if (last->offset == program->row.offset) {
            *last = program->row;
            return 0;
        }
        program->unsorted |= last->offset > program->row.offset;
    }
    if (lines->row_count == program->row_capacity) {
        // Most programs have a row for every 3 bytes; more than one for each byte is impossible.
        size_t capacity = program->row_capacity ? program->row_capacity * 2
                                                : hone_cursor_left(&program->at) / 3 + 64;
        struct hone_dwarf_row *grown = reallocarray(lines->rows, capacity, sizeof *lines->rows);
        if (!grown)
            return -ENOMEM;
        lines->rows = grown;
        program->row_capacity = capacity;
    }
    lines->rows[lines->row_count++] = program->row;
    return 0;
}

static int by_offset(const void *left, const void *right)
{
    const struct hone_dwarf_row *a = left, *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

static int keep_sequence(struct program *program, size_t first, size_t count)
{
    struct hone_dwarf_lines *lines = program->lines;
    if (program->sequence_count == program->sequence_capacity) {
        size_t capacity = program->sequence_capacity ? program->sequence_capacity * 2 : 16;
        struct hone_dwarf_sequence *grown =
            reallocarray(lines->firsts, capacity, sizeof *lines->firsts);
        if (!grown)
            return -ENOMEM;
        lines->firsts = grown;
        program->sequence_capacity = capacity;
    }
    lines->firsts[program->sequence_count] =
        (struct hone_dwarf_sequence){first, count, program->low};
    hone_ranges_add(&lines->sequences, program->low, program->address,
                    (uint32_t)program->sequence_count);
    program->sequence_count++;
    return 0;
}

static int end_sequence(struct program *program)
{
    struct hone_dwarf_lines *lines = program->lines;
    const struct hone_dwarf *dwarf = program->unit->file->dwarf;
    size_t first = program->sequence_first, count = lines->row_count - first;
    bool usable = count && program->low < program->address && program->low >= dwarf->text_low &&
                  program->address <= dwarf->text_high;
    if (usable && program->unsorted)
        qsort(&lines->rows[first], count, sizeof *lines->rows, by_offset);
    int r = usable ? keep_sequence(program, first, count) : 0;
    if (!usable)
        lines->row_count = first; // of code that the linker discarded
    program->sequence_first = lines->row_count;
    program->address = 0;
    program->unsorted = false;
    program->row = (struct hone_dwarf_row){.file = 1, .line = 1};
    return r;
}

static int run_extended(struct program *program)
{
    struct hone_cursor *at = &program->at;
    uint64_t len = hone_read_uleb(at);
    const unsigned char *begin = hone_read_bytes(at, len);
    if (!begin || !len)
        return 0;
    struct hone_cursor inside = hone_cursor(begin, len);
    switch (hone_read_u8(&inside)) {
    case DW_LNE_end_sequence:
        return end_sequence(program);
    case DW_LNE_set_address:
        program->address = hone_read_sized(&inside, (unsigned)hone_cursor_left(&inside));
        return 0;
    default: // discriminators and makers' own
        return 0;
    }
}

static int run_standard(struct program *program, uint8_t opcode)
{
    struct hone_cursor *at = &program->at;
    struct hone_dwarf_row *row = &program->row;
    switch (opcode) {
    case DW_LNS_copy:
        return add_row(program);
    case DW_LNS_advance_pc:
        program->address += hone_read_uleb(at) * program->min_instruction;
        break;
    case DW_LNS_advance_line:
        row->line += (uint32_t)hone_read_sleb(at);
        break;
    case DW_LNS_set_file:
        row->file = (uint32_t)hone_read_uleb(at);
        break;
    case DW_LNS_set_column:
        row->column = (uint32_t)hone_read_uleb(at);
        break;
    case DW_LNS_const_add_pc:
        program->address += (uint64_t)((255 - program->opcode_base) / program->line_range) *
                            program->min_instruction;
        break;
    case DW_LNS_fixed_advance_pc:
        program->address += hone_read_u16(at);
        break;
    default: // flags without arguments, and what came later: arguments as the header says
        for (unsigned i = program->opcode_lengths[opcode - 1]; i; i--)
            (void)hone_read_uleb(at);
    }
    return 0;
}

static int run(struct program *program)
{
    program->row = (struct hone_dwarf_row){.file = 1, .line = 1};
    while (hone_cursor_left(&program->at)) {
        uint8_t opcode = hone_read_u8(&program->at);
        int r;
        if (opcode >= program->opcode_base) {
            program->address += program->advances[opcode].address;
            program->row.line += (uint32_t)program->advances[opcode].line;
            r = add_row(program);
        } else if (opcode == 0) {
            r = run_extended(program);
        } else {
            r = run_standard(program, opcode);
        }
        if (r)
            return r;
    }
    return program->at.failed ? -EBADMSG : 0;
}

int hone_dwarf_lines_read(struct hone_dwarf_unit *unit)
{
    struct hone_dwarf_lines *lines = &unit->lines;
    struct program program = {.unit = unit, .lines = lines};
    if (!unit->has_lines || !read_header(&program))
        return -EBADMSG;
    int r = run(&program);
    if (r == -ENOMEM || hone_ranges_settle(&lines->sequences))
        return -ENOMEM;
    lines->full_paths = hone_arena_zalloc(&unit->file->dwarf->arena, lines->file_count + 1,
                                          sizeof *lines->full_paths);
    return lines->full_paths ? r : -ENOMEM;
}

void hone_dwarf_lines_done(struct hone_dwarf_lines *lines)
{
    free(lines->rows);
    free(lines->firsts);
    hone_ranges_done(&lines->sequences);
    *lines = (struct hone_dwarf_lines){0};
}

const struct hone_dwarf_row *hone_dwarf_line_find(const struct hone_dwarf_lines *lines,
                                                  uint64_t address)
{
    const struct hone_range *range = hone_ranges_find(&lines->sequences, address);
    if (!range)
        return NULL;
    const struct hone_dwarf_sequence *sequence = &lines->firsts[range->value];
    const struct hone_dwarf_row *rows = &lines->rows[sequence->first];
    uint64_t offset = address - sequence->low;
    size_t low = 0, high = sequence->count; // row low is at or before the address
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (rows[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return &rows[low];
}

// ---- Paths

// Removes "." and "dir/.." in place, so that one file has one name.
static void clean(char *path)
{
    bool absolute = path[0] == '/', last = false;
    char *begin = path + absolute, *out = begin, *floor = begin; // ".." climbs no higher than floor
    for (const char *at = begin, *end; !last; at = end + 1) {
        end = strchrnul(at, '/');
        last = !*end;
        size_t len = (size_t)(end - at);
        bool up = len == 2 && at[0] == '.' && at[1] == '.';
        if (up && (absolute || out > floor)) {
            while (out > floor && *--out != '/')
                ;
        } else if (len && !(len == 1 && at[0] == '.')) {
            if (out > begin)
                *out++ = '/';
            memmove(out, at, len);
            out += len;
            if (up)
                floor = out;
        }
    }
    *out = '\0';
}

const char *hone_dwarf_line_path(struct hone_dwarf_unit *unit, uint64_t file)
{
    struct hone_dwarf_lines *lines = &unit->lines;
    if (file >= lines->file_count || !lines->full_paths)
        return NULL;
    if (lines->full_paths[file])
        return lines->full_paths[file];
    const char *name = lines->files[file].name;
    if (!name || !name[0])
        return NULL;
    const char *directory = lines->files[file].directory < lines->directory_count
                                ? lines->directories[lines->files[file].directory]
                                : NULL;
    directory = directory ? directory : "";
    const char *root = unit->directory ? unit->directory : "";
    if (name[0] == '/')
        directory = root = "";
    else if (directory[0] == '/' || strcmp(directory, root) == 0)
        root = "";
    char *path = hone_arena_format(&unit->file->dwarf->arena, "%s%s%s%s%s", root,
                                   root[0] ? "/" : "", directory, directory[0] ? "/" : "", name);
    if (path)
        clean(path);
    return lines->full_paths[file] = path;
}
