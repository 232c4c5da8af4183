#include "fetch/fetch.h"

#include "base/base.h"
#include "base/cleanup.h"
#include "base/crew.h"
#include "base/heap.h"
#include "convert/convert.h"
#include "fetch/progress.h"
#include "fetch/transfer.h"
#include "fetch/url.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EXPECTED_MAX = 1 << 29 }; // bytes

struct work {
    struct hone_arena arena;
    const struct hone_fetch_options *options;
    struct hone_fetch_source *sources;
    struct hone_url *urls; // of the transfers
    struct hone_transfer *transfers;
    size_t transfer_count;
    struct hone_fetch_progress progress;
};

// --- files ---------------------------------------------------------------------------------------

// Files that several threads read, each the next one.
struct files {
    struct hone_fetch_source *sources;
    const char *type;   // of a recording that holds several
    const uint32_t *at; // places of those that are files
    uint32_t count;
    _Atomic uint32_t next;
};

static void read_local(struct hone_fetch_source *source, const char *type)
{
    char path[HONE_FETCH_PATH_MAX];
    int r = hone_fetch_locate(source->name, type, path, &source->error);
    if (r == 0)
        r = hone_convert_read(path, NULL, &source->profile, NULL, &source->error);
    source->error.code = r;
}

static void read_next(void *context, unsigned number)
{
    (void)number;
    struct files *files = context;
    uint32_t i;
    while ((i = atomic_fetch_add_explicit(&files->next, 1, memory_order_relaxed)) < files->count)
        read_local(&files->sources[files->at[i]], files->type);
}

// What reading and showing them takes, beside the frames of large ones, which are mapped alone.
static void expect(const struct files *files)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < files->count; i++) {
        char path[HONE_FETCH_PATH_MAX];
        struct stat status;
        if (hone_fetch_locate(files->sources[files->at[i]].name, files->type, path, NULL) == 0 &&
            stat(path, &status) == 0 && S_ISREG(status.st_mode))
            bytes += (size_t)status.st_size;
    }
    hone_heap_expect(bytes < EXPECTED_MAX ? bytes + bytes / 2 : EXPECTED_MAX);
}

// Decoding one file uses all processors only for a part of the time.
static void read_files(struct work *work, const uint32_t *at, uint32_t count)
{
    struct files files = {
        .sources = work->sources, .type = work->options->type, .at = at, .count = count};
    expect(&files);
    unsigned crew = hone_crew_size();
    hone_crew_run(count < crew ? count : crew, read_next, &files);
}

// --- servers -------------------------------------------------------------------------------------

static bool is_text(const char *content_type)
{
    return strncmp(content_type, "text/", 5) == 0;
}

static void decode(struct hone_transfer *transfer, const struct hone_url *url,
                   struct hone_fetch_source *source)
{
    int r = hone_convert_read_bytes(transfer->bytes.at, transfer->bytes.len, url->shown, NULL,
                                    &source->profile, NULL, &source->error);
    source->error.code = r;
    if (r == -EBADMSG && is_text(transfer->content_type))
        hone_error_hint(&source->error, "the server sent %s; is that the page of a profile?",
                        transfer->content_type);
    if (r)
        return;
    source->url = strdup(url->text);
    if (source->url)
        return;
    hone_profile_free(hone_take(source->profile));
    source->error.code = hone_error_set(&source->error, -ENOMEM, "cannot fetch '%s'", url->shown);
}

static void on_over(void *context, struct hone_transfer *transfer)
{
    struct work *work = context;
    struct hone_fetch_source *source = transfer->owner;
    if (transfer->result == 0) {
        decode(transfer, &work->urls[transfer - work->transfers], source);
    } else {
        source->error = transfer->error;
        source->error.code = transfer->result;
    }
}

static void on_progress(void *context, size_t over, uint64_t bytes)
{
    struct work *work = context;
    hone_fetch_progress_show(&work->progress, over, bytes);
}

static void tell(const struct work *work, const struct hone_url *url)
{
    const struct hone_fetch_options *options = work->options;
    struct hone_buffer line = {0};
    hone_buffer_format(&line, "Fetching profile over HTTP from %s", url->shown);
    hone_buffer_add(&line, "", 1);
    if (!line.failed)
        options->tell(options->context, line.at);
    hone_buffer_done(&line);
    if (options->seconds <= 0)
        return;
    // As Go writes durations: 30s, 1m30s, 1h0m0s.
    long long s = options->seconds;
    if (s >= 3600)
        hone_buffer_format(&line, "Please wait... (%lldh%lldm%llds)", s / 3600, s / 60 % 60,
                           s % 60);
    else if (s >= 60)
        hone_buffer_format(&line, "Please wait... (%lldm%llds)", s / 60, s % 60);
    else
        hone_buffer_format(&line, "Please wait... (%llds)", s);
    hone_buffer_add(&line, "", 1);
    if (!line.failed)
        options->tell(options->context, line.at);
    hone_buffer_done(&line);
}

static int ask_servers(struct work *work, struct hone_error *err)
{
    int64_t longest = 0;
    for (size_t i = 0; i < work->transfer_count; i++) {
        const struct hone_url *url = &work->urls[i];
        longest = url->seconds > longest ? url->seconds : longest;
        if (work->options->tell)
            tell(work, url);
    }
    hone_fetch_progress_begin(&work->progress, work->transfer_count, longest, work->options->quiet);
    struct hone_transfer_watch watch = {.over = on_over, .progress = on_progress, .context = work};
    int r = hone_transfer_run(work->transfers, work->transfer_count, work->options, &watch, err);
    hone_fetch_progress_end(&work->progress);
    return r;
}

// --- both ----------------------------------------------------------------------------------------

// Notes the transfer that a source needs. Returns 0, HONE_URL_NONE for a file or -ENOMEM.
static int plan(struct work *work, struct hone_fetch_source *source)
{
    struct hone_url *url = &work->urls[work->transfer_count];
    if (!source->name)
        return HONE_URL_NONE;
    int r = hone_url_of_source(&work->arena, source->name, work->options->seconds,
                               work->options->timeout_s, url);
    if (r)
        return r;
    work->transfers[work->transfer_count++] = (struct hone_transfer){
        .url = url->request,
        .shown = url->shown,
        .insecure = url->insecure,
        .direct = url->local,
        .timeout_s = url->timeout_s,
        .owner = source,
    };
    return 0;
}

static int fetch(struct work *work, size_t count, struct hone_error *err)
{
    work->urls = calloc(count, sizeof *work->urls);
    work->transfers = calloc(count, sizeof *work->transfers);
    HONE_CLEANUP(hone_freep) uint32_t *files = calloc(count, sizeof *files);
    uint32_t file_count = 0;
    if (!work->urls || !work->transfers || !files)
        return hone_error_set(err, -ENOMEM, "cannot read the profiles");
    for (size_t i = 0; i < count; i++) {
        int r = plan(work, &work->sources[i]);
        if (r < 0)
            return hone_error_set(err, r, "cannot read the profiles");
        if (r == HONE_URL_NONE)
            files[file_count++] = (uint32_t)i;
    }
    if (file_count)
        read_files(work, files, file_count);
    return work->transfer_count ? ask_servers(work, err) : 0;
}

int hone_fetch(struct hone_fetch_source *sources, size_t count,
               const struct hone_fetch_options *options, struct hone_error *err)
{
    static const struct hone_fetch_options defaults;
    struct work work = {.options = options ? options : &defaults, .sources = sources};
    for (size_t i = 0; i < count; i++) {
        sources[i].profile = NULL;
        sources[i].url = NULL;
        sources[i].error = (struct hone_error){0};
    }
    int r = count ? fetch(&work, count, err) : 0;
    if (r)
        hone_fetch_done(sources, count);
    free(work.urls);
    free(work.transfers);
    hone_arena_done(&work.arena);
    return r;
}

void hone_fetch_done(struct hone_fetch_source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hone_profile_free(hone_take(sources[i].profile));
        free(hone_take(sources[i].url));
    }
}

bool hone_fetch_is_remote(const char *name)
{
    struct hone_arena arena = {0};
    struct hone_url url;
    int r = name ? hone_url_of_source(&arena, name, 0, 0, &url) : HONE_URL_NONE;
    hone_arena_done(&arena);
    return r == 0;
}
