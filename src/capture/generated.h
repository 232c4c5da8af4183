// The files in which a process's JIT compilers name their code: found while it lives, for they lie
// in its own root and are named by the number that it has there, and read when it has ended.
#ifndef HONE_CAPTURE_GENERATED_H
#define HONE_CAPTURE_GENERATED_H

#include <stdbool.h>
#include <stdint.h>

struct hone_jit;

struct hone_generated_range;

struct hone_generated {
    int tmp_fd;      // /tmp of the process; -1: it was gone, ours is taken
    int dump_fd;     // the jitdump that it has open; -1: none so far
    uint32_t pid;    // as the process itself counts
    uint32_t here;   // as we do; 0: gone, or not to be found
    unsigned user;   // that it runs as; files of others are not believed
    unsigned looked; // for a jitdump, that many times
    bool foreign;    // its /tmp is not ours and it was gone: nothing can be found
    bool read;
    struct hone_generated_range *ranges; // memory of no file that it may execute
    uint32_t range_count, range_room;
    unsigned ranges_looked;
    struct hone_jit *names; // NULL: there are none
};

void hone_generated_init(struct hone_generated *generated);
void hone_generated_done(struct hone_generated *generated);

// The process, which has pid here (0: unknown, in another namespace) and inner_pid for itself, runs
// code of no file. Looks for its files, the first few times; and, unless it is 0, whether `address`
// lies in memory that a compiler may have written code to.
void hone_generated_see(struct hone_generated *generated, uint32_t pid, uint32_t inner_pid,
                        uint64_t pid_namespace, uint64_t address);

// Whether an address that was seen lay in such memory. Others may belong to a library that nobody
// told of, or to a stack that was misread.
bool hone_generated_holds(const struct hone_generated *generated, uint64_t address);

// Whether names depend on the time of a sample.
bool hone_generated_timed(const struct hone_generated *generated);

// Reads them, once. NULL when there are none; -ENOMEM leaves that at NULL, too.
struct hone_jit *hone_generated_names(struct hone_generated *generated);

#endif
