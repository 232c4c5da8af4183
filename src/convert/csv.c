// CSV for spreadsheets and scripts, as RFC 4180 has it: one row for each stack with the same
// labels.
//
//     stack,label:process,label:tid,samples/count,cpu/nanoseconds
//     main;sort;compare,sorter,7,3,30000000
//
// The first column is the stack from the root, as in collapsed stacks; then one column for each
// label, empty where a sample has none, several texts of one label with '|' between; then one for
// each sample type. Numbers stand without their unit.
//
// "csv-functions" is one row for each function, with what it took itself and with all it called.
#include "convert/build.h"
#include "convert/frames.h"
#include "convert/json_write.h"
#include "convert/lines.h"
#include "convert/readers.h"
#include "convert/totals.h"

#include "base/arena.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define LABEL "label:"

enum { COLUMNS_MAX = 512 };

// --- out -----------------------------------------------------------------------------------------

// A text with each such byte replaced, in runs between them.
static void put_replaced(struct hone_buffer *out, struct hone_str text, char byte, const char *with)
{
    while (text.len) {
        size_t run = hone_str_find(text, byte);
        hone_buffer_add(out, text.at, run);
        if (run < text.len)
            hone_buffer_text(out, with);
        text = hone_str_skip(text, run < text.len ? run + 1 : run);
    }
}

// A cell, in quotes where it must be.
static void put_cell(struct hone_buffer *out, struct hone_str text)
{
    bool plain = true;
    for (const char *byte = "\",\n\r"; plain && *byte; byte++)
        plain = hone_str_find(text, *byte) == text.len;
    if (plain) {
        hone_buffer_add(out, text.at, text.len);
        return;
    }
    hone_buffer_add(out, "\"", 1);
    put_replaced(out, text, '"', "\"\"");
    hone_buffer_add(out, "\"", 1);
}

static int compare_keys(const void *left, const void *right, void *context)
{
    const struct hone_profile *p = context;
    struct hone_str a = hone_profile_str(p, *(const uint32_t *)left);
    struct hone_str b = hone_profile_str(p, *(const uint32_t *)right);
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

// The keys of all labels of samples, by name.
static int find_keys(const struct hone_profile *p, struct hone_stack *keys)
{
    HONE_CLEANUP(hone_freep) bool *known = calloc(p->strings.count, sizeof *known);
    if (!known)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->labels.count; i++) {
        uint32_t key = p->labels.at[i].key;
        if (known[key])
            continue;
        known[key] = true;
        if (!hone_stack_push(keys, key))
            return -ENOMEM;
    }
    if (keys->count)
        qsort_r(keys->at, keys->count, sizeof *keys->at, compare_keys, (void *)p);
    return 0;
}

static void put_stack(struct hone_buffer *cell, const struct hone_frames *frames,
                      const struct hone_run *run)
{
    cell->len = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        struct hone_str name = frames->frames[run->at[i]].name;
        if (i)
            hone_buffer_add(cell, ";", 1);
        put_replaced(cell, name, ';', ":");
    }
}

static void put_label(struct hone_buffer *cell, const struct hone_profile *p, uint32_t set,
                      uint32_t key)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(p, set);
    cell->len = 0;
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        if (label->key != key)
            continue;
        if (cell->len)
            hone_buffer_add(cell, "|", 1);
        struct hone_str text = hone_profile_str(p, label->text);
        if (label->text)
            hone_buffer_add(cell, text.at, text.len);
        else
            hone_json_put_integer(cell, label->number);
    }
}

static void put_type(struct hone_buffer *out, const struct hone_profile *p, uint32_t type,
                     const char *before)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer cell = {0};
    hone_buffer_text(&cell, before);
    hone_buffer_text(&cell, hone_profile_text(p, p->types[type].type));
    hone_buffer_add(&cell, "/", 1);
    hone_buffer_text(&cell, hone_profile_text(p, p->types[type].unit));
    out->failed |= cell.failed;
    put_cell(out, (struct hone_str){cell.at, cell.len});
}

static int put_rows(const struct hone_profile *p, const struct hone_frames *frames,
                    const struct hone_stack *keys, struct hone_buffer *out)
{
    HONE_CLEANUP(hone_run_done) struct hone_run run = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer cell = {0};
    for (uint32_t i = 0; i < p->samples.count && !out->failed; i++) {
        if (hone_run_of(frames, p, p->samples.stack[i], &run))
            return -ENOMEM;
        put_stack(&cell, frames, &run);
        put_cell(out, (struct hone_str){cell.at, cell.len});
        for (uint32_t k = 0; k < keys->count; k++) {
            put_label(&cell, p, p->samples.label_set[i], keys->at[k]);
            hone_buffer_add(out, ",", 1);
            put_cell(out, (struct hone_str){cell.at, cell.len});
        }
        for (uint32_t type = 0; type < p->type_count; type++) {
            hone_buffer_add(out, ",", 1);
            hone_json_put_integer(out, p->samples.values[type][i]);
        }
        hone_buffer_add(out, "\n", 1);
    }
    return cell.failed || out->failed ? -ENOMEM : 0;
}

int hone_csv_write(const struct hone_profile *p, struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(hone_stack_done) struct hone_stack keys = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer cell = {0};
    HONE_CLEANUP(hone_frames_done) struct hone_frames frames = {0};
    int r = hone_frames_init(&frames, p, false);
    if (!r)
        r = find_keys(p, &keys);
    if (r)
        return hone_error_set(err, r, "cannot write the table");
    hone_buffer_text(out, "stack");
    for (uint32_t i = 0; i < keys.count; i++) {
        struct hone_str key = hone_profile_str(p, keys.at[i]);
        cell.len = 0;
        hone_buffer_text(&cell, LABEL);
        hone_buffer_add(&cell, key.at, key.len);
        hone_buffer_add(out, ",", 1);
        put_cell(out, (struct hone_str){cell.at, cell.len});
    }
    for (uint32_t type = 0; type < p->type_count; type++) {
        hone_buffer_add(out, ",", 1);
        put_type(out, p, type, "");
    }
    hone_buffer_add(out, "\n", 1);
    r = cell.failed ? -ENOMEM : put_rows(p, &frames, &keys, out);
    return r ? hone_error_set(err, r, "cannot write the table") : 0;
}

int hone_csv_functions_write(const struct hone_profile *p, struct hone_buffer *out,
                             struct hone_error *err)
{
    HONE_CLEANUP(hone_totals_done) struct hone_totals totals = {0};
    int r = hone_totals_init(&totals, p);
    if (r)
        return hone_error_set(err, r, "cannot write the table");
    hone_buffer_text(out, "function,file,module");
    for (uint32_t type = 0; type < p->type_count; type++) {
        hone_buffer_add(out, ",", 1);
        put_type(out, p, type, "flat ");
        hone_buffer_add(out, ",", 1);
        put_type(out, p, type, "cum ");
    }
    hone_buffer_add(out, "\n", 1);
    for (uint32_t i = 0; i < totals.frames.count && !out->failed; i++) {
        const struct hone_frame *frame = &totals.frames.frames[i];
        if (!totals.seen[i])
            continue;
        put_cell(out, frame->name);
        hone_buffer_add(out, ",", 1);
        put_cell(out, hone_profile_str(p, p->functions.file[frame->function]));
        hone_buffer_add(out, ",", 1);
        put_cell(out, hone_profile_str(p, p->mappings.at[frame->mapping].file));
        for (uint32_t type = 0; type < p->type_count; type++) {
            hone_buffer_add(out, ",", 1);
            hone_json_put_integer(out, totals.flat[(size_t)i * p->type_count + type]);
            hone_buffer_add(out, ",", 1);
            hone_json_put_integer(out, totals.cum[(size_t)i * p->type_count + type]);
        }
        hone_buffer_add(out, "\n", 1);
    }
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot write the table") : 0;
}

// --- in ------------------------------------------------------------------------------------------

enum column_kind { STACK, LABELS, VALUE };

struct reader {
    struct hone_profile *profile;
    const char *at;
    const char *end;
    const char *name;
    struct hone_error *err;
    uint64_t line;
    struct hone_arena *text; // of cells that had quotes in quotes, and of their row only
    struct column {
        enum column_kind kind;
        uint32_t number; // label: the key; value: the type
    } columns[COLUMNS_MAX];
    unsigned column_count;
    struct hone_str cells[COLUMNS_MAX];
    struct hone_name_cache names; // of frames, to locations
    struct hone_stack stack;
};

static void reader_done(struct reader *r)
{
    hone_profile_free(r->profile);
    hone_name_cache_done(&r->names);
    hone_stack_done(&r->stack);
}

__attribute__((format(printf, 2, 3))) static int bad(struct reader *r, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return hone_error_set(r->err, -EBADMSG, "cannot read '%s': line %llu: %s", r->name,
                          (unsigned long long)r->line, what);
}

// A cell in quotes, of which at points to the first. Returns 0, -ENOMEM or -EBADMSG.
static int take_quoted(struct reader *r, struct hone_str *ret)
{
    const char *from = ++r->at;
    size_t doubled = 0;
    for (;; r->at++) {
        if (r->at >= r->end)
            return bad(r, "it ends within quotes");
        r->line += *r->at == '\n';
        if (*r->at != '"')
            continue;
        if (r->at + 1 >= r->end || r->at[1] != '"')
            break;
        doubled++;
        r->at++;
    }
    *ret = (struct hone_str){from, (size_t)(r->at++ - from)};
    if (!doubled)
        return 0;
    char *copy = hone_arena_alloc(r->text, ret->len);
    if (!copy)
        return -ENOMEM;
    size_t len = 0;
    for (size_t i = 0; i < ret->len; i++) {
        copy[len++] = ret->at[i];
        i += ret->at[i] == '"'; // the second of two
    }
    *ret = (struct hone_str){copy, len};
    return 0;
}

static void take_plain(struct reader *r, struct hone_str *ret)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at != ',' && *r->at != '\n' && *r->at != '\r')
        r->at++;
    *ret = (struct hone_str){from, (size_t)(r->at - from)};
}

// The cells of the next row. Returns 1, 0 at the end of the file, or an error.
static int take_row(struct reader *r, unsigned *ret_count)
{
    if (r->at >= r->end)
        return 0;
    hone_arena_done(r->text);
    r->line++;
    unsigned count = 0;
    for (;;) {
        if (count == COLUMNS_MAX)
            return bad(r, "more than %d columns", COLUMNS_MAX);
        int result = 0;
        if (r->at < r->end && *r->at == '"')
            result = take_quoted(r, &r->cells[count]);
        else
            take_plain(r, &r->cells[count]);
        if (result)
            return result;
        count++;
        if (r->at >= r->end || *r->at != ',')
            break;
        r->at++;
    }
    if (r->at < r->end && *r->at == '\r')
        r->at++;
    if (r->at < r->end && *r->at++ != '\n')
        return bad(r, "expected ',' or the end of the line after a cell");
    *ret_count = count;
    return 1;
}

static int read_head(struct reader *r)
{
    struct hone_profile *p = r->profile;
    int result = take_row(r, &r->column_count);
    if (result <= 0)
        return result ? result : bad(r, "no row with the names of columns");
    bool has_stack = false;
    for (unsigned i = 0; i < r->column_count; i++) {
        struct hone_str name = r->cells[i];
        size_t slash = hone_str_find(name, '/');
        if (hone_str_equal(name, HONE_STR("stack"))) {
            has_stack = true;
            r->columns[i] = (struct column){.kind = STACK};
        } else if (hone_str_take(&name, HONE_STR(LABEL))) {
            r->columns[i] = (struct column){LABELS, hone_profile_intern_str(p, name)};
        } else if (slash < name.len && p->type_count < HONE_PROFILE_TYPES_MAX) {
            const char *type =
                hone_profile_text(p, hone_profile_intern_str(p, (struct hone_str){name.at, slash}));
            const char *unit =
                hone_profile_text(p, hone_profile_intern_str(p, hone_str_skip(name, slash + 1)));
            r->columns[i] = (struct column){VALUE, p->type_count};
            (void)hone_profile_add_type(p, type, unit);
        } else {
            return bad(r, "column %u is none of 'stack', 'label:NAME' and 'TYPE/UNIT'", i + 1);
        }
    }
    return has_stack && p->type_count ? 0 : bad(r, "no column 'stack', or none 'TYPE/UNIT'");
}

// Returns false when memory is out.
static bool take_stack(struct reader *r, struct hone_str text)
{
    r->stack.count = 0;
    while (text.len) {
        size_t end = hone_str_find(text, ';');
        struct hone_str name = {text.at, end};
        // The text of a cell may go with its row: the cache keeps the profile's.
        name = hone_profile_str(r->profile, hone_profile_intern_str(r->profile, name));
        uint32_t *number = hone_name_cache_find(&r->names, name);
        if (!number)
            return false;
        if (!*number)
            *number = hone_place_add(r->profile, &(struct hone_place){.name = name});
        if (!*number || !hone_stack_push(&r->stack, *number))
            return false;
        text = hone_str_skip(text, end < text.len ? end + 1 : end);
    }
    hone_stack_reverse(&r->stack);
    return true;
}

static int read_row(struct reader *r, unsigned count)
{
    struct hone_profile *p = r->profile;
    int64_t values[HONE_PROFILE_TYPES_MAX] = {0};
    struct hone_profile_label labels[COLUMNS_MAX];
    size_t label_count = 0;
    if (count == 1 && !r->cells[0].len && r->column_count > 1)
        return 0; // an empty line
    if (count != r->column_count)
        return bad(r, "%u columns where %u are named", count, r->column_count);
    for (unsigned i = 0; i < count; i++) {
        const struct column *column = &r->columns[i];
        struct hone_str cell = r->cells[i];
        if (column->kind == STACK) {
            if (!take_stack(r, cell))
                return hone_profile_status(p) ? 0 : -ENOMEM;
        } else if (column->kind == VALUE) {
            if (!hone_str_signed(cell, &values[column->number]))
                return bad(r, "column %u is not a number", i + 1);
        } else if (cell.len) {
            int64_t number;
            bool is_number = hone_str_signed(cell, &number) && hone_str_find(cell, '.') == cell.len;
            labels[label_count++] = (struct hone_profile_label){
                .key = column->number,
                .text = is_number ? 0 : hone_profile_intern_str(p, cell),
                .number = is_number ? number : 0,
            };
        }
    }
    (void)hone_profile_add_sample(p, hone_stack_add(p, &r->stack), values, labels, label_count);
    return 0;
}

int hone_csv_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                  struct hone_error *err)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena text = {0};
    HONE_CLEANUP(hone_freep) struct reader *memory = calloc(1, sizeof *memory);
    if (!memory)
        return hone_build_out_of_memory(name, err);
    struct reader *r = memory;
    *r = (struct reader){.profile = hone_profile_new(),
                         .at = bytes,
                         .end = (const char *)bytes + len,
                         .name = name,
                         .err = err,
                         .text = &text};
    int result = r->profile ? read_head(r) : -ENOMEM;
    unsigned count;
    while (!result && !hone_profile_status(r->profile) && (result = take_row(r, &count)) > 0)
        result = read_row(r, count);
    if (!result)
        result = hone_build_finish(&r->profile, name, ret, err);
    else if (result == -ENOMEM)
        (void)hone_build_out_of_memory(name, err);
    reader_done(r);
    return result;
}

unsigned hone_csv_detect(const void *bytes, size_t len)
{
    struct hone_str text = {bytes, len};
    struct hone_str line = {text.at, hone_str_find(text, '\n')};
    return hone_str_starts(line, HONE_STR("stack,")) && hone_str_find(line, '/') < line.len
               ? HONE_CONVERT_CERTAIN
               : HONE_CONVERT_NO;
}
