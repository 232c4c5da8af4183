// A recording while it runs: what its parts share. Private to this room.
//
//     capture.c          begins it: a program, its session or the events outside it
//     attach.c           begins that of processes that run already
//     recorder_watch.c   its course: who comes and goes, reading along
//     recorder_signals.c signals on their way to the program
//     recorder_faults.c  those of them that also are our own faults
//     recorder_look.c    what processes count in place is looked at, and what memory they hold
//     recorder_threads.c the threads are looked at
//     recorder_stuck.c   who sleeps in a lock for long
//     recorder_finish.c  its end: the rest is read, the profiles are written
#ifndef HONE_CAPTURE_RECORDER_H
#define HONE_CAPTURE_RECORDER_H

#include "capture/capture.h"
#include "capture/collect.h"
#include "capture/dump.h"
#include "capture/launch.h"
#include "capture/outside.h"
#include "capture/room.h"
#include "capture/sentinel.h"
#include "capture/wall.h"

#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>

struct hone_recorder_stuck;

struct hone_recorder {
    struct hone_capture_options options;
    char *const *argv;
    char directory[PATH_MAX];
    struct hone_launch launch;
    struct hone_reader *reader;
    struct hone_collected collected;
    struct hone_outside *outside; // NULL: the programs write into the session themselves
    bool rights;                  // the program has rights of its own
    bool attached;                // no program of ours
    uint32_t deadly;              // enum hone_deadly: what a filter would end us for
    bool heap_outside;            // the heap was asked for, and nothing of ours is inside to see it
    bool locks_outside;           // the same of locks
    uint32_t targets;             // processes that were named and live
    uint64_t started_realtime_ns, started_monotonic_ns;
    struct hone_wall *wall;              // NULL: not asked for, or not possible
    uint64_t read_ns;                    // when the session is to be read next
    uint32_t kept;                       // chunks of it that were not free after it was read
    struct hone_room *room;              // that is kept in it; NULL: there is no session
    uint64_t look_ns;                    // and what processes count in place
    uint64_t held_ns;                    // and what memory they hold
    struct hone_dump *dump, *dump_begun; // of the threads: the last one, and one that is not over
    uint64_t dump_ns;                    // when the next one begins
    uint64_t dump_pause_ns, dump_cost_ns;
    uint32_t dumps;
    uint64_t ticks, ticks_ns; // hone_ticks() at that time, at the start
    int epoll_fd;
    int signal_fd;
    void (*pipe_signal)(int); // what SIGPIPE was set to before
    struct hone_sentinel sentinel;
    struct hone_group_signals group_sent; // of which we may have more to read
    uint64_t stop_asked_ns;               // when we were last asked to stop; 0: and have gone on
    int fault_fd;                         // signals of faults that no fault has sent
    struct hone_recorder_stuck *stuck; // NULL: nobody is looked at for being stuck
    uint32_t watched;                  // processes of collected that have a pidfd in epoll
    int *pidfds;                       // by process of collected; -1: dead
    uint32_t pidfd_room;
    uint32_t first_live; // processes of collected before it have ended
    uint64_t taken_ns;   // when the session's memory was found to be taken away; 0: it was not
    bool program_ended;
    int status;
    bool unfiltered; // it ended under no other filter (seccomp) than we are under
    uint64_t cpu_kernel_ns;
};

// What an event in epoll is about: one of these, or a process of collected.
enum {
    HONE_WATCH_PROGRAM = UINT32_MAX,
    HONE_WATCH_SIGNALS = UINT32_MAX - 1,
    HONE_WATCH_BUFFER = UINT32_MAX - 2,
    HONE_WATCH_TARGET = UINT32_MAX - 3,
    HONE_WATCH_WALL = UINT32_MAX - 4,
};

// capture.c
// The filters (seccomp) that a process is under, also of one that has ended until it is waited for.
// False: they are not known.
bool hone_recorder_filters(pid_t pid, uint32_t *ret);
// Before a recording from outside: of all that was asked for it is the heap and the holders of
// locks that need a library inside, so the rest is recorded.
void hone_recorder_leave_out_inner(struct hone_recorder *recorder);
// The recording's time begins, where no session has begun it.
void hone_recorder_clock(struct hone_recorder *recorder);
int hone_recorder_prepare(struct hone_recorder *recorder, bool outside, const sigset_t *signals,
                          struct hone_error *err);
void hone_recorder_watch_buffers(struct hone_recorder *recorder);
void hone_recorder_watch_wall(struct hone_recorder *recorder);

// attach.c: the whole recording of the processes that the options name.
int hone_recorder_attach(struct hone_recorder *recorder, struct hone_error *err);

// recorder_watch.c
int hone_recorder_watch(struct hone_recorder *recorder, int fd, uint32_t what);
int hone_recorder_read(struct hone_recorder *recorder);
void hone_recorder_progress(struct hone_recorder *recorder, uint64_t started_ns, bool working);
// Until the program ends, or the time of the recording.
int hone_recorder_record(struct hone_recorder *recorder);
// After the recording's time: the program goes on, and we stand in its place until it ends.
void hone_recorder_wait(struct hone_recorder *recorder);

// recorder_signals.c
void hone_recorder_signals(sigset_t *set); // those that are passed on to the program, by signal_fd
// Where there is none, and they end the recording: without what nohup, or the shell for a job in a
// script's background, has us ignore.
void hone_recorder_end_signals(sigset_t *set);
void hone_recorder_pass_on(struct hone_recorder *recorder);
// Before the child `pid` becomes the program: what has come until now, all of it.
void hone_recorder_pass_on_first(struct hone_recorder *recorder, pid_t pid);

// recorder_faults.c: what is sent as if it were a fault is read from fault_fd, as from signal_fd;
// a fault of our own is one still. Before hone_session_guard(), and after its end.
int hone_recorder_faults_start(struct hone_recorder *recorder);
void hone_recorder_faults_stop(struct hone_recorder *recorder);

// recorder_look.c: after the session was read, when it is time.
void hone_recorder_look(struct hone_recorder *recorder);

// recorder_threads.c: the same; and before a recording ends whose program goes on.
void hone_recorder_look_at_threads(struct hone_recorder *recorder);
void hone_recorder_look_at_threads_last(struct hone_recorder *recorder);
// recorder_stuck.c: who sleeps in a lock for long; when the next look is due, and by signal.
void hone_recorder_stuck_start(struct hone_recorder *recorder);
uint64_t hone_recorder_stuck_due_ns(const struct hone_recorder *recorder);
void hone_recorder_stuck_look(struct hone_recorder *recorder);
void hone_recorder_stuck_ask(struct hone_recorder *recorder);
void hone_recorder_stuck_stop(struct hone_recorder *recorder);

// recorder_finish.c
int hone_recorder_write(struct hone_recorder *recorder, struct hone_error *err);

#endif
