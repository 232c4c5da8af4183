// heap [SCALE [SEED]]: allocations whose number, size and fate are known, each kind in a function
// of its own name.
//
// Right answer: printed as lines `NAME alloc_objects alloc_bytes inuse_objects inuse_bytes`,
// counted as the program goes. With a scale of 1 some 30 MB are allocated. A realloc() is the end
// of the old block and the allocation of a new one.
#include "burn.h"

#include <malloc.h>
#include <pthread.h>

#include <new>

struct Tally {
    const char *name;
    long long objects, bytes, live_objects, live_bytes;
};

static Tally *current;

static void *count(void *block, size_t size)
{
    if (!block)
        abort();
    memset(block, 1, size < 64 ? size : 64);
    current->objects++;
    current->bytes += (long long)size;
    current->live_objects++;
    current->live_bytes += (long long)size;
    return block;
}

static void gone(size_t size)
{
    current->live_objects--;
    current->live_bytes -= (long long)size;
}

static void *volatile kept; // what is never freed stays reachable through chains
static void keep(void *block)
{
    *(void **)block = kept;
    kept = block;
}

OWN_NAME static void keep_malloc(long n, size_t size)
{
    for (long i = 0; i < n; i++)
        keep(count(malloc(size), size));
}

OWN_NAME static void drop_malloc(long n, size_t size)
{
    for (long i = 0; i < n; i++) {
        free(count(malloc(size), size));
        gone(size);
    }
}

// All live at the same time, and none in the end.
enum { FILLED = 4000 };

OWN_NAME static void fill_and_empty(size_t size)
{
    static void *blocks[FILLED];
    for (void *&block : blocks)
        block = count(malloc(size), size);
    for (void *block : blocks) {
        free(block);
        gone(size);
    }
}

OWN_NAME static void keep_calloc(long n, size_t size)
{
    for (long i = 0; i < n; i++)
        keep(count(calloc(4, size / 4), size / 4 * 4));
}

OWN_NAME static void grow_realloc(long n, size_t step)
{
    char *volatile block = NULL;
    for (long i = 1; i <= n; i++) {
        if (i > 1)
            gone(step * (size_t)(i - 1));
        block = (char *)count(realloc(block, step * (size_t)i), step * (size_t)i);
    }
    keep(block);
}

OWN_NAME static void keep_aligned(long n, size_t size)
{
    for (long i = 0; i < n; i++) {
        void *block = NULL;
        if (posix_memalign(&block, 256, size))
            abort();
        keep(count(block, size));
        keep(count(aligned_alloc(64, size), size));
        free(count(memalign(128, size), size));
        gone(size);
    }
}

OWN_NAME static void keep_new(long n, size_t size)
{
    for (long i = 0; i < n; i++)
        keep(count(new char[size], size));
}

OWN_NAME static void drop_new(long n, size_t size)
{
    for (long i = 0; i < n; i++) {
        char *block = (char *)count(new (std::nothrow) char[size], size);
        delete[] block;
        gone(size);
        struct alignas(64) Wide {
            char bytes[192];
        };
        Wide *wide = (Wide *)count(new Wide, sizeof(Wide));
        delete wide;
        gone(sizeof(Wide));
    }
}

OWN_NAME static void keep_strdup(long n, const char *text)
{
    for (long i = 0; i < n; i++) {
        char *copy = strdup(text);
        count(copy, strlen(text) + 1);
        keep(copy);
    }
}

// Allocated in one thread, freed in another.
enum { HANDED = 1000 };
static void *volatile handed[HANDED];

static void *free_handed(void *)
{
    for (int i = 0; i < HANDED; i += 2)
        free(handed[i]);
    return NULL;
}

OWN_NAME static void free_elsewhere(long n, size_t size)
{
    for (long round = 0; round < n; round++) {
        for (int i = 0; i < HANDED; i++)
            handed[i] = count(malloc(size), size);
        pthread_t thread;
        if (pthread_create(&thread, NULL, free_handed, NULL) || pthread_join(thread, NULL))
            abort();
        for (int i = 0; i < HANDED; i++) {
            if (i % 2 == 0)
                gone(size);
            else
                keep(handed[i]);
        }
    }
}

// By turns from two callers, with the same innermost frames in the same depth of the stack.
static Tally left = {"from_left", 0, 0, 0, 0}, right = {"from_right", 0, 0, 0, 0};

OWN_NAME static void *make_between(size_t size)
{
    void *volatile block = malloc(size);
    return block;
}

OWN_NAME static void from_left(size_t size)
{
    current = &left;
    keep(count(make_between(size), size));
}

OWN_NAME static void from_right(size_t size)
{
    current = &right;
    free(count(make_between(size), size));
    gone(size);
}

OWN_NAME static void by_turns(long n, size_t size)
{
    for (long i = 0; i < n; i++) {
        from_left(size);
        from_right(size);
        from_right(size);
    }
}

static void print(const Tally *tally)
{
    printf("%s %lld %lld %lld %lld\n", tally->name, tally->objects, tally->bytes,
           tally->live_objects, tally->live_bytes);
}

#define RUN(function, ...)                                                                         \
    do {                                                                                           \
        static Tally tally = {#function, 0, 0, 0, 0};                                              \
        current = &tally;                                                                          \
        function(__VA_ARGS__);                                                                     \
        print(&tally);                                                                             \
    } while (0)

int main(int argc, char **argv)
{
    long scale = (long)argument(argc, argv, 1, 1);
    if (scale < 1)
        return misused("heap [SCALE]");
    static char text[200];
    memset(text, 'x', sizeof text - 1);
    RUN(fill_and_empty, 100);
    RUN(keep_malloc, 4000 * scale, 1000);
    RUN(drop_malloc, 100000 * scale, 48);
    RUN(keep_calloc, 5000 * scale, 400);
    RUN(grow_realloc, 100 * scale, 1000);
    RUN(keep_aligned, 1000 * scale, 1024);
    RUN(keep_new, 3000 * scale, 640);
    RUN(drop_new, 5000 * scale, 96);
    RUN(keep_strdup, 5000 * scale, text);
    RUN(free_elsewhere, scale, 2000);
    by_turns(2000 * scale, 500);
    print(&left);
    print(&right);
    return 0;
}
