// cli output: where the bytes of a view go.
#ifndef HONE_CLI_OUTPUT_H
#define HONE_CLI_OUTPUT_H

#include "base/buffer.h"
#include "base/error.h"

// Writes to the file at path, which appears whole or not at all; NULL or "-" is standard output.
// On a terminal, control characters other than line ends and tabs become visible signs.
// A reader that went away (| head) is no error; a full disk is.
int hone_output_write(const char *path, const struct hone_buffer *bytes, struct hone_error *err);

#endif
