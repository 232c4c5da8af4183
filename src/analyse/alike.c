#include "analyse/alike.h"

#include "core/hash.h"
#include "profile/profile.h"

#include <string.h>

// Goes along a stack, inlined functions included.
struct walk {
    const struct hone_profile *profile;
    struct hone_profile_span frames;
    uint32_t frame, line;
};

// What is read of one function; of a place without a name, its address.
struct words {
    uint64_t at[3];
};

static struct walk begin(const struct hone_profile *profile, uint32_t stack)
{
    return (struct walk){profile, hone_profile_frames_of(profile, stack), 0, 0};
}

static bool next(struct walk *walk, struct words *ret)
{
    if (walk->frame == walk->frames.count)
        return false;
    const struct hone_profile *profile = walk->profile;
    uint32_t location = walk->frames.at[walk->frame];
    struct hone_profile_line_span lines = hone_profile_lines_of(profile, location);
    if (lines.count) {
        const struct hone_profile_line *line = &lines.at[walk->line];
        *ret = (struct words){{profile->functions.name[line->function],
                               profile->functions.file[line->function], (uint64_t)line->number}};
    } else {
        *ret = (struct words){{UINT64_MAX, 0, profile->locations.address[location]}};
    }
    if (++walk->line >= lines.count) {
        walk->frame++;
        walk->line = 0;
    }
    return true;
}

uint64_t hone_stack_hash(const struct hone_profile *profile, uint32_t stack)
{
    struct walk walk = begin(profile, stack);
    struct words words;
    uint64_t hash = 0;
    while (next(&walk, &words))
        hash = hone_hash_words(words.at, 3, hash);
    return hash;
}

bool hone_stacks_are_alike(const struct hone_profile *profile, uint32_t one, uint32_t other)
{
    struct walk first = begin(profile, one), second = begin(profile, other);
    struct words a, b;
    for (;;) {
        bool more = next(&first, &a);
        if (more != next(&second, &b))
            return false;
        if (!more)
            return true;
        if (memcmp(&a, &b, sizeof a) != 0)
            return false;
    }
}
