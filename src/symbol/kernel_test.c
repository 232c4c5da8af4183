#include "symbol/kernel.h"

#include "base/base.h"
#include "base/file.h"
#include "symbol/names_read_all.h"
#include "symbol/symbol.h"

#include "check.h"

#include <stdio.h>
#include <sys/stat.h>

static const char kallsyms[] = "0000000000000000 A fixed_percpu_data\n"
                               "ffffffff81000000 T _stext\n"
                               "ffffffff81000000 T do_start\n"
                               "ffffffff81000100 t __helper\n"
                               "ffffffff81000100 t helper\n"
                               "ffffffff81000200 D some_data\n"
                               "ffffffff81000300 W weak_one\n"
                               "ffffffff81000400 T _etext\n"
                               "ffffffffc0001000 t mod_first\t[example]\n"
                               "ffffffffc0001800 t mod_last\t[example]\n"
                               "ffffffffc0100000 t lonely\t[unlisted]\n";
static const char modules[] = "example 16384 1 other, Live 0xffffffffc0000000 (OE)\n";

static struct hone_elf_functions read_both(struct hone_arena *arena)
{
    struct hone_elf_functions functions = {0};
    CHECK_EQ(hone_kernel_read(arena, kallsyms, sizeof kallsyms - 1, modules, sizeof modules - 1,
                              &functions),
             0);
    return functions;
}

static const char *name_at(const struct hone_elf_functions *functions, uint64_t address)
{
    const struct hone_elf_function *function = hone_elf_function_at(functions, address);
    return function ? function->name : "";
}

TEST(kernel_functions_end_where_the_next_symbol_begins)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    struct hone_elf_functions functions = read_both(&arena);
    CHECK_STR(name_at(&functions, 0), "");
    CHECK_STR(name_at(&functions, 0xffffffff80ffffff), "");
    CHECK_STR(name_at(&functions, 0xffffffff810000ff), "do_start"); // rather than _stext
    CHECK_STR(name_at(&functions, 0xffffffff81000100), "helper");
    CHECK_STR(name_at(&functions, 0xffffffff810001ff), "helper");
    CHECK_STR(name_at(&functions, 0xffffffff81000200), ""); // data
    CHECK_STR(name_at(&functions, 0xffffffff81000300), "weak_one");
}

TEST(functions_of_modules_say_so_and_end_with_their_module)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    struct hone_elf_functions functions = read_both(&arena);
    CHECK_STR(name_at(&functions, 0xffffffffc00017ff), "mod_first [example]");
    CHECK_STR(name_at(&functions, 0xffffffffc0003fff), "mod_last [example]");
    CHECK_STR(name_at(&functions, 0xffffffffc0004000), "");
    // Nobody says how long it is: not beyond its page.
    CHECK_STR(name_at(&functions, 0xffffffffc0100fff), "lonely [unlisted]");
    CHECK_STR(name_at(&functions, 0xffffffffc0101000), "");
}

TEST(hidden_addresses_are_told_from_a_kernel_without_symbols)
{
    static const char hidden[] = "0000000000000000 T _stext\n0000000000000000 t helper\n";
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    struct hone_elf_functions functions = {0};
    CHECK_EQ(hone_kernel_read(&arena, hidden, sizeof hidden - 1, "", 0, &functions),
             HONE_KERNEL_HIDDEN);
    CHECK_EQ(hone_kernel_read(&arena, "", 0, "", 0, &functions), 0);
    CHECK_EQ(functions.count, 0);
}

TEST(build_id_is_found_among_the_notes)
{
    unsigned char notes[64] = {0}, build_id[HONE_ELF_BUILD_ID_MAX];
    const uint32_t other[] = {6, 4, 257}, wanted[] = {4, 3, 3};
    memcpy(notes, other, 12);
    memcpy(notes + 12, "Linux", 6);
    memcpy(notes + 24, wanted, 12);
    memcpy(notes + 36, "GNU", 4);
    memcpy(notes + 40, "\1\2\3", 3);
    CHECK_EQ(hone_kernel_build_id(notes, 44, build_id), 3);
    CHECK_EQ(memcmp(build_id, "\1\2\3", 3), 0);
    CHECK_EQ(hone_kernel_build_id(notes, 40, build_id), 0);
}

static void write_file(const char *root, const char *name, const void *bytes, size_t len)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", root, name);
    CHECK_EQ(hone_file_write(path, bytes, len, NULL), 0);
}

static void make_root(char root[64], const void *symbols, size_t len)
{
    char path[512];
    (void)strcpy(root, "/tmp/hone-kernel-XXXXXX");
    CHECK(mkdtemp(root));
    static const char *const folders[] = {"/proc", "/sys", "/sys/kernel"};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s%s", root, folders[i]);
        CHECK_EQ(mkdir(path, 0700), 0);
    }
    write_file(root, "/proc/kallsyms", symbols, len);
    write_file(root, "/proc/modules", modules, sizeof modules - 1);
}

static void remove_root(const char *root)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", root);
    CHECK_EQ(system(command), 0);
}

TEST(symbolizer_names_the_kernel)
{
    char root[64];
    make_root(root, kallsyms, sizeof kallsyms - 1);
    const struct hone_symbolizer_options options = {
        .size = sizeof options, .kernel_root = root, .cache_directory = ""};
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
    struct hone_symbol_module *kernel = NULL, *again = NULL;
    struct hone_symbol_frames frames;
    CHECK_EQ(hone_symbolizer_new(&options, &symbolizer, NULL), 0);
    CHECK_EQ(hone_symbolizer_kernel(symbolizer, &kernel), 0);
    CHECK_EQ(hone_symbolizer_kernel(symbolizer, &again), 0);
    CHECK(kernel == again);
    CHECK(hone_symbol_facts(kernel)->has_functions);
    CHECK_EQ(hone_symbol_lookup(kernel, 0xffffffff81000123, &frames), 0);
    CHECK_STR(frames.at->function->name, "helper");
    CHECK_EQ(hone_symbol_lookup(kernel, 0xffffffff81000234, &frames), HONE_SYMBOL_UNKNOWN);
    const uint64_t all[] = {0xffffffff81000123, 0xffffffffc0001000};
    CHECK_EQ(hone_symbol_prepare(kernel, all, 2), 0);
    CHECK_EQ(hone_symbolizer_keep(symbolizer), 0);
    remove_root(root);
}

TEST(symbolizer_says_that_the_kernel_hides_its_addresses)
{
    static const char hidden[] = "0000000000000000 T _stext\n";
    char root[64];
    make_root(root, hidden, sizeof hidden - 1);
    const struct hone_symbolizer_options options = {
        .size = sizeof options, .kernel_root = root, .cache_directory = ""};
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
    struct hone_symbol_module *kernel = NULL;
    CHECK_EQ(hone_symbolizer_new(&options, &symbolizer, NULL), 0);
    CHECK_EQ(hone_symbolizer_kernel(symbolizer, &kernel), 0);
    CHECK_EQ(hone_symbol_facts(kernel)->reason, HONE_SYMBOL_HIDDEN);
    CHECK(strstr(hone_symbol_reason_text(HONE_SYMBOL_HIDDEN), "kptr_restrict"));
    remove_root(root);
}

TEST(running_kernel_is_read_or_the_reason_is_told)
{
    const struct hone_symbolizer_options options = {.size = sizeof options, .cache_directory = ""};
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
    struct hone_symbol_module *kernel = NULL;
    CHECK_EQ(hone_symbolizer_new(&options, &symbolizer, NULL), 0);
    CHECK_EQ(hone_symbolizer_kernel(symbolizer, &kernel), 0);
    const struct hone_symbol_facts *facts = hone_symbol_facts(kernel);
    CHECK(facts->has_functions || facts->reason == HONE_SYMBOL_HIDDEN ||
          facts->reason == HONE_SYMBOL_UNREADABLE);
    if (facts->reason != HONE_SYMBOL_NO_DEBUG_FILE)
        return;
    // A function that every kernel has, at the address that its own list gives.
    char line[512] = "";
    HONE_CLEANUP(hone_fclosep) FILE *list = fopen("/proc/kallsyms", "re");
    CHECK(list);
    while (fgets(line, sizeof line, list) && !strstr(line, " T ksys_read\n"))
        ;
    struct hone_symbol_frames frames;
    if (strstr(line, " T ksys_read\n")) {
        CHECK_EQ(hone_symbol_lookup(kernel, strtoull(line, NULL, 16), &frames), 0);
        CHECK_STR(frames.at->function->name, "ksys_read");
    }
}

TEST(damaged_lists_never_crash_the_reader)
{
    uint64_t state = 0x9e3779b97f4a7c15U;
    char whole[sizeof kallsyms + sizeof modules];
    int len = snprintf(whole, sizeof whole, "%s\f%s", kallsyms, modules);
    CHECK(hone_read_all_kernel(whole, (size_t)len) > 20);
    for (int i = 0; i < 5000; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        size_t cut = (size_t)(state >> 33) % ((size_t)len + 1);
        char *copy = malloc(cut ? cut : 1);
        CHECK(copy);
        memcpy(copy, whole, cut);
        for (size_t n = 0; n < 6 && cut; n++) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            copy[(state >> 33) % cut] = " \t\nf0[]zT"[(state >> 20) % 9];
        }
        (void)hone_read_all_kernel(copy, cut);
        free(copy);
    }
}
