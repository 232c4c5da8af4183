#include "cli/output.h"

#include "base/file.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int write_standard(const char *at, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(STDOUT_FILENO, at, len);
        if (wrote >= 0) {
            at += wrote;
            len -= (size_t)wrote;
        } else if (errno == EAGAIN) { // somebody left the terminal non-blocking
            struct pollfd writable = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    // Network file systems tell of a full disk when a descriptor is closed, and any will do.
    int copy = dup(STDOUT_FILENO);
    return copy >= 0 && close(copy) != 0 ? -errno : 0;
}

int hone_output_write(const char *path, const struct hone_buffer *bytes, struct hone_error *err)
{
    if (bytes->failed)
        return hone_error_set(err, -ENOMEM, "cannot hold the output");
    if (path && strcmp(path, "-") != 0)
        return hone_file_write(path, bytes->at, bytes->len, err);
    int r = write_standard(bytes->at, bytes->len);
    if (r == -EPIPE)
        return 0;
    return r ? hone_error_set(err, r, "cannot write to standard output") : 0;
}
