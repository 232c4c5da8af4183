// How fast addresses become names, beside llvm-symbolizer, addr2line and eu-addr2line in the same
// run: the same random addresses inside functions, each tool started anew (cold), ours also asked
// again in the same process (warm). CPU time (user and system), which a busy machine disturbs less
// than the clock: median, spread and number of runs.
//
//     symbol_bench [FILE [ADDRESSES [RUNS]]]      /usr/bin/python3 5000 5; libc when FILE is
//     missing
#include "base/base.h"
#include "elf/elf.h"
#include "elf/function.h"
#include "symbol/symbol.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { RUNS_MAX = 101 };

struct bench {
    const char *path;
    char debug_path[4096];
    char list[64]; // file of addresses
    uint64_t *addresses;
    size_t count;
    int runs;
};

static double cpu_ms(int who)
{
    struct rusage used;
    (void)getrusage(who, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double report(const char *what, double *ms, int runs, size_t count, double ours)
{
    qsort(ms, (size_t)runs, sizeof *ms, by_value);
    double median = ms[runs / 2];
    (void)printf("%-34s %10.2f ms  (%.2f to %.2f, %d runs)  %9.0f ns each", what, median, ms[0],
                 ms[runs - 1], runs, median * 1e6 / (double)count);
    if (ours > 0)
        (void)printf("  %6.1f times ours", median / ours);
    (void)printf("\n");
    return median;
}

// Random addresses inside functions, in no order: as a profile has them.
static int choose(struct bench *bench, struct hone_symbol_module *module)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    const struct hone_symbol_facts *facts = hone_symbol_facts(module);
    struct hone_elf_functions functions = {0};
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    const char *from = facts->debug_path ? facts->debug_path : bench->path;
    if (hone_elf_open(from, &elf, NULL) || hone_elf_functions(&arena, elf, NULL, &functions) < 0 ||
        !functions.count)
        return -1;
    (void)snprintf(bench->debug_path, sizeof bench->debug_path, "%s", from);
    srand(1);
    (void)snprintf(bench->list, sizeof bench->list, "/tmp/hone-symbol-bench-%d", (int)getpid());
    HONE_CLEANUP(hone_fclosep) FILE *list = fopen(bench->list, "we");
    for (size_t i = 0; list && i < bench->count; i++) {
        const struct hone_elf_function *function =
            &functions.at[((size_t)rand() * 32768 + (size_t)rand()) % functions.count];
        uint64_t len = function->end - function->start;
        bench->addresses[i] = function->start + (uint64_t)rand() % len;
        (void)fprintf(list, "0x%" PRIx64 "\n", bench->addresses[i]);
    }
    return list ? 0 : -1;
}

static int look_up_all(const struct bench *bench, struct hone_symbol_module *module,
                       size_t *ret_frames)
{
    *ret_frames = 0;
    for (size_t i = 0; i < bench->count; i++) {
        struct hone_symbol_frames frames;
        int r = hone_symbol_lookup(module, bench->addresses[i], &frames);
        if (r < 0)
            return r;
        *ret_frames += r == 0 ? frames.count : 0;
    }
    return 0;
}

static double time_ours(const struct bench *bench)
{
    double cold[RUNS_MAX], warm[RUNS_MAX];
    size_t frames = 0;
    for (int run = 0; run < bench->runs; run++) {
        HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
        struct hone_symbol_module *module;
        double start = cpu_ms(RUSAGE_SELF);
        if (hone_symbolizer_new(NULL, &symbolizer, NULL) ||
            hone_symbolizer_module(symbolizer, bench->path, NULL, 0, &module) ||
            look_up_all(bench, module, &frames))
            return -1;
        cold[run] = cpu_ms(RUSAGE_SELF) - start;
        start = cpu_ms(RUSAGE_SELF);
        if (look_up_all(bench, module, &frames))
            return -1;
        warm[run] = cpu_ms(RUSAGE_SELF) - start;
    }
    (void)printf("%zu addresses, %zu frames, %s\n", bench->count, frames, bench->debug_path);
    double median = report("ours, cold, in one process", cold, bench->runs, bench->count, 0);
    (void)report("ours, warm", warm, bench->runs, bench->count, 0);
    return median;
}

// A whole process from start to end. Returns its median, or -1 when the tool is not there.
static double time_command(const struct bench *bench, const char *what, const char *command,
                           double ours)
{
    double ms[RUNS_MAX];
    for (int run = 0; run < bench->runs; run++) {
        double start = cpu_ms(RUSAGE_CHILDREN);
        int status = system(command);
        ms[run] = cpu_ms(RUSAGE_CHILDREN) - start;
        // eu-addr2line exits with 1 when one address has no line.
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
            (void)printf("%-34s failed or is not installed\n", what);
            return -1;
        }
    }
    return report(what, ms, bench->runs, bench->count, ours);
}

static void time_others(const struct bench *bench, const char *own_path)
{
    char command[16384];
    const char *slash = strrchr(own_path, '/');
    int folder = slash ? (int)(slash - own_path) : 1;
    (void)snprintf(command, sizeof command, "%.*s/symbol_print -C %s < %s >/dev/null 2>&1", folder,
                   slash ? own_path : ".", bench->path, bench->list);
    double ours = time_command(bench, "symbol_print (ours as a process)", command, 0);
    (void)snprintf(command, sizeof command, "llvm-symbolizer --obj=%s < %s >/dev/null 2>&1",
                   bench->debug_path, bench->list);
    (void)time_command(bench, "llvm-symbolizer", command, ours);
    (void)snprintf(command, sizeof command, "addr2line -Cifae %s < %s >/dev/null 2>&1",
                   bench->debug_path, bench->list);
    (void)time_command(bench, "addr2line (binutils)", command, ours);
    (void)snprintf(command, sizeof command, "eu-addr2line -C -i -f -a -e %s < %s >/dev/null 2>&1",
                   bench->debug_path, bench->list);
    (void)time_command(bench, "eu-addr2line (elfutils' libdw)", command, ours);
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .path = argc > 1 ? argv[1] : "/usr/bin/python3",
        .count = argc > 2 ? strtoul(argv[2], NULL, 10) : 5000,
        .runs = argc > 3 ? atoi(argv[3]) : 5,
    };
    if (argc < 2 && access(bench.path, R_OK) != 0)
        bench.path = "/lib/x86_64-linux-gnu/libc.so.6";
    if (bench.runs < 1 || bench.runs > RUNS_MAX || !bench.count)
        return 2;
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
    struct hone_symbol_module *module;
    bench.addresses = calloc(bench.count, sizeof *bench.addresses);
    if (!bench.addresses || hone_symbolizer_new(NULL, &symbolizer, NULL) ||
        hone_symbolizer_module(symbolizer, bench.path, NULL, 0, &module) ||
        choose(&bench, module)) {
        (void)fprintf(stderr, "cannot find functions in '%s'\n", bench.path);
        return 1;
    }
    if (time_ours(&bench) >= 0)
        time_others(&bench, argv[0]);
    (void)unlink(bench.list);
    free(bench.addresses);
    return 0;
}
