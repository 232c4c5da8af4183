// hone deadlocks: who is stuck in a process that runs, and what a recording tells of that.
#include "view/deadlocks.h"
#include "analyse/lock_order.h"
#include "analyse/wait_graph.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include "capture/standstill.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "core/clock.h"
#include "fetch/fetch.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct deadlocks_options {
    int64_t pid;
    int64_t for_ns;
    int64_t frames;
    bool json;
    bool debuginfod;
    const char *output;
};

#define AT(field) .at = offsetof(struct deadlocks_options, field)

static const struct hone_option options[] = {
    {.name = "pid",
     .letter = 'p',
     .kind = HONE_OPTION_COUNT,
     .value = "PID",
     .minimum = 1,
     .maximum = INT_MAX,
     AT(pid),
     .help = "the process to look at"},
    {.name = "for",
     .kind = HONE_OPTION_TIME,
     .value = "TIME",
     AT(for_ns),
     .help = "look again and again for so long, until somebody is stuck; 0 is once"},
    {.name = "frames",
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .maximum = INT32_MAX,
     AT(frames),
     .help = "at most N functions of each stack; 0 is all"},
    HONE_OPTION_ROW_JSON(AT(json)),
    HONE_OPTION_ROW_DEBUGINFOD(AT(debuginfod)),
    HONE_OPTION_ROW_OUTPUT(AT(output)),
    {0},
};

static const struct hone_example examples[] = {
    {"hone deadlocks -p 1234", "who waits for whom in a process that hangs"},
    {"hone deadlocks --json -p 1234", "the same for programs"},
    {"hone deadlocks --for 1h -p 1234", "wait for it to happen"},
    {"hone record --lock-order ./server", "record in which order locks are taken"},
    {"hone deadlocks profiles/server/", "orders that contradict each other"},
    {0},
};

static uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int look_once(const struct deadlocks_options *given, struct hone_standstill *stand,
                     struct hone_wait_graph *graph, struct hone_error *err)
{
    const struct hone_standstill_options how = {.size = sizeof how,
                                                .debuginfod = given->debuginfod};
    int r = hone_standstill_read((pid_t)given->pid, &how, stand, err);
    return r ? r : hone_wait_graph_new(stand, graph, err);
}

// Returns 0 or a negative errno.
static int look(const struct deadlocks_options *given, struct hone_standstill *stand,
                struct hone_wait_graph *graph, struct hone_error *err)
{
    enum { PAUSE_NS = 200000000, PAUSES = 10 }; // as long as that, or ten times as long as a look
    uint64_t until_ns = hone_now_ns() + (uint64_t)given->for_ns;
    for (;;) {
        uint64_t began_ns = hone_now_ns();
        int r = look_once(given, stand, graph, err);
        uint64_t now_ns = hone_now_ns(), pause_ns = PAUSES * (now_ns - began_ns);
        if (r || graph->count || now_ns >= until_ns)
            return r;
        pause_ns = pause_ns > PAUSE_NS + PAUSES * stand->between_ns
                       ? pause_ns - PAUSES * stand->between_ns
                       : PAUSE_NS;
        const struct timespec pause = {.tv_sec = (time_t)(pause_ns / 1000000000),
                                       .tv_nsec = (long)(pause_ns % 1000000000)};
        (void)nanosleep(&pause, NULL);
        hone_wait_graph_done(graph);
        hone_standstill_done(stand);
    }
}

static struct hone_deadlocks_options shown_as(const struct deadlocks_options *given)
{
    return (struct hone_deadlocks_options){
        .frames = (uint32_t)given->frames,
        .width = !given->output && isatty(STDOUT_FILENO) ? terminal_width() : 0,
    };
}

// A process that runs. Returns the exit status or a negative errno.
static int show_process(const struct deadlocks_options *given, struct hone_error *err)
{
    HONE_CLEANUP(hone_standstill_done) struct hone_standstill stand = {0};
    HONE_CLEANUP(hone_wait_graph_done) struct hone_wait_graph graph = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    int r = look(given, &stand, &graph, err);
    if (r)
        return r;
    const struct hone_deadlocks_options how = shown_as(given);
    r = given->json ? hone_json_stuck(&stand, &graph, &how, &out, err)
                    : hone_text_stuck(&stand, &graph, &how, &out, err);
    if (!r)
        r = hone_output_text(given->output, &out, err);
    return r ? r : graph.count > 0;
}

// --- recordings ----------------------------------------------------------------------------------

static bool is_recording(const char *directory)
{
    char path[HONE_FETCH_PATH_MAX + 16];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/session.json", directory);
    return stat(path, &status) == 0;
}

static int find_recording(const char *name, char directory[HONE_FETCH_PATH_MAX],
                          struct hone_error *err)
{
    if (name && is_recording(name)) {
        (void)snprintf(directory, HONE_FETCH_PATH_MAX, "%s", name);
        return 0;
    }
    int r = hone_fetch_locate(name, NULL, directory, err);
    char *slash = r ? NULL : strrchr(directory, '/');
    if (slash)
        *slash = '\0';
    else if (!r)
        (void)snprintf(directory, HONE_FETCH_PATH_MAX, ".");
    return r;
}

static void decrefp(json_t **value)
{
    json_decref(*value);
}

// What `hone record --deadlock-after` has found; NULL: nothing.
static int read_told(const char *directory, json_t **ret, struct hone_error *err)
{
    char path[HONE_FETCH_PATH_MAX + 16];
    struct stat status;
    json_error_t why;
    (void)snprintf(path, sizeof path, "%s/deadlocks.json", directory);
    if (stat(path, &status) && errno == ENOENT)
        return 0;
    *ret = json_load_file(path, 0, &why);
    return *ret ? 0 : hone_error_set(err, -EBADMSG, "cannot read '%s': %s", path, why.text);
}

static int show_told(const json_t *told, const struct deadlocks_options *given,
                     struct hone_buffer *out)
{
    const json_t *looks = json_object_get(told, "deadlocks");
    if (given->json) {
        HONE_CLEANUP(hone_freep) char *text = looks ? json_dumps(looks, JSON_INDENT(1)) : NULL;
        hone_buffer_format(out, "{\"deadlocks\": %s,\n\"lock_order\": ", text ? text : "[]");
        return 0;
    }
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    bool failed = false;
    for (size_t i = 0; i < json_array_size(looks); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(looks, i), "text"));
        struct hone_str clean =
            hone_utf8_clean_lines(&arena, hone_str_of(text ? text : ""), &failed);
        hone_buffer_add(out, clean.at, clean.len);
        hone_buffer_text(out, "\n");
    }
    return failed ? -ENOMEM : 0;
}

static int show_recording(const struct deadlocks_options *given, const char *name,
                          struct hone_error *err)
{
    char directory[HONE_FETCH_PATH_MAX];
    HONE_CLEANUP(decrefp) json_t *told = NULL;
    HONE_CLEANUP(hone_lock_order_done) struct hone_lock_order order = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    int r = find_recording(name, directory, err);
    if (!r)
        r = read_told(directory, &told, err);
    if (!r)
        r = hone_lock_order_read(directory, &order, err);
    if (r)
        return r;
    size_t count = json_array_size(json_object_get(told, "deadlocks"));
    if (!order.recorded && !count) {
        (void)hone_error_set(err, -ENOENT, "'%s' tells nothing of deadlocks", directory);
        hone_error_hint(err, "make one that does: hone record --lock-order PROGRAM");
        return -ENOENT;
    }
    const struct hone_deadlocks_options how = shown_as(given);
    r = show_told(told, given, &out);
    if (!r && given->json)
        r = hone_json_lock_order(&order, &how, &out, err);
    else if (!r && order.recorded)
        r = hone_text_lock_order(&order, &how, &out, err);
    if (given->json)
        hone_buffer_text(&out, "}\n");
    if (!r)
        r = hone_output_text(given->output, &out, err);
    if (r || count || order.ring_count || !order.uncovered_count)
        return r ? r : count || order.ring_count;
    return hone_error_set(err, -EBADMSG, "nothing was found, but of %u process%s not all was seen",
                          order.uncovered_count, order.uncovered_count == 1 ? "" : "es");
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct deadlocks_options *given = parsed;
    if (operands->count > 1)
        return hone_misused(err, "deadlocks: one recording at a time, not '%s' too",
                            operands->at[1]);
    if (given->pid && operands->count)
        return hone_misused(err, "deadlocks: give --pid or a recording, not both");
    if (given->for_ns && !given->pid)
        return hone_misused(err, "deadlocks: --for looks at what --pid names");
    return given->pid ? show_process(given, err)
                      : show_recording(given, operands->count ? operands->at[0] : NULL, err);
}

const struct hone_command hone_command_deadlocks = {
    .name = "deadlocks",
    .summary = "who is stuck in a running process: deadlocks, lost locks",
    .operands = "-p PID | [DIR]",
    .manual =
        "With --pid a process is looked at from outside, twice, and not touched: which threads "
        "sleep in a "
        "lock, where, and who holds it. It needs no preparation and no library inside. Found are "
        "threads that wait for each other in a ring, a thread that waits for a lock of its own, "
        "locks whose holder has ended, or held them when the process was forked, joins of threads "
        "that are stuck themselves, and threads that wait for something to be signalled while "
        "nobody is left who could.\n\n"
        "Nobody is accused who may go on: a wait with a limit of time, a lock in shared memory, a "
        "thread that runs, sleeps or waits for files and sockets. Who holds a lock is known of "
        "glibc's mutexes and of read-write locks held for writing, of musl's mutexes that are "
        "recursive or check errors, and where the probe of 'hone record --lock-order' is "
        "inside.\n\n"
        "Of a recording (DIR, or the newest): what 'hone record --deadlock-after' has found, and, "
        "with --lock-order, locks that were taken in orders that contradict each other, so that "
        "threads may come to wait for each other although they did not. Left out are rings that "
        "cannot come about: under a common outer lock, by one thread alone, of locks that were "
        "only tried for, or of readers.\n\n"
        "The status is 0 when nothing was found, 1 when something was, and also when that could "
        "not be found out, with the reason on standard error.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct deadlocks_options),
    .complete = "profile",
    .run = run,
};
