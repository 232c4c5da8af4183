#include "cli/threads_watch.h"

#include "analyse/thread_leaks.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "capture/dump.h"
#include "core/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct course {
    struct hone_growth_point *points;
    uint32_t count, room;
};

static void course_done(struct course *course)
{
    free(course->points);
}

struct sum {
    const char *state;
    uint32_t threads;
};

enum { STATES_MAX = 24 };

// States with their numbers, the most frequent first.
static void print_states(const struct hone_dump *dump)
{
    struct sum sums[STATES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < dump->thread_count; i++) {
        const char *state = hone_dump_state_name(&dump->threads[i]);
        uint32_t at = 0;
        while (at < count && strcmp(sums[at].state, state) != 0)
            at++;
        if (at == count && count < STATES_MAX)
            sums[count++] = (struct sum){state, 0};
        if (at < STATES_MAX)
            sums[at].threads++;
    }
    for (uint32_t printed = 0; printed < count; printed++) {
        uint32_t most = printed;
        for (uint32_t i = printed + 1; i < count; i++)
            if (sums[i].threads > sums[most].threads)
                most = i;
        struct sum next = sums[most];
        sums[most] = sums[printed];
        (void)printf("%s%" PRIu32 " %s", printed ? ", " : "   ", next.threads, next.state);
    }
}

// Those of all processes that live. Returns how many, or a negative errno.
static int look(const pid_t *pids, size_t count, const struct course *course,
                struct hone_error *err)
{
    struct hone_collected collected;
    if (hone_collect_init(&collected))
        return hone_error_set(err, -ENOMEM, "cannot look at threads");
    const struct hone_dump_options how = {.running_ns = 1, .never_stop = true, .no_stacks = true};
    HONE_CLEANUP(hone_dump_freep) struct hone_dump *dump = NULL;
    int r = hone_dump_new(&how, &collected, &dump, err);
    for (size_t i = 0; !r && i < count; i++) {
        r = hone_dump_add(dump, pids[i], err);
        if (r == -ESRCH && course->count)
            r = 0; // it has ended meanwhile
    }
    if (!r && hone_dump_take(dump))
        r = hone_error_set(err, -ENOMEM, "cannot look at threads");
    if (!r && dump->thread_count) {
        time_t now = time(NULL);
        struct tm local;
        char when[32];
        (void)strftime(when, sizeof when, "%H:%M:%S", localtime_r(&now, &local));
        (void)printf("%s  %6" PRIu32 " threads", when, dump->thread_count);
        if (course->count)
            (void)printf("  %+6.0f", dump->thread_count - course->points[course->count - 1].bytes);
        else
            (void)printf("  %6s", "");
        print_states(dump);
        (void)printf("\n");
        (void)fflush(stdout);
    }
    r = r ? r : (int)dump->thread_count;
    hone_dump_free(hone_take(dump));
    hone_collect_done(&collected);
    return r;
}

static int print_verdict(const struct course *course, struct hone_error *err)
{
    const struct hone_growth_options limits = {.fast = HONE_THREADS_FAST,
                                               .slow = HONE_THREADS_SLOW};
    struct hone_growth growth;
    if (hone_growth_judge(course->points, course->count, &limits, &growth))
        return hone_error_set(err, -ENOMEM, "cannot judge growth");
    if (growth.verdict == HONE_GROWTH_SHORT)
        (void)printf("growth: cannot tell from %" PRIu32 " looks; %d after the first fifth, over "
                     "%d s, are needed\n",
                     course->count, HONE_GROWTH_POINTS_MIN, HONE_GROWTH_FAST_S);
    else if (growth.verdict == HONE_GROWTH_STEADY)
        (void)printf("growth: none that could be called a leak (%.2f threads/min)\n",
                     growth.rate * 60);
    else if (growth.verdict == HONE_GROWTH_UNDECIDED)
        (void)printf("growth: %.2f threads/min (%.2f to %.2f); whether that is a leak, more looks "
                     "would tell\n",
                     growth.rate * 60, growth.low * 60, growth.high * 60);
    else
        (void)printf("growth: leaks threads, %.2f threads/min; for where, 'hone record -t threads' "
                     "or 'hone threads -p'\n",
                     growth.rate * 60);
    return 0;
}

int hone_threads_watch(const pid_t *pids, size_t count, uint64_t every_ns, uint64_t times,
                       struct hone_error *err)
{
    HONE_CLEANUP(course_done) struct course course = {0};
    uint64_t began_ns = hone_now_ns();
    for (uint64_t turn = 0; turn < times; turn++) {
        uint64_t due_ns = began_ns + turn * every_ns;
        const struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000),
                                     .tv_nsec = (long)(due_ns % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
            ;
        int found = look(pids, count, &course, err);
        if (found < 0)
            return found;
        if (!found)
            break;
        if (!hone_array_reserve(&course.points, &course.room, (uint64_t)course.count + 1,
                                sizeof *course.points))
            return hone_error_set(err, -ENOMEM, "cannot look at threads");
        course.points[course.count++] =
            (struct hone_growth_point){(double)(hone_now_ns() - began_ns) / 1e9, (double)found};
    }
    return print_verdict(&course, err);
}
