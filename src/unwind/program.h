// What the program that runs is called. One file may have several names (redis-server is a link to
// redis-check-rdb, a shell's commands may all be busybox): the one by which it was executed says
// what was meant.
//
// For the start of a program, before it has changed its working directory or its root.
#ifndef HONE_UNWIND_PROGRAM_H
#define HONE_UNWIND_PROGRAM_H

#include "core/core.h"

#include <stddef.h>

// The program's file, absolute: by the name by which it was executed if that is this very file, not
// a script's, else by its own. Writes "" when neither is known. Returns its length.
size_t hone_program_path(char *ret, size_t size);

// How the process is called: the last part of what was executed, be it a program, a link to one or
// a script; of one that was executed by a descriptor or by /proc/self/exe, how it calls itself. Cut
// to fit; "" when nobody knows.
void hone_program_name(char *ret, size_t size);

#endif
