#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

uint32_t hone_utf8_decode(const unsigned char *at, size_t len, size_t *ret_len)
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
        return HONE_UTF8_REPLACEMENT;
    uint32_t point = at[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return HONE_UTF8_REPLACEMENT;
        point = point << 6 | (at[i] & 0x3fu);
    }
    if (point < smallest[need] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return HONE_UTF8_REPLACEMENT;
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
    return turns || breaks || forbidden ? HONE_UTF8_REPLACEMENT : point;
}

struct hone_str hone_utf8_clean(struct hone_arena *arena, struct hone_str text, size_t limit,
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
        uint32_t point =
            hone_utf8_decode((const unsigned char *)text.at + at, text.len - at, &step);
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
    clean[len] = '\0';
    return (struct hone_str){clean, len};
}

// Whether a run of bytes is printable ASCII and line ends. Written so that compilers look at many
// bytes at once.
static bool is_plain(const char *text, size_t len)
{
    unsigned char wild = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        wild |= (unsigned char)(((unsigned char)(byte - 0x20) >= 0x5f) & (byte != '\n'));
    }
    return !wild;
}

// How many bytes from here on need no look.
static size_t skip_plain(struct hone_str text, size_t at)
{
    enum { LONG = 128, SHORT = 8 };
    size_t start = at;
    while (at + LONG <= text.len && is_plain(text.at + at, LONG))
        at += LONG;
    while (at + SHORT <= text.len && is_plain(text.at + at, SHORT))
        at += SHORT;
    return at - start;
}

static bool stays(struct hone_str text, size_t at, size_t *ret_step, uint32_t *ret_shown)
{
    const unsigned char *bytes = (const unsigned char *)text.at + at;
    uint32_t point = hone_utf8_decode(bytes, text.len - at, ret_step);
    *ret_shown = point == '\n' || point == '\t' ? point : shown(point);
    bool wild = point == HONE_UTF8_REPLACEMENT && *ret_step == 1;
    return *ret_shown == point && !wild;
}

struct hone_str hone_utf8_clean_lines(struct hone_arena *arena, struct hone_str text, bool *failed)
{
    size_t step;
    uint32_t sign;
    size_t wild = 0;
    for (size_t at = skip_plain(text, 0); at < text.len; at += step + skip_plain(text, at + step))
        wild += !stays(text, at, &step, &sign);
    if (!wild)
        return text;
    char *clean = hone_arena_alloc(arena, text.len + 2 * wild); // a byte becomes at most three
    if (!clean) {
        *failed = true;
        return (struct hone_str){"", 0};
    }
    size_t len = 0;
    for (size_t at = 0; at < text.len; at += step) {
        (void)stays(text, at, &step, &sign);
        len += encode(sign, clean + len);
    }
    return (struct hone_str){clean, len};
}

static bool is_inside(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

void hone_utf8_brief(struct hone_str text, char *to, size_t size)
{
    static const char gap[] = "…";
    if (text.len < size) {
        if (text.len)
            memcpy(to, text.at, text.len);
        to[text.len] = '\0';
        return;
    }
    size_t room = size - sizeof gap; // with the NUL
    size_t head = room - room / 2;
    size_t tail = text.len - room / 2;
    while (head && is_inside(text.at[head]))
        head--;
    while (tail < text.len && is_inside(text.at[tail]))
        tail++;
    memcpy(to, text.at, head);
    memcpy(to + head, gap, sizeof gap - 1);
    memcpy(to + head + sizeof gap - 1, text.at + tail, text.len - tail);
    to[head + sizeof gap - 1 + text.len - tail] = '\0';
}

struct hone_brief hone_brief_of(struct hone_str text)
{
    struct hone_brief brief;
    hone_utf8_brief(text, brief.text, sizeof brief.text);
    return brief;
}
