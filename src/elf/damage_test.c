// Damages a sound ELF file in thousands of ways: whatever is broken, reading returns. Under the
// address sanitizer each read outside the block is caught.
#include "elf/elf_read_all.h"

#include "check.h"
#include "corpus.h"

enum { TRIES = 300 };

static uint64_t random_state = 0x9e3779b97f4a7c15U;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static unsigned char *read_sample(const char *path, size_t *ret_len)
{
    char *bytes = NULL;
    CHECK_EQ(hone_file_read(path, 64 << 20, &bytes, ret_len, NULL), 0);
    return (unsigned char *)bytes;
}

static void damage(unsigned char *at, size_t len)
{
    static const unsigned char extremes[] = {0, 1, 0x7f, 0x80, 0xff};
    // Often in the last part, where the section headers are, and in the first, the ELF header.
    size_t where = next_random() % len;
    if (next_random() % 3 == 0)
        where = len - 1 - next_random() % (len < 4096 ? len : 4096);
    if (next_random() % 16 == 0)
        where = next_random() % 64;
    size_t run = 1 + next_random() % 8;
    for (size_t i = where; i < where + run && i < len; i++)
        at[i] = next_random() % 2 ? extremes[next_random() % sizeof extremes]
                                  : (unsigned char)next_random();
}

// Copies the sample into a block of exactly len bytes, breaks it and reads it.
static void read_damaged(const unsigned char *sample, size_t len, unsigned damages)
{
    unsigned char *copy = malloc(len ? len : 1);
    CHECK(copy);
    memcpy(copy, sample, len);
    for (unsigned i = 0; i < damages && len; i++)
        damage(copy, len);
    (void)hone_elf_read_all(copy, len);
    free(copy);
}

TEST(damaged_files_never_crash_the_reader)
{
    size_t len;
    HONE_CLEANUP(hone_freep) unsigned char *sample = read_sample(HONE_SAMPLE, &len);
    CHECK(hone_elf_read_all(sample, len) > 100); // sound, it has names
    for (int i = 0; i < TRIES; i++)
        read_damaged(sample, len, 1U << next_random() % 10);
}

TEST(files_cut_short_never_crash_the_reader)
{
    size_t len;
    HONE_CLEANUP(hone_freep) unsigned char *sample = read_sample(HONE_SAMPLE, &len);
    for (int i = 0; i < TRIES; i++)
        read_damaged(sample, next_random() % len, 0);
    for (size_t i = 0; i < 128; i++)
        read_damaged(sample, i, 0);
}

static void check_file(const struct corpus_file *file)
{
    (void)hone_elf_read_all((const unsigned char *)file->bytes, file->len);
}

TEST(corpus_of_the_fuzzer_never_crashes_the_reader)
{
    CHECK(corpus_each(HONE_CORPUS, check_file) > 0);
}
