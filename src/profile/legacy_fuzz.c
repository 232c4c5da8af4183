#include "profile/legacy.h"

#include "profile/decode_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (hone_legacy_detect(data, size))
        (void)hone_decode_check(data, size, false);
    return 0;
}
