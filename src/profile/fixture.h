// Profiles for tests: one whose every number is known, and random ones that use all of the format.
#ifndef HONE_PROFILE_FIXTURE_H
#define HONE_PROFILE_FIXTURE_H

#include "profile/profile.h"

#include <stdio.h>

// Two modules, one without names; inlining; recursion; labels; comments.
//
//     main 20 → sort 10 (inlined) → compare 4    3 samples, 30 ms, thread 7 of process "sorter"
//     main 20 → main 21 → libz.so 0x7f0010       1 sample, 10 ms
static inline struct hone_profile *hone_fixture_small(void)
{
    struct hone_profile *p = hone_profile_new();
    if (!p)
        return NULL;
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    hone_profile_set_period(p, "cpu", "nanoseconds", 10000000);
    hone_profile_add_comment(p, "engine: fixture");
    hone_profile_add_comment(p, "# rate: 100 Hz asked, 80 reached");
    p->time_ns = 1700000000123456789;
    p->duration_ns = 50000000;
    uint32_t program = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){
               .start = 0x400000,
               .limit = 0x402000,
               .offset = 0x1000,
               .file = hone_profile_intern(p, "/usr/bin/sorter"),
               .build_id = hone_profile_intern(p, "0123abcd"),
               .flags = HONE_PROFILE_HAS_FUNCTIONS | HONE_PROFILE_HAS_FILENAMES |
                        HONE_PROFILE_HAS_LINE_NUMBERS | HONE_PROFILE_HAS_INLINE_FRAMES});
    uint32_t library = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.start = 0x7f0000,
                                          .limit = 0x7f8000,
                                          .file = hone_profile_intern(p, "/usr/lib/libz.so")});
    uint32_t source = hone_profile_intern(p, "src/sorter.c");
    uint32_t functions[3];
    static const char *const names[] = {"main", "sort", "compare"};
    for (uint32_t i = 0; i < 3; i++)
        functions[i] = hone_profile_add_function(
            p, &(struct hone_profile_function){.name = hone_profile_intern(p, names[i]),
                                               .file = source,
                                               .start_line = 1 + 9 * i});
    struct hone_profile_line inlined[] = {{.function = functions[1], .number = 10},
                                          {.function = functions[0], .number = 20}};
    struct hone_profile_line compare = {.function = functions[2], .number = 4, .column = 7};
    struct hone_profile_line again = {.function = functions[0], .number = 21};
    uint32_t at_sort = hone_profile_add_location(
        p, &(struct hone_profile_location){
               .mapping = program, .address = 0x400100, .lines = inlined, .line_count = 2});
    uint32_t at_compare = hone_profile_add_location(
        p, &(struct hone_profile_location){
               .mapping = program, .address = 0x400200, .lines = &compare, .line_count = 1});
    uint32_t at_main = hone_profile_add_location(
        p, &(struct hone_profile_location){
               .mapping = program, .address = 0x400110, .lines = &again, .line_count = 1});
    uint32_t at_library = hone_profile_add_location(
        p, &(struct hone_profile_location){.mapping = library, .address = 0x7f0010});
    struct hone_profile_label labels[] = {
        {.key = hone_profile_intern(p, "thread"), .number = 7},
        {.key = hone_profile_intern(p, "process"), .text = hone_profile_intern(p, "sorter")},
    };
    uint32_t first = hone_profile_add_stack(p, (uint32_t[]){at_compare, at_sort}, 2);
    uint32_t second = hone_profile_add_stack(p, (uint32_t[]){at_library, at_main, at_main}, 3);
    (void)hone_profile_add_sample(p, first, (int64_t[]){3, 30000000}, labels, 2);
    (void)hone_profile_add_sample(p, second, (int64_t[]){1, 10000000}, NULL, 0);
    return p;
}

static inline uint32_t hone_fixture_random(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % below;
}

// Values of many sizes and, if asked for, of both signs.
static inline int64_t hone_fixture_value(uint64_t *state, bool negative)
{
    int64_t value = (int64_t)hone_fixture_random(state, 1000) << hone_fixture_random(state, 24);
    return negative && hone_fixture_random(state, 4) == 0 ? -value : value;
}

static inline void hone_fixture_places(struct hone_profile *p, uint64_t *state, uint32_t functions)
{
    static const char *const files[] = {"/usr/bin/program", "/lib/libc.so.6", "[vdso]", ""};
    for (uint32_t i = 0; i < 4; i++)
        (void)hone_profile_add_mapping(
            p, &(struct hone_profile_mapping){.start = 0x100000 * (i + 1),
                                              .limit = 0x100000 * (i + 1) + 0x80000,
                                              .offset = 0x1000 * i,
                                              .file = hone_profile_intern(p, files[i]),
                                              .flags = hone_fixture_random(state, 16)});
    for (uint32_t i = 0; i < functions; i++) {
        char name[40];
        char file[40];
        (void)snprintf(name, sizeof name, "space%u::f%u", i % 5, i);
        (void)snprintf(file, sizeof file, "/src/dir%u/f%u.cc", i % 3, i % 7);
        (void)hone_profile_add_function(
            p, &(struct hone_profile_function){.name = hone_profile_intern(p, name),
                                               .file = hone_profile_intern(p, file),
                                               .start_line = i});
    }
    for (uint32_t i = 0; i < functions * 3; i++) {
        struct hone_profile_line lines[3];
        for (uint32_t k = 0; k < 3; k++)
            lines[k] =
                (struct hone_profile_line){.function = 1 + hone_fixture_random(state, functions),
                                           .number = 1 + hone_fixture_random(state, 50)};
        uint32_t count = hone_fixture_random(state, 8);
        (void)hone_profile_add_location(
            p, &(struct hone_profile_location){.mapping = hone_fixture_random(state, 5),
                                               .address = 0x100000 + 16 * (uint64_t)i,
                                               .lines = lines,
                                               .line_count = count < 4 ? 1 : count - 4});
    }
}

struct hone_fixture_options {
    uint64_t seed;
    uint32_t samples;
    uint32_t depth;
    uint32_t functions;
    const char *type;
    const char *unit;
    bool negative;
};

static inline struct hone_profile *hone_fixture_large(const struct hone_fixture_options *o)
{
    struct hone_profile *p = hone_profile_new();
    if (!p)
        return NULL;
    uint64_t state = o->seed;
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, o->type, o->unit);
    p->time_ns = 1600000000000000000 + (int64_t)o->seed * 1000000000000;
    p->duration_ns = 12345678901;
    hone_fixture_places(p, &state, o->functions);
    for (uint32_t i = 0; i < o->samples; i++) {
        uint32_t frames[64];
        uint32_t depth = 1 + hone_fixture_random(&state, o->depth < 64 ? o->depth : 64);
        for (uint32_t k = 0; k < depth; k++) {
            // Skewed: the minimum of three, so that some functions are hot and recursion is common.
            uint32_t a = hone_fixture_random(&state, p->locations.count - 1);
            uint32_t b = hone_fixture_random(&state, p->locations.count - 1);
            uint32_t c = hone_fixture_random(&state, p->locations.count - 1);
            frames[k] = 1 + (a < b ? a < c ? a : c : b < c ? b : c);
        }
        struct hone_profile_label labels[] = {
            {.key = hone_profile_intern(p, "thread"), .number = 1 + hone_fixture_random(&state, 3)},
            {.key = hone_profile_intern(p, "state"),
             .text = hone_profile_intern(p, i % 3 ? "running" : "waiting")},
            {.key = hone_profile_intern(p, "request"),
             .number = 1 + 1000 * hone_fixture_random(&state, 9),
             .unit = hone_profile_intern(p, "bytes")},
        };
        int64_t value = hone_fixture_value(&state, o->negative);
        (void)hone_profile_add_sample(p, hone_profile_add_stack(p, frames, depth),
                                      (int64_t[]){1 + i % 4, value}, labels,
                                      hone_fixture_random(&state, 4));
    }
    return p;
}

#endif
