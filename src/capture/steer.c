#include "capture/steer.h"

#include "base/base.h"
#include "session/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX = 8 << 20 };

// The value that the process was started with, in a block of zero-terminated assignments.
static const char *session_in(const char *environment, size_t len)
{
    static const char name[] = "HONE_SESSION=";
    for (const char *at = environment, *end = environment + len; at < end;) {
        size_t bytes = strnlen(at, (size_t)(end - at));
        if (bytes > strlen(name) && bytes < (size_t)(end - at) &&
            strncmp(at, name, strlen(name)) == 0)
            return at + strlen(name);
        at += bytes + 1;
    }
    return NULL;
}

static int not_recorded(pid_t pid, struct hone_error *err)
{
    (void)hone_error_set(err, 0, "process %d is not being recorded by a library inside", (int)pid);
    hone_error_hint(err, "name the program or one of its processes, not 'hone record' itself");
    return -ESRCH;
}

// The header, which whoever takes part in a recording may write.
static int open_header(pid_t pid, struct hone_session_header **ret, struct hone_error *err)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    HONE_CLEANUP(hone_freep) char *environment = NULL;
    size_t len = 0;
    int r = hone_file_read(path, ENVIRONMENT_MAX, &environment, &len, err);
    if (r == -ENOENT)
        return hone_error_set(err, -ESRCH, "process %d", (int)pid);
    if (r == -EACCES || r == -EPERM) {
        (void)hone_error_set(err, r,
                             "cannot look into process %d, which is another user's or "
                             "protected",
                             (int)pid);
        hone_error_hint(err, "name a process of your own that is being recorded");
        return r;
    }
    if (r)
        return r;
    const char *session = session_in(environment, len);
    if (!session)
        return not_recorded(pid, err);
    HONE_CLEANUP(hone_fd_closep) int fd = open(session, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 && errno == ENOENT) // its recording has ended
        return not_recorded(pid, err);
    if (fd < 0 || fstat(fd, &st))
        return hone_error_set(err, -errno, "cannot open the recording of process %d, '%s'",
                              (int)pid, session);
    if (!S_ISREG(st.st_mode) || st.st_size < HONE_HEADER_BYTES)
        return hone_error_set(err, -EBADMSG, "'%s', of process %d, is no recording", session,
                              (int)pid);
    struct hone_session_header *header =
        mmap(NULL, HONE_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (header == MAP_FAILED)
        return hone_error_set(err, -errno, "cannot map '%s'", session);
    if (header->magic != HONE_SESSION_MAGIC || header->version != HONE_SESSION_VERSION) {
        (void)munmap(header, HONE_HEADER_BYTES);
        return hone_error_set(err, -EBADMSG, "'%s', of process %d, is of another version of hone",
                              session, (int)pid);
    }
    *ret = header;
    return 0;
}

int hone_steer_heap_rate(pid_t pid, uint64_t bytes, struct hone_error *err)
{
    struct hone_session_header *header = NULL;
    int r = open_header(pid, &header, err);
    if (r || !header)
        return r;
    if (header->config.heap_rate)
        hone_session_rate_changed(
            header, atomic_exchange_explicit(&header->heap_rate, bytes, memory_order_relaxed),
            bytes);
    else
        r = -ENOTSUP;
    (void)munmap(header, HONE_HEADER_BYTES);
    if (r) {
        (void)hone_error_set(err, 0, "the recording of process %d is not one of the heap",
                             (int)pid);
        hone_error_hint(err, "start it with 'hone record --types heap'");
    }
    return r;
}
