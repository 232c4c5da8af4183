#include "cli/input.h"

#include "base/cleanup.h"
#include "fetch/fetch.h"
#include "profile/merge.h"

#include <errno.h>
#include <string.h>

int hone_input_path(const struct hone_operands *operands, const char *type,
                    char path[HONE_INPUT_PATH_MAX], struct hone_error *err)
{
    const char *first = operands->count > 0 ? operands->at[0] : NULL;
    if (!hone_fetch_is_remote(first))
        return hone_fetch_locate(first, type, path, err);
    path[0] = '\0'; // the current directory
    return 0;
}

// --- what the user is told -----------------------------------------------------------------------

// On a terminal: which file stands for what was given.
static void tell_choice(const char *name, const char *type)
{
    char path[HONE_FETCH_PATH_MAX];
    if (!isatty(STDERR_FILENO) || hone_fetch_is_remote(name) ||
        hone_fetch_locate(name, type, path, NULL) != 0)
        return;
    if (!name || strcmp(path, name) != 0)
        hone_tell("showing '%s'", path);
}

// What a server measured is kept: nobody can measure it again.
static void keep(const struct hone_profile *profile)
{
    char path[HONE_FETCH_PATH_MAX];
    struct hone_error err = {0};
    if (hone_fetch_save(profile, path, &err) == 0)
        hone_tell("saved as '%s'", path);
    else
        hone_error_print(&err);
}

// --- reading -------------------------------------------------------------------------------------

// A file that cannot be read is an error; a server that fails is left out, as long as one answers.
static int judge(struct hone_fetch_source *sources, size_t count, struct hone_error *err)
{
    size_t good = 0;
    for (size_t i = 0; i < count; i++) {
        good += sources[i].profile != NULL;
        if (sources[i].profile || hone_fetch_is_remote(sources[i].name))
            continue;
        *err = sources[i].error;
        return err->code;
    }
    for (size_t i = 0; i < count; i++) {
        if (sources[i].profile)
            continue;
        if (!good && i + 1 == count) {
            *err = sources[i].error;
            return err->code;
        }
        hone_error_print(&sources[i].error);
    }
    if (good < count)
        hone_tell("showing %zu of %zu profiles", good, count);
    return 0;
}

static int merge(struct hone_fetch_source *sources, size_t count, struct hone_profile **ret,
                 struct hone_error *err)
{
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    HONE_CLEANUP(hone_freep) struct hone_profile **profiles = calloc(count, sizeof *profiles);
    if (!profiles)
        return hone_error_set(err, -ENOMEM, "cannot read the profiles");
    size_t good = 0;
    for (size_t i = 0; i < count; i++)
        if (sources[i].profile)
            profiles[good++] = hone_take(sources[i].profile);
    int r = hone_profile_merge_taken(profiles, good, ret, err);
    for (size_t i = 0; i < good; i++)
        hone_profile_free(profiles[i]);
    return r;
}

static int read_sources(struct hone_fetch_source *sources, size_t count,
                        const struct hone_input_options *given, struct hone_profile **ret,
                        struct hone_error *err)
{
    const struct hone_fetch_options options = {
        .size = sizeof options,
        .type = given->type,
        .seconds = given->seconds,
        .timeout_s = (given->timeout_ns + 999999999) / 1000000000,
        .tls_cert = given->tls_cert,
        .tls_key = given->tls_key,
        .tls_ca = given->tls_ca,
    };
    int r = hone_fetch(sources, count, &options, err);
    if (!r)
        r = judge(sources, count, err);
    if (r)
        return r;
    bool remote = false;
    for (size_t i = 0; i < count; i++) {
        remote |= sources[i].url != NULL;
        tell_choice(sources[i].name, given->type);
    }
    if (count == 1)
        *ret = hone_take(sources[0].profile);
    else
        r = merge(sources, count, ret, err);
    if (!r && remote)
        keep(*ret);
    return r;
}

int hone_input_read(const struct hone_operands *operands, const struct hone_input_options *options,
                    struct hone_profile **ret, struct hone_error *err)
{
    if (!options->tls_cert != !options->tls_key)
        return hone_misused(err, "--tls-cert and --tls-key need each other");
    size_t count = operands->count > 0 ? (size_t)operands->count : 1;
    HONE_CLEANUP(hone_freep) struct hone_fetch_source *sources = calloc(count, sizeof *sources);
    if (!sources)
        return hone_error_set(err, -ENOMEM, "cannot read the profiles");
    for (int i = 0; i < operands->count; i++)
        sources[i].name = operands->at[i];
    int r = read_sources(sources, count, options, ret, err);
    hone_fetch_done(sources, count);
    return r;
}
