#include "capture/doctor_parts.h"

#include "base/base.h"
#include "capture/target.h"
#include "core/core.h"
#include "elf/code.h"
#include "elf/cover.h"
#include "elf/elf.h"
#include "symbol/symbol.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FUNCTIONS_MIN = 20, // fewer say nothing of how a program was built
    POINTERS_SOME = 10, // % of functions: below, they are those that use alloca and the like
    POINTERS_MOST = 80,
    SHARE_RULES = 97, // % of code: all of 258 programs of Debian's but those in Pascal have them
    SHARE_LINES = 90, // what is written in assembly may lack them
};

static void add(struct hone_findings *findings, const char *topic, enum hone_mark mark,
                const char *name, const char *what, const char *why, const char *next)
{
    hone_finding_add(findings, (struct hone_finding){mark, topic, name, what, why, next});
}

static void add_linking(struct hone_findings *findings, const char *topic, struct hone_elf *elf)
{
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    struct hone_elf_bytes interpreter = hone_elf_section(elf, ".interp");
    const char *loader = interpreter.at && memchr(interpreter.at, 0, interpreter.len)
                             ? (const char *)interpreter.at
                             : NULL;
    if (!facts->interpreter) {
        add(findings, topic, HONE_MARK_FACT, "linked", "statically", NULL, NULL);
        return;
    }
    const char *libc = !loader                      ? "its loader is not told"
                       : strstr(loader, "ld-musl")  ? "musl"
                       : strstr(loader, "ld-linux") ? "glibc"
                                                    : loader;
    add(findings, topic, HONE_MARK_FACT, "linked",
        hone_finding_text(findings, "dynamically (%s)%s", libc,
                          facts->pie ? ", position-independent" : ""),
        NULL, NULL);
}

// Whether a function begins by making a frame for itself: "push %rbp; mov %rsp, %rbp", behind an
// "endbr64" where there is one; "stp x29, x30, [sp, …]!".
static bool makes_frame(const unsigned char *at, size_t len, uint16_t machine)
{
    static const unsigned char branch_target[] = {0xf3, 0x0f, 0x1e, 0xfa};
    static const unsigned char frame[] = {0x55, 0x48, 0x89, 0xe5};
    if (machine == EM_AARCH64)
        return len >= 4 && at[0] == 0xfd && (at[1] & 0x7f) == 0x7b && (at[3] & 0xfe) == 0xa8;
    size_t skip = len >= 4 && memcmp(at, branch_target, 4) == 0 ? 4 : 0;
    return len >= skip + 4 && memcmp(at + skip, frame, 4) == 0;
}

// Functions begin where the unwind table says, also in stripped files. Format: nameless.c.
static void add_frame_pointers(struct hone_findings *findings, const char *topic,
                               struct hone_elf *elf)
{
    struct hone_elf_bytes header = hone_elf_section(elf, ".eh_frame_hdr");
    bool known = header.at && header.len >= 12 && header.at[0] == 1 && header.at[2] == 0x03 &&
                 header.at[3] == 0x3b;
    uint32_t listed = 0;
    if (known)
        memcpy(&listed, header.at + 8, sizeof listed);
    uint64_t room = known ? (header.len - 12) / 8 : 0;
    uint64_t functions = 0;
    uint64_t framed = 0;
    for (uint64_t i = 0; i < listed && i < room; i++) {
        int32_t start;
        memcpy(&start, header.at + 12 + 8 * i, sizeof start);
        struct hone_elf_bytes code =
            hone_elf_code(elf, header.vaddr + (uint64_t)(int64_t)start, 12);
        if (!code.at)
            continue;
        functions++;
        framed += makes_frame(code.at, code.len, hone_elf_facts(elf)->machine);
    }
    if (functions < FUNCTIONS_MIN)
        return;
    unsigned share = (unsigned)(100 * framed / functions);
    add(findings, topic, HONE_MARK_FACT, "frame pointers",
        hone_finding_text(findings, "in %u %% of its functions%s", share,
                          share < POINTERS_SOME    ? ": other profilers lose its callers"
                          : share >= POINTERS_MOST ? ""
                                                   : ": in part"),
        NULL, NULL);
}

// How much of the code the rules cover that a walk would use. 0: none; false: it is another
// machine's, of which we read no rules.
static bool find_rules(const struct hone_elf *elf, const char *path, struct hone_elf_cover *ret)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    struct hone_elf_code code;
    if (fd < 0 || fstat(fd, &status) || hone_elf_code_map(fd, (uint64_t)status.st_size, &code))
        return false;
    int r = hone_elf_cover_rules(elf, &code.module.cfi, ret);
    hone_elf_code_unmap(&code);
    return r == 0;
}

static void add_unwinding(struct hone_findings *findings, const char *topic, struct hone_elf *elf,
                          const char *path, bool from_outside)
{
    struct hone_elf_cover cover;
    if (!find_rules(elf, path, &cover))
        return;
    unsigned share = hone_elf_cover_share(&cover);
    const char *covered =
        hone_finding_text(findings, "unwind rules (.eh_frame) cover %s%u %% of its code",
                          share || !cover.covered_bytes ? "" : "less than ",
                          cover.covered_bytes && !share ? 1 : share);
    if (share >= SHARE_RULES)
        add(findings, topic, HONE_MARK_GOOD, "stacks", covered, NULL, NULL);
    else
        add(findings, topic, HONE_MARK_LESS, "stacks",
            cover.covered_bytes ? covered : "it has no unwind rules (.eh_frame)",
            from_outside ? "other functions need frame pointers, or stacks end there: [truncated]"
                         : "callers of its other functions are searched for on the stack, which is "
                           "a guess",
            // A library that is linked in, as musl is, was compiled elsewhere.
            from_outside && cover.covered_bytes ? NULL : "gcc -fasynchronous-unwind-tables …");
    add_frame_pointers(findings, topic, elf);
}

// What has lines: start files, or a few functions written in assembly, may have them alone.
static int find_lines(const struct hone_elf *elf, const char *debug_path, unsigned *ret_share)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *holder = NULL;
    HONE_CLEANUP(hone_dwarf_closep) struct hone_dwarf *dwarf = NULL;
    struct hone_elf_cover cover;
    int r = hone_elf_open(debug_path, &holder, NULL);
    if (!r)
        r = hone_dwarf_open(holder, NULL, &dwarf);
    if (!r)
        r = hone_elf_cover_units(elf, dwarf, &cover);
    *ret_share = r ? 0 : hone_elf_cover_share(&cover);
    return r == -ENOMEM ? r : 0;
}

static int add_names(struct hone_findings *findings, const char *topic, struct hone_elf *elf,
                     const char *path)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    struct hone_symbol_module *module;
    int r = hone_symbolizer_new(NULL, &symbolizer, NULL);
    if (!r)
        r = hone_symbolizer_module(symbolizer, path, facts->build_id, facts->build_id_len, &module);
    if (r)
        return r;
    const struct hone_symbol_facts *symbols = hone_symbol_facts(module);
    const char *rebuild = "gcc -g …";
    const char *package =
        hone_finding_text(findings, "find-dbgsym-packages %s (package debian-goodies)", path);
    if (symbols->reason == HONE_SYMBOL_COMPLETE) {
        bool own = symbols->debug_path && strcmp(symbols->debug_path, path) == 0;
        unsigned share = 100;
        r = symbols->debug_path ? find_lines(elf, symbols->debug_path, &share) : 0;
        if (r)
            return r;
        const char *from = own ? "the file itself" : symbols->debug_path;
        if (share >= SHARE_LINES)
            add(findings, topic, HONE_MARK_GOOD, "names",
                hone_finding_text(findings, "%s, from %s", hone_symbol_reason_text(symbols->reason),
                                  from),
                NULL, NULL);
        else
            add(findings, topic, HONE_MARK_LESS, "names",
                hone_finding_text(
                    findings, "functions; inlined calls and lines for %s%u %% of its code, from %s",
                    share ? "" : "less than ", share ? share : 1, from),
                "the rest was compiled without -g", rebuild);
    } else
        add(findings, topic, HONE_MARK_LESS, "names",
            hone_finding_text(findings, "%s", hone_symbol_reason_text(symbols->reason)),
            symbols->reason == HONE_SYMBOL_NO_DEBUG_FILE
                ? "no source lines, no inlined calls"
                : "functions without a name are shown as file+0xaddress",
            facts->build_id_len ? package : rebuild);
    char id[2 * HONE_ELF_BUILD_ID_MAX + 1] = "";
    for (size_t i = 0; i < facts->build_id_len; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", facts->build_id[i]);
    if (*id)
        add(findings, topic, HONE_MARK_GOOD, "build id", hone_finding_text(findings, "%s", id),
            NULL, NULL);
    else
        add(findings, topic, HONE_MARK_LESS, "build id", "none",
            "a debug file, or a later version, cannot be told from the right one",
            "gcc -Wl,--build-id …");
    return findings->failed ? -ENOMEM : 0;
}

static void add_script(struct hone_findings *findings, const char *topic, const char *path,
                       const char *no_elf)
{
    char line[256] = "";
    HONE_CLEANUP(hone_fclosep) FILE *file = fopen(path, "re");
    bool script = file && fgets(line, sizeof line, file) && strncmp(line, "#!", 2) == 0;
    line[strcspn(line, "\r\n")] = '\0';
    add(findings, topic, HONE_MARK_FACT, "kind",
        script ? hone_finding_text(findings, "a script for %s; what it starts is recorded too",
                                   line + 2 + strspn(line + 2, " \t"))
               : hone_finding_text(findings, "%s", no_elf),
        NULL, NULL);
}

// One that is linked statically into the program does not show, and needs nothing.
static void add_sanitizer(struct hone_findings *findings, const char *topic, struct hone_elf *elf,
                          bool from_outside)
{
    static const char *const libraries[] = {"libasan.so", "libtsan.so", "libubsan.so",
                                            "liblsan.so"};
    struct hone_elf_bytes names = hone_elf_section(elf, ".dynstr");
    // What is recorded from outside for its sake was said to be.
    if (from_outside && names.at && memmem(names.at, names.len, "libtsan.so", 10))
        return;
    for (size_t i = 0; names.at && i < HONE_ARRAY_LENGTH(libraries); i++)
        if (memmem(names.at, names.len, libraries[i], strlen(libraries[i])))
            add(findings, topic, HONE_MARK_FACT, "sanitizer",
                hone_finding_text(findings, "%s: recorded with it, its own time included%s",
                                  libraries[i],
                                  i ? "" : "; ASAN_OPTIONS gets verify_asan_link_order=0"),
                NULL, NULL);
}

static int add_file(struct hone_findings *findings, const char *topic, const char *path,
                    bool from_outside)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    struct hone_error why = {0};
    int r = hone_elf_open(path, &elf, &why);
    if (r == -ENOMEM)
        return r;
    if (r) {
        add_script(findings, topic, path, why.message);
        return 0;
    }
    add_linking(findings, topic, elf);
    add_sanitizer(findings, topic, elf, from_outside);
    if (hone_elf_facts(elf)->go) // whose tables and names are its own
        return 0;
    add_unwinding(findings, topic, elf, path, from_outside);
    return add_names(findings, topic, elf, path);
}

static const char *recordable_words(struct hone_findings *findings)
{
    return !findings->loads ? "libhone.so cannot be preloaded"
           : findings->engine == HONE_ENGINE_NONE
               ? "no engine works here"
               : hone_finding_text(findings, "yes: hone record, cpu by %s; heap; wall from outside",
                                   hone_engine_name(findings->engine));
}

int hone_doctor_program(struct hone_findings *findings, const char *program, struct hone_error *err)
{
    char path[PATH_MAX] = "";
    struct hone_error why = {0};
    const char *topic = hone_finding_text(findings, "%s", program);
    int r = hone_target_check(program, path, sizeof path, &why);
    if (r < 0 && r == -ENOMEM)
        return hone_error_set(err, r, "cannot look at '%s'", program);
    bool from_outside = r == HONE_TARGET_OUTSIDE || r == HONE_TARGET_OUTSIDE_RIGHTS;
    findings->recordable = from_outside
                               ? findings->outside
                               : r == 0 && findings->loads && findings->engine != HONE_ENGINE_NONE;
    if (from_outside)
        add(findings, topic, findings->recordable ? HONE_MARK_GOOD : HONE_MARK_BAD, "recordable",
            hone_finding_text(findings,
                              findings->recordable
                                  ? "yes: hone record, cpu and wall from outside, not heap: %s"
                                  : "only from outside, which is not permitted: %s",
                              why.message),
            NULL, NULL);
    else if (r)
        add(findings, topic, HONE_MARK_BAD, "recordable",
            hone_finding_text(findings, "%s", why.message), NULL,
            why.hint[0] ? hone_finding_text(findings, "%s", why.hint) : NULL);
    else
        add(findings, topic, findings->recordable ? HONE_MARK_GOOD : HONE_MARK_BAD, "recordable",
            recordable_words(findings), NULL, NULL);
    struct stat status;
    if (path[0] && stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
        add(findings, topic, HONE_MARK_FACT, "file", hone_finding_text(findings, "%s", path), NULL,
            NULL);
        r = add_file(findings, topic, path, from_outside);
        if (r)
            return hone_error_set(err, r, "cannot look at '%s'", program);
    }
    return findings->failed ? hone_error_set(err, -ENOMEM, "cannot look at '%s'", program) : 0;
}
