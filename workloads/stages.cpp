// stages [MS]: a heap that grows, falls and is marked, in stages of which each lasts MS
// milliseconds (60 when not given).
//
// Right answer, in lines:
//
//   change STAGE FUNCTION OBJECTS BYTES     what became more or less in the stage at the blocks
//   that
//                                           the function allocates; a stage is named by its mark
//   peak FUNCTION OBJECTS BYTES             what lived when most did
//   temporary FUNCTION OBJECTS              freed before anything else was allocated
//   moved FUNCTION OBJECTS                  reallocated
//   usable FUNCTION BYTES                   what the allocator gave for all that was asked there
//   held FUNCTION OBJECTS NS                freed after that long at least
//   mark NAME MADE                          as hone_mark() answered
#include "burn.h"

#include <malloc.h>
#include <pthread.h>

extern "C" __attribute__((weak)) int hone_mark(const char *name);

static const char *stage = "start";

struct Site {
    const char *name;
    long objects, bytes;           // that live
    long told_objects, told_bytes; // of earlier stages
    long usable;
};

static Site grown, churned, moved, peaked, handed, quick;

static void end_stage(long ms)
{
    Site *sites[] = {&grown, &churned, &moved, &peaked, &handed, &quick};
    for (Site *site : sites) {
        long objects = site->objects - site->told_objects, bytes = site->bytes - site->told_bytes;
        if (objects || bytes)
            printf("change %s %s %ld %ld\n", stage, site->name, objects, bytes);
        site->told_objects = site->objects;
        site->told_bytes = site->bytes;
    }
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS};
    (void)nanosleep(&pause, NULL);
}

static void mark(const char *name)
{
    stage = name;
    printf("mark %s %d\n", name, hone_mark ? hone_mark(name) : -1);
}

static void *made(Site *site, void *block, size_t size)
{
    if (!block)
        abort();
    memset(block, 1, size); // or the kernel would not have to give memory
    site->objects++;
    site->bytes += (long)size;
    site->usable += (long)malloc_usable_size(block);
    return block;
}

static void gone(Site *site, size_t size)
{
    site->objects--;
    site->bytes -= (long)size;
}

enum {
    GROWN = 2000,
    GROWN_BYTES = 1000,
    CHURNED = 5000,
    CHURNED_BYTES = 48,
    MOVED = 100,
    MOVED_STEP = 800,
    PEAKED = 300,
    PEAKED_BYTES = 2000,
    LAST_BYTES = 4 << 20,
    HANDED = 500,
    HANDED_BYTES = 120,
    QUICK = 20,
    QUICK_BYTES = 72
};

static void *blocks[2 * GROWN];

OWN_NAME static void grow(int from)
{
    for (int i = from; i < from + GROWN; i++)
        blocks[i] = made(&grown, malloc(GROWN_BYTES), GROWN_BYTES);
}

OWN_NAME static void churn(void)
{
    for (int i = 0; i < CHURNED; i++) {
        free(made(&churned, malloc(CHURNED_BYTES), CHURNED_BYTES));
        gone(&churned, CHURNED_BYTES);
    }
    printf("temporary churn %d\n", CHURNED);
}

OWN_NAME static void extend(void)
{
    char *volatile block = NULL;
    for (long i = 1; i <= MOVED; i++) {
        if (i > 1)
            gone(&moved, MOVED_STEP * (size_t)(i - 1));
        block =
            (char *)made(&moved, realloc(block, MOVED_STEP * (size_t)i), MOVED_STEP * (size_t)i);
    }
    printf("moved extend %d\n", MOVED - 1);
}

// The last block is so large that nobody keeps it back from the total.
OWN_NAME static void peak(void)
{
    static void *mine[PEAKED];
    for (void *&block : mine)
        block = made(&peaked, malloc(PEAKED_BYTES), PEAKED_BYTES);
    void *last = made(&peaked, malloc(LAST_BYTES), LAST_BYTES);
    printf("peak grow %ld %ld\npeak peak %ld %ld\n", grown.objects, grown.bytes, peaked.objects,
           peaked.bytes);
    free(last);
    gone(&peaked, LAST_BYTES);
    for (void *block : mine) {
        free(block);
        gone(&peaked, PEAKED_BYTES);
    }
}

static void *others[HANDED];

static void *free_others(void *)
{
    for (void *block : others) {
        free(block);
        gone(&handed, HANDED_BYTES);
    }
    return NULL;
}

OWN_NAME static void hand_over(void)
{
    for (void *&block : others)
        block = made(&handed, malloc(HANDED_BYTES), HANDED_BYTES);
}

// Marks that follow each other faster than anybody looks.
OWN_NAME static void quicken(int count)
{
    static void *mine[QUICK + 1];
    for (int i = 0; i < count; i++)
        mine[i] = made(&quick, malloc(QUICK_BYTES), QUICK_BYTES);
    if (count < QUICK)
        return;
    free(mine[0]);
    gone(&quick, QUICK_BYTES);
}

int main(int argc, char **argv)
{
    long ms = (long)argument(argc, argv, 1, 60);
    grown.name = "grow";
    churned.name = "churn";
    moved.name = "extend";
    peaked.name = "peak";
    handed.name = "hand_over";
    quick.name = "quicken";
    static char buffer[65536];
    (void)setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    grow(0);
    end_stage(ms);
    mark("churned");
    churn();
    extend();
    end_stage(ms);
    mark("peaked");
    grow(GROWN);
    peak();
    hand_over();
    end_stage(ms);
    mark("fallen");
    pthread_t thread;
    if (pthread_create(&thread, NULL, free_others, NULL) || pthread_join(thread, NULL))
        abort();
    for (int i = 0; i < 2 * GROWN; i += 2) {
        free(blocks[i]);
        gone(&grown, GROWN_BYTES);
    }
    printf("held hand_over %d %ld\nheld grow %d %ld\n", HANDED, ms * 1000000, GROWN, ms * 1000000);
    end_stage(ms);
    for (int i = 1; i <= QUICK; i++) {
        static char names[QUICK + 1][16];
        (void)snprintf(names[i], sizeof names[i], "quick-%d", i);
        mark(names[i]);
        quicken(i);
        end_stage(0);
    }
    printf("usable grow %ld\nusable churn %ld\n", grown.usable, churned.usable);
    return 0;
}
