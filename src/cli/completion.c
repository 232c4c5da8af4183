#include "cli/help.h"

#include <string.h>

static void print_words(FILE *out, const struct hone_choice *choices)
{
    const char *gap = "";
    for (const struct hone_choice *choice = choices; choice->word; choice++) {
        if (choice->synonym)
            continue;
        (void)fprintf(out, "%s%s", gap, choice->word);
        gap = " ";
    }
}

// How bash finds the words for a value or an operand; nothing when there is nothing to offer.
static void print_reply(FILE *out, const char *complete)
{
    const char *words = "";
    if (!complete)
        words = "";
    else if (strcmp(complete, "file") == 0)
        words = "-f";
    else if (strcmp(complete, "directory") == 0)
        words = "-d";
    else if (strcmp(complete, "profile") == 0)
        words = "-f -X '!*.prof'"; // directories come by -o plusdirs
    else if (strcmp(complete, "program") == 0)
        words = "-c -f";
    if (*words)
        (void)fprintf(out, "COMPREPLY=($(compgen %s -- \"$word\"))", words);
    else
        (void)fputs("COMPREPLY=()", out);
}

static void print_option_value(FILE *out, const struct hone_option *option)
{
    if (option->kind == HONE_OPTION_FLAG || option->kind == HONE_OPTION_WORD)
        return;
    (void)fprintf(out, "        --%s | -%s", option->name, option->name);
    if (option->letter)
        (void)fprintf(out, " | -%c", option->letter);
    (void)fputs(")\n            ", out);
    if (option->choices) {
        (void)fputs("COMPREPLY=($(compgen -W '", out);
        print_words(out, option->choices);
        (void)fputs("' -- \"$word\"))", out);
    } else {
        print_reply(out, option->complete);
    }
    (void)fputs("\n            return\n            ;;\n", out);
}

static void print_command(FILE *out, const struct hone_command *command)
{
    (void)fprintf(out, "    %s)\n        case \"$before\" in\n", command->name);
    for (const struct hone_option *option = command->options; option->name; option++)
        print_option_value(out, option);
    (void)fputs("        esac\n"
                "        if [[ $word == -* ]]; then\n"
                "            COMPREPLY=($(compgen -W '",
                out);
    for (const struct hone_option *option = command->options; option->name; option++)
        (void)fprintf(out, "--%s ", option->name);
    for (const char *const *flag = command->flags ? command->flags() : NULL; flag && *flag; flag++)
        (void)fprintf(out, "%s ", *flag);
    (void)fputs("--help' -- \"$word\"))\n        else\n            ", out);
    print_reply(out, command->complete);
    (void)fputs("\n        fi\n        ;;\n", out);
}

static void print_commands(FILE *out)
{
    for (const struct hone_command *const *at = hone_commands; *at; at++)
        (void)fprintf(out, "%s ", (*at)->name);
}

void hone_help_completion(FILE *out)
{
    (void)fputs("# bash completion for hone, made from its option tables\n"
                "_hone()\n"
                "{\n"
                "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
                "    if ((COMP_CWORD == 1)); then\n"
                "        COMPREPLY=($(compgen -W '",
                out);
    print_commands(out);
    (void)fputs("help --help --version' -- \"$word\"))\n"
                "        return\n"
                "    fi\n"
                "    case ${COMP_WORDS[1]} in\n"
                "    help)\n"
                "        COMPREPLY=($(compgen -W '",
                out);
    print_commands(out);
    (void)fputs("' -- \"$word\"))\n        ;;\n", out);
    for (const struct hone_command *const *at = hone_commands; *at; at++)
        print_command(out, *at);
    (void)fputs("    esac\n"
                "}\n"
                "complete -o plusdirs -F _hone hone\n",
                out);
}
