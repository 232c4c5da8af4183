#include "symbol/place.h"

#include "base/cleanup.h"
#include "core/core.h"

#include <errno.h>
#include <stdlib.h>

uint32_t hone_symbol_add_function(struct hone_profile *profile, const char *name,
                                  const char *system_name, const char *file, int64_t start_line)
{
    return hone_profile_add_function(profile,
                                     &(struct hone_profile_function){
                                         .name = hone_profile_intern(profile, name),
                                         .system_name = hone_profile_intern(profile, system_name),
                                         .file = hone_profile_intern(profile, file),
                                         .start_line = start_line,
                                     });
}

void hone_symbol_add_lines(struct hone_profile *profile, const struct hone_symbol_frames *frames,
                           enum hone_symbol_telling telling, struct hone_profile_line *lines)
{
    bool all = telling == HONE_SYMBOL_ALL;
    for (size_t i = 0; i < frames->count; i++) {
        const struct hone_symbol_function *function = frames->at[i].function;
        lines[i] = (struct hone_profile_line){
            .function = hone_symbol_add_function(
                profile, all ? function->name : function->system_name, function->system_name,
                function->file, all ? function->start_line : 0),
            .number = frames->at[i].line,
            .column = all ? frames->at[i].column : 0,
        };
    }
}

int hone_symbol_add_location(struct hone_profile *profile, struct hone_profile_location *location,
                             const struct hone_symbol_frames *frames, uint32_t *ret)
{
    struct hone_profile_line few[16], *lines = few;
    HONE_CLEANUP(hone_freep) struct hone_profile_line *many = NULL;
    if (frames->count > HONE_ARRAY_LENGTH(few)) {
        lines = many = calloc(frames->count, sizeof *many);
        if (!many)
            return -ENOMEM;
    }
    hone_symbol_add_lines(profile, frames, HONE_SYMBOL_ALL, lines);
    location->lines = lines;
    location->line_count = (uint32_t)frames->count;
    *ret = hone_profile_add_location(profile, location);
    return hone_profile_status(profile);
}
