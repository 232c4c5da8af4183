#include "pprof/commands.h"

#include <string.h>

#define INCLUDE                                                                                    \
    "\nInclude up to n samples\nInclude samples matching focus_regex, and exclude ignore_regex."
#define SORTED "\n-cum sorts the output by cumulative weight"
#define SAVED "\nOptionally save the report on the file f"
#define USAGE(name, more) name " [n] [focus_regex]* [-ignore_regex]*" more
#define SHOWN(name) USAGE(name, INCLUDE)
#define GRAPH(name) USAGE(name, " >f" INCLUDE SAVED)
#define TABLE(name) USAGE(name, " [-cum] >f" INCLUDE SORTED SAVED)
#define FUNCTIONS(name, more)                                                                      \
    name "<func_regex|address> [-focus_regex]* [-ignore_regex]*" more                              \
         "\nInclude functions matching func_regex, or including the address specified."            \
         "\nInclude samples matching focus_regex, and exclude ignore_regex."

static const char *const eog[] = {"eog", NULL};
static const char *const evince[] = {"evince", NULL};
static const char *const gv[] = {"gv --noantialias", NULL};
static const char *const kcachegrind[] = {"kcachegrind", NULL};

#define PICTURE(format, words)                                                                     \
    {                                                                                              \
        .name = #format, .report = HONE_PPROF_DOT, .picture = #format, .file = #format,            \
        .help = "Outputs a graph " words, .usage = GRAPH(#format)                                  \
    }
#define VIEWER(program, format)                                                                    \
    {                                                                                              \
        .name = #program, .report = HONE_PPROF_DOT, .picture = #format, .view = #format,           \
        .viewers = program, .help = "Visualize graph through " #program, .usage = SHOWN(#program)  \
    }

const struct hone_pprof_command hone_pprof_commands[] = {
    {.name = "callgrind",
     .report = HONE_PPROF_CALLGRIND,
     .file = "callgraph.out",
     .help = "Outputs a graph in callgrind format",
     .usage = GRAPH("callgrind")},
    {.name = "comments",
     .report = HONE_PPROF_COMMENTS,
     .help = "Output all profile comments",
     .usage = ""},
    {.name = "disasm",
     .report = HONE_PPROF_DISASM,
     .has_pattern = true,
     .help = "Output assembly listings annotated with samples",
     .usage = FUNCTIONS("disasm", " >f") SAVED},
    {.name = "dot",
     .report = HONE_PPROF_DOT,
     .help = "Outputs a graph in DOT format",
     .usage = GRAPH("dot")},
    VIEWER(eog, svg),
    VIEWER(evince, pdf),
    PICTURE(gif, "image in GIF format"),
    VIEWER(gv, ps),
    {.name = "kcachegrind",
     .report = HONE_PPROF_CALLGRIND,
     .view = "grind",
     .viewers = kcachegrind,
     .help = "Visualize report in KCachegrind",
     .usage = SHOWN("kcachegrind")},
    {.name = "list",
     .report = HONE_PPROF_LIST,
     .has_pattern = true,
     .help = "Output annotated source for functions matching regexp",
     .usage = FUNCTIONS("list", "")},
    PICTURE(pdf, "in PDF format"),
    {.name = "peek",
     .report = HONE_PPROF_TREE,
     .has_pattern = true,
     .help = "Output callers/callees of functions matching regexp",
     .usage = "peek func_regex\nDisplay callers and callees of functions matching func_regex."},
    PICTURE(png, "image in PNG format"),
    {.name = "proto",
     .report = HONE_PPROF_PROTO,
     .file = "pb.gz",
     .help = "Outputs the profile in compressed protobuf format",
     .usage = ""},
    PICTURE(ps, "in PS format"),
    {.name = "raw",
     .report = HONE_PPROF_RAW,
     .help = "Outputs a text representation of the raw profile",
     .usage = ""},
    PICTURE(svg, "in SVG format"),
    {.name = "tags",
     .report = HONE_PPROF_TAGS,
     .help = "Outputs all tags in the profile",
     .usage = "tags [tag_regex]* [-ignore_regex]* [>file]\n"
              "List tags with key:value matching tag_regex and exclude ignore_regex."},
    {.name = "text",
     .report = HONE_PPROF_TOP,
     .help = "Outputs top entries in text form",
     .usage = TABLE("text")},
    {.name = "top",
     .report = HONE_PPROF_TOP,
     .help = "Outputs top entries in text form",
     .usage = TABLE("top")},
    {.name = "topproto",
     .report = HONE_PPROF_TOPPROTO,
     .file = "pb.gz",
     .help = "Outputs top entries in compressed protobuf format",
     .usage = ""},
    {.name = "traces",
     .report = HONE_PPROF_TRACES,
     .help = "Outputs all profile samples in text form",
     .usage = ""},
    {.name = "tree",
     .report = HONE_PPROF_TREE,
     .help = "Outputs a text rendering of call graph",
     .usage = TABLE("tree")},
    {.name = "web",
     .report = HONE_PPROF_DOT,
     .picture = "svg",
     .view = "svg",
     .browser = true,
     .help = "Visualize graph through web browser",
     .usage = SHOWN("web")},
    {.name = "weblist",
     .report = HONE_PPROF_WEBLIST,
     .has_pattern = true,
     .view = "html",
     .browser = true,
     .help = "Display annotated source in a web browser",
     .usage = FUNCTIONS("weblist", "")},
    {0},
};

const struct hone_pprof_command *hone_pprof_command_find(const char *name)
{
    for (const struct hone_pprof_command *at = hone_pprof_commands; at->name; at++)
        if (strcmp(at->name, name) == 0)
            return at;
    return NULL;
}
