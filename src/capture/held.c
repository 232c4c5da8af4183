#include "capture/held.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// glibc asks for its arenas in pieces that are aligned to their size.
#define ARENA_BYTES ((uint64_t)64 << 20)

// One mapping and what was read of it by now.
struct mapping {
    uint64_t end;
    bool counts;  // it is the C library's heap
    bool of_file; // or goes on where one of a file ends
    bool ours;
    uint64_t kib;
};

// "55d0-55d8 rw-p 00000000 00:00 0   [heap]". False: it is another line.
static bool read_head(const char *line, const struct mapping *before, struct mapping *ret)
{
    uint64_t start, end;
    char mode[5];
    int name = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*s %*u %n", &start, &end, mode, &name) < 3 ||
        !name)
        return false;
    const char *path = line + name;
    bool nameless = path[0] == '\0' || path[0] == '\n';
    bool heap = strncmp(path, "[heap]", 6) == 0;
    *ret = (struct mapping){.end = end, .of_file = path[0] == '/'};
    if (nameless && before->of_file && before->end == start)
        ret->of_file = true;
    bool arena = nameless && !ret->of_file && start % ARENA_BYTES == 0 && end - start <= ARENA_BYTES;
    ret->counts = mode[1] == 'w' && mode[3] == 'p' && (heap || arena);
    return true;
}

static uint64_t bytes_of(const struct mapping *mapping)
{
    return mapping->counts && !mapping->ours ? mapping->kib * 1024 : 0;
}

bool hone_held_parse(FILE *smaps, uint64_t *ret_bytes)
{
    char *line = NULL;
    size_t room = 0;
    struct mapping mapping = {0};
    uint64_t bytes = 0, kib, seen = 0;
    while (getline(&line, &room, smaps) > 0) {
        struct mapping next;
        if (sscanf(line, "Rss: %" SCNu64, &kib) == 1 || sscanf(line, "Swap: %" SCNu64, &kib) == 1) {
            mapping.kib += kib;
        } else if (strncmp(line, "VmFlags:", 8) == 0) {
            mapping.ours = strstr(line, " dd") != NULL;
        } else if (read_head(line, &mapping, &next)) {
            bytes += bytes_of(&mapping);
            mapping = next;
            seen++;
        }
    }
    free(line);
    if (!seen)
        return false;
    *ret_bytes = bytes + bytes_of(&mapping);
    return true;
}

bool hone_held_read(pid_t pid, uint64_t *ret_bytes)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *smaps = fopen(path, "re");
    if (!smaps)
        return false;
    bool read = hone_held_parse(smaps, ret_bytes);
    (void)fclose(smaps);
    return read;
}
