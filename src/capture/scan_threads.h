// Stops the threads of a process for a moment and reads their registers: by ptrace, as a debugger
// does, without a signal to anybody. For the scan for leaks, and for dumps of threads.
//
// epoll_wait and its like would return EINTR then: they are begun anew, where the machine lets us
// (x86-64). Elsewhere a thread in one of them is left alone: where its stack begins is known, its
// registers are not, but for the call's arguments. Whether it has stood still is asked afterwards.
//
// Should we die, the kernel lets all go on.
#ifndef HONE_CAPTURE_SCAN_THREADS_H
#define HONE_CAPTURE_SCAN_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HONE_SCAN_WORDS = 40 };

struct hone_scan_thread {
    pid_t tid;
    bool stopped; // by us
    int signal;   // that it was about to get
    uint64_t sp;
    uint64_t pointer;                // to its thread-local storage; 0: not known
    int64_t call;                    // that one waits in who was left alone
    uint64_t words[HONE_SCAN_WORDS]; // its registers
    size_t word_count;
};

struct hone_scan_threads {
    pid_t pid;
    struct hone_scan_thread *at;
    uint32_t count, room;
    uint32_t left; // of which were left alone
};

// Returns 0; -EPERM: we may not, a debugger may be there; -ESRCH: it is gone; -ETIME: one does not
// stop; -ENOMEM. Whatever it returns, hone_scan_resume() follows.
int hone_scan_stop(pid_t pid, uint64_t until_ns, struct hone_scan_threads *ret);
// Returns whether those that were left alone have stood still.
bool hone_scan_stood(const struct hone_scan_threads *threads);
void hone_scan_resume(struct hone_scan_threads *threads);

// The same for one thread, thread->tid of process pid, whatever call it is in. Returns 0; -ESRCH;
// -EPERM; -ETIME; whatever it returns, hone_scan_let_go() follows.
int hone_scan_stop_thread(struct hone_scan_thread *thread, pid_t pid, uint64_t until_ns);
void hone_scan_let_go(const struct hone_scan_thread *thread, pid_t pid);

// --- arch/ ---------------------------------------------------------------------------------------

// The registers of a stopped thread. Returns 0 or -errno.
int hone_scan_registers(struct hone_scan_thread *thread);

// Bytes behind the thread pointer that are the C library's account of the thread.
uint64_t hone_scan_thread_bytes(void);

// Whether the words, the upper end of a stack, which lie at `address`, hold such an account: then
// its thread pointer, else 0.
uint64_t hone_scan_thread_in(const uint64_t *words, size_t count, uint64_t address);

// --- scan_stack.c --------------------------------------------------------------------------------

// Where in [from, sp] the stack begins that the words speak of, the account of the thread with that
// pointer: others may have memory below it in the same mapping, where the program gave the thread
// its stack. `from`: they do not tell.
uint64_t hone_scan_stack_start(const uint64_t *words, size_t count, uint64_t pointer, uint64_t from,
                               uint64_t sp);

#endif
