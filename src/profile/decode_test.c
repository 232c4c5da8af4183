// The fuzzer's corpus as an ordinary test, and once more with every allocation failing in turn.
#include <stdio.h>

#include "profile/decode_fuzz.h"

#include "base/base.h"
#include "base/starve.h"
#include "check.h"

#include <dirent.h>
#include <libdeflate.h>

static void *deflate_malloc(size_t size)
{
    return __wrap_malloc(size);
}

static void deflate_free(void *at)
{
    __wrap_free(at);
}

struct input {
    char name[256];
    char *bytes;
    size_t len;
};

// Calls check for each file of the corpus; returns how many there are.
static int each(void (*check)(const struct input *input))
{
    DIR *directory = opendir(CORPUS);
    CHECK(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
            continue;
        struct input input;
        char path[1024];
        (void)snprintf(input.name, sizeof input.name, "%s", entry->d_name);
        (void)snprintf(path, sizeof path, "%s/%s", CORPUS, entry->d_name);
        CHECK_EQ(hone_file_read(path, 1 << 20, &input.bytes, &input.len, NULL), 0);
        check(&input);
        free(input.bytes);
        count++;
    }
    (void)closedir(directory);
    return count;
}

static void check_outcome(const struct input *input)
{
    int r = hone_decode_check(input->bytes, input->len, false);
    bool bad = strncmp(input->name, "bad_", 4) == 0;
    cr_assert(r == (bad ? -EBADMSG : 0), "%s: decoding returned %d", input->name, r);
}

TEST(corpus_decodes_unless_its_name_says_bad)
{
    CHECK(each(check_outcome) >= 30);
}

static void check_short_of_memory(const struct input *input)
{
    bool bad = strncmp(input->name, "bad_", 4) == 0;
    for (long after = 0;; after++) {
        hone_starve_after = after;
        long before = hone_starve_blocks;
        int r = hone_decode_check(input->bytes, input->len, true);
        bool ran_out = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(hone_starve_blocks, before);
        CHECK(r == 0 || r == -ENOMEM || (bad && r == -EBADMSG));
        if (!ran_out)
            return; // nothing was left to fail
    }
}

TEST(running_out_of_memory_anywhere_is_an_error_and_nothing_leaks)
{
    libdeflate_set_memory_allocator(deflate_malloc, deflate_free);
    CHECK(each(check_short_of_memory) >= 30);
}
