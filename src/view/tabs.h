// Columns of text: cells that end with a tab are put under each other, to the right, as wide as the
// widest one and a blank. Neighbouring lines that have a cell in a column share its width; what
// follows the last tab of a line belongs to no column. Private to this room.
#ifndef HONE_VIEW_TABS_H
#define HONE_VIEW_TABS_H

#include "base/buffer.h"
#include "base/str.h"

// Returns 0 or -ENOMEM.
int hone_tabs_put(struct hone_buffer *out, struct hone_str text);

#endif
