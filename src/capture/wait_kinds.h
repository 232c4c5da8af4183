// What a thread waits for, finer than the states of the wall clock: what the label `wait` says. The
// system call tells most of it. A futex alone does not tell what it is the futex of; the innermost
// function of the stack that is known to wait does.
#ifndef HONE_CAPTURE_WAIT_KINDS_H
#define HONE_CAPTURE_WAIT_KINDS_H

#include "capture/waits.h"
#include "session/layout.h"

#include <stddef.h>

enum hone_wait_kind {
    HONE_KIND_NONE,
    HONE_KIND_RUNNABLE,
    HONE_KIND_UNKNOWN,
    HONE_KIND_FUTEX, // whatever uses it
    HONE_KIND_MUTEX,
    HONE_KIND_RWLOCK,
    HONE_KIND_SPIN,
    HONE_KIND_CONDITION,
    HONE_KIND_SEMAPHORE,
    HONE_KIND_BARRIER,
    HONE_KIND_JOIN,
    HONE_KIND_ONCE, // another thread initialises something
    HONE_KIND_PARK, // a runtime's thread without work
    HONE_KIND_FILE_LOCK,
    HONE_KIND_IPC_SEMAPHORE,
    HONE_KIND_SLEEP,
    HONE_KIND_POLL,
    HONE_KIND_SELECT,
    HONE_KIND_EPOLL,
    HONE_KIND_PIPE,
    HONE_KIND_CONNECT,
    HONE_KIND_ACCEPT,
    HONE_KIND_SEND,
    HONE_KIND_RECEIVE,
    HONE_KIND_SOCKET, // anything else about one
    HONE_KIND_TERMINAL,
    HONE_KIND_FILE_READ,
    HONE_KIND_FILE_WRITE,
    HONE_KIND_FILE_SYNC,
    HONE_KIND_DISK, // anything else about files and folders
    HONE_KIND_EVENTFD,
    HONE_KIND_TIMERFD,
    HONE_KIND_IO_URING,
    HONE_KIND_AIO,
    HONE_KIND_QUEUE, // of messages
    HONE_KIND_IO,
    HONE_KIND_CHILD,
    HONE_KIND_VFORK,
    HONE_KIND_SIGNAL,
    HONE_KIND_PAGE_FAULT,
    HONE_KIND_STOPPED,
    HONE_KIND_OTHER,
    HONE_WAIT_KINDS
};

// As the label `wait` spells it.
const char *hone_wait_kind_name(enum hone_wait_kind kind);

// The state that it belongs to.
enum hone_wait hone_wait_of_kind(enum hone_wait_kind kind);

// What the system call of a blocked thread waits for, as hone_blocked_wait().
enum hone_wait_kind hone_blocked_kind(uint32_t pid, const struct hone_blocked *blocked);

// Of a lock that a program's own functions waited for.
enum hone_wait_kind hone_wait_kind_of_lock(enum hone_lock_kind kind);

// What a function that waits for a futex waits for; HONE_KIND_FUTEX: it does not tell. Names are as
// the symbol has them, demangled or not: of libc, with or without what it puts in front, of Rust's
// and Go's runtimes.
enum hone_wait_kind hone_wait_kind_of_function(const char *name);

#endif
