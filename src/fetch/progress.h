// One line on a terminal that tells how far fetching is; nothing anywhere else. Private to this
// room.
#ifndef HONE_FETCH_PROGRESS_H
#define HONE_FETCH_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_fetch_progress {
    bool shown; // a line stands there
    bool wanted;
    size_t count;    // of servers
    int64_t seconds; // the longest that one of them measures
    int64_t begun_ms;
    int64_t last_ms;
};

void hone_fetch_progress_begin(struct hone_fetch_progress *progress, size_t count, int64_t seconds,
                               bool quiet);
void hone_fetch_progress_show(struct hone_fetch_progress *progress, size_t over, uint64_t bytes);
void hone_fetch_progress_end(struct hone_fetch_progress *progress); // takes the line away

#endif
