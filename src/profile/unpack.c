// gzip is unpacked by ISA-L, which goes on where it stopped and is as fast as those that want all
// of it at once (130 ms for 53 MB, libdeflate the same): so somebody else can work on the first
// part while the next is unpacked.
#include "profile/unpack.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    CHUNK = 1 << 18,
    PEEK = 1 << 14,
    BEHIND = 16, // bytes in front of the input that inflate may go back to: it reads 8 ahead
    FEED_MAX = 1 << 30,
};

struct hone_unpack {
    char *name;
    size_t limit;
    size_t taken; // bytes of input
    size_t total; // of the input; 0 unknown
    size_t made;  // plain bytes
    bool packed;
    bool between; // members of a gzip file; also at its end

    const unsigned char *at; // input that was read and not taken
    size_t left;
    int fd;                // -1: there is no more than that
    unsigned char *buffer; // of what is read

    unsigned char *peeked; // plain bytes that are to be given once more
    size_t peeked_len;
    size_t peeked_given;

    struct inflate_state inflate;
};

void hone_unpack_free(struct hone_unpack *u)
{
    if (!u)
        return;
    hone_fd_closep(&u->fd);
    free(u->buffer);
    free(u->peeked);
    free(u->name);
    free(u);
}

void hone_unpack_freep(struct hone_unpack **u)
{
    hone_unpack_free(*u);
}

const char *hone_unpack_name(const struct hone_unpack *u)
{
    return u->name;
}

bool hone_unpack_is_empty(const struct hone_unpack *u)
{
    return !u->taken;
}

bool hone_unpack_is_packed(const struct hone_unpack *u)
{
    return u->packed;
}

double hone_unpack_share(const struct hone_unpack *u)
{
    size_t used = u->taken - u->left;
    return used && used < u->total ? (double)used / (double)u->total : 1;
}

bool hone_unpack_is_gzip(const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    return len >= 2 && at[0] == 0x1f && at[1] == 0x8b;
}

// --- input ---------------------------------------------------------------------------------------

static int read_more(struct hone_unpack *u, struct hone_error *err)
{
    size_t keep = u->left; // at the beginning only: a first byte without a second
    memmove(u->buffer, u->at - BEHIND, BEHIND + keep);
    u->at = u->buffer + BEHIND;
    for (;;) {
        ssize_t got = read(u->fd, u->buffer + BEHIND + keep, CHUNK - keep);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hone_error_set(err, -errno, "cannot read '%s'", u->name);
        if (got == 0)
            (void)close(hone_fd_take(&u->fd));
        u->left = keep + (size_t)got;
        u->taken += (size_t)got;
        if (u->taken > u->limit)
            return hone_error_set(err, -EFBIG, "'%s' has more than %zu bytes", u->name, u->limit);
        return 0;
    }
}

static int begin(struct hone_unpack *u, struct hone_error *err)
{
    while (u->left < 2 && u->fd >= 0) {
        int r = read_more(u, err);
        if (r)
            return r;
    }
    u->packed = hone_unpack_is_gzip(u->at, u->left);
    u->between = true;
    return 0;
}

static struct hone_unpack *new_unpack(const char *name, size_t limit)
{
    HONE_CLEANUP(hone_unpack_freep) struct hone_unpack *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->fd = -1;
    u->limit = limit;
    size_t len = strlen(name) + 1;
    u->name = malloc(len);
    if (!u->name)
        return NULL;
    memcpy(u->name, name, len);
    return hone_take(u);
}

int hone_unpack_bytes(const void *bytes, size_t len, const char *name, size_t limit,
                      struct hone_unpack **ret, struct hone_error *err)
{
    if (len > limit)
        return hone_error_set(err, -EFBIG, "'%s' has more than %zu bytes", name, limit);
    HONE_CLEANUP(hone_unpack_freep) struct hone_unpack *u = new_unpack(name, limit);
    if (!u)
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", name);
    u->at = bytes;
    u->left = u->taken = u->total = len;
    int r = begin(u, err);
    if (!r)
        *ret = hone_take(u);
    return r;
}

int hone_unpack_file(const char *path, size_t limit, struct hone_unpack **ret,
                     struct hone_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    HONE_CLEANUP(hone_unpack_freep)
    struct hone_unpack *u = new_unpack(standard ? "standard input" : path, limit);
    if (!u)
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", path);
    u->fd = open(standard ? "/dev/stdin" : path, O_RDONLY | O_CLOEXEC);
    if (u->fd < 0)
        return hone_error_set(err, -errno, "cannot open '%s'", path);
    struct stat status;
    if (!fstat(u->fd, &status) && S_ISREG(status.st_mode) && status.st_size > 0)
        u->total = (size_t)status.st_size;
    u->buffer = malloc(BEHIND + CHUNK);
    if (!u->buffer)
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", path);
    memset(u->buffer, 0, BEHIND);
    u->at = u->buffer + BEHIND;
    int r = begin(u, err);
    if (!r)
        *ret = hone_take(u);
    return r;
}

// --- output --------------------------------------------------------------------------------------

static int broken(const struct hone_unpack *u, struct hone_error *err)
{
    return hone_error_set(err, -EBADMSG,
                          "cannot read '%s': broken gzip data (is the file cut short?)", u->name);
}

// Copies up to room bytes; sets *ret_made to less at the end only.
static int copy(struct hone_unpack *u, unsigned char *to, size_t room, size_t *ret_made,
                struct hone_error *err)
{
    size_t made = 0;
    while (made < room) {
        if (!u->left && u->fd >= 0) {
            int r = read_more(u, err);
            if (r)
                return r;
        }
        size_t len = u->left < room - made ? u->left : room - made;
        if (!len)
            break;
        memcpy(to + made, u->at, len);
        u->at += len;
        u->left -= len;
        made += len;
    }
    *ret_made = made;
    return 0;
}

// One step of inflate. Tells whether it got anywhere.
static int step(struct hone_unpack *u, unsigned char *to, size_t room, size_t *ret_made,
                bool *moved, struct hone_error *err)
{
    struct inflate_state *s = &u->inflate;
    uint32_t feed = u->left < FEED_MAX ? (uint32_t)u->left : FEED_MAX;
    uint32_t space = room < FEED_MAX ? (uint32_t)room : FEED_MAX;
    if (u->between) {
        isal_inflate_init(s);
        s->crc_flag = ISAL_GZIP;
        u->between = false;
    }
    s->next_in = (uint8_t *)u->at; // not written to
    s->avail_in = feed;
    s->next_out = to;
    s->avail_out = space;
    if (isal_inflate(s) < 0)
        return broken(u, err);
    // May have gone back: bytes behind the end of a member that were read ahead.
    int64_t used = (int64_t)feed - (int64_t)s->avail_in;
    u->at += used;
    u->left -= (size_t)used;
    *ret_made = space - s->avail_out;
    u->between = s->block_state == ISAL_BLOCK_FINISH;
    *moved = used || *ret_made || u->between;
    return 0;
}

static int inflate(struct hone_unpack *u, unsigned char *to, size_t room, size_t *ret_made,
                   struct hone_error *err)
{
    size_t made = 0;
    while (made < room) {
        if (!u->left && u->fd >= 0) {
            int r = read_more(u, err);
            if (r)
                return r;
        }
        if (!u->left && u->between)
            break; // the end
        size_t more = 0;
        bool moved = false;
        int r = step(u, to + made, room - made, &more, &moved, err);
        if (r)
            return r;
        if (!moved && !u->left && u->fd < 0)
            return broken(u, err);
        made += more;
    }
    *ret_made = made;
    return 0;
}

// New plain bytes; fewer than there is room for mean the end.
static int make(struct hone_unpack *u, unsigned char *to, size_t room, size_t *ret_made,
                struct hone_error *err)
{
    int r = u->packed ? inflate(u, to, room, ret_made, err) : copy(u, to, room, ret_made, err);
    if (r)
        return r;
    u->made += *ret_made;
    if (u->made > u->limit)
        return hone_error_set(err, -EFBIG, "'%s' unpacks to more than %zu bytes", u->name,
                              u->limit);
    return 0;
}

int hone_unpack_peek(struct hone_unpack *u, const unsigned char **ret, size_t *ret_len,
                     struct hone_error *err)
{
    u->peeked = malloc(PEEK);
    if (!u->peeked)
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", u->name);
    int r = make(u, u->peeked, PEEK, &u->peeked_len, err);
    *ret = u->peeked;
    *ret_len = u->peeked_len;
    return r;
}

int hone_unpack_next(struct hone_unpack *u, void *to, size_t room, size_t *ret_len,
                     struct hone_error *err)
{
    size_t again = u->peeked_len - u->peeked_given;
    if (again > room)
        again = room;
    if (again)
        memcpy(to, u->peeked + u->peeked_given, again);
    u->peeked_given += again;
    size_t made = 0;
    int r = make(u, (unsigned char *)to + again, room - again, &made, err);
    if (!r)
        *ret_len = again + made;
    return r;
}

int hone_unpack_all(struct hone_unpack *u, struct hone_buffer *out, struct hone_error *err)
{
    for (size_t room = CHUNK;; room = room < FEED_MAX ? room * 2 : room) {
        if (room > u->limit - u->made) // one byte tells that there is more than may be
            room = u->limit - u->made + 1;
        void *at = hone_buffer_grow(out, room);
        if (!at)
            return hone_error_set(err, -ENOMEM, "cannot read '%s'", u->name);
        size_t len;
        int r = hone_unpack_next(u, at, room, &len, err);
        out->len -= room - (r ? 0 : len);
        if (r || len < room)
            return r;
    }
}
