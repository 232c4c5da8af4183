// Runs a program that has libhone inside, or that something else preloads it into, and writes down
// what it recorded, as words: for tests of libraries whose own `hone` cannot run here.
//
//   session_run [-m FRACTION] [-b NS] OUT COMMAND…
//
// With -m it records locks that others wait for, with -b waits, as the options of `hone record` do.
//
//   process NUMBER ENGINE SAMPLES TRUNCATED SEARCHED THREADS CPU_NS PATH
//   module PROCESS NUMBER START END BIAS PATH
//   stack PROCESS ID END ADDRESS…      cpu PROCESS THREAD NS STACK      thread PROCESS NUMBER TID
//   held PROCESS THREAD LOCK STACK WAITER_STACK DELAY HOLD WAITERS KIND WEIGHT
//   wait PROCESS THREAD LOCK STACK DELAY RATE HOLDER HOLDER_STACK KIND TIMED_OUT
//   use PROCESS THREAD LOCK STACK WAIT HOLD WEIGHT KIND CONTENDED
//   known PROCESS KIND LOCK STACK
//   locks PROCESS CONTENTIONS HELD WAITS LOST UNTRACKED REASON
#include "session/owner.h"
#include "session/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNKS = 1024 };

static void on_module(void *out, uint32_t process, const struct hone_record_module *module)
{
    (void)fprintf(out, "module %" PRIu32 " %" PRIu32 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %s\n",
                  process, module->record.small, module->start, module->end, module->bias,
                  module->path);
}

static void on_stack(void *out, uint32_t process, const struct hone_record_stack *stack)
{
    (void)fprintf(out, "stack %" PRIu32 " %" PRIu32 " %" PRIu32, process, stack->record.small,
                  stack->end);
    for (uint32_t i = 0; i < stack->count; i++)
        (void)fprintf(out, " %" PRIx64, stack->addresses[i]);
    (void)fputc('\n', out);
}

static void on_cpu(void *out, uint32_t process, const struct hone_record_cpu *sample)
{
    (void)fprintf(out, "cpu %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", process,
                  sample->record.small, sample->cpu_ns, sample->stack);
}

static void on_thread(void *out, uint32_t process, const struct hone_record_thread *thread)
{
    (void)fprintf(out, "thread %" PRIu32 " %" PRIu32 " %" PRIu64 "\n", process,
                  thread->record.small, thread->tid);
}

static void on_held(void *out, uint32_t process, const struct hone_record_lock_held *held)
{
    (void)fprintf(out,
                  "held %" PRIu32 " %" PRIu32 " %" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                  " %" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRIu64 "\n",
                  process, held->record.small, held->lock, held->stack, held->waiter_stack,
                  held->delay_ns, held->hold_ns, held->waiters, held->kind, held->weight);
}

static void on_wait(void *out, uint32_t process, const struct hone_record_wait *wait)
{
    (void)fprintf(out,
                  "wait %" PRIu32 " %" PRIu32 " %" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                  " %" PRIu32 " %" PRIu64 " %" PRIu32 " %" PRIu32 "\n",
                  process, wait->record.small, wait->lock, wait->stack, wait->delay_ns,
                  wait->rate_ns, wait->holder, wait->holder_stack, wait->kind, wait->timed_out);
}

static void on_use(void *out, uint32_t process, const struct hone_record_lock_use *use)
{
    (void)fprintf(out,
                  "use %" PRIu32 " %" PRIu32 " %" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                  " %" PRIu64 " %" PRIu32 " %" PRIu32 "\n",
                  process, use->record.small, use->lock, use->stack, use->wait_ns, use->hold_ns,
                  use->weight, use->kind, use->contended);
}

static void on_known(void *out, uint32_t process, const struct hone_record_lock_known *known)
{
    (void)fprintf(out, "known %" PRIu32 " %" PRIu32 " %" PRIx64 " %" PRIu64 "\n", process,
                  known->record.small, known->lock, known->stack);
}

static void on_end(void *out, uint32_t process, const struct hone_process_facts *facts)
{
    (void)fprintf(out,
                  "process %" PRIu32 " %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                  " %s\n",
                  process, hone_engine_name(facts->engine), facts->samples, facts->truncated,
                  facts->searched, facts->threads, facts->cpu_total_ns, facts->path);
    (void)fprintf(
        out, "locks %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n",
        process, facts->lock_contentions, facts->lock_held, facts->lock_waits, facts->lock_lost,
        facts->lock_untracked, facts->lock_reason);
}

static int read_until_end(struct hone_session *session, struct hone_reader *reader, pid_t child,
                          FILE *out)
{
    static const struct hone_reader_events events = {
        .module = on_module,
        .stack = on_stack,
        .cpu = on_cpu,
        .thread = on_thread,
        .lock_held = on_held,
        .wait = on_wait,
        .lock_use = on_use,
        .lock_known = on_known,
        .process_end = on_end,
    };
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        (void)hone_session_back(session, HONE_SESSION_AHEAD);
        (void)hone_reader_poll(reader, &events, out);
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    hone_reader_all_dead(reader);
    (void)hone_reader_poll(reader, &events, out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    uint32_t fraction = 0;
    uint64_t rate_ns = 0;
    int option;
    while ((option = getopt(argc, argv, "+m:b:")) != -1) {
        if (option == 'm')
            fraction = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'b')
            rate_ns = strtoull(optarg, NULL, 10);
    }
    argv += optind - 1;
    if (argc - optind < 2) {
        (void)fputs("session_run [-m FRACTION] [-b NS] OUT COMMAND…\n", stderr);
        return 2;
    }
    char path[] = "/dev/shm/hone-test.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || unlink(path)) {
        perror(path);
        return 1;
    }
    (void)close(fd);
    struct hone_session_config config = {
        .cpu_period_ns = fraction || rate_ns ? 0 : 1000000,
        .mutex_fraction = fraction,
        .block_rate_ns = rate_ns,
        .stack_max = HONE_STACK_MAX,
        .seccomp_filters = UINT32_MAX,
    };
    struct hone_session session;
    struct hone_reader *reader;
    FILE *out = fopen(argv[1], "w");
    if (!out || hone_session_create(path, CHUNKS, &config, &session) ||
        hone_reader_open(session.header, session.bytes, &reader)) {
        (void)fprintf(stderr, "session_run: no session\n");
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        (void)setenv("HONE_SESSION", path, 1);
        (void)execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    int status = read_until_end(&session, reader, child, out);
    hone_reader_close(reader);
    hone_session_close(&session);
    (void)unlink(path);
    return fclose(out) ? 1 : status;
}
