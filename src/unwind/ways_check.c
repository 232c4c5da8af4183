// Compares what code tells of how it returns with what its rules say, at every instruction of ELF
// files that have rules. Prints for each file how many agree, and the first that do not.
//
//   ways_check TOLD AGREE FILE…      least percentages: of instructions that tell something, and of
//                                    those that agree
#include "unwind/arch/arch.h"
#include "unwind/arch/code_x86_64.h"
#include "unwind/cfi.h"
#include "unwind/module_rules.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHOWN_MAX = 5, LOOKED_AT_MAX = 1000 };

struct check {
    const char *path;
    const uint8_t *file;
    size_t size;
    struct hone_module module;
    struct hone_memory memory; // of the file
    uint64_t asked, told, agreed, differ;
};

static struct check check;

static bool code_of_file(struct hone_memory *memory, void *to, uint64_t from, size_t size)
{
    (void)memory;
    const uint64_t at = from - check.module.text_start + check.module.text_offset;
    if (at > check.size || check.size - at < size)
        return false;
    memcpy(to, check.file + at, size);
    return true;
}

// Where sp has passed the place where fp was saved it holds that again, whatever rules say.
static bool is_same(const struct hone_rules *rules, const struct hone_way_out *out)
{
    const hone_rule rule = rules->registers[HONE_REGISTER_FP];
    const int64_t fp_at = hone_rule_kind(rule) == HONE_RULE_OFFSET ? hone_rule_value(rule) : 0;
    return out->cfa == rules->cfa_offset &&
           (out->fp_at == fp_at || (!out->fp_at && !out->by_fp && out->cfa + fp_at < 0));
}

// What aligns the next instruction is never reached.
static bool is_filling(const struct hone_code *code)
{
    return code->opcode == (HONE_CODE_TWO | 0x1f) || code->opcode == 0x90;
}

static void check_function(const struct hone_fde *fde)
{
    bool called = false;
    struct hone_code code;
    for (uint64_t pc = fde->start; pc < fde->end; pc += code.size) {
        uint8_t bytes[HONE_CODE_BYTES_MAX];
        struct hone_rules rules;
        uint64_t until;
        const struct hone_code_range range = {check.module.text_start, check.module.text_end};
        unsigned left = LOOKED_AT_MAX;
        struct hone_way_out out;
        if (!code_of_file(&check.memory, bytes, pc, sizeof bytes) ||
            !hone_code_read(bytes, sizeof bytes, &code))
            return; // data among code
        const bool after_call = called;
        called = code.opcode == 0xe8 || (code.opcode == 0xff && code.reg == 2);
        if (is_filling(&code) || hone_cfi_rules(&check.module.cfi, fde, pc, &rules, &until) != 0 ||
            rules.cfa_is_expression)
            continue;
        check.asked++;
        if (!hone_arch_way_out(&check.memory, pc, after_call, &range, &left, &out))
            continue;
        check.told++;
        // Where both registers would do there is no telling whether it comes to the same.
        if (out.by_fp != (rules.cfa_register == HONE_REGISTER_FP) || is_same(&rules, &out)) {
            check.agreed++;
        } else if (check.differ++ < SHOWN_MAX) {
            printf("%s: %#" PRIx64 ": CFA %" PRId64 ", told %d, fp at %d\n", check.path, pc,
                   rules.cfa_offset, out.cfa, out.fp_at);
        }
    }
}

static bool check_file(const char *path, double told, double agree)
{
    check = (struct check){.path = path, .memory = {.code = code_of_file}};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts) != 0) {
        fprintf(stderr, "ways_check: cannot open '%s'\n", path);
        return false;
    }
    check.size = (size_t)facts.st_size;
    check.file = mmap(NULL, check.size, PROT_READ, MAP_PRIVATE, fd, 0);
    const Elf64_Ehdr *header = (const void *)check.file;
    const struct hone_module_headers headers = {0, (const void *)(check.file + header->e_phoff),
                                                header->e_phnum};
    if (check.file == MAP_FAILED || hone_module_describe_file(&check.module, &headers, fd) != 0 ||
        hone_module_rules_map_file(&check.module, &headers, fd) != 0) {
        fprintf(stderr, "ways_check: cannot read '%s'\n", path);
        return false;
    }
    (void)close(fd);
    struct hone_fde fde;
    for (uint64_t pc = check.module.text_start; pc < check.module.text_end;) {
        const bool found = hone_cfi_find(&check.module.cfi, pc, &fde) == 0 && fde.end > pc;
        if (found)
            check_function(&fde);
        pc = found ? fde.end : pc + 1;
    }
    const double of_asked = 100.0 * (double)check.told / (double)check.asked;
    const double of_told = 100.0 * (double)check.agreed / (double)check.told;
    printf("%s: of %" PRIu64 " instructions %.2f %% tell, of those %.2f %% agree\n", path,
           check.asked, of_asked, of_told);
    (void)munmap((void *)check.file, check.size);
    return check.asked > 0 && of_asked >= told && of_told >= agree;
}

int main(int argc, char **argv)
{
    bool good = argc > 3;
    for (int i = 3; i < argc; i++)
        good &= check_file(argv[i], strtod(argv[1], NULL), strtod(argv[2], NULL));
    return good ? 0 : 1;
}
