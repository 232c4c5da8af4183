// What went wrong, in words for the user. Functions return 0, a negative errno or a positive
// outcome named in their header; the one who knows the story also fills a struct hone_error, which
// the program prints once, in main.
//
//     struct hone_error err = {0};
//     int r = hone_elf_open(path, &elf, &err);
//     if (r < 0)
//         return hone_error_print(&err);
#ifndef HONE_BASE_ERROR_H
#define HONE_BASE_ERROR_H

#include "hone/base.h" // struct hone_error

#include <stdarg.h>

// Fills err (may be NULL) and returns code, a negative errno. Its text, lower case, is appended
// after a colon, unless code is 0 or the message says it all (-EINVAL and -EBADMSG add none). What
// is too long keeps both its ends.
__attribute__((format(printf, 3, 4))) int hone_error_set(struct hone_error *err, int code,
                                                         const char *format, ...);

__attribute__((format(printf, 3, 0))) int hone_error_vset(struct hone_error *err, int code,
                                                          const char *format, va_list arguments);

// Adds the next step to an error that was just set.
__attribute__((format(printf, 2, 3))) void hone_error_hint(struct hone_error *err,
                                                           const char *format, ...);

// Prints "hone: message" and, if there is one, "hone: hint" on stderr.
void hone_error_print(const struct hone_error *err);

// Prints "hone: …" on stderr: what is no error but is to be known. Like errors it may quote what
// strangers wrote: control characters become visible signs, and what is too long is cut in the
// middle.
__attribute__((format(printf, 1, 2))) void hone_tell(const char *format, ...);

#endif
