// A few threads that share out work which takes long: the calling one and as many more as there
// are processors for. They take items from a counter, so none waits for another, and what comes of
// an item must not depend on who did it.
#ifndef HONE_BASE_CREW_H
#define HONE_BASE_CREW_H

enum { HONE_CREW_MAX = 8 }; // more would wait for memory, not for each other

// Processors that we may use, at most HONE_CREW_MAX.
unsigned hone_crew_size(void);

// Calls work(context, 0) here and work(context, 1) … work(context, count - 1) in threads of their
// own, and returns when all have. Where no thread can be had, fewer are called.
void hone_crew_run(unsigned count, void (*work)(void *context, unsigned number),
                          void *context);

#endif
