// Leaks in known ways, and blocks that only look as if they were. Usage: leaks MODE. Prints what is
// lost, "objects bytes", that is, what LeakSanitizer reports of it.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <pthread.h>
#include <string>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define APART __attribute__((noinline))

static long lost_objects, lost_bytes;

// What is left on the stack must not point to anything.
APART static void wipe()
{
    volatile char below[16384];
    for (size_t i = 0; i < sizeof below; i++)
        below[i] = 0;
}

static void lose(long objects, size_t bytes)
{
    lost_objects += objects;
    lost_bytes += objects * (long)bytes;
}

struct node {
    node *next;
    char payload[24];
};

static node *volatile kept;

APART static node *make_node(node *next)
{
    node *made = (node *)calloc(1, sizeof(node)); // free memory is full of the allocator's pointers
    made->next = next;
    return made;
}

// --- plain ---------------------------------------------------------------------------------------

APART static void lose_blocks(int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        char *volatile block = (char *)malloc(size);
        block[0] = 1;
        block = nullptr;
    }
    lose(count, size);
}

APART static void lose_list(int count)
{
    node *volatile head = nullptr;
    for (int i = 0; i < count; i++)
        head = make_node(head);
    head = nullptr;
    lose(count, sizeof(node));
}

APART static void lose_ring(int count)
{
    node *first = make_node(nullptr), *last = first;
    for (int i = 1; i < count; i++)
        last = make_node(last);
    first->next = last;
    lose(count, sizeof(node));
}

// Of a size whose last word overlaps the header of what comes next: the allocator's own lists of
// free memory point there.
APART static void lose_before_free_memory()
{
    for (int i = 0; i < 20; i++) {
        char *volatile block = (char *)malloc(24);
        void *volatile behind = malloc(2000);
        void *volatile guard = malloc(24);
        free(behind);
        free(guard);
        block[0] = 1;
        block = nullptr;
    }
    lose(20, 24);
}

APART static void keep_list(int count)
{
    for (int i = 0; i < count; i++)
        kept = make_node(kept);
}

static void plain()
{
    lose_blocks(10, 100);
    lose_list(5);
    lose_ring(3);
    lose_before_free_memory();
    lose_blocks(3, 300000);
    keep_list(7);
}

// --- objects -------------------------------------------------------------------------------------

struct member {
    std::string name;
    member() : name("a name that is too long to lie within the string itself")
    {
    }
    ~member()
    {
    }
};

struct first_base {
    virtual ~first_base()
    {
    }
    long one = 1;
};
struct second_base {
    virtual ~second_base()
    {
    }
    long two = 2;
};
struct derived : first_base, second_base {
    long three = 3;
};

static member *volatile members, *volatile no_members;
static second_base *volatile object;
static std::map<int, std::string> *volatile names;
static char *volatile inside;

// All of these are reachable.
APART static void keep_objects()
{
    members = new member[5];    // points behind the array's length
    no_members = new member[0]; // points to its end
    object = new derived;       // points to its second base
    names = new std::map<int, std::string>;
    for (int i = 0; i < 50; i++)
        (*names)[i] = "the names are so long that each is a block of its own";
    inside = (char *)malloc(1 << 20) + 500000; // points into the middle
    void *volatile far = malloc(40);
    memcpy(inside - 500000 + (1 << 20) - 8, (void *)&far, sizeof far);
    far = nullptr;
}

APART static void lose_objects()
{
    member *volatile array = new member[4];
    size_t string = array[0].name.capacity() + 1;
    array = nullptr;
    lose(1, sizeof(size_t) + 4 * sizeof(member));
    lose(4, string);
    derived *one = new derived;
    one->one = 2;
    one = nullptr;
    lose(1, sizeof(derived));
}

static void objects()
{
    keep_objects();
    lose_objects();
}

// --- threads -------------------------------------------------------------------------------------

static pthread_barrier_t barrier;
static pthread_key_t key;
static thread_local node *volatile own;

// Its stack, its storage and its specific data are roots as long as it lives.
static void *live_on(void *argument)
{
    node *volatile on_stack = make_node(make_node(nullptr));
    own = make_node(nullptr);
    pthread_setspecific(key, make_node(nullptr));
    pthread_barrier_wait(&barrier);
    int epoll = epoll_create1(0);
    epoll_event event;
    while (argument && epoll_wait(epoll, &event, 1, -1) == 0)
        ;
    for (;;)
        pause();
    return on_stack;
}

// What it had on its stack is lost with it.
static void *end(void *)
{
    node *volatile on_stack = make_node(nullptr);
    for (int i = 0; i < 50; i++)
        on_stack = make_node(on_stack);
    return nullptr;
}

static void threads()
{
    pthread_t thread;
    pthread_barrier_init(&barrier, nullptr, 3);
    pthread_key_create(&key, nullptr);
    pthread_create(&thread, nullptr, live_on, nullptr);
    pthread_create(&thread, nullptr, live_on, &barrier);
    pthread_barrier_wait(&barrier);
    own = make_node(make_node(nullptr));
    pthread_t ended;
    pthread_create(&ended, nullptr, end, nullptr);
    pthread_join(ended, nullptr);
    lose(51, sizeof(node));
}

// --- memory of its own ---------------------------------------------------------------------------

static void **volatile mapped;

static void maps()
{
    mapped =
        (void **)mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mapped[77] = make_node(make_node(nullptr));
    lose_blocks(2, 50);
}

// --- ends ----------------------------------------------------------------------------------------

struct late {
    void *block = nullptr;
    ~late()
    {
        free(block);
    }
};
static late freed_late; // by its destructor: no leak

static void forks()
{
    lose_blocks(2, 70);
    pid_t child = fork();
    if (child == 0) {
        lose_blocks(4, 90);
        wipe();
        _exit(0);
    }
    waitpid(child, nullptr, 0);
}

// Sites that grow, for some seconds: megabytes of one, of another up to a bound.
static void grow(double seconds)
{
    for (int tick = 0; tick < seconds * 10; tick++) {
        lose_blocks(50, 10000);
        if (tick < 10)
            for (int i = 0; i < 50; i++)
                keep_list(1000);
        usleep(100000);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "plain";
    const char *how = argc > 2 ? argv[2] : "return";
    if (!strcmp(mode, "plain"))
        plain();
    else if (!strcmp(mode, "objects"))
        objects();
    else if (!strcmp(mode, "threads"))
        threads();
    else if (!strcmp(mode, "maps"))
        maps();
    else if (!strcmp(mode, "forks"))
        forks();
    else if (!strcmp(mode, "grow"))
        grow(argc > 3 ? atof(argv[3]) : 10);
    else if (!strcmp(mode, "clean"))
        keep_list(10);
    freed_late.block = malloc(5000);
    wipe();
    printf("%ld %ld\n", lost_objects, lost_bytes);
    fflush(stdout);
    if (!strcmp(how, "_exit"))
        _exit(3);
    if (!strcmp(how, "quick_exit"))
        quick_exit(3);
    if (!strcmp(how, "exit_group"))
        syscall(SYS_exit_group, 3);
    if (!strcmp(how, "exit"))
        exit(3);
    if (!strcmp(how, "kill"))
        kill(getpid(), SIGTERM);
    return 3;
}
