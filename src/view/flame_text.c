#include "view/flame_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void hone_flame_xml(struct hone_buffer *out, struct hone_str text)
{
    size_t plain = 0; // from here on nothing was written yet
    for (size_t i = 0; i < text.len; i++) {
        const char *entity = text.at[i] == '<'    ? "&lt;"
                             : text.at[i] == '>'  ? "&gt;"
                             : text.at[i] == '&'  ? "&amp;"
                             : text.at[i] == '"'  ? "&quot;"
                             : text.at[i] == '\'' ? "&#39;"
                                                  : NULL;
        if (!entity)
            continue;
        hone_buffer_add(out, text.at + plain, i - plain);
        hone_buffer_text(out, entity);
        plain = i + 1;
    }
    hone_buffer_add(out, text.at + plain, text.len - plain);
}

void hone_flame_json(struct hone_buffer *out, struct hone_str text)
{
    hone_buffer_add(out, "\"", 1);
    size_t plain = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        // The first two are JSON's; the others would mean something to the XML around it.
        if (c != '"' && c != '\\' && c != '<' && c != '>' && c != '&')
            continue;
        hone_buffer_add(out, text.at + plain, i - plain);
        hone_buffer_format(out, c == '"' || c == '\\' ? "\\%c" : "\\u%04x", c);
        plain = i + 1;
    }
    hone_buffer_add(out, text.at + plain, text.len - plain);
    hone_buffer_add(out, "\"", 1);
}

// With a narrow space between groups of three.
static void print_count(char *text, size_t size, int64_t value)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)value);
    size_t at = 0;
    for (int i = 0; i < len && at + 5 < size; i++) {
        int left = len - i;
        if (i && left % 3 == 0 && digits[i - 1] != '-') {
            memcpy(text + at, "\u202f", 3);
            at += 3;
        }
        text[at++] = digits[i];
    }
    text[at] = '\0';
}

struct scale {
    double size;
    const char *unit;
};

void hone_flame_amount(char *text, size_t size, int64_t value, struct hone_str unit)
{
    static const struct scale times[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}, {0}};
    static const struct scale sizes[] = {{1099511627776.0, "TiB"},
                                         {1073741824.0, "GiB"},
                                         {1048576.0, "MiB"},
                                         {1024.0, "KiB"},
                                         {1, "B"},
                                         {0}};
    const struct scale *scale = hone_str_equal(unit, HONE_STR("nanoseconds")) ? times
                                : hone_str_equal(unit, HONE_STR("bytes"))     ? sizes
                                                                              : NULL;
    while (scale && scale->size > 1 && (double)value < scale->size)
        scale++;
    if (scale) {
        double scaled = (double)value / scale->size;
        int digits = scale->size <= 1 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
        (void)snprintf(text, size, "%.*f %s", digits, scaled, scale->unit);
        return;
    }
    print_count(text, size, value);
    size_t len = strlen(text);
    if (unit.len && !hone_str_equal(unit, HONE_STR("count")))
        (void)snprintf(text + len, size - len, " %.*s", (int)(unit.len < 40 ? unit.len : 40),
                       unit.at);
}

void hone_flame_percent(char *text, size_t size, int64_t part, int64_t whole)
{
    double share = whole > 0 ? (double)part / (double)whole * 100 : 0;
    int digits = share == 0 ? 0 : share < 0.095 ? 3 : share < 9.95 ? 2 : 1;
    (void)snprintf(text, size, "%.*f %%", digits, share);
}

// Widths in em/1000 of a wide sans-serif (DejaVu Sans, Verdana); most others are narrower, so what
// fits by this table fits. Signs beyond ASCII count as one em.
static double glyph_width(uint32_t point)
{
    if (point > 0x7e)
        return 12;
    if (strchr("ijlI.,:;'|!()[]{}/\\ \"-tfr*", (int)point))
        return 12 * 0.46;
    if (strchr("mwMW@%&", (int)point))
        return 12 * 0.99;
    if ((point >= 'A' && point <= 'Z') || strchr("<>=+~^#", (int)point))
        return 12 * 0.84;
    return 12 * 0.65;
}

double hone_flame_text_width(struct hone_str text)
{
    double width = 0;
    for (size_t at = 0, step; at < text.len; at += step)
        width += glyph_width(
            hone_utf8_decode((const unsigned char *)text.at + at, text.len - at, &step));
    return width;
}

// The last part of a qualified name: 'push_back' of 'std::vector<a::b>::push_back', '+0x81a0' of
// 'libz.so.1+0x81a0'. Colons within brackets do not part a name.
static struct hone_str last_part(struct hone_str name)
{
    int depth = 0;
    size_t from = 0;
    for (size_t i = 0; i + 2 < name.len; i++) {
        if (name.at[i] == '<' || name.at[i] == '(' || name.at[i] == '{')
            depth++;
        else if (name.at[i] == '>' || name.at[i] == ')' || name.at[i] == '}')
            depth -= depth > 0;
        else if (depth == 0 && name.at[i] == ':' && name.at[i + 1] == ':')
            from = i + 2;
        else if (depth == 0 && memcmp(name.at + i, "+0x", 3) == 0)
            from = i;
    }
    return (struct hone_str){name.at + from, name.len - from};
}

void hone_flame_label(struct hone_buffer *out, struct hone_str name, double room)
{
    if (hone_flame_text_width(name) <= room) {
        hone_flame_xml(out, name);
        return;
    }
    name = last_part(name);
    if (hone_flame_text_width(name) <= room) {
        hone_flame_xml(out, name);
        return;
    }
    double used = glyph_width(0x2026);
    size_t fits = 0;
    for (size_t at = 0, step; at < name.len; at += step) {
        used += glyph_width(
            hone_utf8_decode((const unsigned char *)name.at + at, name.len - at, &step));
        if (used > room)
            break;
        fits = at + step;
    }
    if (fits > 1) {
        hone_flame_xml(out, (struct hone_str){name.at, fits});
        hone_buffer_text(out, "…");
    }
}
