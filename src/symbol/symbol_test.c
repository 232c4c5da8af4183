#include "symbol/symbol.h"

#include "base/base.h"
#include "elf/elf.h"
#include "elf/function.h"

#include "check.h"

#include <errno.h>
#include <link.h>
#include <sys/auxv.h>

static int take_first(struct dl_phdr_info *info, size_t len, void *opaque)
{
    (void)len;
    *(uintptr_t *)opaque = info->dlpi_addr;
    return 1; // the program itself comes first
}

static uint64_t vaddr_of(const void *code)
{
    uintptr_t bias = 0;
    (void)dl_iterate_phdr(take_first, &bias);
    return (uintptr_t)code - bias;
}

static struct hone_symbolizer *new_symbolizer(void)
{
    struct hone_symbolizer *symbolizer = NULL;
    CHECK_EQ(hone_symbolizer_new(NULL, &symbolizer, NULL), 0);
    return symbolizer;
}

static struct hone_symbol_module *module_of(struct hone_symbolizer *symbolizer, const char *path)
{
    struct hone_symbol_module *module = NULL;
    CHECK_EQ(hone_symbolizer_module(symbolizer, path, NULL, 0, &module), 0);
    return module;
}

struct {
    int before[16];
    int lock;
} hone_test_variable;
static __thread int hone_test_of_thread;

TEST(variable_has_its_name_and_where_it_begins)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = new_symbolizer();
    struct hone_symbol_module *module = module_of(symbolizer, "/proc/self/exe");
    struct hone_symbol_variable variable;
    static int in_function[4];
    hone_test_of_thread = ++in_function[1];
    uint64_t vaddr = vaddr_of(&hone_test_variable.lock);
    CHECK_EQ(hone_symbol_variable(module, vaddr, &variable), 0);
    CHECK_STR(variable.name, "hone_test_variable");
    CHECK_EQ(vaddr - variable.start, 64);
    CHECK_EQ(variable.end - variable.start, sizeof hone_test_variable);
    CHECK_EQ(hone_symbol_variable(module, vaddr_of(&in_function[3]), &variable), 0);
    CHECK_EQ(strncmp(variable.name, "in_function", 11), 0);
    // Code is no variable, nor is what lies beyond all of them.
    uint64_t code = vaddr_of((const void *)(uintptr_t)new_symbolizer);
    CHECK_EQ(hone_symbol_variable(module, code, &variable), HONE_SYMBOL_UNKNOWN);
    CHECK_EQ(hone_symbol_variable(module, UINT64_MAX, &variable), HONE_SYMBOL_UNKNOWN);
    // A file that is not there has none.
    struct hone_symbol_module *missing = module_of(symbolizer, "/nonexistent");
    CHECK_EQ(hone_symbol_variable(missing, vaddr, &variable), HONE_SYMBOL_UNKNOWN);
}

static __attribute__((noinline, noclone)) int hone_test_function(int x)
{
    __asm__ volatile("" : "+r"(x));
    return x;
}

TEST(own_function_has_its_name_file_and_line)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = new_symbolizer();
    struct hone_symbol_module *module = module_of(symbolizer, "/proc/self/exe");
    struct hone_symbol_frames frames;
    uint64_t vaddr = vaddr_of((const void *)(uintptr_t)hone_test_function);
    CHECK_EQ(hone_symbol_lookup(module, vaddr, &frames), 0);
    CHECK_EQ(frames.count, 1);
    CHECK_STR(frames.at->function->name, "hone_test_function");
    CHECK_STR(frames.at->function->system_name, "hone_test_function");
    CHECK_STR(strrchr(frames.at->function->file, '/'), "/symbol_test.c");
    CHECK(frames.at->line - frames.at->function->start_line <= 4); // inside its braces
    const struct hone_symbol_facts *facts = hone_symbol_facts(module);
    CHECK_EQ(facts->reason, HONE_SYMBOL_COMPLETE);
    CHECK(facts->has_functions && facts->has_filenames && facts->has_line_numbers &&
          facts->has_inline_frames);
}

TEST(same_address_gives_the_same_frames_and_equal_functions_one_pointer)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = new_symbolizer();
    struct hone_symbol_module *module = module_of(symbolizer, "/proc/self/exe");
    CHECK(module_of(symbolizer, "/proc/self/exe") == module);
    struct hone_symbol_frames first, again, next;
    uint64_t vaddr = vaddr_of((const void *)(uintptr_t)hone_test_function);
    CHECK_EQ(hone_symbol_lookup(module, vaddr, &first), 0);
    CHECK_EQ(hone_symbol_lookup(module, vaddr, &again), 0);
    CHECK_EQ(hone_symbol_lookup(module, vaddr + 1, &next), 0);
    CHECK(first.at == again.at);
    CHECK(first.at->function == next.at->function);
}

TEST(address_that_nothing_covers_is_unknown_every_time)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = new_symbolizer();
    struct hone_symbol_module *module = module_of(symbolizer, "/proc/self/exe");
    struct hone_symbol_frames untouched = {0};
    CHECK_EQ(hone_symbol_lookup(module, 0, &untouched), HONE_SYMBOL_UNKNOWN);
    CHECK_EQ(hone_symbol_lookup(module, 0, &untouched), HONE_SYMBOL_UNKNOWN);
    CHECK_EQ(hone_symbol_lookup(module, UINT64_MAX, &untouched), HONE_SYMBOL_UNKNOWN);
    CHECK(untouched.at == NULL);
}

TEST(file_with_another_build_id_than_recorded_gives_no_names)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = new_symbolizer();
    static const unsigned char recorded[20] = {1, 2, 3};
    struct hone_symbol_module *module;
    CHECK_EQ(hone_symbolizer_module(symbolizer, "/proc/self/exe", recorded, 20, &module), 0);
    struct hone_symbol_frames frames;
    uint64_t vaddr = vaddr_of((const void *)(uintptr_t)hone_test_function);
    CHECK_EQ(hone_symbol_lookup(module, vaddr, &frames), HONE_SYMBOL_UNKNOWN);
    CHECK_EQ(hone_symbol_facts(module)->reason, HONE_SYMBOL_CHANGED);
    CHECK(!hone_symbol_facts(module)->has_functions);
    CHECK(hone_symbol_module_elf(module) == NULL);
    CHECK(module != module_of(symbolizer, "/proc/self/exe"));
}

TEST(file_with_the_recorded_build_id_gives_names)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = new_symbolizer();
    const struct hone_elf *elf = hone_symbol_module_elf(module_of(symbolizer, "/proc/self/exe"));
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    struct hone_symbol_module *module;
    CHECK_EQ(hone_symbolizer_module(symbolizer, "/proc/self/exe", facts->build_id,
                                    facts->build_id_len, &module),
             0);
    CHECK_EQ(hone_symbol_facts(module)->reason, HONE_SYMBOL_COMPLETE);
}

TEST(what_is_no_file_and_what_cannot_be_read_say_so)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = new_symbolizer();
    CHECK_EQ(hone_symbol_facts(module_of(symbolizer, "[heap]"))->reason, HONE_SYMBOL_NO_FILE);
    CHECK_EQ(hone_symbol_facts(module_of(symbolizer, "//anon"))->reason, HONE_SYMBOL_UNREADABLE);
    const struct hone_symbol_facts *facts = hone_symbol_facts(module_of(symbolizer, "/nowhere"));
    CHECK_EQ(facts->reason, HONE_SYMBOL_UNREADABLE);
    CHECK_STR(facts->detail, "cannot open '/nowhere': no such file or directory");
    for (int i = HONE_SYMBOL_COMPLETE; i <= HONE_SYMBOL_NO_FILE; i++)
        CHECK(strcmp(hone_symbol_reason_text((enum hone_symbol_reason)i), "unknown") != 0);
}

TEST(vdso_functions_have_names)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = new_symbolizer();
    struct hone_symbol_module *module = module_of(symbolizer, "[vdso]");
    CHECK_EQ(hone_symbol_facts(module)->reason, HONE_SYMBOL_EXPORTED_ONLY);
    bool found = false;
    const struct hone_elf_facts *facts = hone_elf_facts(hone_symbol_module_elf(module));
    uint64_t len = facts->segments[0].memory_size;
    for (uint64_t vaddr = facts->segments[0].vaddr; len--; vaddr++) {
        struct hone_symbol_frames frames;
        if (hone_symbol_lookup(module, vaddr, &frames) == 0)
            found |= strcmp(frames.at->function->name, "clock_gettime") == 0;
    }
    CHECK(found);
}

TEST(symbols_only_leaves_lines_out)
{
    struct hone_symbolizer_options options = {.size = sizeof options, .symbols_only = true};
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
    CHECK_EQ(hone_symbolizer_new(&options, &symbolizer, NULL), 0);
    struct hone_symbol_module *module = module_of(symbolizer, "/proc/self/exe");
    struct hone_symbol_frames frames;
    uint64_t vaddr = vaddr_of((const void *)(uintptr_t)hone_test_function);
    CHECK_EQ(hone_symbol_lookup(module, vaddr, &frames), 0);
    CHECK_STR(frames.at->function->name, "hone_test_function");
    CHECK_STR(frames.at->function->file, "");
    CHECK_EQ(frames.at->line, 0);
    CHECK_EQ(hone_symbol_facts(module)->reason, HONE_SYMBOL_NO_DEBUG_FILE);
    CHECK(!hone_symbol_facts(module)->has_line_numbers);
}

TEST(options_without_a_size_are_refused)
{
    struct hone_symbolizer_options options = {0};
    struct hone_symbolizer *symbolizer = NULL;
    CHECK_EQ(hone_symbolizer_new(&options, &symbolizer, NULL), -EINVAL);
}

TEST(an_extent_is_the_whole_function_by_its_symbol)
{
    struct hone_symbolizer *symbolizer = new_symbolizer();
    struct hone_symbol_module *module = module_of(symbolizer, "/proc/self/exe");
    struct hone_symbol_extent extent;
    uint64_t start = vaddr_of((const void *)(uintptr_t)vaddr_of);
    CHECK_EQ(hone_symbol_extent(module, start + 5, &extent), 0);
    CHECK_STR(extent.name, "vaddr_of");
    CHECK_EQ(extent.start, start);
    CHECK(extent.end > start + 5);
    struct hone_symbol_extent same;
    CHECK_EQ(hone_symbol_extent(module, extent.end - 1, &same), 0);
    CHECK_EQ(same.start, start);
    CHECK_EQ(hone_symbol_extent(module, 1, &extent), HONE_SYMBOL_UNKNOWN);
    hone_symbolizer_free(symbolizer);
}
