#include "cli/help.h"

#include <string.h>

#define WIDTH 80

// Columns, for text of UTF-8.
static int width_of(const char *text, int len)
{
    int width = 0;
    for (int i = 0; i < len; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

// Prints text up to its line end in lines of at most WIDTH columns. The first begins at column
// indent, where the cursor is already, the others are indented to it.
static void print_wrapped(FILE *out, const char *text, int indent)
{
    int column = indent;
    for (;;) {
        text += strspn(text, " ");
        int word = (int)strcspn(text, " \n");
        if (word == 0)
            break;
        int columns = width_of(text, word);
        const char *gap = column > indent ? " " : "";
        if (column > indent && column + 1 + columns > WIDTH) {
            (void)fprintf(out, "\n%*s", indent, "");
            column = indent;
            gap = "";
        }
        (void)fprintf(out, "%s%.*s", gap, word, text);
        column += (int)strlen(gap) + columns;
        text += word;
    }
    (void)fputc('\n', out);
}

// What they are for stands beside them, or below where that is too wide.
static void print_examples(FILE *out, const struct hone_example *examples)
{
    int widest = 0;
    int purpose = 0;
    for (const struct hone_example *example = examples; example->command; example++) {
        int len = (int)strlen(example->command);
        widest = len > widest ? len : widest;
        len = (int)strlen(example->purpose);
        purpose = len > purpose ? len : purpose;
    }
    bool beside = 2 + widest + 3 + purpose <= WIDTH;
    for (const struct hone_example *example = examples; example->command; example++)
        if (beside)
            (void)fprintf(out, "  %-*s   %s\n", widest, example->command, example->purpose);
        else
            (void)fprintf(out, "  %s\n      %s\n", example->command, example->purpose);
}

void hone_help_overview(FILE *out)
{
    static const struct hone_example examples[] = {
        {"hone record ./server --port 80", "run a program and record where it spends its CPU time"},
        {"hone top", "the functions that took most, of the newest recording"},
        {"hone flame -o flame.svg", "the same as a flame graph to open in a browser"},
        {0},
    };
    print_examples(out, examples);
    (void)fputs("\nhone COMMAND [OPTION…] [FILE…]\n", out);
    for (const struct hone_command *const *at = hone_commands; *at; at++)
        (void)fprintf(out, "  %-10s  %s\n", (*at)->name, (*at)->summary);
    (void)fputs("\n'hone help COMMAND' tells more about one of them\n", out);
}

// "-F, --frequency HZ", and how many columns it takes.
static int option_label(const struct hone_option *option, char *buffer, size_t len)
{
    char letter[8] = "    ";
    if (option->letter)
        (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    int bytes = snprintf(buffer, len, "%s--%s%s%s", letter, option->name, option->value ? " " : "",
                         option->value ? option->value : "");
    return width_of(buffer, bytes);
}

static void print_option_help(FILE *out, const struct hone_option *option, int indent)
{
    char text[512];
    int used = snprintf(text, sizeof text, "%s", option->help);
    if (option->initial && used > 0 && (size_t)used < sizeof text)
        (void)snprintf(text + used, sizeof text - (size_t)used, " (%s)", option->initial);
    print_wrapped(out, text, indent);
}

static void print_options(FILE *out, const struct hone_command *command)
{
    char label[64];
    int widest = 0;
    for (const struct hone_option *option = command->options; option->name; option++) {
        int len = option_label(option, label, sizeof label);
        widest = len > widest ? len : widest;
    }
    for (const struct hone_option *option = command->options; option->name; option++) {
        int columns = option_label(option, label, sizeof label);
        (void)fprintf(out, "  %s%*s", label, widest - columns + 3, "");
        print_option_help(out, option, widest + 5);
    }
}

// Rows of words with their meaning, of which the longest word sets the column.
static void print_rows(FILE *out, const struct hone_command_row *rows)
{
    int widest = 0;
    for (const struct hone_command_row *row = rows; row->word; row++) {
        int len = (int)strlen(row->word);
        widest = len > widest ? len : widest;
    }
    (void)fputc('\n', out);
    for (const struct hone_command_row *row = rows; row->word; row++) {
        (void)fprintf(out, "  %-*s   ", widest, row->word);
        print_wrapped(out, row->meaning, widest + 5);
    }
}

void hone_help_command(FILE *out, const struct hone_command *command)
{
    print_examples(out, command->examples);
    (void)fprintf(out, "\nhone %s%s %s\n", command->name,
                  command->options->name ? " [OPTION…]" : "", command->operands);
    print_options(out, command);
    for (const char *paragraph = command->manual; paragraph && *paragraph;) {
        (void)fputc('\n', out);
        print_wrapped(out, paragraph, 0);
        paragraph += strcspn(paragraph, "\n");
        paragraph += strspn(paragraph, "\n");
    }
    if (command->rows)
        print_rows(out, command->rows());
}
