#include "capture/held_file.h"

#include "check.h"
#include "elf/code.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

// A file of code without a build id: one page, which is told from another by what it ends with.
static void write_file(const char *path, char last)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr code;
        char rest[PAGE - sizeof(Elf64_Ehdr) - sizeof(Elf64_Phdr)];
    } page = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                               EV_CURRENT},
                   .e_type = ET_DYN,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1},
        .code = {.p_type = PT_LOAD,
                 .p_flags = PF_R | PF_X,
                 .p_filesz = PAGE,
                 .p_memsz = PAGE,
                 .p_align = PAGE},
        .rest[sizeof page.rest - 1] = last,
    };
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    CHECK_EQ(write(fd, &page, sizeof page), PAGE);
    (void)close(fd);
}

static uint64_t contents_of(const char *path)
{
    struct hone_elf_code code;
    int fd = open(path, O_RDONLY);
    CHECK_EQ(hone_elf_code_map(fd, PAGE, &code), 0);
    uint64_t contents = code.module.contents;
    hone_elf_code_unmap(&code);
    (void)close(fd);
    return contents;
}

// A plug-in is loaded, replaced by its next version and loaded again to the same place, before the
// recorder hears of the first.
TEST(what_was_mapped_to_the_place_of_another_is_not_held_as_that)
{
    char first[] = "/tmp/hone_held_XXXXXX", path[sizeof first + 8];
    (void)close(mkstemp(first));
    (void)snprintf(path, sizeof path, "%s.next", first);
    write_file(first, 1);
    write_file(path, 2);
    uint64_t contents[2] = {contents_of(first), contents_of(path)};
    CHECK(contents[0] != contents[1]);
    int fd = open(path, O_RDONLY);
    void *at = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    CHECK(at != MAP_FAILED);
    char by_mapping[96];
    (void)snprintf(by_mapping, sizeof by_mapping, "/proc/self/map_files/%lx-%lx", (unsigned long)at,
                   (unsigned long)at + PAGE);
    bool may_look = access(by_mapping, R_OK) == 0; // which needs a privilege
    for (int i = 0; i < 2; i++) {
        struct hone_collected_module module = {
            .path = path,
            .text_start = (uintptr_t)at,
            .text_end = (uintptr_t)at + PAGE,
            .contents = contents[i],
        };
        struct hone_collected collected = {.modules = &module, .module_count = 1};
        hone_held_file(&collected, 0, (uint32_t)getpid());
        CHECK(module.held_tried);
        CHECK_EQ(module.held_fd != 0, i == 1 && may_look);
        CHECK_EQ(collected.held_files, module.held_fd != 0);
        if (module.held_fd)
            (void)close(module.held_fd - 1);
    }
    (void)munmap(at, PAGE);
    (void)close(fd);
    (void)unlink(first);
    (void)unlink(path);
}
