#include "fetch/symbols.h"

#include <errno.h>
#include <stdlib.h>

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// The address and the name, of which the first may stand anywhere in the line.
static bool read_line(struct hone_str line, struct hone_symbols_name *ret)
{
    while (line.len && is_blank(line.at[line.len - 1]))
        line.len--;
    for (size_t i = 0; i + 3 < line.len; i++) {
        if (line.at[i] != '0' || line.at[i + 1] != 'x')
            continue;
        size_t end = i + 2;
        uint64_t address = 0;
        bool fits = true;
        for (int digit; end < line.len && (digit = digit_of(line.at[end])) >= 0; end++) {
            fits &= address >> 60 == 0;
            address = address << 4 | (unsigned)digit;
        }
        size_t name = end;
        while (name < line.len && is_blank(line.at[name]))
            name++;
        if (end == i + 2 || name == end || name == line.len)
            continue;
        *ret = (struct hone_symbols_name){address, {line.at + name, line.len - name}};
        return fits;
    }
    return false;
}

static int by_address(const void *left, const void *right)
{
    const struct hone_symbols_name *a = left;
    const struct hone_symbols_name *b = right;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    return a->name.at < b->name.at ? -1 : a->name.at > b->name.at;
}

int hone_symbols_read(const char *answer, size_t len, struct hone_symbols *ret)
{
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += answer[i] == '\n';
    *ret = (struct hone_symbols){.at = calloc(lines, sizeof *ret->at)};
    if (!ret->at)
        return -ENOMEM;
    while (len) {
        const char *end = memchr(answer, '\n', len);
        size_t line = end ? (size_t)(end - answer) : len;
        ret->count += read_line((struct hone_str){answer, line}, &ret->at[ret->count]);
        line += end != NULL;
        answer += line;
        len -= line;
    }
    qsort(ret->at, ret->count, sizeof *ret->at, by_address);
    size_t kept = 0; // of several names for an address the last counts, as for pprof
    for (size_t i = 0; i < ret->count; i++) {
        kept -= kept && ret->at[kept - 1].address == ret->at[i].address;
        ret->at[kept++] = ret->at[i];
    }
    ret->count = kept;
    return 0;
}

void hone_symbols_done(struct hone_symbols *symbols)
{
    free(symbols->at);
    *symbols = (struct hone_symbols){0};
}

struct hone_str hone_symbols_find(const struct hone_symbols *symbols, uint64_t address)
{
    size_t low = 0;
    size_t high = symbols->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symbols->at[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < symbols->count && symbols->at[low].address == address;
    return found ? symbols->at[low].name : (struct hone_str){0};
}
