#include "capture/remote.h"

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEEP = 40, COPY_BYTES = 1 << 20, DEPTH_MAX = 1024 };

static struct hone_remote *remote;
static uint64_t addresses[DEPTH_MAX];
static struct hone_walk walk;

// --- what is walked: a child whose stack is known ------------------------------------------------

static int ready[2];

__attribute__((noinline)) static void wait_here(void)
{
    char byte = 0;
    (void)!write(ready[1], &byte, 1);
    for (;;)
        (void)pause();
}

__attribute__((noinline)) static void spin_here(void)
{
    char byte = 0;
    (void)!write(ready[1], &byte, 1);
    for (volatile unsigned i = 0;; i++)
        __asm__ volatile("");
}

__attribute__((noinline)) static void descend(unsigned depth, void (*at_last)(void))
{
    char room[600]; // 40 frames fill some pages
    memset(room, (int)depth, sizeof room);
    __asm__ volatile("" : : "r"(room) : "memory");
    if (depth > 1)
        descend(depth - 1, at_last);
    else
        at_last();
    __asm__ volatile("");
}

static void *thread_main(void *context)
{
    (void)context;
    descend(DEEP, wait_here);
    return NULL;
}

static pid_t start_child(void (*run)(void))
{
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        run();
        _exit(0);
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    return pid;
}

static void run_blocked(void)
{
    descend(DEEP, wait_here);
}

static void run_spinning(void)
{
    descend(DEEP, spin_here);
}

static void run_thread(void)
{
    pthread_t thread;
    (void)pthread_create(&thread, NULL, thread_main, NULL);
    (void)pthread_join(thread, NULL);
}

// Generated code that makes a frame and calls back: push rbp; mov rbp,rsp; call rdi; pop rbp; ret.
static void run_generated(void)
{
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    void (*generated)(void (*)(void));
    memcpy(&generated, &page, sizeof page);
    generated(wait_here);
}

static void end_child(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    hone_remote_free(remote);
}

// --- reading it ----------------------------------------------------------------------------------

static struct hone_registers stop(pid_t tid)
{
    CHECK(ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0);
    CHECK(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0);
    CHECK(waitpid(tid, NULL, __WALL) == tid);
    struct user_regs_struct user;
    CHECK(ptrace(PTRACE_GETREGS, tid, NULL, &user) == 0);
    return (struct hone_registers){{user.rax, user.rdx, user.rcx, user.rbx, user.rsi, user.rdi,
                                    user.rbp, user.rsp, user.r8, user.r9, user.r10, user.r11,
                                    user.r12, user.r13, user.r14, user.r15, user.rip}};
}

static void open_remote(pid_t pid)
{
    struct hone_error err = {0};
    int r = hone_remote_open(pid, &remote, &err);
    cr_assert(r == 0, "%s", err.message);
}

static size_t copy_stack(pid_t pid, uint64_t sp, void *to, size_t size)
{
    // Up to the end of the mapping: whole pages, as many as there are.
    size_t have = 0;
    while (have < size) {
        size_t part = have ? 4096 : 4096 - sp % 4096;
        if (part > size - have)
            part = size - have;
        struct iovec ours = {(char *)to + have, part}, theirs = {(void *)(sp + have), part};
        if (process_vm_readv(pid, &ours, 1, &theirs, 1, 0) != (ssize_t)part)
            break;
        have += part;
    }
    return have;
}

// Addresses within a function that both of us have at the same place, for the child is our fork.
static size_t frames_in(uint64_t function, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < walk.count; i++)
        count += addresses[i] - function < size;
    return count;
}

static size_t frames_of_descend(void)
{
    bool stale;
    const struct hone_modules *modules = hone_remote_modules(remote);
    const struct hone_module *module =
        hone_modules_find((struct hone_modules *)modules, (uint64_t)descend, &stale);
    CHECK(module != NULL);
    struct hone_fde fde;
    CHECK(hone_cfi_find(&module->cfi, (uint64_t)descend - module->bias, &fde) == 0);
    return frames_in((uint64_t)descend, fde.end - fde.start);
}

TEST(a_stopped_process_is_walked_from_a_copy_of_its_stack)
{
    pid_t pid = start_child(run_spinning);
    struct hone_registers registers = stop(pid);
    open_remote(pid);
    char *stack = malloc(COPY_BYTES);
    uint64_t sp = registers.r[HONE_REGISTER_SP];
    size_t size = copy_stack(pid, sp, stack, COPY_BYTES);
    hone_remote_walk(remote, &registers, HONE_REMOTE_KNOWN_ALL, stack, sp, size, false, addresses,
                     DEPTH_MAX, &walk);
    cr_assert(walk.end == HONE_WALK_COMPLETE, "%s", hone_walk_end_name(walk.end));
    CHECK_EQ(frames_of_descend(), DEEP);

    // Part of it: the walk ends where the copy does, and what it found until then is the same.
    uint64_t whole[DEPTH_MAX];
    memcpy(whole, addresses, sizeof whole);
    size_t before = 0;
    for (size_t part = 0; part < size && part < 40000; part += 1000) {
        hone_remote_walk(remote, &registers, HONE_REMOTE_KNOWN_ALL, stack, sp, part, false,
                         addresses, DEPTH_MAX, &walk);
        if (walk.end == HONE_WALK_COMPLETE)
            break;
        cr_assert(walk.end == HONE_WALK_COPY_SHORT, "%s", hone_walk_end_name(walk.end));
        CHECK(walk.count >= before && memcmp(whole, addresses, walk.count * 8) == 0);
        before = walk.count;
    }
    CHECK(before > DEEP / 2);

    // The rest may be read, for the process is stopped.
    hone_remote_walk(remote, &registers, HONE_REMOTE_KNOWN_ALL, stack, sp, 1000, true, addresses,
                     DEPTH_MAX, &walk);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    CHECK(memcmp(whole, addresses, walk.count * 8) == 0);
    free(stack);
    end_child(pid);
}

TEST(a_blocked_thread_is_walked_by_what_the_kernel_shows_of_it)
{
    pid_t pid = start_child(run_thread);
    open_remote(pid);
    pid_t tid = pid + 1;
    char path[64], text[256] = "";
    FILE *file = NULL;
    for (; tid < pid + 1000 && !file; tid++) {
        (void)snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", pid, tid);
        file = fopen(path, "r");
    }
    CHECK(file != NULL);
    // It told us before it blocked.
    uint64_t sp = 0, pc = 0;
    for (int attempt = 0; attempt < 1000 && !pc; attempt++) {
        rewind(file);
        if (fgets(text, sizeof text, file) && strncmp(text, "running", 7) != 0)
            CHECK(sscanf(text, "%*d %*x %*x %*x %*x %*x %*x %lx %lx", &sp, &pc) == 2);
        (void)usleep(1000);
        file = freopen(path, "r", file);
        CHECK(file != NULL);
    }
    fclose(file);
    struct hone_registers registers;
    memset(&registers, 0x5a, sizeof registers); // whoever looks at the others is caught
    registers.r[HONE_REGISTER_SP] = sp;
    registers.r[HONE_REGISTER_IP] = pc;
    uint32_t known = 1u << HONE_REGISTER_SP | 1u << HONE_REGISTER_IP;
    hone_remote_walk(remote, &registers, known, NULL, 0, 0, true, addresses, DEPTH_MAX, &walk);
    cr_assert(walk.end == HONE_WALK_COMPLETE || walk.end == HONE_WALK_UNKNOWN_REGISTER, "%s",
              hone_walk_end_name(walk.end));
    // Whether all is reached depends on the compiler's use of rbp; what is reached is right.
    if (walk.end == HONE_WALK_COMPLETE)
        CHECK_EQ(frames_of_descend(), DEEP);
    hone_remote_walk(remote, &registers, known, NULL, 0, 0, false, addresses, DEPTH_MAX, &walk);
    CHECK_EQ(walk.end, HONE_WALK_COPY_SHORT);
    CHECK_EQ(walk.count, 1);
    end_child(pid);
}

// A function whose rules are by rbp, which nobody told.
__attribute__((noinline, optimize("no-omit-frame-pointer"))) static void by_rbp(void)
{
    wait_here();
    __asm__ volatile("");
}

static void run_by_rbp(void)
{
    by_rbp();
}

// A sanitizer's code is not the code whose frames are counted here.
#ifdef __SANITIZE_ADDRESS__
#define NOT_SANITIZED() cr_skip_test("not of sanitized code")
#else
#define NOT_SANITIZED() (void)0
#endif

TEST(a_register_that_nobody_told_is_never_guessed)
{
    NOT_SANITIZED();
    pid_t pid = start_child(run_by_rbp);
    struct hone_registers registers = stop(pid);
    open_remote(pid);
    uint32_t all = HONE_REMOTE_KNOWN_ALL;
    hone_remote_walk(remote, &registers, all, NULL, 0, 0, true, addresses, DEPTH_MAX, &walk);
    CHECK_EQ(walk.end, HONE_WALK_COMPLETE);
    size_t complete = walk.count;
    // Where rules need it, the walk ends; it is not found in a wrong register.
    registers.r[HONE_REGISTER_FP] = registers.r[HONE_REGISTER_SP];
    hone_remote_walk(remote, &registers, all & ~(1u << HONE_REGISTER_FP), NULL, 0, 0, true,
                     addresses, DEPTH_MAX, &walk);
    CHECK_EQ(walk.end, HONE_WALK_UNKNOWN_REGISTER);
    CHECK(walk.count < complete);
    CHECK_EQ(frames_in((uint64_t)by_rbp, 32), 1);
    end_child(pid);
}

TEST(generated_code_is_read_from_the_process)
{
    NOT_SANITIZED();
    pid_t pid = start_child(run_generated);
    struct hone_registers registers = stop(pid);
    open_remote(pid);
    hone_remote_walk(remote, &registers, HONE_REMOTE_KNOWN_ALL, NULL, 0, 0, true, addresses,
                     DEPTH_MAX, &walk);
    cr_assert(walk.end == HONE_WALK_COMPLETE, "%s", hone_walk_end_name(walk.end));
    CHECK(walk.frame_pointers);
    CHECK_EQ(frames_in((uint64_t)run_generated, 4096) > 0, 1);
    end_child(pid);
}

TEST(libraries_come_and_go)
{
    pid_t pid = start_child(run_blocked);
    open_remote(pid);
    const struct hone_modules *modules = hone_remote_modules(remote);
    size_t count = hone_modules_count(modules);
    CHECK(count >= 3); // the program, libc, the vDSO
    CHECK_EQ(hone_remote_refresh(remote), 0);
    CHECK_EQ(hone_modules_count(modules), count);

    // As perf events tell it: the same file once more, elsewhere.
    int libc = hone_remote_module_of(remote, (uint64_t)pause);
    CHECK(libc >= 0);
    const struct hone_module *module = hone_modules_at(modules, (size_t)libc);
    struct hone_remote_mapping mapping = {
        .start = 0x10000000,
        .end = 0x10000000 + (module->text_end - module->text_start),
        .offset = module->text_offset & ~4095ull,
        .path = module->path,
        .build_id = module->build_id,
        .build_id_bytes = module->build_id_size,
    };
    CHECK_EQ(hone_remote_map(remote, &mapping), 0);
    int again = hone_remote_module_of(remote, 0x10000000);
    CHECK(again >= 0 && again != libc);

    // Another one over it, of which nothing can be known.
    mapping.path = "/nowhere";
    CHECK(hone_remote_map(remote, &mapping) != 0);
    CHECK_EQ(hone_remote_module_of(remote, 0x10000000), -1);
    CHECK_EQ(hone_remote_module_of(remote, (uint64_t)pause), libc);

    // A file system may number a file in two ways: what is mapped tells whether it is the same.
    const struct hone_module *ours =
        hone_modules_at(modules, (size_t)hone_remote_module_of(remote, (uint64_t)pause));
    struct hone_remote_mapping odd = {
        .start = ours->text_start & ~4095ull,
        .end = ours->text_end,
        .offset = ours->text_offset & ~4095ull,
        .path = ours->path,
        .inode = 1,
    };
    CHECK_EQ(hone_remote_map(remote, &odd), 0);
    odd.start += 1 << 20; // not what the file has at this offset
    odd.end += 1 << 20;
    CHECK(hone_remote_map(remote, &odd) != 0);

    // A file that is not the one that was mapped is not taken for it.
    uint8_t other[20] = {1, 2, 3};
    mapping.path = module->path;
    mapping.build_id = other;
    mapping.build_id_bytes = sizeof other;
    CHECK(hone_remote_map(remote, &mapping) != 0);
    end_child(pid);
}

TEST(a_process_that_is_gone_is_no_process)
{
    struct hone_error err = {0};
    CHECK_EQ(hone_remote_open(0x3ffffff, &remote, &err), -ESRCH);
    CHECK(strstr(err.message, "maps of process") != NULL);
}
