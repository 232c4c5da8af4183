// The session: memory shared by the profiled processes, who write, and one reader, who owns it. It
// is one file, made by the reader, mapped by every process of the recording. What was written
// survives the writer: after kill -9 the reader still has all of it.
//
//   ┌────────┬────────┬────────────┬────────────┬────────────┬─────┐
//   │ header │ bitmap │ chunk 0    │ chunk 1    │ chunk 2    │ …   │   chunks of 64 KiB
//   └────────┴────────┴────────────┴────────────┴────────────┴─────┘
//                     process 41's              process 41's
//                     first: who it is,         next: records
//                     counters, records
//
// A process claims its first chunk, describes itself there (struct hone_process) and writes records
// behind that; when a chunk is full it claims another one. Chunks of one process carry a rising
// sequence, so its records form one stream. The reader reads along and gives chunks back when they
// are read to the end, so memory is bounded by what the reader has not read yet.
//
// Only the reader makes the file larger: header->backed_chunks says how many chunks have memory
// behind them. Beyond that a writer drops and counts, so a full disk cannot raise SIGBUS in a
// profiled program.
//
// A record is a multiple of 8 bytes. It begins with a head word: 0 while the space is only claimed,
// then HONE_RECORD_PENDING with its length while it is being written, then its kind with release
// order. Space is zero when it is claimed; the reader clears a chunk before giving it back.
//
// Everything here is input to the reader: it believes no length and no index.
//
// Any change to this file's structs or to the meaning of a record raises the version;
// writer and reader of different versions refuse each other.
#ifndef HONE_SESSION_LAYOUT_H
#define HONE_SESSION_LAYOUT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HONE_SESSION_MAGIC 0x31534553454e4f48u // "HONESES1", little-endian
enum {
    HONE_SESSION_VERSION = 15,
    HONE_CHUNK_BYTES = 64 * 1024,
    HONE_CHUNKS_MAX = 65536, // 4 GiB
    HONE_HEADER_BYTES = 8192,
    HONE_CHUNKS_AT = 64 * 1024,  // no kernel's pages are larger
    HONE_STACK_MAX = 1024,       // frames of one stack; deeper ones are cut and counted
    HONE_RECORD_BYTES_MAX = 9216 // one stack of 1024 frames or one path, with its head
};

// What the recording asks of every process. Set by the reader before the first process starts.
// System calls that a filter ends everybody for, as bits.
enum hone_deadly {
    HONE_DEADLY_PERF = 1,  // perf_event_open
    HONE_DEADLY_TIMER = 2, // timer_create or timer_settime
    HONE_DEADLY_BPF = 4,
    HONE_DEADLY_PRCTL = 8,
};

struct hone_session_config {
    uint64_t cpu_period_ns;   // CPU time between samples; 0: no CPU profile
    uint64_t heap_rate;       // header->heap_rate at the start; 0: no heap profile
    uint32_t cpu_engine;      // enum hone_engine; 0: choose
    uint32_t stack_max;       // frames kept of a stack, at most HONE_STACK_MAX
    uint32_t seccomp_filters; // that everybody is under, such as a container's
    uint32_t heap_maps;       // 1: what is mapped counts as allocated, too
    uint32_t leaks;           // 1: a process waits at its end until it was looked for leaks
    uint32_t mutex_fraction; // of so many releases that others waited for, one is recorded; 0: none
    uint64_t block_rate_ns;  // a wait as long as this is recorded, a shorter one with the
                             // probability of its part; 0: none
    uint32_t lock_order;     // 1: what a thread holds when it takes another lock is recorded
    uint32_t creations;      // 1: where each thread was created is recorded
    uint32_t deadly;         // enum hone_deadly: what no engine may call
    uint32_t spare;
};

// A process at its end that waits to be looked through from outside: see struct hone_scan_places.
enum { HONE_SCANS = 32 }; // that wait or are looked through at the same time

enum hone_scan_state {
    HONE_SCAN_FREE, // also: it is over, the process may go on
    HONE_SCAN_TAKEN,
    HONE_SCAN_ASKED,
    HONE_SCAN_RUNNING
};

struct hone_scan {
    _Atomic uint32_t state;   // enum hone_scan_state, a futex
    _Atomic uint32_t process; // chunk index
    _Atomic uint64_t places;  // address of its struct hone_scan_places
};

// A moment that somebody gave a name, in the program or outside it.
enum { HONE_MARKS_MAX = 64, HONE_MARK_NAME = 48 };

struct hone_session_mark {
    _Atomic uint64_t time_ns; // monotonic, written last; 0: not yet
    uint32_t pid;             // of who made it
    uint32_t spare;
    char name[HONE_MARK_NAME]; // NUL-terminated, cut when longer
};

enum { HONE_SESSION_FOLDER = 1024 };

struct hone_session_header {
    uint64_t magic;
    uint32_t version;
    uint32_t header_bytes; // where the bitmap starts
    uint32_t chunk_bytes;
    uint32_t chunk_count; // of the whole file; constant
    uint64_t chunks_at;   // where chunk 0 starts
    uint64_t started_realtime_ns;
    uint64_t started_monotonic_ns;
    struct hone_session_config config;

    // reader: chunks that have memory behind them, a futex
    alignas(64) _Atomic uint32_t backed_chunks;
    _Atomic uint32_t stop; // reader: 1: nobody samples any more
    // reader: mean bytes between sampled allocations; 0: none for now. May change at any time,
    // which heap_rate_changes counts.
    _Atomic uint64_t heap_rate;

    alignas(64) _Atomic uint32_t chunks_used; // writers add, the reader subtracts
    _Atomic uint64_t chunks_refused;          // writers: no free chunk
    _Atomic uint64_t processes_refused;       // writers: no chunk for a new process
    _Atomic uint64_t processes_unmapped;      // programs: no address space for the session
    _Atomic uint64_t forks;                   // writers: told by the parents, when they are made
    _Atomic uint64_t forks_met;               // writers: and by the children, when they have begun
    _Atomic uint64_t forks_late;              // of these, when the reader had stopped
    // Whoever asks for another rate of the heap: how often, and of these how often for 0.
    _Atomic uint32_t heap_rate_changes, heap_rate_offs;

    // Any process may make a mark: it takes a number, if there is one left, and describes it.
    alignas(64) _Atomic uint32_t mark_count; // at most HONE_MARKS_MAX
    _Atomic uint32_t marks_refused;
    struct hone_session_mark marks[HONE_MARKS_MAX];
    char folder[HONE_SESSION_FOLDER]; // where the recording will be, absolute; empty: not known yet
    // Who looks for leaks: his thread's id, which the kernel takes away when he dies; 0: nobody.
    alignas(64) _Atomic uint32_t scanner;
    _Atomic uint32_t scan_beat;     // the scanner: rises while he works
    _Atomic uint32_t scan_bell;     // writers: rises when one asks, a futex
    _Atomic uint32_t scans_refused; // writers: no free place
    _Atomic uint32_t scan_left;     // the scanner: rises when a place is free again, a futex
    struct hone_scan scans[HONE_SCANS];
    // Who keeps room: his bell is rung once when so many chunks are used; 0: not now.
    alignas(64) _Atomic uint32_t room_low;
    _Atomic uint32_t room_bell; // writers: rises, a futex
};

// Counts that the heap's rate has become another one.
static inline void hone_session_rate_changed(struct hone_session_header *header, uint64_t before,
                                             uint64_t now)
{
    if (before == now)
        return;
    atomic_fetch_add_explicit(&header->heap_rate_changes, 1, memory_order_relaxed);
    if (!now)
        atomic_fetch_add_explicit(&header->heap_rate_offs, 1, memory_order_relaxed);
}

enum hone_engine {
    HONE_ENGINE_NONE,
    HONE_ENGINE_PERF_TRAP,      // one inherited perf event that raises SIGTRAP
    HONE_ENGINE_PERF_TRAP_USER, // the same without samples in the kernel: not permitted
    HONE_ENGINE_PERF_SIGNAL,    // a perf event for each thread that raises a signal
    HONE_ENGINE_PERF_SIGNAL_USER,
    HONE_ENGINE_THREAD_TIMER,  // a POSIX CPU timer for each thread
    HONE_ENGINE_PROCESS_TIMER, // one POSIX CPU timer for the process
    HONE_ENGINE_PERF_OUTSIDE,  // perf events read by the recorder: nothing is in the process
    HONE_ENGINE_PERF_OUTSIDE_USER,
    HONE_ENGINES
};

// The reason that a process gives at its end when it had closed the engine's descriptor.
#define HONE_REASON_CLOSED "the program closed our descriptor, sampling ended there"
#define HONE_REASON_TRACED "it is traced by its parent, whom our signals would mislead"

// As options and session.json spell it.
static inline const char *hone_engine_name(enum hone_engine engine)
{
    static const char *const names[HONE_ENGINES] = {
        [HONE_ENGINE_NONE] = "none",
        [HONE_ENGINE_PERF_TRAP] = "perf-trap",
        [HONE_ENGINE_PERF_TRAP_USER] = "perf-trap-user",
        [HONE_ENGINE_PERF_SIGNAL] = "perf-signal",
        [HONE_ENGINE_PERF_SIGNAL_USER] = "perf-signal-user",
        [HONE_ENGINE_THREAD_TIMER] = "thread-timer",
        [HONE_ENGINE_PROCESS_TIMER] = "process-timer",
        [HONE_ENGINE_PERF_OUTSIDE] = "perf-outside",
        [HONE_ENGINE_PERF_OUTSIDE_USER] = "perf-outside-user",
    };
    return engine < HONE_ENGINES ? names[engine] : "unknown";
}

// A chunk starts with this; records follow. It becomes the current one of its process first, and
// then what it is: until then nobody but its process finds it.
struct hone_chunk {
    alignas(64) _Atomic uint32_t state; // enum hone_chunk_state
    uint32_t owner;                     // chunk index of the process
    uint64_t sequence;                  // 0 for the first chunk of a process
    uint32_t process_start; // monotonic ms when the owner began: tells a reused owner apart
    _Atomic uint32_t used;  // bytes claimed from the chunk's start; may pass HONE_CHUNK_BYTES
};

enum hone_chunk_state {
    HONE_CHUNK_FREE,
    HONE_CHUNK_PROCESS, // first chunk of a process: struct hone_process follows
    HONE_CHUNK_RECORDS,
    HONE_CHUNK_HEAP_SITES // an array of struct hone_heap_site follows, each in use once it has a
                          // stack
};

enum hone_process_state {
    HONE_PROCESS_STARTING,
    HONE_PROCESS_RUNNING,
    HONE_PROCESS_EXECED, // about to become another program; back to RUNNING if that fails
    HONE_PROCESS_EXITED
};

// Counters of a process. Writers add, relaxed; the reader copies them.
struct hone_process_counters {
    _Atomic uint64_t samples;       // written
    _Atomic uint64_t lost_memory;   // samples dropped: no free chunk
    _Atomic uint64_t lost_busy;     // samples dropped: more handlers at once than work areas, or
                                    // a thread that would not have got on
    _Atomic uint64_t lost_overrun;  // timer expirations that were merged into a later sample
    _Atomic uint64_t records_lost;  // module, thread and stack records dropped: no free chunk
    _Atomic uint64_t stacks;        // stack records written
    _Atomic uint64_t stack_repeats; // samples whose stack was known already
    _Atomic uint64_t truncated;     // samples whose stack does not reach its start
    _Atomic uint64_t frame_pointer; // samples that needed the frame-pointer fallback
    _Atomic uint64_t frames;        // frames walked
    _Atomic uint64_t frame_misses;  // frames whose rule was not in the cache
    _Atomic uint64_t threads;       // threads that were sampled
    _Atomic uint64_t threads_uncovered; // threads that could not be armed
    _Atomic uint64_t foreign_traps;     // SIGTRAPs passed on to the program
    _Atomic uint64_t own_ends;          // SIGTRAPs that end it, as they would without us
    _Atomic uint64_t searched;          // samples with a caller that was searched for on the stack
    _Atomic uint64_t modules_lost;      // modules without a slot or a name: the table was full
    _Atomic uint64_t modules_without_rules; // late ones whose rules could not be had
    // Of the heap:
    _Atomic uint64_t heap_samples;    // allocations written
    _Atomic uint64_t heap_frees;      // of which were freed
    _Atomic uint64_t heap_lost;       // sampled allocations dropped: no free chunk or work area
    _Atomic uint64_t heap_frees_lost; // their ends dropped: no free chunk
    _Atomic uint64_t heap_untracked;  // sampled allocations whose end will not be known: no room
    _Atomic uint64_t heap_truncated;  // sampled allocations whose stack does not reach its start
    _Atomic uint64_t heap_missed;  // of exact: blocks that were gone without a free() that we saw
    _Atomic uint64_t heap_no_site; // of exact: allocations without room for their site or block
    _Atomic uint64_t heap_early;   // allocations before the probe began, not seen
    _Atomic uint64_t heap_early_bytes; // and their bytes
    _Atomic uint64_t heap_kept_lost; // of exact: what a site had at a mark, dropped: no free chunk
    // Of locks:
    _Atomic uint64_t lock_contentions; // acquisitions that had to wait
    _Atomic uint64_t lock_held;        // records of releases that others waited for
    _Atomic uint64_t lock_waits;       // records of waits
    _Atomic uint64_t lock_lost;        // of all these dropped: no free chunk or work area
    _Atomic uint64_t lock_untracked;   // contentions whose holder will not be known: no room
    _Atomic uint64_t lock_order_lost;  // locks taken while others are held, dropped: no room
    // Of the heap: allocations and ends that a handler of the program's jumped out of.
    _Atomic uint64_t heap_left;
    // Allocations in a handler, dropped: it interrupted us, or its alternate stack had no room.
    _Atomic uint64_t heap_in_handler;
};

enum {
    HONE_PROCESS_PATH = 512,
    HONE_PROCESS_NAME = 64,
    HONE_PROCESS_REASON = 160,
    HONE_PROCESS_ALLOCATOR = 256
};

struct hone_process {
    uint32_t pid;
    uint32_t parent_pid;
    uint64_t started_ns; // monotonic
    uint32_t engine;     // enum hone_engine
    uint32_t forked;     // 1: by fork from a recorded process, 0: a program that was started
    uint64_t period_ns;
    uint64_t pid_namespace;                 // its inode: what pids mean; 0: unknown
    char path[HONE_PROCESS_PATH];           // of the program, NUL-terminated, cut when longer
    char name[HONE_PROCESS_NAME];           // by which it was executed; empty: not known
    char reason[HONE_PROCESS_REASON];       // why not the best engine, or why none
    char heap_reason[HONE_PROCESS_REASON];  // what of the heap is not covered, and why
    char allocator[HONE_PROCESS_ALLOCATOR]; // path of the file whose malloc() the program uses
    char lock_reason[HONE_PROCESS_REASON];  // what of the locks is not covered, and why

    // Of the heap, where every block is counted.
    // Now, but for what threads have not told yet, and for heap_first_bytes.
    alignas(64) _Atomic int64_t heap_live_bytes;
    _Atomic int64_t heap_peak_bytes; // the most that it was
    _Atomic uint64_t heap_peak_ns;   // when that was reached, monotonic
    // How often the total has risen to a new peak or fallen from it: odd while it is below. A site
    // that changes for the first time after a fall keeps what it had. Read with each block, and
    // apart from what is written with many.
    alignas(64) _Atomic uint32_t heap_fall;

    alignas(64) _Atomic uint32_t state; // enum hone_process_state
    _Atomic uint32_t current;           // chunk index to write into
    _Atomic uint32_t writing;           // writers between claim and commit
    _Atomic uint32_t next_thread;       // thread indices given out
    _Atomic uint32_t next_stack;        // stack ids given out
    _Atomic uint64_t ended_ns;          // monotonic; 0 while running
    _Atomic uint64_t cpu_before_ns;     // CPU time used before the probe started
    _Atomic uint64_t cpu_total_ns;      // CPU time of the process at its end; 0: unknown
    struct hone_process_counters counters;

    // Of the heap, a part of heap_live_bytes: what the thread has told that was the first to count,
    // which alone writes here.
    alignas(64) _Atomic int64_t heap_first_bytes;
};

enum hone_record_kind {
    HONE_RECORD_NONE,
    HONE_RECORD_PENDING,
    HONE_RECORD_PADDING,
    HONE_RECORD_MODULE,
    HONE_RECORD_MODULE_GONE,
    HONE_RECORD_THREAD,
    HONE_RECORD_THREAD_END,
    HONE_RECORD_STACK,
    HONE_RECORD_CPU,
    HONE_RECORD_EXEC,
    HONE_RECORD_HEAP_ALLOC,
    HONE_RECORD_HEAP_FREE,
    HONE_RECORD_HEAP_KEPT,
    HONE_RECORD_LOCK_HELD,
    HONE_RECORD_WAIT,
    HONE_RECORD_LOCK_USE,
    HONE_RECORD_LOCK_KNOWN,
    HONE_RECORD_LOCK_ORDER,
    HONE_RECORD_LOCK_BLOCK,
    HONE_RECORD_CPU_DRAWN, // as HONE_RECORD_CPU, at a moment that a short thread drew
    HONE_RECORD_KINDS
};

// The head word: kind in the low 8 bits, length in 8-byte units above. Length 0 is a padding of 8
// bytes that has no room for anything else.
#define HONE_RECORD_HEAD(kind, bytes) ((uint32_t)(kind) | (uint32_t)((bytes) / 8) << 8)
#define HONE_RECORD_KIND(head) ((head)&0xff)
#define HONE_RECORD_LENGTH(head) (((head) >> 8) * 8)

struct hone_record {
    _Atomic uint32_t head;
    uint32_t small; // the record's index or id, so that no space is wasted
};

// small: module index in the process. A program, library or vDSO and where it is mapped.
struct hone_record_module {
    struct hone_record record;
    uint64_t start, end;           // all of its segments
    uint64_t text_start, text_end; // the executable ones
    uint64_t text_offset;          // and where that begins in the file
    uint64_t bias;                 // address in the process minus address in the ELF file
    uint64_t time_ns;              // when it was seen first; 0: before the process ran
    uint8_t build_id_bytes;        // 0: none
    uint8_t build_id[39];
    uint64_t turn;     // of the index: the one with the highest counts, wherever it comes
    uint64_t contents; // a hash of it where there is no build id; 0: not known
    char path[];       // NUL-terminated
};

// small: module index. Its addresses may now belong to another one.
struct hone_record_module_gone {
    struct hone_record record;
    uint64_t time_ns;
    uint64_t turn; // as above
};

// small: thread index. Written before the thread's first sample.
struct hone_record_thread {
    struct hone_record record;
    uint64_t tid;
    uint64_t time_ns;
    uint64_t routine;  // address of the function that it runs; 0: unknown, or the first thread
    uint64_t creation; // id of the stack that created it; 0: unknown, or the first thread
    uint64_t creator;  // index of the thread that did, plus one; 0: unknown
};

// small: thread index. The thread ends, or its process does while it runs.
struct hone_record_thread_end {
    struct hone_record record;
    uint64_t time_ns;
    uint64_t cpu_ns; // that it used since its thread record
    char name[16];   // its last one, ended by NUL; empty: unknown
};

// small: stack id. Leaf first. Addresses are for looking up: where the leaf was interrupted, and
// the byte before each return address, so that both lie inside the instruction they stand for.
// The same stack may be written again under another id.
struct hone_record_stack {
    struct hone_record record;
    uint32_t count;
    uint32_t end; // enum hone_stack_end
    uint64_t addresses[];
};

enum hone_stack_end {
    HONE_STACK_COMPLETE,   // reaches the start of the thread or program
    HONE_STACK_TOO_DEEP,   // more than stack_max frames
    HONE_STACK_NO_RULE,    // code without unwind rules and without frame pointers
    HONE_STACK_UNREADABLE, // the stack could not be read further
    HONE_STACK_BAD_FRAME,  // the next frame would not lie above the last
    HONE_STACK_BAD_RULE,   // unwind rules that are broken
    HONE_STACK_STALE,      // the code belongs to a module that was not known yet
    // Of stacks that are read from outside:
    HONE_STACK_COPY_SHORT,       // the copy ends before the stack does
    HONE_STACK_UNKNOWN_REGISTER, // a rule needs a register that nobody told
    HONE_STACK_ENDS
};

// small: thread index. One CPU sample.
struct hone_record_cpu {
    struct hone_record record;
    uint64_t time_ns; // monotonic
    uint64_t cpu_ns;  // CPU time that it stands for: since the thread's last sample
    uint64_t stack;   // id
};

// small: 0. The process asked to become this program.
struct hone_record_exec {
    struct hone_record record;
    uint64_t time_ns;
    char path[];
};

// small: thread index. One sampled allocation. It stands for others: a block of `size` bytes is
// sampled with the probability 1 - exp(-size / rate).
struct hone_record_heap_alloc {
    struct hone_record record;
    uint64_t time_ns;
    uint64_t stack; // id
    uint64_t size;  // asked for
    uint64_t rate;  // mean bytes between samples, when it was drawn
    uint64_t block; // names it when it is freed; 0: that will not be told
};

// small: index of the thread that frees it.
struct hone_record_heap_free {
    struct hone_record record;
    uint64_t time_ns;
    uint64_t block;
};

// small: 0. A site of the heap changes for the first time after a mark: this is what lived then.
struct hone_record_heap_kept {
    struct hone_record record;
    uint64_t site;  // its number: chunk * HONE_HEAP_SITES_STRIDE + place in it
    uint64_t stack; // id
    uint32_t since; // marks made when it changed before that, so that all of it is of that time
    uint32_t mark;  // and by now
    int64_t live, live_bytes;
};

// --- locks ---------------------------------------------------------------------------------------

// What can be held, or waited for.
enum hone_lock_kind {
    HONE_LOCK_UNKNOWN,
    HONE_LOCK_MUTEX,
    HONE_LOCK_READ,  // a read-write lock, for reading
    HONE_LOCK_WRITE, // and for writing
    HONE_LOCK_SPIN,
    HONE_LOCK_CONDITION,
    HONE_LOCK_SEMAPHORE,
    HONE_LOCK_BARRIER,
    HONE_LOCK_JOIN, // the end of a thread
    HONE_LOCK_KINDS
};

// small: index of the thread that released a lock that others waited for.
struct hone_record_lock_held {
    struct hone_record record;
    uint64_t time_ns;
    uint64_t lock;         // its address
    uint64_t stack;        // id: where it was released
    uint64_t waiter_stack; // id: where the one that waited longest waits; 0: unknown
    uint64_t delay_ns;     // what all of them waited because of this holder, together
    uint64_t hold_ns;      // how long it was held; 0: unknown
    uint32_t waiters;      // 0: no release of its own, but how long it took one of them to get the
                           // lock after an earlier one of that thread at that stack
    uint32_t kind;         // enum hone_lock_kind
    uint64_t weight;       // it stands for so many like it
};

// small: index of the thread that waited. Recorded with the probability min(1, delay_ns / rate_ns).
struct hone_record_wait {
    struct hone_record record;
    uint64_t time_ns; // when it ended
    uint64_t lock;    // address of what it waited for; of a thread: its id
    uint64_t stack;   // id: where it waited
    uint64_t delay_ns;
    uint64_t rate_ns;
    uint64_t holder_stack; // id: where who released it did so; 0: unknown
    uint32_t holder;       // index of that thread, plus one; 0: unknown
    uint32_t kind;         // enum hone_lock_kind
    uint32_t timed_out;    // 1: in vain
    uint32_t spare;
};

// small: index of the thread. One acquisition, drawn from all of them, waited for or not.
struct hone_record_lock_use {
    struct hone_record record;
    uint64_t time_ns; // when it was released
    uint64_t lock;
    uint64_t stack; // id: where it was taken; 0: not known
    uint64_t wait_ns, hold_ns;
    uint64_t weight; // it stands for so many acquisitions
    uint32_t kind;   // enum hone_lock_kind
    uint32_t contended;
};

// small: enum hone_lock_kind. A lock was made, or got a name.
struct hone_record_lock_known {
    struct hone_record record;
    uint64_t time_ns;
    uint64_t lock;
    uint64_t stack; // id: where; 0: unknown
    char name[];    // NUL-terminated; empty: none was given
};

// small: index of the thread. It takes a lock while it holds another one: told once for each pair
// of places.
struct hone_record_lock_order {
    struct hone_record record;
    uint64_t time_ns;
    uint64_t held, taken;             // their addresses
    uint64_t held_stack, taken_stack; // ids: where each was taken
    uint32_t held_kind, taken_kind;   // enum hone_lock_kind
    // Names all that it holds meanwhile, in whatever order: each of them has a record like this.
    uint64_t set;
};

// What a thread holds, in the process's own memory, for who looks from outside: the variable
// hone_lock_holders of libhone.so points to HONE_LOCK_HOLDERS of these, once the order of locks is
// recorded. What is read there is input, and changes while it is read.
enum {
    HONE_LOCK_HOLDERS = 1024, // threads
    HONE_LOCK_HELD_MAX = 24,  // by one thread
    HONE_LOCK_PLACES = 4,     // of the stack where it was taken, the innermost
};

struct hone_lock_holding {
    _Atomic uint64_t lock; // its address
    uint64_t time_ns;      // when it was taken, monotonic
    uint64_t places[HONE_LOCK_PLACES];
    uint32_t stack; // id
    uint16_t depth; // how often it was taken, of a recursive one
    uint8_t kind;   // enum hone_lock_kind
    uint8_t spare;
};

struct hone_lock_holder {
    alignas(64) _Atomic uint32_t tid; // of the thread whose place this is; 0: free
    _Atomic uint32_t count;           // of held[]
    uint32_t epoch;
    uint32_t spare;
    uint64_t set;
    struct hone_lock_holding held[HONE_LOCK_HELD_MAX];
};

// small: enum hone_lock_kind. A lock that is waited for lies in a block of the heap, or, where
// stack and block are 0, in none any more that is known.
struct hone_record_lock_block {
    struct hone_record record;
    uint64_t time_ns;
    uint64_t lock;
    uint64_t stack;  // id: where the block was allocated; 0: it is a sampled one
    uint64_t block;  // that one's number, as in hone_record_heap_alloc; 0: every block is counted
    uint64_t offset; // of the lock in the block
};

// --- the heap, every block -----------------------------------------------------------------------

// What a thread allocated at one stack. The thread counts in place; where one has ended another
// goes on with its sites. What other threads add to is apart; all may be read at any time.
enum {
    HONE_HEAP_SIZES = 20,
    HONE_HEAP_LIVES = 12,
    HONE_TICK_SHIFT = 16, // lives are counted in 2^16 hone_ticks(), 20 to 70 us
    // Of so many blocks of a site each one's life is looked at, and then one's in so many, drawn.
    HONE_HEAP_LIVES_ALL = 1024,
    HONE_HEAP_LIVES_PART = 16,
    HONE_HEAP_LIVES_DRAWN_SHIFT = 16,
};

// Sites are many and come by chance, so what is touched together is in one line of the processor's
// cache: the first with each block, the second with most ends, the fourth with each beginning.
struct hone_heap_site {
    _Atomic uint32_t stack; // id; 0: not in use
    _Atomic uint32_t fall;  // process->heap_fall when `peak` was kept
    uint32_t keeper;        // who counts here, by its number; others are elsewhere
    _Atomic uint32_t mark;  // marks made when it changed last
    uint64_t hash;          // of the stack, by which the keeper finds it
    _Atomic uint64_t allocated, allocated_bytes;
    _Atomic uint64_t usable_bytes;       // what the allocator gave for allocated_bytes
    _Atomic uint64_t freed, freed_bytes; // by the keeper

    _Atomic uint64_t temporary, temporary_bytes; // freed by the keeper before it allocated again
    // By whom freed, [i]: within 8^i such units; the last: later. The lower bits: of those that are
    // looked at all; from HONE_HEAP_LIVES_DRAWN_SHIFT on: of those drawn.
    _Atomic uint64_t lives[HONE_HEAP_LIVES];
    _Atomic uint64_t peak, peak_bytes; // what lived when the total was highest

    _Atomic uint64_t sizes[HONE_HEAP_SIZES]; // [i]: up to 8 << i bytes; the last: more
    // From other threads, which add.
    _Atomic uint64_t freed_elsewhere, freed_elsewhere_bytes;
    _Atomic uint64_t moved; // ends that were the beginning of a realloc()
    uint64_t spare[5];
    _Atomic uint64_t lives_elsewhere[HONE_HEAP_LIVES];
};

enum {
    HONE_HEAP_SITES = (HONE_CHUNK_BYTES - 64) / 512, // in one chunk
    // Sites are numbered by where they are: the site in place i of chunk c is number 128 c + i, so
    // that its address is one multiplication away.
    HONE_HEAP_SITES_STRIDE = HONE_CHUNK_BYTES / 512,
};

// --- leaks ---------------------------------------------------------------------------------------

// Where in a process's own memory the things lie that must be known to look through it from
// outside: what is read there is input.
enum { HONE_SCAN_OWN = 4, HONE_SCAN_APART = 2 };

struct hone_scan_places {
    uint64_t magic;      // HONE_SCAN_MAGIC
    uint64_t started_ns; // of its struct hone_process
    uint32_t epoch;      // of its blocks, all others are a parent's
    uint32_t exact; // 1: every block is in the tables of `directory`; 0: the sampled ones below
    // Every block: pointers to tables of struct hone_block for 1 << region_shift addresses each, an
    // entry for each 16 of them.
    uint64_t directory, directory_bytes;
    uint32_t region_shift, block_bytes;
    // Sampled blocks: shards of shard_bytes, struct hone_scan_sampled `many` times where the
    // pointer at many_at is one, else `few` times from few_at on.
    uint64_t shards;
    uint32_t shard_count, shard_bytes, few_at, few, many_at, many;
    // Our own memory, which is no root: pointers to pieces of keeper_bytes each.
    uint64_t keepers;
    uint32_t keeper_count, keeper_bytes;
    // Blocks that were made before it was known whether anybody counts them.
    uint64_t early;
    uint32_t early_count;
    // What of our own data may hold the program's addresses, where it lies among the program's; 0:
    // we are a module, and all of its data is ours.
    uint32_t own_count;
    struct hone_scan_range {
        uint64_t address, size;
    } own[HONE_SCAN_OWN];
    // More of our own memory, which is no root; size 0: it is not there.
    struct hone_scan_range apart[HONE_SCAN_APART];
};

struct hone_scan_sampled {
    uint64_t address; // 0: free
    uint64_t tracked; // epoch << HONE_SCAN_EPOCH_SHIFT | number of the block in this process
    uint64_t size;
};

#define HONE_SCAN_MAGIC 0x314e4143534e4f48u // "HONSCAN1", little-endian
enum { HONE_SCAN_EPOCH_SHIFT = 40 };

// --- creations -----------------------------------------------------------------------------------

// Where in a process's own memory it is written who created its living threads and where, for who
// looks at it from outside while it runs: the section HONE_CREATIONS_SECTION of libhone.so holds
// one of these. What is read there is input.
#define HONE_CREATIONS_SECTION "hone_creations"
#define HONE_CREATIONS_MAGIC 0x3154414552434e48u // "HNCREAT1", little-endian
enum {
    HONE_CREATION_SITES = 1024,
    HONE_CREATION_FRAMES = 60,
    HONE_CREATION_THREADS = 32768, // a power of two
    HONE_CREATION_TRIES = 16,      // places of a thread, one behind the other
};

struct hone_creation_places {
    uint64_t magic;
    uint64_t sites, threads; // arrays of HONE_CREATION_SITES and HONE_CREATION_THREADS
    uint64_t generation; // of the modules: uint32_t, grows when one goes away; not its lowest bit
    uint64_t epoch;      // of the process: uint32_t; what has another one is a parent's
};

struct hone_creation_site {
    _Atomic uint64_t check; // of what follows, its hash; 0: not in use, or being written
    uint32_t generation;
    uint32_t end; // enum hone_stack_end
    uint32_t count, spare;
    uint64_t addresses[HONE_CREATION_FRAMES]; // as in struct hone_record_stack
};

// At hone_creation_slot() of its id, or behind that.
struct hone_creation_thread {
    _Atomic uint32_t tid; // 0: free
    uint32_t epoch;
    uint32_t site; // its number plus one; 0: there was no room for it
    uint32_t creator_tid;
};

static inline uint32_t hone_creation_slot(uint32_t tid, uint32_t attempt)
{
    return (tid * 0x9e3779b1u + attempt) % HONE_CREATION_THREADS;
}

_Static_assert(sizeof(struct hone_heap_site) == 512, "eight lines of the processor's cache");
_Static_assert(offsetof(struct hone_heap_site, temporary) == 64 &&
                   offsetof(struct hone_heap_site, sizes) == 192,
               "what is touched together lies together");
_Static_assert(sizeof(struct hone_session_header) <= HONE_HEADER_BYTES, "the header has its page");
_Static_assert(sizeof(struct hone_chunk) == 64, "what follows is aligned to a cache line");
_Static_assert(sizeof(struct hone_process) % 64 == 0, "records are aligned to 8");
_Static_assert(sizeof(struct hone_process) + sizeof(struct hone_chunk) < HONE_CHUNK_BYTES / 4,
               "the first chunk has room for records");
_Static_assert(sizeof(struct hone_record_stack) + 8 * HONE_STACK_MAX <= HONE_RECORD_BYTES_MAX,
               "the deepest stack fits into a record");

#endif
