#include "pprof/driver.h"

#include "base/cleanup.h"
#include "pprof/binaries.h"
#include "pprof/symbolize.h"
#include "pprof/tell.h"
#include "profile/filter.h"
#include "profile/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// --- one source ----------------------------------------------------------------------------------

static int read_source(const char *source, struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(source, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int r = -errno;
        (void)hone_error_set(err, 0, "open %s: %s", source, strerror(-r));
        if (err) { // as Go writes it
            char *reason = err->message + strlen(err->message) - strlen(strerror(-r));
            *reason = (char)(*reason >= 'A' && *reason <= 'Z' ? *reason + 'a' - 'A' : *reason);
        }
        return r;
    }
    return hone_profile_read(source, NULL, ret, err);
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

static int grab(const struct hone_pprof_input *input, const char *source, struct hone_profile **ret,
                struct hone_error *err)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    int r = read_source(source, &profile, err);
    if (r)
        return r;
    hone_profile_drop_blank_labels(profile);
    r = hone_pprof_locate_binaries(profile, err);
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
    if (r)
        return hone_error_set(err, r, "cannot hold the profile");
    *ret = hone_take(profile);
    return 0;
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

static int combine(const struct profiles *all, struct hone_profile **ret, struct hone_error *err)
{
    int r = check_types(all, err);
    if (!r)
        r = hone_profile_make_compatible(all->at, all->count, err);
    if (!r)
        r = hone_profile_merge((const struct hone_profile *const *)all->at, all->count, ret, err);
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

static int grab_all(const struct hone_pprof_input *input, const char *const *sources, size_t count,
                    const char *what, struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(profiles_done) struct profiles all = {0};
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    all.at = calloc(count, sizeof *all.at);
    if (!all.at)
        return hone_error_set(err, -ENOMEM, "cannot read the profiles");
    for (size_t i = 0; i < count; i++) {
        struct hone_error why = {0};
        int r = grab(input, sources[i], &all.at[all.count], &why);
        if (r)
            hone_pprof_tell("%s: %s", sources[i], why.message);
        else
            all.count++;
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

// Takes the base away from the profile.
static int subtract(const struct hone_pprof_input *input, struct hone_profile **profile,
                    struct hone_profile *base, struct hone_error *err)
{
    struct hone_profile *both[] = {*profile, base};
    struct profiles all = {.at = both, .count = 2};
    int r = 0;
    if (input->diff_base)
        r = hone_profile_set_label(base, "pprof::base", "true");
    if (!r && input->normalize)
        r = hone_profile_normalize(*profile, base, err);
    if (!r)
        r = hone_profile_scale(base, -1);
    struct hone_profile *result = NULL;
    if (!r)
        r = combine(&all, &result, err);
    if (r)
        return r;
    hone_profile_free(*profile);
    *profile = result;
    return 0;
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

int hone_pprof_load(const struct hone_pprof_input *input, struct hone_profile **ret,
                    struct hone_error *err)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *base = NULL;
    int r = grab_all(input, input->sources, input->source_count, "source", &profile, err);
    if (!r && *input->base)
        r = grab_all(input, &input->base, 1, "base", &base, err);
    if (!r && base)
        r = subtract(input, &profile, base, err);
    if (!r)
        r = hone_pprof_symbolize(profile, input->symbolize, err);
    if (!r)
        r = hone_profile_drop_frames(profile, err);
    if (r)
        return r;
    drop_equal_comments(profile);
    if (*input->comment)
        hone_profile_add_comment(profile, input->comment);
    r = hone_profile_status(profile);
    if (r)
        return hone_error_set(err, r, "cannot hold the profile");
    *ret = hone_take(profile);
    return 0;
}
