// Which view makes which report. Private to this room.
#ifndef HONE_PPROF_VIEWS_H
#define HONE_PPROF_VIEWS_H

#include "pprof/commands.h"
#include "view/text.h"

struct hone_profile;

// Appends what the command reports, as a picture if it is one.
int hone_pprof_view(const struct hone_profile *profile, const struct hone_pprof_command *command,
                    const struct hone_text_options *options, struct hone_buffer *out,
                    struct hone_error *err);

#endif
