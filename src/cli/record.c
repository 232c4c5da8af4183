// hone record: runs a program and records it. What the program prints and how it ends stay its own;
// ours is a progress line on a terminal and a short table at the end, both on stderr.
#include "cli/commands.h"
#include "cli/record_print.h"
#include "cli/stuck.h"

#include "base/cleanup.h"
#include "capture/capture.h"
#include "cli/pids.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct record_options {
    const char *directory;
    int64_t rate_hz;
    int64_t wall_hz;
    int64_t heap_rate;
    bool heap_maps;
    int64_t mutex_fraction;
    int64_t block_rate_ns;
    int64_t duration_ns;
    int64_t memory_bytes;
    int64_t depth;
    unsigned types;
    bool cpu_only, memory_only, profile; // go's words for types
    unsigned engine;
    const char *pids;
    bool all;
    bool debuginfod;
    unsigned wall_engine;
    unsigned leaks;
    bool lock_order;
    int64_t deadlock_ns;
    int stuck_fd; // where deadlocks are told; -1: nobody looks for them
    bool quiet;
};

static const struct hone_choice engines[] = {
    {"auto", HONE_ENGINE_NONE, false},
    {"perf-trap", HONE_ENGINE_PERF_TRAP, false},
    {"perf-trap-user", HONE_ENGINE_PERF_TRAP_USER, false},
    {"perf-signal", HONE_ENGINE_PERF_SIGNAL, false},
    {"perf-signal-user", HONE_ENGINE_PERF_SIGNAL_USER, false},
    {"thread-timer", HONE_ENGINE_THREAD_TIMER, false},
    {"process-timer", HONE_ENGINE_PROCESS_TIMER, false},
    {"outside", HONE_ENGINE_PERF_OUTSIDE, false},
    {"perf-outside", HONE_ENGINE_PERF_OUTSIDE, true},
    {0},
};

// Each, and where it is not permitted, the next one.
enum { WALL_EBPF, WALL_SWITCHES, WALL_POLLING };
static const struct hone_choice wall_engines[] = {
    {"auto", WALL_EBPF, false},
    {"ebpf", WALL_EBPF, false},
    {"switches", WALL_SWITCHES, false},
    {"polling", WALL_POLLING, false},
    {0},
};

enum { LEAKS_AUTO, LEAKS_YES, LEAKS_NO };
static const struct hone_choice leaks[] = {
    {"auto", LEAKS_AUTO, false}, // when every block is counted
    {"yes", LEAKS_YES, false},
    {"no", LEAKS_NO, false},
    {0},
};

enum { HEAP_RATE = 512 << 10 }; // bytes, unless another one is given

static const struct hone_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = HONE_OPTION_TEXT,
     .value = "DIR",
     .complete = "directory",
     .at = offsetof(struct record_options, directory),
     .help = "folder to create for the recording (profiles/PROGRAM_DATE_TIME)"},
    {.name = "types",
     .letter = 't',
     .kind = HONE_OPTION_SET,
     .value = "LIST",
     .initial = "cpu,heap",
     .choices = hone_type_choices,
     .at = offsetof(struct record_options, types),
     .help = "what to record: cpu, wall (running or waiting, and for what), heap (what lives), "
             "allocs (all that was allocated), mutex (who holds locks that others wait for), block "
             "(who waited, where and for what), threads (where each is, and was created), all"},
    {.name = "cpuprofile",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct record_options, cpu_only),
     .help = "the type cpu only; with --memprofile both"},
    {.name = "memprofile",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct record_options, memory_only),
     .help = "the type heap only"},
    {.name = "profile",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct record_options, profile),
     .help = "the types cpu and heap"},
    {.name = "frequency",
     .letter = 'F',
     .kind = HONE_OPTION_COUNT,
     .value = "HZ",
     .initial = "1000",
     .minimum = 1,
     .maximum = 20000,
     .at = offsetof(struct record_options, rate_hz),
     .help = "samples per second of CPU time"},
    {.name = "wall-frequency",
     .kind = HONE_OPTION_COUNT,
     .value = "HZ",
     .initial = "100",
     .minimum = 1,
     .maximum = 1000,
     .at = offsetof(struct record_options, wall_hz),
     .help = "looks per second at the threads that wait, of the types wall and block"},
    {.name = "heap-rate",
     .kind = HONE_OPTION_SIZE,
     .value = "SIZE",
     .initial = "512KiB",
     .minimum = 1,
     .maximum = (int64_t)1 << 40,
     .at = offsetof(struct record_options, heap_rate),
     .help = "bytes allocated for each sample, on average, of the types heap and allocs"},
    {.name = "heap-maps",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct record_options, heap_maps),
     .help =
         "count what the program maps itself (mmap) as allocated, of the types heap and allocs"},
    {.name = "mutex-fraction",
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .initial = "10",
     .minimum = 1,
     .maximum = 1000000,
     .at = offsetof(struct record_options, mutex_fraction),
     .help = "record one in N releases of locks that others waited for, and fewer of locks that "
             "are wanted all the time, of the type mutex"},
    {.name = "block-rate",
     .kind = HONE_OPTION_COUNT,
     .value = "NS",
     .initial = "10000",
     .minimum = 1,
     .maximum = 1000000000,
     .at = offsetof(struct record_options, block_rate_ns),
     .help = "record each wait of NS nanoseconds or more, and a shorter one with the probability "
             "of its part, and fewer for locks that are wanted all the time, of the types mutex "
             "and block"},
    {.name = "leaks",
     .kind = HONE_OPTION_CHOICE,
     .value = "WHEN",
     .initial = "auto",
     .choices = leaks,
     .at = offsetof(struct record_options, leaks),
     .help =
         "look at the end for blocks that nothing points to any more: auto (with --heap-rate 1, "
         "where every block is known), yes, no"},
    {.name = "lock-order",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct record_options, lock_order),
     .help = "record in which order locks are taken, for 'hone deadlocks': costs a stack for each"},
    {.name = "deadlock-after",
     .kind = HONE_OPTION_TIME,
     .value = "TIME",
     .at = offsetof(struct record_options, deadlock_ns),
     .help = "tell who is stuck once somebody has waited for a lock so long (10s), and at SIGURG; "
             "0 is never"},
    {.name = "wall-engine",
     .kind = HONE_OPTION_CHOICE,
     .value = "NAME",
     .initial = "auto",
     .choices = wall_engines,
     .at = offsetof(struct record_options, wall_engine),
     .help =
         "how the wall clock is followed, and what blocks: auto, ebpf (the scheduler's perf "
         "events, and stacks of short waits by a program in the kernel), switches (without that), "
         "polling "
         "(of /proc)"},
    {.name = "duration",
     .letter = 'd',
     .kind = HONE_OPTION_TIME,
     .value = "TIME",
     .at = offsetof(struct record_options, duration_ns),
     .help = "stop recording after this time (30s, 5m, 1h) and let the program go on; 0 is until "
             "it ends"},
    {.name = "depth",
     .kind = HONE_OPTION_COUNT,
     .value = "FRAMES",
     .initial = "512",
     .minimum = 1,
     .maximum = HONE_STACK_MAX,
     .at = offsetof(struct record_options, depth),
     .help = "frames kept of a stack; what is cut is marked"},
    {.name = "memory",
     .kind = HONE_OPTION_SIZE,
     .value = "SIZE",
     .minimum = 4 << 20,
     .maximum = (int64_t)4 << 30,
     .at = offsetof(struct record_options, memory_bytes),
     .help = "memory shared with the program, at most (256MiB; 1GiB with --heap-rate 1); 4 MiB are "
             "used unless more than that is to be told at once"},
    {.name = "engine",
     .kind = HONE_OPTION_CHOICE,
     .value = "NAME",
     .initial = "auto",
     .choices = engines,
     .at = offsetof(struct record_options, engine),
     .help = "what interrupts the threads: auto, perf-trap, perf-trap-user, perf-signal, "
             "perf-signal-user, thread-timer, process-timer; outside: nothing is preloaded, perf "
             "events are read"},
    {.name = "pid",
     .letter = 'p',
     .kind = HONE_OPTION_TEXT,
     .value = "PID,…",
     .at = offsetof(struct record_options, pids),
     .help = "record processes that run, from outside, until they end, -d is over or Ctrl-C"},
    {.name = "all",
     .letter = 'a',
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct record_options, all),
     .help = "record the whole machine, from outside, until -d is over or Ctrl-C; needs root"},
    HONE_OPTION_ROW_DEBUGINFOD(.at = offsetof(struct record_options, debuginfod)),
    {.name = "quiet",
     .letter = 'q',
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct record_options, quiet),
     .help = "no progress and no table at the end"},
    {0},
};

static const struct hone_example examples[] = {
    {"hone record ./server --port 80", "record a program until it ends"},
    {"hone record -d 30s -o before ./server", "its first 30 s, into the folder before"},
    {"hone record -F 100 make -j8", "a whole build, with little cost"},
    {"hone record -d 10s -p 1234", "a process that runs already"},
    {"hone record -d 10s -a", "all that runs on this machine, as root"},
    {"hone record --heap-rate 1 ./server", "every block that it allocates is counted"},
    {"hone record -t cpu,wall ./server", "also what its threads wait for"},
    {"hone record -t mutex ./server", "who holds the locks that others wait for"},
    {"hone record -t block -d 10s -p 4242", "where a running process waits, and for what"},
    {"hone record -t cpu,threads ./server", "also who creates threads, and which never end"},
    {0},
};

static void on_finished(void *context, const char *directory,
                        const struct hone_profile *const profiles[HONE_CAPTURE_TYPES])
{
    const struct record_options *record = context;
    if (hone_record_terminal_is_free())
        hone_record_erase_progress();
    struct hone_error err = {0};
    if (hone_stuck_save(record->stuck_fd, directory, &err))
        hone_error_print(&err);
    const struct hone_record_end end = {.named = record->directory,
                                        .types = record->types,
                                        .lock_order = record->lock_order,
                                        .stuck = hone_stuck_count(record->stuck_fd)};
    if (!record->quiet)
        hone_record_print_end(&end, directory, profiles);
}

// Ends as the program ended, so that whoever waits for us sees what it would have seen of it.
static int end_as_program(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    // The program's core, if it left one, is the interesting one.
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, WTERMSIG(status));
    (void)signal(WTERMSIG(status), SIG_DFL);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)raise(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

static void on_notice(void *context, const char *line)
{
    const struct record_options *record = context;
    if (!record->quiet)
        (void)fprintf(stderr, "hone: %s\n", line);
}

static void on_stuck(void *context, pid_t pid, bool asked)
{
    const struct record_options *record = context;
    hone_stuck_look(record->stuck_fd, pid, asked, record->debuginfod);
}

// Either a program or what runs already. Returns how many processes were named, or HONE_MISUSED.
static int read_target(const struct record_options *record, const struct hone_operands *operands,
                       pid_t pids[HONE_PIDS_MAX], struct hone_error *err)
{
    if (!record->pids && !record->all)
        return operands->count ? 0
                               : hone_misused(err, "'hone record' needs a PROGRAM, --pid or --all; "
                                                   "see 'hone record --help'");
    if (operands->count)
        return hone_misused(err, "record: --pid and --all record what runs, not '%s'",
                            operands->at[0]);
    if (record->pids && record->all)
        return hone_misused(err, "record: give --pid or --all, not both");
    if (record->engine != HONE_ENGINE_NONE && record->engine != HONE_ENGINE_PERF_OUTSIDE)
        return hone_misused(err, "record: what runs already is recorded by --engine outside");
    return record->all ? 0 : hone_pids_read(record->pids, pids, err);
}
// The list of types is one for all commands; what can be recorded is known by the same bits.
_Static_assert((int)HONE_TYPE_CPU == 1 << HONE_CAPTURE_CPU, "one bit for each type");
_Static_assert((int)HONE_TYPE_WALL == 1 << HONE_CAPTURE_WALL, "one bit for each type");
_Static_assert((int)HONE_TYPE_HEAP == 1 << HONE_CAPTURE_HEAP, "one bit for each type");
_Static_assert((int)HONE_TYPE_ALLOCS == 1 << HONE_CAPTURE_ALLOCS, "one bit for each type");
_Static_assert((int)HONE_TYPE_MUTEX == 1 << HONE_CAPTURE_MUTEX, "one bit for each type");
_Static_assert((int)HONE_TYPE_BLOCK == 1 << HONE_CAPTURE_BLOCK, "one bit for each type");
_Static_assert((int)HONE_TYPE_THREADS == 1 << HONE_CAPTURE_THREADS, "one bit for each type");

// A list of types that is given besides is added to.
static unsigned types_of(const struct record_options *record)
{
    const unsigned both = HONE_TYPE_CPU | HONE_TYPE_HEAP;
    unsigned named = (record->cpu_only ? (unsigned)HONE_TYPE_CPU : 0) |
                     (record->memory_only ? (unsigned)HONE_TYPE_HEAP : 0) |
                     (record->profile ? both : 0);
    return !named ? record->types : record->types == both ? named : record->types | named;
}

// What is of the heap says nothing where the heap is not recorded.
static int check_heap_options(const struct record_options *record, struct hone_error *err)
{
    if (record->types & (HONE_TYPE_HEAP | HONE_TYPE_ALLOCS))
        return 0;
    const char *given = record->leaks == LEAKS_YES       ? "--leaks yes"
                        : record->heap_maps              ? "--heap-maps"
                        : record->heap_rate != HEAP_RATE ? "--heap-rate"
                                                         : NULL;
    return given ? hone_misused(err,
                                "record: %s is of the heap; add heap to the types that are "
                                "recorded",
                                given)
                 : 0;
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    struct record_options record = *(const struct record_options *)parsed;
    record.types = types_of(&record);
    pid_t pids[HONE_PIDS_MAX];
    int pid_count = read_target(&record, operands, pids, err);
    if (pid_count < 0)
        return pid_count;
    int misused = check_heap_options(&record, err);
    if (misused)
        return misused;
    if (record.lock_order && record.types & (HONE_TYPE_MUTEX | HONE_TYPE_BLOCK))
        return hone_misused(err, "record: --lock-order walks the stack for each lock, so its waits "
                                 "say nothing; leave the types mutex and block away");
    bool outside = record.engine == HONE_ENGINE_PERF_OUTSIDE;
    const unsigned inner = HONE_TYPE_HEAP | HONE_TYPE_ALLOCS | HONE_TYPE_MUTEX;
    if ((outside || record.pids || record.all) && !(record.types & ~inner))
        return hone_misused(err,
                            "record: %s cannot be seen from outside; ask for cpu, wall, block "
                            "or threads, or start the program with 'hone record'",
                            record.types & HONE_TYPE_MUTEX ? "who holds locks"
                                                           : "what is allocated");
    if (record.directory && !record.directory[0])
        return hone_misused(err, "record: -o needs the name of a folder, not ''");
    bool heap = record.types & (HONE_TYPE_HEAP | HONE_TYPE_ALLOCS);
    bool leaks_too =
        heap && !outside && !record.pids && !record.all &&
        (record.leaks == LEAKS_YES || (record.leaks == LEAKS_AUTO && record.heap_rate == 1));
    bool terminal = hone_record_terminal_is_free() && !record.quiet;
    HONE_CLEANUP(hone_fd_closep) int stuck_fd = record.deadlock_ns ? hone_stuck_open() : -1;
    record.stuck_fd = stuck_fd;
    if (record.deadlock_ns && stuck_fd < 0)
        return hone_error_set(err, stuck_fd, "cannot look for deadlocks");
    const struct hone_capture_options capture = {
        .size = sizeof capture,
        .types = record.types | (leaks_too ? 1u << HONE_CAPTURE_LEAKS : 0),
        .cpu_hz = (uint64_t)record.rate_hz,
        .wall_hz = (uint64_t)record.wall_hz,
        .heap_rate = (uint64_t)record.heap_rate,
        .heap_maps = record.heap_maps,
        .mutex_fraction = (uint64_t)record.mutex_fraction,
        .block_rate_ns = (uint64_t)record.block_rate_ns,
        .wall_engine = record.wall_engine,
        .lock_order = record.lock_order,
        .deadlock_ns = (uint64_t)record.deadlock_ns,
        .stuck = record.deadlock_ns ? on_stuck : NULL,
        .duration_ns = (uint64_t)record.duration_ns,
        .engine = outside ? HONE_ENGINE_NONE : (enum hone_engine)record.engine,
        .outside = outside,
        .pids = pids,
        .pid_count = (size_t)pid_count,
        .all = record.all,
        .directory = record.directory,
        .memory_bytes = (uint64_t)record.memory_bytes,
        .stack_max = (uint32_t)record.depth,
        .version = HONE_VERSION,
        .debuginfod = record.debuginfod,
        .progress = terminal ? hone_record_print_progress : NULL,
        .notice = on_notice,
        .finished = on_finished,
        .context = &record,
    };
    struct hone_capture_result result;
    int r = hone_capture_run(&capture, operands->at, &result, err);
    if (r > 0)
        hone_error_print(err);
    if (r)
        return r;
    if (err->code) {
        hone_error_print(err);
        if (result.status == 0)
            return 1;
    }
    return end_as_program(result.status);
}

const struct hone_command hone_command_record = {
    .name = "record",
    .summary = "run a program and record where its time goes",
    .operands = "[--] PROGRAM [ARG…] | --pid PID,… | --all",
    .manual =
        "The program and every process and thread that it starts are sampled on their CPU clocks, "
        "and so is what they allocate. "
        "Nothing has to be rebuilt: libhone.so is preloaded. Standard streams, signals and the "
        "exit status are the program's own. As in a shell, 126 means that it is there and was not "
        "run, because it may not be executed or cannot be recorded as asked, and 127 that there is "
        "no such program; 1 that the recording failed.\n\n"
        "What cannot be preloaded (static, setuid and Go programs) is recorded from outside, by "
        "perf events, and so are processes that run already (--pid) and the whole machine "
        "(--all). They are not touched, and their heap is not covered.\n\n"
        "The folder holds cpu.prof and heap.prof, in pprof's format, with the labels process and "
        "thread, and session.json: what ran, how it was recorded, what was lost. An existing "
        "folder is never "
        "overwritten.\n\n"
        "The type threads adds threads.prof, every thread as it was at the end or shortly before, "
        "and threads-time.prof, where threads were created, how many, and how long they lived; see "
        "'hone threads'.\n\n"
        "The type wall adds wall.prof: the time of every thread from its start to its end, with "
        "the label state: on-cpu, runnable (it waits for a CPU), or what it waits for. The type "
        "block adds block.prof: the waits alone, how many and how long, with the label wait. "
        "Waiting threads are looked at from outside and not touched.\n\n"
        "The type mutex adds mutex.prof: how long others waited for a lock, at the stack that held "
        "it, with the labels lock, kind and waiter; 'hone locks' shows what it and session.json "
        "tell of each lock.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct record_options),
    .program = true,
    .complete = "program",
    .run = run,
};
