// A small process of our own group that gets what is sent to the group, and nothing that is sent
// to us alone: so it is known who else got a signal that reached us.
#ifndef HONE_CAPTURE_SENTINEL_H
#define HONE_CAPTURE_SENTINEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hone_sentinel {
    pid_t pid; // 0: there is none
    int ask_fd, answer_fd;
};

// By number: how often the group was sent it; of those that do not queue, whether.
struct hone_group_signals {
    uint32_t count[64];
};

// Starts one, which ends with us. Where it cannot be started there is none.
void hone_sentinel_start(struct hone_sentinel *sentinel);

// Which signals the group was sent since the last time, signal n at n - 1. All members of the group
// have by now what one of them had before the call. False: it is not known, and from now on there
// is no sentinel.
bool hone_sentinel_ask(struct hone_sentinel *sentinel, struct hone_group_signals *ret);

void hone_sentinel_stop(struct hone_sentinel *sentinel);

#endif
