// For tests of perf.data: programs in a made recording, and what a profile of it says.
#ifndef HONE_CONVERT_PERF_MADE_H
#define HONE_CONVERT_PERF_MADE_H

#include "convert/perf_fixture.h"
#include "convert/perf_fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t PROGRAM = 0x400000, LIBRARY = 0x7f0000000000, KERNEL = 0xffffffff81000000;

static inline struct hone_profile *read_named(const struct fixture *fixture, const char *event,
                                              bool no_names)
{
    const struct hone_perf_options options = {
        .size = sizeof options, .event = event, .cache = "", .no_names = no_names};
    struct hone_profile *profile = NULL;
    struct hone_error err = {0};
    int r = hone_perf_read(fixture->bytes.at, fixture->bytes.len, "made", &options, &profile, &err);
    if (r) {
        (void)fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return profile;
}

static inline struct hone_profile *read_made(const struct fixture *fixture)
{
    return read_named(fixture, NULL, true);
}

static inline bool has_comment(const struct hone_profile *profile, const char *text)
{
    for (uint32_t i = 0; i < profile->comment_count; i++)
        if (strstr(hone_profile_text(profile, profile->comments[i]), text))
            return true;
    return false;
}

// "file+0xoffset;…", leaf first; "?" is no file's.
static inline const char *stack_text(const struct hone_profile *profile, uint32_t sample)
{
    static char text[1024];
    text[0] = '\0';
    struct hone_profile_span frames =
        hone_profile_frames_of(profile, profile->samples.stack[sample]);
    for (uint32_t i = 0; i < frames.count; i++) {
        uint32_t location = frames.at[i], mapping = profile->locations.mapping[location];
        const struct hone_profile_mapping *at = &profile->mappings.at[mapping];
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, location);
        size_t len = strlen(text);
        uint64_t address = profile->locations.address[location];
        if (mapping)
            (void)snprintf(text + len, sizeof text - len, "%s%s+%#llx", i ? ";" : "",
                           hone_profile_text(profile, at->file),
                           (unsigned long long)(at->start == 1ull << 63
                                                    ? address
                                                    : address - at->start + at->offset));
        else
            (void)snprintf(text + len, sizeof text - len, "%s%s", i ? ";" : "",
                           lines.count ? hone_profile_text(
                                             profile, profile->functions.name[lines.at[0].function])
                                       : "?");
    }
    return text;
}

static inline const char *label_text(const struct hone_profile *profile, uint32_t sample,
                                     const char *key)
{
    struct hone_profile_label_span labels =
        hone_profile_labels_of(profile, profile->samples.label_set[sample]);
    for (uint32_t i = 0; i < labels.count; i++)
        if (strcmp(hone_profile_text(profile, labels.at[i].key), key) == 0)
            return hone_profile_text(profile, labels.at[i].text);
    return "";
}

static inline void begin_clock(struct fixture *fixture)
{
    const struct perf_event_attr attr = fixture_clock(FIXTURE_CHAIN);
    fixture_begin(fixture, &attr, 1);
}

// One program with a library.
static inline void add_program(struct fixture *fixture, uint32_t pid)
{
    fixture_name(fixture, pid, "prog", true, 1);
    fixture_map(fixture, pid, PROGRAM, 0x10000, 0x1000, 0, "/none/program", 2);
    fixture_map(fixture, pid, LIBRARY, 0x10000, 0, 0, "/none/library.so", 3);
}

// A file with records alone, of a fixture with the same events.
static inline void add_part(struct hone_buffer *files, struct fixture *fixture)
{
    uint32_t size = (uint32_t)(fixture->bytes.len - fixture->data_at);
    hone_buffer_add(files, &size, sizeof size);
    hone_buffer_add(files, fixture->bytes.at + fixture->data_at, size);
    fixture_done(fixture);
}

// As `perf record --threads` leaves it: who was there before in the file with the header, samples
// of two CPUs in others. `broken` bytes of the first are none of a record.
static inline struct hone_buffer make_directory(bool packed, size_t broken)
{
    struct hone_buffer files = {0};
    struct fixture main = {0}, first = {0}, second = {0}, none = {0};
    begin_clock(&main);
    fixture_name(&main, 7, "prog", true, 0);
    fixture_map(&main, 7, PROGRAM, 0x10000, 0x1000, 0, "/none/program", 0);
    fixture_finish(&main);
    begin_clock(&first);
    for (uint64_t i = 0; i < 40; i++)
        fixture_chain(&first, 0, 7, 10 + i,
                      (uint64_t[]){PERF_CONTEXT_USER, (i < 20 ? PROGRAM : LIBRARY) + 1, 0});
    if (packed)
        fixture_pack(&first, 64);
    hone_buffer_add(&first.bytes, "\xff\xff\xff\xff\xff\xff\0\0", broken);
    begin_clock(&second);
    // The library comes while both run: it is there for what is later on any CPU.
    fixture_chain(&second, 0, 7, 12, (uint64_t[]){PERF_CONTEXT_USER, LIBRARY + 1, 0});
    fixture_map(&second, 7, LIBRARY, 0x10000, 0, 0, "/none/library.so", 29);
    fixture_chain(&second, 0, 7, 35, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 2, 0});
    if (packed)
        fixture_pack(&second, 4096);
    begin_clock(&none);
    hone_buffer_text(&files, HONE_PERF_PARTS);
    uint32_t size = (uint32_t)main.bytes.len;
    hone_buffer_add(&files, &size, sizeof size);
    hone_buffer_add(&files, main.bytes.at, size);
    fixture_done(&main);
    add_part(&files, &first);
    add_part(&files, &none); // a CPU where nothing ran
    add_part(&files, &second);
    return files;
}

#endif
