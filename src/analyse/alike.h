// Stacks that read alike: the same functions, files and lines all along, at addresses of their own,
// such as those of two calls in one line, or of a program's two processes.
#ifndef HONE_ANALYSE_ALIKE_H
#define HONE_ANALYSE_ALIKE_H

#include <stdbool.h>
#include <stdint.h>

struct hone_profile;

uint64_t hone_stack_hash(const struct hone_profile *profile, uint32_t stack);
bool hone_stacks_are_alike(const struct hone_profile *profile, uint32_t one, uint32_t other);

#endif
