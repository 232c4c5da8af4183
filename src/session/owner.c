#include "session/owner.h"

#include "core/clock.h"
#include "core/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(HONE_HEADER_BYTES + HONE_CHUNKS_MAX / 8 <= HONE_CHUNKS_AT, "the bitmap has room");

// Memory or disk space for the bytes [from, to), or an error: never a hole that faults later.
// Where the file system cannot reserve, zeros are written, which does the same.
static int reserve(int fd, uint64_t from, uint64_t to)
{
    int r;
    do
        r = posix_fallocate(fd, (off_t)from, (off_t)(to - from));
    while (r == EINTR);
    return -r;
}

static int back_up_to(struct hone_session *session, uint32_t want)
{
    struct hone_session_header *header = session->header;
    uint32_t backed = atomic_load_explicit(&header->backed_chunks, memory_order_relaxed);
    if (want <= backed)
        return 0;
    uint64_t from = HONE_CHUNKS_AT + (uint64_t)backed * HONE_CHUNK_BYTES;
    uint64_t to = from + (uint64_t)(want - backed) * HONE_CHUNK_BYTES;
    int r = reserve(session->fd, from, to);
    if (r) {
        session->back_error = r;
        return r;
    }
    // Release: the memory before the number. Pairs with the acquire in the writer's take.
    atomic_store_explicit(&header->backed_chunks, want, memory_order_release);
    (void)hone_syscall6(SYS_futex, (long)&header->backed_chunks, FUTEX_WAKE, INT_MAX, 0, 0, 0);
    return 0;
}

int hone_session_create(const char *path, uint32_t chunk_count,
                        const struct hone_session_config *config, struct hone_session *ret)
{
    if (chunk_count == 0 || chunk_count > HONE_CHUNKS_MAX)
        return -EINVAL;
    struct hone_session session = {.fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (session.fd < 0)
        return -errno;
    session.bytes = HONE_CHUNKS_AT + (size_t)chunk_count * HONE_CHUNK_BYTES;
    session.header = MAP_FAILED;
    int r = reserve(session.fd, 0, HONE_CHUNKS_AT);
    if (!r && (ftruncate(session.fd, (off_t)session.bytes) || fchmod(session.fd, 0666)))
        r = -errno;
    if (!r) {
        session.header =
            mmap(NULL, session.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, session.fd, 0);
        if (session.header == MAP_FAILED)
            r = -errno;
    }
    if (!r) {
        struct timespec now = {0};
        (void)clock_gettime(CLOCK_REALTIME, &now);
        session.header->magic = HONE_SESSION_MAGIC;
        session.header->version = HONE_SESSION_VERSION;
        session.header->header_bytes = HONE_HEADER_BYTES;
        session.header->chunk_bytes = HONE_CHUNK_BYTES;
        session.header->chunk_count = chunk_count;
        session.header->chunks_at = HONE_CHUNKS_AT;
        session.header->started_realtime_ns = hone_timespec_ns(now);
        session.header->started_monotonic_ns = hone_now_ns();
        session.header->config = *config;
        atomic_store_explicit(&session.header->heap_rate, config->heap_rate, memory_order_relaxed);
        r = back_up_to(&session, chunk_count < 8 ? chunk_count : 8);
    }
    if (r) {
        hone_session_close(&session);
        (void)unlink(path);
        return r;
    }
    (void)hone_session_back(&session, HONE_SESSION_AHEAD);
    *ret = session;
    return 0;
}

int hone_session_back(struct hone_session *session, uint32_t ahead)
{
    struct hone_session_header *header = session->header;
    uint32_t used = atomic_load_explicit(&header->chunks_used, memory_order_relaxed);
    uint32_t count = header->chunk_count;
    uint32_t want = used > count || ahead > count - used ? count : used + ahead;
    return back_up_to(session, want);
}

// --- a file that becomes shorter -----------------------------------------------------------------

static struct {
    unsigned char *from;
    size_t bytes;
    volatile sig_atomic_t taken;
    struct sigaction before;
} guard;

// The memory that is gone, from this page on, becomes private zeros, and the access is made again.
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t at = (uintptr_t)info->si_addr & ~(uintptr_t)4095, from = (uintptr_t)guard.from;
    bool ours = info->si_code > 0 && at >= from && at - from < guard.bytes;
    if (ours && mmap((void *)at, guard.bytes - (at - from), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED)
        guard.taken = 1;
    else if (info->si_code > 0) // happens again at once, and then ends us
        (void)sigaction(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    else if (guard.before.sa_flags & SA_SIGINFO) // somebody sent it
        guard.before.sa_sigaction(number, info, context);
    errno = saved;
}

void hone_session_guard(struct hone_session *session)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    guard.from = (unsigned char *)session->header;
    guard.bytes = session->bytes;
    guard.taken = 0;
    session->guarded = sigaction(SIGBUS, &action, &guard.before) == 0;
}

bool hone_session_taken(const struct hone_session *session)
{
    struct stat st;
    return (session->guarded && guard.taken) ||
           (fstat(session->fd, &st) == 0 && (uint64_t)st.st_size < session->bytes);
}

void hone_session_close(struct hone_session *session)
{
    if (session->guarded)
        (void)sigaction(SIGBUS, &guard.before, NULL);
    if (session->header && session->header != MAP_FAILED)
        (void)munmap(session->header, session->bytes);
    if (session->fd >= 0)
        (void)close(session->fd);
    *session = (struct hone_session){.fd = -1};
}
