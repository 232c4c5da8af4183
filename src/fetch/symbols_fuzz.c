#include "fetch/symbols_fuzz.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hone_symbols_check(data, size);
    hone_url_check(data, size);
    return 0;
}
