// Whether a text is a regular expression to Go's package regexp, whose syntax is RE2's: what PCRE
// has besides, such as looking ahead and behind, references back and possessive operators, is none
// there.
#ifndef HONE_BASE_PATTERN_GO_H
#define HONE_BASE_PATTERN_GO_H

#include "base/error.h"

// Returns 0, or -EINVAL with Go's words in err: "error parsing regexp: missing closing ): `(`".
int hone_pattern_check_go(const char *text, struct hone_error *err);

#endif
