// Who of a process can be asked. Its first thread may have ended while others go on, by
// pthread_exit() or a signal's doing; then the kernel says under the process's number that there
// are no maps, no memory and no files, and says all of it under the number of a thread that lives.
//
// Threads: all.  Signals: not safe.
#ifndef HONE_CAPTURE_LIVING_H
#define HONE_CAPTURE_LIVING_H

#include <stdbool.h>
#include <sys/types.h>

// A thread of the process that has not ended, the first one if that goes on or nobody does.
pid_t hone_living_thread(pid_t pid);

// A thread that has ended or is not there: one that has is listed until others take note.
bool hone_thread_has_ended(pid_t pid, pid_t tid);

#endif
