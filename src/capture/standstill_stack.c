// Stacks of the threads that wait for a lock, the lock itself, and names for all that.
#include "capture/standstill_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "capture/frame_base.h"
#include "capture/living.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum {
    COPY_BYTES = 64 << 10,
    DEPTH_MAX = 512,
    WORDS_MAX = 256, // of a stack, in which a call's arguments are looked for
};

static void reader_done(struct hone_standstill_reader *reader)
{
    hone_remote_free(reader->remote);
    hone_standstill_areas_done(&reader->areas);
    free(reader->modules);
    free(reader->paths);
    free(reader->copy);
    free(reader->addresses);
}

// --- the process's memory ------------------------------------------------------------------------

bool hone_standstill_memory(void *context, uint64_t address, void *to, size_t size)
{
    const struct hone_standstill_reader *reader = context;
    struct iovec ours = {to, size};
    struct iovec theirs = {(void *)(uintptr_t)address, size}; // NOLINT(performance-no-int-to-ptr)
    return process_vm_readv(reader->stand->through, &ours, 1, &theirs, 1, 0) == (ssize_t)size;
}

// From the stack pointer up, as much as is there.
static size_t copy_stack(const struct hone_standstill_reader *reader, uint64_t sp)
{
    const struct hone_standstill_area *area = hone_standstill_area(&reader->areas, sp);
    uint64_t left = area ? area->end - sp : 0;
    size_t size = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
    struct iovec ours = {reader->copy, size};
    struct iovec theirs = {(void *)(uintptr_t)sp, size}; // NOLINT(performance-no-int-to-ptr)
    ssize_t got = size ? process_vm_readv(reader->stand->through, &ours, 1, &theirs, 1, 0) : 0;
    return got > 0 ? (size_t)got : 0;
}

// The walk tells when it needs the frame pointer: it is looked for, and the walk begins anew.
static void walk(const struct hone_standstill_reader *reader, const struct hone_blocked *blocked,
                 size_t size, struct hone_walk *ret)
{
    struct hone_registers registers;
    uint64_t known = hone_blocked_registers(blocked, &registers), fp;
    const struct hone_frame_stack stack = {reader->stand->through, reader->copy, blocked->sp, size};
    for (int turn = 0; turn < 2; turn++) {
        (void)hone_remote_walk(reader->remote, &registers, known, reader->copy, blocked->sp, size,
                               true, reader->addresses, DEPTH_MAX, ret);
        if (ret->end != HONE_WALK_UNKNOWN_REGISTER || !ret->end_fp_unknown || turn ||
            !hone_frame_base_find(reader->remote, &stack, ret->end_address, ret->end_sp, &fp))
            return;
        registers.r[HONE_REGISTER_FP] = fp;
        known |= 1ull << HONE_REGISTER_FP;
    }
}

// --- one thread ----------------------------------------------------------------------------------

static void read_lock(struct hone_standstill_reader *reader, struct hone_standstill_thread *thread,
                      size_t size)
{
    HONE_CLEANUP(hone_freep)
    struct hone_lock_frame *frames = calloc(thread->stack.count + 1, sizeof *frames);
    uint64_t words[WORDS_MAX];
    if (!frames) {
        reader->status = -ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < thread->stack.count; i++)
        frames[i] =
            (struct hone_lock_frame){thread->stack.at[i].function, thread->stack.at[i].module};
    size_t word_count = size / sizeof *words;
    if (word_count > WORDS_MAX)
        word_count = WORDS_MAX;
    memcpy(words, reader->copy, word_count * sizeof *words);
    const uint64_t *arguments = thread->blocked.arguments;
    bool plain = thread->blocked.call == SYS_futex;
    struct hone_lock_sleep sleep = {
        .futex = arguments[0],
        .operation =
            plain ? (uint32_t)arguments[1] & ~(uint32_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)
                  : FUTEX_WAIT,
        .expected = (uint32_t)(plain ? arguments[2] : arguments[1]),
        .words = words,
        .word_count = word_count,
        .read = hone_standstill_memory,
        .context = reader,
    };
    struct hone_lock_call call;
    struct hone_standstill_lock *lock = &thread->lock;
    (void)hone_lock_call_find(frames, thread->stack.count, &call);
    hone_lock_state_read(&call, &sleep, &lock->state);
    lock->internal = call.internal;
    if (lock->state.holder == HONE_HOLDER_THREAD)
        lock->holder_pid = hone_standstill_elsewhere(reader->stand, lock->state.owner);
    thread->first = call.first < thread->stack.count ? call.first : 0;
    lock->name = hone_standstill_variable(reader, lock->state.address);
    lock->where = hone_standstill_where(reader, lock->state.address);
    lock->mutex = lock->state.mutex ? hone_standstill_variable(reader, lock->state.mutex) : "";
    // Nobody else can wake what lies in memory of this process alone, whatever the call said.
    const struct hone_standstill_area *area = hone_standstill_area(&reader->areas, sleep.futex);
    if (area && !area->shared)
        thread->others_may_wake = false;
}

static void read_thread(struct hone_standstill_reader *reader,
                        struct hone_standstill_thread *thread)
{
    // Code in no module: it was mapped since.
    if (hone_remote_module_of(reader->remote, thread->blocked.ip) < 0)
        (void)hone_remote_refresh(reader->remote);
    size_t size = copy_stack(reader, thread->blocked.sp);
    struct hone_walk walked;
    walk(reader, &thread->blocked, size, &walked);
    for (uint32_t i = 0; i < walked.count && !reader->status; i++)
        hone_standstill_frames(reader, reader->addresses[i], &thread->stack);
    hone_standstill_settle(reader, &thread->stack);
    thread->cut = walked.end != HONE_WALK_COMPLETE;
    thread->cut_reason = hone_walk_end_name(walked.end);
    if (!reader->status)
        read_lock(reader, thread, size);
}

// --- all of them ---------------------------------------------------------------------------------

// Of a process in a container, files are those that it sees.
static bool is_elsewhere(pid_t pid)
{
    char path[64], theirs[64] = "", ours[64] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
    return readlink(path, theirs, sizeof theirs - 1) > 0 &&
           readlink("/proc/self/ns/mnt", ours, sizeof ours - 1) > 0 && strcmp(theirs, ours) != 0;
}

static int open_symbols(struct hone_standstill *stand,
                        const struct hone_standstill_options *options, struct hone_error *err)
{
    char root[64] = "";
    if (is_elsewhere(stand->through))
        (void)snprintf(root, sizeof root, "/proc/%d/root", (int)stand->through);
    const struct hone_symbolizer_options symbols = {
        .size = sizeof symbols,
        .system_root = root,
        .fetch = options->debuginfod,
    };
    return hone_symbolizer_new(&symbols, &stand->symbolizer, err);
}

// Of a thread that is there now, and, should it be the first one and end just then, of another.
static int read_areas(struct hone_standstill *stand, struct hone_standstill_areas *ret)
{
    int r = -ESRCH;
    for (int turn = 0; r == -ESRCH && turn < 2; turn++) {
        stand->through = hone_living_thread(stand->pid);
        r = hone_standstill_areas(stand->through, ret);
    }
    return r;
}

int hone_standstill_stacks(struct hone_standstill *stand,
                           const struct hone_standstill_options *options, struct hone_error *err)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < stand->count; i++)
        waiting += stand->threads[i].waits_for_lock;
    if (!waiting)
        return 0;
    HONE_CLEANUP(reader_done)
    struct hone_standstill_reader reader = {
        .stand = stand,
        .modules = calloc(HONE_MODULES_MAX, sizeof(struct hone_symbol_module *)),
        .paths = calloc(HONE_MODULES_MAX, sizeof(const char *)),
        .copy = malloc(COPY_BYTES),
        .addresses = calloc(DEPTH_MAX, sizeof(uint64_t)),
    };
    if (!reader.modules || !reader.paths || !reader.copy || !reader.addresses)
        return hone_error_set(err, -ENOMEM, "cannot look at process %d", (int)stand->pid);
    int r = read_areas(stand, &reader.areas);
    if (r)
        return hone_error_set(err, r, "cannot look at process %d", (int)stand->pid);
    r = open_symbols(stand, options, err);
    if (!r)
        r = hone_remote_open(stand->pid, &reader.remote, err);
    if (r)
        return r;
    hone_remote_search(reader.remote);
    for (uint32_t i = 0; !r && i < stand->count; i++) {
        if (!stand->threads[i].waits_for_lock)
            continue;
        read_thread(&reader, &stand->threads[i]);
        r = reader.status;
    }
    if (!r)
        r = hone_standstill_held(&reader);
    if (!r)
        r = hone_symbolizer_keep(stand->symbolizer);
    return r ? hone_error_set(err, r, "cannot look at process %d", (int)stand->pid) : 0;
}
