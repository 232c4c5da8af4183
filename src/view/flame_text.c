#include "view/flame_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { REPLACEMENT = 0xfffd };

// The code point at the start of text and how many bytes it takes; REPLACEMENT and 1 for bytes that
// are not UTF-8 (overlong forms, surrogates and what lies beyond Unicode included).
static uint32_t decode(const unsigned char *at, size_t len, size_t *ret_len)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    *ret_len = 1;
    size_t need = at[0] < 0x80             ? 1
                  : (at[0] & 0xe0) == 0xc0 ? 2
                  : (at[0] & 0xf0) == 0xe0 ? 3
                  : (at[0] & 0xf8) == 0xf0 ? 4
                                           : 0;
    if (need == 1)
        return at[0];
    if (need == 0 || need > len)
        return REPLACEMENT;
    uint32_t point = at[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return REPLACEMENT;
        point = point << 6 | (at[i] & 0x3fu);
    }
    if (point < smallest[need] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return REPLACEMENT;
    *ret_len = need;
    return point;
}

static size_t encode(uint32_t point, char *at)
{
    if (point < 0x80) {
        at[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; point >>= 6)
        at[i] = (char)(0x80 | (point & 0x3f));
    at[0] = (char)((0xf00u >> len) | point);
    return len;
}

// What is shown in the place of a code point.
static uint32_t shown(uint32_t point)
{
    if (point < 0x20)
        return 0x2400 + point; // signs for control characters
    if (point == 0x7f)
        return 0x2421;
    bool turns = (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) ||
                 point == 0x200e || point == 0x200f || point == 0x061c;
    bool breaks = point == 0x2028 || point == 0x2029;
    bool forbidden = (point >= 0x80 && point < 0xa0) || (point & 0xfffe) == 0xfffe;
    return turns || breaks || forbidden ? REPLACEMENT : point;
}

struct hone_str hone_flame_clean(struct hone_arena *arena, struct hone_str text, size_t limit,
                                 bool *failed)
{
    static const char ellipsis[] = "…";
    // A byte becomes at most three.
    size_t most = text.len < limit ? text.len * 3 : limit + 4;
    char *clean = hone_arena_alloc(arena, most + sizeof ellipsis);
    if (!clean) {
        *failed = true;
        return (struct hone_str){"", 0};
    }
    size_t len = 0;
    for (size_t at = 0, step; at < text.len; at += step) {
        uint32_t point = decode((const unsigned char *)text.at + at, text.len - at, &step);
        char bytes[4];
        size_t more = encode(shown(point), bytes);
        if (len + more > limit || len + more > most) {
            memcpy(clean + len, ellipsis, sizeof ellipsis - 1);
            len += sizeof ellipsis - 1;
            break;
        }
        memcpy(clean + len, bytes, more);
        len += more;
    }
    return (struct hone_str){clean, len};
}

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
        width += glyph_width(decode((const unsigned char *)text.at + at, text.len - at, &step));
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
        used += glyph_width(decode((const unsigned char *)name.at + at, name.len - at, &step));
        if (used > room)
            break;
        fits = at + step;
    }
    if (fits > 1) {
        hone_flame_xml(out, (struct hone_str){name.at, fits});
        hone_buffer_text(out, "…");
    }
}
