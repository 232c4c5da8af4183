#include "session/session_fixture.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WINDOWS = 40, CHUNKS = WINDOWS * HONE_WINDOW_CHUNKS };

static void skip_where_nothing_can_be_doubled(void *mapping)
{
    if (!hone_windows_can_double(mapping))
        cr_skip_test("mremap() of an old size of 0 does not work here");
}

// A session, mapped whole for its reader, and once more as a process has it that has closed all its
// descriptors.
static struct hone_session make_windows(struct hone_writer *ret)
{
    struct hone_session session = make_session(CHUNKS);
    CHECK_EQ(hone_session_back(&session, CHUNKS), 0);
    size_t bytes = HONE_CHUNKS_AT + HONE_WINDOW_BYTES;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, session.fd, 0);
    CHECK(memory != MAP_FAILED);
    skip_where_nothing_can_be_doubled(memory);
    (void)close(session.fd);
    session.fd = -1;
    CHECK_EQ(hone_writer_attach(ret, memory, bytes), 0);
    CHECK_EQ(hone_writer_begin(ret, 41, 1, 1000), 0);
    return session;
}

// A file of the kernel's, without an allocation: a sanitizer's maps memory.
static const char *read_all(const char *path)
{
    static char text[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    size_t size = 0;
    for (ssize_t r = 1; r > 0 && size < sizeof text - 1; size += (size_t)r)
        if ((r = read(fd, text + size, sizeof text - 1 - size)) < 0)
            break;
    text[size] = '\0';
    CHECK_EQ(close(fd), 0);
    return text;
}

// In KiB.
static uint64_t status(const char *name)
{
    const char *found = strstr(read_all("/proc/self/status"), name);
    CHECK(found != NULL);
    return strtoull(found + strlen(name), NULL, 10);
}

// How much of the session's file is mapped, by the reader and by the writer.
static uint64_t mapped(void)
{
    uint64_t bytes = 0;
    const char *line = read_all("/proc/self/maps");
    for (const char *end; (end = strchr(line, '\n')); line = end + 1) {
        char *after;
        uint64_t from = strtoull(line, &after, 16), to = strtoull(after + 1, NULL, 16);
        const char *name = strstr(line, "hone-session-test");
        if (name && name < end)
            bytes += to - from;
    }
    return bytes;
}

static unsigned char *shared(const struct hone_session *session, uint32_t window)
{
    return (unsigned char *)session->header + HONE_CHUNKS_AT + (size_t)window * HONE_WINDOW_BYTES;
}

// Whether it is that part of the file and all of it.
static void check_is_there(const struct hone_session *session, const struct hone_writer *writer,
                           uint32_t window)
{
    unsigned char *at = hone_window_at(&writer->windows, window);
    CHECK(at);
    for (uint32_t byte = 8; byte < HONE_WINDOW_BYTES; byte += HONE_CHUNK_BYTES / 2) {
        at[byte] = (unsigned char)(window + 1);
        CHECK_EQ(shared(session, window)[byte], window + 1);
        shared(session, window)[byte] = 0;
        CHECK_EQ(at[byte], 0);
    }
}

static uint32_t write_all(struct hone_writer *writer)
{
    enum { BYTES = 8192 };
    uint32_t count = 0;
    for (void *record; (record = hone_writer_claim(writer, BYTES)); count++)
        hone_writer_commit(writer, record, HONE_RECORD_PADDING);
    return count;
}

TEST(window_is_mapped_when_a_chunk_of_it_is_taken)
{
    struct hone_writer writer;
    struct hone_session session = make_windows(&writer);
    uint64_t before = mapped();
    uint32_t sites;
    for (uint32_t chunk = 1; chunk < CHUNKS; chunk++) {
        uint32_t last = chunk / HONE_WINDOW_CHUNKS;
        CHECK(hone_writer_take_sites(&writer, &sites));
        CHECK_EQ(sites, chunk * HONE_HEAP_SITES_STRIDE);
        hone_window_site(&writer.windows, sites)->allocated = chunk;
        CHECK_EQ(mapped() - before, (uint64_t)last * HONE_WINDOW_BYTES);
        for (uint32_t i = 0; i < WINDOWS; i++)
            CHECK_EQ(hone_window_at(&writer.windows, i) != NULL, i <= last);
        const struct hone_chunk *there =
            (void *)(shared(&session, 0) + (size_t)chunk * HONE_CHUNK_BYTES);
        CHECK_EQ(((const struct hone_heap_site *)(there + 1))->allocated, chunk);
    }
    CHECK(!hone_writer_take_sites(&writer, &sites));
    hone_session_close(&session);
}

TEST(what_is_written_in_windows_is_read_in_order)
{
    struct hone_writer writer;
    struct hone_session session = make_windows(&writer);
    // Seven of 8 KiB in each chunk, for its head; in the first the process is described, too.
    CHECK_EQ(write_all(&writer), CHUNKS * 7);
    CHECK_EQ(session.header->chunks_used, CHUNKS);
    CHECK(session.header->chunks_refused > 0);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    static const struct hone_reader_events none;
    CHECK_EQ(hone_reader_poll(reader, &none, NULL), 0);
    CHECK_EQ(hone_reader_losses(reader).broken, 0);
    CHECK_EQ(session.header->chunks_used, 2); // the process's and the current one
    uint64_t before = mapped();
    CHECK_EQ(write_all(&writer), (CHUNKS - 2) * 7);
    CHECK_EQ(mapped(), before);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(window_far_away_takes_no_more_room_than_any)
{
    struct hone_writer writer;
    struct hone_session session = make_windows(&writer);
    uint64_t before = mapped();
    CHECK(hone_window_map(&writer.windows, WINDOWS - 1));
    CHECK(hone_window_map(&writer.windows, 6));
    CHECK_EQ(mapped() - before, 2 * HONE_WINDOW_BYTES);
    check_is_there(&session, &writer, WINDOWS - 1);
    check_is_there(&session, &writer, 6);
    hone_session_close(&session);
}

TEST(last_window_of_a_session_may_be_shorter)
{
    enum { SHORT = 3 };
    struct hone_session session = make_session(2 * HONE_WINDOW_CHUNKS + SHORT);
    CHECK_EQ(hone_session_back(&session, 2 * HONE_WINDOW_CHUNKS + SHORT), 0);
    skip_where_nothing_can_be_doubled(session.header);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, HONE_CHUNKS_AT + HONE_WINDOW_BYTES), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    uint64_t before = mapped();
    CHECK_EQ(write_all(&writer), (2 * HONE_WINDOW_CHUNKS + SHORT) * 7);
    CHECK_EQ(mapped() - before, HONE_WINDOW_BYTES + SHORT * HONE_CHUNK_BYTES);
    hone_session_close(&session);
}

TEST(without_its_first_window_there_is_no_session)
{
    struct hone_session session = make_session(CHUNKS);
    struct hone_writer writer;
    size_t bytes = HONE_CHUNKS_AT + HONE_WINDOW_BYTES;
    CHECK_EQ(hone_writer_attach(&writer, session.header, bytes - 1), -EINVAL);
    CHECK_EQ(hone_writer_attach(&writer, session.header, bytes), 0);
    hone_session_close(&session);
}

enum { THREADS = 8, ROUNDS = 20 };

struct mappers {
    struct hone_writer *writer;
    pthread_barrier_t barrier;
};

static void *map_each(void *context)
{
    struct mappers *mappers = context;
    for (uint32_t window = 1; window < WINDOWS; window++) {
        (void)pthread_barrier_wait(&mappers->barrier);
        CHECK(hone_window_map(&mappers->writer->windows, window));
        CHECK(hone_window_at(&mappers->writer->windows, window) != NULL);
    }
    return NULL;
}

static bool is_mapped(const void *at)
{
    unsigned char pages[HONE_WINDOW_BYTES / 4096];
    return mincore((void *)at, HONE_WINDOW_BYTES, pages) == 0;
}

TEST(threads_that_map_the_same_window_have_one)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct hone_writer writer;
        struct hone_session session = make_windows(&writer);
        struct mappers mappers = {.writer = &writer};
        CHECK_EQ(pthread_barrier_init(&mappers.barrier, NULL, THREADS), 0);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, map_each, &mappers), 0);
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        // Those that were too late are gone: of the file, the reader's mapping and ours are there.
        CHECK_EQ(mapped(), 2 * session.bytes);
        for (uint32_t i = 1; i < WINDOWS; i++) {
            CHECK(is_mapped(hone_window_at(&writer.windows, i)));
            check_is_there(&session, &writer, i);
            CHECK_EQ(munmap(hone_window_at(&writer.windows, i), HONE_WINDOW_BYTES), 0);
        }
        CHECK_EQ(munmap(writer.header, HONE_CHUNKS_AT + HONE_WINDOW_BYTES), 0);
        (void)pthread_barrier_destroy(&mappers.barrier);
        hone_session_close(&session);
    }
}

TEST(where_no_window_can_be_mapped_the_session_is_full)
{
    struct hone_writer writer;
    struct hone_session session = make_windows(&writer);
    struct rlimit before, little;
    CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
    little = before;
    little.rlim_cur = status("VmSize:") * 1024 + HONE_WINDOW_BYTES / 2;
    CHECK_EQ(setrlimit(RLIMIT_AS, &little), 0);
    errno = 7;
    CHECK_EQ(write_all(&writer), HONE_WINDOW_CHUNKS * 7);
    CHECK_EQ(errno, 7);
    CHECK_EQ(session.header->chunks_used, HONE_WINDOW_CHUNKS);
    CHECK(session.header->chunks_refused > 0);
    CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
    CHECK_EQ(write_all(&writer), (CHUNKS - HONE_WINDOW_CHUNKS) * 7);
    hone_session_close(&session);
}

TEST(in_a_sandbox_no_window_is_mapped)
{
    struct hone_writer writer;
    struct hone_session session = make_windows(&writer);
    writer.silent = true;
    CHECK_EQ(write_all(&writer), HONE_WINDOW_CHUNKS * 7);
    CHECK(!hone_window_at(&writer.windows, 1));
    hone_session_close(&session);
}

TEST(window_is_not_locked_where_the_program_locks_all)
{
    struct hone_writer writer;
    struct hone_session session = make_windows(&writer);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) || !status("VmLck:")) {
        hone_session_close(&session);
        return; // not permitted, or by a sanitizer's function, which does nothing
    }
    CHECK(hone_window_map(&writer.windows, 1));
    uint64_t locked = status("VmLck:"), shared_kib = status("RssShmem:");
    CHECK(hone_window_map(&writer.windows, WINDOWS - 1));
    CHECK_EQ(status("VmLck:"), locked);
    CHECK_EQ(status("RssShmem:"), shared_kib);
    check_is_there(&session, &writer, WINDOWS - 1);
    hone_session_close(&session);
}

TEST(forked_child_has_windows_of_its_own)
{
    struct hone_writer writer;
    struct hone_session session = make_windows(&writer);
    CHECK(hone_window_map(&writer.windows, 1));
    pid_t child = fork();
    if (child == 0) {
        bool mapped = hone_window_map(&writer.windows, 3);
        for (uint32_t window = 1; mapped && window <= 3; window += 2)
            hone_window_at(&writer.windows, window)[8] = (unsigned char)(window + 1);
        _exit(mapped ? 0 : 1);
    }
    int ended;
    CHECK_EQ(waitpid(child, &ended, 0), child);
    CHECK_EQ(ended, 0);
    CHECK(!hone_window_at(&writer.windows, 3));
    CHECK_EQ(hone_window_at(&writer.windows, 1)[8], 2);
    CHECK_EQ(shared(&session, 3)[8], 4);
    hone_session_close(&session);
}

// As in a child that was forked unseen: what it takes for its process goes on elsewhere.
TEST(current_chunk_may_be_in_a_window_that_is_not_mapped)
{
    static struct hone_writer writer, unseen;
    struct hone_session session = make_windows(&writer);
    unseen = writer;
    for (int i = 0; i < HONE_WINDOW_CHUNKS * 7; i++)
        hone_writer_commit(&writer, hone_writer_claim(&writer, 8192), HONE_RECORD_PADDING);
    hone_writer_commit(&writer, hone_writer_claim(&writer, 8192), HONE_RECORD_PADDING);
    CHECK(!hone_window_at(&unseen.windows, 1));
    void *record = hone_writer_claim(&unseen, 8192);
    CHECK(record != NULL);
    CHECK(hone_window_at(&unseen.windows, 1) != NULL);
    hone_writer_commit(&unseen, record, HONE_RECORD_PADDING);
    unseen.silent = true;
    atomic_store(&writer.process->current, 2 * HONE_WINDOW_CHUNKS);
    CHECK(!hone_writer_claim(&unseen, 8192));
    CHECK_EQ(writer.process->writing, 0);
    hone_session_close(&session);
}
