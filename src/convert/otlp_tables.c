#include "convert/otlp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// --- messages ------------------------------------------------------------------------------------

int hone_otlp_bad(struct hone_otlp *o, const unsigned char *at, const char *format, ...)
{
    char reason[200];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    char place[64];
    size_t offset = (size_t)(at - o->start);
    if (o->origin)
        o->origin->place(o->origin->context, offset, place, sizeof place);
    else
        (void)snprintf(place, sizeof place, "byte %zu", offset);
    return hone_error_set(o->err, -EBADMSG, "cannot read '%s': %s at %s", o->name, reason, place);
}

int hone_otlp_out_of_memory(struct hone_otlp *o)
{
    return hone_build_out_of_memory(o->name, o->err);
}

int hone_otlp_next(struct hone_otlp *o, struct hone_wire *message, struct hone_wire_field *ret)
{
    if (message->at == message->end)
        return 0;
    const unsigned char *start = message->at;
    hone_wire_fault fault = hone_wire_next(message, ret);
    return fault ? hone_otlp_bad(o, start, "%s", fault) : 1;
}

int hone_otlp_want(struct hone_otlp *o, const struct hone_wire_field *field,
                   enum hone_wire_type type)
{
    if (field->type == type)
        return 0;
    return hone_otlp_bad(o, field->start, "field %llu of the wrong kind",
                         (unsigned long long)field->number);
}

int hone_otlp_next_number(struct hone_otlp *o, struct hone_otlp_numbers *numbers, uint64_t *ret)
{
    const struct hone_wire_field *field = numbers->field;
    bool first = !numbers->begun;
    numbers->begun = true;
    if (field->type != HONE_WIRE_BYTES) {
        int r = first ? hone_otlp_want(o, field, HONE_WIRE_VARINT) : 0;
        *ret = field->value;
        return r ? r : first;
    }
    if (first)
        numbers->rest = field->body;
    if (numbers->rest.at == numbers->rest.end)
        return 0;
    const unsigned char *at = numbers->rest.at;
    return hone_wire_varint(&numbers->rest, ret) ? 1 : hone_otlp_bad(o, at, "broken number");
}

// --- tables --------------------------------------------------------------------------------------

int hone_otlp_read_tables(struct hone_otlp *o, struct hone_wire dictionary)
{
    struct hone_wire_field field;
    int r;
    while ((r = hone_otlp_next(o, &dictionary, &field)) > 0) {
        if (!field.number || field.number >= HONE_OTLP_TABLES)
            continue;
        r = hone_otlp_want(o, &field, HONE_WIRE_BYTES);
        if (r)
            return r;
        struct hone_otlp_table *table = &o->tables[field.number];
        if (!hone_array_reserve(&table->at, &table->room, (uint64_t)table->count + 1,
                                sizeof *table->at) ||
            !hone_array_reserve(&table->number, &table->number_room, (uint64_t)table->count + 1,
                                sizeof *table->number))
            return hone_otlp_out_of_memory(o);
        if (!table->count && field.number == HONE_OTLP_STRINGS && field.body.at != field.body.end)
            return hone_otlp_bad(o, field.start, "first string is not empty");
        table->at[table->count++] = field.body;
    }
    return r;
}

int hone_otlp_entry(struct hone_otlp *o, unsigned table, uint64_t index, const unsigned char *at,
                    struct hone_wire *ret)
{
    static const char *const names[] = {"",     "mapping", "location",  "function",
                                        "link", "string",  "attribute", "stack"};
    *ret = (struct hone_wire){at, at};
    if (!index)
        return 0;
    if (index >= o->tables[table].count)
        return hone_otlp_bad(o, at, "%s %lld, where there are %u", names[table], (long long)index,
                             o->tables[table].count);
    *ret = o->tables[table].at[index];
    return 0;
}

// What became of the entry before; otherwise *message is it. Returns 1 in the first case.
static int known(struct hone_otlp *o, unsigned table, uint64_t index, const unsigned char *at,
                 struct hone_wire *message, uint32_t *ret)
{
    *ret = 0;
    int r = hone_otlp_entry(o, table, index, at, message);
    if (r || !index)
        return r ? r : 1;
    uint32_t number = o->tables[table].number[index];
    if (number)
        *ret = number - 1;
    return number > 0;
}

static int keep(struct hone_otlp *o, unsigned table, uint64_t index, uint32_t number, uint32_t *ret)
{
    int r = hone_profile_status(o->profile);
    if (r)
        return hone_error_set(o->err, r, "cannot read '%s'", o->name);
    o->tables[table].number[index] = number + 1;
    *ret = number;
    return 0;
}

int hone_otlp_string(struct hone_otlp *o, uint64_t index, const unsigned char *at, uint32_t *ret)
{
    struct hone_wire text;
    int r = known(o, HONE_OTLP_STRINGS, index, at, &text, ret);
    if (r)
        return r < 0 ? r : 0;
    struct hone_str str = {(const char *)text.at, (size_t)(text.end - text.at)};
    return keep(o, HONE_OTLP_STRINGS, index, hone_profile_intern_str(o->profile, str), ret);
}

static int string_of(struct hone_otlp *o, const struct hone_wire_field *field, uint32_t *ret)
{
    int r = hone_otlp_want(o, field, HONE_WIRE_VARINT);
    return r ? r : hone_otlp_string(o, field->value, field->start, ret);
}

static int number_of(struct hone_otlp *o, const struct hone_wire_field *field, void *ret)
{
    int r = hone_otlp_want(o, field, HONE_WIRE_VARINT);
    if (!r)
        memcpy(ret, &field->value, sizeof field->value); // int64_t or uint64_t
    return r;
}

int hone_otlp_type(struct hone_otlp *o, struct hone_wire message, struct hone_profile_type *ret)
{
    struct hone_wire_field field;
    int r;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        r = 0;
        if (field.number == 1)
            r = string_of(o, &field, &ret->type);
        else if (field.number == 2)
            r = string_of(o, &field, &ret->unit);
        if (r)
            return r;
    }
    return r;
}

// --- what a stack leads to -----------------------------------------------------------------------

static int function_at(struct hone_otlp *o, uint64_t index, const unsigned char *at, uint32_t *ret)
{
    struct hone_wire message;
    struct hone_wire_field field;
    struct hone_profile_function function = {0};
    int r = known(o, HONE_OTLP_FUNCTIONS, index, at, &message, ret);
    if (r)
        return r < 0 ? r : 0;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        r = 0;
        if (field.number == 1)
            r = string_of(o, &field, &function.name);
        else if (field.number == 2)
            r = string_of(o, &field, &function.system_name);
        else if (field.number == 3)
            r = string_of(o, &field, &function.file);
        else if (field.number == 4)
            r = number_of(o, &field, &function.start_line);
        if (r)
            return r;
    }
    return r ? r
             : keep(o, HONE_OTLP_FUNCTIONS, index, hone_profile_add_function(o->profile, &function),
                    ret);
}

static void apply_to_mapping(struct hone_otlp *o, struct hone_profile_mapping *mapping)
{
    static const struct {
        const char *key;
        uint32_t flag;
    } flags[] = {
        {"pprof.mapping.has_functions", HONE_PROFILE_HAS_FUNCTIONS},
        {"pprof.mapping.has_filenames", HONE_PROFILE_HAS_FILENAMES},
        {"pprof.mapping.has_line_numbers", HONE_PROFILE_HAS_LINE_NUMBERS},
        {"pprof.mapping.has_inline_frames", HONE_PROFILE_HAS_INLINE_FRAMES},
    };
    static const char *const ids[] = {"process.executable.build_id.gnu",
                                      "process.executable.build_id.go",
                                      "process.executable.build_id.htlhash"};
    size_t best = sizeof ids / sizeof ids[0];
    for (uint32_t i = 0; i < o->some.count; i++) {
        const struct hone_profile_label *label = &o->some.at[i];
        bool used = false;
        for (size_t k = 0; k < sizeof flags / sizeof flags[0]; k++) {
            if (!hone_otlp_is(o, label, flags[k].key))
                continue;
            used = true;
            if (hone_otlp_is_true(o, label))
                mapping->flags |= flags[k].flag;
        }
        for (size_t k = 0; k < best; k++) {
            if (!hone_otlp_is(o, label, ids[k]))
                continue;
            used = true;
            mapping->build_id = label->text;
            best = k; // what the linker wrote before what tools made up
        }
        o->lost_attributes += !used;
    }
}

static int mapping_at(struct hone_otlp *o, uint64_t index, const unsigned char *at, uint32_t *ret)
{
    struct hone_wire message;
    struct hone_wire_field field;
    struct hone_profile_mapping mapping = {0};
    int r = known(o, HONE_OTLP_MAPPINGS, index, at, &message, ret);
    if (r)
        return r < 0 ? r : 0;
    o->some.count = 0;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        r = 0;
        if (field.number == 1)
            r = number_of(o, &field, &mapping.start);
        else if (field.number == 2)
            r = number_of(o, &field, &mapping.limit);
        else if (field.number == 3)
            r = number_of(o, &field, &mapping.offset);
        else if (field.number == 4)
            r = string_of(o, &field, &mapping.file);
        else if (field.number == 5)
            r = hone_otlp_add_attributes(o, &o->some, &field);
        if (r)
            return r;
    }
    if (r)
        return r;
    apply_to_mapping(o, &mapping);
    return keep(o, HONE_OTLP_MAPPINGS, index, hone_profile_add_mapping(o->profile, &mapping), ret);
}

int hone_otlp_add_mappings(struct hone_otlp *o)
{
    int r = 0;
    uint32_t number;
    for (uint32_t i = 1; !r && i < o->tables[HONE_OTLP_MAPPINGS].count; i++)
        r = mapping_at(o, i, o->tables[HONE_OTLP_MAPPINGS].at[i].at, &number);
    return r;
}

static int add_line(struct hone_otlp *o, const struct hone_wire_field *of, uint32_t *count)
{
    struct hone_profile_line line = {0};
    struct hone_wire_field field;
    int r = hone_otlp_want(o, of, HONE_WIRE_BYTES);
    if (r)
        return r;
    struct hone_wire message = of->body;
    if (*count == HONE_PROFILE_LINES_MAX)
        return hone_otlp_bad(o, of->start, "more than %d lines at a location",
                             HONE_PROFILE_LINES_MAX);
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        r = 0;
        if (field.number == 1) {
            r = hone_otlp_want(o, &field, HONE_WIRE_VARINT);
            if (!r)
                r = function_at(o, field.value, field.start, &line.function);
        } else if (field.number == 2) {
            r = number_of(o, &field, &line.number);
        } else if (field.number == 3) {
            r = number_of(o, &field, &line.column);
        }
        if (r)
            return r;
    }
    if (r)
        return r;
    if (!hone_array_reserve(&o->lines, &o->line_room, (uint64_t)*count + 1, sizeof *o->lines))
        return hone_otlp_out_of_memory(o);
    o->lines[(*count)++] = line;
    return 0;
}

static int location_at(struct hone_otlp *o, uint64_t index, const unsigned char *at, uint32_t *ret)
{
    struct hone_wire message;
    struct hone_wire_field field;
    struct hone_profile_location location = {0};
    uint64_t mapping = 0;
    const unsigned char *mapping_start = at;
    int r = known(o, HONE_OTLP_LOCATIONS, index, at, &message, ret);
    if (r)
        return r < 0 ? r : 0;
    struct hone_otlp_labels attributes = {0};
    while (!r && (r = hone_otlp_next(o, &message, &field)) > 0) {
        r = 0;
        if (field.number == 1) {
            mapping_start = field.start;
            r = number_of(o, &field, &mapping);
        } else if (field.number == 2) {
            r = number_of(o, &field, &location.address);
        } else if (field.number == 3) {
            r = add_line(o, &field, &location.line_count);
        } else if (field.number == 4) {
            r = hone_otlp_add_attributes(o, &attributes, &field);
        }
    }
    for (uint32_t i = 0; i < attributes.count; i++) {
        if (hone_otlp_is(o, &attributes.at[i], "pprof.location.is_folded"))
            location.folded = hone_otlp_is_true(o, &attributes.at[i]);
        else
            o->lost_attributes++;
    }
    free(attributes.at);
    if (!r)
        r = mapping_at(o, mapping, mapping_start, &location.mapping);
    if (r)
        return r;
    location.lines = o->lines;
    return keep(o, HONE_OTLP_LOCATIONS, index, hone_profile_add_location(o->profile, &location),
                ret);
}

int hone_otlp_stack(struct hone_otlp *o, uint64_t index, const unsigned char *at, uint32_t *ret)
{
    struct hone_wire message;
    struct hone_wire_field field;
    int r = known(o, HONE_OTLP_STACKS, index, at, &message, ret);
    if (r)
        return r < 0 ? r : 0;
    o->stack.count = 0;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        if (field.number != 1)
            continue;
        struct hone_otlp_numbers numbers = {.field = &field};
        uint64_t number;
        while ((r = hone_otlp_next_number(o, &numbers, &number)) > 0) {
            uint32_t location;
            r = location_at(o, number, field.start, &location);
            if (r)
                return r;
            if (o->stack.count == HONE_PROFILE_DEPTH_MAX)
                return hone_otlp_bad(o, field.start, "more than %d frames in a stack",
                                     HONE_PROFILE_DEPTH_MAX);
            if (location && !hone_stack_push(&o->stack, location))
                return hone_otlp_out_of_memory(o);
        }
        if (r)
            return r;
    }
    return r ? r
             : keep(o, HONE_OTLP_STACKS, index,
                    hone_profile_add_stack(o->profile, o->stack.at, o->stack.count), ret);
}

void hone_otlp_done(struct hone_otlp *o)
{
    hone_profile_free(o->profile);
    for (unsigned i = 0; i < HONE_OTLP_TABLES; i++) {
        free(o->tables[i].at);
        free(o->tables[i].number);
    }
    free(o->some.at);
    free(o->lines);
    hone_stack_done(&o->stack);
}
