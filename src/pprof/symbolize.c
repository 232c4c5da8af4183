#include "pprof/symbolize.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "elf/elf.h"
#include "fetch/fetch.h"
#include "pprof/tell.h"
#include "profile/filter.h"
#include "profile/profile.h"
#include "symbol/place.h"
#include "symbol/symbol.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- what is wanted ------------------------------------------------------------------------------

struct mode {
    bool none;
    bool local;
    bool remote;
    bool symbols_only;
    bool force;
    enum hone_pprof_demangling demangling;
};

static void take_word(struct mode *mode, const char *word, const char *text)
{
    static const char demangle[] = "demangle=";
    const char *how =
        strncmp(word, demangle, sizeof demangle - 1) == 0 ? word + sizeof demangle - 1 : word;
    if (!*word) {
    } else if (strcmp(word, "none") == 0 || strcmp(word, "no") == 0) {
        mode->none = true;
    } else if (strcmp(word, "local") == 0) {
        mode->local = true;
        mode->remote = false;
    } else if (strcmp(word, "fastlocal") == 0) {
        mode->local = mode->symbols_only = true;
        mode->remote = false;
    } else if (strcmp(word, "remote") == 0) {
        mode->local = false;
        mode->remote = true;
    } else if (strcmp(word, "force") == 0) {
        mode->force = true;
    } else if (strcmp(how, "full") == 0 || strcmp(how, "none") == 0) {
        mode->force = true;
        mode->demangling = HONE_PPROF_FULL;
    } else if (strcmp(how, "templates") == 0) {
        mode->force = true;
        mode->demangling = HONE_PPROF_TEMPLATES;
    } else if (strcmp(how, "default") != 0) {
        hone_pprof_tell("ignoring unrecognized symbolization option: %s", text);
        hone_pprof_tell("expecting -symbolize=[local|fastlocal|remote|none][:force]"
                        "[:demangle=[none|full|templates|default]");
    }
}

static int parse_mode(const char *text, struct mode *ret)
{
    *ret = (struct mode){.local = true, .remote = true};
    HONE_CLEANUP(hone_freep) char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    for (char *at = copy; *at; at++)
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at + 'a' - 'A' : *at);
    char *rest = copy;
    for (const char *word; !ret->none && (word = strsep(&rest, ":")) != NULL;)
        take_word(ret, word, text);
    return 0;
}

// --- mappings ------------------------------------------------------------------------------------

struct work {
    struct hone_profile *profile;
    struct hone_symbolizer *symbolizer;
    struct hone_symbol_module **modules; // by mapping, NULL: nothing to look up
};

static void work_done(struct work *work)
{
    hone_symbolizer_freep(&work->symbolizer);
    free(work->modules);
}

// A mapping without build id may have the place that it was fetched from for a file.
static bool is_a_file(const char *path, bool identified)
{
    const char *slash = strrchr(path, '/');
    struct hone_str base = hone_str_of(slash ? slash + 1 : path);
    return !hone_str_starts(base, HONE_STR("[")) &&
           !hone_str_starts(base, HONE_STR("linux-vdso")) &&
           !hone_str_starts(hone_str_of(path), HONE_STR("/dev/dri/")) &&
           (identified || !strstr(path, "://"));
}

static size_t parse_build_id(const char *hex, unsigned char id[HONE_ELF_BUILD_ID_MAX])
{
    size_t len = 0;
    unsigned byte;
    while (len < HONE_ELF_BUILD_ID_MAX && sscanf(hex + 2 * len, "%2x", &byte) == 1 &&
           hex[2 * len + 1])
        id[len++] = (unsigned char)byte;
    return hex[2 * len] ? 0 : len;
}

// Returns 0, 1 when its file is not to be had, or -ENOMEM.
static int open_mapping(struct work *work, uint32_t number)
{
    struct hone_profile *p = work->profile;
    const struct hone_profile_mapping *mapping = &p->mappings.at[number];
    const char *file = hone_profile_text(p, mapping->file);
    const char *hex = hone_profile_text(p, mapping->build_id);
    if (!*file && number == 1) {
        hone_pprof_tell("Main binary filename not available.");
        return 0;
    }
    if (!*file || !is_a_file(file, *hex))
        return !*file;
    unsigned char id[HONE_ELF_BUILD_ID_MAX];
    size_t id_len = parse_build_id(hex, id);
    struct hone_symbol_module *module;
    int r = hone_symbolizer_module(work->symbolizer, file, id_len ? id : NULL, id_len, &module);
    if (r)
        return r;
    const struct hone_symbol_facts *facts = hone_symbol_facts(module);
    if (hone_symbol_module_elf(module)) {
        work->modules[number] = module;
        return 0;
    }
    const char *slash = strrchr(file, '/');
    char reason[160 + PATH_MAX];
    const char *why = facts->reason == HONE_SYMBOL_CHANGED ? "build ID mismatch"
                      : *facts->detail                     ? facts->detail
                                                           : hone_symbol_reason_text(facts->reason);
    if (access(file, R_OK)) { // in pprof's words
        const char *said = strerror(errno);
        (void)snprintf(reason, sizeof reason, "open %s: %c%s", file, tolower(said[0]), said + 1);
        why = reason;
    }
    hone_pprof_tell("Local symbolization failed for %s%s%s%s: %s", slash ? slash + 1 : file,
                    *hex ? " (build ID " : "", hex, *hex ? ")" : "", why);
    return facts->reason != HONE_SYMBOL_CHANGED;
}

// The mappings of places in samples that are not nothing: what is left of a profile that is merged.
static int find_used(const struct hone_profile *p, bool *used)
{
    HONE_CLEANUP(hone_freep) bool *seen = calloc(p->stacks.count, sizeof *seen);
    if (!seen)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->samples.count; i++)
        for (uint32_t type = 0; type < p->type_count; type++)
            seen[p->samples.stack[i]] |= p->samples.values[type][i] != 0;
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        for (uint32_t i = 0; seen[stack] && i < frames.count; i++)
            used[p->locations.mapping[frames.at[i]]] = true;
    }
    return 0;
}

static bool lacks_names(const struct hone_profile *p, uint32_t number, bool force)
{
    static const uint32_t named =
        HONE_PROFILE_HAS_FUNCTIONS | HONE_PROFILE_HAS_FILENAMES | HONE_PROFILE_HAS_LINE_NUMBERS;
    return force || !(p->mappings.at[number].flags & named);
}

static int open_mappings(struct work *work, bool force, bool *ret_any)
{
    struct hone_profile *p = work->profile;
    HONE_CLEANUP(hone_freep) bool *used = calloc(p->mappings.count, sizeof *used);
    if (!used)
        return -ENOMEM;
    bool any = false;
    for (uint32_t i = 1; i < p->mappings.count; i++)
        any |= lacks_names(p, i, force);
    int found = any ? find_used(p, used) : 0; // which looks at every frame
    if (found)
        return found;
    bool missing = false;
    for (uint32_t i = 1; i < p->mappings.count; i++) {
        if (!used[i] || !lacks_names(p, i, force))
            continue;
        int r = open_mapping(work, i);
        if (r < 0)
            return r;
        missing |= r > 0;
        *ret_any |= work->modules[i] != NULL;
    }
    if (missing)
        hone_pprof_tell("Some binary filenames not available. Symbolization may be incomplete.\n"
                        "Try setting PPROF_BINARY_PATH to the search path for local binaries.");
    return 0;
}

// --- locations -----------------------------------------------------------------------------------

// An address as the file has it.
static bool find_vaddr(const struct work *work, uint32_t location, uint64_t *ret)
{
    const struct hone_profile *p = work->profile;
    uint32_t number = p->locations.mapping[location];
    const struct hone_profile_mapping *mapping = &p->mappings.at[number];
    uint64_t address = p->locations.address[location];
    *ret = address;
    if (!mapping->start && !mapping->limit)
        return true; // nobody knows where it was mapped: as a program that cannot be moved is
    return address >= mapping->start &&
           hone_elf_offset_to_vaddr(hone_symbol_module_elf(work->modules[number]),
                                    address - mapping->start + mapping->offset, ret);
}

// What is known of the mapping from now on.
static void note_flags(const struct hone_symbol_frames *frames, uint32_t *flags)
{
    for (size_t i = 0; i < frames->count; i++) {
        const struct hone_symbol_frame *frame = &frames->at[i];
        *flags |= *frame->function->name ? HONE_PROFILE_HAS_FUNCTIONS : 0;
        *flags |= *frame->function->file ? HONE_PROFILE_HAS_FILENAMES : 0;
        *flags |= frame->line ? HONE_PROFILE_HAS_LINE_NUMBERS : 0;
    }
    *flags |= HONE_PROFILE_HAS_INLINE_FRAMES;
}

struct lines {
    uint32_t *first;
    struct hone_profile_line *at;
    uint32_t count;
    uint32_t room;
};

static void lines_done(struct lines *lines)
{
    free(lines->first);
    free(lines->at);
}

static bool make_room(struct lines *lines, size_t count)
{
    if (count > HONE_PROFILE_LINES_MAX)
        return false;
    return hone_array_reserve(&lines->at, &lines->room, lines->count + (uint64_t)count + 1,
                              sizeof *lines->at);
}

// The lines of the file, where it has any for this address, else those of before.
static int name_location(struct work *work, uint32_t location, struct lines *lines)
{
    struct hone_profile *p = work->profile;
    uint32_t number = p->locations.mapping[location];
    struct hone_symbol_module *module = work->modules[number];
    struct hone_symbol_frames frames;
    uint64_t vaddr;
    int r = module && find_vaddr(work, location, &vaddr)
                ? hone_symbol_lookup(module, vaddr, &frames)
                : HONE_SYMBOL_UNKNOWN;
    if (r < 0)
        return r;
    struct hone_profile_line_span before = hone_profile_lines_of(p, location);
    size_t count = r ? before.count : frames.count;
    if (!make_room(lines, count))
        return -ENOMEM;
    if (!r) { // demangling comes later, as the user wants it
        hone_symbol_add_lines(p, &frames, HONE_SYMBOL_PLAIN, lines->at + lines->count);
        note_flags(&frames, &p->mappings.at[number].flags);
    } else if (count) {
        memcpy(lines->at + lines->count, before.at, count * sizeof *lines->at);
    }
    lines->count += (uint32_t)count;
    return 0;
}

static int name_locations(struct work *work)
{
    struct hone_profile *p = work->profile;
    HONE_CLEANUP(lines_done)
    struct lines lines = {.first = calloc((size_t)p->locations.count + 2, sizeof *lines.first)};
    if (!lines.first)
        return -ENOMEM;
    int r = make_room(&lines, 0) ? 0 : -ENOMEM;
    for (uint32_t i = 1; !r && i < p->locations.count; i++) {
        lines.first[i] = lines.count;
        r = name_location(work, i, &lines);
    }
    r = r ? r : hone_profile_status(p);
    if (r)
        return r;
    lines.first[p->locations.count] = lines.count;
    hone_profile_replace_lines(p, hone_take(lines.first), hone_take(lines.at));
    return 0;
}

static int symbolize_locally(struct hone_profile *p, const struct mode *mode)
{
    HONE_CLEANUP(work_done) struct work work = {.profile = p};
    const struct hone_symbolizer_options options = {.size = sizeof options,
                                                    .symbols_only = mode->symbols_only};
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    work.modules = calloc(p->mappings.count, sizeof *work.modules);
    if (!work.modules)
        return -ENOMEM;
    int r = hone_symbolizer_new(&options, &work.symbolizer, NULL);
    bool any = false;
    if (!r)
        r = open_mappings(&work, mode->force, &any);
    return r || !any ? r : name_locations(&work);
}

int hone_pprof_symbolize(struct hone_profile *profile, const char *text,
                         const struct hone_fetch_origins *origins,
                         const struct hone_fetch_options *options, struct hone_error *err)
{
    struct mode mode;
    int r = parse_mode(text, &mode);
    if (!r && mode.none)
        return 0;
    if (!r && mode.local)
        r = symbolize_locally(profile, &mode);
    if (r)
        return hone_error_set(err, r, "cannot look up names");
    if (mode.remote)
        r = hone_fetch_symbolize(profile, origins, mode.force, options, err);
    return r ? r : hone_pprof_demangle(profile, mode.demangling, mode.force, err);
}
