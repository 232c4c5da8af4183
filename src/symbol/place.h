// From names to a profile: the functions at an address as a location's lines.
#ifndef HONE_SYMBOL_PLACE_H
#define HONE_SYMBOL_PLACE_H

#include "profile/profile.h"
#include "symbol/symbol.h"

// What symbols and debug information say, as a profile keeps it.
enum hone_symbol_telling {
    HONE_SYMBOL_ALL,   // demangled, with columns and where functions begin
    HONE_SYMBOL_PLAIN, // mangled, without them: for those who demangle it themselves
};

// Adds the functions of frames, innermost first, and fills lines, which has room for them.
void hone_symbol_add_lines(struct hone_profile *profile, const struct hone_symbol_frames *frames,
                           enum hone_symbol_telling telling, struct hone_profile_line *lines);

// Adds the location with these frames as its lines, innermost first; what location says of lines is
// overwritten. Returns 0, -ENOMEM or what hone_profile_status() does; *ret is the location.
int hone_symbol_add_location(struct hone_profile *profile, struct hone_profile_location *location,
                             const struct hone_symbol_frames *frames, uint32_t *ret);

// A function by its names and file; NULL is none.
uint32_t hone_symbol_add_function(struct hone_profile *profile, const char *name,
                                  const char *system_name, const char *file, int64_t start_line);

#endif
