#include "convert/frames.h"

#include "base/array.h"
#include "base/table.h"

#include <errno.h>

// What tells frames apart. No padding: it is hashed as bytes.
struct key {
    int64_t line;
    uint32_t function;
    uint32_t mapping;
};

struct finder {
    const struct hone_profile *profile;
    struct hone_frames *frames;
    struct hone_table table;
    uint32_t room;
    bool lines;
};

static struct hone_str base_name(struct hone_str path)
{
    size_t at = path.len;
    while (at && path.at[at - 1] != '/')
        at--;
    return (struct hone_str){path.at + at, path.len - at};
}

static struct hone_str name_of(struct finder *f, const struct key *key)
{
    const struct hone_profile *p = f->profile;
    struct hone_str name = hone_profile_str(p, p->functions.name[key->function]);
    if (name.len)
        return name;
    name = hone_profile_str(p, p->functions.system_name[key->function]);
    if (name.len)
        return name;
    struct hone_str file = hone_profile_str(p, p->mappings.at[key->mapping].file);
    if (!file.len)
        return HONE_STR("<unknown>");
    return hone_str_of(hone_arena_format(&f->frames->text, "[%s]", base_name(file).at));
}

static int add(struct finder *f, const struct key *key, uint64_t hash)
{
    struct hone_frames *frames = f->frames;
    struct hone_frame frame = {
        .name = name_of(f, key),
        .function = key->function,
        .mapping = key->mapping,
        .line = key->line,
    };
    if (!frame.name.at ||
        !hone_array_reserve(&frames->frames, &f->room, (uint64_t)frames->count + 1,
                            sizeof *frames->frames) ||
        hone_table_add(&f->table, hash, frames->count))
        return -ENOMEM;
    frames->frames[frames->count++] = frame;
    return 0;
}

static int find(struct finder *f, uint32_t location, const struct hone_profile_line *line,
                uint32_t *ret)
{
    struct key key = {
        .line = line && f->lines ? line->number : 0,
        .function = line ? line->function : 0,
        .mapping = f->profile->locations.mapping[location],
    };
    uint64_t hash = hone_table_hash(&key, sizeof key, 0); // numbers of ours, not a stranger's text
    struct hone_table_probe probe = hone_table_probe(&f->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&f->table, &probe)) != HONE_TABLE_END) {
        const struct hone_frame *frame = &f->frames->frames[at];
        if (frame->function == key.function && frame->mapping == key.mapping &&
            frame->line == key.line) {
            *ret = at;
            return 0;
        }
    }
    *ret = f->frames->count;
    return add(f, &key, hash);
}

static int find_all(struct finder *f)
{
    const struct hone_profile *p = f->profile;
    uint32_t next = 0;
    int r = 0;
    for (uint32_t location = 0; !r && location < p->locations.count; location++) {
        f->frames->first[location] = next;
        struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
        if (!lines.count)
            r = find(f, location, NULL, &f->frames->at[next++]);
        for (uint32_t i = lines.count; !r && i-- > 0;)
            r = find(f, location, &lines.at[i], &f->frames->at[next++]);
    }
    f->frames->first[p->locations.count] = next;
    return r;
}

int hone_frames_init(struct hone_frames *frames, const struct hone_profile *profile, bool lines)
{
    *frames = (struct hone_frames){0};
    frames->first = calloc((size_t)profile->locations.count + 1, sizeof *frames->first);
    frames->at =
        calloc((size_t)profile->locations.count + profile->lines.count, sizeof *frames->at);
    if (!frames->first || !frames->at)
        return -ENOMEM;
    struct finder finder = {.profile = profile, .frames = frames, .lines = lines};
    int r = find_all(&finder);
    hone_table_done(&finder.table);
    return r;
}

void hone_frames_done(struct hone_frames *frames)
{
    free(frames->frames);
    free(frames->first);
    free(frames->at);
    hone_arena_done(&frames->text);
}

int hone_run_of(const struct hone_frames *frames, const struct hone_profile *profile,
                uint32_t stack, struct hone_run *ret)
{
    struct hone_profile_span locations = hone_profile_frames_of(profile, stack);
    ret->count = 0;
    for (uint32_t i = locations.count; i-- > 0;) {
        uint32_t from = frames->first[locations.at[i]];
        uint32_t to = frames->first[locations.at[i] + 1];
        if (!hone_array_reserve(&ret->at, &ret->room, (uint64_t)ret->count + (to - from),
                                sizeof *ret->at))
            return -ENOMEM;
        for (; from < to; from++)
            ret->at[ret->count++] = frames->at[from];
    }
    return 0;
}

void hone_run_done(struct hone_run *run)
{
    free(run->at);
}
