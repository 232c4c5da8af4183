// jit map|dump|none|file [MILLISECONDS]: a compiler of its own, as small as can be.
//
// Writes machine code into memory and runs it: first code that it calls `early`, then, at the very
// same address, code that it calls `late`, and at another address what it calls `beside`. Their
// names go where a real one would write them:
//
// map:   /tmp/perf-PID.map, a perf map. That has no times, so `late` is the name of both.
// dump:  ./jit-PID.dump, a jitdump, with lines of a file `generated.src`: early 10, late 20.
// none:  nowhere.
// file:  nowhere, and the code lies in ./code.bin, as code that somebody loads by hand: no compiler
// is
//        there who could write down names.
//
// Right answer: `early`, `late` and `beside` NANOSECONDS of this thread's CPU time, printed.
#include "burn.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

// void code(long rounds): counts down. Ends where a profile's frame pointers lead on.
#if defined(__x86_64__)
static const unsigned char code[] = {
    0x55,             // push %rbp
    0x48, 0x89, 0xe5, // mov %rsp, %rbp
    0x48, 0xff, 0xcf, // 1: dec %rdi
    0x75, 0xfb,       // jnz 1b
    0x5d, 0xc3,       // pop %rbp; ret
};
enum { MACHINE = 62 };
#else
static const uint32_t code[] = {
    0xa9bf7bfd, // stp x29, x30, [sp, #-16]!
    0x910003fd, // mov x29, sp
    0xf1000400, // 1: subs x0, x0, #1
    0x54ffffe1, // b.ne 1b
    0xa8c17bfd, // ldp x29, x30, [sp], #16
    0xd65f03c0, // ret
};
enum { MACHINE = 183 };
#endif

enum { PAGE = 4096, BESIDE = 1024 };

static FILE *file;
static int dumps;

static void put(uint64_t value, size_t bytes)
{
    fwrite(&value, 1, bytes, file);
}

static void begin(const char *how)
{
    char path[64];
    dumps = strcmp(how, "dump") == 0;
    if (strcmp(how, "none") == 0 || strcmp(how, "file") == 0)
        return;
    snprintf(path, sizeof path, dumps ? "jit-%d.dump" : "/tmp/perf-%d.map", (int)getpid());
    file = fopen(path, "w+");
    if (!file) {
        perror(path);
        exit(1);
    }
    if (!dumps)
        return;
    put(0x4A695444, 4); // "JiTD"
    put(1, 4);          // version
    put(40, 4);         // bytes of the header
    put(MACHINE, 4);
    put(0, 4);
    put((uint64_t)getpid(), 4);
    put((uint64_t)clock_ns(CLOCK_MONOTONIC), 8);
    put(0, 8);
    fflush(file);
    // How whoever watches the mappings learns of the file.
    if (mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(file), 0) == MAP_FAILED)
        exit(1);
}

static void name_it(const char *name, const void *at, unsigned line)
{
    if (!file)
        return;
    if (!dumps) {
        fprintf(file, "%lx %zx %s\n", (unsigned long)at, sizeof code, name);
        fflush(file);
        return;
    }
    uint64_t now = (uint64_t)clock_ns(CLOCK_MONOTONIC), address = (uint64_t)(uintptr_t)at;
    put(2, 4); // lines
    put(16 + 16 + 16 + 14, 4);
    put(now, 8);
    put(address, 8);
    put(1, 8);
    put(address, 8);
    put(line, 4);
    put(0, 4);
    fwrite("generated.src", 1, 14, file);
    put(0, 4); // load
    put(16 + 40 + strlen(name) + 1 + sizeof code, 4);
    put(now, 8);
    put((uint64_t)getpid(), 4);
    put((uint64_t)getpid(), 4);
    put(address, 8);
    put(address, 8);
    put(sizeof code, 8);
    put(line, 8);
    fwrite(name, 1, strlen(name) + 1, file);
    fwrite(code, 1, sizeof code, file);
    fflush(file);
}

OWN_NAME static void run(const char *name, void *at, unsigned line, long long ns)
{
    memcpy(at, code, sizeof code);
    __builtin___clear_cache((char *)at, (char *)at + sizeof code);
    name_it(name, at, line);
    void (*generated)(long rounds);
    memcpy(&generated, &at, sizeof generated);
    long long start = thread_cpu_ns(), now = start;
    while (now - start < ns) {
        generated(10 * SPIN_SLICE);
        now = thread_cpu_ns();
    }
    printf("%s %lld\n", name, now - start);
}

static char *memory_for_code(const char *how)
{
    const int rights = PROT_READ | PROT_WRITE | PROT_EXEC;
    if (strcmp(how, "file") != 0)
        return mmap(NULL, PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open("code.bin", O_RDWR | O_CREAT, 0600);
    return ftruncate(fd, PAGE) ? MAP_FAILED : mmap(NULL, PAGE, rights, MAP_SHARED, fd, 0);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return misused("jit map|dump|none|file [MILLISECONDS]");
    long long each_ns = argument(argc, argv, 2, 900) * MS / 3;
    char *memory = memory_for_code(argv[1]);
    if (memory == MAP_FAILED)
        return 1;
    begin(argv[1]);
    run("early", memory, 10, each_ns);
    run("late", memory, 20, each_ns);
    run("beside", memory + BESIDE, 30, each_ns);
    if (file)
        fclose(file);
    return 0;
}
