#include "pprof/flags.h"

#include <errno.h>
#include <string.h>

static int set(const struct hone_pprof_flag *flag, const char *value)
{
    switch (flag->kind) {
    case HONE_PPROF_BOOL:
        return hone_pprof_parse_bool(value, flag->at);
    case HONE_PPROF_INT:
        return hone_pprof_parse_int(value, true, flag->at);
    case HONE_PPROF_FLOAT:
        return hone_pprof_parse_float(value, flag->at);
    case HONE_PPROF_TEXT:
        break;
    }
    *(const char **)flag->at = value;
    return 0;
}

static int bad_value(const char *name, const struct hone_pprof_flag *flag, const char *value, int r,
                     struct hone_error *err)
{
    const char *why = r == -ERANGE ? "value out of range" : "parse error";
    if (flag->kind == HONE_PPROF_BOOL)
        (void)hone_error_set(err, -EINVAL, "invalid boolean value \"%s\" for -%s: %s", value, name,
                             why);
    else
        (void)hone_error_set(err, -EINVAL, "invalid value \"%s\" for flag -%s: %s", value, name,
                             why);
    return -EINVAL;
}

// One flag; *at is the place of its word and then of the last one that belongs to it.
static int parse_one(const struct hone_pprof_flags *flags, int argc, char **argv, int *at,
                     struct hone_error *err)
{
    char *word = argv[*at];
    char *name = word + 1 + (word[1] == '-');
    if (!*name || *name == '-' || *name == '=')
        return hone_error_set(err, -EINVAL, "bad flag syntax: %s", word);
    char *value = strchr(name, '=');
    if (value)
        *value++ = '\0';
    struct hone_pprof_flag flag;
    if (!flags->find(flags->context, name, &flag)) {
        if (strcmp(name, "help") == 0 || strcmp(name, "h") == 0)
            return HONE_PPROF_FLAGS_HELP;
        return hone_error_set(err, -EINVAL, "flag provided but not defined: -%s", name);
    }
    if (!value && flag.kind == HONE_PPROF_BOOL) {
        *(bool *)flag.at = true;
        return 0;
    }
    if (!value && *at + 1 == argc)
        return hone_error_set(err, -EINVAL, "flag needs an argument: -%s", name);
    if (!value)
        value = argv[++*at];
    int r = set(&flag, value);
    return r ? bad_value(name, &flag, value, r, err) : 0;
}

int hone_pprof_flags_parse(const struct hone_pprof_flags *flags, int argc, char **argv,
                           int *ret_rest, struct hone_error *err)
{
    int at = 0;
    for (; at < argc && argv[at][0] == '-' && argv[at][1]; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        int r = parse_one(flags, argc, argv, &at, err);
        if (r)
            return r;
    }
    *ret_rest = at;
    return 0;
}
