// Room in the session: memory behind chunks ahead of those who write. A thread of its own, for who
// reads along takes longest just when most is told, and what finds no room is lost.
#ifndef HONE_CAPTURE_ROOM_H
#define HONE_CAPTURE_ROOM_H

#include "session/session.h"

struct hone_room;

// Keeps room from now on, more of it where much is told at once. The session stays the caller's,
// who does not call hone_session_back() meanwhile.
//
// Returns  0 or a negative errno.
int hone_room_start(struct hone_session *session, struct hone_room **ret);

// NULL is fine.
void hone_room_stop(struct hone_room *room);

#endif
