// Any profile and any expressions: a filtered profile is one whose every number is there, and it
// encodes. The input is the expressions, one to a line, an empty line, and the profile's bytes.
#include "profile/filter.h"

#include "base/base.h"
#include "profile/decode_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 11 };

struct input {
    char lines[LINES][64];
    const uint8_t *profile;
    size_t profile_size;
};

static void split(const uint8_t *data, size_t size, struct input *ret)
{
    *ret = (struct input){.profile = data, .profile_size = size};
    for (size_t i = 0; i < LINES && ret->profile_size; i++) {
        const uint8_t *end = memchr(ret->profile, '\n', ret->profile_size);
        size_t len = end ? (size_t)(end - ret->profile) : 0;
        if (!end || len >= sizeof ret->lines[i])
            return;
        memcpy(ret->lines[i], ret->profile, len);
        ret->profile = end + 1;
        ret->profile_size -= len + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    split(data, size, &input);
    struct hone_profile_limits limits = {.plain_bytes = 1 << 20};
    struct hone_profile *p = NULL;
    if (hone_profile_decode(input.profile, input.profile_size, "fuzz", &limits, &p, NULL))
        return 0;
    struct hone_pattern *patterns[8] = {NULL};
    struct hone_label_filter *labels[2] = {NULL};
    for (size_t i = 0; i < 8; i++)
        if (input.lines[i][0])
            (void)hone_pattern_new_go(input.lines[i], &patterns[i], NULL);
    for (size_t i = 0; i < 2; i++)
        if (input.lines[8 + i][0])
            (void)hone_label_filter_new(input.lines[8 + i], &labels[i], NULL);
    const struct hone_profile_filter by = {.focus = patterns[0],
                                           .ignore = patterns[1],
                                           .hide = patterns[2],
                                           .show = patterns[3],
                                           .show_from = patterns[4],
                                           .label_focus = labels[0],
                                           .label_ignore = labels[1],
                                           .label_show = patterns[5],
                                           .label_hide = patterns[6],
                                           .prune_from = patterns[7]};
    struct hone_profile_filter_found found;
    bool root_found;
    bool leaf_found;
    const struct hone_str key = hone_str_of(input.lines[10]);
    if (hone_profile_drop_frames(p, NULL) == 0 && hone_profile_drop_kernel(p, NULL) == 0 &&
        hone_profile_label_frames(p, &key, key.len > 0, &key, key.len > 1, "ms", &root_found,
                                  &leaf_found, NULL) == 0 &&
        hone_profile_filter(p, &by, &found, NULL) == 0) {
        hone_profile_drop_inlined(p);
        hone_profile_drop_blank_labels(p);
        struct hone_buffer out = {0};
        HONE_DEMAND(hone_profile_validate(p, NULL) == 0);
        HONE_DEMAND(hone_profile_encode(p, &out, NULL) == 0);
        hone_buffer_done(&out);
    }
    for (size_t i = 0; i < 8; i++)
        hone_pattern_free(patterns[i]);
    for (size_t i = 0; i < 2; i++)
        hone_label_filter_free(labels[i]);
    hone_profile_free(p);
    return 0;
}
