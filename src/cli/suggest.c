#include "cli/suggest.h"

#include <string.h>

#define WORD_MAX 32 // longer words are no command and no option of ours

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

// Edits from a to b, a swap of neighbours counted once; only the last three rows are kept.
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t changed = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, changed);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                size_t swapped = rows[(i - 2) % 3][j - 2] + 1;
                row[j] = swapped < row[j] ? swapped : row[j];
            }
        }
    }
    return rows[a_len % 3][b_len];
}

void hone_suggest(struct hone_suggest *suggest, const char *candidate)
{
    size_t len = strlen(candidate);
    if (len == 0 || len > WORD_MAX || suggest->typed_len == 0 || suggest->typed_len > WORD_MAX)
        return;
    size_t shorter = len < suggest->typed_len ? len : suggest->typed_len;
    size_t cost = distance(suggest->typed, suggest->typed_len, candidate, len);
    // A third of the longer word: "nope" is no "type".
    size_t longer = len > suggest->typed_len ? len : suggest->typed_len;
    size_t allowed = (longer + 1) / 3;
    // "freq" is five edits away from "frequency", and yet nobody doubts what was meant.
    if (shorter >= 2 && memcmp(suggest->typed, candidate, shorter) == 0)
        cost = cost < allowed ? cost : allowed;
    if (cost > allowed || (suggest->best && cost >= suggest->best_cost))
        return;
    suggest->best = candidate;
    suggest->best_cost = cost;
}
