// Prints what we know about addresses on stdin, in the form of `llvm-symbolizer --no-demangle`: for
// the tests that compare us with others.
//
//     symbol_print [-r DEBUG_ROOT]… [-C] [-s] [-1] [-c CACHE [-k]] FILE < ADDRESSES
//
// -C demangles, -s reads symbols only, -1 looks up one after the other, -c names a folder of
// indexes (none without), -k keeps one there.
#include "base/base.h"
#include "elf/elf.h"
#include "symbol/symbol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_number(uint32_t number)
{
    char digits[12];
    char *at = digits + sizeof digits;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    (void)fwrite_unlocked(at, 1, (size_t)(digits + sizeof digits - at), stdout);
}

// Without printf(), which would take longer than looking up does.
static void print_frames(const struct hone_symbol_frames *frames, bool demangled)
{
    for (size_t i = 0; i < frames->count; i++) {
        const struct hone_symbol_frame *frame = &frames->at[i];
        const struct hone_symbol_function *function = frame->function;
        (void)fputs_unlocked(demangled ? function->name : function->system_name, stdout);
        (void)putc_unlocked('\n', stdout);
        (void)fputs_unlocked(function->file[0] ? function->file : "??", stdout);
        (void)putc_unlocked(':', stdout);
        put_number(frame->line);
        (void)putc_unlocked(':', stdout);
        put_number(frame->column);
        (void)putc_unlocked('\n', stdout);
    }
}

static int read_addresses(uint64_t **ret, size_t *ret_count)
{
    char line[64];
    size_t room = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (*ret_count == room) {
            room = room ? room * 2 : 1024;
            uint64_t *grown = reallocarray(*ret, room, sizeof **ret);
            if (!grown)
                return -1;
            *ret = grown;
        }
        (*ret)[(*ret_count)++] = strtoull(line, NULL, 16);
    }
    return 0;
}

static int print_all(struct hone_symbol_module *module, bool demangled, bool prepared)
{
    HONE_CLEANUP(hone_freep) uint64_t *addresses = NULL;
    size_t count = 0;
    int r = read_addresses(&addresses, &count);
    if (!r && prepared)
        r = hone_symbol_prepare(module, addresses, count);
    for (size_t i = 0; i < count && r >= 0; i++) {
        struct hone_symbol_frames frames;
        r = hone_symbol_lookup(module, addresses[i], &frames);
        if (r == HONE_SYMBOL_UNKNOWN)
            (void)fputs_unlocked("??\n??:0:0\n", stdout);
        else if (r == 0)
            print_frames(&frames, demangled);
        (void)putc_unlocked('\n', stdout);
    }
    return r < 0 ? r : 0;
}

int main(int argc, char **argv)
{
    const char *roots[16];
    struct hone_symbolizer_options options = {
        .size = sizeof options, .debug_roots = roots, .cache_directory = ""};
    bool demangled = false, keeping = false, prepared = true;
    for (int c; (c = getopt(argc, argv, "r:Cs1c:k")) != -1;) {
        if (c == 'r' && options.debug_root_count < 16)
            roots[options.debug_root_count++] = optarg;
        else if (c == 'C')
            demangled = true;
        else if (c == 's')
            options.symbols_only = true;
        else if (c == '1')
            prepared = false;
        else if (c == 'c')
            options.cache_directory = optarg;
        else if (c == 'k')
            keeping = true;
        else
            return 2;
    }
    if (optind >= argc)
        return 2;
    static char out[1 << 16];
    (void)setvbuf(stdout, out, _IOFBF, sizeof out);
    struct hone_symbolizer *symbolizer;
    struct hone_symbol_module *module;
    if (hone_symbolizer_new(&options, &symbolizer, NULL) ||
        hone_symbolizer_module(symbolizer, argv[optind], NULL, 0, &module))
        return 1;
    const struct hone_symbol_facts *facts = hone_symbol_facts(module);
    (void)fprintf(stderr, "%s; debug file %s; %s%s\n", hone_symbol_reason_text(facts->reason),
                  facts->debug_path ? facts->debug_path : "none", facts->detail,
                  facts->from_index ? "from index" : "");
    int r = print_all(module, demangled, prepared);
    if (!r && keeping)
        r = hone_symbolizer_keep(symbolizer);
    hone_symbolizer_free(symbolizer);
    return r ? 1 : 0;
}
