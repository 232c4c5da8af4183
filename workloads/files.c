// files FILE ROUNDS: threads that wait for files on a disk, each in its own way, one after the
// other: reads and writes past the cache, writes that have to be on the disk, memory of a file that
// is not there yet. FILE is made, and its folder has to lie on a disk. Right answer: what the
// kernel says of each (turns.h); `files none` where the file system does not read past its cache.
#include "turns.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 1024 };

static const char *path;
static long rounds;
static char *page; // aligned

static off_t next_place(void)
{
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return (off_t)((state >> 8) % PAGES) * PAGE;
}

OWN_NAME static void reads_disk(int fd)
{
    (void)!pread(fd, page, PAGE, next_place());
}

OWN_NAME static void writes_disk(int fd)
{
    (void)!pwrite(fd, page, PAGE, next_place());
}

OWN_NAME static void syncs_disk(int fd)
{
    fdatasync(fd);
}

OWN_NAME static void touches_disk(const volatile char *memory)
{
    (void)memory[next_place()];
}

#define THREAD(function, flags, ...)                                                               \
    static void *thread_##function(void *unused)                                                   \
    {                                                                                              \
        int fd = open(path, flags);                                                                \
        long long born_ns = now_ns();                                                              \
        for (long i = 0; fd >= 0 && i < rounds; i++) {                                             \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        tell_turns(#function, born_ns);                                                            \
        close(fd);                                                                                 \
        return unused;                                                                             \
    }

THREAD(reads_disk, O_RDONLY | O_DIRECT, reads_disk(fd))
THREAD(writes_disk, O_WRONLY | O_DIRECT, writes_disk(fd))
THREAD(syncs_disk, O_WRONLY, (void)!pwrite(fd, page, PAGE, next_place()); syncs_disk(fd))
THREAD(touches_disk, O_RDONLY, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
       char *memory = mmap(NULL, (size_t)PAGES *PAGE, PROT_READ, MAP_SHARED, fd, 0);
       if (memory == MAP_FAILED) break; madvise(memory, (size_t)PAGES *PAGE, MADV_RANDOM);
       touches_disk(memory); munmap(memory, (size_t)PAGES *PAGE))

// Whole, on the disk, and readable past the cache.
static bool make_file(void)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; fd >= 0 && i < PAGES; i++)
        if (write(fd, page, PAGE) != PAGE)
            return false;
    if (fd < 0 || fsync(fd) || close(fd))
        return false;
    fd = open(path, O_RDONLY | O_DIRECT);
    bool direct = fd >= 0 && pread(fd, page, PAGE, 0) == PAGE;
    close(fd);
    return direct;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return misused("files FILE ROUNDS");
    path = argv[1];
    rounds = (long)argument(argc, argv, 2, 100);
    page = aligned_alloc(PAGE, PAGE);
    if (!page)
        return 1;
    memset(page, 'x', PAGE);
    if (!make_file()) {
        puts("files none");
        return 0;
    }
    void *(*const threads[])(void *) = {thread_reads_disk, thread_writes_disk, thread_syncs_disk,
                                        thread_touches_disk};
    for (unsigned i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, threads[i], NULL))
            return 1;
        pthread_join(thread, NULL);
    }
    return 0;
}
