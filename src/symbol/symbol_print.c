// Prints what we know about addresses on stdin, in the form of `llvm-symbolizer --no-demangle`: for
// the tests that compare us with others.
//
//     symbol_print [-r DEBUG_ROOT]… [-C] [-s] FILE < ADDRESSES
#include "elf/elf.h"
#include "symbol/symbol.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_frames(const struct hone_symbol_frames *frames, bool demangled)
{
    for (size_t i = 0; i < frames->count; i++) {
        const struct hone_symbol_frame *frame = &frames->at[i];
        const struct hone_symbol_function *function = frame->function;
        (void)printf("%s\n%s:%" PRIu32 ":%" PRIu32 "\n",
                     demangled ? function->name : function->system_name,
                     function->file[0] ? function->file : "??", frame->line, frame->column);
    }
}

static int print_all(struct hone_symbol_module *module, bool demangled)
{
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        struct hone_symbol_frames frames;
        int r = hone_symbol_lookup(module, strtoull(line, NULL, 16), &frames);
        if (r < 0)
            return r;
        if (r == HONE_SYMBOL_UNKNOWN)
            (void)printf("??\n??:0:0\n");
        else
            print_frames(&frames, demangled);
        (void)printf("\n");
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *roots[16];
    struct hone_symbolizer_options options = {.size = sizeof options, .debug_roots = roots};
    bool demangled = false;
    for (int c; (c = getopt(argc, argv, "r:Cs")) != -1;) {
        if (c == 'r' && options.debug_root_count < 16)
            roots[options.debug_root_count++] = optarg;
        else if (c == 'C')
            demangled = true;
        else if (c == 's')
            options.symbols_only = true;
        else
            return 2;
    }
    if (optind >= argc)
        return 2;
    struct hone_symbolizer *symbolizer;
    struct hone_symbol_module *module;
    if (hone_symbolizer_new(&options, &symbolizer, NULL) ||
        hone_symbolizer_module(symbolizer, argv[optind], NULL, 0, &module))
        return 1;
    const struct hone_symbol_facts *facts = hone_symbol_facts(module);
    (void)fprintf(stderr, "%s; debug file %s; %s\n", hone_symbol_reason_text(facts->reason),
                  facts->debug_path ? facts->debug_path : "none", facts->detail);
    int r = print_all(module, demangled);
    hone_symbolizer_free(symbolizer);
    return r ? 1 : 0;
}
