#include "convert/json_write.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

// Bytes that stand for themselves: printing ones of ASCII but for quotes and backslashes.
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

// What is not plain at the front of the text; returns how many bytes of it.
static size_t put_special(struct hone_buffer *out, struct hone_str text)
{
    size_t len;
    uint32_t code = hone_utf8_decode((const unsigned char *)text.at, text.len, &len);
    if (code == '"' || code == '\\')
        hone_buffer_format(out, "\\%c", (char)code);
    else if (code == '\n')
        hone_buffer_text(out, "\\n");
    else if (code == '\t')
        hone_buffer_text(out, "\\t");
    else if (code < 0x20 || code == 0x7f)
        hone_buffer_format(out, "\\u%04x", (unsigned)code);
    else if (code == HONE_UTF8_REPLACEMENT && len == 1)
        hone_buffer_text(out, "\xef\xbf\xbd");
    else
        hone_buffer_add(out, text.at, len);
    return len;
}

void hone_json_put_text(struct hone_buffer *out, struct hone_str text)
{
    hone_buffer_add(out, "\"", 1);
    while (text.len) {
        size_t plain = 0;
        while (plain < text.len && is_plain((unsigned char)text.at[plain]))
            plain++;
        hone_buffer_add(out, text.at, plain);
        text = (struct hone_str){text.at + plain, text.len - plain};
        if (text.len) {
            size_t len = put_special(out, text);
            text = (struct hone_str){text.at + len, text.len - len};
        }
    }
    hone_buffer_add(out, "\"", 1);
}

// Sixteen million of them are written for a large profile: printf would take seconds.
void hone_json_put_count(struct hone_buffer *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    hone_buffer_add(out, digits + at, sizeof digits - at);
}

void hone_json_put_integer(struct hone_buffer *out, int64_t value)
{
    if (value < 0)
        hone_buffer_add(out, "-", 1);
    hone_json_put_count(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void hone_json_put_thousandths(struct hone_buffer *out, int64_t value)
{
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    if (value < 0)
        hone_buffer_add(out, "-", 1);
    hone_json_put_count(out, size / 1000);
    unsigned rest = (unsigned)(size % 1000);
    if (rest)
        hone_buffer_format(out, ".%03u", rest);
}
