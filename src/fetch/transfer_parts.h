// What the parts of a transfer share: transfer.c runs them, transfer_answer.c reads what servers
// say. Private to these files.
#ifndef HONE_FETCH_TRANSFER_PARTS_H
#define HONE_FETCH_TRANSFER_PARTS_H

#include "core/clock.h"
#include "fetch/curl.h"
#include "fetch/transfer.h"

struct hone_transfers {
    const struct hone_curl *curl;
    const struct hone_transfer_watch *watch;
    CURLM *multi;
    struct curl_slist *post_headers;
    struct hone_transfer *at;
    size_t count;
    size_t begun;
    size_t over;
    size_t held_bytes; // of answers that nobody took yet
    uint64_t bytes;    // that ever came
};

static inline int64_t hone_transfer_now_ms(void)
{
    return (int64_t)(hone_now_ns() / 1000000);
}

// curl's callbacks; context is the transfer.
size_t hone_transfer_on_header(char *at, size_t size, size_t count, void *context);
size_t hone_transfer_on_body(char *at, size_t size, size_t count, void *context);

// Fills result and error of a transfer that curl has ended with this code, which may be fine.
void hone_transfer_judge(struct hone_transfer *transfer, CURLcode code);
// The same of one that was given up because its server is silent.
void hone_transfer_judge_silent(struct hone_transfer *transfer);

#endif
