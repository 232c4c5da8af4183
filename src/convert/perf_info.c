#include "convert/perf_info.h"

#include "base/array.h"
#include "base/buffer.h"
#include "elf/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Features, as perf numbers them (tools/perf/util/header.h).
enum {
    FEATURE_BUILD_ID = 2,
    FEATURE_HOST = 3,
    FEATURE_RELEASE = 4,
    FEATURE_VERSION = 5,
    FEATURE_MACHINE = 6,
    FEATURE_CPUS = 7,
    FEATURE_PROCESSOR = 8,
    FEATURE_COMMAND = 11,
    FEATURE_EVENTS = 12,
    FEATURE_TIMES = 21,
    FEATURE_DIRECTORY = 24,
    FEATURE_CLOCK = 29,
};

enum {
    WORD_BYTES = 8,
    ATTR_BYTES_MIN = 64,          // its first version's
    UPDATE_NAME = 2,              // what EVENT_UPDATE tells
    BUILD_ID_SIZE_TOLD = 1 << 15, // in misc of a build id's record
    BUILD_ID_HEAD = 8 + 4 + 24,   // header, pid, build id
    COMMAND_BYTES_MAX = 4096,     // of a command line that is kept
    IDS_MAX = 1 << 20,            // of all events together: one for each CPU or thread
    BUILD_IDS_MAX = 1 << 16,
    PARTS_SINCE = 1, // version of directories whose records lie in files of their own
};

void hone_perfdata_info_init(struct hone_perfdata_info *info)
{
    *info = (struct hone_perfdata_info){.host = "",
                                        .release = "",
                                        .perf_version = "",
                                        .machine = "",
                                        .processor = "",
                                        .command = "",
                                        .seed = hone_table_seed()};
}

void hone_perfdata_info_done(struct hone_perfdata_info *info)
{
    free(info->events);
    free(info->ids);
    free(info->build_ids);
    hone_table_done(&info->id_table);
    hone_table_done(&info->path_table);
    hone_arena_done(&info->arena);
    *info = (struct hone_perfdata_info){0};
}

static const char *keep(struct hone_perfdata_info *info, const char *text, size_t len)
{
    char *kept = hone_arena_copy(&info->arena, text, len + 1);
    if (!kept) {
        info->out_of_memory = true;
        return "";
    }
    kept[len] = '\0';
    return kept;
}

// --- events --------------------------------------------------------------------------------------

static uint64_t hash_id(const struct hone_perfdata_info *info, uint64_t id)
{
    return hone_hash_fold(id ^ info->seed, 0xa0761d6478bd642fu);
}

static int add_id(struct hone_perfdata_info *info, uint64_t id, uint32_t event)
{
    if (info->id_count == IDS_MAX)
        return -EFBIG;
    if (!hone_array_reserve(&info->ids, &info->id_room, (uint64_t)info->id_count + 1,
                            sizeof *info->ids) ||
        hone_table_add(&info->id_table, hash_id(info, id), info->id_count))
        return -ENOMEM;
    info->ids[info->id_count].id = id;
    info->ids[info->id_count++].event = event;
    return 0;
}

static unsigned has(uint64_t type, uint64_t bit)
{
    return type & bit ? WORD_BYTES : 0;
}

static void find_places(struct hone_perfdata_event *event)
{
    const uint64_t type = event->attr.sample_type;
    event->register_count = type & PERF_SAMPLE_REGS_USER
                                ? (unsigned)__builtin_popcountll(event->attr.sample_regs_user)
                                : 0;
    if (type & PERF_SAMPLE_TIME)
        event->sample_time = (unsigned)sizeof(struct perf_event_header) +
                             has(type, PERF_SAMPLE_IDENTIFIER) + has(type, PERF_SAMPLE_IP) +
                             has(type, PERF_SAMPLE_TID);
    if (!event->attr.sample_id_all)
        return;
    unsigned after = has(type, PERF_SAMPLE_ID) + has(type, PERF_SAMPLE_STREAM_ID) +
                     has(type, PERF_SAMPLE_CPU) + has(type, PERF_SAMPLE_IDENTIFIER);
    if (type & PERF_SAMPLE_TIME)
        event->trailer_time = after + WORD_BYTES;
    event->trailer_bytes = after + has(type, PERF_SAMPLE_TIME) + has(type, PERF_SAMPLE_TID);
}

int hone_perfdata_add_event(struct hone_perfdata_info *info, const uint8_t *attr, size_t len,
                            const uint8_t *ids, size_t ids_len)
{
    if (len < ATTR_BYTES_MIN)
        return -EBADMSG;
    if (info->event_count == HONE_PERFDATA_EVENTS_MAX)
        return -EFBIG;
    if (!hone_array_reserve(&info->events, &info->event_room, (uint64_t)info->event_count + 1,
                            sizeof *info->events))
        return -ENOMEM;
    struct hone_perfdata_event event = {.name = ""};
    memcpy(&event.attr, attr, len < sizeof event.attr ? len : sizeof event.attr);
    find_places(&event);
    info->by_identifier = (event.attr.sample_type & PERF_SAMPLE_IDENTIFIER) &&
                          (info->by_identifier || !info->event_count);
    info->events[info->event_count++] = event;
    for (size_t i = 0; i + WORD_BYTES <= ids_len; i += WORD_BYTES) {
        uint64_t id;
        memcpy(&id, ids + i, sizeof id);
        int r = add_id(info, id, info->event_count - 1);
        if (r)
            return r;
    }
    return 0;
}

static uint32_t find_id(const struct hone_perfdata_info *info, uint64_t id)
{
    struct hone_table_probe probe = hone_table_probe(&info->id_table, hash_id(info, id));
    uint32_t at;
    while ((at = hone_table_next(&info->id_table, &probe)) != HONE_TABLE_END)
        if (info->ids[at].id == id)
            return info->ids[at].event;
    return HONE_TABLE_END;
}

// Where a record of this kind has its id, if it is one of this event; 0: nowhere. Without
// PERF_SAMPLE_IDENTIFIER that depends on the event, and the file's events agree on it.
static size_t place_of_id(const struct hone_perfdata_info *info,
                          const struct hone_perfdata_event *event, bool is_sample, size_t size)
{
    const uint64_t type = event->attr.sample_type;
    const size_t head = sizeof(struct perf_event_header);
    if (info->by_identifier)
        return is_sample ? head : event->trailer_bytes ? size - WORD_BYTES : 0;
    if (!(type & PERF_SAMPLE_ID))
        return 0;
    if (is_sample)
        return head + has(type, PERF_SAMPLE_IDENTIFIER) + has(type, PERF_SAMPLE_IP) +
               has(type, PERF_SAMPLE_TID) + has(type, PERF_SAMPLE_TIME) +
               has(type, PERF_SAMPLE_ADDR);
    return event->trailer_bytes ? size - WORD_BYTES - has(type, PERF_SAMPLE_STREAM_ID) -
                                      has(type, PERF_SAMPLE_CPU) - has(type, PERF_SAMPLE_IDENTIFIER)
                                : 0;
}

struct hone_perfdata_event *hone_perfdata_event_of(struct hone_perfdata_info *info,
                                                   const uint8_t *record, size_t size)
{
    if (!info->event_count)
        return NULL;
    struct hone_perfdata_event *first = &info->events[0];
    struct perf_event_header header;
    memcpy(&header, record, sizeof header);
    bool is_sample = header.type == PERF_RECORD_SAMPLE;
    if (info->event_count == 1)
        return first;
    size_t at = place_of_id(info, first, is_sample, size);
    if (!at || at < sizeof header || at > size - WORD_BYTES)
        return is_sample ? NULL : first;
    uint64_t id;
    memcpy(&id, record + at, sizeof id);
    uint32_t event = find_id(info, id);
    if (event != HONE_TABLE_END)
        return &info->events[event];
    // What perf itself tells of what was there before has no id.
    return is_sample && id ? NULL : first;
}

// --- names of events -----------------------------------------------------------------------------

static const char *const software_names[] = {
    "cpu-clock",        "task-clock",   "page-faults",  "context-switches",
    "cpu-migrations",   "minor-faults", "major-faults", "alignment-faults",
    "emulation-faults", "dummy",        "bpf-output",   "cgroup-switches",
};
static const char *const hardware_names[] = {
    "cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branches",
    "branch-misses",
    "bus-cycles",
    "stalled-cycles-frontend",
    "stalled-cycles-backend",
    "ref-cycles",
};

static void name_event(struct hone_perfdata_info *info, struct hone_perfdata_event *event)
{
    const struct perf_event_attr *attr = &event->attr;
    char name[64];
    if (attr->type == PERF_TYPE_SOFTWARE &&
        attr->config < sizeof software_names / sizeof software_names[0])
        event->name = software_names[attr->config];
    else if (attr->type == PERF_TYPE_HARDWARE &&
             attr->config < sizeof hardware_names / sizeof hardware_names[0])
        event->name = hardware_names[attr->config];
    if (event->name[0])
        return;
    int len =
        snprintf(name, sizeof name, "event-%u-%llx", attr->type, (unsigned long long)attr->config);
    event->name = keep(info, name, (size_t)len);
}

void hone_perfdata_name_events(struct hone_perfdata_info *info)
{
    for (uint32_t i = 0; i < info->event_count; i++)
        if (!info->events[i].name[0])
            name_event(info, &info->events[i]);
}

void hone_perfdata_update_event(struct hone_perfdata_info *info, const uint8_t *bytes, size_t len)
{
    struct hone_cursor at = hone_cursor_from(bytes, len, sizeof(struct perf_event_header));
    uint64_t what = hone_read_u64(&at), id = hone_read_u64(&at);
    const char *name = hone_read_text(&at);
    uint32_t event = find_id(info, id);
    if (!at.failed && what == UPDATE_NAME && event != HONE_TABLE_END)
        info->events[event].name = keep(info, name, strlen(name));
}

// --- features ------------------------------------------------------------------------------------

// Its length, counted with padding, then the text.
static const char *read_text(struct hone_perfdata_info *info, struct hone_cursor *at)
{
    uint32_t size = hone_read_u32(at);
    const char *text = (const char *)hone_read_bytes(at, size);
    return text ? keep(info, text, strnlen(text, size)) : "";
}

static const char *read_command(struct hone_perfdata_info *info, struct hone_cursor *at)
{
    struct hone_buffer text = {0};
    uint32_t count = hone_read_u32(at);
    for (uint32_t i = 0; i < count && !at->failed && text.len < COMMAND_BYTES_MAX; i++) {
        uint32_t size = hone_read_u32(at);
        const char *word = (const char *)hone_read_bytes(at, size);
        if (!word)
            break;
        if (i)
            hone_buffer_add(&text, " ", 1);
        hone_buffer_add(&text, word, strnlen(word, size));
    }
    info->out_of_memory |= text.failed;
    size_t len = text.len < COMMAND_BYTES_MAX ? text.len : COMMAND_BYTES_MAX;
    const char *kept = text.at && !text.failed ? keep(info, text.at, len) : "";
    hone_buffer_done(&text);
    return kept;
}

// Events again, with their names and ids. In a stream this is the one place of their names.
static void read_events(struct hone_perfdata_info *info, struct hone_cursor *at)
{
    uint32_t count = hone_read_u32(at), attr_bytes = hone_read_u32(at);
    for (uint32_t i = 0; i < count && !at->failed; i++) {
        (void)hone_read_bytes(at, attr_bytes);
        uint32_t ids = hone_read_u32(at);
        const char *name = read_text(info, at);
        uint32_t event = i;
        for (uint32_t k = 0; k < ids && !at->failed; k++) {
            uint32_t found = find_id(info, hone_read_u64(at));
            if (k == 0 && found != HONE_TABLE_END)
                event = found;
        }
        if (!at->failed && event < info->event_count)
            info->events[event].name = name;
    }
}

static void read_clock(struct hone_perfdata_info *info, struct hone_cursor *at)
{
    (void)hone_read_u32(at); // version
    (void)hone_read_u32(at); // which clock
    uint64_t wall_ns = hone_read_u64(at), clock_ns = hone_read_u64(at);
    if (at->failed)
        return;
    info->has_clock = true;
    info->wall_ns = wall_ns;
    info->clock_ns = clock_ns;
}

static void read_build_ids(struct hone_perfdata_info *info, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; len - at >= BUILD_ID_HEAD;) {
        struct perf_event_header header;
        memcpy(&header, bytes + at, sizeof header);
        if (header.size < BUILD_ID_HEAD || header.size > len - at)
            break;
        hone_perfdata_add_build_id(info, bytes + at, header.size);
        at += header.size;
    }
}

void hone_perfdata_add_build_id(struct hone_perfdata_info *info, const uint8_t *bytes, size_t len)
{
    struct perf_event_header header;
    struct hone_cursor at = hone_cursor(bytes, len);
    const unsigned char *head = hone_read_bytes(&at, sizeof header);
    (void)hone_read_u32(&at); // pid: -1 the host's kernel
    const unsigned char *id = hone_read_bytes(&at, 24);
    const char *path = (const char *)at.at;
    size_t path_len = strnlen(path, hone_cursor_left(&at));
    if (at.failed || !path_len || path_len >= HONE_PERFDATA_PATH_MAX ||
        info->build_id_count == BUILD_IDS_MAX)
        return;
    memcpy(&header, head, sizeof header);
    struct hone_perfdata_build_id build_id = {.size = HONE_PERFDATA_BUILD_ID_MAX};
    if (header.misc & BUILD_ID_SIZE_TOLD && id[20] <= HONE_PERFDATA_BUILD_ID_MAX)
        build_id.size = id[20];
    memcpy(build_id.bytes, id, build_id.size);
    build_id.path = keep(info, path, path_len);
    if (!hone_array_reserve(&info->build_ids, &info->build_id_room,
                            (uint64_t)info->build_id_count + 1, sizeof *info->build_ids) ||
        hone_table_add(&info->path_table, hone_table_hash(path, path_len, info->seed),
                       info->build_id_count))
        info->out_of_memory = true;
    else
        info->build_ids[info->build_id_count++] = build_id;
}

const struct hone_perfdata_build_id *
hone_perfdata_build_id_of(const struct hone_perfdata_info *info, const char *path)
{
    struct hone_table_probe probe =
        hone_table_probe(&info->path_table, hone_table_hash(path, strlen(path), info->seed));
    uint32_t at;
    while ((at = hone_table_next(&info->path_table, &probe)) != HONE_TABLE_END)
        if (strcmp(info->build_ids[at].path, path) == 0)
            return &info->build_ids[at];
    return NULL;
}

void hone_perfdata_add_feature(struct hone_perfdata_info *info, uint32_t feature,
                               const uint8_t *bytes, size_t len)
{
    struct hone_cursor at = hone_cursor(bytes, len);
    switch (feature) {
    case FEATURE_BUILD_ID:
        read_build_ids(info, bytes, len);
        break;
    case FEATURE_HOST:
        info->host = read_text(info, &at);
        break;
    case FEATURE_RELEASE:
        info->release = read_text(info, &at);
        break;
    case FEATURE_VERSION:
        info->perf_version = read_text(info, &at);
        break;
    case FEATURE_MACHINE:
        info->machine = read_text(info, &at);
        break;
    case FEATURE_CPUS:
        (void)hone_read_u32(&at); // that could be there
        info->cpus = hone_read_u32(&at);
        break;
    case FEATURE_PROCESSOR:
        info->processor = read_text(info, &at);
        break;
    case FEATURE_COMMAND:
        info->command = read_command(info, &at);
        break;
    case FEATURE_EVENTS:
        read_events(info, &at);
        break;
    case FEATURE_TIMES:
        info->first_ns = hone_read_u64(&at);
        info->last_ns = hone_read_u64(&at);
        break;
    case FEATURE_DIRECTORY:
        info->in_parts = hone_read_u64(&at) >= PARTS_SINCE;
        break;
    case FEATURE_CLOCK:
        read_clock(info, &at);
        break;
    default:
        break;
    }
}
