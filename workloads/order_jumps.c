// order_jumps: two threads that a signal's handler has jumped out of where they lock and unlock, JUMPS
// times each. Then they take first and second in both orders, one thread after the other: a possible
// deadlock.
//
// Prints `done`.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define OWN_NAME __attribute__((noinline, noclone))

enum { JUMPS = 300 };

pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t second = PTHREAD_MUTEX_INITIALIZER;

static __thread sigjmp_buf out;
static __thread volatile sig_atomic_t jumping;
static atomic_int over;

static void on_jump(int signal)
{
    (void)signal;
    if (jumping)
        siglongjmp(out, 1);
}

// A mutex whose lock or release was left half-way is not used again.
OWN_NAME static void be_jumped_out(void)
{
    for (volatile int i = 0; i < JUMPS; i++) {
        pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
        if (sigsetjmp(out, 1) == 0) {
            jumping = 1;
            for (;;) {
                (void)pthread_mutex_lock(&fresh);
                (void)pthread_mutex_unlock(&fresh);
            }
        }
        jumping = 0;
    }
}

OWN_NAME static void first_then_second(void)
{
    (void)pthread_mutex_lock(&first);
    (void)pthread_mutex_lock(&second);
    (void)pthread_mutex_unlock(&second);
    (void)pthread_mutex_unlock(&first);
}

OWN_NAME static void second_then_first(void)
{
    (void)pthread_mutex_lock(&second);
    (void)pthread_mutex_lock(&first);
    (void)pthread_mutex_unlock(&first);
    (void)pthread_mutex_unlock(&second);
}

static void *run(void *other_way)
{
    be_jumped_out();
    (other_way ? second_then_first : first_then_second)();
    over = 1;
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_jump};
    sigaction(SIGUSR2, &action, NULL);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        over = 0;
        if (pthread_create(&thread, NULL, run, i ? &over : NULL))
            return 1;
        while (!over) {
            usleep(200);
            (void)pthread_kill(thread, SIGUSR2);
        }
        pthread_join(thread, NULL);
    }
    puts("done");
    return 0;
}
