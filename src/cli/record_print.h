// What 'hone record' prints of its own, all of it on stderr.
#ifndef HONE_CLI_RECORD_PRINT_H
#define HONE_CLI_RECORD_PRINT_H

#include "capture/capture.h"
#include "profile/profile.h"

#include <stdbool.h>

bool hone_record_terminal_is_free(void);

// One line, over the last one; for struct hone_capture_options. Nothing where the terminal is not
// free.
void hone_record_print_progress(void *context, const struct hone_capture_progress *progress);
void hone_record_erase_progress(void);

struct hone_record_end {
    const char *named; // the folder that was asked for; NULL: none
    unsigned types;    // HONE_TYPE_…, as asked for
    bool lock_order;
    int stuck; // deadlocks that were told of
};

void hone_record_print_end(const struct hone_record_end *end, const char *directory,
                           const struct hone_profile *const profiles[HONE_CAPTURE_TYPES]);

#endif
