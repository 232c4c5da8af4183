// The thread that waits for processes that ask to be looked through.
#include "capture/scan.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "core/syscall.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAIT_MS = 200 };

struct hone_scanner {
    struct hone_session_header *header;
    struct hone_scan_chunks chunks;
    pthread_t thread;
    _Atomic bool stop;
    pthread_mutex_t lock; // of results
    struct hone_scan_result *results;
    uint64_t pid_namespace;
};

void hone_scan_result_free(struct hone_scan_result *result)
{
    if (result)
        free(result->rows);
    free(result);
}

// --- one process ---------------------------------------------------------------------------------

static void copy_text(char *to, const char *from, size_t size)
{
    size_t len = strnlen(from, size - 1);
    memcpy(to, from, len);
    to[len] = '\0';
}

// What the session says of the process in that chunk: input. NULL, or why it cannot be looked at.
static const char *find_target(const struct hone_scanner *scanner, const struct hone_scan *slot,
                               struct hone_scan_target *ret)
{
    struct hone_session_header *header = scanner->header;
    const unsigned char *chunk = hone_scan_chunk(
        &scanner->chunks, atomic_load_explicit(&slot->process, memory_order_relaxed));
    if (!chunk)
        return "it names no process";
    const struct hone_process *process =
        (const struct hone_process *)(const void *)(chunk + sizeof(struct hone_chunk));
    *ret = (struct hone_scan_target){
        .chunks = scanner->chunks,
        .beat = &header->scan_beat,
        .pid = (pid_t)process->pid,
        .started_ns = process->started_ns,
        .places = atomic_load_explicit(&slot->places, memory_order_relaxed),
        .some_uncounted =
            atomic_load_explicit(&header->heap_rate_changes, memory_order_relaxed) != 0,
    };
    copy_text(ret->allocator, process->allocator, sizeof ret->allocator);
    if (ret->pid <= 0 || ret->pid == getpid())
        return "it names no process";
    if (process->pid_namespace != scanner->pid_namespace)
        return "it runs in another pid namespace, such as a container's";
    return NULL;
}

// One for each process, however often it asks.
static void keep(struct hone_scanner *scanner, struct hone_scan_result *result)
{
    hone_scan_result_free(hone_scan_take(scanner, result->pid, result->started_ns));
    (void)pthread_mutex_lock(&scanner->lock);
    result->next = scanner->results;
    scanner->results = result;
    (void)pthread_mutex_unlock(&scanner->lock);
}

static void scan(struct hone_scanner *scanner, struct hone_scan *slot)
{
    struct hone_scan_result *result = calloc(1, sizeof *result);
    struct hone_scan_target target = {0};
    const char *why = find_target(scanner, slot, &target);
    if (result) {
        result->pid = (uint32_t)target.pid;
        result->started_ns = target.started_ns;
        if (why)
            (void)snprintf(result->reason, sizeof result->reason, "%s", why);
        else
            hone_scan_run(&target, result);
        keep(scanner, result);
    }
    // Unless it has given up waiting.
    uint32_t running = HONE_SCAN_RUNNING;
    if (atomic_compare_exchange_strong(&slot->state, &running, HONE_SCAN_FREE))
        (void)hone_syscall6(SYS_futex, (long)&slot->state, FUTEX_WAKE, INT_MAX, 0, 0, 0);
    atomic_fetch_add_explicit(&scanner->header->scan_left, 1, memory_order_release);
    (void)hone_syscall6(SYS_futex, (long)&scanner->header->scan_left, FUTEX_WAKE, 1, 0, 0, 0);
}

// --- the thread ----------------------------------------------------------------------------------

// The kernel takes our id out of header->scanner when we die, however that comes about.
struct robust {
    struct robust_list_head head;
    struct robust_list entry;
};

static void appear(struct hone_session_header *header, struct robust *robust)
{
    robust->entry.next = &robust->head.list;
    robust->head.list.next = &robust->entry;
    robust->head.list_op_pending = NULL;
    robust->head.futex_offset = (char *)&header->scanner - (char *)&robust->entry;
    (void)hone_syscall2(SYS_set_robust_list, &robust->head, sizeof robust->head);
    atomic_store_explicit(&header->scanner, (uint32_t)hone_syscall0(SYS_gettid),
                          memory_order_release);
}

static void disappear(struct hone_session_header *header, struct robust *robust)
{
    atomic_store_explicit(&header->scanner, 0, memory_order_release);
    // It lies on our stack, and the kernel looks at it when the thread ends.
    robust->head.list.next = &robust->head.list;
    (void)hone_syscall2(SYS_set_robust_list, NULL, sizeof robust->head);
}

static void *listen(void *argument)
{
    struct hone_scanner *scanner = argument;
    struct hone_session_header *header = scanner->header;
    const struct timespec wait = {.tv_nsec = WAIT_MS * 1000000L};
    struct robust robust;
    appear(header, &robust);
    while (!atomic_load_explicit(&scanner->stop, memory_order_relaxed)) {
        uint32_t bell = atomic_load_explicit(&header->scan_bell, memory_order_acquire);
        for (int i = 0; i < HONE_SCANS; i++) {
            uint32_t wanted = HONE_SCAN_ASKED;
            if (atomic_compare_exchange_strong_explicit(&header->scans[i].state, &wanted,
                                                        HONE_SCAN_RUNNING, memory_order_acquire,
                                                        memory_order_relaxed))
                scan(scanner, &header->scans[i]);
        }
        atomic_fetch_add_explicit(&header->scan_beat, 1, memory_order_relaxed);
        (void)hone_syscall6(SYS_futex, (long)&header->scan_bell, FUTEX_WAIT, bell, (long)&wait, 0,
                            0);
    }
    disappear(header, &robust);
    return NULL;
}

int hone_scanner_start(struct hone_session_header *header, struct hone_scanner **ret)
{
    struct hone_scanner *scanner = calloc(1, sizeof *scanner);
    if (!scanner)
        return -ENOMEM;
    scanner->header = header;
    scanner->chunks = (struct hone_scan_chunks){
        header, (const unsigned char *)header + header->chunks_at, header->chunk_count};
    struct stat st;
    if (stat("/proc/self/ns/pid", &st) == 0)
        scanner->pid_namespace = st.st_ino;
    (void)pthread_mutex_init(&scanner->lock, NULL);
    int r = pthread_create(&scanner->thread, NULL, listen, scanner);
    if (r) {
        free(scanner);
        return -r;
    }
    // A program that is over before we listen would not be looked through.
    while (!atomic_load_explicit(&header->scanner, memory_order_acquire))
        (void)usleep(100);
    *ret = scanner;
    return 0;
}

void hone_scanner_stop(struct hone_scanner *scanner)
{
    if (!scanner)
        return;
    atomic_store_explicit(&scanner->stop, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&scanner->header->scan_bell, 1, memory_order_release);
    (void)hone_syscall6(SYS_futex, (long)&scanner->header->scan_bell, FUTEX_WAKE, 1, 0, 0, 0);
    (void)pthread_join(scanner->thread, NULL);
    for (struct hone_scan_result *at = scanner->results, *next; at; at = next) {
        next = at->next;
        hone_scan_result_free(at);
    }
    (void)pthread_mutex_destroy(&scanner->lock);
    free(scanner);
}

struct hone_scan_result *hone_scan_take(struct hone_scanner *scanner, uint32_t pid,
                                        uint64_t started_ns)
{
    struct hone_scan_result *found = NULL;
    (void)pthread_mutex_lock(&scanner->lock);
    for (struct hone_scan_result **at = &scanner->results; *at && !found; at = &(*at)->next) {
        if ((*at)->pid != pid || (*at)->started_ns != started_ns)
            continue;
        found = *at;
        *at = found->next;
        found->next = NULL;
        break;
    }
    (void)pthread_mutex_unlock(&scanner->lock);
    return found;
}
