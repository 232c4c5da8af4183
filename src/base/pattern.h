// Regular expressions that users give: Perl's syntax (PCRE2), which covers what Go programmers know
// from pprof. A pattern matches anywhere in a text unless it is anchored.
//
// It promises bounded time: where a pattern would try for ages the text does not match, and
// hone_pattern_gave_up() tells.
//
// Threads: one at a time for each pattern.
#ifndef HONE_BASE_PATTERN_H
#define HONE_BASE_PATTERN_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

struct hone_pattern;

// Returns 0; -EINVAL with what is wrong and where in err; -ENOMEM.
int hone_pattern_new(const char *text, struct hone_pattern **ret, struct hone_error *err);

// The same for those who write for Go: what its package regexp refuses is refused with its words,
// such as looking back and ahead, and '$' is the end of the text only.
int hone_pattern_new_go(const char *text, struct hone_pattern **ret, struct hone_error *err);
void hone_pattern_free(struct hone_pattern *pattern);
void hone_pattern_freep(struct hone_pattern **pattern); // for HONE_CLEANUP

bool hone_pattern_matches(struct hone_pattern *pattern, struct hone_str text);

// As it was given.
const char *hone_pattern_text(const struct hone_pattern *pattern);

// Whether a text was given up because the pattern takes too long on it.
bool hone_pattern_gave_up(const struct hone_pattern *pattern);

#endif
