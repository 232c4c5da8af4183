// cli values: numbers with units as people write them, both ways.
#ifndef HONE_CLI_VALUES_H
#define HONE_CLI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Each reads the whole text; false when it is not such a value or beyond INT64_MAX.
bool hone_value_count(const char *text, int64_t *ret);
bool hone_value_time(const char *text, int64_t *ret_ns);    // 100ms 1.5s 1h30m 7d; bare: seconds
bool hone_value_size(const char *text, int64_t *ret_bytes); // 4096 512KiB 64K 10MB

// The shortest exact form in one unit: 90000000000 is "90s". Both cut at the buffer's end.
void hone_value_print_time(int64_t ns, char *buffer, size_t len);
void hone_value_print_size(int64_t bytes, char *buffer, size_t len);

#endif
