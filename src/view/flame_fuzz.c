// Property: whatever decodes can be drawn, in a bounded size and without bytes that XML forbids.
#include "view/flame.h"

#include "base/base.h"
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
    struct hone_buffer out = {0};
    if (hone_view_flame(p, &options, &out, NULL) == 0)
        check_file(&out);
    hone_buffer_done(&out);
    hone_profile_free(p);
    return 0;
}
