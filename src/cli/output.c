#include "cli/output.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/utf8.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int put_standard(const char *at, size_t len)
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
    return 0;
}

static int write_standard(const char *at, size_t len)
{
    int r = put_standard(at, len);
    if (r)
        return r;
    // Network file systems tell of a full disk when a descriptor is closed, and any will do.
    int copy = dup(STDOUT_FILENO);
    return copy >= 0 && close(copy) != 0 ? -errno : 0;
}

static int judge_standard(int r, struct hone_error *err)
{
    if (r == -EPIPE)
        return 0;
    return r ? hone_error_set(err, r, "cannot write to standard output") : 0;
}

static int write_str(const char *path, struct hone_str text, struct hone_error *err)
{
    if (path && strcmp(path, "-") != 0)
        return hone_file_write(path, text.at, text.len, err);
    return judge_standard(write_standard(text.at, text.len), err);
}

int hone_output_write(const char *path, const struct hone_buffer *bytes, struct hone_error *err)
{
    if ((!path || strcmp(path, "-") == 0) && isatty(STDOUT_FILENO))
        return hone_output_text(NULL, bytes, err);
    if (bytes->failed)
        return hone_error_set(err, -ENOMEM, "cannot hold the output");
    return write_str(path, (struct hone_str){bytes->at, bytes->len}, err);
}

static int clean_text(struct hone_arena *arena, struct hone_str text, struct hone_str *ret,
                      struct hone_error *err)
{
    bool failed = false;
    *ret = hone_utf8_clean_lines(arena, text, &failed);
    return failed ? hone_error_set(err, -ENOMEM, "cannot hold the output") : 0;
}

int hone_output_text(const char *path, const struct hone_buffer *text, struct hone_error *err)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    if (text->failed)
        return hone_error_set(err, -ENOMEM, "cannot hold the output");
    struct hone_str clean;
    int r = clean_text(&arena, (struct hone_str){text->at, text->len}, &clean, err);
    return r ? r : write_str(path, clean, err);
}

int hone_output_put(void *context, struct hone_str text, struct hone_error *err)
{
    (void)context;
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    struct hone_str clean;
    int r = clean_text(&arena, text, &clean, err);
    if (r)
        return r;
    r = put_standard(clean.at, clean.len);
    return r == -EPIPE ? HONE_OUTPUT_ENOUGH : judge_standard(r, err);
}
