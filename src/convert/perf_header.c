// The beginning of a perf.data, and the table of features at its end.
//
//   magic u64, size u64                                          a stream ends here
//   attr size u64, attrs, data, event types (offset u64, size u64 each), features (256 bits)
//   …
//   data
//   for each feature bit that is set: offset u64, size u64
#include "convert/perf_stream.h"

#include "elf/cursor.h"

#include <errno.h>
#include <string.h>

enum {
    MAGIC_BYTES = 8,
    PIPE_HEADER_BYTES = 16,
    FILE_HEADER_BYTES = 104,
    FEATURE_WORDS = 4,
    SECTION_BYTES = 16,
    ATTR_ENTRY_MIN = 64 + SECTION_BYTES, // an event's first version, and where its ids are
};

struct section {
    uint64_t offset, size;
};

enum hone_perfdata_kind hone_perfdata_kind(const void *bytes, size_t len)
{
    if (len < MAGIC_BYTES)
        return HONE_PERFDATA_NONE;
    if (memcmp(bytes, "PERFILE2", MAGIC_BYTES) == 0)
        return HONE_PERFDATA_VERSION_2;
    if (memcmp(bytes, "PERFFILE", MAGIC_BYTES) == 0)
        return HONE_PERFDATA_VERSION_1;
    if (memcmp(bytes, "2ELIFREP", MAGIC_BYTES) == 0 || memcmp(bytes, "ELIFFREP", MAGIC_BYTES) == 0)
        return HONE_PERFDATA_OTHER_ORDER;
    return HONE_PERFDATA_NONE;
}

static struct section read_section(struct hone_cursor *at)
{
    struct section section;
    section.offset = hone_read_u64(at);
    section.size = hone_read_u64(at);
    return section;
}

static bool is_inside(const struct hone_perfdata_stream *stream, struct section section)
{
    return section.offset <= stream->len && section.size <= stream->len - section.offset;
}

static int read_events(struct hone_perfdata_stream *stream, struct section attrs,
                       uint64_t entry_bytes, struct hone_error *err)
{
    if (!is_inside(stream, attrs) || entry_bytes < ATTR_ENTRY_MIN || attrs.size < entry_bytes)
        return hone_error_set(err, -EBADMSG,
                              "'%s': its list of events lies outside the file or is broken",
                              stream->name);
    for (uint64_t done = 0; attrs.size - done >= entry_bytes; done += entry_bytes) {
        const uint8_t *entry = stream->bytes + attrs.offset + done;
        struct hone_cursor at = hone_cursor(entry + entry_bytes - SECTION_BYTES, SECTION_BYTES);
        struct section ids = read_section(&at);
        if (!is_inside(stream, ids))
            ids = (struct section){0};
        int r = hone_perfdata_add_event(&stream->info, entry, entry_bytes - SECTION_BYTES,
                                        stream->bytes + ids.offset, ids.size);
        if (r == -EFBIG)
            return hone_error_set(err, -EBADMSG, "'%s' has more events than can be", stream->name);
        if (r)
            return hone_error_set(err, r, "cannot read '%s'", stream->name);
    }
    return 0;
}

static void read_features(struct hone_perfdata_stream *stream, const uint8_t *bits, uint64_t table)
{
    struct hone_cursor at = hone_cursor_from(stream->bytes, stream->len, table);
    for (uint32_t feature = 0; feature < FEATURE_WORDS * 64; feature++) {
        if (!(bits[feature / 8] >> feature % 8 & 1))
            continue;
        struct section section = read_section(&at);
        if (at.failed)
            return;
        if (is_inside(stream, section))
            hone_perfdata_add_feature(&stream->info, feature, stream->bytes + section.offset,
                                      section.size);
    }
}

static int open_file(struct hone_perfdata_stream *stream, struct hone_error *err)
{
    struct hone_cursor at = hone_cursor_from(stream->bytes, stream->len, PIPE_HEADER_BYTES);
    uint64_t entry_bytes = hone_read_u64(&at);
    struct section attrs = read_section(&at), data = read_section(&at);
    (void)read_section(&at);
    const uint8_t *bits = hone_read_bytes(&at, FEATURE_WORDS * 8);
    if (!bits)
        return hone_error_set(err, -EBADMSG, "'%s' is cut off within the header of perf.data",
                              stream->name);
    int r = read_events(stream, attrs, entry_bytes, err);
    if (r)
        return r;
    if (data.offset > stream->len)
        return hone_error_set(err, -EBADMSG,
                              "'%s' is cut off before its first record (at byte %llu of %zu)",
                              stream->name, (unsigned long long)data.offset, stream->len);
    stream->data_at = data.offset;
    stream->losses.unfinished = data.size == 0;
    stream->losses.short_file = !is_inside(stream, data);
    if (stream->losses.unfinished || stream->losses.short_file) {
        stream->data_end = stream->len;
        return 0;
    }
    stream->data_end = data.offset + data.size;
    read_features(stream, bits, stream->data_end);
    return 0;
}

int hone_perfdata_open(const void *bytes, size_t len, const char *name,
                       struct hone_perfdata_stream *ret, struct hone_error *err)
{
    *ret = (struct hone_perfdata_stream){.bytes = bytes, .len = len, .name = name};
    hone_perfdata_info_init(&ret->info);
    int r;
    switch (hone_perfdata_kind(bytes, len)) {
    case HONE_PERFDATA_NONE:
        return hone_error_set(err, -EBADMSG, "'%s' is no perf.data", name);
    case HONE_PERFDATA_VERSION_1:
        return hone_error_set(err, -EBADMSG, "'%s' is a perf.data of perf's first version (2009)",
                              name);
    case HONE_PERFDATA_OTHER_ORDER:
        r = hone_error_set(err, -EBADMSG, "'%s' is of a machine with the other byte order", name);
        hone_error_hint(err, "try 'perf script' where it was recorded, and convert its text");
        return r;
    case HONE_PERFDATA_VERSION_2:
        break;
    }
    struct hone_cursor at = hone_cursor_from(bytes, len, MAGIC_BYTES);
    uint64_t header_bytes = hone_read_u64(&at);
    if (header_bytes == PIPE_HEADER_BYTES) {
        ret->is_pipe = true;
        ret->data_at = PIPE_HEADER_BYTES;
        ret->data_end = len;
        return 0;
    }
    if (header_bytes != FILE_HEADER_BYTES)
        return hone_error_set(err, -EBADMSG, "'%s' begins as a perf.data and does not go on as one",
                              name);
    return open_file(ret, err);
}

void hone_perfdata_close(struct hone_perfdata_stream *stream)
{
    hone_perfdata_info_done(&stream->info);
}
