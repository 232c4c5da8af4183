#include "session/session_fixture.h"

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

struct seen {
    uint64_t processes, ended, samples, stacks, frames, threads, modules, execs;
    uint64_t cpu_ns;
    uint64_t last_of_thread[64];
    uint64_t out_of_order;
    struct hone_process_facts last;
};

static void on_process(void *context, uint32_t process, const struct hone_process_facts *facts)
{
    struct seen *seen = context;
    CHECK_EQ(process, seen->processes);
    seen->processes++;
    seen->last = *facts;
}

static void on_end(void *context, uint32_t process, const struct hone_process_facts *facts)
{
    (void)process;
    struct seen *seen = context;
    seen->ended++;
    seen->last = *facts;
}

static void on_stack(void *context, uint32_t process, const struct hone_record_stack *stack)
{
    (void)process;
    struct seen *seen = context;
    seen->stacks++;
    seen->frames += stack->count;
}

static void on_cpu(void *context, uint32_t process, const struct hone_record_cpu *sample)
{
    (void)process;
    struct seen *seen = context;
    seen->samples++;
    seen->cpu_ns += sample->cpu_ns;
    uint64_t *last = &seen->last_of_thread[sample->record.small % 64];
    if (sample->time_ns <= *last)
        seen->out_of_order++;
    *last = sample->time_ns;
}

static void on_module(void *context, uint32_t process, const struct hone_record_module *module)
{
    (void)process;
    struct seen *seen = context;
    seen->modules++;
    CHECK_STR(module->path, "/bin/true");
}

static const struct hone_reader_events events = {.process = on_process,
                                                 .process_end = on_end,
                                                 .stack = on_stack,
                                                 .cpu = on_cpu,
                                                 .module = on_module};

static bool write_sample(struct hone_writer *writer, uint32_t thread, uint64_t time)
{
    struct hone_record_cpu *sample = hone_writer_claim(writer, sizeof *sample);
    if (!sample)
        return false;
    sample->record.small = thread;
    sample->time_ns = time;
    sample->cpu_ns = 3;
    hone_writer_commit(writer, sample, HONE_RECORD_CPU);
    return true;
}

static bool write_stack(struct hone_writer *writer, uint32_t count)
{
    struct hone_record_stack *stack =
        hone_writer_claim(writer, sizeof *stack + count * sizeof stack->addresses[0]);
    if (!stack)
        return false;
    stack->count = count;
    for (uint32_t i = 0; i < count; i++)
        stack->addresses[i] = 0x1000 + i;
    hone_writer_commit(writer, stack, HONE_RECORD_STACK);
    return true;
}

TEST(what_was_written_is_read_once)
{
    struct hone_session session = make_session(16);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    struct hone_record_module *module =
        hone_writer_claim(&writer, sizeof *module + sizeof "/bin/true");
    module->start = 1;
    module->end = 2;
    memcpy(module->path, "/bin/true", sizeof "/bin/true");
    hone_writer_commit(&writer, module, HONE_RECORD_MODULE);
    CHECK(write_stack(&writer, 17));
    CHECK(write_sample(&writer, 0, 1));

    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.processes, 1);
    CHECK_EQ(seen.last.pid, 41);
    CHECK_EQ(seen.modules, 1);
    CHECK_EQ(seen.stacks, 1);
    CHECK_EQ(seen.frames, 17);
    CHECK_EQ(seen.samples, 1);
    CHECK_EQ(seen.cpu_ns, 3);
    CHECK_EQ(seen.ended, 0);
    hone_reader_dead(reader, 0);
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.ended, 1);
    CHECK_EQ(session.header->chunks_used, 0);
    CHECK_EQ(hone_reader_losses(reader).broken, 0);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(long_stream_runs_through_few_chunks_when_it_is_read)
{
    struct hone_session session = make_session(4);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    for (uint64_t i = 1; i <= 200000; i++) {
        CHECK(write_sample(&writer, 1, i));
        if (i % 1000 == 0)
            CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    }
    CHECK_EQ(seen.samples, 200000);
    CHECK_EQ(seen.out_of_order, 0);
    CHECK(session.header->chunks_used <= 2);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(unread_stream_drops_and_counts_and_goes_on_when_read)
{
    struct hone_session session = make_session(4);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    uint64_t written = 0, time = 0;
    for (int i = 0; i < 20000; i++)
        written += write_sample(&writer, 1, ++time);
    CHECK(written < 20000 && written > 7000);
    CHECK(session.header->chunks_refused > 0);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.samples, written);
    CHECK(write_sample(&writer, 1, ++time));
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.samples, written + 1);
    hone_reader_close(reader);
    hone_session_close(&session);
}

// The reader would wait for a record that nobody finishes, and keep what was written behind it.
__attribute__((noinline)) static bool claim_and_leave(struct hone_writer *writer)
{
    return hone_writer_claim(writer, sizeof(struct hone_record_cpu)) != NULL;
}

TEST(claims_that_were_left_are_passed_over)
{
    struct hone_session session = make_session(4);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    for (uint64_t i = 1; i <= 20000; i++) {
        CHECK(claim_and_leave(&writer));
        hone_writer_abandon(&writer, (uintptr_t)__builtin_frame_address(0));
        CHECK_EQ(writer.process->writing, 0);
        CHECK(write_sample(&writer, 1, i));
        if (i % 500 == 0)
            CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    }
    CHECK_EQ(seen.samples, 20000);
    CHECK_EQ(hone_reader_losses(reader).broken, 0);
    CHECK(session.header->chunks_used <= 2);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(claims_further_up_the_stack_are_not_left)
{
    struct hone_session session = make_session(4);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    struct hone_record *record = hone_writer_claim(&writer, sizeof(struct hone_record_cpu));
    CHECK(record != NULL);
    hone_writer_abandon(&writer, 1);
    CHECK_EQ(writer.process->writing, 1);
    CHECK_EQ(HONE_RECORD_KIND(record->head), HONE_RECORD_PENDING);
    hone_writer_commit(&writer, record, HONE_RECORD_PADDING);
    CHECK_EQ(writer.process->writing, 0);
    hone_writer_abandon(&writer, UINT64_MAX); // there is none
    CHECK_EQ(writer.process->writing, 0);
    hone_session_close(&session);
}

TEST(who_keeps_room_is_told_once)
{
    struct hone_session session = make_session(8);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    session.header->room_low = 3;
    uint32_t sites;
    CHECK(hone_writer_take_sites(&writer, &sites));
    CHECK_EQ(session.header->room_bell, 0);
    CHECK(hone_writer_take_sites(&writer, &sites));
    CHECK_EQ(session.header->room_bell, 1);
    CHECK_EQ(session.header->room_low, 0);
    CHECK(hone_writer_take_sites(&writer, &sites));
    CHECK_EQ(session.header->room_bell, 1);
    session.header->room_low = 3;
    writer.silent = true; // in a sandbox, where any system call may be the last
    CHECK(hone_writer_take_sites(&writer, &sites));
    CHECK_EQ(session.header->room_bell, 1);
    hone_session_close(&session);
}

struct racer {
    struct hone_writer *writer;
    uint32_t thread;
    uint64_t written;
};

enum { RACERS = 4, RACER_RECORDS = 100000 };

static void *race(void *context)
{
    struct racer *racer = context;
    for (uint64_t i = 1; i <= RACER_RECORDS; i++) {
        racer->written += write_sample(racer->writer, racer->thread, i);
        if (i % 64 == 0)
            (void)write_stack(racer->writer, (uint32_t)(i / 64 % 1000));
    }
    return NULL;
}

TEST(racing_threads_and_a_reader_lose_nothing_uncounted)
{
    struct hone_session session = make_session(32);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    pthread_t threads[RACERS];
    struct racer racers[RACERS];
    for (uint32_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){&writer, i, 0};
        CHECK_EQ(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 200; i++)
        CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    uint64_t written = 0;
    for (uint32_t i = 0; i < RACERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        written += racers[i].written;
    }
    hone_reader_dead(reader, 0);
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.samples, written);
    CHECK_EQ(seen.out_of_order, 0);
    CHECK_EQ(hone_reader_losses(reader).broken, 0);
    CHECK_EQ(hone_reader_losses(reader).unfinished, 0);
    CHECK_EQ(session.header->chunks_used, 0);
    hone_reader_close(reader);
    hone_session_close(&session);
}

// Chunks of records beyond the one that is written to.
static uint32_t count_ahead(const struct hone_session *session, const struct hone_writer *writer)
{
    unsigned char *chunks = (unsigned char *)session->header + session->header->chunks_at;
    uint32_t current = atomic_load(&writer->process->current), ahead = 0;
    const struct hone_chunk *now = (void *)(chunks + (size_t)current * HONE_CHUNK_BYTES);
    for (uint32_t i = 0; i < session->header->chunk_count; i++) {
        const struct hone_chunk *chunk = (void *)(chunks + (size_t)i * HONE_CHUNK_BYTES);
        ahead +=
            atomic_load(&chunk->state) == HONE_CHUNK_RECORDS && chunk->sequence > now->sequence;
    }
    return ahead;
}

// Where it stands between any two instructions another writer may be faster.
TEST(chunk_has_records_only_when_it_is_the_current_one)
{
    struct hone_session session = make_session(8);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(77);
        for (uint64_t i = 1; i <= 16; i++) { // of 8 KiB: two chunks
            raise(SIGSTOP);
            (void)write_stack(&writer, 1000);
        }
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        cr_skip_test("may not trace here");
    uint32_t first = atomic_load(&writer.process->current), ahead = 0;
    for (int records = 0; WIFSTOPPED(status); records += WSTOPSIG(status) == SIGSTOP) {
        // Stepping is slow: only from the last record that the first chunk has room for.
        bool slow = records >= 5 && atomic_load(&writer.process->current) == first;
        CHECK_EQ(ptrace(slow ? PTRACE_SINGLESTEP : PTRACE_CONT, child, NULL, NULL), 0);
        CHECK_EQ(waitpid(child, &status, 0), child);
        ahead += slow ? count_ahead(&session, &writer) : 0;
    }
    CHECK(WIFEXITED(status));
    CHECK(atomic_load(&writer.process->current) != first);
    CHECK_EQ(ahead, 0);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    hone_reader_all_dead(reader);
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.stacks, 16);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(writer_that_outlives_the_reading_writes_where_it_always_did)
{
    struct hone_session session = make_session(8);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    CHECK(write_sample(&writer, 0, 1));
    hone_reader_all_dead(reader); // the recording ends, the program does not
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.samples, 1);
    for (uint64_t i = 2; i < 100000; i++)
        (void)write_sample(&writer, 0, i);
    CHECK_EQ(writer.process->pid, 41);
    CHECK(atomic_load(&writer.process->current) < 8);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(killed_writer_leaves_what_it_wrote)
{
    struct hone_session session = make_session(32);
    int ready[2];
    CHECK_EQ(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct hone_writer writer;
        (void)hone_writer_attach(&writer, session.header, session.bytes);
        (void)hone_writer_begin(&writer, (uint32_t)getpid(), 1, 1000);
        for (uint64_t i = 1; i <= 5000; i++)
            (void)write_sample(&writer, 1, i);
        (void)hone_writer_claim(&writer, 64); // never committed
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    char byte;
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    hone_reader_all_dead(reader);
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.samples, 5000);
    CHECK_EQ(seen.ended, 1);
    CHECK_EQ(hone_reader_losses(reader).unfinished, 1);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(many_processes_reuse_the_same_chunks)
{
    struct hone_session session = make_session(8);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    for (uint32_t i = 0; i < 500; i++) {
        struct hone_writer writer;
        CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
        CHECK_EQ(hone_writer_begin(&writer, 100 + i, 1, 1000), 0);
        seen.last_of_thread[0] = 0;
        CHECK(write_sample(&writer, 0, 1));
        CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
        hone_reader_dead(reader, i);
        CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    }
    CHECK_EQ(seen.ended, 500);
    CHECK_EQ(seen.samples, 500);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(full_file_system_refuses_the_session_and_leaves_no_file)
{
    char folder[] = "/tmp/hone-session-full-XXXXXX";
    CHECK(mkdtemp(folder));
    if (mount("tmpfs", folder, "tmpfs", 0, "size=64k"))
        cr_skip_test("needs root to mount a small file system");
    char path[64];
    (void)snprintf(path, sizeof path, "%s/session", folder);
    struct hone_session session;
    struct hone_session_config config = {0};
    CHECK_EQ(hone_session_create(path, 64, &config, &session), -ENOSPC);
    CHECK(access(path, F_OK) != 0);
    CHECK_EQ(umount(folder), 0);
    CHECK_EQ(rmdir(folder), 0);
}

TEST(nearly_full_file_system_drops_instead_of_faulting)
{
    char folder[] = "/tmp/hone-session-full-XXXXXX";
    CHECK(mkdtemp(folder));
    if (mount("tmpfs", folder, "tmpfs", 0, "size=1m"))
        cr_skip_test("needs root to mount a small file system");
    char path[64];
    (void)snprintf(path, sizeof path, "%s/session", folder);
    struct hone_session session;
    struct hone_session_config config = {0};
    CHECK_EQ(hone_session_create(path, 256, &config, &session), 0);
    CHECK_EQ(session.back_error, -ENOSPC);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    uint64_t written = 0;
    for (uint64_t i = 1; i <= 100000; i++)
        written += write_sample(&writer, 1, i);
    CHECK(written > 1000 && written < 100000);
    hone_session_close(&session);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(umount(folder), 0);
    CHECK_EQ(rmdir(folder), 0);
}

TEST(foreign_memory_is_refused)
{
    alignas(64) static uint64_t memory[HONE_HEADER_BYTES / 8 + HONE_CHUNK_BYTES];
    struct hone_reader *reader = NULL;
    struct hone_writer writer;
    CHECK_EQ(hone_reader_open(memory, sizeof memory, &reader), -EPROTO);
    CHECK_EQ(hone_writer_attach(&writer, memory, sizeof memory), -EPROTO);
    struct hone_session_header *header = (struct hone_session_header *)memory;
    header->magic = HONE_SESSION_MAGIC;
    header->version = HONE_SESSION_VERSION;
    header->chunk_bytes = HONE_CHUNK_BYTES;
    header->header_bytes = HONE_HEADER_BYTES;
    header->chunks_at = 2 * HONE_HEADER_BYTES;
    header->chunk_count = 65536;
    CHECK_EQ(hone_reader_open(memory, sizeof memory, &reader), -EINVAL);
    header->chunks_at = UINT64_MAX - 7;
    CHECK_EQ(hone_writer_attach(&writer, memory, sizeof memory), -EINVAL);
    header->version++;
    CHECK_EQ(hone_reader_open(memory, sizeof memory, &reader), -EPROTO);
}

TEST(numbers_that_nobody_can_have_counted_are_broken)
{
    struct hone_session session = make_session(16);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    CHECK(write_sample(&writer, 0, 1));
    atomic_store(&writer.process->counters.lost_busy, 0x8d2a6f0e11223344);
    atomic_store(&session.header->processes_refused, UINT64_MAX / 2);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct seen seen = {0};
    hone_reader_all_dead(reader);
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK(seen.last.broken);
    CHECK_EQ(seen.last.pid, 41);
    CHECK_EQ(seen.last.lost_busy, 0);
    CHECK_EQ(seen.samples, 1);
    CHECK_EQ(hone_reader_refused(reader), 0);
    CHECK_EQ(hone_reader_losses(reader).broken, 2);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(session_that_was_truncated_reads_as_zeros)
{
    struct hone_session session = make_session(16);
    hone_session_guard(&session);
    CHECK(!hone_session_taken(&session));
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    CHECK(write_sample(&writer, 0, 1));
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    CHECK_EQ(ftruncate(session.fd, 0), 0);
    CHECK(hone_session_taken(&session));
    struct seen seen = {0};
    CHECK_EQ(hone_reader_poll(reader, &events, &seen), 0);
    CHECK_EQ(seen.samples, 0);
    hone_reader_close(reader);
    hone_session_close(&session);
}
