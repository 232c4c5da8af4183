// CPU profiles of V8 (Chrome, Node.js) as files of their own, .cpuprofile.
#include "convert/readers.h"
#include "convert/v8.h"

#include "base/cleanup.h"

int hone_cpuprofile_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                         struct hone_error *err)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = hone_profile_new();
    HONE_CLEANUP(hone_json_done) struct hone_json json = hone_json_of(bytes, len, name, err);
    HONE_CLEANUP(hone_v8_done) struct hone_v8_profile v8 = {0};
    if (!profile)
        return hone_build_out_of_memory(name, err);
    hone_v8_add_types(profile);
    int r = hone_v8_read(&v8, &json, profile);
    if (!r && hone_v8_add_samples(&v8, profile, 0))
        r = hone_build_out_of_memory(name, err);
    return r ? r : hone_build_finish(&profile, name, ret, err);
}

unsigned hone_cpuprofile_detect(const void *bytes, size_t len)
{
    struct hone_json json = hone_json_of(bytes, len, "", NULL);
    struct hone_str key;
    bool nodes = false;
    bool others = false;
    if (hone_json_peek(&json) != HONE_JSON_OBJECT || hone_json_object(&json))
        return HONE_CONVERT_NO;
    while (hone_json_key(&json, &key) > 0) {
        nodes |= hone_json_is(key, "nodes");
        others |= hone_json_is(key, "startTime") || hone_json_is(key, "timeDeltas") ||
                  hone_json_is(key, "samples");
        if (hone_json_skip(&json))
            break;
    }
    hone_json_done(&json);
    return nodes && others ? HONE_CONVERT_LIKELY : nodes ? HONE_CONVERT_POSSIBLE : HONE_CONVERT_NO;
}
