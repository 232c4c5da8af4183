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

#ifdef __cplusplus
}
#endif

#endif
