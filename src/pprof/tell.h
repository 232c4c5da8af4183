// What is said beside the report, on standard error. Private to this room.
#ifndef HONE_PPROF_TELL_H
#define HONE_PPROF_TELL_H

// One line.
__attribute__((format(printf, 1, 2))) void hone_pprof_tell(const char *format, ...);

// Why a line of the shell did not do what it says: red on a terminal, unless $NO_COLOR is set.
void hone_pprof_complain(const char *text);

#endif
