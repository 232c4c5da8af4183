// What the session's tests share. Where there is no session, the test ends.
#ifndef HONE_SESSION_SESSION_FIXTURE_H
#define HONE_SESSION_SESSION_FIXTURE_H

#include "session/session.h"

#include <stdlib.h>
#include <unistd.h>

static inline struct hone_session make_session(uint32_t chunks)
{
    char path[] = "/tmp/hone-session-test-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        abort();
    (void)close(fd);
    (void)unlink(path);
    struct hone_session session;
    struct hone_session_config config = {.cpu_period_ns = 1000000, .stack_max = 512};
    if (hone_session_create(path, chunks, &config, &session))
        abort();
    (void)unlink(path);
    return session;
}

#endif
