// hone locks: the first screen on the locks of a recording.
#include "view/locks.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct locks_options {
    int64_t rows;
    bool json;
    const char *output;
};

#define AT(field) .at = offsetof(struct locks_options, field)

static const struct hone_option options[] = {
    {.name = "rows",
     .letter = 'n',
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .initial = "10",
     .maximum = INT32_MAX,
     AT(rows),
     .help = "at most N locks; 0 is all"},
    HONE_OPTION_ROW_JSON(AT(json)),
    HONE_OPTION_ROW_OUTPUT(AT(output)),
    {0},
};

static const struct hone_example examples[] = {
    {"hone locks", "of the newest recording"},
    {"hone record -t mutex ./server", "record who holds what others wait for"},
    {"hone locks -n 0 profiles/server/", "all locks that are known"},
    {"hone locks --json profiles/server/", "for programs"},
    {0},
};

static bool is_there(const char *directory, const char *file)
{
    char path[HONE_INPUT_PATH_MAX];
    struct stat status;
    int len = snprintf(path, sizeof path, "%s/%s", directory, file);
    return len > 0 && len < (int)sizeof path && stat(path, &status) == 0;
}

// The directory of the newest recording, or of the given one or of a file in it.
static int locate(const struct hone_operands *operands, char directory[HONE_INPUT_PATH_MAX],
                  struct hone_error *err)
{
    const char *name = operands->count ? operands->at[0] : NULL;
    struct stat status;
    if (name && stat(name, &status) == 0 && S_ISDIR(status.st_mode) &&
        is_there(name, "session.json")) {
        if ((size_t)snprintf(directory, HONE_INPUT_PATH_MAX, "%s", name) < HONE_INPUT_PATH_MAX)
            return 0;
        return hone_error_set(err, -ENAMETOOLONG, "cannot open '%.80s…'", name);
    }
    int r = hone_input_path(operands, "delay", directory, err);
    if (r)
        return r;
    if (name && stat(directory, &status))
        return hone_error_set(err, -errno, "cannot open '%s'", directory);
    char *slash = strrchr(directory, '/');
    if (slash)
        slash[slash == directory] = '\0';
    else
        memcpy(directory, ".", 2);
    return 0;
}

static int read_facts(const char *directory, struct hone_locks_facts *facts, struct hone_error *err)
{
    enum { SESSION_MAX = 256 << 20 };
    char path[HONE_INPUT_PATH_MAX];
    HONE_CLEANUP(hone_freep) char *text = NULL;
    size_t len = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/session.json", directory) >= sizeof path)
        return hone_error_set(err, -ENAMETOOLONG, "cannot open '%.80s…'", directory);
    int r = hone_file_read(path, SESSION_MAX, &text, &len, err);
    if (r == -ENOENT)
        hone_error_hint(err, "what is known of locks is in the directory of a recording: 'hone "
                             "record --types mutex PROGRAM' makes one; 'hone top' shows a profile "
                             "of locks alone");
    return r ? r : hone_locks_facts_read(facts, text, len, err);
}

// A recording without locks.
static int refuse(const char *directory, const struct hone_locks_facts *facts,
                  struct hone_error *err)
{
    if (facts->not_covered_count) {
        (void)hone_error_set(err, 0, "'%s' has no locks: %.*s", directory,
                             (int)facts->not_covered[0].len, facts->not_covered[0].at);
        hone_error_hint(err, "'hone record --types wall' tells where threads wait, from outside");
        return -ENOENT;
    }
    (void)hone_error_set(err, 0, "'%s' has no mutex.prof", directory);
    hone_error_hint(err, "record it with 'hone record --types cpu,mutex'");
    return -ENOENT;
}

static uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct locks_options *given = parsed;
    if (operands->count > 1)
        return hone_misused(err, "'hone locks' shows one recording, not '%s' too", operands->at[1]);
    char directory[HONE_INPUT_PATH_MAX];
    HONE_CLEANUP(hone_locks_facts_done) struct hone_locks_facts facts = {0};
    HONE_CLEANUP(hone_lock_findings_done) struct hone_lock_findings findings = {0};
    int r = locate(operands, directory, err);
    if (!r)
        r = read_facts(directory, &facts, err);
    if (!r && !facts.recorded)
        r = refuse(directory, &facts, err);
    if (!r)
        r = hone_lock_findings_new(&facts, &findings, err);
    if (r)
        return r;
    const struct hone_locks_view view = {
        .facts = &facts,
        .findings = &findings,
        .directory = directory,
        .rows = given->rows ? (uint32_t)given->rows : UINT32_MAX,
        .width = !given->output && isatty(STDOUT_FILENO) ? terminal_width() : 0,
    };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    r = given->json ? hone_json_locks(&view, &out, err) : hone_text_locks(&view, &out, err);
    return r ? r : hone_output_text(given->output, &out, err);
}

const struct hone_command hone_command_locks = {
    .name = "locks",
    .summary = "which locks cost most, who holds them, and what is wrong with them",
    .operands = "[DIR]",
    .manual =
        "The locks that others waited for longest, of a recording with the type mutex: what all "
        "waits together cost, what part of the acquisitions had to wait, how long waits and holds "
        "last, where it is held and where it is waited for. Then what is wrong with them, as far "
        "as the observations prove it, and what to do.\n\n"
        "A lock is called as the program named it (hone_lock_name()), or by the variable that it "
        "is or lies in (pool+0x40), by the function that allocated the memory around it (heap of "
        "make_pool+0x40) or made it (made in make_pool), or by its address and the first function "
        "that waited for it. Locks of one name are one row.\n\n"
        "Where few acquisitions were drawn, two figures say between which limits lies what part "
        "of them waits, and the longest hold is not known (-) while somebody waited for longer. "
        "Locks that call the kernel themselves, as Rust's do, are not seen; what waits for them "
        "is in the types wall and block.\n\n"
        "Findings are about locks that cost others at least a hundredth of the recorded time and "
        "were observed 30 times or more. Without DIR it is the newest recording under profiles/.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct locks_options),
    .complete = "directory",
    .run = run,
};
