// One CPU sample: in the handler, on whatever stack the program left us, in a few microseconds.
#include "probe/areas.h"
#include "probe/entries.h"

#include "core/clock.h"

struct interruption {
    struct hone_area *area;
    const void *ucontext;
    bool random_period;
    uint32_t drawn; // periods that it stands for, of a moment that was drawn; 0: a usual one
};

// What a sample stands for: the CPU time since the thread's last one. One at the end of a period
// that was cut short at random stands for a whole period: so the expected total is the true one.
//
// The thread's CPU clock is a system call, 1 to 2 us where caches are cold, and mostly says what is
// known: when about a period of wall time has passed since the last sample, a period of CPU time
// has, for the engine never fires early. It is asked only when more has passed (the thread waited,
// a sample was lost), and then makes up for whatever was taken for granted.
static uint64_t weigh(struct hone_thread *self, uint64_t now_ns, bool random_period)
{
    uint64_t period_ns = hone_probe.period_ns;
    uint64_t passed_ns = now_ns - self->last_ns;
    self->last_ns = now_ns;
    if (HONE_LIKELY(passed_ns - period_ns / 2 < period_ns && self->sampled && !random_period)) {
        self->last_cpu_ns += period_ns;
        return period_ns;
    }
    uint64_t cpu_ns = hone_thread_cpu_ns();
    uint64_t since = cpu_ns - self->last_cpu_ns;
    self->last_cpu_ns = cpu_ns;
    self->sampled = true;
    if ((int64_t)since < 0)
        return period_ns;
    if (random_period && since > period_ns &&
        atomic_load_explicit(&hone_probe.writer.process->state, memory_order_relaxed) ==
            HONE_PROCESS_STARTING) {
        self->begun_cpu_ns += since - period_ns; // arming took that long, which is our time
        return period_ns;
    }
    if (random_period && since < period_ns)
        return period_ns;
    uint64_t periods = (since + period_ns / 2) / period_ns;
    if (periods > 1)
        hone_count(&hone_counters()->lost_overrun, periods - 1);
    return since;
}

// Where samples take longer than their period the thread would do nothing else: then it gets as
// much time as they took. One that was long may have been interrupted itself, several were not.
static bool is_starving(const struct hone_thread *self)
{
    enum { SLOW_IN_A_ROW = 4 };
    return HONE_UNLIKELY(self->slow >= SLOW_IN_A_ROW) &&
           hone_now_ns() - self->done_ns < self->spent_ns;
}

static void remember_cost(struct hone_thread *self, uint64_t began_ns)
{
    self->done_ns = hone_now_ns();
    self->spent_ns = self->done_ns - began_ns;
    self->slow = HONE_UNLIKELY(self->spent_ns > hone_probe.period_ns) ? self->slow + 1 : 0;
}

static void take_sample_now(const struct interruption *at, struct hone_thread *self)
{
    struct hone_process_counters *counters = hone_counters();
    hone_thread_meet(self, NULL);
    struct hone_registers registers;
    hone_registers_from_ucontext(&registers, at->ucontext);
    hone_entry_look_through(&registers);
    struct hone_walk walk;
    hone_area_walk(at->area, self, &registers, hone_probe.stack_max, &walk);
    hone_modules_emit();
    uint32_t id = hone_stack_id(at->area->addresses, walk.count, (enum hone_stack_end)walk.end);

    hone_count(&counters->frames, walk.count);
    if (walk.misses)
        hone_count(&counters->frame_misses, walk.misses);
    if (walk.end != HONE_WALK_COMPLETE)
        hone_count(&counters->truncated, 1);
    if (walk.frame_pointers)
        hone_count(&counters->frame_pointer, 1);
    if (walk.guessed)
        hone_count(&counters->searched, 1);

    // Without room the time is not taken off the clock: the next sample that is written carries it.
    struct hone_record_cpu *record =
        id ? hone_writer_claim(&hone_probe.writer, sizeof *record) : NULL;
    if (!record) {
        hone_count(&counters->lost_memory, 1);
        return;
    }
    record->record.small = self->index;
    record->time_ns = hone_now_ns();
    record->cpu_ns = at->drawn ? at->drawn * hone_probe.period_ns
                               : weigh(self, record->time_ns, at->random_period);
    record->stack = id;
    hone_writer_commit(&hone_probe.writer, record,
                       at->drawn ? HONE_RECORD_CPU_DRAWN : HONE_RECORD_CPU);
    hone_count(&counters->samples, 1);
}

HONE_HANDLER // On the area's own stack.
    static void
    take_sample(void *argument)
{
    const struct interruption *at = argument;
    struct hone_thread *self = hone_thread_self();
    if (is_starving(self)) {
        hone_count(&hone_counters()->lost_busy, 1);
        return;
    }
    uint64_t began_ns = hone_now_ns();
    take_sample_now(at, self);
    remember_cost(self, began_ns);
}

HONE_HANDLER static void sample(const void *ucontext, bool random_period, uint32_t drawn)
{
    if (hone_thread_is_borrowed(hone_thread_self()))
        return; // counted when it was made
    struct interruption at = {hone_area_take(), ucontext, random_period, drawn};
    if (!at.area) {
        hone_count(&hone_counters()->lost_busy, 1);
        return;
    }
    hone_call_on_stack(take_sample, &at, at.area->stack + sizeof at.area->stack);
    hone_area_give_back(at.area);
}

void hone_sample_cpu(const void *ucontext, bool random_period)
{
    sample(ucontext, random_period, 0);
}

void hone_sample_drawn(const void *ucontext, uint32_t periods)
{
    sample(ucontext, false, periods);
}
