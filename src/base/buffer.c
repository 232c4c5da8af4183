#include "base/buffer.h"

#include "base/pages.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct hone_buffer *out, size_t len)
{
    if (out->failed || len > SIZE_MAX / 4 - out->len) {
        out->failed = true;
        return false;
    }
    size_t need = out->len + len;
    if (need <= out->capacity && out->at)
        return true;
    size_t capacity = out->capacity ? out->capacity : 256;
    while (capacity < need)
        capacity *= 2;
    char *at = realloc(out->at, capacity);
    if (!at) {
        out->failed = true;
        return false;
    }
    hone_pages_large(at, capacity);
    out->at = at;
    out->capacity = capacity;
    return true;
}

void *hone_buffer_grow(struct hone_buffer *out, size_t len)
{
    if (!reserve(out, len))
        return NULL;
    void *at = out->at + out->len;
    out->len += len;
    return at;
}

void hone_buffer_add(struct hone_buffer *out, const void *bytes, size_t len)
{
    void *at = hone_buffer_grow(out, len);
    if (at && len)
        memcpy(at, bytes, len);
}

void hone_buffer_text(struct hone_buffer *out, const char *text)
{
    hone_buffer_add(out, text, strlen(text));
}

void hone_buffer_format(struct hone_buffer *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len >= 0 && reserve(out, (size_t)len + 1)) {
        (void)vsnprintf(out->at + out->len, (size_t)len + 1, format, again);
        out->len += (size_t)len;
    }
    va_end(again);
}

void hone_buffer_done(struct hone_buffer *out)
{
    free(out->at);
    *out = (struct hone_buffer){0};
}
