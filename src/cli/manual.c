#include "cli/help.h"

#include <ctype.h>
#include <string.h>

// Text as groff reads it: a backslash and a dash are escaped, a line never begins with a request,
// an empty line parts paragraphs, and every device has the three dots of an ellipsis.
static void print_text(FILE *out, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            (void)fputs("\\&", out);
        line_start = *text == '\n';
        if (strncmp(text, "…", strlen("…")) == 0) {
            (void)fputs("...", out);
            text += strlen("…") - 1;
        } else if (*text == '\\') {
            (void)fputs("\\e", out);
        } else if (*text == '-') {
            (void)fputs("\\-", out);
        } else if (*text == '\n' && text[1] == '\n') {
            (void)fputs("\n.PP\n", out);
            text++;
        } else {
            (void)fputc(*text, out);
        }
    }
}

static void print_option(FILE *out, const struct hone_option *option)
{
    (void)fputs(".TP\n", out);
    if (option->letter)
        (void)fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    (void)fputs("\\fB\\-\\-", out);
    print_text(out, option->name);
    (void)fputs("\\fR", out);
    if (option->value) {
        (void)fputs(" \\fI", out);
        print_text(out, option->value);
        (void)fputs("\\fR", out);
    }
    (void)fputc('\n', out);
    print_text(out, option->help);
    if (option->initial) {
        (void)fputs(" (", out);
        print_text(out, option->initial);
        (void)fputc(')', out);
    }
    (void)fputc('\n', out);
}

static void print_examples(FILE *out, const struct hone_example *examples)
{
    for (const struct hone_example *example = examples; example->command; example++) {
        (void)fputs(".TP\n\\fB", out);
        print_text(out, example->command);
        (void)fputs("\\fR\n", out);
        print_text(out, example->purpose);
        (void)fputc('\n', out);
    }
}

static void print_command(FILE *out, const struct hone_command *command)
{
    (void)fprintf(out, ".SS hone %s\n", command->name);
    (void)fprintf(out, "\\fBhone %s\\fR %s", command->name,
                  command->options->name ? "[\\fIOPTION\\fR...] " : "");
    print_text(out, command->operands);
    (void)fprintf(out, "\n.PP\n%c", toupper((unsigned char)command->summary[0]));
    print_text(out, command->summary + 1);
    (void)fputs(".\n", out);
    if (command->manual) {
        (void)fputs(".PP\n", out);
        print_text(out, command->manual);
        (void)fputc('\n', out);
    }
    for (const struct hone_command_row *row = command->rows ? command->rows() : NULL;
         row && row->word; row++) {
        (void)fputs(".TP\n\\fB", out);
        print_text(out, row->word);
        (void)fputs("\\fR\n", out);
        print_text(out, row->meaning);
        (void)fputc('\n', out);
    }
    for (const struct hone_option *option = command->options; option->name; option++)
        print_option(out, option);
    (void)fputs(".PP\nExamples:\n", out);
    print_examples(out, command->examples);
}

void hone_help_manual(FILE *out)
{
    (void)fprintf(out, ".TH HONE 1 \"\" \"hone %s\" \"User Commands\"\n", HONE_VERSION);
    (void)fputs(".SH NAME\nhone \\- record and view where native programs spend their time\n", out);
    (void)fputs(".SH SYNOPSIS\n\\fBhone\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...] "
                "[\\fIFILE\\fR...]\n",
                out);
    (void)fputs(".SH DESCRIPTION\nHone records what a program does while it runs, without "
                "rebuilding it,\nand writes profiles in the format of pprof. The other commands "
                "show such files.\n",
                out);
    (void)fputs(".SH COMMANDS\n", out);
    for (const struct hone_command *const *at = hone_commands; *at; at++)
        print_command(out, *at);
    (void)fputs(
        ".SH NOTES\nAn option is written \\-\\-name, \\-name or by its letter, and its value "
        "follows after a space or \"=\".\n\"\\-\\-\" ends the options.\n.PP\n"
        "A time is written 100ms, 30s, 5m, 1h or 7d; a number alone is seconds.\n"
        "A size is written 4096, 512KiB or 10MB.\n"
        ".SH EXIT STATUS\n0 done, 1 failed, 2 misused. \\fBhone record\\fR passes on the status "
        "of the program.\n"
        ".SH FILES\n.TP\nprofiles/\\fIPROGRAM\\fR_\\fIYYYYMMDD\\fR_\\fIHHMMSS\\fR/\n"
        "a recording: \\fIcpu.prof\\fR, \\fIheap.prof\\fR, and \\fIsession.json\\fR, which says "
        "what ran and how it was recorded\n",
        out);
}
