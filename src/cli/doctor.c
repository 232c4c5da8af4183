#include "cli/commands.h"

#include "base/base.h"
#include "base/utf8.h"
#include "capture/doctor.h"
#include "cli/output.h"

#include <errno.h>
#include <jansson.h>
#include <sys/ioctl.h>

struct doctor_options {
    bool json;
};

static const struct hone_option options[] = {
    {.name = "json",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct doctor_options, json),
     .help = "for programs: one JSON object"},
    {0},
};

static const struct hone_example examples[] = {
    {"hone doctor", "what works here, and how to get the rest"},
    {"hone doctor ./server", "whether and how well a program can be recorded"},
    {"hone doctor --json", "the same for scripts"},
    {0},
};

// --- for people ----------------------------------------------------------------------------------

enum { TEXT_COLUMN = 25, WIDTH_DEFAULT = 80, WIDTH_MIN = 50 };

static const char *const marks[] = {
    [HONE_MARK_GOOD] = "✓", [HONE_MARK_LESS] = "~",    [HONE_MARK_BAD] = "✗",
    [HONE_MARK_FACT] = " ", [HONE_MARK_UNKNOWN] = "?",
};

static uint32_t columns_of(const char *text, size_t len)
{
    uint32_t columns = 0;
    for (size_t i = 0; i < len; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

// Words from the cursor on, which is at TEXT_COLUMN, and in lines below it.
static void put_words(struct hone_buffer *out, const char *text, uint32_t width)
{
    uint32_t column = TEXT_COLUMN;
    for (const char *word = text; *word;) {
        size_t len = strcspn(word, " ");
        uint32_t columns = columns_of(word, len);
        bool first = column == TEXT_COLUMN;
        if (!first && column + 1 + columns > width) {
            hone_buffer_format(out, "\n%*s", TEXT_COLUMN, "");
            column = TEXT_COLUMN;
        } else if (!first) {
            hone_buffer_add(out, " ", 1);
            column++;
        }
        hone_buffer_add(out, word, len);
        column += columns;
        word += len;
        word += strspn(word, " ");
    }
    hone_buffer_text(out, "\n");
}

static uint32_t width_of_terminal(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col)
        return WIDTH_DEFAULT;
    return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
}

static void put_next(struct hone_buffer *out, const char *next)
{
    hone_buffer_format(out, "%*s→ %s\n", TEXT_COLUMN, "", next); // to be typed: never broken
}

// The finding that tells why a program cannot be recorded: whoever named it asks for this first.
static const struct hone_finding *missing_program(const struct hone_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        if (strcmp(findings->at[i].name, "recordable") == 0 &&
            findings->at[i].mark == HONE_MARK_BAD)
            return &findings->at[i];
    return NULL;
}

static void put_text(struct hone_buffer *out, const struct hone_findings *findings)
{
    uint32_t width = width_of_terminal();
    const char *topic = "";
    const struct hone_finding *missing = missing_program(findings);
    if (missing)
        hone_buffer_format(out, "%s\n\n", missing->what);
    if (findings->loads && findings->engine)
        hone_buffer_format(out, "'hone record' uses the engine %s here: %.0f of 1000 Hz\n\n",
                           hone_engine_name(findings->engine), findings->rate_hz);
    else
        hone_buffer_text(out, "'hone record' cannot work here\n\n");
    for (size_t i = 0; i < findings->count; i++) {
        const struct hone_finding *finding = &findings->at[i];
        if (strcmp(finding->topic, topic) != 0)
            hone_buffer_format(out, "%s%s\n", i ? "\n" : "", finding->topic);
        topic = finding->topic;
        hone_buffer_format(out, "  %s %-*s ", marks[finding->mark], TEXT_COLUMN - 5, finding->name);
        put_words(out, finding->what, width);
        if (finding->why) {
            hone_buffer_format(out, "%*s", TEXT_COLUMN, "");
            put_words(out, finding->why, width);
        }
        if (finding->next)
            put_next(out, finding->next);
    }
}

// --- for programs --------------------------------------------------------------------------------

static const char *const mark_names[] = {
    [HONE_MARK_GOOD] = "good", [HONE_MARK_LESS] = "less",       [HONE_MARK_BAD] = "bad",
    [HONE_MARK_FACT] = "fact", [HONE_MARK_UNKNOWN] = "unknown",
};

static json_t *text_or_null(struct hone_arena *arena, const char *text)
{
    if (!text)
        return json_null();
    bool failed = false;
    struct hone_str clean = hone_utf8_clean(arena, hone_str_of(text), SIZE_MAX / 8, &failed);
    return failed ? NULL : json_stringn(clean.at, clean.len);
}

static json_t *finding_json(struct hone_arena *arena, const struct hone_finding *finding)
{
    return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "topic", text_or_null(arena, finding->topic),
                     "name", text_or_null(arena, finding->name), "mark", mark_names[finding->mark],
                     "what", text_or_null(arena, finding->what), "why",
                     text_or_null(arena, finding->why), "next", text_or_null(arena, finding->next));
}

static int put_json(struct hone_buffer *out, const struct hone_findings *findings, bool works,
                    const char *program)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    json_t *list = json_array();
    for (size_t i = 0; list && i < findings->count; i++)
        if (json_array_append_new(list, finding_json(&arena, &findings->at[i]))) {
            json_decref(list);
            return -ENOMEM;
        }
    json_t *all =
        json_pack("{s:b, s:s, s:o, s:o, s:o, s:o}", "works", works, "engine",
                  hone_engine_name(findings->engine), "rate_hz",
                  findings->engine ? json_real(findings->rate_hz) : json_null(), "program",
                  text_or_null(&arena, program), "recordable",
                  program ? json_boolean(findings->recordable) : json_null(), "findings", list);
    char *text = all ? json_dumps(all, JSON_INDENT(2)) : NULL;
    json_decref(all);
    if (!text)
        return -ENOMEM;
    hone_buffer_format(out, "%s\n", text);
    free(text);
    return 0;
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct doctor_options *given = parsed;
    const char *program = operands->count ? operands->at[0] : NULL;
    if (operands->count > 1)
        return hone_misused(err, "one program at a time, not '%s' too", operands->at[1]);
    HONE_CLEANUP(hone_findings_done) struct hone_findings findings = {0};
    int r = hone_doctor_machine(&findings, err);
    if (!r && program)
        r = hone_doctor_program(&findings, program, err);
    if (r)
        return r;
    bool works =
        program ? findings.recordable : findings.loads && findings.engine == HONE_ENGINE_PERF_TRAP;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    if (given->json)
        r = put_json(&out, &findings, works, program);
    else
        put_text(&out, &findings);
    if (r)
        return hone_error_set(err, r, "cannot hold the output");
    r = hone_output_text(NULL, &out, err);
    return r ? r : !works;
}

const struct hone_command hone_command_doctor = {
    .name = "doctor",
    .summary = "what can be recorded here, and how to get the rest",
    .operands = "[PROGRAM]",
    .manual =
        "Engines and permissions are tried, not only read about: events are opened and their "
        "signals counted. Nothing is changed.\n\n"
        "✓ works, ~ works but could be better, ✗ does not work, ? could not be found out; → is "
        "the next step.\n\n"
        "The exit status is 0 when the best engine works here or, if a program is given, when it "
        "can be recorded; otherwise 1.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct doctor_options),
    .complete = "program",
    .run = run,
};
