// The end: the samples of a thread are made to add up to what it says it used, and what is known
// without a sample is added.
#include "capture/collect_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

// CPU time that nothing sampled is charged to the function that the thread ran, under a name that
// says what is not known.
static void add_under_routine(struct hone_collected *collected, uint32_t thread, uint64_t place,
                              uint64_t cpu_ns)
{
    uint32_t frames[2] = {
        hone_collect_place(collected, (struct hone_collected_place){.address = place})};
    uint32_t count = 1;
    if (collected->threads[thread].routine)
        frames[count++] = collected->threads[thread].routine - 1;
    uint32_t stack = hone_collect_stack(collected, frames, count, HONE_STACK_COMPLETE);
    if (!collected->state->status)
        hone_collect_add_sample(collected, thread, stack, 0, cpu_ns, 0);
}

static void add_never_sampled(struct hone_collected *collected, uint32_t thread, uint64_t cpu_ns)
{
    add_under_routine(collected, thread, HONE_PLACE_NEVER_SAMPLED, cpu_ns);
    collected->never_sampled_ns += cpu_ns;
}

// What each process is known to have used, also of one that did not come to tell: it became another
// program by a system call of its own.
static uint64_t *used_of(const struct hone_collected *collected)
{
    uint64_t *used = calloc((size_t)collected->process_count + 1, sizeof *used);
    for (uint32_t i = 0; used && i < collected->process_count; i++)
        used[i] = collected->processes[i].facts.cpu_before_ns;
    for (uint32_t i = 0; used && i < collected->sample_count; i++)
        used[collected->threads[collected->samples[i].thread].process] +=
            collected->samples[i].cpu_ns;
    return used;
}

// What a process used before its probe began: not what the process used as another program before.
static uint64_t used_before(const struct hone_collected *collected, uint32_t i,
                            const uint64_t *used)
{
    const struct hone_process_facts *facts = &collected->processes[i].facts;
    if (facts->forked)
        return facts->cpu_before_ns; // its clock begins at the fork
    uint32_t before = hone_collect_before(collected, i);
    uint64_t earlier_ns = before ? collected->processes[before - 1].facts.cpu_total_ns : 0;
    if (before && used[before - 1] > earlier_ns)
        earlier_ns = used[before - 1];
    return facts->cpu_before_ns > earlier_ns ? facts->cpu_before_ns - earlier_ns : 0;
}

// Fork, exec and loader, on each process's first thread.
static void add_starts(struct hone_collected *collected)
{
    struct hone_collect_state *state = collected->state;
    uint32_t last = UINT32_MAX;
    uint64_t *used = used_of(collected);
    if (!used)
        state->status = -ENOMEM;
    for (uint32_t i = 0; !state->status && i < collected->thread_count; i++) {
        uint32_t process = collected->threads[i].process;
        uint64_t cpu_ns = process == last ? 0 : used_before(collected, process, used);
        if (collected->threads[i].tid != collected->processes[process].pid || !cpu_ns)
            continue;
        bool forked = collected->processes[process].facts.forked;
        uint32_t place = hone_collect_place(
            collected,
            (struct hone_collected_place){.address = forked ? HONE_PLACE_FORK : HONE_PLACE_BEFORE});
        uint32_t stack = hone_collect_stack(collected, &place, 1, HONE_STACK_COMPLETE);
        hone_collect_add_sample(collected, i, stack, 0, cpu_ns, 0);
        collected->before_ns += cpu_ns;
        last = process;
    }
    free(used);
}

// What lies beyond a thread's samples is the rest of its last period, and what the clocks differ
// by. More than that was used when nothing sampled it: in a sandbox, after the program closed our
// descriptor, or with the signal kept out.
enum { NOT_SAMPLED_PERIODS = 20, NOT_SAMPLED_PARTS = 100 };
// Below that a rest is what clocks differ by, and what a program used before its first code.
enum { REST_PERIODS = 5, REST_PARTS = 200 };

static bool is_beyond(const struct hone_process_facts *facts, uint64_t rest_ns, uint64_t used_ns,
                      uint64_t threads)
{
    return facts->period_ns && rest_ns > facts->period_ns * (NOT_SAMPLED_PERIODS + threads) +
                                             used_ns / NOT_SAMPLED_PARTS;
}

static void count_not_sampled(struct hone_collected *collected, uint32_t thread, uint64_t cpu_ns)
{
    collected->processes[collected->threads[thread].process].not_sampled_ns += cpu_ns;
    collected->not_sampled_ns += cpu_ns;
}

static void add_not_sampled(struct hone_collected *collected, uint32_t thread, uint64_t cpu_ns)
{
    uint32_t place = hone_collect_place(
        collected, (struct hone_collected_place){.address = HONE_PLACE_NOT_SAMPLED});
    uint32_t stack = hone_collect_stack(collected, &place, 1, HONE_STACK_COMPLETE);
    if (collected->state->status)
        return;
    hone_collect_add_sample(collected, thread, stack, 0, cpu_ns, 0);
    count_not_sampled(collected, thread, cpu_ns);
}

// Which threads were sampled, or would have been: what is left of those is no matter of chance. One
// without a sample for so long kept the signal out from the start, or could not be armed; from
// outside it may have run in short turns.
static void see(const struct hone_collected *collected, bool any, bool *seen)
{
    for (uint32_t i = 0; i < collected->sample_count; i++)
        seen[collected->samples[i].thread] |= collected->samples[i].cpu_ns != 0;
    for (uint32_t i = 0; any && i < collected->thread_count; i++) {
        const struct hone_collected_thread *thread = &collected->threads[i];
        const struct hone_process_facts *facts = &collected->processes[thread->process].facts;
        seen[i] |= facts->engine < HONE_ENGINE_PERF_OUTSIDE &&
                   is_beyond(facts, thread->end_ns, thread->end_ns, 0);
    }
}

// What the account of one process's threads lacks of the whole.
struct account {
    uint32_t first; // thread with samples, plus one
    uint32_t any;   // thread, plus one
    uint32_t threads;
    uint64_t told_ns;
};

// Threads that told nothing at their end, or did not come to it: the process's own clock tells.
static void add_rest_of_processes(struct hone_collected *collected, const struct account *accounts)
{
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        const struct account *account = &accounts[i];
        uint64_t total_ns = process->facts.cpu_total_ns;
        if (process->seen_cpu_ns > total_ns)
            total_ns = process->seen_cpu_ns;
        uint64_t told_ns = process->facts.cpu_before_ns + account->told_ns;
        if (account->first && total_ns > told_ns &&
            is_beyond(&process->facts, total_ns - told_ns, total_ns, account->threads))
            add_not_sampled(collected, account->first - 1, total_ns - told_ns);
    }
}

// What the process was before its exec, plus one. One that was forked was nothing: who had its
// number before was another process.
static uint32_t earlier_of(const struct hone_collected *collected, uint32_t process)
{
    return collected->processes[process].facts.forked ? 0 : hone_collect_before(collected, process);
}

static uint64_t told_with_earlier(const struct hone_collected *collected,
                                  const struct account *accounts, uint32_t process)
{
    uint64_t told_ns = 0;
    for (uint32_t at = process + 1; at; at = earlier_of(collected, at - 1))
        told_ns += accounts[at - 1].told_ns;
    return told_ns;
}

// From outside a thread's count begins after its start in the kernel and ends before the end there:
// of many short ones that is much, and the process's clock has it.
static void add_rest_by_clocks(struct hone_collected *collected, const struct account *accounts)
{
    for (uint32_t i = 0; !collected->state->status && i < collected->process_count; i++) {
        struct hone_process_facts *facts = &collected->processes[i].facts;
        uint64_t told_ns = facts->cpu_clock_ns ? told_with_earlier(collected, accounts, i) : 0;
        if (!accounts[i].any || facts->cpu_clock_ns <= told_ns)
            continue;
        uint64_t rest_ns = facts->cpu_clock_ns - told_ns;
        if (rest_ns <= REST_PERIODS * facts->period_ns ||
            rest_ns <= facts->cpu_clock_ns / REST_PARTS)
            continue;
        add_never_sampled(collected, accounts[i].any - 1, rest_ns);
        facts->cpu_total_ns += rest_ns;
    }
}

// From outside, events count some of the time in which threads that are short, and lose the CPU
// again and again, did not have it. Where the process's clock knows better it is believed, and its
// threads keep their shares of it.
static void find_parts(struct hone_collected *collected, const struct account *accounts,
                       double *parts)
{
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        uint64_t told_ns = told_with_earlier(collected, accounts, i);
        bool beyond = facts->cpu_clock_whole && facts->cpu_clock_ns &&
                      told_ns > facts->cpu_clock_ns + REST_PERIODS * facts->period_ns +
                                    facts->cpu_clock_ns / REST_PARTS;
        for (uint32_t at = i + 1; beyond && at; at = earlier_of(collected, at - 1)) {
            struct hone_process_facts *of = &collected->processes[at - 1].facts;
            parts[at - 1] = (double)facts->cpu_clock_ns / (double)told_ns;
            of->cpu_total_ns = (uint64_t)((double)of->cpu_total_ns * parts[at - 1]);
        }
    }
}

static int cut_to_clocks(struct hone_collected *collected)
{
    HONE_CLEANUP(hone_freep)
    double *parts = calloc((size_t)collected->process_count + 1, sizeof *parts);
    HONE_CLEANUP(hone_freep)
    uint64_t *sums = calloc((size_t)collected->thread_count + 1, sizeof *sums);
    HONE_CLEANUP(hone_freep)
    struct account *accounts = calloc((size_t)collected->process_count + 1, sizeof *accounts);
    if (!parts || !sums || !accounts)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->sample_count; i++)
        sums[collected->samples[i].thread] += collected->samples[i].cpu_ns;
    for (uint32_t i = 0; i < collected->thread_count; i++) {
        uint64_t end_ns = collected->threads[i].end_ns;
        accounts[collected->threads[i].process].told_ns += end_ns > sums[i] ? end_ns : sums[i];
    }
    find_parts(collected, accounts, parts);
    for (uint32_t i = 0; i < collected->sample_count; i++) {
        struct hone_collected_sample *sample = &collected->samples[i];
        double part = parts[collected->threads[sample->thread].process];
        if (part > 0)
            sample->cpu_ns = (uint64_t)((double)sample->cpu_ns * part + 0.5);
    }
    for (uint32_t i = 0; i < collected->thread_count; i++) {
        struct hone_collected_thread *thread = &collected->threads[i];
        if (parts[thread->process] > 0)
            thread->end_ns = (uint64_t)((double)thread->end_ns * parts[thread->process] + 0.5);
    }
    return 0;
}

// Makes each thread's samples add up to what it used, and the threads to their process.
static void settle_accounts(struct hone_collected *collected, const bool *seen, uint64_t *sums,
                            struct account *accounts)
{
    uint32_t sampled = collected->sample_count;
    for (uint32_t i = 0; i < sampled; i++)
        sums[collected->samples[i].thread] += collected->samples[i].cpu_ns;
    for (uint32_t i = 0; i < collected->thread_count; i++) {
        const struct hone_collected_thread *thread = &collected->threads[i];
        struct account *account = &accounts[thread->process];
        if (!account->first && sums[i])
            account->first = i + 1;
        if (!account->any)
            account->any = i + 1;
        account->threads++;
        account->told_ns += thread->end_ns > sums[i] ? thread->end_ns : sums[i];
        if (!seen[i] || thread->end_ns <= sums[i] ||
            !is_beyond(&collected->processes[thread->process].facts, thread->end_ns - sums[i],
                       thread->end_ns, 0))
            continue;
        if (sums[i]) {
            add_not_sampled(collected, i, thread->end_ns - sums[i]);
        } else {
            add_under_routine(collected, i, HONE_PLACE_NOT_SAMPLED, thread->end_ns);
            count_not_sampled(collected, i, thread->end_ns);
        }
        sums[i] = 0; // its samples are right as they are
    }
    for (uint32_t i = 0; i < sampled; i++) {
        struct hone_collected_sample *sample = &collected->samples[i];
        uint64_t end_ns = collected->threads[sample->thread].end_ns;
        if (end_ns && sums[sample->thread])
            sample->cpu_ns =
                (uint64_t)((double)sample->cpu_ns * (double)end_ns / (double)sums[sample->thread] +
                           0.5);
    }
}

// Of one process: what its threads used that ended without a usual sample, and what samples at
// moments that they drew stand for, which is on average the same.
struct unsampled {
    uint64_t used_ns, drawn_ns;
};

static bool stands_alone(const struct hone_collected *collected, const bool *seen,
                         const struct hone_collected_sample *drawn)
{
    return !seen[drawn->thread] && collected->threads[drawn->thread].end_ns;
}

// A thread that lived on, and was sampled as others are, has one sample more.
static void add_drawn_of_others(struct hone_collected *collected, const bool *seen)
{
    struct hone_collect_state *state = collected->state;
    for (uint32_t i = 0; !state->status && i < state->drawn_count; i++) {
        const struct hone_collected_sample *drawn = &state->drawn[i];
        uint64_t period_ns =
            collected->processes[collected->threads[drawn->thread].process].facts.period_ns;
        if (!stands_alone(collected, seen, drawn))
            hone_collect_add_sample(collected, drawn->thread, drawn->stack, 1, period_ns,
                                    drawn->time_ns);
    }
}

// The others stand for all threads of their process without a usual sample: for no more than these
// used, if chance would have it so.
static void add_drawn(struct hone_collected *collected, const bool *seen,
                      struct unsampled *unsampled)
{
    struct hone_collect_state *state = collected->state;
    for (uint32_t i = 0; i < collected->thread_count; i++)
        if (!seen[i])
            unsampled[collected->threads[i].process].used_ns += collected->threads[i].end_ns;
    for (uint32_t i = 0; i < state->drawn_count; i++)
        if (stands_alone(collected, seen, &state->drawn[i]))
            unsampled[collected->threads[state->drawn[i].thread].process].drawn_ns +=
                state->drawn[i].cpu_ns;
    for (uint32_t i = 0; !state->status && i < state->drawn_count; i++) {
        const struct hone_collected_sample *drawn = &state->drawn[i];
        const struct unsampled *of = &unsampled[collected->threads[drawn->thread].process];
        double part = of->drawn_ns > of->used_ns ? (double)of->used_ns / (double)of->drawn_ns : 1;
        if (stands_alone(collected, seen, drawn))
            hone_collect_add_sample(collected, drawn->thread, drawn->stack, 1,
                                    (uint64_t)((double)drawn->cpu_ns * part), drawn->time_ns);
    }
}

// What is left of a thread without a usual sample when those have stood for their part of it.
static uint64_t left_of(const struct hone_collected *collected, uint32_t thread,
                        const struct unsampled *unsampled)
{
    const struct unsampled *of = &unsampled[collected->threads[thread].process];
    double left = of->drawn_ns < of->used_ns ? 1 - (double)of->drawn_ns / (double)of->used_ns : 0;
    return (uint64_t)((double)collected->threads[thread].end_ns * left);
}

// Without a sample a profile is empty, and says why. But from outside short threads may have none
// by chance, or by how the kernel hands them their periods, and their time is known.
static bool is_any_known(const struct hone_collected *collected)
{
    bool known = collected->sample_count || collected->state->drawn_count;
    for (uint32_t i = 0; i < collected->process_count && !known; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        known = facts->engine >= HONE_ENGINE_PERF_OUTSIDE &&
                is_beyond(facts, facts->cpu_total_ns, facts->cpu_total_ns, 0);
    }
    return known;
}

int hone_collect_finish(struct hone_collected *collected)
{
    bool known = is_any_known(collected);
    uint64_t *sums = calloc((size_t)collected->thread_count + 1, sizeof *sums);
    bool *seen = calloc((size_t)collected->thread_count + 1, sizeof *seen);
    struct account *accounts = calloc((size_t)collected->process_count + 1, sizeof *accounts);
    struct unsampled *unsampled = calloc((size_t)collected->process_count + 1, sizeof *unsampled);
    if (sums && seen && accounts && unsampled && !cut_to_clocks(collected)) {
        see(collected, known, seen);
        add_drawn_of_others(collected, seen);
        settle_accounts(collected, seen, sums, accounts);
        add_drawn(collected, seen, unsampled);
        for (uint32_t i = 0; known && i < collected->thread_count; i++) {
            uint64_t left_ns = seen[i] ? 0 : left_of(collected, i, unsampled);
            if (left_ns)
                add_never_sampled(collected, i, left_ns);
        }
        add_rest_of_processes(collected, accounts);
        if (known)
            add_rest_by_clocks(collected, accounts);
    } else {
        collected->state->status = -ENOMEM;
    }
    free(sums);
    free(seen);
    free(accounts);
    free(unsampled);
    if (known)
        add_starts(collected);
    return hone_collect_status(collected);
}
