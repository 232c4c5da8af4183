// Property: whatever decodes can be drawn, in a bounded size and without bytes that XML forbids.
#include "analyse/compare.h"
#include "view/diff.h"
#include "view/flame.h"

#include "base/base.h"
#include "base/pattern.h"
#include "profile/profile.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file(const struct hone_buffer *out)
{
    if (out->len > 3300000)
        abort();
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->at[i] < 0x20 && out->at[i] != '\n' && out->at[i] != '\t')
            abort();
}

// Nothing differs from itself, whatever it is.
static void compare_with_itself(const struct hone_profile *p,
                                const struct hone_flame_options *options)
{
    struct hone_compare_input sides[2] = {{&p, 1}, {&p, 1}};
    struct hone_compare_options how = {.group = options->group & 1, .by_cum = options->inverted};
    struct hone_compare *compare = NULL;
    if (hone_compare_new(sides, &how, &compare, NULL))
        return;
    for (uint32_t i = 0; i < compare->row_count; i++)
        if (compare->rows[i].is.verdict != HONE_VERDICT_UNKNOWN)
            abort();
    struct hone_buffer text = {0};
    (void)hone_text_diff(compare, &(struct hone_diff_options){.all = true, .width = 80}, &text,
                         NULL);
    (void)hone_json_diff(compare, NULL, &text, NULL);
    hone_buffer_done(&text);
    struct hone_buffer out = {0};
    if (hone_view_flame_diff(compare, sides, options, &out, NULL) == 0)
        check_file(&out);
    hone_buffer_done(&out);
    hone_compare_free(compare);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    // The first byte chooses the options.
    struct hone_flame_options options = {.size = sizeof options,
                                         .group = data[0] % 3,
                                         .inverted = data[0] & 4,
                                         .reversed = data[0] & 8,
                                         .max_frames = data[0] & 16 ? 5 : 0,
                                         .min_fraction = data[0] & 32 ? 0.1 : 0,
                                         .type = data[0] & 64 ? "0" : NULL};
    struct hone_profile_limits limits = {.plain_bytes = 1 << 20};
    struct hone_profile *p = NULL;
    if (hone_profile_decode(data + 1, size - 1, "fuzz", &limits, &p, NULL))
        return 0;
    static struct hone_pattern *some;
    if (!some && hone_pattern_new("a|m", &some, NULL))
        return 0;
    options.sandwich = data[0] & 128 ? some : NULL;
    struct hone_buffer out = {0};
    if (hone_view_flame(p, &options, &out, NULL) == 0)
        check_file(&out);
    hone_buffer_done(&out);
    compare_with_itself(p, &options);
    hone_profile_free(p);
    return 0;
}
