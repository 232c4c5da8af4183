// Against the C library itself: a child's threads sleep in its locks, and their stacks are known.
#include "capture/lock_state.h"

#include "check.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>

// --- which call ----------------------------------------------------------------------------------

static struct hone_lock_call call_of(const struct hone_lock_frame *frames, uint32_t count)
{
    struct hone_lock_call call;
    (void)hone_lock_call_find(frames, count, &call);
    return call;
}

#define LIBC "/usr/lib/x86_64-linux-gnu/libc.so.6"

TEST(mutex_of_glibc_through_its_inner_functions_and_the_ones_of_cxx)
{
    const struct hone_lock_frame frames[] = {
        {"futex_wait", LIBC},
        {"__lll_lock_wait", LIBC},
        {"___pthread_mutex_lock", LIBC},
        {"__gthread_mutex_lock", "/bin/x"},
        {"std::mutex::lock", "/bin/x"},
        {"transfer", "/bin/x"},
    };
    struct hone_lock_call call = call_of(frames, 6);
    CHECK_EQ(call.kind, HONE_LOCK_MUTEX);
    CHECK_EQ(call.library, HONE_LOCK_LIBRARY_GLIBC);
    CHECK(!call.internal);
    CHECK_EQ(call.first, 5);
}

TEST(a_stripped_library_has_nameless_frames)
{
    const struct hone_lock_frame frames[] = {
        {"", LIBC}, {"", LIBC}, {"pthread_cond_wait", LIBC}, {"await", "/bin/x"}};
    struct hone_lock_call call = call_of(frames, 4);
    CHECK_EQ(call.kind, HONE_LOCK_CONDITION);
    CHECK_EQ(call.library, HONE_LOCK_LIBRARY_GLIBC);
    CHECK_EQ(call.first, 3);
}

TEST(static_programs_tell_by_inner_names)
{
    const struct hone_lock_frame glibc[] = {
        {"__lll_lock_wait", "/bin/x"}, {"pthread_mutex_lock", "/bin/x"}, {"main", "/bin/x"}};
    const struct hone_lock_frame musl[] = {{"__syscall_cp_c", "/bin/x"},
                                           {"__timedwait_cp", "/bin/x"},
                                           {"pthread_join", "/bin/x"},
                                           {"main", "/bin/x"}};
    CHECK_EQ(call_of(glibc, 3).library, HONE_LOCK_LIBRARY_GLIBC);
    CHECK_EQ(call_of(musl, 4).library, HONE_LOCK_LIBRARY_MUSL);
    CHECK_EQ(call_of(musl, 4).kind, HONE_LOCK_JOIN);
    CHECK_EQ(call_of(musl, 4).first, 3);
}

TEST(locks_of_the_library_itself_have_no_owner)
{
    const struct hone_lock_frame frames[] = {
        {"__lll_lock_wait_private", LIBC}, {"malloc", LIBC}, {"make", "/bin/x"}};
    struct hone_lock_call call = call_of(frames, 3);
    CHECK(call.internal);
    CHECK_EQ(call.kind, HONE_LOCK_MUTEX);
    CHECK_EQ(call.first, 1);
}

TEST(locks_of_rust)
{
    const struct hone_lock_frame frames[] = {
        {"std::sys::pal::unix::futex::futex_wait", "/bin/x"},
        {"std::sys::sync::mutex::futex::Mutex::lock_contended", "/bin/x"},
        {"std::sync::mutex::Mutex<T>::lock", "/bin/x"},
        {"bank::transfer", "/bin/x"},
    };
    struct hone_lock_call call = call_of(frames, 4);
    CHECK_EQ(call.kind, HONE_LOCK_MUTEX);
    CHECK_EQ(call.library, HONE_LOCK_LIBRARY_RUST);
    CHECK_EQ(call.first, 3);
}

TEST(locks_of_rust_as_newer_compilers_name_them)
{
    static const struct {
        const char *name;
        enum hone_lock_kind kind;
    } rows[] = {
        {"<std::sys::sync::mutex::futex::Mutex>::lock_contended", HONE_LOCK_MUTEX},
        {"<std::sys::sync::rwlock::futex::RwLock>::read_contended", HONE_LOCK_READ},
        {"<std::sys::sync::rwlock::futex::RwLock>::write_contended", HONE_LOCK_WRITE},
        {"<std::sys::sync::condvar::futex::Condvar>::wait", HONE_LOCK_CONDITION},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct hone_lock_frame frames[] = {
            {"syscall", LIBC}, {rows[i].name, "/bin/x"}, {"bank::transfer", "/bin/x"}};
        struct hone_lock_call call = call_of(frames, 3);
        CHECK_EQ(call.kind, rows[i].kind);
        CHECK_EQ(call.library, HONE_LOCK_LIBRARY_RUST);
        CHECK_EQ(call.first, 2);
    }
}

TEST(a_futex_of_the_programs_own_is_no_lock_function)
{
    const struct hone_lock_frame frames[] = {{"syscall", LIBC}, {"my_lock", "/bin/x"}};
    struct hone_lock_call call;
    CHECK(!hone_lock_call_find(frames, 2, &call));
    CHECK_EQ(call.kind, HONE_LOCK_UNKNOWN);
    CHECK_EQ(call.first, 0);
}

TEST(a_lock_of_the_programs_own_is_none_of_the_library_s_whatever_it_is_called)
{
    const struct hone_lock_frame frames[] = {
        {"syscall", LIBC}, {"mtx_lock", "/bin/x"}, {"work", "/bin/x"}};
    struct hone_lock_call call = call_of(frames, 3);
    CHECK_EQ(call.library, HONE_LOCK_LIBRARY_UNKNOWN); // so that no owner is read in it
    const struct hone_lock_frame inner[] = {{"syscall", LIBC}, {"__wait_for_it", "/bin/x"}};
    CHECK(!call_of(inner, 2).internal);
    // A frame of the library's own is missing where it left that to what it called.
    const struct hone_lock_frame hooked[] = {
        {"", LIBC}, {"pthread_mutex_lock", "/usr/lib/libhone.so"}, {"work", "/bin/x"}};
    call = call_of(hooked, 3);
    CHECK_EQ(call.library, HONE_LOCK_LIBRARY_GLIBC);
    CHECK_EQ(call.kind, HONE_LOCK_MUTEX);
    CHECK_EQ(call.first, 2);
}

// --- whose ---------------------------------------------------------------------------------------

static bool read_own(void *context, uint64_t address, void *to, size_t size)
{
    (void)context;
    if (address < 4096)
        return false;
    memcpy(to, (const void *)(uintptr_t)address, size); // NOLINT(performance-no-int-to-ptr)
    return true;
}

static struct hone_lock_state state_of(enum hone_lock_library library, enum hone_lock_kind kind,
                                       const void *futex, uint32_t expected, const uint64_t *words,
                                       size_t word_count)
{
    const struct hone_lock_call call = {.kind = kind, .library = library};
    const struct hone_lock_sleep sleep = {
        .futex = (uintptr_t)futex,
        .operation = FUTEX_WAIT,
        .expected = expected,
        .words = words,
        .word_count = word_count,
        .read = read_own,
    };
    struct hone_lock_state state;
    hone_lock_state_read(&call, &sleep, &state);
    return state;
}

static uint32_t own_tid(void)
{
    extern pid_t gettid(void);
    return (uint32_t)gettid();
}

// The C library that we run on is the one whose layout is claimed.
static void check_mutex(int type, int protocol, bool robust, bool recursive)
{
    pthread_mutexattr_t how;
    pthread_mutex_t mutex;
    (void)pthread_mutexattr_init(&how);
    (void)pthread_mutexattr_settype(&how, type);
    (void)pthread_mutexattr_setprotocol(&how, protocol);
    if (robust)
        (void)pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
    CHECK_EQ(pthread_mutex_init(&mutex, &how), 0);
    struct hone_lock_state state =
        state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_MUTEX, &mutex, 2, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_NONE);
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    state = state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_MUTEX, &mutex, 2, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_THREAD);
    CHECK_EQ(state.owner, own_tid());
    CHECK_EQ(state.address, (uint64_t)(uintptr_t)&mutex);
    CHECK(state.exact);
    CHECK_EQ(state.recursive, recursive);
    CHECK_EQ(state.robust, robust);
    CHECK_EQ(state.inherits, protocol == PTHREAD_PRIO_INHERIT);
    CHECK(!state.shared);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    state = state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_MUTEX, &mutex, 2, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_NONE);
    (void)pthread_mutex_destroy(&mutex);
}

TEST(owner_of_each_kind_of_mutex)
{
    check_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, false, false);
    check_mutex(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, false, true);
    check_mutex(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, false, false);
    check_mutex(PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_PRIO_NONE, false, false);
    check_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, true, false);
    check_mutex(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_INHERIT, false, true);
    check_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, true, false);
}

// glibc sleeps on a word of the stack then, and what lies beside it is no mutex.
TEST(mutexes_that_the_kernel_does_not_let_wait_for)
{
    const uint32_t words[] = {0, 0, 4711, 1, 0};
    struct hone_lock_state state =
        state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_MUTEX, words, 0, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_UNKNOWN);
    CHECK(!state.exact);
}

TEST(writer_and_readers_of_a_read_write_lock)
{
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    const char *at = (const char *)&lock;
    struct hone_lock_state state =
        state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_WRITE, at + 12, 1, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_NONE);
    (void)pthread_rwlock_wrlock(&lock);
    static const struct {
        int offset;
        uint32_t expected;
    } places[] = {{12, 1}, {8, 1}, {8, 3}, {0, 12}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        state = state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_WRITE, at + places[i].offset,
                         places[i].expected, NULL, 0);
        CHECK_EQ(state.address, (uint64_t)(uintptr_t)at);
        CHECK_EQ(state.holder, HONE_HOLDER_THREAD);
        CHECK_EQ(state.owner, own_tid());
    }
    (void)pthread_rwlock_unlock(&lock);
    (void)pthread_rwlock_rdlock(&lock);
    (void)pthread_rwlock_rdlock(&lock);
    state = state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_WRITE, at + 12, 1, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_READERS);
    CHECK_EQ(state.readers, 2);
}

TEST(a_waiter_of_a_condition_has_it_and_its_mutex_on_its_stack)
{
    alignas(8) static char memory[96];
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    uint64_t condition = (uintptr_t)memory;
    const uint64_t words[] = {7, 0x1234, condition, (uintptr_t)&mutex, 0};
    for (int offset = 32; offset < 48; offset += 4) {
        struct hone_lock_state state =
            state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_CONDITION, memory + offset, 0, words, 5);
        CHECK_EQ(state.kind, HONE_LOCK_CONDITION);
        CHECK_EQ(state.address, condition);
        CHECK_EQ(state.mutex, (uint64_t)(uintptr_t)&mutex);
        CHECK(state.exact);
    }
    // Woken, it sleeps at the mutex, which somebody has.
    (void)pthread_mutex_lock(&mutex);
    struct hone_lock_state state =
        state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_CONDITION, &mutex, 2, words, 5);
    CHECK_EQ(state.kind, HONE_LOCK_MUTEX);
    CHECK_EQ(state.owner, own_tid());
    // Nothing fits: the word is all that is known.
    state = state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_CONDITION, memory + 64, 0, words, 5);
    CHECK(!state.exact);
    CHECK_EQ(state.address, condition + 64);
}

TEST(a_join_waits_for_the_thread_that_its_word_names)
{
    struct hone_lock_state state =
        state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_JOIN, &state, 4711, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_THREAD);
    CHECK_EQ(state.owner, 4711);
    const uint32_t thread[] = {4712, 0, 2};
    state = state_of(HONE_LOCK_LIBRARY_MUSL, HONE_LOCK_JOIN, &thread[2], 2, NULL, 0);
    CHECK_EQ(state.owner, 4712);
}

TEST(mutexes_of_musl)
{
    uint32_t plain[10] = {0, 0x80000010}, recursive[10] = {1, 0x80000000 | 4711},
             robust[10] = {4, FUTEX_OWNER_DIED | 4711};
    struct hone_lock_state state =
        state_of(HONE_LOCK_LIBRARY_MUSL, HONE_LOCK_MUTEX, &plain[1], 0, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_UNKNOWN);
    CHECK_EQ(state.address, (uint64_t)(uintptr_t)plain);
    plain[1] = 0x80000000;
    state = state_of(HONE_LOCK_LIBRARY_MUSL, HONE_LOCK_MUTEX, &plain[1], 0, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_NONE);
    state = state_of(HONE_LOCK_LIBRARY_MUSL, HONE_LOCK_MUTEX, &recursive[1], 0, NULL, 0);
    CHECK_EQ(state.owner, 4711);
    CHECK(state.recursive);
    state = state_of(HONE_LOCK_LIBRARY_MUSL, HONE_LOCK_MUTEX, &robust[1], 0, NULL, 0);
    CHECK(state.robust);
    CHECK(state.owner_died);
}

TEST(memory_that_is_no_mutex_or_not_there_tells_nothing)
{
    uint32_t words[5] = {2, 0, 4711, 1, 0xdeadbeef};
    struct hone_lock_state state =
        state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_MUTEX, words, 2, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_UNKNOWN);
    CHECK(!state.exact);
    state = state_of(HONE_LOCK_LIBRARY_GLIBC, HONE_LOCK_MUTEX, (void *)16, 2, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_UNKNOWN);
    state = state_of(HONE_LOCK_LIBRARY_UNKNOWN, HONE_LOCK_MUTEX, words, 2, NULL, 0);
    CHECK_EQ(state.holder, HONE_HOLDER_UNKNOWN);
}
