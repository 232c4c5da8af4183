// What 'hone record' itself says: a line of progress on a terminal, and at the end the hottest
// functions and what to type next.
#include "cli/record_print.h"

#include "base/cleanup.h"
#include "base/measure.h"
#include "cli/commands.h"
#include "view/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// --- progress ------------------------------------------------------------------------------------

// The program may be talking on the terminal: only when it neither reads from one nor prints to
// one is the line ours. Nor do we write from the background.
bool hone_record_terminal_is_free(void)
{
    return isatty(STDERR_FILENO) && !isatty(STDIN_FILENO) && !isatty(STDOUT_FILENO) &&
           tcgetpgrp(STDERR_FILENO) == getpgrp();
}

void hone_record_erase_progress(void)
{
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
}

// The cursor goes back to the left, so that what the program prints takes the line over.
void hone_record_print_progress(void *context, const struct hone_capture_progress *progress)
{
    (void)context;
    if (!hone_record_terminal_is_free())
        return;
    hone_record_erase_progress();
    if (progress->fetching && progress->all_bytes)
        (void)fprintf(stderr, "hone: fetching debug information of %s: %.1f of %.1f MB\r",
                      progress->fetching, (double)progress->bytes / 1e6,
                      (double)progress->all_bytes / 1e6);
    else if (progress->fetching)
        (void)fprintf(stderr, "hone: asking for debug information of %s …\r", progress->fetching);
    else if (progress->working)
        (void)fputs("hone: looking up names …", stderr);
    else
        (void)fprintf(stderr,
                      "hone: recording %" PRIu64 " s, %" PRIu64 " samples, %" PRIu32 " process%s\r",
                      progress->elapsed_ns / 1000000000, progress->samples, progress->processes,
                      progress->processes == 1 ? "" : "es");
    (void)fflush(stderr);
}

// --- the end -------------------------------------------------------------------------------------

// As views do: what is no terminal has no width.
static unsigned terminal_width(void)
{
    struct winsize size;
    if (!isatty(STDERR_FILENO))
        return 0;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 40)
        return 80;
    return size.ws_col;
}

enum { ROWS = 8 };

// Whoever has just started a program knows which it was, and when.
static bool is_known(const char *line, bool only)
{
    static const char *const known[] = {"File: ", "Build ID: ", "Time: ", "Showing ", "Dropped "};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(line, known[i], strlen(known[i])) == 0)
            return true;
    return only && strncmp(line, "Type: ", strlen("Type: ")) == 0;
}

// The beginning of what 'hone top' prints, whose units depend on all of its rows.
static void print_top(const struct hone_profile *profile, bool only)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    struct hone_text_options top = {.width = terminal_width()};
    struct hone_error ignored = {0};
    if (hone_text_top(profile, &top, &text, &ignored) || !text.len)
        return;
    bool table = false;
    int rows = 0;
    for (const char *line = text.at, *end = text.at + text.len; line < end && rows < ROWS;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t len = newline ? (size_t)(newline - line) + 1 : (size_t)(end - line);
        rows += table;
        if (table || !is_known(line, only))
            (void)fwrite(line, 1, len, stderr);
        table = table || strncmp(line, "      flat", strlen("      flat")) == 0;
        line += len;
    }
}

// Sums of all that was lost.
static void print_leaks(const struct hone_profile *profile, const char *directory)
{
    int64_t objects = 0, bytes = 0;
    for (uint32_t i = 0; i < profile->samples.count; i++) {
        objects += profile->samples.values[0][i];
        bytes += profile->samples.values[1][i];
    }
    bool known = true;
    for (uint32_t i = 0; i < profile->comment_count; i++) {
        const char *comment = hone_profile_text(profile, profile->comments[i]);
        known = known && strncmp(comment, "not covered:", strlen("not covered:")) != 0 &&
                strncmp(comment, "lost:", strlen("lost:")) != 0;
    }
    if (!objects && !known)
        (void)fprintf(stderr, "hone: leaks are not known; for why, 'hone leaks %s'\n", directory);
    else
        (void)fprintf(stderr, "hone: leaked %s in %" PRId64 " block%s; see 'hone leaks %s'\n",
                      bytes ? hone_measure_label(bytes, "bytes", "auto").text : "0B", objects,
                      objects == 1 ? "" : "s", directory);
}

void hone_record_print_end(const struct hone_record_end *end, const char *directory,
                           const struct hone_profile *const profiles[HONE_CAPTURE_TYPES])
{
    static const struct {
        const char *of, *file;
    } others[HONE_CAPTURE_TYPES] = {
        [HONE_CAPTURE_WALL] = {"the wall clock", "wall.prof"},
        [HONE_CAPTURE_HEAP] = {"the heap", "heap.prof"},
        [HONE_CAPTURE_ALLOCS] = {"all allocations", "allocs.prof"},
        [HONE_CAPTURE_MUTEX] = {"locks", "mutex.prof"},
        [HONE_CAPTURE_LEAKS] = {"leaks", "leaks.prof"},
        [HONE_CAPTURE_BLOCK] = {"what blocks", "block.prof"},
        [HONE_CAPTURE_THREADS] = {"threads", "threads.prof"},
    };
    // The table is about time; the heap has one where nothing else was asked for.
    bool cpu_and_wall = profiles[HONE_CAPTURE_CPU] && profiles[HONE_CAPTURE_WALL];
    for (int type = 0, tables = 0; type < HONE_CAPTURE_TYPES; type++)
        if (profiles[type] && type != HONE_CAPTURE_LEAKS && type != HONE_CAPTURE_THREADS &&
            (type < HONE_CAPTURE_HEAP || !tables)) {
            print_top(profiles[type], !cpu_and_wall);
            tables++;
        }
    // Without a name, the newest of those in profiles/ is shown.
    const char *named = end->named ? end->named : "";
    const char *gap = end->named ? " " : "";
    (void)fprintf(stderr, "hone: recorded to %s; see 'hone top%s%s' or 'hone flame%s%s'\n",
                  directory, gap, named, gap, named);
    bool first = true;
    for (int type = 0; type < HONE_CAPTURE_TYPES; type++) {
        if (profiles[type] && type == HONE_CAPTURE_HEAP)
            (void)fprintf(stderr, "hone: for %s, 'hone heap %s'\n", others[type].of, directory);
        else if (profiles[type] && type == HONE_CAPTURE_MUTEX)
            (void)fprintf(stderr, "hone: for %s, 'hone locks %s'\n", others[type].of, directory);
        else if (profiles[type] && type == HONE_CAPTURE_THREADS)
            (void)fprintf(stderr, "hone: for %s, 'hone threads %s'\n", others[type].of, directory);
        else if (profiles[type] && type == HONE_CAPTURE_LEAKS)
            print_leaks(profiles[type], directory);
        else if (profiles[type] && !first)
            (void)fprintf(stderr, "hone: for %s, 'hone top %s/%s'\n", others[type].of, directory,
                          others[type].file);
        first = first && !profiles[type];
    }
    if (end->stuck || end->lock_order)
        (void)fprintf(stderr, "hone: for %s, 'hone deadlocks %s'\n",
                      end->stuck ? "who was stuck" : "the order of locks", directory);
    if (end->types & (HONE_TYPE_HEAP | HONE_TYPE_ALLOCS) && !profiles[HONE_CAPTURE_HEAP] &&
        !profiles[HONE_CAPTURE_ALLOCS])
        (void)fputs("hone: the heap is not covered: from outside nobody sees what is allocated\n",
                    stderr);
    if (end->types & HONE_TYPE_MUTEX && !profiles[HONE_CAPTURE_MUTEX])
        (void)fputs("hone: locks are not covered: from outside nobody sees who holds them\n",
                    stderr);
}
