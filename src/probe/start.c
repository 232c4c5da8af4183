// The probe's life: it starts in a constructor when HONE_SESSION names a session, starts again in
// forked children, and says good-bye when the process ends in an orderly way (when it does not,
// what was written stays).
#include "probe/allocator.h"
#include "probe/areas.h"
#include "probe/entries.h"
#include "probe/entries_libc.h"
#include "probe/heap.h"
#include "probe/imports.h"
#include "probe/lock.h"
#include "probe/lock_order.h"

#include "core/clock.h"
#include "hone/hone.h"
#include "unwind/loader.h"
#include "unwind/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { PAGE = 4096, START_STACK_BYTES = 256 << 10 };

alignas(64) static unsigned char row_cache[HONE_UNWIND_CACHE_BYTES];

bool hone_is_our_process(void)
{
    return hone_probe.writer.process && !hone_probe.locked_in &&
           hone_probe.pid == (uint32_t)hone_syscall0(SYS_getpid);
}

// An address, or below 0 an error.
static long map_shared(int fd, size_t bytes)
{
    return hone_syscall6(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

// Tells in the session's header, which is small, that there is no address space for the rest.
static void tell_unmapped(int fd)
{
    long memory = map_shared(fd, HONE_HEADER_BYTES);
    if (memory < 0)
        return;
    struct hone_session_header *header = (struct hone_session_header *)memory;
    if (header->magic == HONE_SESSION_MAGIC && header->version == HONE_SESSION_VERSION)
        atomic_fetch_add_explicit(&header->processes_unmapped, 1, memory_order_relaxed);
    (void)hone_syscall2(SYS_munmap, memory, HONE_HEADER_BYTES);
}

// The beginning of the session; the writer maps more of it as that is needed. All of it where that
// will not be possible. What is copied from this mapping is not dumped either.
static long map_beginning(int fd, size_t size, size_t *ret_bytes)
{
    size_t bytes = HONE_CHUNKS_AT + HONE_WINDOW_BYTES;
    bytes = size < bytes ? size : bytes;
    long memory = map_shared(fd, bytes);
    if (memory > 0 && size > bytes && !hone_windows_can_double((void *)memory)) {
        long whole = map_shared(fd, size);
        if (whole > 0) {
            (void)hone_syscall2(SYS_munmap, memory, bytes);
            memory = whole;
            bytes = size;
        }
    }
    if (memory > 0)
        (void)hone_syscall3(SYS_madvise, memory, bytes, MADV_DONTDUMP);
    *ret_bytes = bytes;
    return memory;
}

static int map_session(const char *path, struct hone_writer *ret)
{
    int fd = (int)hone_syscall4(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    struct statx st;
    int r = -EIO;
    if (hone_syscall5(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &st) == 0 &&
        S_ISREG(st.stx_mode)) {
        size_t bytes;
        long memory = map_beginning(fd, st.stx_size, &bytes);
        r = memory < 0 ? (int)memory : hone_writer_attach(ret, (void *)memory, bytes);
        if (memory < 0 && r == -ENOMEM)
            tell_unmapped(fd);
        if (memory > 0 && r)
            (void)hone_syscall2(SYS_munmap, memory, bytes);
    }
    (void)hone_syscall1(SYS_close, fd);
    return r;
}

// As it was when the program started, which later changes its working directory and root.
static char program_path[HONE_PROCESS_PATH], program_name[HONE_PROCESS_NAME];

static void describe_program(struct hone_process *process)
{
    struct statx st;
    if (hone_syscall5(SYS_statx, AT_FDCWD, "/proc/self/ns/pid", 0, STATX_INO, &st) == 0)
        process->pid_namespace = st.stx_ino;
    memcpy(process->path, program_path, sizeof process->path);
    memcpy(process->name, program_name, sizeof process->name);
}

// What does not call our hooks by itself, at the start of a program. A forked child is as its
// parent was.
static bool program_allocates;
static char not_covered[HONE_PROCESS_REASON];

static void patch_allocations(void)
{
    program_allocates = hone_entries_patch(not_covered, sizeof not_covered);
    hone_imports_patch();
}

static size_t append(char *to, size_t at, size_t size, const char *text)
{
    size_t bytes = strlen(text);
    if (bytes >= size - at)
        return at;
    memcpy(to + at, text, bytes + 1);
    return at + bytes;
}

static void name_allocators(struct hone_process *process)
{
    const char *path = hone_allocator_path();
    size_t at = 0, size = sizeof process->allocator;
    if (program_allocates)
        at = append(process->allocator, at, size, program_path);
    if (path)
        at = append(process->allocator, at, size, at ? ", " : "");
    if (path)
        (void)append(process->allocator, at, size, path);
}

static void begin_heap(struct hone_process *process, const char *forbidden)
{
    static const char no_hooks[] = "libhone.a is linked in, and the program has no symbols";
    bool wanted = hone_probe.writer.header->config.heap_rate != 0;
    if (wanted && !forbidden && !process->forked)
        patch_allocations();
    const char *reason = wanted && forbidden                               ? forbidden
                         : wanted && !hone_has_hooks && !program_allocates ? no_hooks
                                                                           : NULL;
    if (wanted && (reason || not_covered[0]))
        (void)append(process->heap_reason, 0, sizeof process->heap_reason,
                     not_covered[0] && !forbidden ? not_covered : reason);
    if (wanted)
        name_allocators(process);
    hone_heap_begin(wanted && !reason);
}

static void begin_locks(struct hone_process *process, const char *forbidden)
{
    static const char no_hooks[] = "libhone.a is linked in, which has no hooks for locks";
    static const char no_room[] = "no memory for the order in which they are taken";
    const struct hone_session_config *config = &hone_probe.writer.header->config;
    const char *reason = forbidden ? forbidden : hone_has_hooks ? NULL : no_hooks;
    if ((config->mutex_fraction || config->block_rate_ns || config->lock_order) && reason)
        (void)append(process->lock_reason, 0, sizeof process->lock_reason, reason);
    if (!hone_lock_order_begin(config->lock_order && !reason))
        (void)append(process->lock_reason, 0, sizeof process->lock_reason, no_room);
    hone_locks_begin(!reason);
    if ((hone_locks_are_wanted() || config->lock_order) && !reason && !process->forked)
        hone_imports_patch();
}

static void begin_process(uint32_t parent_pid, bool forked)
{
    struct hone_writer *writer = &hone_probe.writer;
    hone_probe.pid = (uint32_t)hone_syscall0(SYS_getpid);
    hone_probe.engine = NULL;
    hone_probe.engine_id = HONE_ENGINE_NONE;
    if (hone_writer_begin(writer, hone_probe.pid, parent_pid, hone_now_ns())) {
        hone_heap_begin(false); // in a forked child its parent's answer stands there
        (void)hone_lock_order_begin(false);
        hone_locks_end();
        return; // counted in the session's header
    }
    atomic_fetch_add_explicit(&hone_probe.epoch, 1, memory_order_relaxed);
    struct hone_process *process = writer->process;
    process->forked = forked;
    process->period_ns = hone_probe.period_ns;
    describe_program(process);
    struct hone_thread *self = hone_thread_self();
    hone_thread_meet(self, NULL);
    hone_modules_emit_anew();
    uint64_t cpu_before_ns = hone_cpu_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    self->begun_cpu_ns = self->last_cpu_ns = hone_thread_cpu_ns();
    uint64_t begun_ns = self->begun_cpu_ns;
    const char *forbidden = hone_sampling_forbidden();
    if (forbidden)
        memcpy(process->reason, forbidden, strlen(forbidden) + 1);
    else if (hone_probe.period_ns)
        (void)hone_engine_start(writer->header->config.cpu_engine, process->reason,
                                sizeof process->reason);
    process->engine = hone_probe.engine_id;
    // Arming may take the kernel long, on a busy machine some 100 ms: that is not the program's
    // time, and threads that were there before us run on meanwhile. Unless a first sample has come
    // already: what it stands for must not be counted twice.
    if (!self->sampled) {
        cpu_before_ns = hone_cpu_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        self->begun_cpu_ns = self->last_cpu_ns = hone_thread_cpu_ns();
    } else {
        cpu_before_ns += self->begun_cpu_ns - begun_ns;
    }
    if (!forked && !forbidden) {
        const struct hone_session_config *config = &writer->header->config;
        if (hone_probe.engine_id == HONE_ENGINE_PERF_TRAP ||
            hone_probe.engine_id == HONE_ENGINE_PERF_SIGNAL)
            hone_libc_entries_patch();
        hone_imports_begin(config->heap_rate != 0,
                           config->mutex_fraction || config->block_rate_ns || config->lock_order);
    }
    hone_probe.creations = hone_probe.creations && !forbidden;
    begin_heap(process, forbidden);
    begin_locks(process, forbidden);
    atomic_store_explicit(&process->cpu_before_ns, cpu_before_ns, memory_order_relaxed);
    atomic_store_explicit(&process->state, HONE_PROCESS_RUNNING, memory_order_release);
}

// --- fork ----------------------------------------------------------------------------------------

// The child shares the session's memory but not the perf event; what it finds in our state belongs
// to its parent.
void hone_after_fork_in_child(void)
{
    const struct hone_process *process = hone_probe.writer.process;
    hone_loader_after_fork_in_child(
        process && atomic_load_explicit(&process->next_thread, memory_order_relaxed) > 1);
    if (!hone_probe.writer.header || hone_probe.locked_in)
        return;
    int saved = errno;
    uint32_t parent_pid = hone_probe.pid;
    struct hone_thread *self = hone_thread_self();
    self->armed = false;
    self->last_cpu_ns = 0;
    hone_modules_after_fork(&hone_probe_modules);
    hone_areas_after_fork();
    hone_heap_after_fork();
    hone_lock_order_after_fork();
    hone_locks_after_fork();
    hone_threads_after_fork();
    if (!atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed))
        begin_process(parent_pid, true);
    else
        hone_count(&hone_probe.writer.header->forks_late, 1);
    errno = saved;
}

// Who has forked and ends at once, as daemons do, is survived by a child that nobody knows yet.
static void after_fork_in_parent(void)
{
    hone_loader_after_fork();
    if (hone_probe.writer.header)
        hone_count(&hone_probe.writer.header->forks, 1);
}

static void after_fork_in_child(void)
{
    hone_after_fork_in_child();
    if (hone_probe.writer.header)
        hone_count(&hone_probe.writer.header->forks_met, 1);
}

// --- start and end -------------------------------------------------------------------------------

static void start(void *path)
{
    if (hone_twin_find() || map_session(path, &hone_probe.writer))
        return;
    const struct hone_session_config *config = &hone_probe.writer.header->config;
    hone_leave_out_of_cores();
    hone_probe.period_ns = config->cpu_period_ns;
    hone_probe.stack_max = config->stack_max;
    if (hone_probe.stack_max == 0 || hone_probe.stack_max > HONE_STACK_MAX)
        hone_probe.stack_max = HONE_STACK_MAX;
    hone_probe.creations = hone_has_hooks && config->creations && hone_creations_begin();
    if (hone_probe.period_ns == 0 && config->heap_rate == 0 && config->mutex_fraction == 0 &&
        config->block_rate_ns == 0 && !config->lock_order && !hone_probe.creations) {
        hone_probe.writer.header = NULL;
        return;
    }
    (void)hone_program_path(program_path, sizeof program_path);
    hone_program_name(program_name, sizeof program_name);
    // What was executed stands at the very end of the first thread's stack.
    hone_probe.main_stack_high = getauxval(AT_EXECFN) & ~(uint64_t)7;
    if (!hone_sampling_forbidden())
        hone_modules_refresh(&hone_probe_modules);
    hone_unwind_init(&hone_probe.unwinder, &hone_probe_modules, row_cache, sizeof row_cache);
    hone_probe.unwinder.own_low = (uintptr_t)__start_hone_handlers;
    hone_probe.unwinder.own_high = (uintptr_t)__stop_hone_handlers;
    begin_process((uint32_t)hone_syscall0(SYS_getppid), false);
    hone_at_fork(hone_loader_before_fork, after_fork_in_parent, after_fork_in_child);
}

__attribute__((constructor)) static void on_load(void)
{
    hone_heap_self.own++;
    hone_allocator_find();
    hone_maps_find();
    hone_locks_find();
    hone_new_find();
    hone_heap_self.own--;
    const char *path = secure_getenv("HONE_SESSION");
    if (!path || path[0] != '/') {
        hone_heap_begin(false);
        return;
    }
    int saved = errno;
    hone_heap_self.own++;
    // On a stack that goes away: return addresses of ours that stay below the program's would be
    // taken for some of its own where the walker has to search (code without rules).
    long stack = hone_syscall6(SYS_mmap, 0, START_STACK_BYTES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack < 0 && stack > -PAGE) {
        start((void *)path);
    } else {
        hone_call_on_stack(start, (void *)path, (char *)stack + START_STACK_BYTES);
        (void)hone_syscall2(SYS_munmap, stack, START_STACK_BYTES);
    }
    if (!hone_probe.writer.process)
        hone_heap_begin(false);
    hone_heap_self.own--;
    errno = saved;
}

void hone_process_leave(enum hone_process_state state)
{
    struct hone_process *process = hone_probe.writer.process;
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (engine && engine->alive && !engine->alive()) {
        static const char reason[] = HONE_REASON_CLOSED;
        memcpy(process->reason, reason, sizeof reason);
    }
    hone_thread_leave(hone_thread_self());
    hone_heap_thread_leave();
    hone_lock_order_thread_leave(false);
    hone_locks_thread_leave();
    hone_locks_process_leave();
    atomic_store_explicit(&process->cpu_total_ns, hone_cpu_clock_ns(CLOCK_PROCESS_CPUTIME_ID),
                          memory_order_relaxed);
    atomic_store_explicit(&process->ended_ns, hone_now_ns(), memory_order_relaxed);
    atomic_store_explicit(&process->state, state, memory_order_release);
}

void hone_process_end(void)
{
    if (!hone_is_our_process())
        return;
    hone_heap_scan();
    hone_process_leave(HONE_PROCESS_EXITED);
}

// The process goes on a little: a library's other destructors run, other threads too. Of a static
// program this is the last destructor.
enum { LAST = 101 };

__attribute__((destructor(LAST))) static void on_end(void)
{
    if (!hone_has_hooks)
        hone_process_end();
    else if (hone_is_our_process())
        hone_process_leave(HONE_PROCESS_EXITED);
}

HONE_EXPORT const char *hone_version(void)
{
    return HONE_VERSION;
}

HONE_EXPORT int hone_recording(void)
{
    if (hone_twin.recording)
        return hone_twin.recording();
    return (hone_probe.engine != NULL || hone_heap_is_wanted() || hone_locks_are_wanted() ||
            hone_creations_wanted()) &&
           !atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed);
}

HONE_OWN(hone_recording) int hone_own_recording(void);

HONE_EXPORT int hone_heap_set_rate(unsigned long long bytes)
{
    if (hone_twin.heap_set_rate)
        return hone_twin.heap_set_rate(bytes);
    if (!hone_heap_is_wanted() || !hone_probe.writer.process)
        return -1;
    if (bytes == HONE_HEAP_RATE_OF_RECORDING)
        hone_heap_wish_nothing();
    else
        hone_heap_wish(bytes);
    return 0;
}

HONE_OWN(hone_heap_set_rate) int hone_own_heap_set_rate(unsigned long long bytes);
