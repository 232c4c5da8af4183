// When a thread is met and when it ends. Both ends of its CPU clock go into the session: so what a
// thread uses after its last sample, or without ever being sampled, can be accounted for.
#include "probe/probe.h"

#include "core/clock.h"

#include <string.h>
#include <sys/prctl.h>

static void write_thread(const struct hone_thread *self, const struct hone_thread_birth *birth)
{
    static const struct hone_thread_birth unknown;
    if (!birth)
        birth = &unknown;
    struct hone_record_thread *record = hone_writer_claim(&hone_probe.writer, sizeof *record);
    if (!record) {
        hone_count(&hone_counters()->records_lost, 1);
        return;
    }
    record->record.small = self->index;
    record->tid = self->tid;
    record->time_ns = hone_now_ns();
    record->routine = birth->routine;
    record->creation = birth->creation;
    record->creator = birth->creator;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_THREAD);
}

// False: it is known already.
static bool meet(struct hone_thread *self)
{
    uint32_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    if (HONE_LIKELY(self->epoch == epoch))
        return false;
    self->tid = (uint32_t)hone_syscall0(SYS_gettid);
    self->index =
        atomic_fetch_add_explicit(&hone_probe.writer.process->next_thread, 1, memory_order_relaxed);
    self->sampled = false;
    self->begun_cpu_ns = self->last_cpu_ns;
    // Last: a sample may interrupt us anywhere, and then meets the thread itself.
    atomic_signal_fence(memory_order_release);
    self->epoch = epoch;
    hone_count(&hone_counters()->threads, 1);
    return true;
}

void hone_thread_meet(struct hone_thread *self, const struct hone_thread_birth *birth)
{
    if (HONE_UNLIKELY(meet(self)))
        write_thread(self, birth);
}

bool hone_thread_is_borrowed(const struct hone_thread *self)
{
    return HONE_UNLIKELY(atomic_load_explicit(&hone_probe.some_borrow, memory_order_relaxed)) &&
           self->epoch == atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed) &&
           self->tid != (uint32_t)hone_syscall0(SYS_gettid);
}

// One that a sample has met is told once more: the reader takes both for one thread.
void hone_thread_begin(struct hone_thread *self, const struct hone_thread_birth *birth)
{
    (void)meet(self);
    write_thread(self, birth);
}

static void write_end(struct hone_thread *self, uint64_t time_ns, uint64_t cpu_ns, bool may_ask)
{
    if (self->epoch != atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed))
        return;
    struct hone_record_thread_end *record = hone_writer_claim(&hone_probe.writer, sizeof *record);
    if (!record) {
        hone_count(&hone_counters()->records_lost, 1);
        return;
    }
    record->record.small = self->index;
    record->time_ns = time_ns;
    record->cpu_ns = cpu_ns - self->begun_cpu_ns;
    // Most threads are named while they run. Who knows the last name only from time to time misses
    // those of short threads.
    memset(record->name, 0, sizeof record->name);
    if (may_ask && hone_sandbox_door_is_ours() &&
        !(hone_probe.writer.header->config.deadly & HONE_DEADLY_PRCTL))
        (void)hone_syscall2(SYS_prctl, PR_GET_NAME, record->name);
    if (!self->sampled)
        hone_drawn_ended(&hone_probe.drawn, record->cpu_ns);
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_THREAD_END);
}

void hone_thread_leave_at(struct hone_thread *self, uint64_t time_ns, uint64_t cpu_ns)
{
    write_end(self, time_ns, cpu_ns, false);
}

void hone_thread_leave(struct hone_thread *self)
{
    write_end(self, hone_now_ns(), hone_thread_cpu_ns(), true);
}
