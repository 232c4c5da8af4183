#include "view/tabs.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdint.h>

enum { COLUMNS_MAX = 64 }; // what has more is no table, and its other tabs are blanks to us

struct cell {
    struct hone_str text;
    uint32_t width; // in characters
};

struct table {
    struct cell *cells;
    uint32_t cell_count;
    uint32_t cell_room;
    uint32_t *first; // cell of each line, one more closes the last
    uint32_t line_count;
    uint32_t line_room;
    uint32_t widths[COLUMNS_MAX];
    struct hone_buffer *out;
};

static void table_done(struct table *table)
{
    free(table->cells);
    free(table->first);
}

static uint32_t characters(struct hone_str text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.at[i] & 0xc0) != 0x80;
    return count;
}

static bool add_cell(struct table *table, struct hone_str text)
{
    if (!hone_array_reserve(&table->cells, &table->cell_room, (uint64_t)table->cell_count + 1,
                            sizeof *table->cells))
        return false;
    table->cells[table->cell_count++] = (struct cell){text, characters(text)};
    return true;
}

static bool add_line(struct table *table, struct hone_str line)
{
    if (!hone_array_reserve(&table->first, &table->line_room, (uint64_t)table->line_count + 2,
                            sizeof *table->first))
        return false;
    uint32_t columns = 0;
    for (size_t len; columns < COLUMNS_MAX; columns++) {
        const char *tab = line.len ? memchr(line.at, '\t', line.len) : NULL;
        if (!tab)
            break;
        len = (size_t)(tab - line.at);
        if (!add_cell(table, (struct hone_str){line.at, len}))
            return false;
        line = (struct hone_str){tab + 1, line.len - len - 1};
    }
    if (!add_cell(table, line))
        return false;
    table->first[++table->line_count] = table->cell_count;
    return true;
}

static uint32_t cells_of(const struct table *table, uint32_t line)
{
    return table->first[line + 1] - table->first[line];
}

static void put_lines(struct table *table, uint32_t from, uint32_t to, uint32_t columns)
{
    for (uint32_t line = from; line < to; line++) {
        for (uint32_t i = 0; i < cells_of(table, line); i++) {
            const struct cell *cell = &table->cells[table->first[line] + i];
            for (uint32_t width = cell->width; i < columns && width < table->widths[i]; width++)
                hone_buffer_add(table->out, " ", 1);
            hone_buffer_add(table->out, cell->text.at, cell->text.len);
        }
        hone_buffer_add(table->out, "\n", 1);
    }
}

// Lines of which the first so many columns have a width.
static void put_block(struct table *table, uint32_t from, uint32_t to, uint32_t columns)
{
    for (uint32_t line = from; line < to;) {
        if (columns >= COLUMNS_MAX || columns + 1 >= cells_of(table, line)) {
            line++;
            continue;
        }
        put_lines(table, from, line, columns);
        from = line;
        uint32_t width = 0;
        for (; line < to && columns + 1 < cells_of(table, line); line++) {
            const struct cell *cell = &table->cells[table->first[line] + columns];
            width = cell->width + 1 > width ? cell->width + 1 : width;
        }
        table->widths[columns] = width;
        put_block(table, from, line, columns + 1);
        from = line;
    }
    put_lines(table, from, to, columns);
}

int hone_tabs_put(struct hone_buffer *out, struct hone_str text)
{
    HONE_CLEANUP(table_done) struct table table = {.out = out};
    while (text.len) {
        const char *end = memchr(text.at, '\n', text.len);
        size_t len = end ? (size_t)(end - text.at) : text.len;
        if (!add_line(&table, (struct hone_str){text.at, len}))
            return -ENOMEM;
        len += end != NULL;
        text = (struct hone_str){text.at + len, text.len - len};
    }
    put_block(&table, 0, table.line_count, 0);
    return out->failed ? -ENOMEM : 0;
}
