// Which format a file has, and the way through it. A look at the beginning decides, so that pprof's
// own files, which are most, go to their decoder as they are.
#include "convert/convert.h"

#include "convert/lines.h"
#include "convert/readers.h"
#include "convert/unpack.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "profile/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { BEGINNING = 64 << 10 };

#define FILE_MAX ((size_t)2 << 30)

static const struct hone_convert_format *pprof_format(void)
{
    return &hone_convert_formats[0];
}

// The format that is surest of these bytes; NULL when none has a match.
static const struct hone_convert_format *detect(const void *bytes, size_t len)
{
    const struct hone_convert_format *best = NULL;
    unsigned most = HONE_CONVERT_NO;
    for (const struct hone_convert_format *format = hone_convert_formats; format->name; format++) {
        unsigned match = format->detect ? format->detect(bytes, len) : HONE_CONVERT_NO;
        if (match > most) {
            most = match;
            best = format;
        }
    }
    return best;
}

static const struct hone_convert_format *detect_beginning(const void *bytes, size_t len)
{
    if (!hone_convert_is_packed(bytes, len))
        return detect(bytes, len < BEGINNING ? len : BEGINNING);
    HONE_CLEANUP(hone_freep) char *plain = malloc(BEGINNING);
    return plain ? detect(plain, hone_convert_unpack_beginning(bytes, len, plain, BEGINNING))
                 : NULL;
}

// What pprof's decoder says of bytes that nobody knows is as good as anything, if it adds where the
// other formats are told.
static int read_unknown(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                        struct hone_error *err)
{
    int r = hone_profile_decode(bytes, len, name, NULL, ret, err);
    if (r == -EBADMSG && hone_bytes_are_text(bytes, len))
        (void)hone_error_set(err, r, "cannot read '%s': a text in no format that is known", name);
    if (r == -EBADMSG)
        hone_error_hint(err, "no format fits; 'hone help convert' lists those that are read");
    return r;
}

static int read_plain(const void *bytes, size_t len, const char *name,
                      const struct hone_convert_format *format, struct hone_profile **ret,
                      const struct hone_convert_format **ret_format, struct hone_error *err)
{
    if (!format)
        format = detect(bytes, len);
    if (ret_format)
        *ret_format = format ? format : pprof_format();
    if (!format)
        return read_unknown(bytes, len, name, ret, err);
    if (format->read)
        return format->read(bytes, len, name, ret, err);
    int r = hone_error_set(err, -EINVAL, "cannot read '%s': %s is %s", name, format->name,
                           format->read_file ? "read from a file only" : "written only");
    if (format->read_file)
        hone_error_hint(err, "give the file's name, unpacked and not through a pipe");
    return r;
}

// Those of packed (may be NULL) are freed as soon as they are unpacked.
static int read_bytes(const void *bytes, size_t len, char **packed, const char *name,
                      const struct hone_convert_format *format, struct hone_profile **ret,
                      const struct hone_convert_format **ret_format, struct hone_error *err)
{
    if (!len)
        return hone_error_set(err, -EBADMSG, "cannot read '%s': it is empty", name);
    const struct hone_convert_format *found = format ? format : detect_beginning(bytes, len);
    if (found == pprof_format()) {
        if (ret_format)
            *ret_format = found;
        return hone_profile_decode(bytes, len, name, NULL, ret, err);
    }
    if (!hone_convert_is_packed(bytes, len))
        return read_plain(bytes, len, name, found, ret, ret_format, err);
    HONE_CLEANUP(hone_freep) char *plain = NULL;
    size_t plain_len;
    int r = hone_convert_unpack(bytes, len, name, FILE_MAX, &plain, &plain_len, err);
    if (r)
        return r;
    if (packed) {
        free(*packed);
        *packed = NULL;
    }
    return read_plain(plain, plain_len, name, found, ret, ret_format, err);
}

int hone_convert_read_bytes(const void *bytes, size_t len, const char *name,
                            const struct hone_convert_format *format, struct hone_profile **ret,
                            const struct hone_convert_format **ret_format, struct hone_error *err)
{
    return read_bytes(bytes, len, NULL, name, format, ret, ret_format, err);
}

// What the beginning of a regular file tells; NULL for others, which can be read once only.
static const struct hone_convert_format *peek(const char *path)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return NULL;
    HONE_CLEANUP(hone_freep) char *bytes = malloc(BEGINNING);
    if (!bytes)
        return NULL;
    size_t len = 0;
    for (ssize_t got; len < BEGINNING; len += (size_t)got) {
        got = read(fd, bytes + len, BEGINNING - len);
        if (got < 0 && errno == EINTR)
            got = 0;
        else if (got <= 0)
            break;
    }
    return len ? detect_beginning(bytes, len) : NULL;
}

int hone_convert_read(const char *path, const struct hone_convert_format *format,
                      struct hone_profile **ret, const struct hone_convert_format **ret_format,
                      struct hone_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    const struct hone_convert_format *found = format || standard ? format : peek(path);
    if (ret_format)
        *ret_format = found;
    if (found == pprof_format())
        return hone_profile_read(path, NULL, ret, err);
    if (found && found->read_file && !standard)
        return found->read_file(path, ret, err);

    HONE_CLEANUP(hone_freep) char *bytes = NULL;
    size_t len;
    int r = hone_file_read(standard ? "/dev/stdin" : path, FILE_MAX, &bytes, &len, err);
    if (r)
        return r;
    return read_bytes(bytes, len, &bytes, standard ? "standard input" : path, found, ret,
                      ret_format, err);
}

int hone_convert_read_event(const char *path, const struct hone_convert_format *format,
                            const char *event, struct hone_profile **ret, struct hone_error *err)
{
    const struct hone_convert_format *found =
        format || strcmp(path, "-") == 0 ? format : peek(path);
    if (found && found->read_event)
        return found->read_event(path, event, ret, err);
    if (access(path, R_OK))
        return hone_error_set(err, -errno, "cannot open '%s'", path);
    int r = hone_error_set(err, -EINVAL, "'%s' is %s, which holds no events to choose from", path,
                           found ? found->name : "a profile");
    hone_error_hint(err, "leave out --event");
    return r;
}

int hone_convert_write(const struct hone_profile *profile, const struct hone_convert_format *format,
                       bool pack, struct hone_buffer *out, struct hone_error *err)
{
    if (format == pprof_format() || !pack)
        return format->write(profile, out, err);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer plain = {0};
    int r = format->write(profile, &plain, err);
    if (!r)
        r = hone_convert_pack(&plain);
    if (!r)
        hone_buffer_add(out, plain.at, plain.len);
    return r == -ENOMEM || out->failed ? hone_error_set(err, -ENOMEM, "cannot hold the output") : r;
}
