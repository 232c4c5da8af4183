// hone: the command. Finds the command's row, has its words parsed, runs it, and prints whatever
// went wrong: the only place that does.
#include "cli/help.h"
#include "cli/options.h"
#include "cli/suggest.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_MISUSED = 2,
};

// The exit status for a result of a command, after telling the user.
static int finish(int r, const struct hone_error *err)
{
    if (r >= 0)
        return r;
    struct hone_error told = *err;
    told.code = r; // its text is printed when nobody knew better words
    hone_error_print(&told);
    return r == HONE_MISUSED ? EXIT_MISUSED : EXIT_FAILED;
}

// Help that cannot be written is a failure like any other; a reader that went away is none.
static int finish_printing(void)
{
    struct hone_error err = {0};
    if ((fflush(stdout) == 0 && !ferror(stdout)) || errno == EPIPE)
        return EXIT_DONE;
    return finish(hone_error_set(&err, -errno, "cannot write to standard output"), &err);
}

static int unknown_command(const char *name)
{
    struct hone_error err = {0};
    struct hone_suggest suggest = {.typed = name, .typed_len = strlen(name)};
    for (const struct hone_command *const *at = hone_commands; *at; at++)
        hone_suggest(&suggest, (*at)->name);
    const char *kind = name[0] == '-' ? "option" : "command";
    if (suggest.best)
        (void)hone_misused(&err, "unknown %s '%s'; did you mean 'hone %s'?", kind, name,
                           suggest.best);
    else if (strchr(name, '/') && access(name, X_OK) == 0)
        (void)hone_misused(&err, "unknown command '%s'; to record it: hone record %s", name, name);
    else
        (void)hone_misused(&err, "unknown %s '%s'; see 'hone help'", kind, name);
    return finish(HONE_MISUSED, &err);
}

static int help(const char *name)
{
    const struct hone_command *command = name ? hone_command_find(name) : NULL;
    if (name && !command)
        return unknown_command(name);
    if (command)
        hone_help_command(stdout, command);
    else
        hone_help_overview(stdout);
    return finish_printing();
}

static int version(void)
{
    (void)puts("hone " HONE_VERSION);
    return finish_printing();
}

// For the build: what is installed beside the program.
static int generate(const char *what)
{
    if (what && strcmp(what, "man") == 0)
        hone_help_manual(stdout);
    else if (what && strcmp(what, "completion") == 0)
        hone_help_completion(stdout);
    else if (what && strcmp(what, "formats") == 0)
        hone_help_formats(stdout);
    else
        return unknown_command("--generate");
    return finish_printing();
}

static int run(const struct hone_command *command, int argc, char **argv)
{
    struct hone_error err = {0};
    struct hone_operands operands;
    void *parsed = calloc(1, command->options_size);
    if (!parsed)
        return finish(hone_error_set(&err, -ENOMEM, "cannot start"), &err);
    int r = 0;
    if (command->verbatim)
        operands = (struct hone_operands){argv, argc};
    else
        r = hone_options_parse(command, argc, argv, parsed, &operands, &err);
    if (r == HONE_OPTIONS_HELP)
        r = help(command->name);
    else
        r = finish(r == 0 ? command->run(parsed, &operands, &err) : r, &err);
    free(parsed);
    return r;
}

static int start(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name)
        return help(NULL);
    const char *word = name + strspn(name, "-");
    bool dashed = word != name;
    if (strcmp(word, "help") == 0 || (dashed && strcmp(word, "h") == 0))
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(word, "version") == 0)
        return version();
    if (strcmp(name, "--generate") == 0)
        return generate(argc > 2 ? argv[2] : NULL);
    const struct hone_command *command = hone_command_find(name);
    if (!command)
        return unknown_command(name);
    return run(command, argc - 2, argv + 2);
}

// Where the stack may not grow to that, as under 'ulimit -s', the work is done on a thread with one
// of its own: so the recorded program keeps its limit. Half of what is usual, and several times
// what any command was seen to use.
enum { STACK_BYTES = 4 << 20 };

struct work {
    int argc;
    char **argv;
    sigset_t signals;
    int status;
};

static void *do_work(void *argument)
{
    struct work *work = argument;
    (void)pthread_sigmask(SIG_SETMASK, &work->signals, NULL);
    work->status = start(work->argc, work->argv);
    return NULL;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    struct work whole = {.argc = argc, .argv = argv};
    pthread_attr_t attributes;
    if (getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur >= STACK_BYTES ||
        pthread_attr_init(&attributes))
        return start(argc, argv);
    // Threads that are begun later, with a size of no one's choosing, as well.
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_setattr_default_np(&attributes);
    pthread_t thread;
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &whole.signals); // they are the other thread's
    int r = pthread_create(&thread, &attributes, do_work, &whole);
    if (r) {
        (void)pthread_sigmask(SIG_SETMASK, &whole.signals, NULL);
        return start(argc, argv);
    }
    (void)pthread_join(thread, NULL);
    return whole.status;
}
