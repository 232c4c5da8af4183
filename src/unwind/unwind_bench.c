// What a walk costs, beside glibc's backtrace(), libunwind and following frame pointers; and what
// it would cost to compile all rows of the loaded modules ahead instead of finding them on demand.
//
//   unwind_bench      a table of medians, with the tenth and ninetieth percentile
#include "unwind/row.h"
#include "unwind/unwind.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef HONE_WITH_LIBUNWIND
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#endif

enum { DEPTH_MAX = 512, RUNS = 201, WALKS = 100 };

static struct hone_modules modules;
static struct hone_unwinder unwinder;
static struct hone_stack stack;
static struct hone_trail trail;
static alignas(64) uint8_t cache[HONE_UNWIND_CACHE_BYTES];
static uint64_t addresses[DEPTH_MAX];
static void *pointers[DEPTH_MAX];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The ways to walk. Each returns the number of frames.

static size_t walk_rows(void)
{
    struct hone_registers registers;
    struct hone_walk walk;
    hone_registers_here(&registers);
    return hone_unwind_walk(&unwinder, &registers, &stack, 1, addresses, DEPTH_MAX, &walk);
}

static size_t walk_rows_cold(void)
{
    memset(cache, 0, sizeof cache);
    return walk_rows();
}

static size_t clear_only(void) // what to take off walk_rows_cold()
{
    memset(cache, 0, sizeof cache);
    __asm__ volatile("" ::: "memory");
    return 0;
}

static size_t walk_unknown_stack(void)
{
    struct hone_registers registers;
    struct hone_walk walk;
    hone_registers_here(&registers);
    return hone_unwind_walk(&unwinder, &registers, NULL, 0, addresses, DEPTH_MAX, &walk);
}

static size_t walk_again(void)
{
    struct hone_registers registers;
    struct hone_walk walk;
    hone_registers_here(&registers);
    return hone_unwind_rewalk(&unwinder, &trail, &registers, &stack, 1, addresses, DEPTH_MAX,
                              &walk);
}

// Asked for by name: libunwind has a backtrace() too, and would be taken for it.
static int (*glibc_backtrace)(void **, int);

static size_t walk_glibc(void)
{
    return (size_t)glibc_backtrace(pointers, DEPTH_MAX);
}

#ifdef HONE_WITH_LIBUNWIND
static size_t walk_libunwind(void)
{
    return (size_t)unw_backtrace(pointers, DEPTH_MAX);
}
#endif

static size_t walk_frame_pointers(void)
{
    size_t count = 0;
    const uint64_t *frame = __builtin_frame_address(0);
    while (count < DEPTH_MAX && (uint64_t)frame >= stack.low && (uint64_t)frame < stack.high - 16) {
        addresses[count++] = frame[1];
        if ((const uint64_t *)frame[0] <= frame)
            break;
        frame = (const uint64_t *)frame[0];
    }
    return count;
}

// Stacks to walk: sixteen functions with different frames, that call one another in an order drawn
// from `seed`, once as compilers make them and once with frame pointers.

typedef void leaf_function(void);
static leaf_function *leaf;
static uint64_t seed;

static unsigned draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % 16;
}

typedef void frame_function(int depth);
static frame_function *const plain[16], *const linked[16];

#define FRAME(name, table, bytes, attribute)                                                       \
    __attribute__((noinline, attribute)) static void name(int depth)                               \
    {                                                                                              \
        __attribute__((unused)) volatile char room[bytes];                                         \
        room[0] = 0;                                                                               \
        if (depth == 0)                                                                            \
            leaf();                                                                                \
        else                                                                                       \
            table[draw()](depth - 1);                                                              \
        room[(bytes)-1] = 0;                                                                       \
    }
#define FRAMES(prefix, table, attribute)                                                           \
    FRAME(prefix##0, table, 8, attribute)                                                          \
    FRAME(prefix##1, table, 24, attribute)                                                         \
    FRAME(prefix##2, table, 40, attribute)                                                         \
    FRAME(prefix##3, table, 56, attribute)                                                         \
    FRAME(prefix##4, table, 72, attribute)                                                         \
    FRAME(prefix##5, table, 88, attribute)                                                         \
    FRAME(prefix##6, table, 104, attribute)                                                        \
    FRAME(prefix##7, table, 120, attribute)                                                        \
    FRAME(prefix##8, table, 136, attribute)                                                        \
    FRAME(prefix##9, table, 152, attribute)                                                        \
    FRAME(prefix##10, table, 168, attribute)                                                       \
    FRAME(prefix##11, table, 184, attribute)                                                       \
    FRAME(prefix##12, table, 200, attribute)                                                       \
    FRAME(prefix##13, table, 216, attribute)                                                       \
    FRAME(prefix##14, table, 232, attribute)                                                       \
    FRAME(prefix##15, table, 248, attribute)                                                       \
    static frame_function *const table[16] = {prefix##0,  prefix##1,  prefix##2,  prefix##3,       \
                                              prefix##4,  prefix##5,  prefix##6,  prefix##7,       \
                                              prefix##8,  prefix##9,  prefix##10, prefix##11,      \
                                              prefix##12, prefix##13, prefix##14, prefix##15};
FRAMES(plain_, plain, optimize("omit-frame-pointer"))
FRAMES(linked_, linked, optimize("no-omit-frame-pointer"))

static size_t (*walk_under_test)(void);
static size_t frames_seen;
static double samples[RUNS];
static size_t sample_count;

__attribute__((optimize("no-omit-frame-pointer"))) static void measure_repeated(void)
{
    (void)walk_under_test();
    for (sample_count = 0; sample_count < RUNS; sample_count++) {
        uint64_t begin = now_ns();
        for (int i = 0; i < WALKS; i++)
            frames_seen = walk_under_test();
        samples[sample_count] = (double)(now_ns() - begin) / WALKS;
    }
}

static void measure_once(void)
{
    uint64_t begin = now_ns();
    frames_seen = walk_under_test();
    samples[sample_count++] = (double)(now_ns() - begin);
}

static double percentile(double part)
{
    qsort(samples, sample_count, sizeof samples[0], by_value);
    return samples[(size_t)(part * (double)(sample_count - 1))];
}

static void report(const char *name, double off_ns)
{
    double median = percentile(0.5) - off_ns;
    printf("  %-34s %4zu frames %9.1f ns (%.1f to %.1f) %8.2f ns/frame\n", name, frames_seen,
           median, percentile(0.1) - off_ns, percentile(0.9) - off_ns,
           frames_seen ? median / (double)frames_seen : 0);
}

static double repeat(const char *name, size_t (*walk)(void), int depth, double off_ns)
{
    walk_under_test = walk;
    leaf = measure_repeated;
    seed = 88172645463325252u;
    linked[0](depth);
    if (name)
        report(name, off_ns);
    return percentile(0.5);
}

// Another stack for each walk, so that no branch can be learnt.
static void vary(const char *name, size_t (*walk)(void), int depth, double off_ns)
{
    walk_under_test = walk;
    leaf = measure_once;
    seed = 88172645463325252u;
    for (int i = 0; i < 2000; i++) { // rows into the cache
        sample_count = 0;
        plain[0](depth);
    }
    for (sample_count = 0; sample_count < RUNS;)
        plain[0](depth);
    report(name, off_ns);
}

static void nothing_measured(void)
{
    measure_once();
}

static size_t no_walk(void)
{
    __asm__ volatile("" ::: "memory");
    return 0;
}

// All rows of one module, as an array that is sorted by construction.

struct table_row {
    uint64_t address, row;
};

struct table {
    struct table_row *rows;
    size_t count, room;
    const struct hone_cfi *cfi;
    bool signal_frame;
};

static void add_row(void *context, uint64_t from, uint64_t until, const struct hone_rules *rules)
{
    (void)until;
    struct table *table = context;
    if (table->count == table->room) {
        table->room = table->room ? 2 * table->room : 1024;
        table->rows = realloc(table->rows, table->room * sizeof table->rows[0]);
        if (!table->rows)
            abort();
    }
    uint64_t row = hone_row_pack(table->cfi, rules, table->signal_frame);
    table->rows[table->count++] = (struct table_row){from, row};
}

static int by_address(const void *a, const void *b)
{
    const struct table_row *x = a, *y = b;
    return (x->address > y->address) - (x->address < y->address);
}

static uint64_t search(const struct table *table, uint64_t address)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->rows[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? table->rows[low - 1].row : 0;
}

static void compile_ahead(const struct hone_module *module)
{
    struct table table = {.cfi = &module->cfi};
    uint64_t begin = now_ns();
    for (uint64_t next = module->cfi.eh_frame; next;) {
        struct hone_fde fde;
        int r = hone_cfi_read(&module->cfi, next, &fde, &next);
        table.signal_frame = fde.signal_frame;
        if (r == 0)
            (void)hone_cfi_each_row(&module->cfi, &fde, add_row, &table);
    }
    qsort(table.rows, table.count, sizeof table.rows[0], by_address);
    uint64_t compiled_ns = now_ns() - begin;
    if (table.count < 20000) {
        free(table.rows);
        return;
    }

    // The same addresses by both: all over the module, each once.
    enum { LOOKUPS = 20000 };
    uint64_t sum = 0, searched_ns, found_ns;
    begin = now_ns();
    for (size_t i = 0; i < LOOKUPS; i++)
        sum += search(&table, table.rows[i * 7919 % table.count].address);
    searched_ns = now_ns() - begin;
    begin = now_ns();
    for (size_t i = 0; i < LOOKUPS; i++) {
        uint64_t pc = table.rows[i * 7919 % table.count].address, until;
        struct hone_fde fde;
        struct hone_rules rules;
        if (hone_cfi_find(&module->cfi, pc, &fde) == 0 &&
            hone_cfi_rules(&module->cfi, &fde, pc, &rules, &until) == 0)
            sum -= hone_row_pack(&module->cfi, &rules, fde.signal_frame);
    }
    found_ns = now_ns() - begin;
    const char *name = strrchr(module->path, '/');
    printf(
        "  %-26s %8zu rows, %6.1f ms, %5.1f MB; a row anywhere: %4.0f ns, on demand %4.0f ns%s\n",
        name ? name + 1 : module->path, table.count, (double)compiled_ns / 1e6,
        (double)(table.count * sizeof table.rows[0]) / 1e6, (double)searched_ns / LOOKUPS,
        (double)found_ns / LOOKUPS, sum ? " (some differ)" : "");
    free(table.rows);
}

int main(void)
{
    static const char *const large[] = {"libLLVM-14.so.1", "libpython3.11.so.1.0", "libcrypto.so.3",
                                        "libstdc++.so.6"};
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(large); i++)
        (void)dlopen(large[i], RTLD_LAZY);
    *(void **)&glibc_backtrace = dlsym(dlopen("libc.so.6", RTLD_LAZY), "backtrace");
    pthread_attr_t attributes;
    void *low;
    size_t size;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &low, &size);
    stack = (struct hone_stack){(uint64_t)low, (uint64_t)low + size};
    uint64_t begin = now_ns();
    hone_modules_refresh(&modules);
    double refreshed_us = (double)(now_ns() - begin) / 1e3;
    hone_unwind_init(&unwinder, &modules, cache, sizeof cache);

    for (int depth = 8; depth <= 64; depth *= depth == 8 ? 2 : 4) {
        const int calls = depth - 8 > 0 ? depth - 8 : 0; // main() and its callers are there already
        printf("the same stack again, depth %d\n", depth);
        repeat("rows, warm", walk_rows, calls, 0);
        repeat("rows, warm, stack unknown", walk_unknown_stack, calls, 0);
        repeat("rows, verified reuse", walk_again, calls, 0);
        double clear_ns = repeat(NULL, clear_only, calls, 0);
        repeat("rows, cold", walk_rows_cold, calls, clear_ns);
        repeat("frame pointers", walk_frame_pointers, calls, 0);
        repeat("glibc backtrace()", walk_glibc, calls, 0);
#ifdef HONE_WITH_LIBUNWIND
        repeat("libunwind unw_backtrace()", walk_libunwind, calls, 0);
#endif
        walk_under_test = no_walk;
        leaf = nothing_measured;
        for (sample_count = 0; sample_count < RUNS;)
            plain[0](calls);
        double clock_ns = percentile(0.5);
        printf("another stack each time, depth %d, no frame pointers\n", depth);
        vary("rows, warm", walk_rows, calls, clock_ns);
        vary("rows, verified reuse", walk_again, calls, clock_ns);
        vary("glibc backtrace()", walk_glibc, calls, clock_ns);
#ifdef HONE_WITH_LIBUNWIND
        vary("libunwind unw_backtrace()", walk_libunwind, calls, clock_ns);
#endif
    }

    printf("%zu modules listed in %.0f us; compiling all rows ahead:\n",
           hone_modules_count(&modules), refreshed_us);
    for (size_t i = 0; i < hone_modules_count(&modules); i++)
        compile_ahead(hone_modules_at(&modules, i));
    return 0;
}
