// probe: guest code, libhone.so and libhone.a: what runs inside the profiled program. It starts
// before main when HONE_SESSION names a session, samples every thread on its own CPU clock, and
// writes stacks into the session.
//
// It promises: without HONE_SESSION it does nothing; it allocates nothing, prints nothing, ends
// nothing; descriptors, signals and exit status of the program stay its own; where it cannot go on
// it drops and counts. It leaves names, files and formats to the reader.
//
//   start.c     life cycle: session, fork, end     engine.c        choosing what interrupts
//   state.c     what all files share               engine_perf.c   … by perf events
//   sample.c    the handler: stack, time, record   engine_timer.c  … by POSIX timers
//   areas.c     what a sample works with           heap*.c         sampled allocations
//   stacks.c    stacks seen before                 descriptors.c   ours among the program's
//   twin.c      another library of ours
//   module.c    which modules are mapped where     lock*.c         locks and who waits for them
//   thread.c    threads come and go                hooks_*.c       calls of the program that we
//   creations.c where threads are created                          must know of
//   surroundings.c   Go, Valgrind, debuggers       arch/           other stacks
//   sandbox.c        seccomp's door
#ifndef HONE_PROBE_PROBE_H
#define HONE_PROBE_PROBE_H

#include "core/core.h"
#include "probe/drawn.h"
#include "session/writer.h"
#include "unwind/unwind.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

// What we know of a thread: zero until its first sample.
struct hone_thread {
    uint32_t epoch; // of the process that `index` belongs to: a forked child starts anew
    uint32_t index;
    uint32_t tid;
    bool armed;            // has a descriptor or timer of its own
    bool sampled;          // at least once
    bool draws;            // has an event for a first period that it drew (drawn.h)
    uint32_t drawn_round;  // how often all such events had been closed by then
    uint32_t drawn;        // the periods that its sample will stand for
    int engine_handle;     // that descriptor or timer
    uint64_t begun_cpu_ns; // the thread's CPU clock when we met it
    uint64_t last_cpu_ns;  // and at its last sample
    uint64_t last_ns;      // when that was
    uint64_t done_ns;      // when our last work in it ended
    uint64_t spent_ns;     // and how long it took
    uint32_t slow;         // how many times in a row that was longer than a period
};

// One for the process, filled at start. Handlers read it; the fork child resets it.
struct hone_probe {
    struct hone_writer writer;
    struct hone_unwinder unwinder;
    // NULL: not sampling. Another thread may set it so at any moment: whoever needs it twice takes
    // a copy.
    const struct hone_engine_kind *_Atomic engine;
    enum hone_engine engine_id;
    uint64_t period_ns;
    uint32_t stack_max;
    uint32_t pid;
    uint64_t main_stack_high; // end of the first thread's stack
    _Atomic uint32_t epoch;   // grows with each fork in this line of processes; 0: not started
    _Atomic uint32_t settled; // the first period, a random one, is over
    // The program is in a sandbox of its own: no system call of ours from here on, in hooks
    // neither.
    _Atomic bool locked_in;
    _Atomic bool some_borrow; // threads that have another one's thread-local storage
    bool creations;           // where each thread is created is asked for
    struct hone_drawn_account drawn;
};

extern struct hone_probe hone_probe;
extern struct hone_modules hone_probe_modules;

// The caller's thread. Initial-exec, so the first touch allocates nothing.
struct hone_thread *hone_thread_self(void);

// The session's counters; never NULL once the probe runs.
HONE_SIGSAFE struct hone_process_counters *hone_counters(void);
HONE_SIGSAFE void hone_count(_Atomic uint64_t *counter, uint64_t amount);

// --- thread.c ------------------------------------------------------------------------------------

// What is known of a thread from who created it.
struct hone_thread_birth {
    uint64_t routine;     // what it runs
    uint32_t creation;    // id of the stack that created it; 0: not known
    uint32_t site;        // of that stack in the table of creations, plus one; 0: not there
    uint32_t creator;     // index of the thread that did, plus one; 0: not known
    uint32_t creator_tid; // 0: not known
};

// Makes the calling thread known to the session, unless it is. `birth` may be NULL: nobody told.
// Whether the calling thread is another one than `self` is about: it has borrowed that.
HONE_SIGSAFE bool hone_thread_is_borrowed(const struct hone_thread *self);
HONE_SIGSAFE void hone_thread_meet(struct hone_thread *self, const struct hone_thread_birth *birth);
// The calling thread begins: the same, also if a sample has met it already.
HONE_SIGSAFE void hone_thread_begin(struct hone_thread *self,
                                    const struct hone_thread_birth *birth);
// The calling thread ends, or its process does: what it used since its last sample is not lost.
HONE_SIGSAFE void hone_thread_leave(struct hone_thread *self);
// The same, without a system call, of a thread whose clocks stood so.
HONE_SIGSAFE void hone_thread_leave_at(struct hone_thread *self, uint64_t time_ns, uint64_t cpu_ns);

// --- creations.c ---------------------------------------------------------------------------------

// Makes room for that, at start. False when there is none.
bool hone_creations_begin(void);
// Whether it is to be recorded where threads are created, now.
HONE_SIGSAFE bool hone_creations_wanted(void);
// Records where the calling thread is, which is about to create another one: called by hooks only.
void hone_creation_here(struct hone_thread_birth *ret);
// The calling thread lives, and ends: for who looks from outside.
HONE_SIGSAFE void hone_creation_begins(uint32_t tid, const struct hone_thread_birth *birth);
HONE_SIGSAFE void hone_creation_ends(uint32_t tid);

// --- arch/ ---------------------------------------------------------------------------------------

// Whether Valgrind interprets us, asked as its client requests are: by an instruction sequence that
// does nothing elsewhere.
bool hone_under_valgrind(void);

// Calls function(argument) on another stack, whose end is `high` (aligned to 16).
HONE_SIGSAFE void hone_call_on_stack(void (*function)(void *), void *argument, void *high);

// Called in a handler of ours that came to the alternate stack, where the program's would not have:
// enters that one as the kernel would have, with a copy of the signal's frame on the stack that was
// interrupted. A call from here would not do, for the alternate stack counts as free then, and the
// next signal overwrites it. Returns if this is the stack that was interrupted, or if it cannot.
void hone_handler_enter_below(int signal, siginfo_t *info, void *ucontext,
                              void (*handler)(int, siginfo_t *, void *));

// --- handlers ------------------------------------------------------------------------------------

// What runs on the program's stack when it is interrupted lies together, so that its addresses can
// be told from the program's.
#define HONE_HANDLER __attribute__((section("hone_handlers")))
extern const char __start_hone_handlers[] __attribute__((visibility("hidden")));
extern const char __stop_hone_handlers[] __attribute__((visibility("hidden")));

// --- sample.c ------------------------------------------------------------------------------------

// Records where the thread was interrupted. Called by the engines' handlers. A period whose length
// was drawn at random counts as a whole one.
HONE_SIGSAFE void hone_sample_cpu(const void *ucontext, bool random_period);
// The same at a moment that a short thread drew, for so many periods; unless it lives on, and is
// sampled as others are, nothing else stands for it.
HONE_SIGSAFE void hone_sample_drawn(const void *ucontext, uint32_t periods);

// --- stacks.c ------------------------------------------------------------------------------------

// The id of a stack, writing it to the session when it was not seen lately. Returns 0 when there
// was no room to write it.
HONE_SIGSAFE uint32_t hone_stack_id(const uint64_t *addresses, uint32_t count,
                                    enum hone_stack_end end);

// --- module.c ------------------------------------------------------------------------------------

// Writes records for modules that came or went since the last call.
HONE_SIGSAFE void hone_modules_emit(void);
// A forked child describes all of them again.
void hone_modules_emit_anew(void);

// --- surroundings.c ------------------------------------------------------------------------------

// Why this program must not be sampled at all, shorter than HONE_PROCESS_REASON; NULL: it may.
const char *hone_sampling_forbidden(void);
// A debugger is attached: it takes every SIGTRAP for its own.
bool hone_is_traced(void);
// Around a call by which the program may lock itself in, for what a sample needs may end it there:
// sampling pauses, and ends when the call succeeds.
struct hone_door {
    const struct hone_engine_kind *engine; // that was sampling
    uint64_t time_ns, thread_cpu_ns, process_cpu_ns;
    bool ours;
    bool heap, locks; // were being recorded
};
void hone_sandbox_before(struct hone_door *ret);
void hone_sandbox_after(const struct hone_door *door, bool locked_in);
// Around a call by which the calling process asks to be traced: sampling ends, unless it fails.
const struct hone_engine_kind *hone_traced_before(void);
void hone_traced_after(const struct hone_engine_kind *engine, bool traced);

// --- sandbox.c -----------------------------------------------------------------------------------

// Takes so many words from a call's arguments.
void hone_sandbox_words(va_list arguments, long *ret, int count);
// As libc's prctl() and syscall(), with the words behind their first argument.
int hone_sandbox_prctl(int option, const long words[4]);
long hone_sandbox_syscall(long number, const long words[6]);
// Whether hone_sandbox_syscall() has anything to do about calls of this number. Those of others
// syscall() makes itself: there threads wait, and who reads their stacks from outside shall find
// them in the function that the program called, as without us.
bool hone_sandbox_minds(long number);
// What libc's functions return, and errno, for what the kernel did.
long hone_sandbox_give(long r);
// Whether a program that locks itself in by libc's functions is seen to do so: not where a static
// program has functions of its own by these names.
HONE_SIGSAFE bool hone_sandbox_door_is_ours(void);

// --- engine.c ------------------------------------------------------------------------------------

struct hone_engine_kind {
    enum hone_engine id;
    int signal; // that it raises
    // Arms the calling process and its threads. Returns 0 or a negative errno.
    int (*start)(const struct hone_engine_kind *kind);
    // The calling thread is about to begin another one; may be NULL.
    void (*before_thread)(void);
    // Arms the calling thread, just begun; NULL when threads inherit what start() did.
    int (*thread_start)(const struct hone_engine_kind *kind);
    // The calling thread has just begun, and inherited what start() did; may be NULL.
    void (*thread_inherited)(const struct hone_engine_kind *kind);
    // The calling thread ends.
    void (*thread_end)(struct hone_thread *thread);
    // Before an exec or a sandbox, and back when that failed. In the process that was armed only.
    void (*pause)(bool paused);
    // A descriptor of ours has moved to another number; may be NULL. False: it is nobody's any more.
    bool (*moved)(int from, int to);
    // Is sampling still armed? Not when the program closed our descriptor behind the hooks' back.
    bool (*alive)(void);
    // Ends sampling for good, also from a handler.
    void (*stop)(void);
};

// Picks the best engine that works here, or the one that was asked for, and starts it. Fills
// reason (of `size` bytes) with why it is not the best, or why there is none.
int hone_engine_start(enum hone_engine wanted, char *reason, size_t size);

extern const struct hone_engine_kind hone_engine_perf_trap;
extern const struct hone_engine_kind hone_engine_perf_trap_user;
extern const struct hone_engine_kind hone_engine_perf_signal;
extern const struct hone_engine_kind hone_engine_perf_signal_user;
extern const struct hone_engine_kind hone_engine_thread_timer;
extern const struct hone_engine_kind hone_engine_process_timer;

// The signal of the engines other than perf_trap: its default action is to be ignored, so one that
// arrives after exec, or after the program reset it, cannot kill.
#define HONE_PROBE_SIGNAL SIGURG

// A thread id for each thread of the process but the caller's. Returns how many there are, at most
// max of them written.
size_t hone_other_threads(uint32_t *ret_tids, size_t max);

// --- descriptors.c -------------------------------------------------------------------------------

// Moves a new descriptor out of the program's way and remembers it as ours. Returns its number.
int hone_descriptor_adopt(int fd);
// The same for one that we can do without: where there is no room out of the program's way, it is
// closed, and the answer negative. hone_descriptors_spare() such leave the program two thirds of
// the room that is there.
int hone_descriptor_adopt_spare(int fd);
uint32_t hone_descriptors_spare(void);
void hone_descriptor_close(int fd);
// False: another thread has closed it, or hands its number to the program just now.
bool hone_descriptor_close_once(int fd);
void hone_descriptor_lost(int fd); // it is the program's
HONE_SIGSAFE bool hone_descriptor_is_ours(int fd);
// Our first descriptor not below `from`, or -1.
int hone_descriptor_next(int from);
// Moves ours away from a number that the program wants.
void hone_descriptor_yield(int fd);

// --- real.c --------------------------------------------------------------------------------------

// `child` runs in every forked child, the others in who forks. C libraries have different names for
// that.
void hone_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

// --- hooks_thread.c ------------------------------------------------------------------------------

// Thread starts of the parent that a forked child copied half-way never come to their end.
void hone_threads_after_fork(void);
// libc will start threads by itself. False: they are to run without us.
bool hone_threads_are_to_come(void);
// One of these begins. Or perhaps begins again: what it used before is told already, and it believes
// to block our signal.
void hone_thread_of_libc_begins(uint64_t routine, bool again);
// The calling thread ends by a system call of its own.
void hone_thread_ends(void);
// It will be told when the calling thread ends, if that can be without allocating.
void hone_thread_tells_its_end(void);
// How far below the thread pointer the calling thread's stack reaches, at least; 0: not known.
extern __thread uint64_t hone_thread_stack_bytes __attribute__((visibility("hidden")));

// --- hooks_signal.c ------------------------------------------------------------------------------

// Installs our handler for the engine's signal; the program's own stays what it sees.
int hone_signal_install(int signal, void (*handler)(int, siginfo_t *, void *));
// An exec inherits that a signal is ignored; `going` is false when it has failed.
void hone_signal_at_exec(bool going);

// What libc's own execve() leads to, and how that is called then (entries_libc.h).
int hone_exec_inside(const char *path, char *const argv[], char *const envp[]);
extern int (*hone_exec_of_libc)(const char *, char *const[], char *const[]);
// A call of syscall(2) that is about our signal is answered here: true, and its result.
bool hone_signal_by_syscall(long number, const long words[4], long *ret);
// Hands a signal that is not ours to the handler that the program believes to have. May not return.
void hone_signal_pass_on(int signal, siginfo_t *info, void *ucontext);

// The signal that is installed; 0: none yet.
int hone_signal_ours(void);
bool hone_signal_is_ours(int signal);
// The program believes that it takes its default action.
bool hone_signal_is_default(void);
// In a child whose handlers the kernel has taken away: ours comes back, the program's does not.
void hone_signal_cleared(void);
// sigaction() for our signal, as the program sees it; and the same for its handler alone.
int hone_signal_swap(const struct sigaction *action, struct sigaction *before);
typedef void hone_signal_handler(int);
hone_signal_handler *hone_signal_swap_handler(struct sigaction action,
                                              hone_signal_handler *handler);
// What signal() installs next lets our signal interrupt calls: glibc remembers siginterrupt().
extern bool hone_signal_interrupts __attribute__((visibility("hidden")));

// --- hooks_altstack.c ----------------------------------------------------------------------------

// The handler may run on an alternate stack that is too small for our signal as well.
bool hone_altstack_keeps_out(const struct sigaction *action);
// Sees to those that are installed.
void hone_altstack_keep_out(void);
// Such a handler may have kept it out, and here it has room again.
bool hone_altstack_lets_in(void);

// --- hooks_mask.c --------------------------------------------------------------------------------

// Whether the program believes that the calling thread blocks our signal.
bool hone_mask_blocks(void);
// From now on it does, or not: what waited comes then. Returns what it believed before.
bool hone_mask_believe(bool blocks);
// The calling thread begins, and takes that over of whoever started it.
void hone_mask_begin(bool blocks);
// Ours is installed, after another one or 0: what the calling thread blocks really, it believes.
void hone_mask_install(int before, int ours);
// What was kept out of a handler that did not return comes in again.
void hone_mask_let_in(void);
// What it believes, it blocks really from before an exec on, or until that has failed.
void hone_mask_at_exec(bool going);
void hone_mask_at_spawn(bool going); // the same of a child, for which nothing waits
void hone_mask_after_fork(void);
// Whether a signal that came is none to be handed on: it waits, or is a message of our own.
bool hone_mask_keeps(int signal, siginfo_t *info, bool handled);
// The program ignores our signal: what waits is dropped.
void hone_mask_drop_pending(void);
// The set without our signal, which is in `copy` if it had to be changed.
const sigset_t *hone_mask_without_ours(const sigset_t *set, sigset_t *copy);
// rt_sigprocmask() by syscall(2): as hone_signal_by_syscall().
bool hone_mask_by_syscall(const long words[4], long *ret);

// --- hooks_pending.c -----------------------------------------------------------------------------

// Keeps a signal of the process's that the calling thread is believed to block, for who waits for
// it; if it would be `handled`, for who lets it through.
void hone_pending_keep(int signal, const siginfo_t *info, bool handled);
bool hone_pending_take(siginfo_t *ret);
bool hone_pending_is(void);
// Our own message that one is kept, not a signal of the program's.
bool hone_pending_offered(const siginfo_t *info);
// Sends the calling thread that signal, as it came.
void hone_pending_hand_on(int signal, const siginfo_t *info);
// The calling thread has been sent one that it may be waiting for.
void hone_pending_wake_self(int signal);
// As sigtimedwait() with a set that has our signal. take_own hands out one sent to this thread.
int hone_pending_wait(int signal, const sigset_t *set, siginfo_t *ret,
                      const struct timespec *timeout, bool (*take_own)(siginfo_t *));
void hone_pending_after_fork(void);

// --- twin.c --------------------------------------------------------------------------------------

// Calls of the libhone.so that is preloaded into a program with libhone.a inside; NULL: not known.
// Another version's libhone.a may read it: it grows at its end only.
struct hone_twin {
    int (*recording)(void);
    int (*heap_set_rate)(unsigned long long bytes);
    int (*mark)(const char *name);
    int (*lock_name)(const void *lock, const char *name);
};

extern struct hone_twin hone_twin;

// Whether there is one: then it does the work. At start only, for the loader allocates.
bool hone_twin_find(void);

// The calls of this very library, whichever the loader would take.
#define HONE_OWN(call) __attribute__((alias(#call), visibility("hidden")))
int hone_own_recording(void) __attribute__((visibility("hidden")));
int hone_own_heap_set_rate(unsigned long long bytes) __attribute__((visibility("hidden")));
int hone_own_mark(const char *name) __attribute__((visibility("hidden")));
int hone_own_lock_name(const void *lock, const char *name) __attribute__((visibility("hidden")));

// --- image_own.c, hooks_none.c -------------------------------------------------------------------

// Our tables are not written to the program's core: most of what would be is zeros.
void hone_leave_out_of_cores(void);

// --- start.c -------------------------------------------------------------------------------------

// Whoever calls is about to end the process, and no code of the program's will run any more.
void hone_process_end(void);

// Writes down what the process and the calling thread used until now.
void hone_process_leave(enum hone_process_state state);

// In a child that was forked past libc, which otherwise sees to it.
void hone_after_fork_in_child(void);

// True for the process that was armed, until it locks itself in; false in a vfork child that
// borrows its memory.
HONE_SIGSAFE bool hone_is_our_process(void);

// libhone.a has no hooks but at a sandbox's door: the linker gives the program libc's functions.
extern const bool hone_has_hooks;

#endif
