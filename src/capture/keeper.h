// A small process that outlives us: should we be killed, it removes what we had in shared memory.
// The programs that we recorded go on, with memory that nobody reads and that ends with them.
#ifndef HONE_CAPTURE_KEEPER_H
#define HONE_CAPTURE_KEEPER_H

#include <sys/types.h>

struct hone_keeper {
    int fd; // a pipe whose end tells it that we have ended; -1: there is none
    pid_t pid;
};

// Starts one that removes `path`, a file or a folder of files, when we end, however that is. Where
// it cannot be started there is none: then the next recording removes what is left.
void hone_keeper_start(struct hone_keeper *keeper, const char *path);

// Lets it remove what is still there, and end.
void hone_keeper_stop(struct hone_keeper *keeper);

// Removes a file, or a folder with the files in it.
void hone_keeper_remove(const char *path);

#endif
