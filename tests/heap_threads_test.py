"""Many threads at once: every block of each is counted, at a cost that is the same for each."""

import unittest

from heap_built import Built
from heap_test import by_function


class ManyThreads(Built):
    """More of them than most programs have."""

    # All allocate before one frees. What that costs is told: seconds of processor time.
    AT_ONCE = r'''
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
static pthread_barrier_t barrier;
__attribute__((noinline)) static void *held(void) { return malloc(64); }
__attribute__((noinline)) static void *kept(void) { return malloc(24); }
static void *in_thread(void *unused)
{
    void *blocks[16];
    for (int i = 0; i < 16; i++)
        blocks[i] = held();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 16; i++)
        free(blocks[i]);
    blocks[0] = kept();
    return *(void *volatile *)blocks ? unused : NULL;
}
int main(int argc, char **argv)
{
    int count = atoi(argv[argc - 1]);
    pthread_t *threads = calloc(count, sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    pthread_barrier_init(&barrier, NULL, count);
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], &attributes, in_thread, NULL)) {
            puts("refused");
            exit(0);
        }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("held %d %d 0 0\n", 16 * count, 16 * 64 * count);
    printf("kept %d %d %d %d\n", count, 24 * count, count, 24 * count);
    fprintf(stderr, "seconds: %ld\n", usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
    return 0;
}'''

    def check_at_once(self, count, options=()):
        program = self.build('at_once', self.AT_ONCE, '-lpthread')
        recording = self.record_heap(program, str(count), size='1', options=options)
        if recording.stdout == b'refused\n':
            self.skipTest(f'no {count} threads at once here')
        truth = self.truth(recording)
        self.assertEqual(by_function(recording.heap, truth), truth, recording.heap.comments)
        return int(recording.stderr.split(b'seconds: ')[1].split()[0])

    def test_they_cost_the_same_each(self):
        self.assertLess(self.check_at_once(5000), 8)

    def test_a_burst_takes_little(self):
        """A hundredth of what 64 KiB for each would take, nor must it be made ready as fast."""
        self.check_at_once(3000, ('--memory', '16MiB'))

    def test_what_finds_no_room(self):
        program = self.build('at_once', self.AT_ONCE, '-lpthread')
        recording = self.record_heap(program, '6000', size='1', options=('--memory', '4MiB'))
        if recording.stdout != b'refused\n':
            said = [c for c in recording.heap.comments if c.startswith('lost: ')]
            self.assertRegex(' '.join(said), r'[1-9]\d* allocations, for lack of memory; raise --memory')


if __name__ == '__main__':
    unittest.main()
