// Functions of the C library's that must not be reached past our hooks. A library that looks into
// its own dependencies first (RTLD_DEEPBIND), a language that looks functions up in libc by itself
// (Python's ctypes), and libc in its own functions call them past every table of ours; and then an
// exec with our events open would end the new program, a handler in the place of ours this one.
//
// So these functions themselves lead to our hooks, which call them by a copy of their beginnings
// (entries.h), on machines where that is known. What makes the system call by itself stays unseen.
#ifndef HONE_PROBE_ENTRIES_LIBC_H
#define HONE_PROBE_ENTRIES_LIBC_H

// At start, while the program has one thread; else nothing is changed.
void hone_libc_entries_patch(void);

#endif
