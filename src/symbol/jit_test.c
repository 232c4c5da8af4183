#include "symbol/jit.h"

#include "base/base.h"
#include "base/buffer.h"
#include "symbol/names_read_all.h"

#include "check.h"

#include <errno.h>

static struct hone_jit *new_jit(void)
{
    struct hone_jit *jit = NULL;
    CHECK_EQ(hone_jit_new(&jit), 0);
    return jit;
}

static struct hone_jit *map_of(const char *text)
{
    struct hone_jit *jit = new_jit();
    CHECK_EQ(hone_jit_read_map(jit, text, strlen(text)), 0);
    return jit;
}

// Names of at most one letter and more: "" when there is none.
static const char *name_at(struct hone_jit *jit, uint64_t address, uint64_t time_ns)
{
    struct hone_jit_name name;
    int r = hone_jit_lookup(jit, address, time_ns, &name);
    CHECK(r >= 0);
    return r ? "" : name.name;
}

TEST(map_names_addresses_from_start_to_end)
{
    HONE_CLEANUP(hone_jit_freep)
    struct hone_jit *jit = map_of("1000 10 JS:*first /a.js:1:2\n0x2000 0x20 second\n");
    CHECK_EQ(hone_jit_count(jit), 2);
    CHECK_STR(name_at(jit, 0xfff, UINT64_MAX), "");
    CHECK_STR(name_at(jit, 0x1000, UINT64_MAX), "JS:*first /a.js:1:2");
    CHECK_STR(name_at(jit, 0x100f, 0), "JS:*first /a.js:1:2");
    CHECK_STR(name_at(jit, 0x1010, UINT64_MAX), "");
    CHECK_STR(name_at(jit, 0x201f, UINT64_MAX), "second");
    CHECK_STR(name_at(jit, 0x2020, UINT64_MAX), "");
    CHECK_STR(name_at(jit, UINT64_MAX, UINT64_MAX), "");
}

TEST(later_lines_of_a_map_replace_what_they_cover)
{
    HONE_CLEANUP(hone_jit_freep)
    struct hone_jit *jit = map_of("1000 100 old\n1080 100 new\n10f0 8 newest\n");
    CHECK_STR(name_at(jit, 0x107f, UINT64_MAX), "old");
    CHECK_STR(name_at(jit, 0x1080, UINT64_MAX), "new");
    CHECK_STR(name_at(jit, 0x10f0, UINT64_MAX), "newest");
    CHECK_STR(name_at(jit, 0x10f8, UINT64_MAX), "new");
    CHECK_STR(name_at(jit, 0x117f, UINT64_MAX), "new");
}

TEST(lines_that_are_no_entries_are_passed_over)
{
    HONE_CLEANUP(hone_jit_freep)
    struct hone_jit *jit =
        map_of("\nnot hex\n1000\n1000 10\n1000 10 \nffffffffffffffff 2 wraps\n"
               "12345678123456781 1 long\n3000 0 empty\n2000 8 a\tb\n4000 8 half");
    CHECK_EQ(hone_jit_count(jit), 1);
    CHECK_STR(name_at(jit, 0x2000, UINT64_MAX), "a b");
}

TEST(empty_files_name_nothing)
{
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = map_of("");
    CHECK_STR(name_at(jit, 0, UINT64_MAX), "");
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *dump = new_jit();
    CHECK_EQ(hone_jit_read_dump(dump, "", 0), -EBADMSG);
    CHECK_EQ(hone_jit_read_dump(dump, "not a jitdump, but longer than a header is", 42), -EBADMSG);
    CHECK_STR(name_at(dump, 0, UINT64_MAX), "");
}

// ---- Jitdump

static void put(struct hone_buffer *out, uint64_t value, size_t bytes)
{
    hone_buffer_add(out, &value, bytes);
}

static void put_header(struct hone_buffer *out, uint64_t flags)
{
    put(out, 0x4A695444, 4);
    put(out, 1, 4);
    put(out, 40, 4);
    put(out, 62, 4);
    put(out, 0, 4);
    put(out, 123, 4);
    put(out, 5, 8);
    put(out, flags, 8);
}

static void put_load(struct hone_buffer *out, uint64_t time_ns, uint64_t address, uint64_t size,
                     const char *name)
{
    put(out, 0, 4);
    put(out, 16 + 40 + strlen(name) + 1 + 3, 4);
    put(out, time_ns, 8);
    put(out, 123, 4);
    put(out, 123, 4);
    put(out, address, 8);
    put(out, address, 8);
    put(out, size, 8);
    put(out, 1, 8);
    hone_buffer_add(out, name, strlen(name) + 1);
    hone_buffer_add(out, "\x90\x90\xc3", 3); // code, as much as the test needs
}

static void put_move(struct hone_buffer *out, uint64_t time_ns, uint64_t from, uint64_t to,
                     uint64_t size)
{
    put(out, 1, 4);
    put(out, 16 + 48, 4);
    put(out, time_ns, 8);
    put(out, 123, 4);
    put(out, 123, 4);
    put(out, to, 8);
    put(out, from, 8);
    put(out, to, 8);
    put(out, size, 8);
    put(out, 1, 8);
}

// Lines 10 and 20 of one file.
static void put_lines(struct hone_buffer *out, uint64_t code, uint64_t first, uint64_t second)
{
    put(out, 2, 4);
    put(out, 16 + 16 + 16 + 5 + 16 + 2, 4);
    put(out, 1, 8);
    put(out, code, 8);
    put(out, 2, 8);
    put(out, first, 8);
    put(out, 10, 4);
    put(out, 0, 4);
    hone_buffer_add(out, "x.js", 5);
    put(out, second, 8);
    put(out, 20, 4);
    put(out, 0, 4);
    hone_buffer_add(out, "\xff", 2); // the same file
}

static struct hone_jit *dump_of(const struct hone_buffer *bytes)
{
    struct hone_jit *jit = new_jit();
    CHECK_EQ(hone_jit_read_dump(jit, bytes->at, bytes->len), 0);
    return jit;
}

TEST(name_of_a_dump_is_the_one_of_the_time)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    put_header(&out, 0);
    put_load(&out, 100, 0x1000, 0x100, "early");
    put_load(&out, 200, 0x1040, 0x40, "late");
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = dump_of(&out);
    CHECK_STR(name_at(jit, 0x1050, 99), "");
    CHECK_STR(name_at(jit, 0x1050, 100), "early");
    CHECK_STR(name_at(jit, 0x1050, 199), "early");
    CHECK_STR(name_at(jit, 0x1050, 200), "late");
    CHECK_STR(name_at(jit, 0x1010, UINT64_MAX), "early");
    CHECK_STR(name_at(jit, 0x1080, UINT64_MAX), "early");
}

TEST(moved_code_keeps_its_name_and_lines_and_leaves_none_behind)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    put_header(&out, 0);
    put_lines(&out, 0x1000, 0x1000, 0x1020);
    put_load(&out, 100, 0x1000, 0x40, "f");
    put_move(&out, 200, 0x1000, 0x2000, 0x40);
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = dump_of(&out);
    CHECK_STR(name_at(jit, 0x1000, 150), "f");
    CHECK_STR(name_at(jit, 0x2000, 150), "");
    CHECK_STR(name_at(jit, 0x1000, 200), "");
    struct hone_jit_name name;
    CHECK_EQ(hone_jit_lookup(jit, 0x2021, 200, &name), 0);
    CHECK_STR(name.name, "f");
    CHECK_STR(name.file, "x.js");
    CHECK_EQ(name.line, 20);
}

TEST(lines_belong_to_the_load_that_follows_them)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    put_header(&out, 0);
    put_lines(&out, 0x1000, 0x1004, 0x1020);
    put_load(&out, 1, 0x1000, 0x40, "f");
    put_load(&out, 1, 0x3000, 0x40, "g");
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = dump_of(&out);
    struct hone_jit_name name;
    CHECK_EQ(hone_jit_lookup(jit, 0x1000, 1, &name), 0);
    CHECK_EQ(name.line, 0); // before its first line
    CHECK_EQ(hone_jit_lookup(jit, 0x101f, 1, &name), 0);
    CHECK_EQ(name.line, 10);
    CHECK_EQ(hone_jit_lookup(jit, 0x103f, 1, &name), 0);
    CHECK_EQ(name.line, 20);
    CHECK_EQ(hone_jit_lookup(jit, 0x3000, 1, &name), 0);
    CHECK_EQ(name.line, 0);
}

TEST(lines_counted_from_an_elf_header_are_put_right)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    put_header(&out, 0);
    put_lines(&out, 0x1000, 0x1040, 0x1070);
    put_load(&out, 1, 0x1000, 0x40, "f");
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = dump_of(&out);
    struct hone_jit_name name;
    CHECK_EQ(hone_jit_lookup(jit, 0x1000, 1, &name), 0);
    CHECK_EQ(name.line, 10);
    CHECK_EQ(hone_jit_lookup(jit, 0x1030, 1, &name), 0);
    CHECK_EQ(name.line, 20);
}

TEST(dump_with_the_processors_own_clock_has_names_at_all_times)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    put_header(&out, 1);
    put_load(&out, 1ULL << 60, 0x1000, 0x40, "f");
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = dump_of(&out);
    CHECK_STR(name_at(jit, 0x1000, 1), "f");
}

TEST(dump_that_is_still_being_written_gives_its_whole_records)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    put_header(&out, 0);
    put_load(&out, 1, 0x1000, 0x40, "whole");
    size_t whole = out.len;
    put_load(&out, 1, 0x2000, 0x40, "half");
    for (size_t len = whole; len < out.len; len++) {
        HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = new_jit();
        CHECK_EQ(hone_jit_read_dump(jit, out.at, len), 0);
        CHECK_EQ(hone_jit_count(jit), 1);
    }
}

TEST(one_address_used_a_million_times_takes_no_million_steps)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    put_header(&out, 0);
    for (uint64_t i = 0; i < 300000; i++)
        put_load(&out, i + 1, 0x1000 + i % 64, 0x100000 + i, "f");
    put_load(&out, 300001, 0x1000, 0x1000, "last");
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = dump_of(&out);
    for (uint64_t i = 0; i < 100000; i++)
        CHECK_STR(name_at(jit, 0x2000 + i, 150000), "f"); // hours if each were looked at
    CHECK_STR(name_at(jit, 0x1fff, UINT64_MAX), "last");
}

// ---- Damage

static uint64_t random_state = 0x9e3779b97f4a7c15U;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

TEST(damaged_files_never_crash_the_readers)
{
    static const char map[] = "1000 10 a\n1008 20 b\n0x2000 0x100 some::name<int>(char)\n";
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    put_header(&out, 0);
    put_lines(&out, 0x1000, 0x1000, 0x1020);
    put_load(&out, 100, 0x1000, 0x40, "f");
    put_move(&out, 200, 0x1000, 0x2000, 0x40);
    CHECK(hone_read_all_jit(out.at, out.len, true) > 0);
    CHECK(hone_read_all_jit(map, sizeof map - 1, false) > 0);
    for (int i = 0; i < 3000; i++) {
        bool dump = i % 2;
        size_t len = dump ? out.len : sizeof map - 1;
        if (i % 5 == 0)
            len = next_random() % len;
        unsigned char *copy = malloc(len ? len : 1);
        CHECK(copy);
        memcpy(copy, dump ? out.at : map, len);
        for (unsigned n = 1 + next_random() % 8; n && len; n--)
            copy[next_random() % len] = next_random() % 2 ? (unsigned char)next_random() : 0xff;
        (void)hone_read_all_jit(copy, len, dump);
        free(copy);
    }
}
