// What a process says of itself in its first chunk, copied out of memory that it may still write.
//
// Threads: any.  Signals: safe.
#ifndef HONE_SESSION_READER_FACTS_H
#define HONE_SESSION_READER_FACTS_H

#include "session/reader.h"

// Copies size bytes of a text that may lack its end; the copy has one.
void hone_facts_text(char *to, const char *from, size_t size);

void hone_facts_copy(const struct hone_process *process, struct hone_process_facts *ret);

// False: numbers that nobody can have counted were written over those that somebody did. most_count
// bounds what may have happened by now, most_ns the CPU time that may have been used.
bool hone_facts_plausible(const struct hone_process_facts *facts, uint64_t most_count,
                          uint64_t most_ns);

#endif
