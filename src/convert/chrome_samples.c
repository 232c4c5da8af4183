// "samples" with "stackFrames": each sample names a frame, each frame its parent.
#include "convert/chrome_parts.h"

#include <errno.h>

static int read_stack_frame(struct hone_chrome *r, int64_t id)
{
    struct hone_str key;
    struct hone_v8_node node = {.id = id};
    uint32_t name = 0;
    uint32_t parent = 0;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "name"))
            result = hone_chrome_read_text(r, &name);
        else if (hone_json_is(key, "parent"))
            result = hone_chrome_read_text(r, &parent);
        else
            result = hone_json_skip(&r->json);
    }
    if (result)
        return result;
    node.parent = parent;
    node.location = hone_place_add(
        r->profile, &(struct hone_place){.name = hone_profile_str(r->profile, name)});
    return hone_v8_add_node(&r->sampled, &node) ? 0 : hone_chrome_out_of_memory(r);
}

// Ids are texts, so the strings' numbers serve as ids.
static int read_stack_frames(struct hone_chrome *r)
{
    struct hone_str key;
    hone_json_go(&r->json, r->frames);
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0)
        result = read_stack_frame(r, hone_profile_intern_str(r->profile, key));
    return result;
}

static int read_sample(struct hone_chrome *r)
{
    struct hone_str key;
    uint32_t frame = 0;
    uint32_t tid = 0;
    int64_t weight = 1;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "sf"))
            result = hone_chrome_read_text(r, &frame);
        else if (hone_json_is(key, "tid"))
            result = hone_chrome_read_text(r, &tid);
        else if (hone_json_is(key, "weight") && hone_json_peek(&r->json) == HONE_JSON_NUMBER)
            result = hone_json_integer(&r->json, &weight);
        else
            result = hone_json_skip(&r->json);
    }
    if (result || !frame)
        return result;
    uint32_t stack;
    int found = hone_v8_stack(&r->sampled, r->profile, frame, &r->stack, &stack);
    if (found == -ENOMEM)
        return hone_chrome_out_of_memory(r);
    if (found)
        return hone_json_bad(&r->json, "a sample with 'sf' %s, which is not in 'stackFrames'",
                             hone_profile_text(r->profile, frame));
    uint32_t labels;
    if (!hone_chrome_labels_of(r, 0, tid, &labels))
        return hone_chrome_out_of_memory(r);
    (void)hone_profile_add_sample_in_set(r->profile, stack, &weight, labels);
    return 0;
}

int hone_chrome_read_samples(struct hone_chrome *r)
{
    int result = read_stack_frames(r);
    if (result)
        return result;
    hone_json_go(&r->json, r->samples);
    result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result = read_sample(r);
    return result;
}
