// Measures decoding, the top view and peak memory on a generated profile, beside `go tool pprof
// -top` on the same file when it is there.
//
//     profile_bench [STACKS [DEPTH [FUNCTIONS [FILE]]]]      (20000 40 5000)
//     profile_bench --generate FILE STACKS DEPTH FUNCTIONS SEED
//
// The second only makes a profile, for bench/profiles; with another seed its stacks are others out
// of the same program.
//
// The profile is a random call graph of the kind that programs have: few callees per function, some
// taken far more often than others, so stacks share their roots and differ near their leaves; some
// calls are inlined. Its stacks are as different as can be, so its file is larger than a real one.
#include "profile/profile.h"

#include "base/base.h"
#include "view/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 5, CALLEES = 8 };

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double now_ms(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6;
}

// One location per call site: function f calls its i-th callee from line 10 + i, and its leaf code
// is at line 5.
static void add_places(struct hone_profile *p, uint32_t function_count)
{
    uint32_t mapping = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.start = 0x400000,
                                          .limit = 0x400000 + (uint64_t)function_count * 256,
                                          .file = hone_profile_intern(p, "/usr/bin/generated"),
                                          .build_id = hone_profile_intern(p, "0123456789abcdef"),
                                          .flags = HONE_PROFILE_HAS_FUNCTIONS |
                                                   HONE_PROFILE_HAS_FILENAMES |
                                                   HONE_PROFILE_HAS_LINE_NUMBERS});
    for (uint32_t f = 0; f < function_count; f++) {
        char name[64];
        char file[64];
        (void)snprintf(name, sizeof name, "module%u::Class%u::function_%u", f % 17, f % 301, f);
        (void)snprintf(file, sizeof file, "src/module%u/class%u.cpp", f % 17, f % 301);
        uint32_t function = hone_profile_add_function(
            p, &(struct hone_profile_function){.name = hone_profile_intern(p, name),
                                               .file = hone_profile_intern(p, file),
                                               .start_line = 1});
        for (uint32_t site = 0; site <= CALLEES; site++) {
            struct hone_profile_line lines[2] = {
                {.function = function, .number = site < CALLEES ? 10 + site : 5}};
            uint32_t inlined = f && f % 4 == 0 && site >= CALLEES - 1;
            if (inlined) { // every fourth function has the one before it inlined in two places
                lines[1] = lines[0];
                lines[0] = (struct hone_profile_line){.function = function - 1, .number = 6};
            }
            (void)hone_profile_add_location(
                p, &(struct hone_profile_location){.mapping = mapping,
                                                   .address = 0x400000 + f * 256 + site * 8,
                                                   .lines = lines,
                                                   .line_count = 1 + inlined});
        }
    }
}

// Whom a call site calls: always the same function, anywhere in the program.
static uint32_t callee_of(uint32_t function, uint32_t site)
{
    uint64_t mixed = (function * CALLEES + site + 1) * 0x9e3779b97f4a7c15u;
    return (uint32_t)((mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9u >> 33);
}

static uint32_t add_stack(struct hone_profile *p, uint32_t depth, uint32_t function_count)
{
    uint32_t frames[4096];
    uint32_t function = 0;
    for (uint32_t level = 0; level < depth; level++) {
        // The minimum of two draws: the first callees are taken more often.
        uint32_t a = (uint32_t)(next_random() % CALLEES);
        uint32_t b = (uint32_t)(next_random() % CALLEES);
        uint32_t site = level + 1 < depth ? (a < b ? a : b) : CALLEES;
        frames[depth - 1 - level] = 1 + function * (CALLEES + 1) + site;
        function = callee_of(function, site) % function_count;
    }
    return hone_profile_add_stack(p, frames, depth);
}

static int generate(const char *path, uint32_t stacks, uint32_t depth, uint32_t functions)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = hone_profile_new();
    if (!p)
        return -1;
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    hone_profile_set_period(p, "cpu", "nanoseconds", 1000000);
    p->time_ns = 1700000000000000000;
    p->duration_ns = 60000000000;
    add_places(p, functions);
    for (uint64_t tries = 0; p->samples.count < stacks && tries < (uint64_t)stacks * 10; tries++) {
        int64_t count = 1 + (int64_t)(next_random() % 4);
        (void)hone_profile_add_sample(p, add_stack(p, depth, functions),
                                      (int64_t[]){count, count * 1000000}, NULL, 0);
    }
    struct hone_error err = {0};
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *used = NULL; // as programs write them
    int r = hone_profile_compact(p, &used, &err);
    r = r ? r : hone_profile_write(used, path, &err);
    if (r)
        hone_error_print(&err);
    return r;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

struct times {
    double decode[RUNS];
    double top[RUNS];
};

static int measure(const char *path, struct times *times)
{
    for (int run = 0; run < RUNS; run++) {
        struct hone_error err = {0};
        HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = NULL;
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
        double start = now_ms();
        int r = hone_profile_read(path, NULL, &p, &err);
        double read = now_ms();
        r = r ? r : hone_text_top(p, NULL, &text, &err);
        double shown = now_ms();
        if (r) {
            hone_error_print(&err);
            return r;
        }
        times->decode[run] = read - start;
        times->top[run] = shown - read;
        if (!run)
            (void)printf("%u samples, %u stacks, %u frames, %u locations, %u functions\n",
                         p->samples.count, p->stacks.count, p->frames.count, p->locations.count - 1,
                         p->functions.count - 1);
    }
    qsort(times->decode, RUNS, sizeof times->decode[0], compare);
    qsort(times->top, RUNS, sizeof times->top[0], compare);
    return 0;
}

// Runs the measurement in a process of its own, so that its memory is its own.
static int measure_apart(const char *path)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct times times;
        if (measure(path, &times))
            _exit(1);
        struct rusage usage;
        (void)getrusage(RUSAGE_SELF, &usage);
        (void)printf("hone        decode %8.1f ms (%.1f to %.1f)   top %8.1f ms (%.1f to %.1f)   "
                     "peak %ld MB\n",
                     times.decode[RUNS / 2], times.decode[0], times.decode[RUNS - 1],
                     times.top[RUNS / 2], times.top[0], times.top[RUNS - 1],
                     usage.ru_maxrss / 1024);
        (void)fflush(stdout);
        _exit(0);
    }
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void measure_pprof(const char *path)
{
    char command[512];
    (void)snprintf(command, sizeof command,
                   "go tool pprof -top -symbolize=none '%s' >/dev/null 2>&1", path);
    if (system("go version >/dev/null 2>&1") != 0) {
        (void)printf("go tool pprof is not here (package golang-go), so no comparison\n");
        return;
    }
    double start = now_ms();
    if (system(command) != 0)
        return;
    struct rusage usage;
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    (void)printf("go pprof    top, whole command %8.1f ms   peak %ld MB\n", now_ms() - start,
                 usage.ru_maxrss / 1024);
}

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

static bool is_size(uint32_t stacks, uint32_t depth, uint32_t functions)
{
    return stacks && depth && depth <= 4096 && functions;
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "--generate") == 0) {
        random_state ^= number(argv[6]) * 0x9e3779b97f4a7c15u;
        bool good = is_size(number(argv[3]), number(argv[4]), number(argv[5]));
        return !good || generate(argv[2], number(argv[3]), number(argv[4]), number(argv[5]));
    }
    uint32_t stacks = argc > 1 ? number(argv[1]) : 20000;
    uint32_t depth = argc > 2 ? number(argv[2]) : 40;
    uint32_t functions = argc > 3 ? number(argv[3]) : 5000;
    if (!is_size(stacks, depth, functions)) {
        (void)fprintf(stderr, "usage: profile_bench [STACKS [DEPTH [FUNCTIONS [FILE]]]]\n");
        return 2;
    }
    char path[256];
    (void)snprintf(path, sizeof path, "/tmp/profile_bench.%d.prof", (int)getpid());
    const char *file = argc > 4 ? argv[4] : path;
    int r = generate(file, stacks, depth, functions) ? 1 : measure_apart(file);
    if (!r)
        measure_pprof(file);
    if (argc <= 4)
        (void)unlink(path);
    return r;
}
