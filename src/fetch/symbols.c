#include "fetch/symbols.h"

#include "fetch/fetch.h"
#include "fetch/transfer.h"
#include "fetch/url.h"
#include "profile/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 60 };

#define ANSWER_MAX ((size_t)256 << 20)

// The questions about one mapping, and what became of them.
struct question {
    uint32_t mapping;
    struct hone_url page;
    uint64_t higher;              // the server's addresses than the profile's
    struct hone_buffer addresses; // "0x1+0x2"
    struct hone_buffer answer;
};

struct asking {
    struct hone_arena arena;
    struct hone_profile *profile;
    struct question *questions;
    size_t count;
    uint32_t *question_of; // by mapping: number + 1
    struct hone_transfer *transfers;
    struct hone_symbols_answer *answers; // by mapping
};

// --- whom to ask ---------------------------------------------------------------------------------

// What has no symbols anywhere: "[vdso]" and the like.
static bool has_none(const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *name = slash && slash[1] ? slash + 1 : file;
    return name[0] == '[' || strncmp(name, "linux-vdso", 10) == 0 ||
           strncmp(file, "/dev/dri/", 9) == 0;
}

static bool page_of(struct asking *asking, const struct hone_fetch_origin *origin,
                    struct question *question)
{
    if (hone_url_of_symbols(&asking->arena, origin->url, &question->page) != 0)
        return false;
    question->higher = origin->start - asking->profile->mappings.at[question->mapping].start;
    return true;
}

static bool find_page(struct asking *asking, const struct hone_fetch_origins *origins,
                      uint32_t string, struct question *question)
{
    const char *key = hone_profile_text(asking->profile, string);
    const struct hone_fetch_origin *end = origins->at + origins->count;
    const struct hone_fetch_origin *at = string ? hone_fetch_origins_find(origins, key) : NULL;
    for (; at && at < end && strcmp(at->key, key) == 0; at++)
        if (page_of(asking, at, question))
            return true;
    return false;
}

static void choose(struct asking *asking, const struct hone_fetch_origins *origins, bool force)
{
    const struct hone_profile *profile = asking->profile;
    for (uint32_t i = 1; i < profile->mappings.count; i++) {
        const struct hone_profile_mapping *mapping = &profile->mappings.at[i];
        struct question question = {.mapping = i};
        const char *file = hone_profile_text(profile, mapping->file);
        bool known = mapping->flags & HONE_PROFILE_HAS_FUNCTIONS;
        if ((known && !force) || has_none(file) ||
            (!find_page(asking, origins, mapping->file, &question) &&
             !find_page(asking, origins, mapping->build_id, &question)))
            continue;
        asking->answers[i].asked = true;
        asking->answers[i].higher = question.higher;
        asking->questions[asking->count++] = question;
        asking->question_of[i] = (uint32_t)asking->count;
    }
}

static void add_addresses(struct asking *asking)
{
    const struct hone_profile *profile = asking->profile;
    for (uint32_t i = 1; i < profile->locations.count; i++) {
        uint32_t number = asking->question_of[profile->locations.mapping[i]];
        uint64_t address = profile->locations.address[i];
        if (!number || !address || hone_profile_lines_of(profile, i).count)
            continue;
        struct question *question = &asking->questions[number - 1];
        hone_buffer_format(&question->addresses, "%s0x%" PRIx64, question->addresses.len ? "+" : "",
                           address + question->higher);
    }
}

// --- asking --------------------------------------------------------------------------------------

static void on_over(void *context, struct hone_transfer *transfer)
{
    (void)context;
    struct question *question = transfer->owner;
    if (transfer->result == 0) {
        question->answer = transfer->bytes;
        transfer->bytes = (struct hone_buffer){0};
    }
}

static int ask(struct asking *asking, const struct hone_fetch_options *options,
               struct hone_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < asking->count; i++) {
        struct question *question = &asking->questions[i];
        if (question->addresses.failed)
            return hone_error_set(err, -ENOMEM, "cannot ask for names");
        if (question->addresses.len)
            asking->transfers[count++] = (struct hone_transfer){.url = question->page.request,
                                                                .shown = question->page.shown,
                                                                .insecure = question->page.insecure,
                                                                .direct = question->page.local,
                                                                .post = question->addresses.at,
                                                                .post_len = question->addresses.len,
                                                                .timeout_s = TIMEOUT_S,
                                                                .bytes_max = ANSWER_MAX,
                                                                .owner = question};
    }
    const struct hone_transfer_watch watch = {.over = on_over};
    int r = count ? hone_transfer_run(asking->transfers, count, options, &watch, err) : 0;
    for (size_t i = 0; i < count && !r; i++) {
        r = asking->transfers[i].result;
        if (r && err)
            *err = asking->transfers[i].error;
    }
    return r;
}

static int read_answers(struct asking *asking)
{
    int r = 0;
    for (size_t i = 0; i < asking->count && !r; i++) {
        const struct question *question = &asking->questions[i];
        if (question->answer.len)
            r = hone_symbols_read(question->answer.at, question->answer.len,
                                  &asking->answers[question->mapping].symbols);
    }
    return r;
}

static int symbolize(struct asking *asking, const struct hone_fetch_origins *origins, bool force,
                     const struct hone_fetch_options *options, struct hone_error *err)
{
    size_t room = (size_t)asking->profile->mappings.count + 1;
    asking->questions = calloc(room, sizeof *asking->questions);
    asking->question_of = calloc(room, sizeof *asking->question_of);
    asking->transfers = calloc(room, sizeof *asking->transfers);
    asking->answers = calloc(room, sizeof *asking->answers);
    if (!asking->questions || !asking->question_of || !asking->transfers || !asking->answers)
        return hone_error_set(err, -ENOMEM, "cannot ask for names");
    choose(asking, origins, force);
    add_addresses(asking);
    int r = ask(asking, options, err);
    if (r)
        return r;
    r = read_answers(asking);
    if (!r)
        r = hone_symbols_apply(asking->profile, asking->answers);
    return r ? hone_error_set(err, r, "cannot keep the names of functions") : 0;
}

static void asking_done(struct asking *asking)
{
    for (size_t i = 0; i < asking->count; i++) {
        hone_buffer_done(&asking->questions[i].addresses);
        hone_buffer_done(&asking->questions[i].answer);
    }
    for (uint32_t i = 0; asking->answers && i < asking->profile->mappings.count; i++)
        hone_symbols_done(&asking->answers[i].symbols);
    free(asking->questions);
    free(asking->question_of);
    free(asking->transfers);
    free(asking->answers);
    hone_arena_done(&asking->arena);
}

int hone_fetch_symbolize(struct hone_profile *profile, const struct hone_fetch_origins *origins,
                         bool force, const struct hone_fetch_options *options,
                         struct hone_error *err)
{
    static const struct hone_fetch_options defaults;
    if (!origins->count)
        return 0;
    struct asking asking = {.profile = profile};
    int r = symbolize(&asking, origins, force, options ? options : &defaults, err);
    asking_done(&asking);
    return r;
}
