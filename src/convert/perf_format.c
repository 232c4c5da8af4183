// perf.data as a row of the table of formats.
#include "convert/readers.h"

#include "convert/convert.h"
#include "convert/perf.h"

unsigned hone_perfdata_detect(const void *bytes, size_t len)
{
    return hone_perf_detect(bytes, len) ? HONE_CONVERT_CERTAIN : HONE_CONVERT_NO;
}

bool hone_perfdata_detect_directory(const char *path)
{
    return hone_perf_is_directory(path);
}

int hone_perfdata_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                       struct hone_error *err)
{
    return hone_perf_read(bytes, len, name, NULL, ret, err);
}

int hone_perfdata_read_file(const char *path, struct hone_profile **ret, struct hone_error *err)
{
    return hone_perf_read_file(path, NULL, ret, err);
}

int hone_perfdata_read_event(const char *path, const char *event, struct hone_profile **ret,
                             struct hone_error *err)
{
    const struct hone_perf_options options = {.size = sizeof options, .event = event};
    return hone_perf_read_file(path, &options, ret, err);
}
