// cli suggest: the word that somebody who mistyped meant.
#ifndef HONE_CLI_SUGGEST_H
#define HONE_CLI_SUGGEST_H

#include <stddef.h>

struct hone_suggest {
    const char *typed;
    size_t typed_len;
    const char *best; // the nearest candidate, NULL while none is near
    size_t best_cost;
};

// Looks at one more candidate. It is near when one word begins with the other, or when at most a
// third of its letters were mistyped (left out, added, changed, or two swapped).
void hone_suggest(struct hone_suggest *suggest, const char *candidate);

#endif
