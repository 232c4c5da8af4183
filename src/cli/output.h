// cli output: where the bytes of a view go.
#ifndef HONE_CLI_OUTPUT_H
#define HONE_CLI_OUTPUT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/str.h"

// Writes to the file at path, which appears whole or not at all; NULL or "-" is standard output.
// A reader that went away (| head) is no error; a full disk is.
int hone_output_write(const char *path, const struct hone_buffer *bytes, struct hone_error *err);

// The same of text for people: names in profiles and lines of sources are strangers' text, which
// must not steer a terminal, be it the one that is written to or the one where somebody looks at
// the file or at the end of the pipe. Control characters other than line ends and tabs become
// visible signs.
int hone_output_text(const char *path, const struct hone_buffer *text, struct hone_error *err);

// The same of a part of it, whole lines, to standard output; what is left goes through
// hone_output_text(). Returns HONE_OUTPUT_ENOUGH where the reader went away. Fits a
// struct hone_text_sink; context counts for nothing.
enum { HONE_OUTPUT_ENOUGH = 1 };
int hone_output_put(void *context, struct hone_str text, struct hone_error *err);

#endif
