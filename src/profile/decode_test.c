// The fuzzer's corpus as an ordinary test, and once more with every allocation failing in turn.
#include <stdio.h>

#include "profile/decode_fuzz.h"

#include "base/base.h"
#include "base/starve.h"
#include "check.h"
#include "corpus.h"

#include <libdeflate.h>

static void *deflate_malloc(size_t size)
{
    return __wrap_malloc(size);
}

static void deflate_free(void *at)
{
    __wrap_free(at);
}

static void check_outcome(const struct corpus_file *input)
{
    int r = hone_decode_check(input->bytes, input->len, false);
    bool bad = strncmp(input->name, "bad_", 4) == 0;
    cr_assert(r == (bad ? -EBADMSG : 0), "%s: decoding returned %d", input->name, r);
}

TEST(corpus_decodes_unless_its_name_says_bad)
{
    CHECK(corpus_each(CORPUS, check_outcome) >= 30);
}

static int read_checked(const struct corpus_file *input)
{
    return hone_decode_check(input->bytes, input->len, true);
}

static void check_short_of_memory(const struct corpus_file *input)
{
    corpus_starve(input, strncmp(input->name, "bad_", 4) == 0, read_checked);
}

TEST(running_out_of_memory_anywhere_is_an_error_and_nothing_leaks)
{
    libdeflate_set_memory_allocator(deflate_malloc, deflate_free);
    CHECK(corpus_each(CORPUS, check_short_of_memory) >= 30);
}
