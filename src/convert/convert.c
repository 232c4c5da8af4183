// Which format a file has, and the way through it. A look at the beginning decides, so that pprof's
// own files, which are most, go to their decoder as they are.
#include "convert/convert.h"

#include "convert/lines.h"
#include "convert/readers.h"
#include "convert/unpack.h"

#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

// How much of a file tells its format. The members of a JSON document stand in any order, so of
// one that begins like that, more is looked at.
enum { BEGINNING = 64 << 10, DOCUMENT = 16 << 20 };

#define FILE_MAX ((size_t)2 << 30)

static const struct hone_convert_format *pprof_format(void)
{
    return &hone_convert_formats[0];
}

// --- which format --------------------------------------------------------------------------------

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

static bool is_document(const char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len &&
           (bytes[at] == ' ' || bytes[at] == '\n' || bytes[at] == '\t' || bytes[at] == '\r'))
        at++;
    return at < len && (bytes[at] == '{' || bytes[at] == '[');
}

// What a look at the front of a file told.
struct look {
    const struct hone_convert_format *format; // NULL: none that is known
    bool whole;                               // it saw everything
    bool text;
    bool document; // a further look may tell more
};

// Editors and spreadsheets of other systems put these bytes before a text, to say how it is
// written.
static void skip_mark(const void **bytes, size_t *len)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t size = sizeof mark - 1;
    if (*len <= size || memcmp(*bytes, mark, size) != 0)
        return;
    *bytes = (const char *)*bytes + size;
    *len -= size;
}

// A look at the first most bytes, unpacked. ended: nothing comes behind the len bytes.
static struct look look_at(const void *bytes, size_t len, bool ended, size_t most)
{
    HONE_CLEANUP(hone_freep) char *plain = NULL;
    size_t seen = len < most ? len : most;
    if (hone_convert_is_packed(bytes, len)) {
        plain = malloc(most);
        seen = plain ? hone_convert_unpack_beginning(bytes, seen, plain, most) : 0;
        ended &= seen < most && len <= most;
        bytes = plain;
    } else {
        ended &= seen == len;
    }
    struct look look = {.whole = ended};
    if (!bytes || !seen)
        return look;
    skip_mark(&bytes, &seen);
    look.format = detect(bytes, seen);
    look.text = hone_bytes_are_text(bytes, seen);
    look.document = is_document(bytes, seen);
    return look;
}

static int refuse(const struct look *look, const char *name, struct hone_error *err)
{
    int r = hone_error_set(err, -EBADMSG, "cannot read '%s': %s", name,
                           look->text ? "a text in no format that is known"
                                      : "it begins like no format that is known");
    hone_error_hint(err, "'hone help convert' lists those that are read");
    return r;
}

// --- reading -------------------------------------------------------------------------------------

static int read_plain(const void *bytes, size_t len, const char *name,
                      const struct hone_convert_format *format, struct hone_profile **ret,
                      struct hone_error *err)
{
    skip_mark(&bytes, &len);
    if (format->read)
        return format->read(bytes, len, name, ret, err);
    int r = hone_error_set(err, -EINVAL, "cannot read '%s': %s is %s", name, format->name,
                           format->read_file ? "read from a file only" : "written only");
    if (format->read_file)
        hone_error_hint(err, "give the file's name, unpacked and not through a pipe");
    return r;
}

// What nobody knows goes to pprof's decoder, which tells what is wrong, if a look saw all of it.
static int read_unknown(const void *bytes, size_t len, const struct look *look, const char *name,
                        struct hone_profile **ret, struct hone_error *err)
{
    if (!look->whole)
        return refuse(look, name, err);
    int r = hone_profile_decode(bytes, len, name, NULL, ret, err);
    if (r == -EBADMSG && look->text)
        return refuse(look, name, err);
    if (r == -EBADMSG)
        hone_error_hint(err, "no format fits; 'hone help convert' lists those that are read");
    return r;
}

// Those of packed (may be NULL) are freed as soon as they are unpacked.
static int read_as(const void *bytes, size_t len, char **packed, const char *name,
                   const struct hone_convert_format *format, struct hone_profile **ret,
                   struct hone_error *err)
{
    if (format == pprof_format())
        return hone_profile_decode(bytes, len, name, NULL, ret, err);
    if (!hone_convert_is_packed(bytes, len))
        return read_plain(bytes, len, name, format, ret, err);
    HONE_CLEANUP(hone_freep) char *plain = NULL;
    size_t plain_len;
    int r = hone_convert_unpack(bytes, len, name, FILE_MAX, &plain, &plain_len, err);
    if (r)
        return r;
    if (packed) {
        free(*packed);
        *packed = NULL;
    }
    return read_plain(plain, plain_len, name, format, ret, err);
}

int hone_convert_read_bytes(const void *bytes, size_t len, const char *name,
                            const struct hone_convert_format *format, struct hone_profile **ret,
                            const struct hone_convert_format **ret_format, struct hone_error *err)
{
    struct look look = {.format = format};
    if (!len)
        return hone_error_set(err, -EBADMSG, "cannot read '%s': it is empty", name);
    if (!format)
        look = look_at(bytes, len, true, BEGINNING);
    if (!look.format && look.document && !look.whole)
        look = look_at(bytes, len, true, DOCUMENT);
    if (ret_format)
        *ret_format = look.format ? look.format : pprof_format();
    return look.format ? read_as(bytes, len, NULL, name, look.format, ret, err)
                       : read_unknown(bytes, len, &look, name, ret, err);
}

// --- files ---------------------------------------------------------------------------------------

struct input {
    const char *path;
    const char *name;
    bool regular; // it can be read once more
    bool directory;
    int fd;
    bool ended;
    char *bytes;
    size_t len;
    size_t room;
    size_t size; // of a regular file, as it was
};

static void input_done(struct input *in)
{
    hone_fd_closep(&in->fd);
    free(in->bytes);
}

static int open_input(struct input *in, struct hone_error *err)
{
    struct stat status;
    bool standard = strcmp(in->path, "-") == 0;
    in->name = standard ? "standard input" : in->path;
    // The descriptor itself: a socket, or another user's file, has no path that opens again.
    in->fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
                      : open(in->path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0 || fstat(in->fd, &status))
        return hone_error_set(err, -errno, "cannot open '%s'", in->name);
    in->directory = S_ISDIR(status.st_mode);
    in->regular = S_ISREG(status.st_mode) && !standard;
    if (S_ISREG(status.st_mode) && status.st_size > 0)
        in->size = (size_t)status.st_size;
    return 0;
}

static int grow(struct input *in, size_t most, struct hone_error *err)
{
    if (in->len < in->room)
        return 0;
    size_t room = in->room ? in->room + in->room / 2 : BEGINNING;
    if (room < in->size && in->size <= most)
        room = in->size; // as it seems, all that will be needed
    room = room < most ? room : most;
    char *at = realloc(in->bytes, room + 1); // for a NUL
    if (!at) {
        (void)hone_error_set(err, -ENOMEM, "cannot read '%s'", in->name);
        return -ENOMEM;
    }
    in->bytes = at;
    in->room = room;
    return 0;
}

// Reads on until there are most bytes, or the file ends.
static int read_up_to(struct input *in, size_t most, struct hone_error *err)
{
    while (!in->ended && in->len < most) {
        int r = grow(in, most, err);
        if (r)
            return r;
        ssize_t got = read(in->fd, in->bytes + in->len, in->room - in->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hone_error_set(err, -errno, "cannot read '%s'", in->name);
        in->ended = got == 0;
        in->len += (size_t)got;
        in->bytes[in->len] = '\0';
    }
    return 0;
}

static int look_into(struct input *in, struct look *ret, struct hone_error *err)
{
    int r = read_up_to(in, BEGINNING + 1, err);
    if (r)
        return r;
    *ret = look_at(in->bytes, in->len, in->ended, BEGINNING);
    if (ret->format || !ret->document || ret->whole)
        return 0;
    r = read_up_to(in, DOCUMENT + 1, err);
    if (!r)
        *ret = look_at(in->bytes, in->len, in->ended, DOCUMENT);
    return r;
}

static const struct hone_convert_format *format_of_directory(const char *path)
{
    for (const struct hone_convert_format *format = hone_convert_formats; format->name; format++)
        if (format->detect_directory && format->detect_directory(path))
            return format;
    return NULL;
}

bool hone_convert_is_directory(const char *path)
{
    return format_of_directory(path) != NULL;
}

// Opens the file and tells its format, or takes the one that is given.
static int begin(struct input *in, const struct hone_convert_format *given, struct look *ret,
                 struct hone_error *err)
{
    int r = open_input(in, err);
    if (r)
        return r;
    if (in->directory) {
        ret->format = given ? given : format_of_directory(in->path);
        if (ret->format && ret->format->detect_directory)
            return 0;
        return hone_error_set(err, -EISDIR, "cannot read '%s'", in->name);
    }
    ret->format = given;
    r = given ? read_up_to(in, BEGINNING, err) : look_into(in, ret, err);
    if (!r && !in->len)
        return hone_error_set(err, -EBADMSG, "cannot read '%s': it is empty", in->name);
    return r;
}

int hone_convert_read(const char *path, const struct hone_convert_format *format,
                      struct hone_profile **ret, const struct hone_convert_format **ret_format,
                      struct hone_error *err)
{
    HONE_CLEANUP(input_done) struct input in = {.path = path, .fd = -1};
    struct look look = {0};
    int r = begin(&in, format, &look, err);
    if (r)
        return r;
    const struct hone_convert_format *found = look.format;
    if (ret_format)
        *ret_format = found ? found : pprof_format();
    if (!found)
        return read_unknown(in.bytes, in.len, &look, in.name, ret, err);
    if (in.regular && found == pprof_format())
        return hone_profile_read(path, NULL, ret, err);
    if ((in.regular || in.directory) && found->read_file)
        return found->read_file(path, ret, err);
    r = read_up_to(&in, FILE_MAX + 1, err);
    if (r)
        return r;
    if (in.len > FILE_MAX)
        return hone_error_set(err, -EFBIG, "'%s' is larger than %zu bytes", in.name, FILE_MAX);
    return read_as(in.bytes, in.len, &in.bytes, in.name, found, ret, err);
}

int hone_convert_read_event(const char *path, const struct hone_convert_format *format,
                            const char *event, struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(input_done) struct input in = {.path = path, .fd = -1};
    struct look look = {.format = format};
    if (strcmp(path, "-") != 0) {
        int r = begin(&in, format, &look, err);
        if (r)
            return r;
        if (!in.regular && !in.directory) // what was looked at is gone
            look.format = format;
    }
    if (look.format && look.format->read_event)
        return look.format->read_event(path, event, ret, err);
    int r = hone_error_set(err, -EINVAL, "'%s' is %s, which holds no events to choose from", path,
                           look.format ? look.format->name : "a profile");
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
