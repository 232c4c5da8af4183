#include "convert/convert_fuzz.h"

#include "convert/perf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// By content, as files of the corpus are; with a first byte that none of them has, the rest in the
// format of that number. perf.data has a fuzzer of its own: here each would look up names in this
// machine's kernel and programs, which takes a hundred times as long as all the rest.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size || size > 1 << 16)
        return 0;
    bool named = data[0] & 0x80;
    const struct hone_convert_format *format = named ? hone_fuzz_format(data[0] & 0x7f) : NULL;
    if (format ? format->read_file != NULL : hone_perf_detect(data, size))
        return 0;
    (void)hone_convert_check(format, data + named, size - named, false);
    return 0;
}
