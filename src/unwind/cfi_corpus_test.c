// The fuzzer's property without a fuzzer: on what it has found so far, and on real entries damaged.
#include "unwind/modules.h"

#include "check.h"
#include "corpus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_input(const struct corpus_file *file)
{
    CHECK_EQ(LLVMFuzzerTestOneInput((const uint8_t *)file->bytes, file->len), 0);
}

TEST(corpus_does_no_harm)
{
    CHECK(corpus_each(HONE_CORPUS, check_input) >= 40);
}

static uint64_t state = 88172645463325252u;

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void damage(uint8_t *bytes, size_t size)
{
    for (uint64_t left = draw() % 8; left > 0; left--) {
        static const uint8_t interesting[] = {0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x0b, 0x0f, 0x10, 0x16};
        size_t at = draw() % size;
        bytes[at] = draw() % 2 ? interesting[draw() % sizeof interesting] : (uint8_t)draw();
    }
}

TEST(damaged_entries_of_loaded_modules_do_no_harm)
{
    static struct hone_modules modules;
    hone_modules_refresh(&modules);
    for (size_t i = 0; i < hone_modules_count(&modules); i++) {
        const struct hone_module *module = hone_modules_at(&modules, i);
        const struct hone_cfi *cfi = &module->cfi;
        if (!cfi->eh_frame)
            continue;
        const uint8_t *entries = cfi->frames.at + (cfi->eh_frame - cfi->frames.address);
        size_t available = cfi->frames.size - (cfi->eh_frame - cfi->frames.address);
        for (unsigned round = 0; round < 3000; round++) {
            uint8_t input[3 + 1024];
            size_t size = 1 + draw() % 1024;
            if (size > available)
                size = available;
            memcpy(input + 3, entries, size);
            damage(input + 3, size);
            uint64_t hdr = draw() % (2 * size);
            input[0] = (uint8_t)hdr;
            input[1] = (uint8_t)(hdr >> 8);
            input[2] = (uint8_t)draw();
            CHECK_EQ(LLVMFuzzerTestOneInput(input, 3 + size), 0);
        }
    }
}

TEST(random_bytes_do_no_harm)
{
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t input[200];
        for (size_t i = 0; i < sizeof input; i++)
            input[i] = (uint8_t)(draw() >> 32);
        CHECK_EQ(LLVMFuzzerTestOneInput(input, draw() % sizeof input), 0);
    }
}
