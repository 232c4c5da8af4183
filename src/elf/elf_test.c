// Reads the test's own executable, whose truth the running program knows: where its functions are,
// how it is loaded.
#include "elf/elf.h"

#include "base/base.h"
#include "elf/debugfile.h"
#include "elf/dwarf.h"
#include "elf/function.h"

#include "check.h"

#include <errno.h>
#include <link.h>
#include <stdint.h>

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

static struct hone_elf *open_self(void)
{
    struct hone_elf *elf = NULL;
    CHECK_EQ(hone_elf_open("/proc/self/exe", &elf, NULL), 0);
    return elf;
}

TEST(own_executable_is_a_dynamic_position_independent_program)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = open_self();
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    CHECK(facts->executable);
    CHECK(facts->pie);
    CHECK(facts->interpreter);
    CHECK(facts->dynamic);
    CHECK(!facts->go);
    CHECK_EQ(facts->build_id_len, 20);
}

TEST(offsets_and_addresses_translate_as_the_loader_does)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = open_self();
    uint64_t vaddr = vaddr_of((const void *)(uintptr_t)take_first), offset, back;
    CHECK(hone_elf_vaddr_to_offset(elf, vaddr, &offset));
    CHECK(hone_elf_offset_to_vaddr(elf, offset, &back));
    CHECK_EQ(back, vaddr);
    HONE_CLEANUP(hone_fclosep) FILE *file = fopen("/proc/self/exe", "re");
    unsigned char bytes[16];
    CHECK_EQ(fseek(file, (long)offset, SEEK_SET), 0);
    CHECK_EQ(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    CHECK(memcmp(bytes, (const void *)(uintptr_t)take_first, sizeof bytes) == 0);
    CHECK(!hone_elf_offset_to_vaddr(elf, UINT64_MAX, &back));
    CHECK(!hone_elf_vaddr_to_offset(elf, UINT64_MAX, &back));
}

__attribute__((noinline)) int hone_test_exported(int x);
__attribute__((noinline)) int hone_test_exported(int x)
{
    __asm__ volatile("" : "+r"(x));
    return x + 1;
}

TEST(function_covers_its_code_and_not_a_byte_more)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = open_self();
    struct hone_elf_functions functions;
    CHECK_EQ(hone_elf_functions(&arena, elf, NULL, &functions), 0);
    CHECK(functions.full);
    uint64_t start = vaddr_of((const void *)(uintptr_t)hone_test_exported);
    const struct hone_elf_function *function = hone_elf_function_at(&functions, start);
    CHECK(function);
    CHECK_STR(function->name, "hone_test_exported");
    CHECK_EQ(function->start, start);
    CHECK_EQ(function->source, HONE_ELF_FROM_SYMTAB);
    CHECK(hone_elf_function_at(&functions, function->end - 1) == function);
    CHECK(hone_elf_function_at(&functions, function->end) != function);
    CHECK(hone_elf_function_at(&functions, 0) == NULL);
    CHECK(hone_elf_function_at(&functions, UINT64_MAX) == NULL);
}

TEST(entries_of_linkage_tables_are_named_by_what_they_call)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = open_self();
    struct hone_elf_functions functions;
    CHECK_EQ(hone_elf_functions(&arena, elf, NULL, &functions), 0);
    bool found = false;
    for (size_t i = 0; i < functions.count; i++) {
        found |= functions.at[i].source == HONE_ELF_FROM_PLT &&
                 strcmp(functions.at[i].name, "dl_iterate_phdr@plt") == 0;
    }
    CHECK(found);
}

static inline __attribute__((always_inline)) int inlined_part(int x)
{
    int line = __LINE__;
    __asm__ volatile(".globl hone_test_label\nhone_test_label: nop" : "+r"(x));
    return x + line;
}

__attribute__((noinline, noclone)) static int outer_part(int x)
{
    return inlined_part(x) * 3;
}

extern const char hone_test_label[];

TEST(inlined_call_is_told_with_file_and_line_of_both)
{
    volatile int sink = outer_part(1);
    (void)sink;
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = open_self();
    HONE_CLEANUP(hone_dwarf_closep) struct hone_dwarf *dwarf = NULL;
    CHECK_EQ(hone_dwarf_open(elf, NULL, &dwarf), 0);
    struct hone_dwarf_frames frames;
    CHECK_EQ(hone_dwarf_lookup(dwarf, vaddr_of(hone_test_label), &frames), 0);
    CHECK_EQ(frames.count, 2);
    CHECK_STR(frames.at[0].function->name, "inlined_part");
    CHECK_STR(frames.at[1].function->name, "outer_part");
    CHECK_EQ(frames.at[0].line, frames.at[0].function->line + 3);
    CHECK_EQ(frames.at[1].line, frames.at[1].function->line + 2);
    CHECK_EQ(frames.entry, vaddr_of((const void *)(uintptr_t)outer_part));
    CHECK_STR(strrchr(frames.at[0].file, '/'), "/elf_test.c");
    CHECK_EQ(hone_dwarf_stats(dwarf).units_broken, 0);
    CHECK_EQ(hone_dwarf_lookup(dwarf, 1, &frames), HONE_DWARF_UNKNOWN);
}

TEST(functions_that_the_linker_dropped_are_not_found_at_address_zero)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    HONE_CLEANUP(hone_dwarf_closep) struct hone_dwarf *dwarf = NULL;
    CHECK_EQ(hone_elf_open(HONE_SAMPLE, &elf, NULL), 0);
    CHECK_EQ(hone_dwarf_open(elf, NULL, &dwarf), 0);
    struct hone_dwarf_frames frames;
    for (uint64_t vaddr = 0; vaddr < 64; vaddr++)
        CHECK_EQ(hone_dwarf_lookup(dwarf, vaddr, &frames), HONE_DWARF_UNKNOWN);
}

TEST(symbol_of_size_zero_ends_where_the_next_begins)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    struct hone_elf_functions functions;
    CHECK_EQ(hone_elf_open(HONE_SAMPLE, &elf, NULL), 0);
    CHECK_EQ(hone_elf_functions(&arena, elf, NULL, &functions), 0);
    size_t found = 0;
    for (size_t i = 0; i < functions.count; i++)
        found += strcmp(functions.at[i].name, "sample_sizeless") == 0;
    CHECK_EQ(found, 1); // not again in the gaps behind other functions
}

TEST(what_is_no_elf_file_is_refused_in_words)
{
    struct hone_elf *elf = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_elf_open_memory("#!/bin/sh\n", 10, "x", &elf, &err), -EBADMSG);
    CHECK_STR(err.message, "'x' is not an ELF file");
    CHECK_EQ(hone_elf_open_memory("", 0, "x", &elf, NULL), -EBADMSG);
    CHECK_EQ(hone_elf_open("/nonexistent/file", &elf, &err), -ENOENT);
    CHECK_EQ(hone_elf_open("/", &elf, &err), -EINVAL);
    static const char i386[64] = "\177ELF\1\1\1";
    CHECK_EQ(hone_elf_open_memory(i386, sizeof i386, "x", &elf, &err), -ENOTSUP);
    CHECK_STR(err.message, "'x' is 32-bit or big-endian: operation not supported");
    CHECK(elf == NULL);
}

TEST(debug_file_with_another_build_id_is_passed_over)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = open_self();
    char root[] = "/tmp/hone-elf-test-XXXXXX", path[256];
    CHECK(mkdtemp(root));
    const char *roots[] = {root};
    const struct hone_elf_debug_places places = {roots, 1};
    unsigned char other[20] = {0xab, 0xcd};
    (void)snprintf(path, sizeof path,
                   "mkdir -p %s/.build-id/ab && cp /proc/%d/exe "
                   "%s/.build-id/ab/cd000000000000000000000000000000000000.debug",
                   root, getpid(), root);
    CHECK_EQ(system(path), 0);
    struct hone_elf *debug = NULL;
    CHECK_EQ(hone_elf_debug_by_build_id(&places, other, 20, &debug), HONE_ELF_NO_DEBUG_FILE);
    CHECK(debug == NULL);
    // The same file where its own build id says is taken.
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    char hex[64] = "";
    for (size_t i = 0; i < facts->build_id_len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", facts->build_id[i]);
    (void)snprintf(path, sizeof path,
                   "mkdir -p %s/.build-id/%.2s && cp /proc/%d/exe %s/.build-id/%.2s/%s.debug", root,
                   hex, getpid(), root, hex, hex + 2);
    CHECK_EQ(system(path), 0);
    CHECK_EQ(hone_elf_debug_by_build_id(&places, facts->build_id, facts->build_id_len, &debug), 0);
    hone_elf_close(debug);
    (void)snprintf(path, sizeof path, "rm -r %s", root);
    CHECK_EQ(system(path), 0);
}
