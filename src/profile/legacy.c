// Which reader reads a file of pprof's older formats. Each looks at the first line (or the first
// words of a binary file). Where one gives up behind its first line the next one has its turn, in
// pprof's order: a Java profile of contention begins like one of gperftools.
#include "profile/legacy.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { DETECT_BYTES = 1 << 20 }; // in which the first line, and comments before it, must lie

static const struct reader {
    bool (*is)(struct hone_legacy *l);
    int (*read)(struct hone_legacy *l);
} readers[] = {
    {hone_legacy_is_cpu, hone_legacy_read_cpu},
    {hone_legacy_is_heap, hone_legacy_read_heap},
    {hone_legacy_is_count, hone_legacy_read_count},
    {hone_legacy_is_threads, hone_legacy_read_threads},
    {hone_legacy_is_contention, hone_legacy_read_contention},
    {hone_legacy_is_java, hone_legacy_read_java},
};

enum { READERS = sizeof readers / sizeof readers[0] };

// --- errors --------------------------------------------------------------------------------------

static int report(struct hone_legacy *l, const char *where, size_t place, const char *format,
                  va_list arguments)
{
    char reason[200];
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    return hone_error_set(l->err, -EBADMSG, "cannot read '%s': %s %s %zu", l->name, reason, where,
                          place);
}

int hone_legacy_bad(struct hone_legacy *l, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int r = report(l, "in line", l->lines.number, format, arguments);
    va_end(arguments);
    return r;
}

int hone_legacy_bad_byte(struct hone_legacy *l, const unsigned char *at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int r = report(l, "at byte", (size_t)(at - l->bytes), format, arguments);
    va_end(arguments);
    return r;
}

int hone_legacy_foreign(struct hone_legacy *l, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)report(l, "in line", l->lines.number, format, arguments);
    va_end(arguments);
    return HONE_LEGACY_FOREIGN;
}

int hone_legacy_out_of_memory(struct hone_legacy *l)
{
    return hone_error_set(l->err, -ENOMEM, "cannot read '%s'", l->name);
}

// --- the whole -----------------------------------------------------------------------------------

static bool begins_as(const struct reader *reader, const unsigned char *bytes, size_t len)
{
    if (len > DETECT_BYTES)
        len = DETECT_BYTES;
    struct hone_legacy l = {.bytes = bytes, .len = len, .lines = hone_legacy_lines(bytes, len)};
    return reader->is(&l);
}

bool hone_legacy_detect(const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < READERS; i++)
        if (begins_as(&readers[i], bytes, len))
            return true;
    return false;
}

static void legacy_done(struct hone_legacy *l)
{
    hone_profile_free(l->profile);
    free(l->places);
    hone_table_done(&l->place_index);
    free(l->frames);
    free(l->samples);
    free(l->mappings);
}

static int read_with(const struct reader *reader, struct hone_legacy *l, struct hone_profile **ret)
{
    l->profile = hone_profile_new();
    if (!l->profile)
        return hone_legacy_out_of_memory(l);
    l->lines = hone_legacy_lines(l->bytes, l->len);
    int r = reader->read(l);
    if (!r)
        r = hone_legacy_build(l);
    if (r)
        return r;
    hone_legacy_set_frames(l->profile);
    r = hone_profile_status(l->profile);
    if (r)
        return hone_error_set(l->err, r, "cannot read '%s'", l->name);
    *ret = hone_take(l->profile);
    return 0;
}

int hone_legacy_decode(const unsigned char *bytes, size_t len, const char *name,
                       struct hone_profile **ret, struct hone_error *err)
{
    struct hone_error first = {0};
    for (size_t i = 0; i < READERS; i++) {
        if (!begins_as(&readers[i], bytes, len))
            continue;
        struct hone_error reason = {0};
        HONE_CLEANUP(legacy_done)
        struct hone_legacy l = {.bytes = bytes, .len = len, .name = name, .err = &reason};
        int r = read_with(&readers[i], &l, ret);
        if (!r)
            return 0;
        if (!first.code)
            first = reason; // of the one that recognised the first line
        if (r != HONE_LEGACY_FOREIGN) {
            if (err)
                *err = first.code == r ? first : reason;
            return r;
        }
    }
    if (!first.code)
        return hone_error_set(err, -EBADMSG, "cannot read '%s': unknown format", name);
    if (err)
        *err = first;
    return -EBADMSG;
}
