// The command that session.json tells of, as one line.
#ifndef HONE_ANALYSE_SESSION_COMMAND_H
#define HONE_ANALYSE_SESSION_COMMAND_H

#include "base/arena.h"
#include "base/str.h"

#include <jansson.h>

// Words with a space between, as many as fit into a line. A copy in the arena, NUL behind it; at is
// NULL when memory is out.
struct hone_str hone_session_command(struct hone_arena *arena, const json_t *session);

#endif
