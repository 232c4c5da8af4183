// hone: what a program may ask of the profiler that watches it.
//
//     #include <hone/hone.h>
//
//     if (hone_recording())
//         fprintf(stderr, "warming up longer, a profile is being recorded\n");
//
// A program needs none of this to be profiled: `hone record ./program` preloads libhone.so. A
// program that cannot be preloaded (linked statically) links libhone.a and is then recorded by the
// same command:
//
//     cc -static main.c -Wl,--whole-archive -lhone -Wl,--no-whole-archive
//
// Linked or preloaded, the library does nothing at all unless `hone record` started the program.
// Where it is both, these calls act on the preloaded one, which does the work.
#ifndef HONE_HONE_H
#define HONE_HONE_H

#ifdef __cplusplus
extern "C" {
#endif

// The library's version, "0.1.0".
//
// Threads, Signals: safe.
const char *hone_version(void);

// 1 while this process is being recorded, otherwise 0.
//
// Threads, Signals: safe.
int hone_recording(void);

// How often allocations are sampled from now on: once in so many bytes on average (524288), all at
// 1, none at 0. HONE_HEAP_RATE_OF_RECORDING is the rate of `hone record --heap-rate` again; so it
// is when that is changed from outside, by `hone heap-rate`. What is sampled already is followed to
// its end in any case. A thread takes note within its next MiB of allocations.
//
//     hone_heap_set_rate(0);
//     load_everything();                  // known, and of no interest
//     hone_heap_set_rate(HONE_HEAP_RATE_OF_RECORDING);
//
// Returns 0; -1 when the heap of this process is not being recorded.
//
// Threads, Signals: safe.
#define HONE_HEAP_RATE_OF_RECORDING (~0ull)
int hone_heap_set_rate(unsigned long long bytes);

// Gives this moment a name. session.json lists the marks of a recording, and profiles over time
// (heap-time.prof) have a label for the time between two of them, so that what happened since one,
// or between two, is one filter:
//
//     hone_mark("warm");
//     …
//     hone top --tag-focus generation=warm DIR/heap-time.prof
//
// Names longer than 47 bytes are cut. 'hone mark NAME' does the same from outside.
//
// Returns  1; 0 when nothing is being recorded, the name is empty, or 64 marks are there already.
// Threads, Signals: safe; some 50 ns.
int hone_mark(const char *name);

// Gives a lock a name, by which mutex.prof and `hone locks` call it from then on; lock is the
// address of the pthread_mutex_t, std::mutex, … itself:
//
//     pthread_mutex_init(&pool->lock, NULL);
//     hone_lock_name(&pool->lock, "pool");
//
// Variables have a name already, the program's own. A name holds until the lock gets another one,
// and for what was recorded of it before, too. Names longer than 127 bytes are cut.
//
// A program that is not linked with the library, for it is preloaded when it is recorded, declares
// the function weak and asks whether it is there:
//
//     #pragma weak hone_lock_name
//     if (hone_lock_name)
//         hone_lock_name(&pool->lock, "pool");
//
// Returns  1; 0 when no locks are being recorded or the name is empty.
// Threads, Signals: safe.
int hone_lock_name(const void *lock, const char *name);

#ifdef __cplusplus
}
#endif

#endif
