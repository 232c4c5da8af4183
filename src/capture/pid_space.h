// Numbers of processes and threads that are those of another pid namespace, such as a container's,
// and what they are here.
#ifndef HONE_CAPTURE_PID_SPACE_H
#define HONE_CAPTURE_PID_SPACE_H

#include <stdint.h>

// The number that a thread knows itself by; 0: it has ended. `tid` is ours.
uint32_t hone_pid_inner(uint32_t pid, uint32_t tid);

// The process that is inner_pid in the pid namespace of that inode; 0: not to be found.
uint32_t hone_pid_outer(uint32_t inner_pid, uint64_t pid_namespace);

// The thread of process pid (ours) that knows itself as inner_tid; 0: not to be found.
uint32_t hone_tid_outer(uint32_t pid, uint32_t inner_tid);

#endif
