// What the DWARF reader's files share.
//
//     hone_dwarf ── main file ─┬─ unit: abbreviations, bodies (functions, inlined calls), lines
//                 ├ alternate  ├─ unit
//                 └ .dwo files └─ unit → its split unit, in a .dwo file
#ifndef HONE_ELF_DWARF_INTERNAL_H
#define HONE_ELF_DWARF_INTERNAL_H

#include "base/base.h"
#include "elf/cursor.h"
#include "elf/dwarf.h"
#include "elf/ranges.h"

#include <dwarf.h>

// ---- Abbreviations: how the entries of a unit are laid out (dwarf_abbrev.c)

struct hone_dwarf_attribute {
    uint16_t name;    // DW_AT_…
    uint16_t form;    // DW_FORM_…
    int8_t size;      // of its value, -1 when that depends on the bytes
    uint8_t field;    // 0: no function is read for it
    int64_t constant; // of DW_FORM_implicit_const
};

// What entries of functions and inlined calls are read for.
enum hone_dwarf_field {
    HONE_DWARF_FIELD_NONE,
    HONE_DWARF_FIELD_LOW,
    HONE_DWARF_FIELD_HIGH,
    HONE_DWARF_FIELD_RANGES,
    HONE_DWARF_FIELD_ORIGIN,
    HONE_DWARF_FIELD_SIBLING,
    HONE_DWARF_FIELD_FILE,
    HONE_DWARF_FIELD_LINE,
    HONE_DWARF_FIELD_COLUMN,
    HONE_DWARF_FIELDS
};

enum hone_dwarf_role {
    HONE_DWARF_OTHER,
    HONE_DWARF_FUNCTION, // DW_TAG_subprogram
    HONE_DWARF_INLINED,  // DW_TAG_inlined_subroutine
    HONE_DWARF_TYPE,     // a type, whose children are passed over
};

struct hone_dwarf_abbrev {
    uint64_t code;
    uint32_t first; // attribute
    uint32_t count;
    uint32_t fixed; // bytes of all attributes when each has a fixed size, else UINT32_MAX
    uint16_t tag;
    uint16_t sibling_at; // bytes before a DW_AT_sibling of 4 bytes; UINT16_MAX: not known
    uint8_t role;
    bool children;
    bool sibling; // has DW_AT_sibling
    bool placed;  // says where its code is
};

struct hone_dwarf_abbrevs {
    struct hone_dwarf_abbrevs *next; // in its file's list
    uint64_t offset;
    struct hone_dwarf_abbrev *at; // sorted by code
    size_t count;
    struct hone_dwarf_attribute *attributes;

    unsigned key; // address and offset size, version: fixed depends on them
};

// ---- Files and units

struct hone_dwarf_file {
    struct hone_dwarf *dwarf;
    struct hone_elf *elf;
    struct hone_elf *owned; // of a .dwo file, else NULL
    bool split;
    struct hone_elf_bytes info, abbrev, str, line_str, line, ranges, rnglists, addr, str_offsets;
    struct hone_dwarf_unit *units; // by offset
    size_t unit_count;
    struct hone_dwarf_abbrevs *abbrevs[64]; // hashed by offset
};

struct hone_dwarf_path {
    const char *name;
    uint64_t directory;
};

struct hone_dwarf_row {
    uint32_t offset; // of its address, from the beginning of its sequence
    uint32_t file;
    uint32_t line;
    uint32_t column;
};

// A line program's result. Files are numbered as in the program (from 1 before DWARF 5).
struct hone_dwarf_lines {
    struct hone_dwarf_row *rows; // heap
    size_t row_count;
    struct hone_ranges sequences; // value: index into firsts
    struct hone_dwarf_sequence {
        size_t first; // row
        size_t count;
        uint64_t low;         // address of its first row
    } * firsts;               // heap
    const char **directories; // arena
    size_t directory_count;
    struct hone_dwarf_path *files; // arena
    const char **full_paths;       // arena; NULL until asked for
    size_t file_count;
    bool from_one; // before DWARF 5: file 0 is none, directory 0 is the compilation directory
};

// A function with code. What was inlined into it is read when an address inside is asked for.
struct hone_dwarf_body {
    uint64_t die;
    uint64_t end;   // of its children
    uint64_t entry; // where its first range begins; cold parts come later
    bool read;
    struct hone_ranges inlined; // value: call
};

// A call that was replaced by the called function's code.
struct hone_dwarf_call {
    uint64_t die;    // the called function: its abstract entry
    bool alternate;  // die is in the alternate file
    uint32_t parent; // call that it was inlined into, HONE_DWARF_NONE_SUCH: the body itself
    uint32_t body;
    uint32_t file, line, column;
};

#define HONE_DWARF_NONE_SUCH UINT32_MAX

enum hone_dwarf_state { HONE_DWARF_UNREAD, HONE_DWARF_READ, HONE_DWARF_BROKEN };

struct hone_dwarf_unit {
    struct hone_dwarf_file *file;
    uint64_t offset; // of its header in .debug_info
    uint64_t first;  // its first entry
    uint64_t end;
    uint64_t abbrev_offset;
    uint64_t split_id;
    uint16_t version;
    uint8_t address_size;
    uint8_t offset_size;
    uint8_t type;
    uint8_t state;       // of bodies
    uint8_t lines_state; // of lines
    bool whole;          // read without passing over anything
    bool has_lines;
    bool root_read;
    bool unranged; // its first entry does not say where its code is

    // From its first entry.
    uint64_t low_pc;
    uint64_t stmt_list;
    uint64_t str_offsets_base;
    uint64_t addr_base;
    uint64_t rnglists_base;
    uint64_t ranges_base; // GNU split DWARF 4
    const char *directory;
    const char *name;
    const char *split_name;

    struct hone_dwarf_abbrevs *abbrevs;
    struct hone_dwarf_body *bodies; // heap
    size_t body_count;
    struct hone_ranges functions;  // value: body
    struct hone_dwarf_call *calls; // heap; of all bodies
    size_t call_count;
    size_t call_capacity;
    struct hone_dwarf_lines lines;
    struct hone_dwarf_unit *split; // holds the entries instead, or NULL
};

struct hone_dwarf_named {
    const struct hone_dwarf_file *file;
    uint64_t die;
    struct hone_dwarf_function *function;
};

struct hone_dwarf {
    struct hone_arena arena;
    struct hone_dwarf_file main;
    struct hone_dwarf_file alternate; // elf is NULL when there is none
    struct hone_dwarf_file **splits;  // heap
    size_t split_count;
    struct hone_ranges units;       // value: unit of main
    uint32_t *of_unit;              // heap: ranges by unit, NULL until asked for
    uint32_t *of_unit_first;        // heap: by unit
    struct hone_dwarf_named *named; // hash table, heap
    size_t named_count;
    size_t named_capacity;
    uint64_t text_low;               // executable sections lie within; code elsewhere was
    uint64_t text_high;              // discarded by the linker
    struct hone_dwarf_frame *frames; // heap
    size_t frame_capacity;
    struct hone_dwarf_stats stats;
    bool unranged_read; // units without ranges of their own were read
};

// NULL when broken or memory is out.
struct hone_dwarf_abbrevs *hone_dwarf_abbrevs_get(struct hone_dwarf_unit *unit);

// Reads one declaration without keeping the table: a unit's first entry needs no more.
bool hone_dwarf_abbrev_first(struct hone_dwarf_unit *unit, uint64_t code,
                             struct hone_cursor *ret_attributes, uint16_t *ret_tag);

static inline const struct hone_dwarf_abbrev *
hone_dwarf_abbrev_find(const struct hone_dwarf_abbrevs *abbrevs, uint64_t code)
{
    // Compilers number them 1, 2, 3, …
    if (code - 1 < abbrevs->count && abbrevs->at[code - 1].code == code)
        return &abbrevs->at[code - 1];
    size_t low = 0, high = abbrevs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (abbrevs->at[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < abbrevs->count && abbrevs->at[low].code == code ? &abbrevs->at[low] : NULL;
}

// ---- Attribute values (dwarf_form.c)

struct hone_dwarf_value {
    uint16_t form;              // 0: absent
    uint64_t number;            // constant, offset, index, or length of a block
    const unsigned char *bytes; // of text and blocks
};

// Bytes that a form takes: 0 to 16, or -1 when it depends on the bytes.
int hone_dwarf_form_size(uint16_t form, unsigned address_size, unsigned offset_size,
                         unsigned version);
void hone_dwarf_skip(const struct hone_dwarf_unit *unit, struct hone_cursor *at, uint16_t form);
struct hone_dwarf_value hone_dwarf_read(const struct hone_dwarf_unit *unit, struct hone_cursor *at,
                                        uint16_t form, int64_t implicit);

// NULL: no text.
const char *hone_dwarf_text(const struct hone_dwarf_unit *unit, struct hone_dwarf_value value);
bool hone_dwarf_address(const struct hone_dwarf_unit *unit, struct hone_dwarf_value value,
                        uint64_t *ret);

// The entry that value refers to: *ret_alternate says in which file. False: none.
bool hone_dwarf_reference(const struct hone_dwarf_unit *unit, struct hone_dwarf_value value,
                          uint64_t *ret, bool *ret_alternate);

// ---- Units (dwarf_unit.c)

int hone_dwarf_file_init(struct hone_dwarf_file *file, struct hone_dwarf *dwarf,
                         struct hone_elf *elf, bool split);
void hone_dwarf_file_done(struct hone_dwarf_file *file);

// Reads the unit's first entry: names, bases, where its code is.
struct hone_dwarf_root {
    struct hone_dwarf_value low, high, ranges;
};
bool hone_dwarf_unit_root(struct hone_dwarf_unit *unit, struct hone_dwarf_root *ret);

// The unit of file that holds the entry at offset, its first entry read; NULL: none.
struct hone_dwarf_unit *hone_dwarf_unit_at(struct hone_dwarf_file *file, uint64_t offset);

// ---- Code ranges of an entry (dwarf_ranges.c)

// Adds them to ranges, with value; those that the linker discarded are left out. Returns where
// the first one begins, or 0. limit bounds how many ranges may be there.
uint64_t hone_dwarf_ranges_add(const struct hone_dwarf_unit *unit, struct hone_dwarf_value low,
                               struct hone_dwarf_value high, struct hone_dwarf_value list,
                               size_t limit, uint32_t value, struct hone_ranges *ranges);

// ---- Scopes, names, lines, split units

// Reads the functions; whole: without passing over types and the children of functions. 0, -ENOMEM
// or -EBADMSG (and what was read until then stays usable).
int hone_dwarf_bodies_read(struct hone_dwarf_unit *unit, bool whole);
void hone_dwarf_bodies_done(struct hone_dwarf_unit *unit);

// Reads the calls inlined into one of them; results as above.
int hone_dwarf_calls_read(struct hone_dwarf_unit *unit, struct hone_dwarf_body *body);

// NULL when memory is out.
const struct hone_dwarf_function *hone_dwarf_function(struct hone_dwarf_file *file, uint64_t die);

int hone_dwarf_lines_read(struct hone_dwarf_unit *unit);
void hone_dwarf_lines_done(struct hone_dwarf_lines *lines);
const struct hone_dwarf_row *hone_dwarf_line_find(const struct hone_dwarf_lines *lines,
                                                  uint64_t address);

// Full path of a file by its number, NULL when unknown.
const char *hone_dwarf_line_path(struct hone_dwarf_unit *unit, uint64_t file);

// ---- Units as a whole (dwarf.c)

// Units without ranges of their own are read, so that dwarf->units is complete.
int hone_dwarf_units_complete(struct hone_dwarf *dwarf);

// The unit that holds the entries: the skeleton's other half, if it has one.
struct hone_dwarf_unit *hone_dwarf_entries(struct hone_dwarf_unit *unit);

// Reads functions and lines if nobody did before; whole: as for hone_dwarf_bodies_read().
int hone_dwarf_unit_read(struct hone_dwarf *dwarf, struct hone_dwarf_unit *unit, bool whole);
int hone_dwarf_unit_lines(struct hone_dwarf_unit *unit);

// Opens the .dwo file of a skeleton and sets unit->split.
int hone_dwarf_split_open(struct hone_dwarf_unit *unit);

#endif
