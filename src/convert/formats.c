#include "convert/convert.h"

#include "convert/readers.h"

#include <string.h>

// In the order of help. Each row is all that the rest of the program knows of a format.
const struct hone_convert_format hone_convert_formats[] = {
    {
        .name = "pprof",
        .extensions = "pb.gz prof pprof pb",
        .summary = "pprof's profile.proto, and the legacy formats that pprof reads",
        .keeps = "everything: it is the format of Hone's own files",
        .detect = hone_pprof_detect,
        .read = hone_pprof_read,
        .write = hone_pprof_write,
    },
    {
        .name = "perf",
        .extensions = "",
        .summary = "perf.data, as Linux's perf records it",
        .keeps = "One event: the first, or the one that --event names; a clock's becomes "
                 "cpu/nanoseconds. Copied stacks (--call-graph dwarf) are walked by the rules in "
                 "the programs' files, which must be here, found by path and build id or in "
                 "~/.debug; names and lines come from there, too. Processes, threads and what was "
                 "lost are kept; memory addresses, weights, branches that are no calls and "
                 "processor traces are not",
        .detect = hone_perfdata_detect,
        .detect_directory = hone_perfdata_detect_directory,
        .read = hone_perfdata_read,
        .read_file = hone_perfdata_read_file,
        .read_event = hone_perfdata_read_event,
    },
    {
        .name = "collapsed",
        .extensions = "collapsed folded txt",
        .summary = "one line per stack, 'root;caller;leaf 12', as for flame graph scripts",
        .keeps = "In: the ends _[k], _[j] and _[i] of a frame become kernel, generated and inlined "
                 "code; lines with two numbers, as of a difference, become the sample types "
                 "'before' and 'after'. Out: names and the values of one sample type",
        .detect = hone_collapsed_detect,
        .read = hone_collapsed_read,
        .write = hone_collapsed_write,
    },
    {
        .name = "perf-script",
        .extensions = "",
        .summary = "what `perf script` prints",
        .keeps =
            "In: names, modules, addresses, inlined calls and source lines as far as they were "
            "printed; each event is a sample type with its periods, beside the number of "
            "samples; labels 'thread', 'pid', 'tid' and, of several events, 'event'",
        .detect = hone_perf_script_detect,
        .read = hone_perf_script_read,
    },
    {
        .name = "speedscope",
        .extensions = "speedscope.json",
        .summary = "speedscope's own JSON",
        .keeps = "In: each unit becomes a sample type, with times in nanoseconds; several profiles "
                 "are told apart by the label 'profile'. Out: functions, files and one profile for "
                 "each sample type; labels, addresses and modules are left out",
        .detect = hone_speedscope_detect,
        .read = hone_speedscope_read,
        .write = hone_speedscope_write,
    },
    {
        .name = "chrome",
        .extensions = "trace.json",
        .summary = "Chrome's trace events, as JSON",
        .keeps = "In: the samples of V8's profiler, or samples with stack frames, or else the time "
                 "that spans took themselves. Out: the call tree of each thread as spans, 1 of the "
                 "value as 1 ns, of one sample type",
        .detect = hone_chrome_detect,
        .read = hone_chrome_read,
        .write = hone_chrome_write,
    },
    {
        .name = "cpuprofile",
        .extensions = "",
        .summary = "CPU profiles of V8: Chrome, Node.js",
        .keeps = "In: functions, scripts and the line where a function begins; samples and time",
        .detect = hone_cpuprofile_detect,
        .read = hone_cpuprofile_read,
    },
    {
        .name = "callgrind",
        .extensions = "callgrind",
        .summary = "Callgrind's call graph",
        .keeps = "In: what each line cost itself, exactly; stacks are estimated from who called "
                 "whom, and a comment of the profile says so. Out: each line and each call with "
                 "its callee, for all sample types; whole stacks, labels and addresses are left "
                 "out",
        .detect = hone_callgrind_detect,
        .read = hone_callgrind_read,
        .write = hone_callgrind_write,
    },
    {
        .name = "jemalloc",
        .extensions = "",
        .summary = "jemalloc's heap profiles, heap_v2",
        .keeps = "In: addresses and modules; allocated and used memory, scaled up from the samples "
                 "as jeprof does",
        .detect = hone_jemalloc_detect,
        .read = hone_jemalloc_read,
    },
    {
        .name = "heaptrack",
        .extensions = "",
        .summary = "heaptrack's data",
        .keeps =
            "In: names, modules, addresses, inlined calls and lines; what was allocated, freed "
            "at once (temporary), in use at the peak and in use at the end",
        .detect = hone_heaptrack_detect,
        .read = hone_heaptrack_read,
    },
    {
        .name = "firefox",
        .extensions = "firefox.json profile.json",
        .summary = "Firefox Profiler's processed format",
        .keeps = "In: version 29 and later; names, files, lines, threads, and what samples weigh. "
                 "Out: version 61, one track for each thread, one sample type; times of samples "
                 "are made up, for a profile has none",
        .detect = hone_firefox_detect,
        .read = hone_firefox_read,
        .write = hone_firefox_write,
    },
    {
        .name = "gecko",
        .extensions = "",
        .summary = "Firefox's profiler before Firefox Profiler's front end processed it; perf "
                   "script report gecko",
        .keeps = "In: names, files and lines as far as a frame's text has them, addresses with the "
                 "libraries they lie in; threads of all processes; each sample counts 1, and takes "
                 "the CPU time that was measured for it",
        .detect = hone_gecko_detect,
        .read = hone_gecko_read,
    },
    {
        .name = "csv",
        .extensions = "csv",
        .summary = "a table with a row for each stack and its labels",
        .keeps =
            "Both ways: names of functions, labels, all sample types; files, lines and modules "
            "are left out",
        .detect = hone_csv_detect,
        .read = hone_csv_read,
        .write = hone_csv_write,
    },
    {
        .name = "csv-functions",
        .extensions = "functions.csv",
        .summary = "a table with a row for each function",
        .keeps = "Out: name, file, module, and for each sample type what it took itself (flat) and "
                 "with all it called (cum)",
        .write = hone_csv_functions_write,
    },
    {
        .name = "json",
        .extensions = "json",
        .summary = "functions with their totals, and all samples, as JSON",
        .keeps = "Both ways: everything but addresses, build ids and columns",
        .detect = hone_json_profile_detect,
        .read = hone_json_profile_read,
        .write = hone_json_profile_write,
    },
    {
        .name = "otlp",
        .extensions = "otlp",
        .summary = "OpenTelemetry's profiles (v1development of 1.10 and 1.11), as protobuf",
        .keeps = "In: the profiles of a file become sample types; attributes of samples, profiles, "
                 "scopes and resources become labels, links the labels 'trace_id' and 'span_id'; "
                 "values at several times are added up and the times left out, as are attributes "
                 "of mappings and locations, which a comment counts. Out: everything, what OTLP "
                 "has no field for in attributes pprof.*",
        .detect = hone_otlp_detect,
        .read = hone_otlp_read,
        .write = hone_otlp_write,
    },
    {
        .name = "otlp-json",
        .extensions = "otlp.json",
        .summary = "the same as JSON (OTLP/JSON)",
        .keeps = "Both ways: as otlp",
        .detect = hone_otlp_json_detect,
        .read = hone_otlp_json_read,
        .write = hone_otlp_json_write,
    },
    {0},
};

const struct hone_convert_format *hone_convert_format_named(const char *name)
{
    for (const struct hone_convert_format *format = hone_convert_formats; format->name; format++)
        if (strcmp(format->name, name) == 0)
            return format;
    return NULL;
}

static bool ends_with(const char *text, size_t len, const char *end, size_t end_len)
{
    return len > end_len && text[len - end_len - 1] == '.' &&
           memcmp(text + len - end_len, end, end_len) == 0;
}

// The length of the format's longest extension that the name has; 0 when it has none.
static size_t extension_len(const struct hone_convert_format *format, const char *name, size_t len)
{
    size_t longest = 0;
    for (const char *at = format->extensions; *at;) {
        size_t word = strcspn(at, " ");
        if (word > longest && ends_with(name, len, at, word))
            longest = word;
        at += word;
        at += strspn(at, " ");
    }
    return longest;
}

const struct hone_convert_format *hone_convert_format_for(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t len = strlen(name);
    size_t bare = ends_with(name, len, "gz", 2) ? len - 3 : len;
    const struct hone_convert_format *best = NULL;
    size_t longest = 0;
    for (const struct hone_convert_format *format = hone_convert_formats; format->name; format++) {
        if (!format->write)
            continue;
        size_t whole = extension_len(format, name, len);
        size_t packed = extension_len(format, name, bare);
        size_t fits = whole > packed ? whole : packed;
        if (fits > longest) {
            longest = fits;
            best = format;
        }
    }
    return best;
}
