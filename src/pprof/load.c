#include "pprof/driver.h"

#include "base/cleanup.h"
#include "fetch/fetch.h"
#include "pprof/binaries.h"
#include "pprof/symbolize.h"
#include "pprof/tell.h"
#include "profile/filter.h"
#include "profile/merge.h"
#include "profile/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// --- one source ----------------------------------------------------------------------------------

// "cannot fetch 'URL': reason" without what stands before the reason: the source is named already.
static void drop_beginning(struct hone_error *err)
{
    static const char beginning[] = "cannot fetch '";
    const char *reason = strstr(err->message, "': ");
    if (strncmp(err->message, beginning, sizeof beginning - 1) == 0 && reason)
        memmove(err->message, reason + 3, strlen(reason + 3) + 1);
}

// Why a file cannot be opened, as Go writes it; what else is wrong with it stays as it is.
static void rephrase(struct hone_fetch_source *source)
{
    drop_beginning(&source->error);
    HONE_CLEANUP(hone_fd_closep) int fd = open(source->name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 || hone_fetch_is_remote(source->name) || strcmp(source->name, "-") == 0)
        return;
    char reason[128];
    (void)snprintf(reason, sizeof reason, "%s", strerror(errno));
    if (reason[0] >= 'A' && reason[0] <= 'Z')
        reason[0] = (char)(reason[0] + 'a' - 'A');
    (void)hone_error_set(&source->error, 0, "open %s: %s", source->name, reason);
}

static void tell(void *context, const char *line)
{
    (void)context;
    hone_pprof_tell("%s", line);
}

static struct hone_fetch_options fetch_options(const struct hone_pprof_input *input)
{
    return (struct hone_fetch_options){
        .size = sizeof(struct hone_fetch_options),
        .seconds = input->seconds,
        .timeout_s = input->timeout,
        .tls_cert = *input->tls_cert ? input->tls_cert : NULL,
        .tls_key = *input->tls_key ? input->tls_key : NULL,
        .tls_ca = *input->tls_ca ? input->tls_ca : NULL,
        .tell = tell,
    };
}

// Without any mapping there is one for all: names may be had from a program given by hand.
static int add_mapping(struct hone_profile *p, struct hone_error *err)
{
    if (p->mappings.count > 1)
        return 0;
    uint32_t mapping = hone_profile_add_mapping(p, &(struct hone_profile_mapping){0});
    if (!mapping)
        return hone_error_set(err, hone_profile_status(p), "cannot hold the profile");
    for (uint32_t i = 1; i < p->locations.count; i++)
        p->locations.mapping[i] = mapping;
    return 0;
}

// What is done to each profile before it meets others.
static int prepare(const struct hone_pprof_input *input, struct hone_profile *profile,
                   struct hone_error *err)
{
    hone_profile_drop_blank_labels(profile);
    int r = hone_pprof_locate_binaries(profile, err);
    if (!r)
        r = add_mapping(profile, err);
    if (r)
        return r;
    struct hone_profile_mapping *program = &profile->mappings.at[1];
    if (*input->executable)
        program->file = hone_profile_intern(profile, input->executable);
    if (*input->build_id)
        program->build_id = hone_profile_intern(profile, input->build_id);
    r = hone_profile_status(profile);
    return r ? hone_error_set(err, r, "cannot hold the profile") : 0;
}

static void grab(const struct hone_pprof_input *input, struct hone_fetch_source *source)
{
    if (!source->profile) {
        rephrase(source);
    } else if (prepare(input, source->profile, &source->error) != 0) {
        hone_profile_free(source->profile);
        source->profile = NULL;
    }
}

// --- several -------------------------------------------------------------------------------------

struct profiles {
    struct hone_profile **at;
    size_t count;
};

static void profiles_done(struct profiles *profiles)
{
    for (size_t i = 0; i < profiles->count; i++)
        hone_profile_free(profiles->at[i]);
    free(profiles->at);
}

static const char *text(const struct hone_profile *p, uint32_t string)
{
    return hone_profile_text(p, string);
}

// Whether the names of two types say the same: one may have a plural s more.
static bool same_name(const char *a, const char *b)
{
    size_t len_a = strlen(a);
    size_t len_b = strlen(b);
    len_a -= len_a && a[len_a - 1] == 's';
    len_b -= len_b && b[len_b - 1] == 's';
    return len_a == len_b && memcmp(a, b, len_a) == 0;
}

static int check_types(const struct profiles *all, struct hone_error *err)
{
    const struct hone_profile *first = all->at[0];
    for (size_t i = 1; i < all->count; i++) {
        const struct hone_profile *p = all->at[i];
        const struct hone_profile_type *a = &first->period_type;
        const struct hone_profile_type *b = &p->period_type;
        if (!same_name(text(first, a->type), text(p, b->type)))
            return hone_error_set(
                err, -EINVAL, "period type: incompatible types: {%s %s 0 0} {%s %s 0 0}",
                text(first, a->type), text(first, a->unit), text(p, b->type), text(p, b->unit));
        if (p->type_count != first->type_count)
            return hone_error_set(err, -EINVAL, "inconsistent samples type count: %u != %u",
                                  first->type_count, p->type_count);
        for (uint32_t k = 0; k < p->type_count; k++) {
            a = &first->types[k];
            b = &p->types[k];
            if (!same_name(text(first, a->type), text(p, b->type)))
                return hone_error_set(
                    err, -EINVAL, "sample types: incompatible types: {%s %s 0 0} {%s %s 0 0}",
                    text(first, a->type), text(first, a->unit), text(p, b->type), text(p, b->unit));
        }
    }
    return 0;
}

static int make_compatible(const struct profiles *all, struct hone_error *err)
{
    int r = check_types(all, err);
    return r ? r : hone_profile_make_compatible(all->at, all->count, err);
}

static int combine(const struct profiles *all, struct hone_profile **ret, struct hone_error *err)
{
    int r = make_compatible(all, err);
    if (!r)
        r = hone_profile_merge_taken(all->at, all->count, ret, err);
    return r;
}

// Whether several mappings are of the same part of the same file, so that merging makes them one.
static bool has_equal_mappings(const struct hone_profile *p)
{
    for (uint32_t i = 2; i < p->mappings.count; i++)
        for (uint32_t k = 1; k < i; k++) {
            const struct hone_profile_mapping *a = &p->mappings.at[i];
            const struct hone_profile_mapping *b = &p->mappings.at[k];
            if (a->offset == b->offset &&
                (a->limit - a->start + 0xfff) >> 12 == (b->limit - b->start + 0xfff) >> 12 &&
                (a->build_id ? a->build_id : a->file) == (b->build_id ? b->build_id : b->file))
                return true;
        }
    return false;
}

// One profile needs no merging, which takes as long as reading it; unless its numbers are shown, or
// it would change.
static int merge(struct profiles *all, const struct hone_pprof_input *input,
                 struct hone_profile **ret, struct hone_error *err)
{
    if (all->count > 1)
        return combine(all, ret, err);
    if (input->numbered || has_equal_mappings(all->at[0]))
        return hone_profile_compact(all->at[0], ret, err);
    *ret = hone_take(all->at[0]);
    return 0;
}

// Merges the profiles of sources into one, which takes them.
static int merge_all(const struct hone_pprof_input *input, struct hone_fetch_source *sources,
                     size_t count, const char *what, struct hone_profile **ret,
                     struct hone_error *err)
{
    HONE_CLEANUP(profiles_done) struct profiles all = {0};
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    all.at = calloc(count, sizeof *all.at);
    if (!all.at)
        return hone_error_set(err, -ENOMEM, "cannot read the profiles");
    for (size_t i = 0; i < count; i++) {
        if (sources[i].profile)
            all.at[all.count++] = hone_take(sources[i].profile);
        else
            hone_pprof_tell("%s: %s", sources[i].name, sources[i].error.message);
    }
    if (!all.count)
        return hone_error_set(err, -EINVAL, "failed to fetch any %s profiles", what);
    if (all.count < count)
        hone_pprof_tell("Fetched %zu %s profiles out of %zu", all.count, what, count);
    struct hone_error why = {0};
    int r = merge(&all, input, ret, &why);
    if (r)
        return hone_error_set(err, -EINVAL, "problem fetching %s profiles: %s%s", what, why.message,
                              *what == 'b' ? "," : "");
    return 0;
}

// Scaling to another profile's sum takes equal types, to the letter.
static int normalize(struct hone_profile *profile, const struct hone_profile *base,
                     struct hone_error *err)
{
    const struct hone_profile_type *a = &profile->period_type;
    const struct hone_profile_type *b = &base->period_type;
    if (strcmp(text(profile, a->type), text(base, b->type)) != 0 ||
        strcmp(text(profile, a->unit), text(base, b->unit)) != 0)
        return hone_error_set(err, -EINVAL,
                              "incompatible period types &{%s %s 0 0} and &{%s %s 0 0}",
                              text(profile, a->type), text(profile, a->unit), text(base, b->type),
                              text(base, b->unit));
    return hone_profile_normalize(profile, base, err);
}

// Takes the base away from the profile.
static int subtract(const struct hone_pprof_input *input, struct hone_profile **profile,
                    struct hone_profile *base, struct hone_error *err)
{
    struct hone_profile *both[] = {*profile, base};
    struct profiles all = {.at = both, .count = 2};
    int r = input->normalize ? normalize(*profile, base, err) : 0;
    if (!r)
        r = make_compatible(&all, err);
    return r ? r : hone_profile_subtract(profile, base, input->diff_base, err);
}

// Where a mapping came from stood in place of a file that nobody knows, here or in a profile that
// was kept; a colon behind letters makes it an address, as Go has it.
static void forget_addresses(struct hone_profile *p)
{
    for (uint32_t i = 1; i < p->mappings.count; i++) {
        const char *file = text(p, p->mappings.at[i].file);
        bool letter = (*file >= 'a' && *file <= 'z') || (*file >= 'A' && *file <= 'Z');
        size_t len = strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "+-.");
        if (!p->mappings.at[i].build_id && letter && file[len] == ':')
            p->mappings.at[i].file = 0;
    }
}

// Each comment once, as merging has it.
static void drop_equal_comments(struct hone_profile *p)
{
    uint32_t to = 0;
    for (uint32_t i = 0; i < p->comment_count; i++) {
        bool there = false;
        for (uint32_t k = 0; k < to; k++)
            there |= p->comments[k] == p->comments[i];
        if (!there)
            p->comments[to++] = p->comments[i];
    }
    p->comment_count = to;
}

// --- all of it -----------------------------------------------------------------------------------

// The sources and, behind them, the base; all are asked at once.
struct load {
    const struct hone_pprof_input *input;
    struct hone_fetch_options options;
    struct hone_fetch_source *sources;
    size_t count;
    struct hone_fetch_origins *origins;
    bool remote;
};

static void load_done(struct load *load)
{
    hone_fetch_done(load->sources, load->sources ? load->count : 0);
    hone_fetch_origins_free(load->origins);
    free(load->sources);
}

static int fetch(struct load *load, struct hone_error *err)
{
    const struct hone_pprof_input *input = load->input;
    load->options = fetch_options(input);
    load->count = input->source_count + (*input->base != '\0');
    load->sources = calloc(load->count, sizeof *load->sources);
    if (!load->sources)
        return hone_error_set(err, -ENOMEM, "cannot read the profiles");
    for (size_t i = 0; i < load->count; i++)
        load->sources[i].name = i < input->source_count ? input->sources[i] : input->base;
    int r = hone_fetch(load->sources, load->count, &load->options, err);
    if (r)
        return r;
    for (size_t i = 0; i < load->count; i++) {
        grab(input, &load->sources[i]);
        load->remote |= load->sources[i].url && load->sources[i].profile;
    }
    return hone_fetch_origins_new(load->sources, load->count, &load->origins, err);
}

static int combine_sources(struct load *load, struct hone_profile **ret, struct hone_error *err)
{
    const struct hone_pprof_input *input = load->input;
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *base = NULL;
    size_t count = input->source_count;
    int r = merge_all(input, load->sources, count, "source", &profile, err);
    if (!r && load->count > count)
        r = merge_all(input, load->sources + count, 1, "base", &base, err);
    if (!r && profile && base)
        r = subtract(input, &profile, base, err);
    if (!r)
        *ret = hone_take(profile);
    return r;
}

// What servers measured is kept, for nobody can measure it again.
static void save(const struct hone_profile *profile)
{
    char path[HONE_FETCH_PATH_MAX];
    struct hone_error err = {0};
    if (hone_fetch_save(profile, path, &err) == 0)
        hone_pprof_tell("Saved profile in %s", path);
    else
        hone_pprof_tell("Could not save profile: %s", err.message);
}

int hone_pprof_load(const struct hone_pprof_input *input, struct hone_profile **ret,
                    struct hone_error *err)
{
    HONE_CLEANUP(load_done) struct load load = {.input = input};
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    int r = fetch(&load, err);
    if (!r)
        r = combine_sources(&load, &profile, err);
    if (!r)
        r = hone_pprof_symbolize(profile, input->symbolize, load.origins, &load.options, err);
    if (!r)
        r = hone_profile_drop_frames(profile, err);
    if (r)
        return r;
    forget_addresses(profile);
    drop_equal_comments(profile);
    if (*input->comment)
        hone_profile_add_comment(profile, input->comment);
    r = hone_profile_status(profile);
    if (r)
        return hone_error_set(err, r, "cannot hold the profile");
    if (load.remote)
        save(profile);
    *ret = hone_take(profile);
    return 0;
}
