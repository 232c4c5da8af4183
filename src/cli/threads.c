// hone threads: every thread of a process that runs, or of a recording: where it is, what it waits
// for and for how long, and where it was created.
#include "analyse/threads.h"
#include "analyse/thread_leaks.h"
#include "base/cleanup.h"
#include "capture/dump.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/pids.h"
#include "cli/threads_watch.h"
#include "cli/values.h"
#include "fetch/fetch.h"
#include "profile/profile.h"
#include "view/threads.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

struct threads_options {
    const char *pids;
    const char *output;
    const char *debug;
    int64_t every_ns;
    int64_t times;
    int64_t rows;
    int64_t frames;
    const char *fail_above;
    bool fail_stuck;
    bool json;
    bool debuginfod;
};

#define AT(field) .at = offsetof(struct threads_options, field)

static const struct hone_option options[] = {
    {.name = "pid",
     .letter = 'p',
     .kind = HONE_OPTION_TEXT,
     .value = "PID,…",
     AT(pids),
     .help = "processes that run, instead of a recording"},
    {.name = "output",
     .letter = 'o',
     .kind = HONE_OPTION_TEXT,
     .value = "FILE",
     .complete = "file",
     AT(output),
     .help = "write the profile there (threads.prof); with --debug or --json, that text"},
    {.name = "debug",
     .kind = HONE_OPTION_TEXT,
     .value = "LEVEL",
     AT(debug),
     .help = "print as Go's goroutine profile does: 1 stacks with counts, 2 every thread"},
    HONE_OPTION_ROW_JSON(AT(json)),
    {.name = "every",
     .kind = HONE_OPTION_TIME,
     .value = "TIME",
     AT(every_ns),
     .help = "print how many threads there are, again and again after this time (10s)"},
    {.name = "times",
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .minimum = 1,
     .maximum = 1000000,
     AT(times),
     .help = "so many times, with --every (10)"},
    {.name = "rows",
     .letter = 'n',
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .initial = "20",
     .maximum = INT32_MAX,
     AT(rows),
     .help = "at most N groups of threads and places; 0 is all"},
    {.name = "frames",
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .initial = "12",
     .maximum = INT32_MAX,
     AT(frames),
     .help = "at most N functions of each stack; 0 is all"},
    {.name = "fail-above",
     .kind = HONE_OPTION_TEXT,
     .value = "N",
     AT(fail_above),
     .help = "exit with status 1 if there are more threads than N"},
    {.name = "fail-stuck",
     .kind = HONE_OPTION_FLAG,
     AT(fail_stuck),
     .help = "exit with status 1 if some wait for what can never come"},
    HONE_OPTION_ROW_DEBUGINFOD(AT(debuginfod)),
    {0},
};

static const struct hone_example examples[] = {
    {"hone threads -p 1234", "the threads of a process that runs already, by where they are"},
    {"hone threads -p 1234 --debug 2", "each by itself, as goroutine?debug=2"},
    {"hone threads -p 1234 -o threads.prof", "a profile, for hone traces, go tool pprof, …"},
    {"hone threads -p 1234 --every 10s", "their number, ten times; says whether it grows"},
    {"hone threads --fail-above 10000 --fail-stuck threads.prof", "for CI"},
    {"hone record -t threads ./server", "remember where each thread is created"},
    {"hone threads", "of the newest recording: threads at its end, who creates and leaks them"},
    {0},
};

enum { TIMES = 10 };

struct input {
    struct hone_profile *threads, *origins;
    bool recording;
    char path[HONE_FETCH_PATH_MAX]; // of a file; empty: it is of a process
};

static void input_done(struct input *input)
{
    hone_profile_free(input->threads);
    hone_profile_free(input->origins);
}

// --- a process -----------------------------------------------------------------------------------

// Nothing of a process could be read, whatever it is.
static int check_rights(const struct hone_dump *dump, struct hone_error *err)
{
    bool any = false;
    for (uint32_t i = 0; i < dump->thread_count && !any; i++)
        any = dump->threads[i].miss != HONE_DUMP_REFUSED;
    if (any || !dump->thread_count)
        return 0;
    (void)hone_error_set(err, -EPERM, "cannot look at process %u: it is not ours to read",
                         dump->processes[0].pid);
    hone_error_hint(err, "run hone as root or as the process's user; where "
                         "kernel.yama.ptrace_scope is not 0, as root");
    return -EPERM;
}

static int take_dump(const struct threads_options *given, const pid_t *pids, int pid_count,
                     struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_collect_done) struct hone_collected collected = {0};
    HONE_CLEANUP(hone_dump_freep) struct hone_dump *dump = NULL;
    if (hone_collect_init(&collected))
        return hone_error_set(err, -ENOMEM, "cannot look at threads");
    int r = hone_dump_new(NULL, &collected, &dump, err);
    for (int i = 0; !r && i < pid_count; i++)
        r = hone_dump_add(dump, pids[i], err);
    if (r)
        return r;
    r = hone_dump_take(dump);
    if (!r)
        r = hone_dump_creations_read(dump);
    if (r)
        return hone_error_set(err, r, "cannot look at threads");
    r = check_rights(dump, err);
    if (!r && !dump->thread_count)
        r = hone_error_set(err, -ESRCH, "process %d has ended", (int)pids[0]);
    const struct hone_dump_profile_options how = {.version = HONE_VERSION,
                                                  .debuginfod = given->debuginfod};
    return r ? r : hone_dump_profile(dump, &how, ret, NULL, err);
}

// --- a recording ---------------------------------------------------------------------------------

static int read_beside(const char *path, const char *file, struct hone_profile **ret,
                       struct hone_error *err)
{
    char other[HONE_FETCH_PATH_MAX + 32];
    struct stat status;
    const char *slash = strrchr(path, '/');
    (void)snprintf(other, sizeof other, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, file);
    return stat(other, &status) ? 0 : hone_profile_read(other, NULL, ret, err);
}

static bool is_named(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, name) == 0;
}

// threads.prof of the newest recording or the given one, or any file.
static int read_recording(const struct hone_operands *operands, struct input *ret,
                          struct hone_error *err)
{
    const char *name = operands->count ? operands->at[0] : NULL;
    const char *path = ret->path;
    struct stat status;
    int r = hone_fetch_locate(name, "threads", ret->path, err);
    if (r)
        return r;
    bool directory = !name || (stat(name, &status) == 0 && S_ISDIR(status.st_mode));
    bool course = is_named(path, "threads-time.prof");
    if (directory && !is_named(path, "threads.prof")) {
        (void)hone_error_set(err, -ENOENT, "no threads were recorded beside '%s'", path);
        hone_error_hint(err, "record them: hone record -t threads PROGRAM; or look at a process "
                             "that runs: hone threads -p PID");
        return -ENOENT;
    }
    ret->recording = directory || course || is_named(path, "threads.prof");
    if (!course)
        r = hone_profile_read(path, NULL, &ret->threads, err);
    else
        r = hone_profile_read(path, NULL, &ret->origins, err);
    if (!r && directory)
        r = read_beside(path, "threads-time.prof", &ret->origins, err);
    return r;
}

// --- both ----------------------------------------------------------------------------------------

static uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int show(const struct threads_options *given, const struct hone_threads_shown *shown,
                struct hone_error *err)
{
    const struct hone_threads_options how = {
        .rows = given->rows ? (uint32_t)given->rows : UINT32_MAX,
        .frames = given->frames ? (uint32_t)given->frames : UINT32_MAX,
        .width = !given->output && isatty(STDOUT_FILENO) ? terminal_width() : 0,
    };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    int r = 0;
    if (given->json)
        r = hone_json_threads(shown, &out, err);
    else if (given->debug)
        r = hone_text_threads_debug(shown, given->debug[0] - '0', &out, err);
    else
        r = hone_text_threads(shown, &how, &out, err);
    return r ? r : hone_output_text(given->output, &out, err);
}

// 1: there are more than are allowed, or some are stuck. Negative: a profile of another tool does
// not tell.
static int judge(const struct threads_options *given, int64_t limit,
                 const struct hone_thread_list *threads, struct hone_error *err)
{
    bool stuck = false, told = threads->count == 0;
    for (uint32_t i = 0; i < threads->count; i++) {
        stuck = stuck || threads->rows[i].stuck[0];
        told = told || threads->rows[i].state[0];
    }
    if (given->fail_stuck && !told)
        return hone_error_set(err, -ENODATA, "the profile does not tell who is stuck");
    return (given->fail_above && threads->total > limit) || (given->fail_stuck && stuck);
}

static int show_input(const struct threads_options *given, int64_t limit, const struct input *input,
                      struct hone_error *err)
{
    HONE_CLEANUP(hone_thread_list_done) struct hone_thread_list threads = {0};
    HONE_CLEANUP(hone_thread_leaks_done) struct hone_thread_leaks origins = {0};
    int r = 0;
    if ((input->threads && hone_profile_one_line(input->threads)) ||
        (input->origins && hone_profile_one_line(input->origins)))
        r = hone_error_set(err, -ENOMEM, "cannot show threads");
    if (!r && input->threads)
        r = hone_thread_list_new(input->threads, &threads, err);
    if (r == -EINVAL) {
        (void)hone_error_set(err, r, "'%s' is no profile of threads", input->path);
        hone_error_hint(err, "give a threads.prof, or the directory of a recording of the type "
                             "threads");
    }
    if (!r && input->origins)
        r = hone_thread_leaks_new(input->origins, &origins, err);
    const struct hone_threads_shown shown = {
        .profile = input->threads,
        .threads = input->threads ? &threads : NULL,
        .origin_profile = input->origins,
        .origins = input->origins ? &origins : NULL,
        .recording = input->recording,
    };
    if (!r)
        r = show(given, &shown, err);
    return r ? r : judge(given, limit, &threads, err);
}

static int check_options(const struct threads_options *given, const struct hone_operands *operands,
                         int64_t *ret_limit, struct hone_error *err)
{
    const char *debug = given->debug;
    bool judges = given->fail_above || given->fail_stuck;
    if (given->fail_above && !hone_value_count(given->fail_above, ret_limit))
        return hone_misused(err, "threads: --fail-above takes a number of threads, not '%s'",
                            given->fail_above);
    if (judges && (given->every_ns || (given->output && !given->json && !debug)))
        return hone_misused(err, "threads: --fail-above and --fail-stuck judge what is shown: not "
                                 "with --every or a profile by -o");
    if (debug && strcmp(debug, "1") != 0 && strcmp(debug, "2") != 0)
        return hone_misused(err,
                            "threads: --debug takes 1 or 2, not '%s'; -o FILE writes the "
                            "profile itself",
                            debug);
    if (debug && given->json)
        return hone_misused(err, "threads: give --debug or --json, not both");
    if (operands->count > 1)
        return hone_misused(err, "threads: one recording at a time, not '%s' too", operands->at[1]);
    if (given->pids && operands->count)
        return hone_misused(err, "threads: --pid looks at what runs, not at '%s'", operands->at[0]);
    if (given->times && !given->every_ns)
        return hone_misused(err, "threads: --times says how often --every looks; give that, too");
    if (given->every_ns && (!given->pids || given->output || debug || given->json))
        return hone_misused(err, "threads: --every counts threads of what --pid names, and prints "
                                 "lines");
    return 0;
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct threads_options *given = parsed;
    pid_t pids[HONE_PIDS_MAX];
    int64_t limit = 0;
    int r = check_options(given, operands, &limit, err);
    int pid_count = !r && given->pids ? hone_pids_read(given->pids, pids, err) : 0;
    if (r || pid_count < 0)
        return r ? r : pid_count;
    if (given->every_ns)
        return hone_threads_watch(pids, (size_t)pid_count, (uint64_t)given->every_ns,
                                  given->times ? (uint64_t)given->times : TIMES, err);
    HONE_CLEANUP(input_done) struct input input = {0};
    r = given->pids ? take_dump(given, pids, pid_count, &input.threads, err)
                    : read_recording(operands, &input, err);
    if (r)
        return r;
    if (!given->output || given->json || given->debug)
        return show_input(given, limit, &input, err);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer bytes = {0};
    r = hone_profile_encode_gzip(input.threads ? input.threads : input.origins, &bytes, err);
    return r ? r : hone_output_write(given->output, &bytes, err);
}

const struct hone_command hone_command_threads = {
    .name = "threads",
    .summary = "every thread: where it is, what it waits for, where it was created",
    .operands = "[DIR | FILE] | --pid PID,…",
    .manual =
        "Of a process that runs (--pid), prepared or not: threads that wait are not touched, and "
        "are told with the system call's kind of waiting and how long it lasts. A thread that "
        "runs is sampled once by a perf event; where perf events are not permitted, it is stopped "
        "alone for some microseconds, unless a debugger has it. The process as a whole never "
        "stands still, so two threads are seen at two moments.\n\n"
        "Where a thread was created is known of programs that 'hone record -t threads' started, "
        "also while they are being recorded. Such a recording has the threads as they were at its "
        "end, or shortly before the program ended (threads.prof), and for all of its time how many "
        "were created at each place, ended, lived at once and how long (threads-time.prof). A "
        "place whose threads keep growing in number leaks them: by one in a second or more, over "
        "at least 5 s, or one in a minute or more, over at least 20 minutes, both after the first "
        "fifth. A pool that fills and stays is not accused.\n\n"
        "The status is 1 with --fail-above when there are more threads than that, and with "
        "--fail-stuck when nobody is left in a process to wake its threads.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct threads_options),
    .complete = "profile",
    .run = run,
};
