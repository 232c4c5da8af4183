// Text that is as long as the profile: made in pieces, on all processors, and handed on in order as
// soon as it is made, so that little of it is in memory. Private to this room.
#ifndef HONE_VIEW_TEXT_PIECES_H
#define HONE_VIEW_TEXT_PIECES_H

#include "view/text.h"

// make() appends the piece of this number, which ends with a line. It is called once for each, on
// any thread.
struct hone_text_pieces {
    void (*make)(const void *context, uint32_t number, struct hone_buffer *text);
    const void *context;
    uint32_t count;
};

// Hands what is in out, and behind it all pieces, to the sink of the options; without one they are
// appended to out. Returns 0, also where the sink wants no more; -ENOMEM; what the sink returned.
int hone_text_pieces_put(const struct hone_text_pieces *pieces,
                         const struct hone_text_options *options, struct hone_buffer *out,
                         struct hone_error *err);

#endif
