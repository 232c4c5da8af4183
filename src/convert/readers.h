// The functions that the table of formats names, one set for each format. Private to this room.
#ifndef HONE_CONVERT_READERS_H
#define HONE_CONVERT_READERS_H

#include "convert/convert.h"

#define HONE_CONVERT_DETECT(format) unsigned hone_##format##_detect(const void *bytes, size_t len)
#define HONE_CONVERT_READ(format)                                                                  \
    int hone_##format##_read(const void *bytes, size_t len, const char *name,                      \
                             struct hone_profile **ret, struct hone_error *err)
#define HONE_CONVERT_WRITE(format)                                                                 \
    int hone_##format##_write(const struct hone_profile *profile, struct hone_buffer *out,         \
                              struct hone_error *err)

HONE_CONVERT_DETECT(pprof);
HONE_CONVERT_READ(pprof);
HONE_CONVERT_WRITE(pprof);

HONE_CONVERT_DETECT(collapsed);
HONE_CONVERT_READ(collapsed);
HONE_CONVERT_WRITE(collapsed);

HONE_CONVERT_DETECT(perfdata);
HONE_CONVERT_READ(perfdata);
bool hone_perfdata_detect_directory(const char *path);
int hone_perfdata_read_file(const char *path, struct hone_profile **ret, struct hone_error *err);
int hone_perfdata_read_event(const char *path, const char *event, struct hone_profile **ret,
                             struct hone_error *err);

HONE_CONVERT_DETECT(perf_script);
HONE_CONVERT_READ(perf_script);

HONE_CONVERT_DETECT(speedscope);
HONE_CONVERT_READ(speedscope);
HONE_CONVERT_WRITE(speedscope);

HONE_CONVERT_DETECT(chrome);
HONE_CONVERT_READ(chrome);
HONE_CONVERT_WRITE(chrome);

HONE_CONVERT_DETECT(cpuprofile);
HONE_CONVERT_READ(cpuprofile);

HONE_CONVERT_DETECT(callgrind);
HONE_CONVERT_READ(callgrind);
HONE_CONVERT_WRITE(callgrind);

HONE_CONVERT_DETECT(jemalloc);
HONE_CONVERT_READ(jemalloc);

HONE_CONVERT_DETECT(heaptrack);
HONE_CONVERT_READ(heaptrack);

HONE_CONVERT_DETECT(firefox);
HONE_CONVERT_READ(firefox);
HONE_CONVERT_WRITE(firefox);

HONE_CONVERT_DETECT(gecko);
HONE_CONVERT_READ(gecko);

HONE_CONVERT_DETECT(csv);
HONE_CONVERT_READ(csv);
HONE_CONVERT_WRITE(csv);
HONE_CONVERT_WRITE(csv_functions);

HONE_CONVERT_DETECT(json_profile);
HONE_CONVERT_READ(json_profile);
HONE_CONVERT_WRITE(json_profile);

HONE_CONVERT_DETECT(otlp);
HONE_CONVERT_READ(otlp);
HONE_CONVERT_WRITE(otlp);

HONE_CONVERT_DETECT(otlp_json);
HONE_CONVERT_READ(otlp_json);
HONE_CONVERT_WRITE(otlp_json);

#endif
