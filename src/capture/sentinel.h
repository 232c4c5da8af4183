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

// Starts one, which ends with us. Where it cannot be started there is none.
void hone_sentinel_start(struct hone_sentinel *sentinel);

// Which signals the group was sent since the last time: bit n - 1 for signal n. All members of the
// group have by now what one of them had before the call. False: it is not known, and from now on
// there is no sentinel.
bool hone_sentinel_ask(struct hone_sentinel *sentinel, uint64_t *ret);

void hone_sentinel_stop(struct hone_sentinel *sentinel);

#endif
