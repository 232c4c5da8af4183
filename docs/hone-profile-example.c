// Prints the functions that profiles spent most in, all profiles taken together.
#include <hone/profile.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 10 };

static int fail(const struct hone_error *err)
{
    fprintf(stderr, "%s%s%s\n", err->message, *err->hint ? "; " : "", err->hint);
    return 1;
}

static void print_top(const struct hone_profile *p, uint32_t type, int64_t *own)
{
    printf("%s in %s\n", hone_profile_text(p, p->types[type].type),
           hone_profile_text(p, p->types[type].unit));
    for (int row = 0; row < ROWS; row++) {
        uint32_t best = 0;
        for (uint32_t f = 1; f < p->functions.count; f++)
            if (own[f] > own[best])
                best = f;
        if (!own[best])
            return;
        printf("%15" PRId64 "  %s\n", own[best], hone_profile_text(p, p->functions.name[best]));
        own[best] = 0;
    }
}

// Each sample is the leaf's own: the innermost function at the first location of its stack.
// Function 0 is no function; what has no name is added there and not shown.
static int show(const struct hone_profile *p, struct hone_error *err)
{
    uint32_t type;
    if (hone_profile_select_type(p, NULL, &type, err))
        return fail(err);
    int64_t *own = calloc(p->functions.count, sizeof *own);
    if (!own)
        return 1;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        struct hone_profile_span stack = hone_profile_frames_of(p, p->samples.stack[i]);
        struct hone_profile_line_span lines =
            hone_profile_lines_of(p, stack.count ? stack.at[0] : 0);
        own[lines.count ? lines.at[0].function : 0] += p->samples.values[type][i];
    }
    own[0] = 0;
    print_top(p, type, own);
    free(own);
    return 0;
}

int main(int argc, char **argv)
{
    struct hone_error err = {0};
    size_t count = argc > 1 ? (size_t)argc - 1 : 0;
    struct hone_profile **profiles = calloc(count + 1, sizeof *profiles);
    struct hone_profile *merged = NULL;
    int r = profiles ? 0 : -1;
    for (size_t i = 0; !r && i < count; i++)
        r = hone_profile_read(argv[i + 1], NULL, &profiles[i], &err);
    if (!r)
        r = hone_profile_make_compatible(profiles, count, &err);
    if (!r)
        r = hone_profile_merge((const struct hone_profile *const *)profiles, count, &merged, &err);
    int status = r ? fail(&err) : show(merged, &err);

    hone_profile_free(merged);
    for (size_t i = 0; profiles && i < count; i++)
        hone_profile_free(profiles[i]);
    free(profiles);
    return status;
}
