#include "fetch/progress.h"

#include "core/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { BETWEEN_MS = 250 };

static int64_t now_ms(void)
{
    return (int64_t)(hone_now_ns() / 1000000);
}

void hone_fetch_progress_begin(struct hone_fetch_progress *progress, size_t count, int64_t seconds,
                               bool quiet)
{
    // From the background nothing is written: it would come between another program's lines.
    bool ours = isatty(STDERR_FILENO) && tcgetpgrp(STDERR_FILENO) == getpgrp();
    *progress = (struct hone_fetch_progress){
        .wanted = !quiet && ours, .count = count, .seconds = seconds, .begun_ms = now_ms()};
}

void hone_fetch_progress_show(struct hone_fetch_progress *progress, size_t over, uint64_t bytes)
{
    int64_t now = now_ms();
    if (!progress->wanted || now - progress->last_ms < BETWEEN_MS)
        return;
    progress->last_ms = now;
    progress->shown = true;
    (void)fprintf(stderr, "\r\033[Khone: fetching %zu profile%s: ", progress->count,
                  progress->count == 1 ? "" : "s");
    if (progress->count > 1)
        (void)fprintf(stderr, "%zu there, ", over);
    if (bytes)
        (void)fprintf(stderr, "%.1f MB, ", (double)bytes / 1e6);
    (void)fprintf(stderr, "%lld s", (long long)(now - progress->begun_ms) / 1000);
    if (progress->seconds > 0)
        (void)fprintf(stderr, " of some %lld", (long long)progress->seconds);
    (void)fflush(stderr);
}

void hone_fetch_progress_end(struct hone_fetch_progress *progress)
{
    if (progress->shown)
        (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    progress->shown = false;
}
