// cli output: where the bytes of a view go.
#ifndef HONE_CLI_OUTPUT_H
#define HONE_CLI_OUTPUT_H

#include "base/buffer.h"
#include "base/error.h"

// Writes to the file at path, which appears whole or not at all; NULL or "-" is standard output.
// A reader that went away (| head) is no error; a full disk is.
int hone_output_write(const char *path, const struct hone_buffer *bytes, struct hone_error *err);

// The same of text for people: names in profiles and lines of sources are strangers' text, which
// must not steer a terminal, be it the one that is written to or the one where somebody looks at
// the file or at the end of the pipe. Control characters other than line ends and tabs become
// visible signs.
int hone_output_text(const char *path, const struct hone_buffer *text, struct hone_error *err);

#endif
