#include "view/deadlocks.h"

#include "analyse/wait_graph.h"
#include "base/measure.h"
#include "base/utf8.h"
#include "capture/lock_kind_names.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, LINE_BYTES = 1024 };

struct writer {
    const struct hone_standstill *stand;
    struct hone_buffer *out;
    uint32_t frames, width;
    struct hone_arena arena;
    bool failed;
};

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

// A line with so many spaces in front, cut in its middle where it would be too long.
__attribute__((format(printf, 3, 4))) static void put_line(struct writer *w, unsigned indent,
                                                           const char *format, ...)
{
    char text[LINE_BYTES], shown[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    // Names are the program's own, and may hold anything.
    struct hone_str clean = hone_utf8_clean(&w->arena, hone_str_of(text), SIZE_MAX, &w->failed);
    size_t room = w->width - indent + 1;
    hone_utf8_brief(clean, shown, room < sizeof shown ? room : sizeof shown);
    hone_buffer_format(w->out, "%*s%s\n", (int)indent, "", shown);
}

struct text {
    char text[LINE_BYTES / 2];
};

static struct text name_thread(const struct hone_standstill_thread *thread)
{
    struct text text;
    (void)snprintf(text.text, sizeof text.text, "thread %u (%s)", thread->tid, thread->name);
    return text;
}

static const char *word_of(const struct hone_standstill_lock *lock)
{
    return lock->internal ? "lock of the C library" : hone_lock_kind_words(lock->state.kind);
}

static struct text name_lock(const struct hone_standstill_lock *lock)
{
    struct text text;
    const char *word = word_of(lock);
    if (lock->name[0])
        (void)snprintf(text.text, sizeof text.text, "%s %s", word, lock->name);
    else
        (void)snprintf(text.text, sizeof text.text, "%s at %#" PRIx64 "%s%s", word,
                       lock->state.address, lock->where[0] ? " " : "", lock->where);
    return text;
}

static void put_holder(struct writer *w, const struct hone_standstill_thread *thread,
                       enum hone_stuck kind)
{
    const struct hone_lock_state *state = &thread->lock.state;
    uint32_t holder = hone_wait_graph_holder(w->stand, (uint32_t)(thread - w->stand->threads));
    if (state->kind == HONE_LOCK_JOIN)
        return;
    if (thread->lock.mutex[0])
        put_line(w, 6, "with mutex %s", thread->lock.mutex);
    if (holder != UINT32_MAX && &w->stand->threads[holder] == thread)
        put_line(w, 6, "which it holds itself%s",
                 state->kind != HONE_LOCK_MUTEX || state->recursive
                     ? ""
                     : ", and which is not recursive");
    else if (holder != UINT32_MAX)
        put_line(w, 6, "held by %s", name_thread(&w->stand->threads[holder]).text);
    else if (state->holder == HONE_HOLDER_THREAD && kind == HONE_STUCK_FORKED &&
             !thread->lock.holder_pid)
        put_line(w, 6, "held since before the fork, by thread %u", state->owner);
    else if (state->holder == HONE_HOLDER_THREAD && kind == HONE_STUCK_FORKED)
        put_line(w, 6, "held since before the fork, by thread %u of process %d", state->owner,
                 (int)thread->lock.holder_pid);
    else if (state->holder == HONE_HOLDER_THREAD && kind == HONE_STUCK_ABANDONED)
        put_line(w, 6, "held by thread %u, which has ended", state->owner);
    else if (state->holder == HONE_HOLDER_THREAD)
        put_line(w, 6, "held by thread %u of another process", state->owner);
    else if (state->holder == HONE_HOLDER_READERS)
        put_line(w, 6, "held by %u reader%s, who %s not known", state->readers,
                 plural(state->readers), state->readers == 1 ? "is" : "are");
    else if (state->kind == HONE_LOCK_MUTEX || state->kind == HONE_LOCK_READ ||
             state->kind == HONE_LOCK_WRITE)
        put_line(w, 6, "whose holder is not known");
}

// Where its holder took it, as far as the probe has kept that.
static void put_taken(struct writer *w, const struct hone_standstill_lock *lock)
{
    if (lock->held_ns)
        put_line(w, 6, "since %s ago, taken in",
                 hone_measure_label((int64_t)lock->held_ns, "nanoseconds", "auto").text);
    for (uint32_t i = 0; i < lock->taken.count; i++) {
        const struct hone_standstill_frame *frame = &lock->taken.at[i];
        const char *slash = strrchr(frame->file, '/');
        const char *file = slash ? slash + 1 : frame->file;
        if (file[0] && frame->line)
            put_line(w, 8, "%s  %s:%u", frame->function, file, frame->line);
        else if (frame->function[0])
            put_line(w, 8, "%s", frame->function);
    }
}

static void put_stack(struct writer *w, const struct hone_standstill_thread *thread)
{
    uint32_t shown = thread->stack.count < w->frames ? thread->stack.count : w->frames;
    for (uint32_t i = 0; i < shown; i++) {
        const struct hone_standstill_frame *frame = &thread->stack.at[i];
        char mark = i == thread->first ? '>' : ' ';
        const char *slash = strrchr(frame->file, '/');
        const char *file = slash ? slash + 1 : frame->file;
        slash = strrchr(frame->module, '/');
        const char *module = slash ? slash + 1 : frame->module;
        if (frame->function[0] && file[0] && frame->line)
            put_line(w, 4, "%c %s  %s:%u", mark, frame->function, file, frame->line);
        else if (frame->function[0])
            put_line(w, 4, "%c %s  %s", mark, frame->function, module);
        else
            put_line(w, 4, "%c %#" PRIx64 "  %s", mark, frame->address, module);
    }
    if (shown < thread->stack.count)
        put_line(w, 4, "  … %u more", thread->stack.count - shown);
    else if (thread->cut)
        put_line(w, 4, "  … not further: %s", thread->cut_reason);
}

static void put_thread(struct writer *w, uint32_t index, enum hone_stuck kind)
{
    const struct hone_standstill_thread *thread = &w->stand->threads[index];
    struct text name = name_thread(thread);
    uint32_t other = hone_wait_graph_holder(w->stand, index);
    struct hone_measure_label waited =
        hone_measure_label((int64_t)thread->waited_ns, "nanoseconds", "auto");
    if (thread->lock.state.kind == HONE_LOCK_JOIN && other != UINT32_MAX)
        put_line(w, 2, "%s waits for the end of %s", name.text,
                 name_thread(&w->stand->threads[other]).text);
    else
        put_line(w, 2, "%s waits for %s", name.text, name_lock(&thread->lock).text);
    put_holder(w, thread, kind);
    put_taken(w, &thread->lock);
    put_line(w, 6, "waits for %s at least", waited.text);
    put_stack(w, thread);
}

static void put_finding(struct writer *w, const struct hone_stuck_finding *finding)
{
    uint32_t count = finding->member_count;
    const struct hone_standstill_lock *lock = &w->stand->threads[finding->members[0]].lock;
    switch (finding->kind) {
    case HONE_STUCK_CYCLE:
        put_line(w, 0,
                 "Deadlock of %u threads: each waits for the next one, the last for the "
                 "first",
                 count);
        break;
    case HONE_STUCK_SELF:
        put_line(w, 0, "Deadlock of a thread with itself");
        break;
    case HONE_STUCK_ABANDONED:
        put_line(w, 0, "Abandoned lock: thread %u has ended and not released it",
                 lock->state.owner);
        break;
    case HONE_STUCK_FORKED:
        put_line(w, 0, "A lock that was held when the process was forked");
        break;
    case HONE_STUCK_NOBODY:
    case HONE_STUCK_KINDS:
        put_line(w, 0, "Nobody is left to wake %s: all threads of the process wait",
                 count == 1 ? "a thread" : "these threads");
        break;
    }
    for (uint32_t i = 0; i < count; i++)
        put_thread(w, finding->members[i], finding->kind);
    if (finding->behind_count) {
        hone_buffer_text(w->out, "\n");
        put_line(w, 0, "%u more thread%s wait%s behind:", finding->behind_count,
                 plural(finding->behind_count), finding->behind_count == 1 ? "s" : "");
    }
    for (uint32_t i = 0; i < finding->behind_count; i++)
        put_thread(w, finding->behind[i], HONE_STUCK_CYCLE);
}

static void put_signals(struct writer *w)
{
    char names[256] = "";
    size_t used = 0;
    uint64_t signals = hone_wait_graph_signals(w->stand);
    for (int signal = 1; signal <= 64; signal++) {
        const char *name = signals >> (signal - 1) & 1 ? sigabbrev_np(signal) : NULL;
        if (name && used < sizeof names)
            used +=
                (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", name);
    }
    put_line(w, 0, "All its threads wait without a limit, and none can wake another one, but");
    if (signals)
        put_line(w, 0, "a signal may: it has a handler for %s", names[0] ? names : "one");
    else
        put_line(w, 0, "another process may");
}

static void put_summary(struct writer *w, const struct hone_wait_graph *graph)
{
    uint32_t locks = 0, waits = 0, all = 0;
    for (uint32_t i = 0; i < w->stand->count; i++) {
        const struct hone_standstill_thread *thread = &w->stand->threads[i];
        all += !thread->ended;
        locks += thread->waits_for_lock;
        waits += thread->still && !thread->waits_for_lock;
    }
    char name[64];
    hone_utf8_brief(hone_str_of(w->stand->name), name, sizeof name);
    if (graph->stuck)
        put_line(w, 0, "Process %d (%s): %u of %u thread%s %s stuck", (int)w->stand->pid, name,
                 graph->stuck, all, plural(all), graph->stuck == 1 ? "is" : "are");
    else
        put_line(w, 0, "Process %d (%s): nobody is stuck", (int)w->stand->pid, name);
    put_line(w, 0,
             "%u thread%s: %u asleep for a lock or another thread, %u for other things, %u "
             "not",
             all, plural(all), locks, waits, all - locks - waits);
}

int hone_text_stuck(const struct hone_standstill *stand, const struct hone_wait_graph *graph,
                    const struct hone_deadlocks_options *options, struct hone_buffer *out,
                    struct hone_error *err)
{
    struct writer w = {
        .stand = stand,
        .out = out,
        .frames = options->frames ? options->frames : UINT32_MAX,
        .width = options->width >= 40 ? options->width : WIDTH,
    };
    put_summary(&w, graph);
    if (graph->only_signals)
        put_signals(&w);
    if (stand->unreadable)
        put_line(&w, 0, "%u thread%s could not be looked at", stand->unreadable,
                 plural(stand->unreadable));
    for (uint32_t i = 0; i < graph->count; i++) {
        hone_buffer_text(out, "\n");
        put_finding(&w, &graph->findings[i]);
    }
    hone_arena_done(&w.arena);
    return out->failed || w.failed ? hone_error_set(err, -ENOMEM, "cannot show who is stuck") : 0;
}
