#include "symbol/index.h"

#include "base/base.h"
#include "base/file.h"
#include "elf/elf.h"
#include "symbol/names_read_all.h"
#include "symbol/store.h"
#include "symbol/symbol.h"

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

// The subject is this very program: it has a build id, DWARF and inlined calls.
static const char *const self = "/proc/self/exe";

static void make_folder(char folder[64])
{
    (void)strcpy(folder, "/tmp/hone-index-XXXXXX");
    CHECK(mkdtemp(folder));
}

static void remove_folder(const char *folder)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_EQ(system(command), 0);
}

static struct hone_symbolizer *symbolizer_with(const char *cache)
{
    const struct hone_symbolizer_options options = {.size = sizeof options,
                                                    .cache_directory = cache};
    struct hone_symbolizer *symbolizer = NULL;
    CHECK_EQ(hone_symbolizer_new(&options, &symbolizer, NULL), 0);
    return symbolizer;
}

static struct hone_symbol_module *subject(struct hone_symbolizer *symbolizer)
{
    struct hone_symbol_module *module = NULL;
    CHECK_EQ(hone_symbolizer_module(symbolizer, self, NULL, 0, &module), 0);
    return module;
}

// The only file in the folder, or "".
static void only_file(const char *folder, char ret[512])
{
    DIR *directory = opendir(folder);
    ret[0] = '\0';
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        CHECK(!ret[0]);
        (void)snprintf(ret, 512, "%s/%s", folder, entry->d_name);
    }
    if (directory)
        (void)closedir(directory);
}

static void keep_index(const char *folder)
{
    HONE_CLEANUP(hone_symbolizer_freep)
    struct hone_symbolizer *symbolizer = symbolizer_with(folder);
    struct hone_symbol_frames frames;
    (void)hone_symbol_lookup(subject(symbolizer), 0x1234, &frames);
    CHECK_EQ(hone_symbolizer_keep(symbolizer), 0);
}

static void same_answer(struct hone_symbol_module *left, struct hone_symbol_module *right,
                        uint64_t vaddr)
{
    struct hone_symbol_frames a, b;
    int r = hone_symbol_lookup(left, vaddr, &a);
    CHECK_EQ(hone_symbol_lookup(right, vaddr, &b), r);
    if (r)
        return;
    CHECK_EQ(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        CHECK_STR(a.at[i].function->name, b.at[i].function->name);
        CHECK_STR(a.at[i].function->system_name, b.at[i].function->system_name);
        CHECK_STR(a.at[i].function->file, b.at[i].function->file);
        CHECK_EQ(a.at[i].function->start_line, b.at[i].function->start_line);
        CHECK_EQ(a.at[i].line, b.at[i].line);
        CHECK_EQ(a.at[i].column, b.at[i].column);
    }
}

static struct hone_elf_segment code_of(struct hone_symbol_module *module)
{
    const struct hone_elf_facts *facts = hone_elf_facts(hone_symbol_module_elf(module));
    for (size_t i = 0; i < facts->segment_count; i++)
        if (facts->segments[i].executable)
            return facts->segments[i];
    return (struct hone_elf_segment){0};
}

static void same_answers(struct hone_symbol_module *left, struct hone_symbol_module *right,
                         uint64_t step)
{
    struct hone_elf_segment code = code_of(left);
    CHECK(code.memory_size > 10000);
    for (uint64_t at = 0; at < code.memory_size + 64; at += step)
        same_answer(left, right, code.vaddr + at);
}

TEST(index_answers_as_the_files_do)
{
    char folder[64], path[512];
    make_folder(folder);
    keep_index(folder);
    only_file(folder, path);
    CHECK(path[0]);
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *files = symbolizer_with("");
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *index = symbolizer_with(folder);
    struct hone_symbol_module *left = subject(files), *right = subject(index);
    CHECK(!hone_symbol_facts(left)->from_index);
    CHECK(hone_symbol_facts(right)->from_index);
    CHECK_EQ(hone_symbol_facts(right)->reason, HONE_SYMBOL_COMPLETE);
    CHECK_STR(hone_symbol_facts(right)->debug_path, hone_symbol_facts(left)->debug_path);
    same_answers(left, right, 3);
    remove_folder(folder);
}

TEST(addresses_looked_up_at_once_have_the_same_answers)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *single = symbolizer_with("");
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *many = symbolizer_with("");
    struct hone_symbol_module *left = subject(single), *right = subject(many);
    struct hone_elf_segment code = code_of(left);
    size_t count = code.memory_size / 16;
    HONE_CLEANUP(hone_freep) uint64_t *addresses = calloc(count, sizeof *addresses);
    for (size_t i = 0; i < count; i++)
        addresses[i] = code.vaddr + (i * 7919 % count) * 16;
    CHECK_EQ(hone_symbol_prepare(right, addresses, count), 0);
    CHECK_EQ(hone_symbol_prepare(right, addresses, count), 0);
    same_answers(left, right, 8); // half of them were not asked for before
}

TEST(equal_programs_have_equal_indexes)
{
    char folder[64], path[512];
    char *bytes[2];
    size_t len[2];
    for (int i = 0; i < 2; i++) {
        make_folder(folder);
        keep_index(folder);
        only_file(folder, path);
        CHECK_EQ(hone_file_read(path, 64 << 20, &bytes[i], &len[i], NULL), 0);
        remove_folder(folder);
    }
    CHECK_EQ(len[0], len[1]);
    CHECK_EQ(memcmp(bytes[0], bytes[1], len[0]), 0);
    free(bytes[0]);
    free(bytes[1]);
}

TEST(index_without_a_place_to_write_is_done_without)
{
    static const char *const nowhere[] = {"/dev/null/cache", "/proc/cache", "relative", ""};
    for (size_t i = 0; i < 4; i++) {
        HONE_CLEANUP(hone_symbolizer_freep)
        struct hone_symbolizer *symbolizer = symbolizer_with(nowhere[i]);
        struct hone_symbol_frames frames;
        CHECK_EQ(hone_symbol_lookup(subject(symbolizer), 1, &frames), HONE_SYMBOL_UNKNOWN);
        CHECK_EQ(hone_symbolizer_keep(symbolizer), 0);
    }
    CHECK(access("relative", F_OK) != 0);
}

TEST(folder_that_others_may_write_to_is_no_store)
{
    char folder[64], path[512];
    make_folder(folder);
    CHECK_EQ(chmod(folder, 0777), 0);
    keep_index(folder);
    only_file(folder, path);
    CHECK_STR(path, "");
    remove_folder(folder);
}

TEST(least_recently_used_index_goes_first)
{
    char folder[64], bytes[1000] = {0};
    make_folder(folder);
    struct hone_symbol_store store;
    hone_symbol_store_init(&store, folder, 2500);
    const unsigned char ids[3][4] = {{1}, {2}, {3}};
    struct hone_file_map map;
    struct timespec old[] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char path[128];
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(hone_symbol_store_write(&store, ids[i], 4, bytes, sizeof bytes), 0);
        (void)snprintf(path, sizeof path, "%s/%02x000000.symbols", folder, i + 1);
        CHECK_EQ(utimensat(AT_FDCWD, path, old, 0), 0);
    }
    CHECK_EQ(hone_symbol_store_map(&store, ids[0], 4, &map), 0); // used just now
    hone_file_unmap(&map);
    CHECK_EQ(hone_symbol_store_write(&store, ids[2], 4, bytes, sizeof bytes), 0);
    CHECK_EQ(hone_symbol_store_map(&store, ids[0], 4, &map), 0);
    hone_file_unmap(&map);
    CHECK_EQ(hone_symbol_store_map(&store, ids[1], 4, &map), -ENOENT);
    CHECK_EQ(hone_symbol_store_map(&store, ids[2], 4, &map), 0);
    hone_file_unmap(&map);
    CHECK_EQ(hone_symbol_store_write(&store, ids[1], 4, bytes, 2501), -EFBIG);
    hone_symbol_store_done(&store);
    remove_folder(folder);
}

TEST(many_processes_share_a_store)
{
    char folder[64], path[512];
    make_folder(folder);
    enum { PROCESSES = 6 };
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct hone_symbol_frames frames;
            for (int turn = 0; turn < 2; turn++) {
                struct hone_symbolizer *symbolizer = symbolizer_with(folder);
                if (hone_symbol_lookup(subject(symbolizer), code_of(subject(symbolizer)).vaddr + 99,
                                       &frames) < 0 ||
                    hone_symbolizer_keep(symbolizer))
                    _exit(1);
                hone_symbolizer_free(symbolizer);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        CHECK_EQ(waitpid(pids[i], &status, 0), pids[i]);
        CHECK_EQ(status, 0);
    }
    only_file(folder, path); // and no leftovers
    HONE_CLEANUP(hone_symbolizer_freep)
    struct hone_symbolizer *symbolizer = symbolizer_with(folder);
    CHECK(hone_symbol_facts(subject(symbolizer))->from_index);
    remove_folder(folder);
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

static unsigned char *read_index(size_t *ret_len, char folder[64], char path[512])
{
    char *bytes;
    make_folder(folder);
    keep_index(folder);
    only_file(folder, path);
    CHECK_EQ(hone_file_read(path, 64 << 20, &bytes, ret_len, NULL), 0);
    return (unsigned char *)bytes;
}

static void damage(unsigned char *at, size_t len)
{
    static const unsigned char extremes[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t where = next_random() % len;
    if (next_random() % 4 == 0)
        where = next_random() % sizeof(struct hone_symbol_index_header);
    size_t run = 1 + next_random() % 8;
    for (size_t i = where; i < where + run && i < len; i++)
        at[i] = next_random() % 2 ? extremes[next_random() % sizeof extremes]
                                  : (unsigned char)next_random();
}

TEST(damaged_index_is_found_out_and_made_anew)
{
    char folder[64], path[512];
    size_t len;
    HONE_CLEANUP(hone_freep) unsigned char *sound = read_index(&len, folder, path);
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *files = symbolizer_with("");
    struct hone_symbol_module *left = subject(files);
    for (int i = 0; i < 12; i++) {
        HONE_CLEANUP(hone_freep) unsigned char *copy = malloc(len);
        memcpy(copy, sound, len);
        for (unsigned n = 1 + next_random() % 64; n; n--)
            damage(copy, len);
        size_t kept = i % 4 == 3 ? next_random() % len : len;
        bool header = i % 4 == 2, everywhere = i % 4 == 1;
        for (size_t at = HONE_SYMBOL_INDEX_BLOCK; everywhere && at < len; at += 100)
            copy[at] ^= 0x10;
        copy[offsetof(struct hone_symbol_index_header, version)] ^= header;
        CHECK_EQ(hone_file_write(path, copy, kept, NULL), 0);
        {
            // The answers are right all the same: the files are still there.
            HONE_CLEANUP(hone_symbolizer_freep)
            struct hone_symbolizer *symbolizer = symbolizer_with(folder);
            same_answers(left, subject(symbolizer), 61);
            if (header || everywhere || kept < len)
                CHECK(!hone_symbol_facts(subject(symbolizer))->from_index);
            CHECK_EQ(hone_symbolizer_keep(symbolizer), 0);
        }
        HONE_CLEANUP(hone_symbolizer_freep)
        struct hone_symbolizer *again = symbolizer_with(folder);
        CHECK(hone_symbol_facts(subject(again))->from_index);
    }
    remove_folder(folder);
}

TEST(index_made_to_harm_never_crashes_the_reader)
{
    char folder[64], path[512];
    size_t len;
    HONE_CLEANUP(hone_freep) unsigned char *sound = read_index(&len, folder, path);
    remove_folder(folder);
    CHECK(hone_read_all_index(sound, len) > 1000);
    for (int i = 0; i < 400; i++) {
        size_t kept = i % 8 == 7 ? next_random() % len : len;
        unsigned char *copy = malloc(kept ? kept : 1);
        CHECK(copy);
        memcpy(copy, sound, kept);
        for (unsigned n = 1U << next_random() % 12; n && kept; n--)
            damage(copy, kept);
        // Its header is sound most of the time, so that the reader gets somewhere.
        if (i % 2 && kept > sizeof(struct hone_symbol_index_header))
            memcpy(copy, sound, sizeof(struct hone_symbol_index_header));
        hone_resum(copy, kept);
        (void)hone_read_all_index(copy, kept);
        free(copy);
    }
}
